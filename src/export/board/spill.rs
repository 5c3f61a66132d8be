//! What goes to disk: which deliveries are to be written next, and what becomes of them then. The
//! writing itself is done by a task of `overflow`.

use super::Board;
use crate::ack::Ack;
use crate::config::QueueMode;
use crate::delivery::{Delivery, RowId};
use std::time::Duration;

/// Events of one write; a commit of the store takes no more.
const WRITE_EVENTS: usize = 4_096;

/// And about the bytes of their texts: on a small disk what is written at once must find room.
const WRITE_BYTES: usize = 1024 * 1024;

/// A write of fewer events is given [`GATHER`] to grow: each costs a commit, and the room of a row.
const FEW_EVENTS: usize = 256;

/// The same of bytes.
const FEW_BYTES: usize = 64 * 1024;

/// How long a small write waits for more.
pub(in crate::export) const GATHER: Duration = Duration::from_millis(25);

/// Deliveries that are being written behind those on disk, in order.
#[derive(Debug, Default)]
pub(in crate::export) struct Writing(pub(in crate::export) Vec<Delivery>);

impl Board {
    /// Whether a task that writes should be started; it counts as running from now on.
    pub(in crate::export) fn needs_writer(&self) -> bool {
        let disk = &mut self.state().queue.disk;
        let needed = !disk.writer && !disk.spilling.is_empty();
        disk.writer |= needed;
        needed
    }

    /// Whether the next write may wait for more to come: it is small, the export has something to
    /// send meanwhile, and no source waits until it is on disk.
    pub(in crate::export) fn may_gather(&self) -> bool {
        let state = self.state();
        let disk = &state.queue.disk;
        state.queue.bounds().mode != QueueMode::Disk
            && !disk.stopped
            && state.queue.events() > 0
            && (1..FEW_EVENTS).contains(&disk.spilling.len())
            && disk.spilling_bytes < FEW_BYTES
    }

    /// What is to be written next; `None` ends the task that writes.
    pub(in crate::export) fn next_write(&self) -> Option<Writing> {
        let mut state = self.state();
        let stopped = state.stopped;
        let disk = &mut state.queue.disk;
        // What is cut off would be written twice: it is taken off with all that is left.
        let mut room = WRITE_BYTES;
        let fits = |delivery: &&Delivery| {
            let fits = room > 0;
            room = room.saturating_sub(delivery.bytes);
            fits
        };
        let count = disk.spilling.iter().take(WRITE_EVENTS).take_while(fits).count();
        let count = if stopped { 0 } else { count };
        let writing: Vec<_> = disk.spilling.drain(..count).collect();
        let bytes: usize = writing.iter().map(|delivery| delivery.bytes).sum();
        disk.spilling_bytes = disk.spilling_bytes.saturating_sub(bytes);
        (disk.writing, disk.writing_bytes) = (count, bytes);
        disk.writer = count > 0;
        (count > 0).then_some(Writing(writing))
    }

    /// The task that writes was cut off: what it had is the next to be written.
    pub(in crate::export) fn unwritten(&self, writing: Writing) {
        self.put_off(writing);
        self.state().queue.disk.writer = false;
    }

    /// A write failed: its deliveries are the next again.
    pub(in crate::export) fn put_off(&self, writing: Writing) {
        let disk = &mut self.state().queue.disk;
        disk.spilling_bytes += disk.writing_bytes;
        (disk.writing, disk.writing_bytes) = (0, 0);
        writing.0.into_iter().rev().for_each(|delivery| disk.spilling.push_front(delivery));
    }

    /// What can't be written now goes into memory where that is its place and has room, unless it
    /// counts only when it is on disk.
    pub(in crate::export) fn take_back(&self) {
        let mut state = self.state();
        if state.queue.bounds().mode != QueueMode::Disk {
            state.queue.take_back();
        }
    }

    /// A write is on disk: its deliveries have these rows. Returns what their sources are told.
    pub(in crate::export) fn written(&self, writing: Writing, rows: &[RowId]) -> Vec<Ack> {
        let mut state = self.state();
        let disk = &mut state.queue.disk;
        (disk.writing, disk.writing_bytes) = (0, 0);
        disk.written += writing.0.len() as u64;
        disk.last = rows.last().map_or(disk.last, |row| row.number.max(disk.last));
        let mut acks = Vec::with_capacity(writing.0.len());
        for (mut delivery, row) in writing.0.into_iter().zip(rows) {
            acks.extend(delivery.written(*row));
            if !state.queue.disk.stopped && state.queue.fits_written(delivery.bytes) {
                state.queue.disk.cursor = row.number;
                state.queue.push(delivery);
            } else {
                state.queue.disk.unloaded += 1;
            }
        }
        drop(state);
        self.room.notify_waiters();
        acks
    }
}
