//! What the engine orders: our side of the seam.
//!
//! The engine knows three facts about a block, its digest, its parent and its height, and carries
//! the rest as bytes. Everything else (what goes into a block, whether it is valid, what finality
//! means for the state) is asked of a [`Chain`]. No type of the consensus library appears here,
//! so that the rules can be tested without it and the library can be replaced.

use realdid_core::governance::{Committee, NOTICE_BLOCKS, Term};
use std::future::Future;
use std::sync::Arc;

/// The facts of a block that ordering needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// The header's digest: what validators sign and what a finality certificate names.
    pub digest: [u8; 32],
    /// Digest of the parent's header.
    pub parent: [u8; 32],
    /// 0 for genesis, the parent's plus one otherwise.
    pub height: u64,
}

/// Who orders blocks, as far as the blocks that are executed here say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTerms {
    /// The newest executed height.
    pub executed: u64,
    pub committee: Arc<Committee>,
}

impl KnownTerms {
    /// The furthest height whose term is certain: a decision gives at least so much notice.
    pub fn horizon(&self) -> u64 {
        self.executed.saturating_add(NOTICE_BLOCKS)
    }

    /// The term of a height, where it is certain.
    pub fn at(&self, height: u64) -> Option<&Term> {
        let term = self.committee.at(height);
        (term.first <= height && height <= self.horizon()).then_some(term)
    }

    /// The terms that are certain, the earlier one first.
    pub fn certain(&self) -> impl Iterator<Item = &Term> {
        let next = self.committee.next.as_ref().map(|next| &next.term);
        let certain = next.filter(|next| next.first <= self.horizon());
        std::iter::once(&self.committee.running).chain(certain)
    }
}

/// The ledger under the engine. All calls come from the engine's own threads.
///
/// `propose` and `verify` are dropped at any await when consensus leaves the view that asked
/// (time-out, a certificate seen first, shutdown), so they must be cancellation-safe. They are
/// called on parents that are not final yet. All blocks that come back here are bytes that
/// `describe` accepted.
pub trait Chain: Clone + Send + Sync + 'static {
    /// Reads the facts of an encoded block, `None` if the bytes are not a block.
    ///
    /// The bytes come from other validators and from disk. Accept canonical encodings only, and
    /// only bodies that the header commits to: two byte strings with one digest would let a
    /// proposer show different blocks under a single certificate.
    fn describe(block: &[u8]) -> Option<BlockInfo>;

    /// The bytes of block 0. Every validator of a network must return the same ones for ever.
    fn genesis(&self) -> Vec<u8>;

    /// Builds a block on `parent`. `before` are the blocks below it that are not executed here, as far
    /// as they are at hand, newest first: this node may never have been asked to verify them.
    ///
    /// May wait (pacing, heartbeats): the view ends after the leader time-out of
    /// [`Timeouts`](super::Timeouts), the call is dropped, and the next leader is asked. So a
    /// block is worth returning only well before that time. `None` means "nothing now": the
    /// engine asks again after a pause for as long as the view lasts.
    fn propose(
        &self,
        parent: &[u8],
        before: &[&[u8]],
    ) -> impl Future<Output = Option<Vec<u8>>> + Send;

    /// Is `block` a valid child of `parent`? Parent digest and height are already checked.
    ///
    /// `false` is for ever: validators who answer differently stall the network. What may still
    /// become valid (a time slightly ahead of this clock, state not there yet) must be awaited.
    fn verify(&self, parent: &[u8], block: &[u8]) -> impl Future<Output = bool> + Send;

    /// `block` is final. Called in height order from 1 without gaps; the next call comes after
    /// this one returned, which promises that its effects are durable.
    ///
    /// After a crash or a restart the last blocks come again, even some whose call returned, so
    /// a known height must be accepted silently. `certificate` is the encoded finality
    /// certificate of this very block. It is missing when the block became final through a
    /// descendant's certificate.
    ///
    /// Runs beside consensus on few threads: move long work to a blocking thread.
    fn finalised(
        &self,
        height: u64,
        block: Vec<u8>,
        certificate: Option<Vec<u8>>,
    ) -> impl Future<Output = ()> + Send;

    /// Who orders the next blocks. After [`finalised`](Self::finalised) has returned it speaks of that
    /// height.
    fn terms(&self) -> KnownTerms;

    /// The next message for all other validators, once there is one; at most
    /// [`crate::gossip::MAX_MESSAGE_BYTES`]. It may be lost.
    fn outgoing(&self) -> impl Future<Output = Vec<u8>> + Send {
        std::future::pending()
    }

    /// Another validator's message, in any bytes. `false`: no validator that keeps to the rules
    /// sends that.
    fn heard(&self, message: Vec<u8>) -> impl Future<Output = bool> + Send {
        let _unread = message;
        std::future::ready(true)
    }
}
