//! Bytes in every form in which they may stand.
//!
//! A value can be kept raw in one place and as base64 within JSON within a token in another. Raw
//! bytes within bytes need no parsing: CBOR, SQLite and protobuf keep strings whole, and the check
//! looks at every offset. Text forms are looked for as runs of their alphabet and decoded at each
//! offset that the alphabet has, since a database sets columns side by side without a mark between.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

/// How many forms deep: a base64 presentation within a percent-encoded form within JSON is three.
const DEPTH: usize = 5;
/// Characters of a value of 8 bytes: below that nothing is looked for.
const HEX_RUN: usize = 16;
const BASE64_RUN: usize = 11;
/// Characters of a multibase identifier.
const BASE58_RUN: std::ops::RangeInclusive<usize> = 12..=128;

/// Gives `each` the bytes and everything that can be decoded from them, with the forms that lead
/// there, such as `base64 hex`; empty for the bytes themselves.
pub fn each_form(bytes: &[u8], each: &mut impl FnMut(&str, &[u8])) {
    forms(bytes, "", DEPTH, each);
}

fn forms(bytes: &[u8], path: &str, depth: usize, each: &mut impl FnMut(&str, &[u8])) {
    if bytes.len() < 8 {
        return;
    }
    each(path, bytes);
    if depth == 0 {
        return;
    }
    let mut deeper = |form: &str, decoded: &[u8]| {
        let path = [path, form].join(" ");
        forms(decoded, path.trim_start(), depth - 1, each);
    };
    if let Some(plain) = without_escapes(bytes) {
        deeper("escaped", &plain);
    }
    for run in runs(bytes, |byte| byte.is_ascii_hexdigit(), HEX_RUN) {
        for offset in 0..2 {
            let run = &run[offset..];
            if let Ok(decoded) = hex::decode(&run[..run.len() & !1]) {
                deeper("hex", &decoded);
            }
        }
    }
    for (form, alphabet, more) in [("base64url", URL_SAFE, b"-_"), ("base64", STANDARD, b"+/")] {
        let of_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        for run in runs(bytes, of_alphabet, BASE64_RUN) {
            // What has neither of the two last characters is the same in both. Hex is no base64: as
            // such it would give other bytes, and more of them.
            let is_same = form == "base64" && !run.iter().any(|byte| more.contains(byte));
            if is_same || run.iter().all(u8::is_ascii_hexdigit) {
                continue;
            }
            for offset in 0..4.min(run.len() - BASE64_RUN + 1) {
                if let Some(decoded) = base64(&run[offset..], &alphabet) {
                    deeper(form, &decoded);
                }
            }
        }
    }
    let of_base58 = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
    for run in runs(bytes, of_base58, *BASE58_RUN.start()) {
        // A multibase text begins with z; what stands before it may be of the alphabet too.
        for at in (0..run.len()).filter(|at| run[*at] == b'z').take(8) {
            let text = &run[at + 1..];
            if BASE58_RUN.contains(&text.len())
                && let Ok(decoded) = bs58::decode(text).into_vec()
            {
                deeper("base58", &decoded);
            }
        }
    }
}

/// Without a tail that fills no byte.
fn base64(run: &[u8], alphabet: &base64::alphabet::Alphabet) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let whole = if run.len() % 4 == 1 {
        run.len() - 1
    } else {
        run.len()
    };
    GeneralPurpose::new(alphabet, config)
        .decode(&run[..whole])
        .ok()
}

fn runs<'a>(
    bytes: &'a [u8],
    belongs: impl Fn(u8) -> bool + 'a,
    least: usize,
) -> impl Iterator<Item = &'a [u8]> {
    bytes
        .split(move |byte| !belongs(*byte))
        .filter(move |run| run.len() >= least)
}

/// Percent-encoding and the escapes of JSON undone, where there are any.
fn without_escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    let hex_at = |at: usize, count: usize| -> Option<u32> {
        let digits = std::str::from_utf8(bytes.get(at..at + count)?).ok()?;
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut undone) = (0, false);
    while at < bytes.len() {
        let (value, length) = match (bytes[at], bytes.get(at + 1)) {
            (b'%', _) => match hex_at(at + 1, 2) {
                Some(byte) => (byte, 3),
                None => (u32::from(b'%'), 1),
            },
            (b'\\', Some(b'u')) => match hex_at(at + 2, 4).filter(|value| *value < 128) {
                Some(value) => (value, 6),
                None => (u32::from(b'\\'), 1),
            },
            (b'\\', Some(next @ (b'"' | b'/' | b'\\'))) => (u32::from(*next), 2),
            (byte, _) => (u32::from(byte), 1),
        };
        undone |= length > 1;
        out.push(value as u8);
        at += length;
    }
    undone.then_some(out)
}
