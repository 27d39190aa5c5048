//! Keys that were found valid lately, so that an issuer's key is not put on its curve again for each
//! operation that it signs and each time its record is read: that is a square root each time.
//!
//! Nothing can be told from it but by the time it takes: a key is here only after it was checked, the
//! check depends on its bytes alone, and they are compared whole. It is bounded, and each thread has its
//! own: whoever sends many keys drives others out, and costs a check each.

use super::{KeyError, PublicKey, Suite};
use std::cell::RefCell;

/// How many keys a thread remembers, at most one at each place.
const PLACES: usize = 512;

thread_local! {
    static KNOWN: RefCell<Vec<Option<PublicKey>>> = const { RefCell::new(Vec::new()) };
}

/// The key with these bytes, if it is remembered; what `check` says otherwise.
pub(super) fn known_or(
    suite: Suite,
    bytes: &[u8],
    check: impl FnOnce() -> Result<PublicKey, KeyError>,
) -> Result<PublicKey, KeyError> {
    let Some(place) = place(bytes) else {
        return check();
    };
    let found = KNOWN.with_borrow(|known| {
        let here = known.get(place)?.as_ref()?;
        (here.suite == suite && here.bytes == bytes).then(|| here.clone())
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let key = check()?;
    KNOWN.with_borrow_mut(|known| {
        known.resize(PLACES, None);
        known[place] = Some(key.clone());
    });
    Ok(key)
}

/// By bytes from the middle of the point: the first of some suites are a sign alone.
fn place(bytes: &[u8]) -> Option<usize> {
    let middle = bytes.get(8..16)?.try_into().ok()?;
    Some(u64::from_be_bytes(middle) as usize % PLACES)
}

#[cfg(test)]
mod tests {
    use super::super::SecretKey;
    use super::*;

    fn key(n: u8) -> PublicKey {
        SecretKey::from_seed(Suite::P256, [n; 32]).unwrap().public()
    }

    #[test]
    fn a_key_is_remembered_with_its_suite_and_its_whole_bytes() {
        let known = key(1);
        let read = |suite, bytes: &[u8]| PublicKey::new(suite, bytes);
        assert_eq!(read(Suite::P256, known.bytes()).as_ref(), Ok(&known));
        let unchecked = || -> Result<PublicKey, KeyError> { Err(KeyError::Invalid) };
        let again = known_or(Suite::P256, known.bytes(), unchecked);
        assert_eq!(again, Ok(known.clone()), "not checked again");
        // The same place, and yet checked: another suite, one byte more, one changed, cut short.
        let mut changed = known.bytes().to_vec();
        changed[32] ^= 1;
        let long = [known.bytes(), &[0]].concat();
        for (suite, bytes) in [
            (Suite::Sm2, known.bytes()),
            (Suite::Ed25519, known.bytes()),
            (Suite::P256, &long),
            (Suite::P256, &changed),
            (Suite::P256, &known.bytes()[..32]),
            (Suite::P256, &known.bytes()[..9]),
        ] {
            assert_eq!(known_or(suite, bytes, unchecked), Err(KeyError::Invalid));
        }
    }

    #[test]
    fn what_is_refused_is_not_remembered_and_what_is_driven_out_is_checked_again() {
        let refused = || Err(KeyError::Invalid);
        let one = key(2);
        assert!(known_or(Suite::P256, one.bytes(), refused).is_err());
        assert!(known_or(Suite::P256, one.bytes(), refused).is_err());
        // Enough to meet in one place, and never more than there are places.
        for n in 0..2 * PLACES as u64 {
            let mut bytes = one.bytes().to_vec();
            bytes[8..16].copy_from_slice(&n.to_be_bytes());
            let suite = Suite::P256;
            let taken = known_or(suite, &bytes, || {
                let bytes = bytes.clone();
                Ok(PublicKey { suite, bytes })
            });
            assert!(taken.is_ok());
        }
        KNOWN.with_borrow(|known| assert_eq!(known.len(), PLACES));
        let mut first = one.bytes().to_vec();
        first[8..16].copy_from_slice(&0u64.to_be_bytes());
        assert!(known_or(Suite::P256, &first, refused).is_err());
    }
}
