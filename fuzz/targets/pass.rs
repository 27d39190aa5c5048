//! Every decoder of `realdid-pass` on arbitrary bytes: nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| realdid_pass::decode_anything(bytes));
