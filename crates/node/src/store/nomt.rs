//! The state on disk: NOMT with the network's hash function and the key index beside it.
//!
//! One commit is: work out the root, write height, root and key set to the index, commit NOMT.
//! What a crash between the two leaves, [`super::index`] explains and repairs at the next opening.
//!
//! NOMT poisons itself when a commit fails (a full disk, most likely), and some of its paths
//! panic instead. Both end here: the engine is dropped, the caller gets an error, and the next
//! call opens and repairs the state as after a crash.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use ::nomt::hasher::{BinaryHash, BinaryHasher, Sha2Hasher};
use ::nomt::proof::{PathProof, PathProofTerminal};
use ::nomt::{HashAlgorithm, KeyReadWrite, Nomt, Options, Session, SessionParams};
use realdid_core::hash::HashFunction;
use realdid_core::trie::{
    Bucket, EMPTY, Entry, Key, Leaf, MAX_BUCKET_ENTRIES, Prefix, Proof, Root, Terminal,
    verify_bucket,
};

use super::index::{Committed, Index};
use super::{Change, Proved, ProvedBucket, StateStore, StoreError, is_full};

/// The hash table is made larger before more than this share of its buckets could be used, in
/// per cent.
const GROW_ABOVE_PERCENT: u64 = 70;
/// How many buckets a new key may take. NOMT stores a page of six levels only where 20 keys or
/// more lie below it, so a state takes far less than one bucket a key, even where someone has
/// searched for keys that lie deep.
const BUCKETS_A_KEY: u64 = 2;
const BUCKETS_A_COMMIT: u64 = 16;

/// How long an engine's directory lock is waited for: five seconds.
const LOCK_TRIES: usize = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// NOMT has no type for this error, only words.
const LOCKED: &str = "Failed to lock directory";

/// Sizes. The defaults suit a laptop; a replica of a nation wants a gigabyte for each cache and a
/// table made large at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NomtOptions {
    /// Buckets of 4 KiB when the state is created, rounded up to a power of two; the table grows
    /// by itself. A million keys take about 30 000.
    pub hashtable_buckets: u32,
    /// Whether to take the table's disk space at creation. Faster later, but 4 KiB a bucket now.
    pub preallocate: bool,
    pub page_cache_mib: usize,
    pub leaf_cache_mib: usize,
    pub index_cache_mib: usize,
    /// io_uring instances, one thread each.
    pub io_workers: usize,
    /// The widest bucket that is served, at most [`MAX_BUCKET_ENTRIES`].
    pub max_bucket_entries: usize,
}

impl Default for NomtOptions {
    fn default() -> Self {
        Self {
            hashtable_buckets: 16_384,
            preallocate: false,
            page_cache_mib: 32,
            leaf_cache_mib: 32,
            index_cache_mib: 16,
            io_workers: 1,
            max_bucket_entries: MAX_BUCKET_ENTRIES,
        }
    }
}

/// Why this machine cannot run NOMT, which panics where io_uring is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IoUringProblem {
    #[error("the state store needs Linux 6.0 or newer for io_uring: update the kernel")]
    KernelTooOld,
    #[error("io_uring is switched off: run `sysctl kernel.io_uring_disabled=0`")]
    Disabled,
    #[error(
        "io_uring is forbidden to this process: allow io_uring_setup, io_uring_enter and \
         io_uring_register in the container's seccomp profile"
    )]
    Denied,
}

/// A hash function as NOMT takes it.
pub trait Hashing: HashAlgorithm + Send + Sync + 'static {
    /// The same function as the rest of the node knows it.
    const FUNCTION: HashFunction;
}

impl Hashing for Sha2Hasher {
    const FUNCTION: HashFunction = HashFunction::Sha256;
}

/// SM3 for NOMT.
pub struct Sm3;

impl BinaryHash for Sm3 {
    fn hash(input: &[u8]) -> [u8; 32] {
        HashFunction::Sm3.digest(&[input])
    }
}

impl Hashing for BinaryHasher<Sm3> {
    const FUNCTION: HashFunction = HashFunction::Sm3;
}

/// The state of a network with SHA-256.
pub type NomtStore = HashedStore<Sha2Hasher>;
/// The state of a network with SM3.
pub type NomtSm3Store = HashedStore<BinaryHasher<Sm3>>;

/// The state in a directory of its own. See [`StateStore`].
pub struct HashedStore<H: Hashing> {
    directory: PathBuf,
    options: NomtOptions,
    index: Index,
    state: RwLock<State<H>>,
}

struct State<H: Hashing> {
    /// `None` after a failed commit, until the next call.
    engine: Option<Nomt<H>>,
    committed: Option<Committed>,
}

impl<H: Hashing> HashedStore<H> {
    /// Opens the state in `directory`, or creates it, and repairs what a crash has left.
    pub fn open(directory: &Path, options: NomtOptions) -> Result<Self, StoreError> {
        check_io_uring().map_err(StoreError::IoUring)?;
        fs::create_dir_all(directory)?;
        let index = Index::open(
            &directory.join("index.redb"),
            options.index_cache_mib.max(1) << 20,
        )?;
        Self::with_index(directory, options, index)
    }

    pub(super) fn with_index(
        directory: &Path,
        options: NomtOptions,
        index: Index,
    ) -> Result<Self, StoreError> {
        let store = Self {
            directory: directory.to_path_buf(),
            options,
            index,
            state: RwLock::new(State {
                engine: None,
                committed: None,
            }),
        };
        store.reopen(&mut store.write_lock(), 0)?;
        Ok(store)
    }

    /// Removes a state that no longer opens. The block log makes it again.
    pub fn discard(directory: &Path) -> io::Result<()> {
        for name in ["nomt", "nomt.new"] {
            absent_is_fine(fs::remove_dir_all(directory.join(name)))?;
        }
        absent_is_fine(fs::remove_file(directory.join("index.redb")))
    }

    /// The share of the hash table in use, 0 to 1, for the node's metrics.
    pub fn table_use(&self) -> Result<f64, StoreError> {
        self.with_engine(|engine, _| {
            let buckets = engine.hash_table_utilization().capacity;
            Ok(self.used_buckets(buckets)? as f64 / buckets as f64)
        })
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, State<H>> {
        // What a panic can leave behind this lock is a state without an engine, which is valid.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, State<H>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read beside other reads, while nothing commits.
    fn with_engine<T>(
        &self,
        f: impl FnOnce(&Nomt<H>, Option<Committed>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let state = self.read_lock();
            if let Some(engine) = &state.engine {
                return f(engine, state.committed);
            }
            drop(state);
            let mut state = self.write_lock();
            if state.engine.is_none() {
                self.reopen(&mut state, 0)?;
            }
        }
    }

    /// Opens the engine with room for `new_keys`, and brings the index in line with it.
    fn reopen(&self, state: &mut State<H>, new_keys: usize) -> Result<(), StoreError> {
        state.engine = None;
        let path = self.directory.join("nomt");
        if !path.exists() {
            // NOMT takes any directory with a file in it for a whole one. So a crash in the
            // middle of creating it must leave another name.
            let new = self.directory.join("nomt.new");
            absent_is_fine(fs::remove_dir_all(&new))?;
            drop(self.open_engine(&new)?);
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()?;
        }
        let mut engine = self.open_engine(&path)?;
        if let Some(buckets) = self.wanted_buckets(&engine, new_keys)? {
            drop(engine);
            let mut options = self.nomt_options(&path);
            options.hashtable_buckets(buckets);
            ::nomt::grow_hashtable(&options).map_err(engine_error)?;
            engine = self.open_engine(&path)?;
        }
        state.committed = self.index.reconcile(engine.root().into_inner())?;
        state.engine = Some(engine);
        Ok(())
    }

    /// How large the hash table must become before `new_keys` are committed, if at all.
    ///
    /// This is no matter of speed. NOMT looks for a bucket until it meets an empty one, and a
    /// deleted page leaves its bucket marked, not empty: with none empty left, reads and commits
    /// never end. (A lookup steps by triangular numbers, which reach every bucket of a power of
    /// two only; hence the sizes.) Growing also clears the marks.
    fn wanted_buckets(&self, engine: &Nomt<H>, new_keys: usize) -> Result<Option<u32>, StoreError> {
        let buckets = engine.hash_table_utilization().capacity;
        let coming = BUCKETS_A_KEY * new_keys as u64 + BUCKETS_A_COMMIT;
        let fits = |used: u64, buckets: u64| used * 100 <= buckets * GROW_ABOVE_PERCENT;
        if fits(self.used_buckets(buckets)? + coming, buckets as u64) {
            return Ok(None);
        }
        let kept = engine.hash_table_utilization().occupied as u64;
        let mut wanted = (buckets as u64 * 2).next_power_of_two();
        while !fits(kept + coming, wanted) {
            wanted *= 2;
        }
        let wanted = u32::try_from(wanted);
        let too_large = |_| StoreError::Engine("the hash table cannot grow any more".into());
        wanted.map(Some).map_err(too_large)
    }

    /// The buckets that are not empty, those of deleted pages included. NOMT counts without them,
    /// so this reads the table's own marks: the first byte a bucket of the file, zero if empty.
    fn used_buckets(&self, buckets: usize) -> Result<u64, StoreError> {
        let file = File::open(self.directory.join("nomt").join("ht"))?;
        let mut marks = BufReader::new(file.take(buckets as u64));
        let mut used = 0;
        loop {
            let read = marks.fill_buf()?;
            if read.is_empty() {
                return Ok(used);
            }
            used += read.iter().filter(|mark| **mark != 0).count() as u64;
            let length = read.len();
            marks.consume(length);
        }
    }

    fn open_engine(&self, path: &Path) -> Result<Nomt<H>, StoreError> {
        let mut tries = LOCK_TRIES;
        loop {
            match Nomt::open(self.nomt_options(path)) {
                Ok(engine) => return Ok(engine),
                Err(error) if error.to_string().starts_with(LOCKED) => {
                    // An engine that was just dropped lets go when its last thread ends.
                    if tries == 0 {
                        return Err(StoreError::InUse);
                    }
                    tries -= 1;
                    thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(engine_error(error)),
            }
        }
    }

    fn nomt_options(&self, path: &Path) -> Options {
        let mut options = Options::new();
        options.path(path);
        let buckets = self.options.hashtable_buckets.max(64);
        options.hashtable_buckets(buckets.checked_next_power_of_two().unwrap_or(1 << 31));
        options.preallocate_ht(self.options.preallocate);
        options.page_cache_size(self.options.page_cache_mib);
        options.leaf_cache_size(self.options.leaf_cache_mib);
        options.io_workers(self.options.io_workers.max(1));
        options.commit_concurrency(1);
        options
    }

    /// Commits changes that are in order and not without effect. On failure the engine is gone,
    /// since NOMT cannot go on after one.
    fn commit_effective(
        &self,
        state: &mut State<H>,
        height: u64,
        changes: &[Change],
    ) -> Result<Root, StoreError> {
        let before = state.committed;
        let keys: Vec<_> = changes.iter().map(|(k, v)| (*k, v.is_some())).collect();
        let Some(engine) = state.engine.take() else {
            return Err(StoreError::Engine("the state engine is not open".into()));
        };
        let root = if changes.is_empty() {
            let root = before.map_or(EMPTY, |committed| committed.root);
            self.index
                .stage(before, Committed { height, root }, &keys)?;
            root
        } else {
            let writes = changes.iter();
            let writes = writes.map(|(key, value)| (*key, KeyReadWrite::Write(value.clone())));
            let session = engine.begin_session(SessionParams::default());
            let finished = unpanicked(|| session.finish(writes.collect()))?;
            let root = finished.root().into_inner();
            self.index
                .stage(before, Committed { height, root }, &keys)?;
            unpanicked(|| finished.commit(&engine))?;
            root
        };
        state.committed = Some(Committed { height, root });
        state.engine = Some(engine);
        Ok(root)
    }

    /// The changes in the order of their keys, without deletions of what is not there.
    fn effective(&self, changes: &[Change]) -> Result<Vec<Change>, StoreError> {
        let mut sorted: Vec<&Change> = changes.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(StoreError::DuplicateKey);
        }
        let mut effective = Vec::with_capacity(sorted.len());
        for change in sorted {
            if change.1.is_some() || self.index.contains(&change.0)? {
                effective.push(change.clone());
            }
        }
        Ok(effective)
    }
}

impl<H: Hashing> StateStore for HashedStore<H> {
    fn root(&self) -> Root {
        let committed = self.read_lock().committed;
        committed.map_or(EMPTY, |committed| committed.root)
    }

    fn committed_height(&self) -> Option<u64> {
        self.read_lock().committed.map(|committed| committed.height)
    }

    fn root_at(&self, height: u64) -> Result<Option<Root>, StoreError> {
        // With the engine open, so that a commit which failed half-way is not seen.
        self.with_engine(|_, _| self.index.root_at(height))
    }

    fn commit(&self, height: u64, changes: &[Change]) -> Result<Root, StoreError> {
        let mut state = self.write_lock();
        if state.engine.is_none() {
            self.reopen(&mut state, 0)?;
        }
        if let Some(committed) = state.committed
            && height <= committed.height
        {
            return Err(StoreError::HeightOrder {
                committed: committed.height,
                got: height,
            });
        }
        let changes = self.effective(changes)?;
        if let Some(engine) = &state.engine
            && self.wanted_buckets(engine, changes.len())?.is_some()
        {
            self.reopen(&mut state, changes.len())?;
        }
        self.commit_effective(&mut state, height, &changes)
    }

    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_engine(|engine, _| read(&engine.begin_session(SessionParams::default()), key))
    }

    fn prove(&self, key: &Key) -> Result<Proved, StoreError> {
        self.with_engine(|engine, committed| {
            let session = engine.begin_session(SessionParams::default());
            Ok(Proved {
                root: committed.map_or(EMPTY, |committed| committed.root),
                height: committed.map_or(0, |committed| committed.height),
                value: read(&session, key)?,
                proof: our_proof(session.prove(*key).map_err(engine_error)?),
            })
        })
    }

    fn bucket(&self, prefix: &Prefix) -> Result<ProvedBucket, StoreError> {
        self.with_engine(|engine, committed| {
            let limit = self.options.max_bucket_entries.min(MAX_BUCKET_ENTRIES);
            let keys = self.index.keys(prefix, None, limit + 1)?;
            if keys.len() > limit {
                return Err(StoreError::BucketTooWide { limit });
            }
            let session = engine.begin_session(SessionParams::default());
            let path = our_proof(session.prove(*prefix.path()).map_err(engine_error)?);
            let bucket = bucket(&session, prefix, &keys, path)?;
            let root = committed.map_or(EMPTY, |committed| committed.root);
            // Two stores had to agree for this to be true. Checking costs two hashes an entry,
            // less than reading it; an index gone wrong must not turn into a lie that is served.
            verify_bucket(H::FUNCTION, &root, prefix, &bucket).map_err(|_| StoreError::Diverged)?;
            Ok(ProvedBucket {
                root,
                height: committed.map_or(0, |committed| committed.height),
                bucket,
            })
        })
    }

    fn family(
        &self,
        family: u8,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.with_engine(|engine, _| {
            let prefix = Prefix::in_family(family, &[], 0).map_err(|_| StoreError::Diverged)?;
            let keys = self.index.keys(&prefix, after, limit)?;
            entries(&engine.begin_session(SessionParams::default()), &keys)
        })
    }
}

/// A bucket from its keys and the path of its prefix, on which NOMT walks as far as there is one.
fn bucket<H: Hashing>(
    session: &Session<H>,
    prefix: &Prefix,
    keys: &[Key],
    path: Proof,
) -> Result<Bucket, StoreError> {
    let Proof {
        mut siblings,
        terminal,
    } = path;
    siblings.truncate(prefix.bits());
    let other = match terminal {
        Terminal::Leaf { key, value_hash } if keys.is_empty() => Some(Leaf { key, value_hash }),
        _ => None,
    };
    Ok(Bucket {
        siblings,
        entries: entries(session, keys)?,
        other,
    })
}

fn entries<H: Hashing>(session: &Session<H>, keys: &[Key]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        entries.push(Entry {
            key: *key,
            value: read(session, key)?.ok_or(StoreError::Diverged)?,
        });
    }
    Ok(entries)
}

fn read<H: Hashing>(session: &Session<H>, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
    session.read(*key).map_err(engine_error)
}

pub(super) fn our_proof(proof: PathProof) -> Proof {
    Proof {
        siblings: proof.siblings,
        terminal: match proof.terminal {
            PathProofTerminal::Leaf(leaf) => Terminal::Leaf {
                key: leaf.key_path,
                value_hash: leaf.value_hash,
            },
            PathProofTerminal::Terminator(_) => Terminal::Empty,
        },
    }
}

/// Whether this machine can run NOMT. It opens its rings in threads, where a failure is a panic.
#[cfg(target_os = "linux")]
fn check_io_uring() -> Result<(), IoUringProblem> {
    use ::nomt::{IoUringPermission, check_iou_permissions};

    let kernel = |name: &str| fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok();
    // First the kernel's own words: NOMT's check takes a kernel that knows no io_uring for one
    // that permits it.
    if kernel("osrelease").is_some_and(|release| !release_has_io_uring(&release)) {
        return Err(IoUringProblem::KernelTooOld);
    }
    match check_iou_permissions() {
        IoUringPermission::Allowed => Ok(()),
        IoUringPermission::NotSupported => Err(IoUringProblem::KernelTooOld),
        IoUringPermission::Denied => match kernel("io_uring_disabled") {
            Some(level) if level.trim() != "0" => Err(IoUringProblem::Disabled),
            _ => Err(IoUringProblem::Denied),
        },
    }
}

/// Elsewhere NOMT uses plain threads.
#[cfg(not(target_os = "linux"))]
fn check_io_uring() -> Result<(), IoUringProblem> {
    Ok(())
}

/// NOMT's rings need IORING_SETUP_SINGLE_ISSUER, new in Linux 6.0. An unreadable release passes:
/// the second check decides then.
fn release_has_io_uring(release: &str) -> bool {
    let major = release.split('.').next().unwrap_or_default().parse::<u32>();
    major.map_or(true, |major| major >= 6)
}

/// Runs a step of NOMT's and turns its panic into an error.
fn unpanicked<T, E: NomtError>(step: impl FnOnce() -> Result<T, E>) -> Result<T, StoreError> {
    // Whatever a panic leaves inconsistent is inside the engine, and the engine is dropped.
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(engine_error),
        Err(_) => Err(StoreError::Engine("the state engine panicked".into())),
    }
}

/// The bounds of NOMT's error type, which is of a crate that we need for nothing else.
trait NomtError: Deref<Target = dyn Error + Send + Sync> + Into<Box<dyn Error + Send + Sync>> {}

impl<E> NomtError for E where
    E: Deref<Target = dyn Error + Send + Sync> + Into<Box<dyn Error + Send + Sync>>
{
}

fn engine_error(error: impl NomtError) -> StoreError {
    let full = causes(&*error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(is_full);
    if full {
        StoreError::DiskFull
    } else {
        StoreError::Engine(error.into())
    }
}

/// An error, and what it says it comes from.
fn causes<'a>(
    error: &'a (dyn Error + Send + Sync + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: &'a (dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
