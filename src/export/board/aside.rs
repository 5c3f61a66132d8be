//! Deliveries whose dead letters find no room: they wait, and nothing else does. They count as no
//! part of the queue meanwhile, and what is written of them where retries wait lets their sources
//! go on.

use super::Board;
use crate::config::QueueMode;
use crate::delivery::{Delivery, RowId};

/// So many of an export stand aside at most; more fill its queue.
const MAX_EVENTS: usize = 4_096;

/// Bytes of their texts.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What stands aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Deliveries in flight, here or not, that are being written where retries wait.
    pub(super) writing: usize,
}

/// A place aside; dropped, its delivery is in flight again.
pub(in crate::export) struct PlaceAside<'a> {
    board: &'a Board,
    bytes: usize,
}

/// See [`Board::write_aside`].
pub(in crate::export) struct WritingAside<'a>(&'a Board);

impl Board {
    /// Lets a delivery in flight stand aside; `None` where there is no place.
    pub(in crate::export) fn step_aside(&self, delivery: &Delivery) -> Option<PlaceAside<'_>> {
        let bytes = delivery.bytes;
        let mut state = self.state();
        let room = state.aside.events < MAX_EVENTS && state.aside.bytes + bytes <= MAX_BYTES;
        if state.stopped || !room {
            return None;
        }
        state.in_flight -= 1;
        state.queue.release(1, bytes);
        state.aside.events += 1;
        state.aside.bytes += bytes;
        drop(state);
        self.room.notify_waiters();
        // In strict order the next may go now.
        self.ready.notify_one();
        Some(PlaceAside { board: self, bytes })
    }

    /// How many stand aside.
    pub(in crate::export) fn aside(&self) -> usize {
        self.state().aside.events
    }

    /// Begins to write a delivery in flight where retries wait, until the guard is dropped; `None`
    /// where the queue has no place on disk, or everything stops.
    pub(in crate::export) fn write_aside(&self) -> Option<WritingAside<'_>> {
        let mut state = self.state();
        if state.stopped || state.queue.bounds().mode == QueueMode::Memory {
            return None;
        }
        state.aside.writing += 1;
        if let Some(loading) = &mut state.queue.disk.loading {
            loading.stale = true;
        }
        Some(WritingAside(self))
    }
}

impl Drop for PlaceAside<'_> {
    fn drop(&mut self) {
        let mut state = self.board.state();
        state.aside.events -= 1;
        state.aside.bytes -= self.bytes;
        state.in_flight += 1;
        state.queue.take_up(1, self.bytes);
    }
}

impl WritingAside<'_> {
    /// It has this row, and nobody else is to read it there.
    pub(in crate::export) fn written(&self, row: RowId) {
        self.0.reschedule(row);
    }
}

impl Drop for WritingAside<'_> {
    fn drop(&mut self) {
        self.0.state().aside.writing -= 1;
        self.0.room.notify_waiters();
    }
}
