use super::*;
use crate::content::Format;
use crate::present::take_copy;
use crate::secret::{Secret32, SecretText};
use crate::test_world::{World, serve};
use realdid_core::codec;
use realdid_core::did::commitment;
use realdid_core::hash::HashFunction;
use realdid_core::state::{
    Batch as BatchRecord, IssuerKey, KeyStatus, KeyUse, batch_key, issuer_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::{pid, sd_jwt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const BY: HashFunction = HashFunction::Sha256;

fn key() -> SecretKey {
    SecretKey::from_seed(Suite::P256, [200; 32]).unwrap()
}

fn copy(issuer: &str, n: u8) -> CredentialCopy {
    let signing = SigningKey::p256(&[200; 32]).unwrap();
    let holder = SigningKey::p256(&[n; 32]).unwrap();
    let expires_s = now_s() + 1000;
    let terms = sd_jwt::Terms {
        iss: issuer,
        vct: pid::VCT,
        kid: &commitment(&key().public()).to_string(),
        iat_s: now_s(),
        exp_s: expires_s,
        x5c: &[],
    };
    let claims = json!({"given_name": "Test"});
    let holder = Jwk(holder.verifying_key());
    let claims = claims.as_object().unwrap();
    let text = sd_jwt::issue(claims, &[], &terms, &holder, &signing, &mut || [n; 16]);
    CredentialCopy {
        credential: SecretText::new(text.unwrap()),
        holder_key: Secret32::new([n; 32]),
        expires_s,
        holder_suite: None,
        path: None,
    }
}

/// A wallet with copies of an authority that answers about paths as it is told.
struct Scene {
    world: World,
    answer: Arc<Mutex<(u16, Value)>>,
    asked: Arc<Mutex<usize>>,
    wallet: Wallet,
    ledger: Ledger,
    http: Http,
    issuer: String,
    items: Vec<Hash32>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let answer = Arc::new(Mutex::new((200, json!({"paths": [null, null]}))));
        let asked = Arc::new(Mutex::new(0));
        let (answers, count) = (answer.clone(), asked.clone());
        let issuer = serve(move |_, path, _| {
            assert_eq!(path, "/v1/batches/paths");
            *count.lock().unwrap() += 1;
            answers.lock().unwrap().clone()
        })
        .await;
        let (mut wallet, ledger) = world.open();
        let copies = vec![copy(&issuer, 1), copy(&issuer, 2)];
        let item = |copy: &CredentialCopy| batch::item(BY, copy.credential.as_str()).unwrap();
        let mut items: Vec<Hash32> = copies.iter().map(item).collect();
        items.push(Hash32([7; 32]));
        items.sort();
        wallet.content.batches.push(Batch {
            issuer: issuer.clone(),
            vct: pid::VCT.to_owned(),
            configuration: "pid-sd-jwt".to_owned(),
            copies,
            refresh_token: Some(SecretText::new("r".to_owned())),
            on_ledger: true,
            format: Some(Format::SdJwt),
            organisation: None,
            token_key: None,
            server: None,
            roots: None,
            suite: None,
        });
        Self {
            world,
            answer,
            asked,
            wallet,
            ledger,
            http: Http::new().unwrap(),
            issuer,
            items,
        }
    }

    /// What the authority says of each copy, in the order of the wallet.
    fn answer_paths(&self) {
        let copies = &self.wallet.content.batches[0].copies;
        let path = |copy: &CredentialCopy| {
            let item = batch::item(BY, copy.credential.as_str()).unwrap();
            let index = self.items.binary_search(&item).unwrap();
            ListPath::of(BY, &self.items, index)
        };
        let paths: Vec<_> = copies.iter().map(path).collect();
        let answer = serde_json::to_value(PathsResponse::new(&paths)).unwrap();
        *self.answer.lock().unwrap() = (200, answer);
    }

    /// Puts the batch on the ledger with so many items, or shows that it is not there.
    fn ledger_says(&mut self, count: Option<u64>) {
        let issuer = issuer_id(BY, &self.issuer);
        let key_of = batch_key(BY, &issuer, &BY.list_root(&self.items));
        let record = count.map(|count| {
            codec::encode(&BatchRecord {
                key: commitment(&key().public()),
                count,
                height: 4,
            })
        });
        let now_ms = now_s() * 1000;
        self.world.ledger.set(key_of, record, now_ms);
        self.world.know(&mut self.wallet, &key_of);
    }

    fn issuer_is(&mut self, status: KeyStatus) -> Issuer {
        let record = Issuer {
            url: self.issuer.clone(),
            keys: vec![IssuerKey {
                usage: KeyUse::Pid,
                key: key().public(),
                status,
                since: 0,
            }],
            ..self.world.record.clone()
        };
        let id = issuer_key(BY, &issuer_id(BY, &self.issuer));
        let bytes = codec::encode(&record);
        self.world.ledger.set(id, Some(bytes), now_s() * 1000);
        self.world.know(&mut self.wallet, &id);
        record
    }

    async fn fetch(&mut self) -> Result<u64, String> {
        let fetched = fetch(&mut self.wallet, &self.http, &mut self.ledger).await;
        fetched.map_err(|error| error.code)
    }
}

#[tokio::test]
async fn p7_a_path_is_kept_where_it_leads_to_a_batch_on_the_ledger() {
    let mut scene = Scene::new().await;
    assert!(waiting(&scene.wallet).is_some());
    assert_eq!(scene.fetch().await, Ok(0));
    scene.answer_paths();
    // absent, or of another length: what an authority says of its batches is held against the ledger
    for count in [None, Some(4)] {
        scene.ledger_says(count);
        assert_eq!(scene.fetch().await, Err("batch.path".to_owned()));
        assert!(waiting(&scene.wallet).is_some());
    }
    for lie in [json!({"paths": [null]}), json!({"paths": ["AA", null]})] {
        *scene.answer.lock().unwrap() = (200, lie);
        assert_eq!(scene.fetch().await, Err("batch.path".to_owned()));
    }
    scene.answer_paths();
    scene.ledger_says(Some(3));
    assert_eq!(scene.fetch().await, Ok(2));
    assert_eq!(waiting(&scene.wallet), None);
    let asked = *scene.asked.lock().unwrap();
    assert_eq!(scene.fetch().await, Ok(0));
    assert_eq!(*scene.asked.lock().unwrap(), asked, "nothing is missing");
    let shown = crate::issue::batch_json(&scene.wallet.content.batches[0]);
    assert_eq!(shown["inBatch"], 2);
}

#[tokio::test]
async fn p7_a_copy_of_a_key_in_other_hands_is_shown_with_its_path_or_not_at_all() {
    let mut scene = Scene::new().await;
    scene.answer_paths();
    scene.ledger_says(Some(3));
    assert_eq!(scene.fetch().await, Ok(2));
    // One of the two never got its path.
    scene.wallet.content.batches[0].copies[0].path = None;
    let late = scene.wallet.content.batches[0].copies[0].clone();
    let early = scene.wallet.content.batches[0].copies[1].clone();

    scene.issuer_is(KeyStatus::Active);
    let issuer = issuer_of(&mut scene.wallet, &mut scene.ledger, 0).await;
    assert!(stands(&late, issuer.as_ref()) && stands(&early, issuer.as_ref()));
    // A path is shown to nobody who does not need it.
    let (wallet, ledger) = (&mut scene.wallet, &mut scene.ledger);
    let beside_it = beside(wallet, ledger, &early, issuer.as_ref());
    assert_eq!(beside_it.await.unwrap(), None);

    scene.issuer_is(KeyStatus::Compromised(5));
    let issuer = issuer_of(&mut scene.wallet, &mut scene.ledger, 0).await;
    assert!(!stands(&late, issuer.as_ref()) && stands(&early, issuer.as_ref()));
    let taken = take_copy(&mut scene.wallet, 0, issuer.as_ref()).unwrap();
    assert_eq!(taken, early);
    let (wallet, ledger) = (&mut scene.wallet, &mut scene.ledger);
    let shown = beside(wallet, ledger, &taken, issuer.as_ref()).await;
    let shown = shown.unwrap().unwrap();
    assert_eq!(Some(shown.path), taken.path);
    let refused = take_copy(&mut scene.wallet, 0, issuer.as_ref());
    assert_eq!(refused.unwrap_err().code, "credential.key_compromised");
    assert_eq!(scene.wallet.content.batches[0].copies, [late]);
}
