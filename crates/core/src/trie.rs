//! The rules of the state trie: how a root is made, and how little it takes to check one answer
//! against it (spec/proofs.md, rules T1 to T7).
//!
//! The state of a network is a map from 32-byte keys to byte strings. Its root is that of a
//! binary Merkle trie with the network's hash function H, SHA-256 or SM3, the same trie that NOMT
//! keeps on disk:
//!
//! - **T1** an empty subtree is 32 zero bytes;
//! - **T2** a subtree with one key is its leaf, H(key ‖ H(value)), first bit set to 1;
//! - **T3** any other subtree is H(left ‖ right), first bit set to 0, where the key's next
//!   bit (most significant first) says which side a key is on.
//!
//! So a leaf stands as high as it can, a leaf is never mistaken for an inner node, and one map
//! has exactly one root. A light client uses two functions: [`verify`] for one key, present or
//! absent, and [`verify_bucket`] for *all* keys that begin with the same bits, which hides from
//! the server which of them was wanted. From a verified bucket the client makes the proof of one
//! of its keys itself ([`Bucket::proof`]), to staple it.
//!
//! Nothing here stores anything; [`subtree_root`] rebuilds a subtree from its sorted leaves.

use crate::hash::HashFunction;
use minicbor::{Decode, Encode};

/// A state key: the family byte, then a hash of what the record is about.
pub type Key = [u8; 32];
/// The root of a whole trie.
pub type Root = [u8; 32];
/// A node of the trie: a root of some subtree.
pub type Node = [u8; 32];
/// The hash of a value.
pub type ValueHash = [u8; 32];
/// A key and the hash of its value: all of an entry that the trie needs.
pub type KeyHash = (Key, ValueHash);

/// T1: the root of a subtree without keys.
pub const EMPTY: Node = [0; 32];
/// Bits in a key, and so the longest path.
pub const MAX_BITS: usize = 256;
/// The most entries that one bucket may hold. A wider bucket is asked for with more bits.
pub const MAX_BUCKET_ENTRIES: usize = 4096;

/// The shape of one path: what stands beside it from the root down, and what it ends in.
///
/// About 34 bytes a level; a state of a million keys has some 20 levels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Proof {
    /// The nodes beside the path, from the root down: `siblings[i]` stands at depth `i + 1`.
    #[cbor(n(0), with = "node_list")]
    pub siblings: Vec<Node>,
    /// What the path ends in.
    #[n(1)]
    pub terminal: Terminal,
}

/// Where the path of a key ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Terminal {
    /// No key begins with this path.
    #[n(0)]
    Empty,
    /// Exactly one key begins with this path: the one asked for, or another that proves it absent.
    #[n(1)]
    Leaf {
        #[cbor(n(0), with = "minicbor::bytes")]
        key: Key,
        #[cbor(n(1), with = "minicbor::bytes")]
        value_hash: ValueHash,
    },
}

/// What a checked proof says about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The state holds a value with this hash under the key.
    Present { value_hash: ValueHash },
    /// The state holds nothing under the key.
    Absent,
}

/// One key with its value.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Entry {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: Key,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the value: what is printed may end in a log.
        write!(f, "Entry({} value bytes)", self.value.len())
    }
}

/// All keys that begin with a [`Prefix`], with what proves that they are all there.
///
/// The entries rebuild the subtree below the prefix, so one comparison with the root shows that
/// every entry is true and that none was left out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bucket {
    /// The nodes beside the prefix's path, from the root down; fewer than the prefix has bits
    /// when the path ends earlier.
    #[cbor(n(0), with = "node_list")]
    pub siblings: Vec<Node>,
    /// Every key with the prefix, ascending.
    #[n(1)]
    pub entries: Vec<Entry>,
    /// The leaf of another key where the path ends early: it proves an empty bucket. Left out of
    /// the encoding when there is none.
    #[n(2)]
    pub other: Option<Leaf>,
}

/// A leaf without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Leaf {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: Key,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value_hash: ValueHash,
}

/// Why a proof was refused. Whoever served it is at fault, unless the caller paired it with the
/// root of another height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    #[error("more siblings than the path has bits")]
    TooManySiblings,
    /// T4: the leaf cannot stand on this path.
    #[error("the proof's leaf does not lie on the asked path")]
    MisplacedLeaf,
    /// T5: the proof is not of this state, or was changed.
    #[error("the proof does not lead to the state root")]
    RootMismatch,
    /// T6: the proof holds, but says something else than was claimed.
    #[error("the proof holds, but not for the claimed value")]
    OtherValue,
    #[error("the entries are not in strictly ascending order of their keys")]
    Unsorted,
    #[error("an entry's key does not begin with the prefix")]
    OutsidePrefix,
    #[error("more than 4096 entries in one bucket")]
    TooManyEntries,
    /// T7: each bucket has one form only.
    #[error("the bucket's parts do not fit together")]
    BadBucket,
    #[error("a prefix has at most 256 bits, and its bytes hold at least that many")]
    BadPrefix,
}

impl TrieError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManySiblings => "proof.too_many_siblings",
            Self::MisplacedLeaf => "proof.misplaced_leaf",
            Self::RootMismatch => "proof.root_mismatch",
            Self::OtherValue => "proof.other_value",
            Self::Unsorted => "proof.unsorted",
            Self::OutsidePrefix => "proof.outside_prefix",
            Self::TooManyEntries => "proof.too_many_entries",
            Self::BadBucket => "proof.bad_bucket",
            Self::BadPrefix => "proof.bad_prefix",
        }
    }
}

/// Checks what the state with this root holds under `key`.
pub fn verify(by: HashFunction, root: &Root, key: &Key, proof: &Proof) -> Result<Found, TrieError> {
    let depth = proof.siblings.len();
    if depth > MAX_BITS {
        return Err(TrieError::TooManySiblings);
    }
    let (node, found) = match &proof.terminal {
        Terminal::Empty => (EMPTY, Found::Absent),
        Terminal::Leaf {
            key: leaf_key,
            value_hash,
        } => {
            // An honest root has no leaf off its own path. Checked all the same: then an
            // exclusion never rests on how somebody else built the trie.
            if shared_bits(leaf_key, key) < depth {
                return Err(TrieError::MisplacedLeaf);
            }
            let found = if leaf_key == key {
                Found::Present {
                    value_hash: *value_hash,
                }
            } else {
                Found::Absent
            };
            (leaf_hash(by, leaf_key, value_hash), found)
        }
    };
    if hash_up(by, node, key, &proof.siblings) == *root {
        Ok(found)
    } else {
        Err(TrieError::RootMismatch)
    }
}

/// Checks that the state with this root holds exactly `value` under `key`, or nothing if `None`.
pub fn check_value(
    by: HashFunction,
    root: &Root,
    key: &Key,
    value: Option<&[u8]>,
    proof: &Proof,
) -> Result<(), TrieError> {
    let claimed = match value {
        Some(value) => Found::Present {
            value_hash: value_hash(by, value),
        },
        None => Found::Absent,
    };
    if verify(by, root, key, proof)? == claimed {
        Ok(())
    } else {
        Err(TrieError::OtherValue)
    }
}

/// Checks that `bucket` holds all keys of the state that begin with `prefix`, and their values.
pub fn verify_bucket(
    by: HashFunction,
    root: &Root,
    prefix: &Prefix,
    bucket: &Bucket,
) -> Result<(), TrieError> {
    let depth = bucket.siblings.len();
    if depth > prefix.bits() {
        return Err(TrieError::TooManySiblings);
    }
    if bucket.entries.len() > MAX_BUCKET_ENTRIES {
        return Err(TrieError::TooManyEntries);
    }
    for pair in bucket.entries.windows(2) {
        if pair[0].key >= pair[1].key {
            return Err(TrieError::Unsorted);
        }
    }
    // Sorted, so the first and the last say it for all.
    let mut ends = bucket
        .entries
        .first()
        .into_iter()
        .chain(bucket.entries.last());
    if ends.any(|entry| !prefix.covers(&entry.key)) {
        return Err(TrieError::OutsidePrefix);
    }
    let node = match (&bucket.other, bucket.entries.len()) {
        (None, 0) => EMPTY,
        (Some(leaf), 0) => {
            if prefix.covers(&leaf.key) {
                return Err(TrieError::BadBucket);
            }
            if shared_bits(&leaf.key, prefix.path()) < depth {
                return Err(TrieError::MisplacedLeaf);
            }
            leaf_hash(by, &leaf.key, &leaf.value_hash)
        }
        // Two keys or more part below the prefix, never above it.
        (None, entries) if entries == 1 || depth == prefix.bits() => {
            subtree_root(by, &bucket.leaves(by), depth)
        }
        _ => return Err(TrieError::BadBucket),
    };
    if hash_up(by, node, prefix.path(), &bucket.siblings) == *root {
        Ok(())
    } else {
        Err(TrieError::RootMismatch)
    }
}

impl Bucket {
    /// The value under `key`, which must begin with the bucket's prefix.
    pub fn value(&self, key: &Key) -> Option<&[u8]> {
        let place = self.entries.binary_search_by(|e| e.key.cmp(key)).ok()?;
        Some(&self.entries[place].value)
    }

    /// The proof of one key, present or absent, made from this bucket alone: nobody learns which
    /// key of the bucket was wanted. `key` must begin with the bucket's prefix, and the bucket
    /// must have been verified, or the proof is worth nothing.
    pub fn proof(&self, by: HashFunction, key: &Key) -> Proof {
        let mut siblings = self.siblings.clone();
        let terminal = match (&self.other, self.entries.len()) {
            (Some(leaf), _) => Terminal::from(*leaf),
            (None, 0) => Terminal::Empty,
            _ => descend(by, &self.leaves(by), siblings.len(), key, &mut siblings),
        };
        Proof { siblings, terminal }
    }

    fn leaves(&self, by: HashFunction) -> Vec<KeyHash> {
        let leaf = |entry: &Entry| (entry.key, value_hash(by, &entry.value));
        self.entries.iter().map(leaf).collect()
    }
}

impl From<Leaf> for Terminal {
    fn from(leaf: Leaf) -> Self {
        Terminal::Leaf {
            key: leaf.key,
            value_hash: leaf.value_hash,
        }
    }
}

/// The first bits of a key; the bits behind them are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    path: Key,
    bits: usize,
}

impl Prefix {
    /// The first `bits` bits of `bytes`, which may hold more; what lies behind them is dropped.
    pub fn new(bytes: &[u8], bits: usize) -> Result<Self, TrieError> {
        if bits > MAX_BITS || bytes.len() > 32 || bytes.len() * 8 < bits {
            return Err(TrieError::BadPrefix);
        }
        let mut path = [0; 32];
        path[..bytes.len()].copy_from_slice(bytes);
        let whole = bits / 8;
        if whole < 32 {
            path[whole] &= !(0xff_u8 >> (bits % 8));
            path[whole + 1..].fill(0);
        }
        Ok(Self { path, bits })
    }

    /// The family byte followed by the first `bits` bits of `rest`: with no bits, a whole family.
    pub fn in_family(family: u8, rest: &[u8], bits: usize) -> Result<Self, TrieError> {
        if rest.len() > 31 {
            return Err(TrieError::BadPrefix);
        }
        let mut bytes = vec![family];
        bytes.extend_from_slice(rest);
        Self::new(&bytes, bits.saturating_add(8))
    }

    /// The lowest key that begins with the prefix.
    pub fn path(&self) -> &Key {
        &self.path
    }

    /// The highest key that begins with the prefix.
    pub fn last(&self) -> Key {
        let mut last = self.path;
        for place in self.bits..MAX_BITS {
            last[place / 8] |= 0x80 >> (place % 8);
        }
        last
    }

    /// How many bits are fixed, 0 to 256.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Whether `key` begins with the prefix.
    pub fn covers(&self, key: &Key) -> bool {
        shared_bits(&self.path, key) >= self.bits
    }
}

/// The root, at `depth`, of the subtree with exactly these leaves: strictly ascending keys that
/// share their first `depth` bits. With depth 0 it is the root of a whole trie.
///
/// Leaves that break the condition give the root of nothing in particular, in bounded time.
pub fn subtree_root(by: HashFunction, leaves: &[KeyHash], depth: usize) -> Node {
    match leaves {
        [] => EMPTY,
        [(key, value_hash)] => leaf_hash(by, key, value_hash),
        [(key, value_hash), ..] if depth >= MAX_BITS => leaf_hash(by, key, value_hash),
        _ => {
            let (left, right) = split(leaves, depth);
            inner_hash(
                by,
                &subtree_root(by, left, depth + 1),
                &subtree_root(by, right, depth + 1),
            )
        }
    }
}

/// Walks from a subtree's root towards `key`, noting the siblings on the way.
fn descend(
    by: HashFunction,
    leaves: &[KeyHash],
    depth: usize,
    key: &Key,
    siblings: &mut Vec<Node>,
) -> Terminal {
    match leaves {
        [] => Terminal::Empty,
        [(key, value_hash), rest @ ..] if rest.is_empty() || depth >= MAX_BITS => Terminal::Leaf {
            key: *key,
            value_hash: *value_hash,
        },
        _ => {
            let (left, right) = split(leaves, depth);
            let (near, far) = if bit(key, depth) {
                (right, left)
            } else {
                (left, right)
            };
            siblings.push(subtree_root(by, far, depth + 1));
            descend(by, near, depth + 1, key, siblings)
        }
    }
}

fn split(leaves: &[KeyHash], depth: usize) -> (&[KeyHash], &[KeyHash]) {
    leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)))
}

/// The root above `node`, which stands at depth `siblings.len()` on the path of `key`.
fn hash_up(by: HashFunction, node: Node, key: &Key, siblings: &[Node]) -> Root {
    let levels = siblings.iter().enumerate().rev();
    levels.fold(node, |node, (depth, sibling)| {
        if bit(key, depth) {
            inner_hash(by, sibling, &node)
        } else {
            inner_hash(by, &node, sibling)
        }
    })
}

/// The bit of `key` that decides between left (false) and right (true) below depth `place`.
/// A place past the last bit reads as false.
pub fn bit(key: &Key, place: usize) -> bool {
    key.get(place / 8)
        .is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0)
}

/// How many bits two keys have in common from the front.
pub fn shared_bits(a: &Key, b: &Key) -> usize {
    let pairs = a.iter().zip(b);
    match pairs.enumerate().find(|(_, (a, b))| a != b) {
        Some((place, (a, b))) => place * 8 + (a ^ b).leading_zeros() as usize,
        None => MAX_BITS,
    }
}

/// The hash of a value, as it goes into its leaf.
pub fn value_hash(by: HashFunction, value: &[u8]) -> ValueHash {
    by.digest(&[value])
}

/// T2: the node of a single key.
pub fn leaf_hash(by: HashFunction, key: &Key, value_hash: &ValueHash) -> Node {
    let mut node = by.digest(&[key, value_hash]);
    node[0] |= 0x80;
    node
}

/// T3: the node above two subtrees.
pub fn inner_hash(by: HashFunction, left: &Node, right: &Node) -> Node {
    let mut node = by.digest(&[left, right]);
    node[0] &= 0x7f;
    node
}

/// Nodes as one byte string: two bytes less for each than an array of byte strings, and its
/// length is known, and bounded, before anything is allocated.
mod node_list {
    use minicbor::encode::Write;
    use minicbor::{Decoder, Encoder};

    use super::{MAX_BITS, Node};

    pub fn encode<C, W: Write>(
        nodes: &[Node],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(nodes.as_flattened())?.ok()
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Node>, minicbor::decode::Error> {
        let (nodes, rest) = d.bytes()?.as_chunks::<32>();
        if !rest.is_empty() || nodes.len() > MAX_BITS {
            return Err(minicbor::decode::Error::message(
                "not a list of at most 256 nodes",
            ));
        }
        Ok(nodes.to_vec())
    }
}

#[cfg(test)]
mod tests;
