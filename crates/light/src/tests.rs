//! Nodes that lie: whatever one says that is not so, the light client refuses by name (rules L1
//! to L5, T4 to T6).

use crate::{DidStanding, Freshness, LightClient, LightError, TermError};
use realdid_core::answer::StateAnswer;
use realdid_core::codec::{self, Bytes};
use realdid_core::hash::HashFunction;
use realdid_core::header::{Checkpoint, Header};
use realdid_core::state::{DidRecord, did_key};
use realdid_core::trie::{Key, Proof, Terminal};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet};

const NOW_MS: u64 = START_MS + 60_000;

const BY: HashFunction = HashFunction::Sha256;

/// The `n`th DID; 1 to 20 are on the ledger of [`ledger`].
fn did(n: u64) -> TestDid {
    TestDid::new(TestNet::new().network(), n)
}

fn key(n: u64) -> Key {
    did_key(BY, &did(n).id())
}

fn record(n: u64) -> Vec<u8> {
    codec::encode(&DidRecord {
        seq: 0,
        keys: did(n).inception.keys,
        endpoints: Vec::new(),
        frozen: false,
        pending: None,
        deactivated: false,
        created_ms: START_MS,
        updated_ms: START_MS,
        verified: None,
    })
}

fn ledger() -> TestLedger {
    let mut ledger = TestLedger::new(START_MS, Vec::new());
    for n in 1..=20 {
        ledger.set(key(n), Some(record(n)), NOW_MS);
    }
    ledger
}

fn client() -> LightClient {
    LightClient::new(ledger().genesis)
}

fn ask(client: &LightClient, n: u64, answer: &StateAnswer) -> Result<DidStanding, LightError> {
    let freshness = Freshness {
        now_ms: NOW_MS,
        max_age_ms: 30_000,
        max_lag_slots: 3,
    };
    Ok(client
        .did(&did(n).did(), None, answer, &freshness)?
        .standing)
}

fn refused(n: u64, answer: &StateAnswer) -> &'static str {
    ask(&client(), n, answer).unwrap_err().code()
}

#[test]
fn a_true_answer_is_believed_after_a_checkpoint_and_before() {
    for n in [1, 7, 20] {
        let standing = ask(&client(), n, &ledger().answer(&key(n))).unwrap();
        assert!(matches!(standing, DidStanding::Anchored(record)
            if record.keys == did(n).inception.keys));
    }
    let unknown = ask(&client(), 21, &ledger().answer(&key(21)));
    assert_eq!(unknown, Ok(DidStanding::Unknown));
}

#[test]
fn p9_a_node_that_lies_about_a_did_is_refused() {
    let ledger = ledger();
    let (known, unknown) = (ledger.answer(&key(1)), ledger.answer(&key(21)));
    let lie = |of: &StateAnswer, change: &dyn Fn(&mut StateAnswer)| {
        let mut answer = of.clone();
        change(&mut answer);
        answer
    };
    let empty = Proof {
        siblings: Vec::new(),
        terminal: Terminal::Empty,
    };
    let lies = [
        ("a DID is hidden", 1, lie(&known, &|a| a.value = None)),
        (
            "its record is another's",
            1,
            lie(&known, &|a| a.value = Some(Bytes(record(2)))),
        ),
        (
            "its record is changed",
            1,
            lie(&known, &|a| {
                a.value.as_mut().unwrap().0[1] ^= 1;
            }),
        ),
        (
            "its record is empty",
            1,
            lie(&known, &|a| a.value = Some(Bytes(Vec::new()))),
        ),
        ("the answer is about another DID", 1, ledger.answer(&key(2))),
        ("absence is that of another DID", 1, unknown.clone()),
        (
            "absence by an empty tree",
            1,
            lie(&unknown, &|a| a.proof = empty.clone()),
        ),
        (
            "a DID is invented",
            21,
            lie(&unknown, &|a| a.value = Some(Bytes(record(21)))),
        ),
        ("a DID is invented by another's proof", 21, known.clone()),
        (
            "the path is cut",
            1,
            lie(&known, &|a| _ = a.proof.siblings.pop()),
        ),
        (
            "the path is longer",
            1,
            lie(&known, &|a| a.proof.siblings.push([0; 32])),
        ),
        (
            "the path is changed",
            1,
            lie(&known, &|a| a.proof.siblings[0][5] ^= 1),
        ),
    ];
    for (what, n, answer) in lies {
        assert_eq!(refused(n, &answer), "light.proof", "{what}");
        let bytes = answer.encode();
        assert_eq!(
            StateAnswer::decode(&bytes),
            Ok(answer),
            "{what}: it travels"
        );
        for length in 0..bytes.len() {
            assert!(StateAnswer::decode(&bytes[..length]).is_err());
        }
    }
}

#[test]
fn p9_an_old_state_is_not_the_present_one() {
    let mut ledger = ledger();
    let before = ledger.answer(&key(21));
    let mut client = client();
    client.advance(&before.checkpoint).unwrap();
    ledger.set(key(21), Some(record(21)), NOW_MS + 9_000);
    // an old proof under the new checkpoint
    let mut glued = before.clone();
    glued.checkpoint = ledger.checkpoint();
    assert_eq!(ask(&client, 21, &glued).unwrap_err().code(), "light.proof");
    // the old answer whole: good for a client that knows no better, not for one that does
    assert_eq!(ask(&client, 21, &before), Ok(DidStanding::Unknown));
    client.advance(&ledger.checkpoint()).unwrap();
    assert_eq!(
        ask(&client, 21, &before),
        Err(LightError::Behind { lag: 4, limit: 3 })
    );
    // what is known does not go back
    client.advance(&before.checkpoint).unwrap();
    assert_eq!(client.newest().unwrap().header, *ledger.newest());
    // by the clock alone
    ledger.seal(NOW_MS - 30_001);
    assert_eq!(
        ask(&self::client(), 21, &ledger.answer(&key(21)))
            .unwrap_err()
            .code(),
        "light.stale"
    );
    ledger.seal(NOW_MS + crate::MAX_AHEAD_MS + 1);
    assert_eq!(refused(21, &ledger.answer(&key(21))), "light.future");
}

#[test]
fn a_forged_checkpoint_is_refused() {
    let (ledger, client) = (ledger(), client());
    let mut liar = ledger.clone();
    liar.set(key(1), None, NOW_MS);
    let own = TestLedger::with_validators(8, START_MS, Vec::new());
    let mut elsewhere = ledger.newest().clone();
    elsewhere.network = "other".parse().unwrap();
    // the liar's own state behind a certificate that is not for it
    let borrowed = Checkpoint {
        header: Bytes(codec::encode(liar.newest())),
        certificate: ledger.checkpoint().certificate,
    };
    let changed = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = ledger.checkpoint();
        change(&mut checkpoint);
        checkpoint
    };
    let (certificate, malformed) = ("light.certificate", "codec.malformed");
    let forgeries = [
        ("another header's certificate", certificate, borrowed),
        (
            "a committee of its own",
            certificate,
            own.certify(liar.newest()),
        ),
        (
            "no certificate",
            certificate,
            changed(&|c| c.certificate.0.clear()),
        ),
        (
            "a changed vote",
            certificate,
            changed(&|c| c.certificate.0[1] ^= 2),
        ),
        (
            "a changed signature",
            certificate,
            changed(&|c| *c.certificate.0.last_mut().unwrap() ^= 1),
        ),
        (
            "another network",
            "light.network",
            ledger.certify(&elsewhere),
        ),
        ("no header", malformed, changed(&|c| c.header.0.clear())),
        (
            "half a header",
            malformed,
            changed(&|c| c.header.0.truncate(40)),
        ),
        (
            "more than a header",
            "codec.trailing",
            changed(&|c| c.header.0.push(0)),
        ),
        (
            "a long header",
            "codec.too_long",
            changed(&|c| c.header.0 = vec![0; 1 << 20]),
        ),
    ];
    for (what, code, checkpoint) in forgeries {
        assert_eq!(
            client.clone().advance(&checkpoint).unwrap_err().code(),
            code,
            "{what}"
        );
        let mut answer = liar.answer(&key(1));
        answer.checkpoint = checkpoint;
        assert_eq!(refused(1, &answer), code, "{what}");
    }
    // the same committee for a network with another genesis, though of the same name
    let younger = LightClient::new(TestLedger::new(START_MS + 1, Vec::new()).genesis);
    assert_eq!(
        ask(&younger, 1, &ledger.answer(&key(1)))
            .unwrap_err()
            .code(),
        certificate
    );
}

#[test]
fn two_final_headers_at_one_height_are_a_fork() {
    let (ledger, mut client) = (ledger(), client());
    client.advance(&ledger.checkpoint()).unwrap();
    let other = Header {
        time_ms: NOW_MS + 1,
        ..ledger.newest().clone()
    };
    assert_eq!(
        client.advance(&ledger.certify(&other)),
        Err(TermError::Fork.into())
    );
    assert_eq!(client.newest().unwrap().header, *ledger.newest());
    client.advance(&ledger.checkpoint()).unwrap();
}

#[test]
fn an_inception_of_a_suite_that_the_network_does_not_admit_is_refused_by_name() {
    use realdid_core::suite::Suite;
    let ledger = TestLedger::new(START_MS, Vec::new());
    let freshness = Freshness {
        now_ms: START_MS,
        max_age_ms: 1000,
        max_lag_slots: 0,
    };
    let did = TestDid::of(Suite::Sm2, &ledger.genesis.network, 1);
    let answer = ledger.answer(&did_key(BY, &did.id()));
    let ask = |light: &LightClient| {
        light
            .did(&did.did(), Some(&did.inception), &answer, &freshness)
            .map(|state| state.standing)
    };
    let light = LightClient::new(ledger.genesis.clone());
    assert_eq!(
        ask(&light),
        Ok(DidStanding::Implicit(did.inception.clone()))
    );
    let mut narrow = ledger.genesis.clone();
    narrow.parameters.suites = vec![Suite::Ed25519, Suite::P256];
    assert_eq!(ask(&LightClient::new(narrow)), Err(LightError::Suite));
    assert_eq!(LightError::Suite.code(), "did.suite");
}
