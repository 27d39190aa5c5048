//! Numbers of eight bytes that are times of certain days, in files that are no SQLite: pages and
//! write-ahead logs of PostgreSQL, and whatever keeps numbers as this machine does, little-endian.

use std::ops::RangeInclusive;

/// Milliseconds from 1970 to 2000, from where PostgreSQL counts microseconds.
const YEAR_2000_MS: u64 = 946_684_800_000;

/// Every time in `days`, both in Unix milliseconds: in milliseconds, in microseconds since 2000, and
/// in seconds, these only where columns stand, at multiples of eight.
pub fn times(bytes: &[u8], days: &RangeInclusive<u64>) -> Vec<u64> {
    let mut found = Vec::new();
    for (at, word) in bytes.windows(8).enumerate() {
        let number = word
            .iter()
            .rev()
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        let seconds = at.is_multiple_of(8).then(|| number.saturating_mul(1000));
        let forms = [number, (number / 1000).saturating_add(YEAR_2000_MS)];
        found.extend(
            forms
                .into_iter()
                .chain(seconds)
                .filter(|time| days.contains(time)),
        );
    }
    found
}
