//! What changed between two versions of a list, and nothing else (spec/status.md, U10 to U12).
//!
//! A delta costs little more than the entropy of the change. It is not signed: it leads from a
//! list that the reader trusts to one whose digest stands on the ledger, or nowhere.

use super::range::{Decoder, Encoder, Tree};
use super::{StatusError, StatusList, Width};

/// The first byte of a delta.
const VERSION: u8 = 1;
/// Version, bits, length, changes, two digests.
const HEAD_LEN: usize = 1 + 1 + 8 + 8 + 32 + 32;
/// How many bits below the highest of a gap learn their probability.
const LEARNED_BITS: u32 = 3;

/// Makes the delta from `old` to `new`, versions of the list at `uri`. A list may grow, it never
/// shrinks.
pub fn make(old: &StatusList, new: &StatusList, uri: &str) -> Result<Vec<u8>, StatusError> {
    if old.width != new.width || old.bytes.len() > new.bytes.len() {
        return Err(StatusError::Delta);
    }
    let mut out = Vec::with_capacity(HEAD_LEN + 64);
    out.push(VERSION);
    out.push(new.width.bits());
    out.extend_from_slice(&(new.bytes.len() as u64).to_be_bytes());
    let mut changes = 0u64;
    changed(old, new, |_, _, _| changes += 1);
    out.extend_from_slice(&changes.to_be_bytes());
    out.extend_from_slice(&old.digest(uri));
    out.extend_from_slice(&new.digest(uri));

    // The head lies before what the coder may carry into: nothing has been coded yet.
    let mut encoder = Encoder::new(Vec::new());
    let mut model = Model::new(new.width);
    let mut next = 0;
    changed(old, new, |idx, from, to| {
        model.write_gap(&mut encoder, idx - next);
        model.write_value(&mut encoder, from, to);
        next = idx + 1;
    });
    out.extend_from_slice(&encoder.finish());
    Ok(out)
}

/// Applies a delta to `list`, the version it was made from, if it leads to the version whose
/// digest is `expected`. The list may then have at most `max_bytes`; on an error it is as before.
pub fn apply(
    list: &StatusList,
    delta: &[u8],
    uri: &str,
    expected: &[u8; 32],
    max_bytes: usize,
) -> Result<StatusList, StatusError> {
    let (head, body) = delta.split_at_checked(HEAD_LEN).ok_or(StatusError::Delta)?;
    let number = |at: usize| {
        let bytes = head[at..].first_chunk::<8>().copied().unwrap_or_default();
        u64::from_be_bytes(bytes)
    };
    if head[0] != VERSION || head[1] != list.width.bits() {
        return Err(StatusError::Delta);
    }
    if head[50..] != expected[..] {
        return Err(StatusError::Digest);
    }
    if head[18..50] != list.digest(uri) {
        return Err(StatusError::DeltaBase);
    }
    let len = usize::try_from(number(2)).map_err(|_| StatusError::TooLong)?;
    if len > max_bytes.min(super::MAX_LIST_BYTES) {
        return Err(StatusError::TooLong);
    }
    let mut bytes = list.bytes.clone();
    if len < bytes.len() {
        return Err(StatusError::Delta);
    }
    bytes.resize(len, 0);
    let mut new = StatusList::from_bytes(list.width, bytes)?;
    let changes = number(10);
    if changes > new.entries() {
        return Err(StatusError::Delta);
    }
    let mut model = Model::new(list.width);
    let mut decoder = Decoder::new(body).map_err(|_| StatusError::Delta)?;
    let mut next = 0u64;
    for _ in 0..changes {
        let gap = model.read_gap(&mut decoder)?;
        let idx = next.checked_add(gap).ok_or(StatusError::Delta)?;
        let from = new.at(idx).map_err(|_| StatusError::Delta)?.code();
        let to = model.read_value(&mut decoder, from)?;
        new.put(idx, to)?;
        next = idx + 1;
    }
    if !decoder.is_at_end() {
        return Err(StatusError::Delta);
    }
    if new.digest(uri) != *expected {
        return Err(StatusError::Digest);
    }
    Ok(new)
}

/// Calls `found` with index, old and new status of each entry that differs.
fn changed(old: &StatusList, new: &StatusList, mut found: impl FnMut(u64, u8, u8)) {
    let (bits, mask) = (new.width.bits(), new.width.mask());
    let per_byte = u64::from(8 / bits);
    let mut byte = |at: usize, from: u8, to: u8| {
        for place in 0..8 / bits {
            let part = |byte: u8| byte >> (place * bits) & mask;
            if part(from) != part(to) {
                found(
                    at as u64 * per_byte + u64::from(place),
                    part(from),
                    part(to),
                );
            }
        }
    };
    // Most of a list does not change: eight bytes are compared at once.
    let common = old.bytes.len();
    let words = old.bytes.chunks(8).zip(new.bytes[..common].chunks(8));
    for (word, (from, to)) in words.enumerate() {
        if from == to {
            continue;
        }
        for (i, (from, to)) in from.iter().zip(to).enumerate() {
            if from != to {
                byte(8 * word + i, *from, *to);
            }
        }
    }
    for (i, to) in new.bytes[common..].iter().enumerate() {
        byte(common + i, 0, *to);
    }
}

/// What coder and decoder learn alike.
struct Model {
    /// How many binary digits a gap has.
    digits: Tree,
    /// The highest of them below the first, for each count.
    heads: Vec<Tree>,
    /// The new status under the old one.
    values: Vec<Tree>,
    width: Width,
}

impl Model {
    fn new(width: Width) -> Self {
        Self {
            digits: Tree::new(6),
            heads: (0..64)
                .map(|digits| Tree::new(digits.min(LEARNED_BITS)))
                .collect(),
            values: vec![Tree::new(u32::from(width.bits())); 1 << width.bits()],
            width,
        }
    }

    /// A gap is written as gap + 1: its count of digits, the highest of them, the rest as they are.
    fn write_gap(&mut self, encoder: &mut Encoder, gap: u64) {
        // An index is below 2^35, so nothing overflows.
        let value = gap + 1;
        let below = 63 - value.leading_zeros();
        encoder.number(below, &mut self.digits);
        let rest = below.saturating_sub(LEARNED_BITS);
        let head = (value >> rest) as u32 & ((1 << (below - rest)) - 1);
        encoder.number(head, &mut self.heads[below as usize]);
        encoder.plain(value, rest);
    }

    fn read_gap(&mut self, decoder: &mut Decoder<'_>) -> Result<u64, StatusError> {
        let ended = |_| StatusError::Delta;
        let below = decoder.number(&mut self.digits).map_err(ended)?;
        let head = decoder
            .number(&mut self.heads[below as usize])
            .map_err(ended)?;
        let rest = below.saturating_sub(LEARNED_BITS);
        let high = 1u64 << (below - rest) | u64::from(head);
        let low = decoder.plain(rest).map_err(ended)?;
        Ok((high << rest | low) - 1)
    }

    /// With one bit there is one thing that an entry can become.
    fn write_value(&mut self, encoder: &mut Encoder, from: u8, to: u8) {
        if self.width != Width::One {
            encoder.number(u32::from(to), &mut self.values[usize::from(from)]);
        }
    }

    fn read_value(&mut self, decoder: &mut Decoder<'_>, from: u8) -> Result<u8, StatusError> {
        if self.width == Width::One {
            return Ok(1 - from);
        }
        let to = decoder
            .number(&mut self.values[usize::from(from)])
            .map_err(|_| StatusError::Delta)?;
        u8::try_from(to)
            .ok()
            .filter(|to| *to != from)
            .ok_or(StatusError::Delta)
    }
}
