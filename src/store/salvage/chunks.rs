//! Rows of queues whose chunks are damaged: what of them is whole is put into chunks of their own.

use crate::delivery::{DeliveryId, RowId};
use crate::event::Position;
use crate::store::StoreError;
use crate::store::chunk::remains::{self, Place, Whole};
use crate::store::chunk::{ChunkReader, ChunkWriter, MAX_EVENTS};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashSet};

/// The tables whose rows are chunks.
pub(super) const QUEUE: &str = "queue";
pub(super) const WAITING: &str = "waiting";

const NOWHERE: RowId = RowId { number: 0, due_ms: None };

/// A row of the FIFO, as it was.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) export: &'a str,
    pub(super) seq: i64,
    events: usize,
    settled: &'a [u8],
    pub(super) chunk: &'a [u8],
}

impl<'a> Row<'a> {
    /// The row that has these values in these columns; `None` where it is none of the FIFO.
    pub(super) fn of(columns: &[String], values: &'a [Value]) -> Option<Self> {
        let value = |name: &str| values.get(columns.iter().position(|column| column == name)?);
        let Value::Text(export) = value("export")? else { return None };
        let Value::Integer(seq) = value("seq")? else { return None };
        let Value::Blob(chunk) = value("chunk")? else { return None };
        let events = match value("events")? {
            Value::Integer(events) => usize::try_from(*events).unwrap_or(1),
            _ => 1,
        };
        let settled: &[u8] = match value("settled")? {
            Value::Blob(settled) => settled,
            _ => &[],
        };
        Some(Row { export, seq: *seq, events: events.clamp(1, MAX_EVENTS), settled, chunk })
    }

    fn is_settled(&self, index: usize) -> bool {
        self.settled.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Whether all that is not settled can be read.
    pub(super) fn is_whole(&self) -> bool {
        let Some(mut reader) = ChunkReader::new(self.chunk) else { return false };
        (0..self.events).all(|index| match self.is_settled(index) {
            true => reader.skip().is_some(),
            false => matches!(reader.next(NOWHERE), Some(Some(_))),
        })
    }

    /// Writes what is whole of it and not settled, in the row's place; `intact`: so many of the
    /// chunk's first bytes are known to be in their place. Where it can't be told whether an event
    /// is settled, it counts as not.
    pub(super) fn put_remains(
        &self,
        fresh: &Connection,
        intact: usize,
    ) -> Result<usize, StoreError> {
        let due = |whole: &Whole| match whole.place {
            Place::FromStart(index) => !self.is_settled(index),
            Place::FromEnd(index) => {
                self.events.checked_sub(index).is_none_or(|index| !self.is_settled(index))
            }
            Place::Unknown => true,
        };
        let whole = remains::of(self.chunk, intact);
        let events: Vec<_> = whole.into_iter().filter(due).map(|whole| whole.event).collect();
        // More than there were would take the next row's numbers.
        let events = &events[..events.len().min(self.events)];
        put(fresh, self.export, self.seq, events)?;
        Ok(events.len())
    }
}

/// Whether the chunk of a waiting retry can be read.
pub(super) fn is_whole_retry(columns: &[String], values: &[Value]) -> bool {
    let chunk = columns.iter().position(|column| column == "chunk").and_then(|at| values.get(at));
    let Some(Value::Blob(chunk)) = chunk else { return false };
    let event = ChunkReader::new(chunk).and_then(|mut reader| reader.next(NOWHERE));
    matches!(event, Some(Some(_)))
}

/// Writes events as one row.
fn put(fresh: &Connection, export: &str, seq: i64, events: &[Vec<u8>]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut chunk = ChunkWriter::new();
    events.iter().for_each(|event| chunk.push_raw(event));
    fresh
        .prepare_cached(
            "INSERT OR IGNORE INTO queue (export, seq, events, settled, chunk)
             VALUES (?1, ?2, ?3, NULL, ?4)",
        )?
        .execute(params![export, seq, events.len() as i64, chunk.finish()])?;
    Ok(())
}

/// Events whose rows are lost: which export they are of is told by their ids.
#[derive(Debug, Default)]
pub(super) struct Strays {
    events: BTreeMap<String, Vec<Stray>>,
    ids: HashSet<DeliveryId>,
}

/// One of them.
#[derive(Debug)]
struct Stray {
    id: DeliveryId,
    accepted_at: i64,
    position: Position,
    event: Vec<u8>,
}

impl Strays {
    /// Takes up what is whole in the rest of a chunk. Which of its events were settled is lost with
    /// its row: they come again, under the same ids.
    pub(super) fn add(&mut self, rest: &[u8], exports: &[String]) {
        for Whole { event, restored, .. } in remains::of(rest, 0) {
            let (id, origin) = (&restored.delivery.id, &restored.delivery.event.origin);
            let is_of = |export: &&String| DeliveryId::new(export, &origin.position) == *id;
            let export = match exports {
                [only] => Some(only),
                all => all.iter().find(is_of),
            };
            if let Some(export) = export
                && self.ids.insert(*id)
            {
                let (id, position) = (*id, origin.position);
                let accepted_at = origin.accepted_at.as_millisecond();
                let stray = Stray { id, accepted_at, position, event };
                self.events.entry(export.clone()).or_default().push(stray);
            }
        }
    }

    /// Writes them behind all others, in the order in which they were accepted.
    pub(super) fn put(mut self, fresh: &Connection) -> Result<usize, StoreError> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        self.leave_out_known(fresh)?;
        let last = "SELECT MAX(IFNULL((SELECT value FROM counters WHERE name = 'queue'), 0),
                IFNULL((SELECT MAX(seq + events) FROM queue), 0))";
        let last: i64 = fresh.query_row(last, [], |row| row.get(0))?;
        let (mut seq, mut count) = (last.saturating_add(1), 0);
        for (export, mut events) in self.events {
            events.retain(|stray| self.ids.contains(&stray.id));
            events.sort_by_key(|Stray { accepted_at, position, .. }| {
                (*accepted_at, *position.stream.as_bytes(), position.offset, position.index)
            });
            let events: Vec<_> = events.into_iter().map(|stray| stray.event).collect();
            for chunk in events.chunks(MAX_EVENTS) {
                put(fresh, &export, seq, chunk)?;
                seq = seq.saturating_add(chunk.len() as i64);
            }
            count += events.len();
        }
        Ok(count)
    }

    /// A page may hold what was in it before: what has a row, too.
    fn leave_out_known(&mut self, fresh: &Connection) -> Result<(), StoreError> {
        let mut rows =
            fresh.prepare("SELECT chunk FROM queue UNION ALL SELECT chunk FROM waiting")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let chunk: Vec<u8> = row.get(0)?;
            let Some(mut reader) = ChunkReader::new(&chunk) else { continue };
            while let Some(event) = reader.next(NOWHERE) {
                if let Some(event) = event {
                    self.ids.remove(&event.delivery.id);
                }
            }
        }
        Ok(())
    }
}
