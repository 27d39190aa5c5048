//! What is read of a passport's chip and of lists that say whom to believe (spec/enrolment.md, F1 to
//! F9): the first byte says which decoder. Nothing panics, whatever the bytes.
//!
//! No input has a signature that verifies, so each part is reached by itself too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use realdid_exchange::tag::Evidence;
use realdid_passport::{Chip, Lists, Mrz, verify};

const NOW_S: u64 = 1_800_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 5 {
        0 => {
            let groups = [(1, bytes)];
            let chip = Chip {
                security_object: bytes,
                groups: &groups,
            };
            let _ = chip.reads();
            assert!(verify(&chip, &Lists::default(), NOW_S).is_err());
        }
        1 => {
            if let Ok(zone) = Mrz::parse(bytes) {
                let _ = zone.stands(NOW_S);
                if let Ok(birthdate) = zone.birthdate(NOW_S) {
                    assert_eq!(birthdate.len(), 10);
                }
            }
        }
        2 => {
            let _ = Lists::read(&[bytes], &[bytes]);
        }
        3 => {
            let _ = Mrz::of_group(bytes);
        }
        _ => {
            if let Ok(Evidence::Passport(passport)) = serde_json::from_slice(bytes) {
                let _ = (passport.security_object(), passport.data_groups());
            }
        }
    }
});
