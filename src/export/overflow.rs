//! The tasks of an export that work on disk: one writes what memory has no room for, one reads it
//! back and moves retries out of the way. What and when is decided on the board.

use super::Export;
use super::board::{GATHER, Load, Relief, Waiting, Writing};
use crate::ack::Ack;
use crate::delivery::{Claim, Delivery};
use crate::store::{Kept, Restored, STORE_RETRY, StoreError};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Writes what is to be written, until nothing is.
pub(super) async fn write(export: Arc<Export>) {
    loop {
        if export.board.may_gather() {
            sleep(GATHER).await;
        }
        let Some(writing) = export.board.next_write() else { return };
        let mut guard = Unwritten { export: &export, writing: Some(writing) };
        let Some(writing) = &guard.writing else { return };
        let kept = writing.0.iter().filter_map(|delivery| Kept::of(delivery, None)).collect();
        match export.store.keep(&export.name, kept).await {
            Ok(rows) => {
                let Some(writing) = guard.writing.take() else { return };
                let acks = export.board.written(writing, &rows);
                acks.into_iter().for_each(Ack::settle);
                export.work_on_disk();
                export.wake();
            }
            Err(trouble) => {
                export.log.queue_trouble(&trouble);
                // Who stops waits for a write that is under way, not for the next one.
                guard.writing.take().into_iter().for_each(|writing| export.board.put_off(writing));
                drop(guard);
                make_do(&export, Instant::now() + STORE_RETRY).await;
            }
        }
    }
}

/// Until the next write: what can be delivered without the disk is not kept waiting for it.
async fn make_do(export: &Arc<Export>, until: Instant) {
    loop {
        let room = export.board.on_room();
        tokio::pin!(room);
        room.as_mut().enable();
        export.board.take_back();
        export.wake();
        if timeout_at(until, room).await.is_err() {
            return;
        }
    }
}

/// Reads what memory has room for, until nothing is on disk.
pub(super) async fn read(export: Arc<Export>) {
    loop {
        let room = export.board.on_room();
        tokio::pin!(room);
        room.as_mut().enable();
        let read = match export.board.next_load() {
            Load::Done => return,
            Load::Wait(until) => {
                let _ = timeout_at(until, room).await;
                continue;
            }
            Load::Evict(relief) => {
                evict(&export, relief).await;
                continue;
            }
            Load::Fifo { after, up_to, events, bytes } => {
                read_fifo(&export, (after, up_to), events, bytes).await
            }
            Load::Retries { known, events, bytes } => {
                let read = read_retries(&export, known.saturating_add(events), bytes).await;
                read.inspect_err(|_| export.board.not_loaded())
            }
        };
        match read {
            Ok(()) => export.wake(),
            Err(trouble) => {
                export.log.queue_trouble(&trouble);
                if let StoreError::Corrupt(damage) = &trouble {
                    let name = &export.name;
                    let waits = format!("{damage}; what export `{name}` has queued there waits");
                    export.store.found_damaged(waits);
                }
                sleep(STORE_RETRY).await;
            }
        }
    }
}

/// Events on disk are not what was written.
fn damaged(export: &Export, events: u64) {
    export.log.damaged(events);
    let name = &export.name;
    export.store.found_damaged(format!("{events} queued events of export `{name}` can't be read"));
}

async fn read_fifo(
    export: &Arc<Export>,
    (after, up_to): (i64, i64),
    events: usize,
    bytes: usize,
) -> Result<(), StoreError> {
    let page = export.store.queue_page(&export.name, after, up_to, events, bytes).await?;
    let next = if page.done { up_to } else { page.next };
    if page.damaged > 0 {
        damaged(export, page.damaged);
    }
    let mut deliveries: Vec<_> =
        page.events.into_iter().map(|restored| restored.delivery).collect();
    let settings = export.settings();
    deliveries.iter_mut().for_each(|delivery| settings.redact(delivery));
    export.board.loaded(deliveries, next, page.damaged);
    Ok(())
}

/// Reads retries in the order in which they are due, from the first one on that does not stand in
/// memory already.
async fn read_retries(export: &Arc<Export>, events: usize, bytes: usize) -> Result<(), StoreError> {
    // The same for all: what failed together is due at the very same moment again.
    let now = (Instant::now(), Timestamp::now());
    let (mut retries, mut damaged, mut after) = (Vec::new(), Vec::new(), None);
    let settings = export.settings();
    let next_due = loop {
        let mut page = export.store.waiting_page(&export.name, after, events, bytes).await?;
        page.events.iter_mut().for_each(|restored| settings.redact(&mut restored.delivery));
        after = page.next;
        damaged.extend(page.damaged.iter().map(|row| row.number));
        retries.extend(page.events.into_iter().map(|restored| waiting(restored, now)));
        export.board.retain_unknown(&mut retries);
        if !retries.is_empty() || page.next_due.is_none() {
            break page.next_due.map(|due| instant(due, now));
        }
    };
    let unread = export.board.loaded_waiting(retries, next_due, damaged);
    if unread > 0 {
        self::damaged(export, unread);
    }
    Ok(())
}

/// Writes retries that stand in the way, and forgets them until they are due.
async fn evict(export: &Arc<Export>, relief: Relief) {
    let mut guard = Relieving { export, relief: Some(relief) };
    if guard.store().await
        && let Some(relief) = guard.relief.take()
    {
        export.board.evicted(relief);
    }
}

/// Writes what a ledger waits for; it stays where it stands.
pub(super) async fn relieve(export: &Arc<Export>, waiting: &Waiting) {
    let relief = export.board.relieve(waiting);
    let mut guard = Relieving { export, relief: Some(relief) };
    guard.store().await;
}

/// Writes a delivery whose dead letter finds no room, perhaps for long: its source need not wait
/// for it any more. It stays with its task.
pub(super) async fn write_aside(export: &Export, delivery: &mut Delivery) {
    if !matches!(delivery.claim, Claim::Line { .. }) {
        return;
    }
    let Some(aside) = export.board.write_aside() else { return };
    let kept = Kept::of(delivery, Some(Timestamp::now())).into_iter().collect();
    match export.store.keep(&export.name, kept).await {
        Ok(rows) => {
            for row in rows {
                aside.written(row);
                delivery.written(row).into_iter().for_each(Ack::settle);
            }
        }
        Err(trouble) => export.log.queue_trouble(&trouble),
    }
}

/// What is being written, given back when that comes to nothing.
struct Unwritten<'a> {
    export: &'a Export,
    writing: Option<Writing>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.export.board.unwritten(writing);
        }
    }
}

/// What was taken off the board to be written, put back whatever comes of that.
struct Relieving<'a> {
    export: &'a Arc<Export>,
    relief: Option<Relief>,
}

impl Relieving<'_> {
    /// Writes all that is not on disk as it stands; whether that is done.
    async fn store(&mut self) -> bool {
        let Some(relief) = &mut self.relief else { return false };
        let now = Timestamp::now();
        let mut kept = Vec::new();
        let mut written = Vec::new();
        for (delivery, due) in relief.iter_mut() {
            let due = due.map_or(now, timestamp);
            match delivery.claim {
                Claim::Row(row) if row.due_ms.is_some() => {}
                Claim::Line { .. } | Claim::Row(_) => {
                    kept.extend(Kept::of(delivery, Some(due)));
                    written.push(delivery);
                }
                Claim::Replay(_) => {}
            }
        }
        if kept.is_empty() {
            return true;
        }
        match self.export.store.keep(&self.export.name, kept).await {
            Ok(rows) => {
                for (delivery, row) in written.into_iter().zip(rows) {
                    delivery.written(row).into_iter().for_each(Ack::settle);
                }
                true
            }
            Err(trouble) => {
                self.export.log.queue_trouble(&trouble);
                false
            }
        }
    }
}

impl Drop for Relieving<'_> {
    fn drop(&mut self) {
        if let Some(relief) = self.relief.take() {
            self.export.board.relieved(relief);
            self.export.wake();
        }
    }
}

fn waiting(restored: Restored, now: (Instant, Timestamp)) -> (Instant, Delivery) {
    (restored.due.map_or(now.0, |due| instant(due, now)), restored.delivery)
}

/// A time of the wall clock as one of the monotonic clock; past ones are now.
fn instant(time: Timestamp, (now, wall): (Instant, Timestamp)) -> Instant {
    let ahead = Duration::try_from(time.duration_since(wall)).unwrap_or_default();
    now + ahead
}

/// A time of the monotonic clock as one of the wall clock.
fn timestamp(time: Instant) -> Timestamp {
    let ahead = time.saturating_duration_since(Instant::now());
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}
