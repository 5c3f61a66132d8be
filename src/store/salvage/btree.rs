//! What stands in one page of a table, as SQLite's file format says: cells, and the records in
//! them. Pure, over bytes that may be anything: nothing here panics, and nothing grows beyond what
//! it was given.

use super::pages::number;
use crate::store::database::PAGE_BYTES;
use rusqlite::types::Value;

/// More columns than any table has.
const MAX_COLUMNS: usize = 64;

/// Which kind of tree a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The leaf of a table with row ids.
    Rows,
    /// A page of a table without, or of an index: inner ones hold records, too.
    Records { inner: bool },
}

/// A cell: a record, of which the page may have only the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) rowid: Option<i64>,
    /// What the page has of it.
    pub(super) local: &'a [u8],
    /// How long all of it is.
    pub(super) len: usize,
    /// The page on which it goes on.
    pub(super) overflow: Option<u32>,
}

/// The kind of a page that may hold records.
pub(super) fn kind(page: &[u8]) -> Option<Kind> {
    match page.first()? {
        0x0d => Some(Kind::Rows),
        0x0a => Some(Kind::Records { inner: false }),
        0x02 => Some(Kind::Records { inner: true }),
        _ => None,
    }
}

/// The cells of a page; what can't be one is left out.
pub(super) fn cells(page: &[u8]) -> Vec<Cell<'_>> {
    let Some(kind) = kind(page) else { return Vec::new() };
    let head = if kind == (Kind::Records { inner: true }) { 12 } else { 8 };
    let count = short(page, 3);
    let first = head + 2 * count;
    // The room between them and the page's end would not take so many.
    if first > page.len() {
        return Vec::new();
    }
    let places = (0..count).map(|index| short(page, head + 2 * index));
    places.filter(|at| *at >= first).filter_map(|at| cell(page, at, kind)).collect()
}

fn cell(page: &[u8], at: usize, kind: Kind) -> Option<Cell<'_>> {
    let mut from = page.get(at..)?;
    if kind == (Kind::Records { inner: true }) {
        from = from.get(4..)?;
    }
    let len = usize::try_from(varint(&mut from)?).ok()?;
    let (rowid, most) = match kind {
        Kind::Rows => (Some(varint(&mut from)? as i64), PAGE_BYTES - 35),
        Kind::Records { .. } => (None, (PAGE_BYTES - 12) * 64 / 255 - 23),
    };
    let least = (PAGE_BYTES - 12) * 32 / 255 - 23;
    if len <= most {
        return Some(Cell { rowid, local: from.get(..len)?, len, overflow: None });
    }
    let fits = least + (len - least) % (PAGE_BYTES - 4);
    let local = if fits <= most { fits } else { least };
    let overflow = Some(number(from.get(local..local + 4)?, 0));
    Some(Cell { rowid, local: from.get(..local)?, len, overflow })
}

/// The values of a record; the last one may be cut short where `bytes` are not all of it, and only
/// a BLOB may be.
pub(super) fn record(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut head = bytes;
    let head_len = usize::try_from(varint(&mut head)?).ok()?;
    let behind = bytes.get(head_len..)?;
    let mut head = bytes.get(bytes.len() - head.len()..head_len)?;
    let (mut values, mut rest) = (Vec::new(), behind);
    while !head.is_empty() {
        let kind = varint(&mut head)?;
        if values.len() == MAX_COLUMNS {
            return None;
        }
        let last = head.is_empty();
        values.push(value(kind, &mut rest, last)?);
    }
    Some(values)
}

fn value(kind: u64, from: &mut &[u8], last: bool) -> Option<Value> {
    let mut take = |len: usize| {
        let (taken, rest) = from.split_at_checked(len)?;
        *from = rest;
        Some(taken)
    };
    let integer = |bytes: &[u8]| {
        let first = i64::from(bytes.first().copied().unwrap_or_default() as i8);
        bytes.iter().skip(1).fold(first, |number, byte| number << 8 | i64::from(*byte))
    };
    Some(match kind {
        0 => Value::Null,
        1..=4 => Value::Integer(integer(take(kind as usize)?)),
        5 => Value::Integer(integer(take(6)?)),
        6 => Value::Integer(integer(take(8)?)),
        7 => Value::Real(f64::from_bits(integer(take(8)?) as u64)),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        12.. => {
            let len = usize::try_from((kind - 12) / 2).ok()?;
            if kind % 2 == 1 {
                Value::Text(str::from_utf8(take(len)?).ok()?.to_owned())
            } else {
                let there = if last { len.min(from.len()) } else { len };
                let (blob, rest) = from.split_at_checked(there)?;
                *from = rest;
                Value::Blob(blob.to_vec())
            }
        }
        _ => return None,
    })
}

fn short(page: &[u8], at: usize) -> usize {
    let bytes = page.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes).into())
}

/// SQLite's number of variable length: seven bits a byte, highest first, all eight of the ninth.
fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..9 {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        if place == 8 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn foreign_pages_never_panic(
            mut page in prop::collection::vec(any::<u8>(), 0..PAGE_BYTES),
            kind in prop::sample::select(vec![2u8, 5, 10, 13]),
            cells_there in 0u8..20,
        ) {
            for (at, byte) in [(0, kind), (3, 0), (4, cells_there)] {
                page.get_mut(at).into_iter().for_each(|there| *there = byte);
            }
            for cell in cells(&page) {
                prop_assert!(cell.local.len() <= page.len());
                let _ = record(cell.local);
            }
            let _ = record(&page);
        }
    }

    #[test]
    fn records_are_read_as_sqlite_wrote_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(
            "PRAGMA page_size = 4096;
             CREATE TABLE t (a, b, c, d, e, f, g BLOB);
             INSERT INTO t VALUES (NULL, 0, 1, -300, 'text', 1.5, x'0102'),
                (9223372036854775807, -8388608, 70000, 5000000000, '', -2, zeroblob(5000));",
        )
        .unwrap();
        drop(conn);
        let file = std::fs::read(path).unwrap();
        let cells = cells(&file[PAGE_BYTES..]);
        assert_eq!(cells.iter().map(|cell| cell.rowid).collect::<Vec<_>>(), [Some(1), Some(2)]);
        let int = Value::Integer;
        assert_eq!(
            record(cells[0].local).unwrap(),
            [
                Value::Null,
                int(0),
                int(1),
                int(-300),
                Value::Text("text".into()),
                Value::Real(1.5),
                Value::Blob(vec![1, 2])
            ]
        );
        let long = record(cells[1].local).unwrap();
        assert_eq!(long[..3], [int(i64::MAX), int(-8_388_608), int(70_000)]);
        assert_eq!((&long[3], &long[5]), (&int(5_000_000_000), &int(-2)));
        assert!(cells[1].overflow.is_some_and(|page| page > 2) && cells[1].len > 5000);
    }
}
