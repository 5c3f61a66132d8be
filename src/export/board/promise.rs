//! Room on disk that is promised before anything is written: what a source gives in one piece goes
//! to disk as a whole and is counted then, so that a queue that is full counts nothing by half.

use super::{Board, State};
use crate::config::{QueueFull, QueueMode};
use crate::queue::SPILL_AFTER;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A full queue on disk holds its sources back for so long after its receiver took something.
const PATIENCE: Duration = Duration::from_secs(1);

impl Board {
    /// Promises room for so many bytes on disk, if there is any now or nobody needs to ask: the
    /// queue is of another mode, or everything stops.
    pub(in crate::export) fn promise(&self, bytes: usize, disk_bytes: u64) -> Option<usize> {
        self.state().promise(bytes, disk_bytes)
    }

    /// Waits for room for so many bytes on disk: as long as it takes where a full queue blocks,
    /// else while the receiver takes something and nobody else is kept waiting for long. Returns
    /// how much of it is promised, and how long that took.
    pub(in crate::export) async fn await_room(
        &self,
        bytes: usize,
        disk_bytes: impl Fn() -> u64,
        others_wait: impl Fn() -> bool,
    ) -> (usize, Duration) {
        if let Some(promised) = self.promise(bytes, disk_bytes()) {
            return (promised, Duration::ZERO);
        }
        let came = Instant::now();
        let (_turn, _) = self.turn(&others_wait).await;
        let start = Instant::now();
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            // Without the lock: another board asks this one.
            let others_wait = others_wait();
            let promised = {
                let mut state = self.state();
                let promised = state.promise(bytes, disk_bytes());
                promised.or_else(|| (!state.is_patient(start, others_wait)).then_some(0))
            };
            if let Some(promised) = promised {
                return (promised, came.elapsed());
            }
            let _ = timeout(SPILL_AFTER, room).await;
        }
    }

    /// What was promised is written, or not needed any more.
    pub(in crate::export) fn release(&self, promised: usize) {
        self.state().queue.disk.promised -= promised;
        self.room.notify_waiters();
    }

    /// Deliveries that come in do not count before they are on disk, while the guard lives.
    pub(super) fn uncounted(&self, events: usize) -> Uncounted<'_> {
        self.state().uncounted += events;
        Uncounted { board: self, events }
    }
}

/// See [`Board::uncounted`].
pub(super) struct Uncounted<'a> {
    board: &'a Board,
    events: usize,
}

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        self.board.state().uncounted -= self.events;
    }
}

impl State {
    fn promise(&mut self, bytes: usize, disk_bytes: u64) -> Option<usize> {
        if self.stopped || self.queue.disk.stopped || self.queue.bounds().mode != QueueMode::Disk {
            return Some(0);
        }
        let promised = self.queue.promise(bytes, disk_bytes);
        if promised && disk_bytes == 0 {
            self.disk_full_since = None;
        }
        promised.then_some(bytes)
    }

    /// Whether a source that waits since `start` for room on disk goes on waiting.
    fn is_patient(&mut self, start: Instant, others_wait: bool) -> bool {
        let now = Instant::now();
        let full_since = *self.disk_full_since.get_or_insert(now);
        if self.queue.bounds().when_full == QueueFull::Block {
            return true;
        }
        if others_wait {
            return full_since.max(start) + SPILL_AFTER > now && full_since + PATIENCE > now;
        }
        self.delivered_at.map_or(full_since, |at| at.max(full_since)) + PATIENCE > now
    }
}
