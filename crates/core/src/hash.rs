//! Domain-separated hashes (spec/encoding.md, rule E5).
//!
//! Every hash begins with a tag that says what it is for, so that the digest of one kind of
//! value can never stand in for another.

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use sm3::Sm3;

crate::fixed_bytes!(
    /// A 32-byte digest, or an identifier that is one.
    Hash32,
    32
);

/// A hash function. Each network has one, which its genesis picks and its [name] carries: for its
/// identifiers, its lists and its state.
///
/// [name]: crate::did::NetworkName::hash_function
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum HashFunction {
    /// SHA-256 (FIPS 180-4).
    #[default]
    #[n(1)]
    Sha256,
    /// SM3 (GB/T 32905).
    #[n(2)]
    Sm3,
}

impl HashFunction {
    pub const ALL: [HashFunction; 2] = [Self::Sha256, Self::Sm3];

    /// Its name on the command line and in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sm3 => "sm3",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The plain digest of the parts in order, as the state trie uses it.
    pub fn digest(self, parts: &[&[u8]]) -> [u8; 32] {
        match self {
            Self::Sha256 => {
                let mut hasher = Sha256::new();
                parts.iter().for_each(|part| hasher.update(part));
                hasher.finalize().into()
            }
            Self::Sm3 => {
                let mut hasher = Sm3::new();
                parts.iter().for_each(|part| hasher.update(part));
                hasher.finalize().into()
            }
        }
    }

    /// The hash over the domain's tag, a zero byte and the parts in order.
    ///
    /// Parts are not delimited: callers pass fixed-length parts, or one part that is canonical.
    pub fn tagged(self, domain: Domain, parts: &[&[u8]]) -> Hash32 {
        let mut all = Vec::with_capacity(parts.len() + 2);
        all.extend([domain.tag().as_bytes(), &[0]]);
        all.extend(parts);
        Hash32(self.digest(&all))
    }

    /// The commitment to an ordered list: a binary Merkle root, split at the largest power of two
    /// below the length as in RFC 6962 §2.1, with our own domains. Empty lists have a root too.
    pub fn list_root(self, items: &[Hash32]) -> Hash32 {
        match items {
            [] => self.tagged(Domain::ListLeaf, &[]),
            [only] => self.tagged(Domain::ListLeaf, &[&only.0]),
            _ => {
                let (left, right) = items.split_at(split(items.len()));
                let (left, right) = (self.list_root(left), self.list_root(right));
                self.tagged(Domain::ListNode, &[&left.0, &right.0])
            }
        }
    }
}

/// Where an item stands in a list, and what stands beside its path, from the leaf up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListPath {
    #[n(0)]
    pub index: u64,
    /// How long the list is.
    #[n(1)]
    pub length: u64,
    #[n(2)]
    pub siblings: Vec<Hash32>,
}

impl ListPath {
    /// The path of the item at `index`; none beyond the end.
    pub fn of(by: HashFunction, items: &[Hash32], index: usize) -> Option<Self> {
        items.get(index)?;
        let (mut rest, mut at, mut siblings) = (items, index, Vec::new());
        while rest.len() > 1 {
            let (left, right) = rest.split_at(split(rest.len()));
            let other = match at.checked_sub(left.len()) {
                Some(within) => {
                    (rest, at) = (right, within);
                    left
                }
                None => {
                    rest = left;
                    right
                }
            };
            siblings.push(by.list_root(other));
        }
        siblings.reverse();
        Some(Self {
            index: index as u64,
            length: items.len() as u64,
            siblings,
        })
    }

    /// The commitment of the list that has `item` on this path; none where there is no such path.
    pub fn root(&self, by: HashFunction, item: &Hash32) -> Option<Hash32> {
        // From the root down: on which side of each split the item stands.
        let (mut length, mut at) = (self.length, self.index);
        let mut sides = Vec::new();
        while length > 1 {
            // At most 64 rounds: a side is smaller than the whole.
            let left = length
                .checked_next_power_of_two()
                .map_or(1 << 63, |power| power / 2);
            let right_side = at >= left;
            sides.push(right_side);
            (length, at) = match right_side {
                true => (length - left, at - left),
                false => (left, at),
            };
        }
        if self.index >= self.length || sides.len() != self.siblings.len() {
            return None;
        }
        let mut node = by.tagged(Domain::ListLeaf, &[&item.0]);
        for (right_side, sibling) in sides.into_iter().rev().zip(&self.siblings) {
            let (left, right) = match right_side {
                true => (sibling, &node),
                false => (&node, sibling),
            };
            node = by.tagged(Domain::ListNode, &[&left.0, &right.0]);
        }
        Some(node)
    }
}

/// A list's commitment with all that stands below it, for whoever answers for many of its items.
#[derive(Debug, Clone)]
pub struct ListTree {
    /// The leaves' hashes, and above them one level after the other up to the root.
    levels: Vec<Vec<Hash32>>,
}

impl ListTree {
    /// The tree of a list; none of an empty one.
    pub fn new(by: HashFunction, items: &[Hash32]) -> Option<Self> {
        let leaf = |item: &Hash32| by.tagged(Domain::ListLeaf, &[&item.0]);
        let mut level: Vec<Hash32> = items.iter().map(leaf).collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            // What has no neighbour goes up as it is: that splits at the largest power of two.
            let pair = |pair: &[Hash32]| match pair {
                [left, right] => by.tagged(Domain::ListNode, &[&left.0, &right.0]),
                _ => pair[0],
            };
            let above = level.chunks(2).map(pair).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        (!items.is_empty()).then_some(Self { levels })
    }

    /// As [`HashFunction::list_root`].
    pub fn root(&self) -> Option<Hash32> {
        self.levels.last()?.first().copied()
    }

    /// As [`ListPath::of`].
    pub fn path(&self, index: usize) -> Option<ListPath> {
        let leaves = self.levels.first()?;
        leaves.get(index)?;
        let beside = |(height, level): (usize, &Vec<Hash32>)| {
            let at = index.checked_shr(height as u32).unwrap_or(0);
            level.get(at ^ 1).copied()
        };
        Some(ListPath {
            index: index as u64,
            length: leaves.len() as u64,
            siblings: self.levels.iter().enumerate().filter_map(beside).collect(),
        })
    }
}

/// Where a list of two or more items is split.
fn split(length: usize) -> usize {
    length.next_power_of_two() / 2
}

/// What a hash is for. The tag stands first in the hashed bytes, closed by a zero byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The inception of a DID: the DID is this hash.
    Inception,
    /// A commitment to a key that is not shown yet.
    KeyCommitment,
    /// A signed operation.
    Operation,
    /// A block header: what validators sign.
    Header,
    /// The genesis of a network.
    Genesis,
    /// A key of the state trie.
    StateKey,
    /// A leaf of a list commitment.
    ListLeaf,
    /// An inner node of a list commitment.
    ListNode,
    /// The running commitment to all receipts.
    Receipts,
    /// A person tag, from the output of the VOPRF.
    PersonTag,
    /// An enrolment commitment, made by the wallet.
    EnrolmentCommitment,
    /// An issuer's id, from its URL.
    Issuer,
    /// The digest of a service's registration.
    Registration,
    /// What a personhood proof is bound to: the operation that it pays for.
    Personhood,
    /// A credential in an issuance batch.
    BatchItem,
    /// The public polynomial of a committee's shares.
    Polynomial,
    /// Key material derived from a wallet's roots.
    Wallet,
    /// What a person signs when they show their name in public: a display's digest.
    Display,
    /// What a network is to begin with: what operators sign off (spec/ceremony.md).
    CeremonyPlan,
    /// One making of a key: who deals, who gets shares, and what for.
    CeremonyRound,
    /// What a key came of: the round and the logs that were used.
    CeremonyTranscript,
}

impl Domain {
    /// The tag as it is hashed, without its closing zero byte.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Inception => "rdid/1/inception",
            Self::KeyCommitment => "rdid/1/key-commitment",
            Self::Operation => "rdid/1/operation",
            Self::Header => "rdid/1/header",
            Self::Genesis => "rdid/1/genesis",
            Self::StateKey => "rdid/1/state-key",
            Self::ListLeaf => "rdid/1/list-leaf",
            Self::ListNode => "rdid/1/list-node",
            Self::Receipts => "rdid/1/receipts",
            Self::PersonTag => "rdid/1/person-tag",
            Self::EnrolmentCommitment => "rdid/1/enrolment-commitment",
            Self::Issuer => "rdid/1/issuer",
            Self::Registration => "rdid/1/registration",
            Self::Personhood => "rdid/1/personhood",
            Self::BatchItem => "rdid/1/batch-item",
            Self::Polynomial => "rdid/1/polynomial",
            Self::Wallet => "rdid/1/wallet",
            Self::Display => "rdid/1/display",
            Self::CeremonyPlan => "rdid/1/ceremony-plan",
            Self::CeremonyRound => "rdid/1/ceremony-round",
            Self::CeremonyTranscript => "rdid/1/ceremony-transcript",
        }
    }
}

/// [`HashFunction::tagged`] with SHA-256: for what wallets and authorities make beside the ledger,
/// whatever the network's own function is.
pub fn hash(domain: Domain, parts: &[&[u8]]) -> Hash32 {
    HashFunction::Sha256.tagged(domain, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_separate() {
        assert_ne!(
            hash(Domain::Header, &[b"x"]),
            hash(Domain::Genesis, &[b"x"])
        );
    }

    #[test]
    fn functions_separate_and_have_names() {
        let [sha, sm3] = HashFunction::ALL.map(|function| function.tagged(Domain::Header, &[b"x"]));
        assert_ne!(sha, sm3);
        assert_eq!(sha, hash(Domain::Header, &[b"x"]));
        for function in HashFunction::ALL {
            assert_eq!(HashFunction::from_name(function.name()), Some(function));
        }
        assert_eq!(HashFunction::from_name("md5"), None);
    }

    #[test]
    fn list_root_depends_on_order_and_length() {
        let items: Vec<Hash32> = (0u8..5).map(|i| Hash32([i; 32])).collect();
        let mut swapped = items.clone();
        swapped.swap(0, 4);
        let roots = [
            HashFunction::Sha256.list_root(&[]),
            HashFunction::Sha256.list_root(&items[..1]),
            HashFunction::Sha256.list_root(&items[..4]),
            HashFunction::Sha256.list_root(&items),
            HashFunction::Sha256.list_root(&swapped),
        ];
        for (i, a) in roots.iter().enumerate() {
            assert!(roots.iter().skip(i + 1).all(|b| a != b));
        }
    }

    #[test]
    fn each_item_of_a_list_has_one_path_to_its_root() {
        let items: Vec<Hash32> = (0u8..21).map(|i| Hash32([i; 32])).collect();
        for by in HashFunction::ALL {
            for length in 1..items.len() {
                let list = &items[..length];
                let root = by.list_root(list);
                let tree = ListTree::new(by, list).unwrap();
                assert_eq!(tree.root(), Some(root));
                assert!(tree.path(length).is_none());
                for (index, item) in list.iter().enumerate() {
                    let path = ListPath::of(by, list, index).unwrap();
                    assert_eq!(path.root(by, item), Some(root), "{index} of {length}");
                    assert_eq!(tree.path(index).as_ref(), Some(&path));
                    assert_ne!(path.root(by, &items[20]), Some(root));
                    let mut moved = path.clone();
                    moved.index ^= 1;
                    assert_ne!(moved.root(by, item), Some(root));
                    let mut longer = path.clone();
                    longer.siblings.push(root);
                    assert_eq!(longer.root(by, item), None);
                }
                assert_eq!(ListPath::of(by, list, length), None);
                assert!(ListTree::new(by, &[]).is_none());
            }
        }
    }

    #[test]
    fn a_hostile_list_path_ends_in_bounded_time() {
        for length in [0, 1, 2, u64::MAX, (1 << 63) + 1, 1 << 63] {
            for index in [0, 1, u64::MAX, u64::MAX - 1] {
                for siblings in [0, 1, 63, 64, 65] {
                    let path = ListPath {
                        index,
                        length,
                        siblings: vec![Hash32([7; 32]); siblings],
                    };
                    let found = path.root(HashFunction::Sha256, &Hash32([1; 32]));
                    assert!(index < length || found.is_none());
                }
            }
        }
    }
}
