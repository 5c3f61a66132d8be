//! An export's queue on disk: a FIFO of events and, beside it, retries that wait until they are
//! due. What is here is the way in; what a page holds is decided by those who ask.
//!
//! A row of the FIFO holds 1 to 256 events, numbered from its key on, so that an event's number
//! alone leads to its row and its place there. What is settled is marked in the row; the last one
//! deletes it. A waiting retry has a row of its own, keyed by when it is due. The bytes of both
//! live in `chunk`.

#[cfg(test)]
mod model;
mod read;
mod removed;
mod row;
#[cfg(test)]
mod tests;
mod totals;
mod write;

pub use totals::QueueTotal;
pub(super) use totals::{CommittedQueueTotals, QueueTotals, recount};
pub(super) use write::{Move, Parcel, QueueChange};

use super::chunk::{Kept, Restored};
use super::{Store, StoreError};
use crate::delivery::RowId;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Events of a FIFO, in order.
#[derive(Debug)]
pub struct QueuePage {
    /// The events.
    pub events: Vec<Restored>,
    /// Number of the last event looked at, settled and damaged ones included: hand it in as
    /// `after` for the next page.
    pub next: i64,
    /// Events looked at that could not be read; they stay in the store.
    pub damaged: u64,
    /// Whether there is nothing behind `next` up to where was asked for.
    pub done: bool,
}

/// Waiting retries, in the order in which they are due.
#[derive(Debug)]
pub struct WaitingPage {
    /// The retries.
    pub events: Vec<Restored>,
    /// The last one looked at, damaged ones included: hand it in as `after` for the next page.
    pub next: Option<RowId>,
    /// When the first one behind this page is due; `None`: there is none.
    pub next_due: Option<Timestamp>,
    /// Retries looked at that could not be read; they stay in the store.
    pub damaged: Vec<RowId>,
}

impl Store {
    /// Writes events to an export's queue: those without a due time behind those of its FIFO, in
    /// this order, the others to wait; what they replace is settled in the same transaction. On
    /// disk when this returns. Returns where they stand, in the order of `events`.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn keep(&self, export: &str, events: Vec<Kept>) -> Result<Vec<RowId>, StoreError> {
        let export: Arc<str> = export.into();
        let parcel = Parcel::pack(&events);
        drop(events);
        self.write(parcel.size(), move |tx| tx.keep(&export, &parcel)).await
    }

    /// The FIFO's unsettled events with `after` < number <= `up_to`, in order: at most
    /// `max_events` and about `max_bytes` of text, but at least one. They stay in the store until
    /// they are settled, and what riders settle is still read until the next commit.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn queue_page(
        &self,
        export: &str,
        after: i64,
        up_to: i64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<QueuePage, StoreError> {
        let asked = read::Asked { after, up_to, max_events, max_bytes };
        let export = export.to_owned();
        // Decoded here: the writer only copies bytes.
        let found = self.between("read", move |conn| read::fifo_rows(conn, &export, asked)).await?;
        Ok(read::fifo_page(&found, asked))
    }

    /// Waiting retries behind `after` (`None`: from the first) in the order in which they are due:
    /// at most `max_events` and about `max_bytes`, but at least one. All that was rescheduled or
    /// settled before this call is taken into account and on disk when it returns.
    ///
    /// # Errors
    /// When the store can't be read, or the commit of what was rescheduled fails.
    pub async fn waiting_page(
        &self,
        export: &str,
        after: Option<RowId>,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<WaitingPage, StoreError> {
        let export = export.to_owned();
        let found = self
            .write_freeing((1, 0), move |tx| {
                read::waiting_rows(tx.conn, &export, after, max_events, max_bytes)
            })
            .await?;
        Ok(read::waiting_page(&found, after))
    }

    /// The highest number in an export's FIFO; 0 where it is empty.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn last_number(&self, export: &str) -> Result<i64, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| read::last_number(conn, &export)).await
    }

    /// Settles an event; written with the next commit.
    pub fn settle_row(&self, export: &Arc<str>, row: RowId) {
        self.ride(|riders| riders.change_queue(export, QueueChange::Settled(row)));
    }

    /// Moves the event that `kept` replaces to the waiting ones, under its new due time and with
    /// its new tries; written with the next commit. Returns at once where it stands then: it keeps
    /// its number. `None`, and nothing is done, where `kept` replaces nothing or is not due. An
    /// event that is settled by then stays so.
    pub fn reschedule(&self, export: &Arc<str>, kept: Kept) -> Option<RowId> {
        let moved = Move::of(&kept)?;
        let row = moved.new;
        self.ride(|riders| riders.change_queue(export, QueueChange::Moved(moved)));
        Some(row)
    }

    /// What an export's queue holds, as committed.
    pub fn queue_total(&self, export: &str) -> QueueTotal {
        self.0.queue_totals.of(export)
    }

    /// What each export's queue holds, as committed; also of exports that are not configured.
    pub fn queue_totals(&self) -> Vec<(Arc<str>, QueueTotal)> {
        self.0.queue_totals.list()
    }

    /// The exports whose queues have events, in order of their names.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn queued_exports(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.between("read", exports).await
    }

    /// Turns at most `limit` (at least one) events of an export that is no longer configured into
    /// dead letters with the reason `export_removed`, in one transaction. Returns how many; 0:
    /// none is left, and events that could not be read were told to the observer.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn bury_removed(&self, export: &str, limit: usize) -> Result<u64, StoreError> {
        let export: Arc<str> = export.into();
        let limit = limit.max(1);
        // A letter, its event, and about the text of an event.
        let size = (limit * 2, limit.saturating_mul(2048));
        self.write(size, move |tx| tx.bury_removed(&export, limit)).await
    }
}

/// The exports that have rows, without reading each row.
fn exports(conn: &Connection) -> Result<Vec<Arc<str>>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT MIN(export) FROM (SELECT MIN(export) AS export FROM queue WHERE export > ?1
            UNION ALL SELECT MIN(export) FROM waiting WHERE export > ?1)",
    )?;
    let mut exports: Vec<Arc<str>> = Vec::new();
    loop {
        let after = exports.last().map_or("", |export| export);
        let next: Option<Arc<str>> = statement.query_row(params![after], |row| row.get(0))?;
        match next {
            Some(export) => exports.push(export),
            None => return Ok(exports),
        }
    }
}
