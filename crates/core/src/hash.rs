//! Domain-separated hashes (spec/encoding.md, rule E5).
//!
//! Every hash begins with a tag that says what it is for, so that the digest of one kind of
//! value can never stand in for another.

use sha2::{Digest, Sha256};

crate::fixed_bytes!(
    /// A 32-byte digest, or an identifier that is one.
    Hash32,
    32
);

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
    /// Key material derived from a wallet's roots.
    Wallet,
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
            Self::Wallet => "rdid/1/wallet",
        }
    }
}

/// SHA-256 over the domain's tag, a zero byte and the parts in order.
///
/// Parts are not delimited: callers pass fixed-length parts, or one part that is canonical.
pub fn hash(domain: Domain, parts: &[&[u8]]) -> Hash32 {
    let mut hasher = Sha256::new();
    hasher.update(domain.tag().as_bytes());
    hasher.update([0]);
    parts.iter().for_each(|part| hasher.update(part));
    Hash32(hasher.finalize().into())
}

/// The commitment to an ordered list: a binary Merkle root, split at the largest power of two
/// below the length as in RFC 6962 §2.1, with our own domains. Empty lists have a root too.
pub fn list_root(items: &[Hash32]) -> Hash32 {
    match items {
        [] => hash(Domain::ListLeaf, &[]),
        [only] => hash(Domain::ListLeaf, &[&only.0]),
        _ => {
            let split = items.len().next_power_of_two() / 2;
            let (left, right) = items.split_at(split);
            hash(Domain::ListNode, &[&list_root(left).0, &list_root(right).0])
        }
    }
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
    fn list_root_depends_on_order_and_length() {
        let items: Vec<Hash32> = (0u8..5).map(|i| Hash32([i; 32])).collect();
        let mut swapped = items.clone();
        swapped.swap(0, 4);
        let roots = [
            list_root(&[]),
            list_root(&items[..1]),
            list_root(&items[..4]),
            list_root(&items),
            list_root(&swapped),
        ];
        for (i, a) in roots.iter().enumerate() {
            assert!(roots.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
