//! Validators that lie. Their keys are real; what they do with them is not.

use crate::engine::committee::Scheme;
use crate::engine::wiring::{Channels, channel};
use crate::sim::validator::{Port, Routed, Shared};
use crate::store::tests::Chance;
use commonware_codec::varint::UInt;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::simplex::types::{Finalize, Notarize, Nullify, Proposal, Vote};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_p2p::simulated::{Receiver, SplitTarget};
use commonware_p2p::utils::mux;
use commonware_p2p::{Receiver as _, Recipients, Sender as _};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Handle, IoBuf, Spawner as _, Supervisor as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Repeats what it hears to everybody, on any channel, and bends one message in eight.
pub async fn garbage(
    context: &Context,
    shared: &Shared,
    key: &PublicKey,
    seed: u64,
) -> Vec<Handle<()>> {
    let mut tasks = Vec::new();
    let numbers = [
        channel::VOTES,
        channel::CERTIFICATES,
        channel::CERTIFICATE_FETCH,
        channel::BLOCKS,
        channel::BLOCK_FETCH,
        channel::OPERATIONS,
    ];
    for number in numbers {
        let (mut sender, mut receiver) = shared.port(key, number, &None).await;
        let mut chance = Chance(seed ^ number);
        let task = context.child("garbage").with_attribute("channel", number);
        tasks.push(task.spawn(move |context| async move {
            while let Ok((_, heard)) = receiver.recv().await {
                context.sleep(Duration::from_millis(chance.below(60))).await;
                let mut message = heard.as_ref().to_vec();
                if chance.below(8) == 0 && !message.is_empty() {
                    match chance.below(3) {
                        0 => message.truncate(chance.below(message.len() as u64) as usize),
                        1 => {
                            message = (0..chance.below(300))
                                .map(|_| chance.next() as u8)
                                .collect()
                        }
                        _ => {
                            let at = chance.below(message.len() as u64) as usize;
                            message[at] ^= 1 << chance.below(8);
                        }
                    }
                }
                sender.send(Recipients::All, IoBuf::from(message), false);
            }
        }));
    }
    tasks
}

/// Whatever anybody proposes: votes for it, for something else, against it, and for its being
/// final. To each in another order.
pub async fn contradicting(
    context: &Context,
    shared: &Shared,
    schemes: BTreeMap<u64, Scheme>,
    key: &PublicKey,
) -> Vec<Handle<()>> {
    let (mut sender, mut receiver) = shared.port(key, channel::VOTES, &None).await;
    let task = context.child("contradicting").spawn(move |_| async move {
        let mut done = None;
        while let Ok((from, heard)) = receiver.recv().await {
            let Ok((term, heard)) = mux::parse(heard) else {
                continue;
            };
            let Some(scheme) = schemes.get(&term) else {
                continue;
            };
            let Ok(Vote::<Scheme, Digest>::Notarize(vote)) = Vote::decode(heard) else {
                continue;
            };
            let proposal = vote.proposal;
            let round = proposal.round;
            if done.replace(round) == Some(round) {
                continue;
            }
            let mut other = proposal.payload;
            other.0[0] ^= 1;
            let other = Proposal::new(round, proposal.parent, other);
            let votes = [
                Notarize::sign(scheme, other.clone()).map(Vote::Notarize),
                Notarize::sign(scheme, proposal.clone()).map(Vote::Notarize),
                Nullify::sign::<Digest>(scheme, round).map(Vote::Nullify),
                Finalize::sign(scheme, proposal).map(Vote::Finalize),
                Finalize::sign(scheme, other).map(Vote::Finalize),
            ];
            let votes: Vec<Vote<Scheme, Digest>> = votes.into_iter().flatten().collect();
            let bytes = |vote: &Vote<Scheme, Digest>| {
                let number = UInt(term).encode();
                IoBuf::from([number.as_ref(), vote.encode().as_ref()].concat())
            };
            for vote in &votes {
                sender.send(Recipients::One(from.clone()), bytes(vote), true);
            }
            for vote in votes.iter().rev() {
                sender.send(Recipients::All, bytes(vote), true);
            }
        }
    });
    vec![task]
}

/// Divides a validator's channels between two of it: `first` of the others hear and are heard by
/// the one, the rest by the other.
pub async fn divided(
    context: &Context,
    shared: &Shared,
    key: &PublicKey,
    first: &[PublicKey],
    rest: &[PublicKey],
) -> [Channels<Routed, Receiver<PublicKey>>; 2] {
    let (near, far) = (Arc::new(first.to_vec()), Arc::new(rest.to_vec()));
    let split = |(sender, receiver): Port| -> (Port, Port) {
        let near_hears = near.clone();
        let router = move |(from, _): &(PublicKey, IoBuf)| {
            if near_hears.contains(from) {
                SplitTarget::Primary
            } else {
                SplitTarget::Secondary
            }
        };
        let (one, other) = receiver.split_with(context.child("twins"), router);
        (
            (sender.reaching(near.clone()), one),
            (sender.reaching(far.clone()), other),
        )
    };
    let all = shared.ports(key, &None, &None).await;
    let (votes, votes_2) = split(all.votes);
    let (certificates, certificates_2) = split(all.certificates);
    let (certificate_fetch, certificate_fetch_2) = split(all.certificate_fetch);
    let (blocks, blocks_2) = split(all.blocks);
    let (block_fetch, block_fetch_2) = split(all.block_fetch);
    let (operations, operations_2) = split(all.operations);
    [
        Channels {
            votes,
            certificates,
            certificate_fetch,
            blocks,
            block_fetch,
            operations,
        },
        Channels {
            votes: votes_2,
            certificates: certificates_2,
            certificate_fetch: certificate_fetch_2,
            blocks: blocks_2,
            block_fetch: block_fetch_2,
            operations: operations_2,
        },
    ]
}
