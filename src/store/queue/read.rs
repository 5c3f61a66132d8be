//! Reading an export's queue in pages. The writer copies rows; whoever asked makes events of them.

use super::super::StoreError;
use super::super::chunk::ChunkReader;
use super::super::page;
use super::row::FifoRow;
use super::{QueuePage, WaitingPage};
use crate::delivery::RowId;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

/// Which part of a FIFO is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) after: i64,
    pub(super) up_to: i64,
    pub(super) max_events: usize,
    pub(super) max_bytes: usize,
}

impl Asked {
    /// How many events of a row are asked for.
    fn of(&self, row: &FifoRow) -> usize {
        (row.seq..row.end()).filter(|number| self.takes(row, *number)).count()
    }

    fn takes(&self, row: &FifoRow, number: i64) -> bool {
        self.after < number && number <= self.up_to && !row.is_settled(number)
    }
}

/// Rows of a FIFO with their chunks.
#[derive(Debug, Default)]
pub(super) struct FifoRows {
    rows: Vec<(FifoRow, Vec<u8>)>,
    /// Whether there are further ones that were asked for.
    more: bool,
}

/// The rows that hold what is asked for.
pub(super) fn fifo_rows(
    conn: &Connection,
    export: &str,
    asked: Asked,
) -> Result<FifoRows, StoreError> {
    let mut found = FifoRows::default();
    let Some(first) = asked.after.checked_add(1) else { return Ok(found) };
    // The first one may begin before it.
    let mut statement = conn.prepare_cached(
        "SELECT seq, events, settled, chunk FROM queue
         WHERE export = ?1 AND seq <= ?3 AND seq >= IFNULL(
            (SELECT MAX(seq) FROM queue WHERE export = ?1 AND seq <= ?2), ?2)
         ORDER BY seq",
    )?;
    let mut rows = statement.query(params![export, first, asked.up_to])?;
    let (mut events, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let fifo = match FifoRow::get(row) {
            Ok(fifo) if fifo.end() <= first => continue,
            Ok(fifo) => fifo,
            // Without a number nothing could settle it either.
            Err(error) if page::is_foreign(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        if events >= asked.max_events.max(1) || (events > 0 && bytes >= asked.max_bytes) {
            found.more = true;
            break;
        }
        let wanted = asked.of(&fifo);
        // A row that does not know how many events it has can't be read.
        let readable = wanted > 0 && row.get_ref(1)?.as_i64().is_ok();
        let chunk = if readable { chunk(row, 3)? } else { Vec::new() };
        events += wanted;
        bytes += chunk.len() * wanted / fifo.events.unsigned_abs() as usize;
        found.rows.push((fifo, chunk));
    }
    Ok(found)
}

/// The bytes of a column; what is no chunk is not one without bytes either.
fn chunk(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(column)?.as_blob().unwrap_or_default().to_vec())
}

/// The page that rows make.
pub(super) fn fifo_page(found: &FifoRows, asked: Asked) -> QueuePage {
    let mut page = QueuePage { events: Vec::new(), next: asked.after, damaged: 0, done: false };
    let mut bytes = 0;
    for (row, chunk) in &found.rows {
        let mut reader = ChunkReader::new(chunk);
        for number in (row.seq..row.end()).take_while(|number| *number <= asked.up_to) {
            if !asked.takes(row, number) {
                reader = reader.and_then(|mut reader| reader.skip().map(|()| reader));
                page.next = page.next.max(number);
                continue;
            }
            let read = page.events.len();
            if read > 0 && (read >= asked.max_events || bytes >= asked.max_bytes) {
                return page;
            }
            let event =
                reader.as_mut().and_then(|reader| reader.next(RowId { number, due_ms: None }));
            page.next = number;
            match event {
                Some(Some(event)) => {
                    bytes += event.delivery.bytes;
                    page.events.push(event);
                }
                Some(None) => page.damaged += 1,
                None => {
                    reader = None;
                    page.damaged += 1;
                }
            }
        }
    }
    page.done = !found.more;
    page
}

/// Rows of waiting retries.
#[derive(Debug, Default)]
pub(super) struct WaitingRows {
    rows: Vec<(RowId, Vec<u8>)>,
    next_due_ms: Option<i64>,
}

/// The waiting retries behind `after`.
pub(super) fn waiting_rows(
    conn: &Connection,
    export: &str,
    after: Option<RowId>,
    max_events: usize,
    max_bytes: usize,
) -> Result<WaitingRows, StoreError> {
    let max_events = max_events.max(1);
    let (due_ms, number) = match after {
        Some(row) => (row.due_ms.unwrap_or(i64::MIN), row.number),
        None => (i64::MIN, i64::MIN),
    };
    let mut statement = conn.prepare_cached(
        "SELECT due_at, number, chunk FROM waiting
         WHERE export = ?1 AND (due_at, number) > (?2, ?3) ORDER BY due_at, number LIMIT ?4",
    )?;
    let mut rows = statement.query(params![export, due_ms, number, page::sql_limit(max_events)])?;
    let (mut found, mut bytes) = (WaitingRows::default(), 0);
    while let Some(row) = rows.next()? {
        // Without a number nothing could settle it either.
        let Ok(due_ms) = row.get_ref(0)?.as_i64() else { continue };
        let Ok(number) = row.get_ref(1)?.as_i64() else { continue };
        let read = found.rows.len();
        if read == max_events || (read > 0 && bytes >= max_bytes) {
            found.next_due_ms = Some(due_ms);
            break;
        }
        let chunk = chunk(row, 2)?;
        bytes += chunk.len();
        found.rows.push((RowId { number, due_ms: Some(due_ms) }, chunk));
    }
    Ok(found)
}

/// The page that rows behind `after` make.
pub(super) fn waiting_page(found: &WaitingRows, after: Option<RowId>) -> WaitingPage {
    let mut page = WaitingPage {
        events: Vec::with_capacity(found.rows.len()),
        next: found.rows.last().map(|(row, _)| *row).or(after),
        next_due: found.next_due_ms.map(time),
        damaged: Vec::new(),
    };
    for (row, chunk) in &found.rows {
        match ChunkReader::new(chunk).and_then(|mut reader| reader.next(*row)).flatten() {
            Some(event) => page.events.push(event),
            None => page.damaged.push(*row),
        }
    }
    page
}

/// The time nearest to one that no calendar may have.
fn time(ms: i64) -> Timestamp {
    let nearest = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(nearest)
}

/// The highest number of a FIFO; 0 where it is empty.
pub(super) fn last_number(conn: &Connection, export: &str) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, events, settled FROM queue WHERE export = ?1 ORDER BY seq DESC LIMIT 1",
    )?;
    let mut rows = statement.query([export])?;
    Ok(rows.next()?.map(FifoRow::get).transpose()?.map_or(0, |row| row.end() - 1))
}
