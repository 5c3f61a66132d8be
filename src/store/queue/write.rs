//! Writing an export's queue: keeping, settling and rescheduling events. Bytes are made before
//! they reach the writer; it numbers them and marks what is settled.

use super::super::StoreError;
use super::super::chunk::{ChunkWriter, Kept};
use super::super::page;
use super::super::transaction::Tx;
use super::row::{FifoRow, no_bits};
use super::totals::Change;
use crate::delivery::RowId;
use rusqlite::{OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// Events to keep, as the rows that they will be.
#[derive(Debug, Default)]
pub(in super::super) struct Parcel {
    /// How many events of the FIFO, and their chunk.
    chunks: Vec<(usize, Vec<u8>)>,
    /// Of a waiting retry when it is due, and its chunk.
    waiting: Vec<(i64, Vec<u8>)>,
    /// When each event is due, in the order in which they came.
    due_ms: Vec<Option<i64>>,
    replaced: Vec<RowId>,
}

impl Parcel {
    pub(in super::super) fn pack(events: &[Kept]) -> Self {
        let mut parcel = Parcel::default();
        let mut open = ChunkWriter::new();
        for kept in events {
            parcel.replaced.extend(kept.replaces);
            let due_ms = kept.due.map(|due| due.as_millisecond());
            parcel.due_ms.push(due_ms);
            match due_ms {
                Some(due_ms) => parcel.waiting.push((due_ms, single(kept))),
                None => {
                    open.push(kept);
                    if open.is_full() {
                        parcel.close(std::mem::replace(&mut open, ChunkWriter::new()));
                    }
                }
            }
        }
        parcel.close(open);
        parcel
    }

    fn close(&mut self, chunk: ChunkWriter) {
        if chunk.events > 0 {
            self.chunks.push((chunk.events, chunk.finish()));
        }
    }

    /// How many rows it writes or changes at most, and about how many bytes.
    pub(in super::super) fn size(&self) -> (usize, usize) {
        let rows = self.chunks.len() + self.waiting.len() + self.replaced.len();
        let chunks = self.chunks.iter().map(|(_, chunk)| chunk.len());
        let waiting = self.waiting.iter().map(|(_, chunk)| chunk.len());
        (rows, chunks.chain(waiting).sum())
    }
}

/// The chunk of one event alone.
fn single(kept: &Kept) -> Vec<u8> {
    let mut chunk = ChunkWriter::new();
    chunk.push(kept);
    chunk.finish()
}

/// A change of an event that nobody waits for.
#[derive(Debug)]
pub(in super::super) enum QueueChange {
    /// It is settled.
    Settled(RowId),
    /// Its next attempt is due at another time.
    Moved(Move),
}

/// A retry on its way to the waiting ones.
#[derive(Debug)]
pub(in super::super) struct Move {
    old: RowId,
    pub(super) new: RowId,
    chunk: Vec<u8>,
}

impl Move {
    /// The move of what `kept` replaces; `None` where it replaces nothing or is not due.
    pub(super) fn of(kept: &Kept) -> Option<Self> {
        let old = kept.replaces?;
        let due_ms = kept.due?.as_millisecond();
        let new = RowId { number: old.number, due_ms: Some(due_ms) };
        Some(Move { old, new, chunk: single(kept) })
    }
}

impl Tx<'_> {
    /// Writes events to the export's queue; returns where each stands.
    pub(in super::super) fn keep(
        &mut self,
        export: &str,
        parcel: &Parcel,
    ) -> Result<Vec<RowId>, StoreError> {
        let mut marks = Marks::default();
        for row in &parcel.replaced {
            self.settle(export, *row, &mut marks)?;
        }
        self.save_marks(export, marks)?;
        let mut fifo = Vec::new();
        for (events, chunk) in &parcel.chunks {
            let seq = self.state.ids.queue.take(*events);
            self.conn
                .prepare_cached(
                    "INSERT INTO queue (export, seq, events, settled, chunk)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![export, seq, *events as i64, no_bits(*events), chunk])?;
            let (events, bytes) = (*events as i64, chunk.len() as i64);
            self.state.queue_totals.add(export, Change { events, waiting: 0, bytes });
            fifo.extend(seq..seq + events);
        }
        let mut waiting = Vec::with_capacity(parcel.waiting.len());
        for (due_ms, chunk) in &parcel.waiting {
            let row = RowId { number: self.state.ids.queue.next(), due_ms: Some(*due_ms) };
            self.wait(export, row, chunk)?;
            waiting.push(row.number);
        }
        let (mut fifo, mut waiting) = (fifo.into_iter(), waiting.into_iter());
        let row = |due_ms: &Option<i64>| {
            let number = if due_ms.is_some() { waiting.next() } else { fifo.next() };
            Some(RowId { number: number?, due_ms: *due_ms })
        };
        Ok(parcel.due_ms.iter().filter_map(row).collect())
    }

    /// Settles and moves events of the export's queue, in this order. Those that it does not have
    /// are settled already, and stay so.
    pub(in super::super) fn change_queue<'a>(
        &mut self,
        export: &str,
        changes: impl IntoIterator<Item = &'a QueueChange>,
    ) -> Result<(), StoreError> {
        let mut marks = Marks::default();
        for change in changes {
            match change {
                QueueChange::Settled(row) => drop(self.settle(export, *row, &mut marks)?),
                QueueChange::Moved(Move { old, new, chunk }) => {
                    if self.settle(export, *old, &mut marks)? {
                        self.wait(export, *new, chunk)?;
                    }
                }
            }
        }
        self.save_marks(export, marks)
    }

    /// Settles one event of the export's queue.
    pub(in super::super) fn settle_queued(
        &mut self,
        export: &str,
        row: RowId,
    ) -> Result<(), StoreError> {
        self.change_queue(export, &[QueueChange::Settled(row)])
    }

    /// Writes a waiting retry.
    fn wait(&mut self, export: &str, row: RowId, chunk: &[u8]) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO waiting (export, due_at, number, chunk) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![export, row.due_ms, row.number, chunk])?;
        let change = Change { events: 0, waiting: 1, bytes: chunk.len() as i64 };
        self.state.queue_totals.add(export, change);
        Ok(())
    }

    /// Settles an event; whether it was not yet settled.
    fn settle(&mut self, export: &str, row: RowId, marks: &mut Marks) -> Result<bool, StoreError> {
        let Some(due_ms) = row.due_ms else { return self.mark_settled(export, row.number, marks) };
        let bytes: Option<i64> = self
            .conn
            .prepare_cached(
                "DELETE FROM waiting WHERE export = ?1 AND due_at = ?2 AND number = ?3
                 RETURNING octet_length(chunk)",
            )?
            .query_row(params![export, due_ms, row.number], |row| row.get(0))
            .optional()?;
        if let Some(bytes) = bytes {
            self.state.queue_totals.add(export, Change { events: 0, waiting: -1, bytes: -bytes });
        }
        Ok(bytes.is_some())
    }

    /// Marks an event of the FIFO as settled; whether it was not yet.
    fn mark_settled(
        &self,
        export: &str,
        number: i64,
        marks: &mut Marks,
    ) -> Result<bool, StoreError> {
        if let Some(row) = marks.row(number) {
            return Ok(row.settle(number));
        }
        let found = self
            .conn
            .prepare_cached(
                "SELECT seq, events, settled, octet_length(chunk) FROM queue
                 WHERE export = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(params![export, number], Marked::get)
            .optional();
        let mut marked = match found {
            Ok(Some(marked)) if number < marked.row.end() => marked,
            Ok(_) => return Ok(false),
            // A damaged row must not fail every commit from now on.
            Err(error) if page::is_foreign(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let fresh = marked.row.settle(number);
        marks.0.insert(marked.row.seq, marked);
        Ok(fresh)
    }

    /// Writes what was marked; a row without unsettled events is deleted.
    fn save_marks(&mut self, export: &str, marks: Marks) -> Result<(), StoreError> {
        let mut change = Change::default();
        for Marked { row, before, bytes } in marks.0.values() {
            let left = row.unsettled();
            change.events += left - before;
            if left > 0 {
                self.conn
                    .prepare_cached("UPDATE queue SET settled = ?3 WHERE export = ?1 AND seq = ?2")?
                    .execute(params![export, row.seq, row.bits()])?;
                continue;
            }
            self.conn
                .prepare_cached("DELETE FROM queue WHERE export = ?1 AND seq = ?2")?
                .execute(params![export, row.seq])?;
            change.bytes -= bytes;
        }
        if change != Change::default() {
            self.state.queue_totals.add(export, change);
        }
        Ok(())
    }
}

/// Rows of one export's FIFO in which events were marked, by their first numbers: each is written
/// once, however many of its events are settled.
#[derive(Debug, Default)]
struct Marks(BTreeMap<i64, Marked>);

#[derive(Debug)]
struct Marked {
    row: FifoRow,
    /// How many of its events were not settled.
    before: i64,
    /// Of its chunk.
    bytes: i64,
}

impl Marks {
    fn row(&mut self, number: i64) -> Option<&mut FifoRow> {
        let (_, Marked { row, .. }) = self.0.range_mut(..=number).next_back()?;
        (number < row.end()).then_some(row)
    }
}

impl Marked {
    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (row, bytes) = (FifoRow::get(row)?, row.get(3)?);
        Ok(Marked { before: row.unsettled(), row, bytes })
    }
}
