//! The rows of a SQLite file or its write-ahead log, as far as times need them: the integers of each
//! cell of a table's leaf page, without the schema (file format, sections 1.6 and 2.1). Rows that were
//! deleted and not overwritten are read too: who has the disk has them.

/// The integers of one row.
pub struct Row {
    pub integers: Vec<u64>,
}

const TABLE_LEAF: u8 = 0x0d;
const WAL_HEADER: usize = 32;
const WAL_FRAME: usize = 24;

/// All rows, or `None` if the bytes are of another kind.
pub fn rows(bytes: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    if bytes.starts_with(b"SQLite format 3\0") {
        let size = match be(bytes, 16, 2) {
            Some(1) => 65_536,
            Some(size) => size as usize,
            None => return None,
        };
        if size.is_power_of_two() && size >= 512 {
            for (index, page) in bytes.chunks_exact(size).enumerate() {
                // The first page begins behind the file's header.
                leaf(page, if index == 0 { 100 } else { 0 }, &mut rows);
            }
        }
    } else if matches!(be(bytes, 0, 4), Some(0x377f_0682 | 0x377f_0683)) {
        let size = be(bytes, 8, 4).unwrap_or_default() as usize;
        if size.is_power_of_two() && (512..=65_536).contains(&size) {
            let frames = bytes.get(WAL_HEADER..).unwrap_or_default();
            for frame in frames.chunks_exact(WAL_FRAME + size) {
                leaf(&frame[WAL_FRAME..], 0, &mut rows);
            }
        }
    } else {
        return None;
    }
    Some(rows)
}

fn leaf(page: &[u8], at: usize, rows: &mut Vec<Row>) {
    if page.get(at) != Some(&TABLE_LEAF) {
        return;
    }
    let count = be(page, at + 3, 2).unwrap_or_default() as usize;
    for cell in 0..count {
        let pointer = be(page, at + 8 + 2 * cell, 2);
        let row = pointer.and_then(|pointer| row(page, pointer as usize));
        rows.extend(row);
    }
}

/// One cell: payload length, row id, then the record.
fn row(page: &[u8], mut at: usize) -> Option<Row> {
    varint(page, &mut at)?;
    let mut integers = vec![varint(page, &mut at)?];
    let begin = at;
    let header = usize::try_from(varint(page, &mut at)?).ok()?;
    let end = begin.checked_add(header)?;
    let mut value = end;
    while at < end {
        let kind = varint(page, &mut at)?;
        let length = match kind {
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            kind if kind >= 12 => usize::try_from((kind - 12) / 2).ok()?,
            _ => 0,
        };
        if (1..=6).contains(&kind) {
            // What lies on another page is left out.
            match be(page, value, length) {
                Some(integer) => integers.push(integer),
                None => break,
            }
        }
        value = value.checked_add(length)?;
    }
    Some(Row { integers })
}

fn be(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)),
    )
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some((value << 8) | u64::from(byte));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}
