//! What each export's queue on disk holds: counters kept as rows and in memory, so that nobody
//! ever counts rows.

use super::super::StoreError;
use super::row::FifoRow;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an export's queue on disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueTotal {
    /// Unsettled events of the FIFO, damaged ones included.
    pub events: u64,
    /// Waiting retries, damaged ones included.
    pub waiting: u64,
    /// Bytes of the rows of both; a row stays whole until its last event is settled.
    pub bytes: u64,
}

impl QueueTotal {
    /// All events that stand there.
    pub fn all(self) -> u64 {
        self.events + self.waiting
    }
}

/// A total, or how it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Change {
    pub(super) events: i64,
    pub(super) waiting: i64,
    pub(super) bytes: i64,
}

impl Change {
    fn add(&mut self, other: Change) {
        self.events += other.events;
        self.waiting += other.waiting;
        self.bytes += other.bytes;
    }

    fn total(self) -> QueueTotal {
        let unsigned = |number| u64::try_from(number).unwrap_or_default();
        QueueTotal {
            events: unsigned(self.events),
            waiting: unsigned(self.waiting),
            bytes: unsigned(self.bytes),
        }
    }
}

/// What is committed, for everyone who asks.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct CommittedQueueTotals(Arc<Mutex<HashMap<Arc<str>, Change>>>);

impl CommittedQueueTotals {
    fn map(&self) -> MutexGuard<'_, HashMap<Arc<str>, Change>> {
        // A total is changed in one step, so a panic elsewhere leaves none half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in super::super) fn of(&self, export: &str) -> QueueTotal {
        self.map().get(export).copied().unwrap_or_default().total()
    }

    pub(in super::super) fn list(&self) -> Vec<(Arc<str>, QueueTotal)> {
        self.map().iter().map(|(export, total)| (Arc::clone(export), total.total())).collect()
    }
}

/// All totals: what is committed, and what the open transaction adds.
#[derive(Debug, Default)]
pub(in super::super) struct QueueTotals {
    pub(in super::super) committed: CommittedQueueTotals,
    pending: HashMap<Arc<str>, Change>,
}

impl QueueTotals {
    /// The totals as they are stored.
    pub(in super::super) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut statement =
            conn.prepare("SELECT export, events, waiting, bytes FROM queue_totals")?;
        let rows = statement.query_map([], |row| {
            let total = Change { events: row.get(1)?, waiting: row.get(2)?, bytes: row.get(3)? };
            Ok((row.get(0)?, total))
        })?;
        let totals = QueueTotals::default();
        *totals.committed.map() = rows.collect::<Result<_, _>>()?;
        Ok(totals)
    }

    pub(super) fn add(&mut self, export: &str, change: Change) {
        match self.pending.get_mut(export) {
            Some(pending) => pending.add(change),
            None => drop(self.pending.insert(export.into(), change)),
        }
    }

    /// What `from` has goes over to `to`.
    pub(in super::super) fn rename(&mut self, from: &str, to: &str) {
        let mut all = self.pending.get(from).copied().unwrap_or_default();
        all.add(self.committed.map().get(from).copied().unwrap_or_default());
        let Change { events, waiting, bytes } = all;
        self.add(to, all);
        self.add(from, Change { events: -events, waiting: -waiting, bytes: -bytes });
    }

    /// Writes what the transaction adds.
    pub(in super::super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut add = conn.prepare_cached(
            "INSERT INTO queue_totals VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (export) DO UPDATE SET events = events + excluded.events,
                waiting = waiting + excluded.waiting, bytes = bytes + excluded.bytes",
        )?;
        let mut end = conn.prepare_cached(
            "DELETE FROM queue_totals
             WHERE export = ?1 AND events = 0 AND waiting = 0 AND bytes = 0",
        )?;
        for (export, Change { events, waiting, bytes }) in &self.pending {
            add.execute(params![export, events, waiting, bytes])?;
            end.execute([export])?;
        }
        Ok(())
    }

    /// The transaction is through.
    pub(in super::super) fn commit(&mut self) {
        let mut committed = self.committed.map();
        for (export, change) in self.pending.drain() {
            let total = committed.entry(Arc::clone(&export)).or_default();
            total.add(change);
            if *total == Change::default() {
                committed.remove(&export);
            }
        }
    }

    /// The transaction came to nothing.
    pub(in super::super) fn roll_back(&mut self) {
        self.pending.clear();
    }
}

/// Counts the rows that a migration found.
pub(in super::super) fn recount(conn: &Connection) -> Result<(), StoreError> {
    let mut totals = QueueTotals::default();
    let mut fifo =
        conn.prepare("SELECT seq, events, settled, octet_length(chunk), export FROM queue")?;
    let mut rows = fifo.query([])?;
    while let Some(row) = rows.next()? {
        let events = FifoRow::get(row)?.unsettled();
        let export: Arc<str> = row.get(4)?;
        totals.add(&export, Change { events, waiting: 0, bytes: row.get(3)? });
    }
    let mut waiting = conn.prepare("SELECT export, octet_length(chunk) FROM waiting")?;
    let mut rows = waiting.query([])?;
    while let Some(row) = rows.next()? {
        let export: Arc<str> = row.get(0)?;
        totals.add(&export, Change { events: 0, waiting: 1, bytes: row.get(1)? });
    }
    Ok(totals.save(conn)?)
}
