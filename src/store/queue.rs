//! The rows of an export's queue: keeping events when the program stops, giving them back in order
//! at the next start, settling them one by one. The bytes of a row live in `chunk`.
//!
//! A row holds 1 to 256 events, numbered from its key on, so that an event's number alone leads to
//! its row and its place there. What is settled is marked in the row; the last one deletes it.

use super::chunk::{self, ChunkWriter, Kept, Restored};
use super::transaction::Tx;
use super::{Page, StoreError, page};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

impl Tx<'_> {
    /// Writes events behind those that the export's queue has.
    pub(super) fn keep(&mut self, export: &str, events: &[Kept]) -> Result<(), StoreError> {
        let mut replaced: Vec<_> = events.iter().filter_map(|event| event.replaces).collect();
        replaced.sort_unstable();
        self.settle_queued(export, &replaced)?;
        let mut open = ChunkWriter::new();
        for event in events {
            if let Some(due) = event.due {
                // In order: what came before it gets the lower number.
                self.write_chunk(export, &mut open, None)?;
                open.push(event);
                self.write_chunk(export, &mut open, Some(due))?;
                continue;
            }
            open.push(event);
            if open.is_full() {
                self.write_chunk(export, &mut open, None)?;
            }
        }
        self.write_chunk(export, &mut open, None)
    }

    fn write_chunk(
        &mut self,
        export: &str,
        open: &mut ChunkWriter,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let chunk = std::mem::replace(open, ChunkWriter::new());
        if chunk.events == 0 {
            return Ok(());
        }
        let events = chunk.events;
        let seq = self.state.ids.queue.take(events);
        self.conn.prepare_cached("INSERT INTO queue VALUES (?1, ?2, ?3, ?4, NULL, ?5)")?.execute(
            params![export, seq, events as i64, due.map(Timestamp::as_millisecond), chunk.finish()],
        )?;
        Ok(())
    }

    /// Settles events of an export's queue, by their numbers in rising order. Numbers that the
    /// queue does not have are settled already.
    pub(super) fn settle_queued(
        &mut self,
        export: &str,
        mut numbers: &[i64],
    ) -> Result<(), StoreError> {
        while let Some(&first) = numbers.first() {
            let Some(mut row) = self.queue_row(export, first)? else {
                numbers = &numbers[1..];
                continue;
            };
            let inside = numbers.partition_point(|number| *number < row.end());
            let (here, rest) = numbers.split_at(inside.max(1));
            numbers = rest;
            here.iter().for_each(|number| row.settled.set(number - row.seq));
            if row.settled.count() >= row.events {
                self.conn
                    .prepare_cached("DELETE FROM queue WHERE export = ?1 AND seq = ?2")?
                    .execute(params![export, row.seq])?;
            } else {
                self.conn
                    .prepare_cached("UPDATE queue SET settled = ?3 WHERE export = ?1 AND seq = ?2")?
                    .execute(params![export, row.seq, row.settled.0])?;
            }
        }
        Ok(())
    }

    /// The row that holds the event of that number.
    fn queue_row(&self, export: &str, number: i64) -> Result<Option<QueueRow>, StoreError> {
        let row = self
            .conn
            .prepare_cached(
                "SELECT seq, events, settled FROM queue WHERE export = ?1 AND seq <= ?2
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(params![export, number], |row| {
                let (seq, events): (i64, i64) = (row.get(0)?, row.get(1)?);
                let settled = Bitmap::new(row.get(2)?, events);
                Ok(QueueRow { seq, events: settled.size(events), settled })
            })
            .optional()?;
        Ok(row.filter(|row| number < row.end()))
    }
}

struct QueueRow {
    seq: i64,
    events: i64,
    settled: Bitmap,
}

impl QueueRow {
    /// The number behind its last one.
    fn end(&self) -> i64 {
        self.seq.saturating_add(self.events)
    }
}

/// A bit for each event of a row that is settled.
struct Bitmap(Vec<u8>);

impl Bitmap {
    fn new(stored: Option<Vec<u8>>, events: i64) -> Self {
        let mut bits = stored.unwrap_or_default();
        // What a foreign row says must not make this large; nor does a chunk hold more.
        bits.resize(
            events.clamp(1, chunk::MAX_EVENTS as i64).unsigned_abs().div_ceil(8) as usize,
            0,
        );
        Bitmap(bits)
    }

    fn size(&self, events: i64) -> i64 {
        events.clamp(1, self.0.len() as i64 * 8)
    }

    fn set(&mut self, index: i64) {
        let Ok(index) = usize::try_from(index) else { return };
        if let Some(byte) = self.0.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    fn get(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn count(&self) -> i64 {
        self.0.iter().map(|byte| i64::from(byte.count_ones())).sum()
    }
}

/// The events of an export's queue in order, of at most `limit` rows behind the cursor `after`.
pub(super) fn restore(
    conn: &Connection,
    export: &str,
    after: i64,
    limit: usize,
) -> Result<Page<Restored>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, events, due_at, settled, chunk FROM queue
         WHERE export = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query(params![export, after, page::sql_limit(limit)])?;
    let page = page::read(rows, limit, |row| {
        let first = row.get(0)?;
        let settled = Bitmap::new(row.get(3)?, row.get(1)?);
        let due = super::times::get_option(row, 2)?;
        let bytes = row.get_ref(4)?.as_blob()?;
        chunk::read(bytes, first, due, |index| settled.get(index))
            .ok_or_else(|| page::foreign(4, "not a chunk"))
    })?;
    Ok(Page {
        items: page.items.into_iter().flatten().collect(),
        skipped: page.skipped,
        next: page.next,
    })
}

/// The exports that have events in the queue, without reading each row.
pub(super) fn exports(conn: &Connection) -> Result<Vec<Arc<str>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT MIN(export) FROM queue WHERE export > ?1")?;
    let mut exports: Vec<Arc<str>> = Vec::new();
    loop {
        let after = exports.last().map_or("", |export| export);
        let next: Option<Arc<str>> = statement.query_row([after], |row| row.get(0))?;
        match next {
            Some(export) => exports.push(export),
            None => return Ok(exports),
        }
    }
}
