//! Bursts of presentations, with workers that the test holds back.

use super::*;
use realdid_core::state::PassPublicKey;
use realdid_credential::realpass::{self, Envelope};
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Credential, IssuerKey, PseudonymSecrets};
use std::time::Duration;

const SERVICE: Hash32 = Hash32([0x51; 32]);

fn draw(n: u8) -> Seeded {
    Seeded::new([n; 32])
}

/// The `n`th issuer.
struct Issuer {
    id: PassKeyId,
    key: IssuerKey,
}

fn issuer(n: u8) -> Issuer {
    let network: realdid_core::did::NetworkName = "dev".parse().unwrap();
    let terms = facts::terms(network.as_str(), &[n; 32]);
    let key = IssuerKey::from_material(&[n; 32], &terms, facts::FACTS).unwrap();
    let public = PassPublicKey(key.public().to_bytes());
    Issuer {
        id: PassKeyId {
            network,
            issuer: Hash32([n; 32]),
            public,
        },
        key,
    }
}

/// A RealPass of the `n`th person.
fn person(issuer: &Issuer, n: u8) -> Credential {
    let secrets = PseudonymSecrets::from_seed(&[n; 32]);
    let facts = Facts {
        epoch: 7,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::High,
        continuity: Continuity::Unbroken,
    };
    let messages = facts.messages().unwrap();
    let request = secrets.request(&mut draw(n)).unwrap();
    let kept = issuer.key.enrol(&mut draw(n), &request).unwrap();
    let issued = issuer.key.issue(&request, &kept, &messages).unwrap();
    Credential::accept(issuer.key.public(), &secrets, messages, issued).unwrap()
}

fn claim(issuer: &Issuer, person: &Credential, binding: &[u8]) -> PassClaim {
    let context = Context::service(&SERVICE.0);
    let key = issuer.key.public();
    let presentation = person
        .present(&mut draw(9), key, &context, &[facts::EPOCH], binding)
        .unwrap();
    let text = Envelope {
        issuer: issuer.id.issuer.0,
        presentation,
    };
    PassClaim {
        key: issuer.id.clone(),
        shown: realpass::Shown::read(&text.to_string(), &[]).unwrap(),
        binding: binding.to_vec(),
    }
}

/// One worker, whom the test has sent away.
fn held() -> Arc<Passes> {
    let queue = Queue {
        busy: 1,
        ..Queue::default()
    };
    let desk = Desk {
        context: Context::service(&SERVICE.0),
        workers: 1,
        queue: Mutex::new(queue),
    };
    Arc::new(Passes {
        desk: Arc::new(desk),
        keys: Mutex::default(),
    })
}

/// Sends all off and answers once all wait, with the tasks that will have the verdicts.
async fn burst(
    passes: &Arc<Passes>,
    claims: Vec<PassClaim>,
) -> Vec<tokio::task::JoinHandle<Result<Verdict, Refusal>>> {
    let mut tasks = Vec::new();
    for claim in claims {
        let own = Arc::clone(passes);
        tasks.push(tokio::spawn(async move { own.verify(&claim).await }));
        let all_wait = async {
            while passes.desk.lock().waiting.len() < tasks.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), all_wait).await;
        waited.unwrap();
    }
    tasks
}

#[tokio::test]
async fn a_burst_is_verified_together_and_one_false_proof_fails_alone() {
    let (one, two) = (issuer(1), issuer(2));
    let persons: Vec<Credential> = (0..5).map(|n| person(&one, n)).collect();
    let stranger = person(&two, 40);
    let own = |(n, person): (u8, &Credential)| claim(&one, person, &[n]);
    let mut claims: Vec<PassClaim> = (0..).zip(&persons).map(own).collect();
    // The third shows a proof that was made for another login; the last is of another issuer.
    claims[2].binding = b"another login".to_vec();
    claims.push(claim(&two, &stranger, b"two"));
    let passes = held();
    let tasks = burst(&passes, claims).await;
    {
        let mut queue = passes.desk.lock();
        let batch = queue.take();
        assert_eq!(batch.len(), 5, "all under the first key");
        assert_eq!(queue.waiting.len(), 1);
        for waiting in batch.into_iter().rev() {
            queue.waiting.push_front(waiting);
        }
    }
    let desk = Arc::clone(&passes.desk);
    let worker = tokio::task::spawn_blocking(move || desk.work());
    worker.await.unwrap();
    let context = Context::service(&SERVICE.0);
    for (n, task) in tasks.into_iter().enumerate() {
        let verdict = task.await.unwrap().unwrap();
        if n == 2 {
            assert_eq!(verdict, Err(PassError::Challenge));
        } else {
            let own = persons.get(n).unwrap_or(&stranger);
            let pseudonym = own.pseudonym(&context).unwrap();
            assert_eq!(verdict.unwrap().pseudonym, pseudonym, "{n}");
        }
    }
    assert_eq!(passes.desk.lock().busy, 0);
    assert_eq!(passes.known().len(), 2);

    // The desk goes on, and a proof of one issuer is refused under another's key.
    let mut wrong = claim(&two, &stranger, b"two");
    wrong.key = one.id.clone();
    let verdict = passes.verify(&wrong).await.unwrap();
    assert_eq!(verdict, Err(PassError::Challenge));
}

#[tokio::test]
async fn who_comes_alone_is_verified_at_once_and_who_left_is_forgotten() {
    let issuer = issuer(1);
    let claim = claim(&issuer, &person(&issuer, 1), b"x");
    let passes = Passes::new(&SERVICE);
    assert!(passes.verify(&claim).await.unwrap().is_ok());

    let held = held();
    for task in burst(&held, vec![claim]).await {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert!(held.desk.lock().take().is_empty());
}

#[tokio::test]
async fn the_queue_and_the_kept_keys_are_bounded() {
    let passes = Passes::new(&SERVICE);
    for n in 0..=MAX_KEYS as u8 {
        let id = issuer(n).id;
        let key = passes.key(&id).await.unwrap().unwrap();
        let again = passes.key(&id).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&key, &again), "made once");
    }
    assert_eq!(passes.known().len(), MAX_KEYS);
    let mut not_a_key = issuer(1).id;
    not_a_key.public = PassPublicKey([0; 96]);
    assert!(passes.key(&not_a_key).await.unwrap().is_err());

    let one = issuer(1);
    let claim = claim(&one, &person(&one, 1), b"x");
    let held = held();
    let key = held.key(&one.id).await.unwrap().unwrap();
    let mut receivers = Vec::new();
    for _ in 0..MAX_WAITING {
        let (answer, receiver) = oneshot::channel();
        receivers.push(receiver);
        held.desk.lock().waiting.push_back(Waiting {
            key: Arc::clone(&key),
            claim: claim.clone(),
            answer,
        });
    }
    assert_eq!(held.verify(&claim).await, Err(Refusal::LOGIN_BUSY));
    assert_eq!(held.desk.lock().take().len(), MAX_BATCH);
}
