//! What a wallet knows of its network when nobody answers.

use crate::ledger::{Ledger, now_ms};
use crate::test_world::World;
use realdid_core::hash::HashFunction;
use realdid_core::state::issuer_key;

const BY: HashFunction = HashFunction::Sha256;

#[tokio::test]
async fn p3_a_wallet_knows_the_next_committee_when_no_node_answers() {
    let mut world = World::new().await;
    let hand_over = world.ledger.decide_term(8, 200);
    world.ledger.begin_term(8);
    world.ledger.seal(now_ms());
    let id = world.record.id(BY);
    let (mut wallet, mut ledger) = world.open();
    world.know(&mut wallet, &issuer_key(BY, &id));

    // By the genesis alone nobody can tell whose key that is.
    let refused = ledger.issuer(&mut wallet.content, &id).await.unwrap_err();
    assert_eq!(refused.code, "light.term_unknown");

    ledger.light.hand_over(&hand_over).unwrap();
    let network = wallet.content.network.as_mut().unwrap();
    network.terms = Some(ledger.light.terms().to_vec());
    wallet.save().unwrap();
    // One at a time has it open.
    drop(wallet);
    let (mut wallet, mut ledger) = world.open();
    let issuer = ledger.issuer(&mut wallet.content, &id).await.unwrap();
    assert_eq!(issuer.value, Some(world.record.clone()));

    // A network of another genesis has other terms.
    let network = wallet.content.network.as_mut().unwrap();
    network.terms.as_mut().unwrap()[0].network_key.0[1] ^= 1;
    let refused = Ledger::of(&wallet.content).err().unwrap();
    assert_eq!(refused.code, "light.hand_over");
    assert!(Ledger::pinned(wallet.content.network.as_ref().unwrap()).is_err());
}
