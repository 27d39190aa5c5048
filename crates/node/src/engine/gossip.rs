//! Carries what the chain has to tell the other validators beside blocks: operations, above all.
//!
//! Messages go to everybody, are not repeated and not passed on. Whoever tells what no honest
//! validator tells is heard no more.

use super::chain::Chain;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::{Clock, IoBuf};
use std::time::Duration;
use tracing::warn;

/// Between two messages: below the quota of the channel, and little beside a block interval.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells and hears until the network ends.
pub async fn run<E, C, B, S, R>(
    clock: E,
    chain: C,
    mut blocker: B,
    (mut sender, mut receiver): (S, R),
) where
    E: Clock,
    C: Chain,
    B: Blocker<PublicKey = PublicKey>,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let telling = async {
        loop {
            let message = chain.outgoing().await;
            sender.send(Recipients::All, IoBuf::from(message), false);
            clock.sleep(PAUSE).await;
        }
    };
    let hearing = async {
        while let Ok((peer, message)) = receiver.recv().await {
            if !chain.heard(message.as_ref().to_vec()).await {
                warn!(
                    ?peer,
                    "a validator tells what none may tell; it is heard no more"
                );
                blocker.block(peer);
            }
        }
    };
    tokio::select! {
        biased;
        () = hearing => {}
        () = telling => {}
    }
}
