//! Four validators in the library's deterministic runtime: seeded latency, same seed same run.

use super::*;
use crate::engine::wiring;
use commonware_p2p::simulated::{Link, Network};
use commonware_runtime::{Clock as _, deterministic};
use commonware_utils::probability;

/// Runs until all four have 20 final blocks; returns the first log and the run's fingerprint.
fn run(seed: u64) -> (Vec<Vec<u8>>, String) {
    let runner = deterministic::Runner::new(
        deterministic::Config::new()
            .with_seed(seed)
            .with_timeout(Some(Duration::from_secs(120))),
    );
    runner.start(|context| async move {
        let dealt = deal(4, &[seed as u8; 32]).unwrap();
        let members: Vec<_> = dealt.validators.iter().map(|v| v.public_key).collect();
        let rules = BlockRules::of::<Counters>(1 << 16);
        let committees: Vec<_> = dealt
            .validators
            .iter()
            .map(|validator| {
                Committee::parse(
                    NAMESPACE,
                    &members,
                    &validator.identity_seed,
                    &dealt.polynomial,
                    &validator.share,
                )
                .unwrap()
            })
            .collect();
        let keys: Vec<PublicKey> = committees[0].members.iter().cloned().collect();
        let (network, oracle) = Network::new_with_peers(
            context.child("network"),
            commonware_p2p::simulated::Config {
                max_size: wiring::max_message_bytes(4, &rules) as u32,
                max_peers_per_set: NZUsize!(4),
                disconnect_on_block: true,
                tracked_peer_sets: NZUsize!(1),
            },
            keys.clone(),
        )
        .await;
        network.start();
        for from in &keys {
            for to in keys.iter().filter(|to| *to != from) {
                let link = Link {
                    latency: Duration::from_millis(40),
                    jitter: Duration::from_millis(15),
                    success_rate: probability!(0.98),
                };
                oracle
                    .add_link(from.clone(), to.clone(), link)
                    .await
                    .unwrap();
            }
        }

        let mut chains = Vec::new();
        for (proposer, committee) in committees.into_iter().enumerate() {
            let control = oracle.control(keys[proposer].clone());
            let chain = Counters {
                proposer: proposer as u64,
                simulated: true,
                ..Counters::default()
            };
            chains.push(chain.clone());
            let register = async |number| {
                control
                    .register(number, channel::quota(number))
                    .await
                    .unwrap()
            };
            let parts = Parts {
                store_prefix: format!("validator-{proposer}"),
                genesis: rules.read(chain.genesis()).unwrap(),
                chain,
                committee,
                rules,
                timeouts: Timeouts::allowing(Duration::from_millis(100)),
                peers: oracle.manager(),
                blocker: control.clone(),
                channels: Channels {
                    votes: register(channel::VOTES).await,
                    certificates: register(channel::CERTIFICATES).await,
                    certificate_fetch: register(channel::CERTIFICATE_FETCH).await,
                    blocks: register(channel::BLOCKS).await,
                    block_fetch: register(channel::BLOCK_FETCH).await,
                },
            };
            let validator = context.child("validator").with_attribute("index", proposer);
            wiring::start(validator, parts).await.unwrap();
        }
        while chains.iter().any(|chain| chain.height() < 20) {
            context.sleep(Duration::from_millis(50)).await;
        }
        let logs: Vec<Vec<Vec<u8>>> = chains
            .iter()
            .map(|chain| {
                let log = chain.log.lock().unwrap();
                log.values()
                    .take(20)
                    .map(|(block, _)| block.clone())
                    .collect()
            })
            .collect();
        assert!(logs.iter().all(|log| log == &logs[0]));
        (logs[0].clone(), context.auditor().state())
    })
}

#[test]
fn four_simulated_validators_agree_and_a_seed_repeats_the_run() {
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.1, run(2).1);
}
