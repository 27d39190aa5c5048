//! The state trie as plainly as it can be said: an ordered map and a recursion over it.
//!
//! It is the oracle that the real store is held against, and the state of simulated nodes. It
//! shares only the two node hashes with `realdid_core::trie`; which node stands where it works
//! out by itself, from the whole map, each time. So it has no deletions to get wrong.

use std::collections::BTreeMap;

use realdid_core::hash::HashFunction;
use realdid_core::trie::{
    Bucket, EMPTY, Entry, Key, Leaf, Node, Prefix, Proof, Root, Terminal, inner_hash, leaf_hash,
    value_hash,
};

/// A whole state in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryTrie {
    values: BTreeMap<Key, Vec<u8>>,
    root: Root,
    by: HashFunction,
}

impl MemoryTrie {
    /// An empty state of a network with SHA-256.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty state of a network with any hash function.
    pub fn hashing_by(by: HashFunction) -> Self {
        Self {
            by,
            ..Self::default()
        }
    }

    /// Sets and (with `None`) deletes keys, then gives the new root. Costs two hashes for every
    /// key of the state.
    pub fn commit(&mut self, changes: &[(Key, Option<Vec<u8>>)]) -> Root {
        for (key, value) in changes {
            match value {
                Some(value) => self.values.insert(*key, value.clone()),
                None => self.values.remove(key),
            };
        }
        self.root = self.node([0; 32], 0);
        self.root
    }

    pub fn root(&self) -> Root {
        self.root
    }

    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// All entries, ascending.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        self.values
            .iter()
            .map(|(key, value)| (key, value.as_slice()))
    }

    /// The value under `key`, if any, and the proof of that.
    pub fn prove(&self, key: &Key) -> (Option<Vec<u8>>, Proof) {
        let (siblings, terminal) = self.walk(key, 256);
        // At 256 bits the subtree is the key itself, so a walk always ends.
        let terminal = terminal.unwrap_or(Terminal::Empty);
        (self.values.get(key).cloned(), Proof { siblings, terminal })
    }

    /// Every key that begins with `prefix`, provably.
    pub fn bucket(&self, prefix: &Prefix) -> Bucket {
        let (siblings, terminal) = self.walk(prefix.path(), prefix.bits());
        let below = self.values.range(*prefix.path()..=prefix.last());
        let other = match terminal {
            Some(Terminal::Leaf { key, value_hash }) if !prefix.covers(&key) => {
                Some(Leaf { key, value_hash })
            }
            _ => None,
        };
        Bucket {
            siblings,
            entries: below
                .map(|(key, value)| Entry {
                    key: *key,
                    value: value.clone(),
                })
                .collect(),
            other,
        }
    }

    /// Down the path of `key` until a leaf, an empty subtree, or `limit` bits.
    fn walk(&self, key: &Key, limit: usize) -> (Vec<Node>, Option<Terminal>) {
        let mut siblings = Vec::new();
        let mut path = [0; 32];
        for depth in 0..=limit {
            if let Some(terminal) = self.terminal(path, depth) {
                return (siblings, Some(terminal));
            }
            if depth < limit {
                let [left, right] = sides(path, depth);
                let (near, far) = match key[depth / 8] & (0x80 >> (depth % 8)) {
                    0 => (left, right),
                    _ => (right, left),
                };
                siblings.push(self.node(far, depth + 1));
                path = near;
            }
        }
        (siblings, None)
    }

    /// The root of the subtree of all keys that begin with the first `depth` bits of `path`.
    fn node(&self, path: Key, depth: usize) -> Node {
        match self.terminal(path, depth) {
            Some(Terminal::Empty) => EMPTY,
            Some(Terminal::Leaf { key, value_hash }) => leaf_hash(self.by, &key, &value_hash),
            None => {
                let [left, right] = sides(path, depth);
                inner_hash(
                    self.by,
                    &self.node(left, depth + 1),
                    &self.node(right, depth + 1),
                )
            }
        }
    }

    /// What ends the path here: no key, one key, or (with more) nothing yet.
    fn terminal(&self, path: Key, depth: usize) -> Option<Terminal> {
        let mut last = path;
        for place in depth..256 {
            last[place / 8] |= 0x80 >> (place % 8);
        }
        let mut below = self.values.range(path..=last);
        match (below.next(), below.next()) {
            (None, _) => Some(Terminal::Empty),
            (Some((key, value)), None) => Some(Terminal::Leaf {
                key: *key,
                value_hash: value_hash(self.by, value),
            }),
            _ => None,
        }
    }
}

/// The paths of the two subtrees below `path`, which has zeros from bit `depth` on.
fn sides(path: Key, depth: usize) -> [Key; 2] {
    let mut right = path;
    right[depth / 8] |= 0x80 >> (depth % 8);
    [path, right]
}

#[cfg(test)]
mod tests {
    use realdid_core::trie::{check_value, subtree_root, verify_bucket};

    use super::*;

    const BY: HashFunction = HashFunction::Sha256;

    #[test]
    fn agrees_with_the_rules_through_inserts_updates_and_deletes() {
        let mut trie = MemoryTrie::new();
        for round in 0u32..40 {
            let changes: Vec<_> = (0u32..8)
                .map(|n| {
                    let seed = value_hash(BY, &((round * 7 + n * n) % 90).to_be_bytes());
                    let mut key = seed;
                    key[0] %= 3;
                    let value = (round + n) % 3 != 0;
                    (key, value.then(|| vec![round as u8; n as usize]))
                })
                .collect();
            let root = trie.commit(&changes);

            let leaves: Vec<_> = trie
                .entries()
                .map(|(k, v)| (*k, value_hash(BY, v)))
                .collect();
            assert_eq!(root, subtree_root(BY, &leaves, 0));
            for (key, _) in &changes {
                let (value, proof) = trie.prove(key);
                assert_eq!(
                    check_value(BY, &root, key, value.as_deref(), &proof),
                    Ok(())
                );
                for bits in [0, 1, 8, 10, 12, 16, 256] {
                    let prefix = Prefix::new(key, bits).unwrap();
                    let bucket = trie.bucket(&prefix);
                    assert_eq!(verify_bucket(BY, &root, &prefix, &bucket), Ok(()));
                    assert_eq!(bucket.proof(BY, key), proof);
                }
            }
        }
        let all: Vec<_> = trie.entries().map(|(key, _)| (*key, None)).collect();
        assert_eq!(trie.commit(&all), EMPTY);
    }
}
