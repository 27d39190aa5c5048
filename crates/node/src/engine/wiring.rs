//! Puts the library's parts together for one validator, over any runtime and any network.
//!
//! simplex orders digests; a buffered broadcast carries blocks to the committee; marshal keeps
//! finalised blocks and certificates on disk, fetches missing ones from peers by height, and
//! delivers them in order. The same function serves the real node (tokio, authenticated TCP) and
//! the seeded simulator.
//!
//! One store of blocks for all terms, and one engine of votes after another: `voting`.

use super::{
    Timeouts,
    adapter::delivery,
    block::{Block, BlockRules},
    chain::Chain,
    committee::{CommitteeError, Scheme, Shares, identity},
    gossip,
    terms::Terms,
    voting::{Voter, divide},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    marshal::{self, Start, core::Actor as Marshal, resolver::p2p as backfill, standard::Standard},
    simplex::{self, types::Finalization},
    types::ViewDelta,
};
use commonware_cryptography::{Digested, Signer as _, ed25519::PublicKey, sha256::Digest};
use commonware_p2p::{Blocker, Provider, Receiver, Sender, utils::mux::prefixed};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle, Metrics, Quota, Spawner, Storage, buffer::paged::CacheRef,
};
use commonware_storage::archive::immutable;
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize};
use rand_core::CryptoRng;
use realdid_core::hash::HashFunction;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

/// Views behind the last final one that are kept for slow peers.
pub(super) const VIEW_RETENTION: ViewDelta = ViewDelta::new(256);
/// The same for blocks and certificates that are not final.
const STORE_RETENTION: ViewDelta = ViewDelta::new(1024);

pub(super) const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Blocks a peer may have in the broadcast buffer.
const BROADCAST_DEPTH: usize = 8;
/// Heights fetched at a time when catching up; above the backfill burst it would only be refused.
const FETCH_AHEAD: NonZeroUsize = NZUsize!(16);
/// Final blocks handed to the chain before it acknowledged the first of them.
const UNACKNOWLEDGED: NonZeroUsize = NZUsize!(16);

// On-disk layout. The section sizes must never change while stores live.
const TEMPORARY_SECTION: NonZeroU64 = NZU64!(4096);
const ARCHIVE_SECTION: NonZeroU64 = NZU64!(65_536);
const TABLE_INITIAL: u32 = 65_536;
const TABLE_GROWTH_FREQUENCY: u8 = 4;
const TABLE_GROWTH_CHUNK: u32 = 16_384;
const VALUE_FILE_BYTES: u64 = 1 << 30;
// Keys, signatures and hashes hardly shrink, and each block would wait for the attempt.
const VALUE_COMPRESSION: Option<u8> = None;
pub(super) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
pub(super) const WRITE_BUFFER: NonZeroUsize = NZUsize!(1 << 18);
const CACHE_PAGES: NonZeroUsize = NZUsize!(4096);

/// The six flows between validators. Inbound mailboxes grow with peers × burst × message size,
/// so bursts are small, above all where a message holds a whole block.
pub mod channel {
    use super::*;

    pub const VOTES: u64 = 0;
    pub const CERTIFICATES: u64 = 1;
    pub const CERTIFICATE_FETCH: u64 = 2;
    pub const BLOCKS: u64 = 3;
    pub const BLOCK_FETCH: u64 = 4;
    pub const OPERATIONS: u64 = 5;

    /// Messages a second and burst that one peer may send on a channel.
    pub fn quota(channel: u64) -> Quota {
        match channel {
            VOTES => Quota::per_second(NZU32!(256)),
            CERTIFICATES => Quota::per_second(NZU32!(128)),
            CERTIFICATE_FETCH => Quota::per_second(NZU32!(64)),
            OPERATIONS => Quota::per_second(NZU32!(64)).allow_burst(NZU32!(16)),
            BLOCKS => Quota::per_second(NZU32!(32)).allow_burst(NZU32!(8)),
            _ => Quota::per_second(NZU32!(64)).allow_burst(NZU32!(16)),
        }
    }
}

/// The registered channels, in the order of [`channel`].
pub struct Channels<S, R> {
    pub votes: (S, R),
    pub certificates: (S, R),
    pub certificate_fetch: (S, R),
    pub blocks: (S, R),
    pub block_fetch: (S, R),
    pub operations: (S, R),
}

/// What one validator is made of.
pub struct Parts<C, P, B, S, R> {
    /// Begins the names of this validator's stores. Must never change while they live.
    pub store_prefix: String,
    pub chain: C,
    /// Separates this network's votes from those of all others.
    pub namespace: Vec<u8>,
    /// The network's hash function.
    pub hash_function: HashFunction,
    /// Ed25519 seed of this validator's identity. Secret.
    pub identity_seed: [u8; 32],
    pub shares: Arc<dyn Shares>,
    pub genesis: Block,
    pub rules: BlockRules,
    pub timeouts: Timeouts,
    /// Tells who the current peers are.
    pub peers: P,
    /// Disconnects peers that send what no honest validator sends.
    pub blocker: B,
    pub channels: Channels<S, R>,
}

/// The largest message that any channel carries, in bytes.
pub fn max_message_bytes(validators: u32, rules: &BlockRules) -> usize {
    let consensus = simplex::max_payload_size::<Scheme, Digest>(validators);
    let blocks = marshal::max_payload_size::<Standard<Block>, Scheme>(validators, rules);
    // Votes and certificates carry the number of their term.
    prefixed(consensus).max(blocks)
}

/// Why the parts were not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk, or a directory of something else.
    #[error("the engine's store cannot be opened: {0}")]
    Store(#[from] commonware_storage::archive::Error),
    #[error(transparent)]
    Committee(#[from] CommitteeError),
}

/// Starts all parts. Each handle runs until the runtime stops; one that ends earlier has failed.
pub async fn start<E, C, P, B, S, R>(
    context: E,
    parts: Parts<C, P, B, S, R>,
) -> Result<Vec<Handle<()>>, StartError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    C: Chain,
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let Parts {
        store_prefix,
        chain,
        namespace,
        hash_function,
        identity_seed,
        shares,
        genesis,
        rules,
        timeouts,
        peers,
        blocker,
        channels,
    } = parts;
    let me = identity(&identity_seed)?.public_key();
    let terms = Terms::new(&namespace, &chain.terms())?;
    let genesis_digest = Digest(genesis.info().digest);
    let pages = CacheRef::new(NZU16!(4096), CACHE_PAGES);

    let certificates: immutable::Archive<E, Digest, Finalization<Scheme, Digest>> = open(
        context.child("certificates"),
        &format!("{store_prefix}-certificates"),
        (),
        &pages,
    )
    .await?;
    let blocks = open(
        context.child("blocks"),
        &format!("{store_prefix}-blocks"),
        rules,
        &pages,
    )
    .await?;

    let (store, mailbox, _) = Marshal::init(
        context.child("marshal"),
        certificates,
        blocks,
        marshal::Config {
            provider: terms.clone(),
            epocher: terms.clone(),
            start: Start::Genesis(Digested::precomputed(genesis, genesis_digest)),
            partition_prefix: format!("{store_prefix}-marshal"),
            mailbox_size: MAILBOX,
            view_retention: STORE_RETENTION,
            prunable_items_per_section: TEMPORARY_SECTION,
            page_cache: pages.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: rules,
            max_repair: FETCH_AHEAD,
            max_pending_acks: UNACKNOWLEDGED,
            strategy: Sequential,
        },
    )
    .await;

    let (broadcast, broadcast_mailbox) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: MAILBOX,
            deque_size: BROADCAST_DEPTH,
            priority: true,
            codec_config: rules,
            peer_provider: peers.clone(),
            strategy: Sequential,
        },
    );
    let fetch = backfill::init(
        context.child("block_fetch"),
        backfill::Config {
            public_key: me.clone(),
            peer_provider: peers.clone(),
            blocker: blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: timeouts.fetch,
            fetch_retry_delay: timeouts.fetch.get() / 4,
            priority_requests: false,
            priority_responses: false,
        },
        channels.block_fetch,
    );

    let (telling, heard) = (chain.clone(), blocker.clone());
    let (dividing_votes, votes, other_votes) = divide(context.child("votes"), channels.votes);
    let (dividing_certificates, certificates, other_certificates) =
        divide(context.child("certificates_by_term"), channels.certificates);
    let (dividing_fetch, certificate_fetch, _) = divide(
        context.child("certificate_fetch"),
        channels.certificate_fetch,
    );
    let voter = Voter {
        context: context.child("voting"),
        store_prefix,
        chain: chain.clone(),
        rules,
        namespace,
        hash_function,
        identity_seed,
        me,
        shares,
        terms: terms.clone(),
        timeouts,
        peers,
        blocker,
        blocks: mailbox.clone(),
        pages,
        votes,
        certificates,
        certificate_fetch,
    };

    // Receivers before senders: the chain's end first, consensus last.
    let (delivery, deliveries) = delivery();
    let delivering = context
        .child("delivery")
        .spawn(move |context| deliveries.run(context, chain, mailbox, terms));
    let broadcasting = broadcast.start(channels.blocks);
    let storing = store.start(delivery, broadcast_mailbox, fetch);
    let ordering = context
        .child("terms")
        .spawn(move |_| voter.run(other_votes, other_certificates));
    let gossiping = context
        .child("gossip")
        .spawn(move |context| gossip::run(context, telling, heard, channels.operations));
    Ok(vec![
        delivering,
        broadcasting,
        storing,
        ordering,
        gossiping,
        dividing_votes,
        dividing_certificates,
        dividing_fetch,
    ])
}

async fn open<E, V>(
    context: E,
    name: &str,
    codec_config: V::Cfg,
    pages: &CacheRef,
) -> Result<immutable::Archive<E, Digest, V>, StartError>
where
    E: Clock + Storage + Metrics,
    V: commonware_codec::CodecShared,
{
    let part = |what: &str| format!("{name}-{what}");
    let archive = immutable::Archive::init(
        context,
        immutable::Config {
            metadata_partition: part("metadata"),
            freezer_table_partition: part("table"),
            freezer_table_initial_size: TABLE_INITIAL,
            freezer_table_resize_frequency: TABLE_GROWTH_FREQUENCY,
            freezer_table_resize_chunk_size: TABLE_GROWTH_CHUNK,
            freezer_key_partition: part("keys"),
            freezer_key_page_cache: pages.clone(),
            freezer_value_partition: part("values"),
            freezer_value_target_size: VALUE_FILE_BYTES,
            freezer_value_compression: VALUE_COMPRESSION,
            ordinal_partition: part("heights"),
            items_per_section: ARCHIVE_SECTION,
            freezer_key_write_buffer: WRITE_BUFFER,
            freezer_value_write_buffer: WRITE_BUFFER,
            ordinal_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
            codec_config,
        },
    )
    .await?;
    Ok(archive)
}
