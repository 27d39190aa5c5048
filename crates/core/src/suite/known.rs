//! Keys that were read lately, as their library takes them, so that an issuer's key is not put on its
//! curve again for each operation that it signs and each time its record is read: that is a square root
//! each time.
//!
//! Nothing can be told from it but by the time it takes: a key is here only after it was checked, the
//! check depends on its bytes alone, and they are compared whole. It is bounded, and each thread has its
//! own: whoever sends many keys drives others out, and costs a check each.

use super::{Point, PublicKey};
use std::cell::RefCell;

/// How many keys a thread remembers, at most one at each place.
const PLACES: usize = 512;

type Place = Option<(PublicKey, Point)>;

thread_local! {
    static KNOWN: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

/// What `ask` answers of a key. `None`: its bytes are no point of its suite's curve, or a forbidden one.
pub(super) fn with<T>(key: &PublicKey, ask: impl FnOnce(&Point) -> T) -> Option<T> {
    with_parsed_by(key, Point::parse, ask)
}

fn with_parsed_by<T>(
    key: &PublicKey,
    parse: impl FnOnce(&PublicKey) -> Option<Point>,
    ask: impl FnOnce(&Point) -> T,
) -> Option<T> {
    KNOWN.with_borrow_mut(|known| {
        if known.is_empty() {
            known.resize_with(PLACES, || None);
        }
        let here = &mut known[place(key)];
        let (_, point) = match here {
            Some(held) if held.0 == *key => held,
            _ => here.insert((key.clone(), parse(key)?)),
        };
        Some(ask(point))
    })
}

/// By bytes from the middle of the point: the first of some suites are a sign alone.
fn place(key: &PublicKey) -> usize {
    let middle = key.bytes[8..16].iter();
    let number = middle.fold(0, |number, byte| number << 8 | u64::from(*byte));
    number as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::super::{KeyError, SecretKey, Suite};
    use super::*;

    fn key(n: u8) -> PublicKey {
        SecretKey::from_seed(Suite::P256, [n; 32]).unwrap().public()
    }

    fn unparsed(_: &PublicKey) -> Option<Point> {
        None
    }

    #[test]
    fn a_key_is_remembered_with_its_suite_and_its_whole_bytes() {
        let known = key(1);
        let read = PublicKey::new(Suite::P256, known.bytes());
        assert_eq!(read.as_ref(), Ok(&known));
        let again = with_parsed_by(&known, unparsed, |_| ());
        assert_eq!(again, Some(()), "not checked again");
        // The same place, and yet checked: another suite, one changed byte.
        let other = PublicKey {
            suite: Suite::Sm2,
            ..known.clone()
        };
        let mut changed = known.clone();
        changed.bytes[32] ^= 1;
        for key in [other, changed] {
            assert_eq!(place(&key), place(&known));
            assert_eq!(with_parsed_by(&key, unparsed, |_| ()), None);
        }
        // And one byte more or less is none.
        let long = [known.bytes(), &[0]].concat();
        for bytes in [&long, &known.bytes()[..32], &known.bytes()[..9], &[]] {
            let read = PublicKey::new(Suite::P256, bytes);
            assert_eq!(read, Err(KeyError::Invalid));
        }
    }

    #[test]
    fn what_is_refused_is_not_remembered_and_what_is_driven_out_is_checked_again() {
        let one = key(2);
        assert!(with_parsed_by(&one, unparsed, |_| ()).is_none());
        assert!(with_parsed_by(&one, unparsed, |_| ()).is_none());
        let two = key(3);
        // Enough to meet in one place, and never more than there are places.
        let numbered = |n: u64| {
            let mut key = one.clone();
            key.bytes[8..16].copy_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0..2 * PLACES as u64 {
            let taken = with_parsed_by(&numbered(n), |_| Point::parse(&two), |_| ());
            assert!(taken.is_some());
        }
        KNOWN.with_borrow(|known| assert_eq!(known.len(), PLACES));
        assert!(with_parsed_by(&numbered(0), unparsed, |_| ()).is_none());
        let newest = 2 * PLACES as u64 - 1;
        assert!(with_parsed_by(&numbered(newest), unparsed, |_| ()).is_some());
    }
}
