//! Between the consensus library's application interfaces and our [`Chain`].
//!
//! [`Adapter`] answers consensus (propose, verify). [`Delivery`] takes finalised blocks from the
//! library's ordered store and hands them to the chain one by one, acknowledging each only when
//! the chain has made it durable.

use super::{
    block::{Block, BlockRules},
    chain::Chain,
    committee::Scheme,
    terms::Terms,
};
use commonware_actor::Feedback;
use commonware_codec::Encode;
use commonware_consensus::{
    Application, Epochable as _, Reporter,
    marshal::{Update, ancestry::Ancestry, core::Mailbox, standard::Standard},
    simplex::types::Context,
    types::Height,
};
use commonware_cryptography::{Digested, ed25519::PublicKey, sha256::Digest};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact, channel::mpsc};
use futures::StreamExt as _;
use std::time::Duration;
use tracing::{debug, error};

/// The pause before a chain that had nothing to propose is asked again.
const PROPOSE_AGAIN: Duration = Duration::from_millis(100);
/// How many blocks below a parent are looked at, and how long one of them is waited for.
const MAX_PENDING: usize = 32;
const FETCH: Duration = Duration::from_millis(50);

/// Answers consensus from a [`Chain`].
#[derive(Clone)]
pub struct Adapter<C> {
    pub chain: C,
    pub rules: BlockRules,
}

impl<C: Chain> Adapter<C> {
    /// Whether a height is of a term. The chain accepts no block beyond the notice of a change, so
    /// for what it has accepted it can say.
    fn is_of(&self, term: u64, height: u64) -> bool {
        let known = self.chain.terms();
        known.at(height).is_some_and(|known| known.number == term)
    }
}

impl<E: Clock, C: Chain> Application<E> for Adapter<C> {
    type SigningScheme = Scheme;
    type Context = Context<Digest, PublicKey>;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (clock, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
        _: (),
    ) -> Option<Digested<Block>> {
        let parent = ancestry.next().await?;
        let executed = self.chain.terms().executed;
        let mut pending = Vec::new();
        let mut height = parent.inner().info().height;
        while height > executed + 1 && pending.len() < MAX_PENDING {
            // One that is not at hand is worth no view.
            let block = tokio::select! {
                biased;
                block = ancestry.next() => block,
                () = clock.sleep(FETCH) => None,
            };
            let Some(block) = block else { break };
            height = block.inner().info().height;
            pending.push(block);
        }
        let before: Vec<&[u8]> = pending.iter().map(|block| block.inner().bytes()).collect();
        // Consensus drops this future when the view ends, so the loop is bounded by its time-out.
        let bytes = loop {
            match self.chain.propose(parent.inner().bytes(), &before).await {
                Some(bytes) => break bytes,
                None => clock.sleep(PROPOSE_AGAIN).await,
            }
        };
        let block = self.rules.read(bytes)?;
        if !self.is_of(context.epoch().get(), block.info().height) {
            debug!("the term is over; view skipped");
            return None;
        }
        if !block.follows(parent.inner()) {
            error!("own proposal does not follow its parent; view skipped");
            return None;
        }
        let digest = Digest(block.info().digest);
        Some(Digested::precomputed(block, digest))
    }

    async fn verify(
        &mut self,
        (_, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
    ) -> bool {
        // The library has checked that `block` names `parent` and follows it in height.
        let (Some(block), Some(parent)) = (ancestry.next().await, ancestry.next().await) else {
            return false;
        };
        self.chain
            .verify(parent.inner().bytes(), block.inner().bytes())
            .await
            && self.is_of(context.epoch().get(), block.inner().info().height)
    }
}

/// Receives finalised blocks in height order; bounded by the store's limit on pending
/// acknowledgements.
#[derive(Clone)]
pub struct Delivery {
    sender: mpsc::UnboundedSender<(Digested<Block>, Exact)>,
}

/// The other end of [`Delivery`].
pub struct Deliveries {
    receiver: mpsc::UnboundedReceiver<(Digested<Block>, Exact)>,
}

/// Makes both ends.
pub fn delivery() -> (Delivery, Deliveries) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Delivery { sender }, Deliveries { receiver })
}

impl Reporter for Delivery {
    type Activity = Update<Block>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match update {
            // A tip says what is final elsewhere; it is not durable here and we do nothing on it.
            Update::Tip(..) => Feedback::Ok,
            Update::Block(block, acknowledgement) => {
                match self.sender.send((block, acknowledgement)) {
                    Ok(()) => Feedback::Ok,
                    Err(_) => Feedback::Closed,
                }
            }
        }
    }
}

impl Deliveries {
    /// Hands blocks to the chain until the engine stops. A block in progress is finished first.
    pub async fn run<E: Spawner, C: Chain>(
        mut self,
        context: E,
        chain: C,
        store: Mailbox<Scheme, Standard<Block>>,
        terms: Terms,
    ) {
        let mut stopped = context.stopped();
        loop {
            let next = tokio::select! {
                biased;
                _ = &mut stopped => None,
                next = self.receiver.recv() => next,
            };
            let Some((block, acknowledgement)) = next else {
                return;
            };
            let info = block.inner().info();
            // The chain made genesis itself.
            if info.height > 0 {
                let certificate = store.get_finalization(Height::new(info.height)).await;
                // The store keeps one certificate a height; never pass on another block's.
                let certificate = certificate
                    .filter(|finalization| finalization.proposal.payload == Digest(info.digest))
                    .map(|finalization| finalization.encode().to_vec());
                if certificate.is_none() {
                    debug!(height = info.height, "final through a descendant only");
                }
                chain
                    .finalised(info.height, block.inner().bytes().to_vec(), certificate)
                    .await;
                if let Err(reason) = terms.learn(&chain.terms()) {
                    error!(height = info.height, %reason, "the ledger names a term that cannot be");
                    return;
                }
            }
            acknowledgement.acknowledge();
        }
    }
}
