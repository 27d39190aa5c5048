use super::*;
use crate::change::Purpose;
use crate::content::Content;
use crate::realpass::test_desk::holder;
use crate::seed::{Kit, Pool};
use realdid_core::hash::HashFunction;
use realdid_core::state::{DidRecord, VerifiedPerson, did_key};
use realdid_testkit::ledger::TestNet;
use serde_json::json;

const BY: HashFunction = HashFunction::Sha256;

/// A wallet with `dids` DIDs and a RealPass of the network's epoch.
fn wallet(net: &TestNet, dids: u8) -> Content {
    let kit = Kit::new(&[1; 16], [1; 32]).unwrap();
    let mut pool = Pool::default();
    kit.top_up(&mut pool, 16).unwrap();
    let mut content = Content::new(kit.pairwise_root(0), pool, kit.pass_seed());
    content.passes = Some(holder(1, net.epoch()));
    for n in 0..dids {
        let purpose = Purpose {
            service: Hash32([n; 32]),
            bound: false,
            domain: String::new(),
        };
        change::new_did(&mut content, net.network().clone(), purpose, 1).unwrap();
    }
    content
}

/// The operation that the wallet sends for the DID at `place`.
fn anchor(net: &TestNet, content: &mut Content, place: usize, slot: OwnSlot) -> SignedOperation {
    let terms = Terms {
        network: net.network().clone(),
        expires: net.now.height + 100,
    };
    let Content {
        dids, pool, passes, ..
    } = content;
    let operation = change::build(Kind::Anchor, &mut dids[place], None, pool, None, terms);
    let passes = passes.as_ref().unwrap();
    let held = passes.of_epoch(net.epoch()).unwrap();
    let random = &mut seeded().unwrap();
    prove(operation.unwrap(), held, &passes.seed, slot, random).unwrap()
}

fn choose(net: &TestNet, content: &Content, random: u64) -> Result<OwnSlot, CliError> {
    let spent = &content.passes.as_ref().unwrap().spent;
    choose_slot(&net.genesis.parameters, spent, net.now.time_ms, random)
}

/// The ledger takes as many as there are slots, each of a verified person, and then the wallet
/// itself says when there are new ones. A second device of the same person finds them all spent.
#[test]
fn a_person_anchors_as_often_as_there_are_slots_and_no_more() {
    let mut net = TestNet::new();
    let slots = net.genesis.parameters.personhood_slots;
    let mut content = wallet(&net, 8);
    let mut other_device = content.clone();
    for place in 0..slots as usize {
        let slot = choose(&net, &content, 7 * place as u64).unwrap();
        let operation = anchor(&net, &mut content, place, slot);
        assert_eq!(net.apply(&operation), Ok(()));
        remember(content.passes.as_mut().unwrap(), slot);
        let id = content.dids[place].inception().unwrap().id();
        let record: DidRecord = net.record(&did_key(BY, &id)).unwrap();
        let verified = VerifiedPerson {
            issuer: net.authority.id,
            epoch: net.epoch(),
        };
        assert_eq!(record.verified, Some(verified));
    }
    let refused = choose(&net, &content, 0).unwrap_err();
    assert_eq!(refused.code, "personhood.all_spent");
    // 1 800 000 000 s is a multiple of the period of 600 s, so the next begins 600 s later.
    assert!(
        refused.fix.contains("2027-01-15T08:10:00Z"),
        "{}",
        refused.fix
    );

    for _ in 0..slots {
        let slot = choose(&net, &other_device, 1).unwrap();
        let operation = anchor(&net, &mut other_device, 5, slot);
        assert_eq!(net.apply(&operation), Err(Rule::SlotSpent));
        remember(other_device.passes.as_mut().unwrap(), slot);
    }
    assert!(
        choose(&net, &other_device, 1).is_err(),
        "each was tried once"
    );

    net.wait_ms(600_000);
    content.passes = Some({
        let mut passes = holder(1, net.epoch());
        passes.spent = content.passes.unwrap().spent;
        passes
    });
    let slot = choose(&net, &content, 3).unwrap();
    let operation = anchor(&net, &mut content, 6, slot);
    assert_eq!(net.apply(&operation), Ok(()), "a new period has slots anew");
    remember(content.passes.as_mut().unwrap(), slot);
    assert_eq!(
        content.passes.unwrap().spent,
        [slot],
        "old periods are forgotten"
    );
}

#[test]
fn slots_are_chosen_at_random_among_those_that_are_left() {
    let net = TestNet::new();
    let mut content = wallet(&net, 0);
    let first: Vec<u64> = (0..40)
        .map(|random| choose(&net, &content, random).unwrap().slot)
        .collect();
    for slot in 0..4 {
        let count = first.iter().filter(|first| **first == slot).count();
        assert_eq!(count, 10, "none is preferred, the first neither");
    }
    for slot in [1, 3] {
        let period = net.genesis.parameters.personhood_period_at(net.now.time_ms);
        remember(content.passes.as_mut().unwrap(), OwnSlot { period, slot });
    }
    for random in 0..40 {
        assert!([0, 2].contains(&choose(&net, &content, random).unwrap().slot));
    }
    let none = Parameters {
        personhood_slots: 0,
        ..net.genesis.parameters.clone()
    };
    let refused = choose_slot(&none, &[], net.now.time_ms, 9).unwrap_err();
    assert_eq!(refused.code, "personhood.all_spent");
}

/// A proof is for its operation alone: whoever sees it on the way cannot anchor their DID with it.
#[test]
fn a_proof_does_not_move_to_another_did() {
    let mut net = TestNet::new();
    let mut content = wallet(&net, 2);
    let slot = choose(&net, &content, 0).unwrap();
    let mine = anchor(&net, &mut content, 0, slot);
    let mut theirs = anchor(&net, &mut content, 1, slot);
    theirs.personhood = mine.personhood.clone();
    assert_eq!(net.apply(&theirs), Err(Rule::Personhood));
    assert_eq!(net.apply(&mine), Ok(()));
}

#[test]
fn one_account_is_chosen_where_a_realpass_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    assert_eq!(Account::of(&wallet), Account::Sponsored);
    wallet.content.passes = Some(holder(1, 1));
    assert_eq!(Account::of(&wallet), Account::Own);
}

/// Anchors a wallet's DID at a node that finds the first `spent` slots spent. Answers what came of it,
/// the operations that the node got, and the slots that the wallet remembers.
async fn anchored_at_a_node(
    spent: usize,
) -> (Result<u64, CliError>, Vec<SignedOperation>, Vec<OwnSlot>) {
    use crate::test_world::{World, serve};
    use std::sync::{Arc, Mutex};
    let world = World::new().await;
    let got = Arc::new(Mutex::new(Vec::<SignedOperation>::new()));
    let shared = got.clone();
    let node = serve(move |_, path, body| {
        let mut got = shared.lock().unwrap();
        if path == "/v1/operations" {
            got.push(SignedOperation::decode(body).unwrap());
            return (200, json!({}));
        }
        let Some(id) = path.strip_prefix("/v1/operations/") else {
            return (503, json!({}));
        };
        let at = got.iter().position(|known| known.id().to_string() == id);
        if at.unwrap() < spent {
            (200, json!({"status": "refused", "rule": "op.slot_spent"}))
        } else {
            (200, json!({"status": "accepted", "height": 9}))
        }
    })
    .await;
    let (mut wallet, _) = world.open();
    wallet.content.network.as_mut().unwrap().nodes = vec![node];
    let purpose = Purpose {
        service: Hash32([1; 32]),
        bound: false,
        domain: String::new(),
    };
    let network = world.ledger.genesis.network.clone();
    change::new_did(&mut wallet.content, network, purpose, 1).unwrap();
    let inception = wallet.content.dids[0].inception().unwrap();
    world.know(&mut wallet, &did_key(BY, &inception.id()));
    let mut ledger = Ledger::of(&wallet.content).unwrap();
    let (state, _) = ledger.did(&mut wallet.content, &inception).await.unwrap();
    let http = Http::new().unwrap();
    let done = on_own_account(&mut wallet, &http, &mut ledger, 0, &state).await;
    let operations = got.lock().unwrap().clone();
    (
        done.map(|(_, height)| height),
        operations,
        wallet.content.passes.unwrap().spent,
    )
}

#[tokio::test]
async fn a_slot_that_another_device_spent_is_passed_over() {
    let (done, operations, spent) = anchored_at_a_node(2).await;
    assert_eq!(done.unwrap(), 9);
    assert_eq!((operations.len(), spent.len()), (3, 3));
    let mut ids: Vec<Hash32> = operations.iter().map(SignedOperation::id).collect();
    let mut slots: Vec<u64> = operations
        .iter()
        .map(|operation| operation.personhood.as_ref().unwrap().slot)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(
        ids.len(),
        3,
        "an operation that was refused is not asked about again"
    );
    assert_eq!(slots.len(), 3);
    assert!(
        operations
            .iter()
            .all(|operation| operation.sponsor.is_none())
    );
}

#[tokio::test]
async fn where_all_slots_are_spent_the_wallet_says_when_there_are_new_ones() {
    let (done, operations, spent) = anchored_at_a_node(usize::MAX).await;
    let refused = done.unwrap_err();
    assert_eq!(refused.code, "personhood.all_spent");
    assert!(refused.fix.contains("next period begins, at 20"));
    assert_eq!((operations.len(), spent.len()), (4, 4));
}
