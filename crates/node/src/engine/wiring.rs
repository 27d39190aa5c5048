//! Puts the library's parts together for one validator, over any runtime and any network.
//!
//! simplex orders digests; a buffered broadcast carries blocks to the committee; marshal keeps
//! finalised blocks and certificates on disk, fetches missing ones from peers by height, and
//! delivers them in order. The same function serves the real node (tokio, authenticated TCP) and
//! the seeded simulator.
//!
//! One epoch for ever: the committee does not change yet.

use super::{
    Timeouts,
    adapter::{Adapter, delivery},
    block::{Block, BlockRules},
    chain::Chain,
    committee::{Committee, Scheme},
    gossip,
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    marshal::{
        self, Start,
        core::Actor as Marshal,
        resolver::p2p as backfill,
        standard::{Inline, Standard},
    },
    simplex::{
        self, Floor,
        config::{ForwardPolicy, SkipBudget, SkipPolicy},
        elector::RoundRobin,
        types::Finalization,
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Digested, Signer as _,
    certificate::ConstantProvider,
    ed25519::PublicKey,
    sha256::{Digest, Sha256},
};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle, Metrics, Quota, Spawner, Storage, buffer::paged::CacheRef,
};
use commonware_storage::archive::immutable;
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize};
use rand_core::CryptoRng;
use std::num::{NonZeroU64, NonZeroUsize};

const EPOCH: Epoch = Epoch::zero();

/// Views behind the last final one that are kept for slow peers.
const VIEW_RETENTION: ViewDelta = ViewDelta::new(256);
/// The same for blocks and certificates that are not final.
const STORE_RETENTION: ViewDelta = ViewDelta::new(1024);

const MAILBOX: NonZeroUsize = NZUsize!(1024);
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
const VALUE_COMPRESSION: Option<u8> = Some(3);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(1 << 18);
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
    pub committee: Committee,
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
    consensus.max(blocks)
}

/// A store could not be opened: the disk, or a directory of something else.
#[derive(Debug, thiserror::Error)]
#[error("the engine's store cannot be opened: {0}")]
pub struct StoreError(#[from] commonware_storage::archive::Error);

/// Starts all parts. Each handle runs until the runtime stops; one that ends earlier has failed.
pub async fn start<E, C, P, B, S, R>(
    context: E,
    parts: Parts<C, P, B, S, R>,
) -> Result<Vec<Handle<()>>, StoreError>
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
        committee,
        genesis,
        rules,
        timeouts,
        peers,
        blocker,
        channels,
    } = parts;
    let me = committee.identity.public_key();
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

    let epochs = FixedEpocher::new(NonZeroU64::MAX);
    let (store, mailbox, _) = Marshal::init(
        context.child("marshal"),
        certificates,
        blocks,
        marshal::Config {
            provider: ConstantProvider::new(committee.scheme.clone()),
            epocher: epochs.clone(),
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
            public_key: me,
            peer_provider: peers,
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
    let automaton = Inline::new(
        context.child("application"),
        Adapter {
            chain: chain.clone(),
            rules,
        },
        mailbox.clone(),
        epochs,
    );
    let consensus = simplex::Engine::new(
        context.child("consensus"),
        simplex::Config {
            scheme: committee.scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker,
            automaton: automaton.clone(),
            relay: automaton.clone(),
            reporter: automaton,
            track_historical_votes: false,
            strategy: Sequential,
            partition: format!("{store_prefix}-consensus"),
            mailbox_size: MAILBOX,
            epoch: EPOCH,
            floor: Floor::Genesis(genesis_digest),
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache: pages,
            leader_timeout: timeouts.leader,
            certification_timeout: timeouts.certification,
            timeout_retry: timeouts.retry,
            view_retention: VIEW_RETENTION,
            skip: SkipPolicy::Enabled {
                timeout: timeouts.skip,
                budget: SkipBudget::Participants,
            },
            fetch_timeout: timeouts.fetch,
            fetch_retry_delay: timeouts.fetch.get() / 4,
            forward: ForwardPolicy::Disabled,
        },
    );

    // Receivers before senders: the chain's end first, consensus last.
    let (delivery, deliveries) = delivery();
    let delivering = context
        .child("delivery")
        .spawn(move |context| deliveries.run(context, chain, mailbox));
    let broadcasting = broadcast.start(channels.blocks);
    let storing = store.start(delivery, broadcast_mailbox, fetch);
    let ordering = consensus.start(
        channels.votes,
        channels.certificates,
        channels.certificate_fetch,
    );
    let gossiping = context
        .child("gossip")
        .spawn(move |context| gossip::run(context, telling, heard, channels.operations));
    Ok(vec![delivering, broadcasting, storing, ordering, gossiping])
}

async fn open<E, V>(
    context: E,
    name: &str,
    codec_config: V::Cfg,
    pages: &CacheRef,
) -> Result<immutable::Archive<E, Digest, V>, StoreError>
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
