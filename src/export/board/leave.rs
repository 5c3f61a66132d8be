//! How deliveries leave the slots and the board: settled, waiting again, given back, or taken off
//! when everything stops.

use super::order::is_before;
use super::{Board, State, Taken};
use crate::ack::Ack;
use crate::config;
use crate::delivery::{Claim, Delivery, RowId};
use crate::event::{Event, SpentEvents};
use crate::export::endpoint::{BarrierKind, Change, EndpointName};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What was taken off the board when it stopped.
#[derive(Debug)]
pub struct Left {
    /// The delivery.
    pub delivery: Delivery,
    /// When it is due; `None`: at once.
    pub due: Option<Instant>,
    /// Whether it stands before what is on disk.
    pub before_disk: bool,
}

/// Deliveries that are settled, and what is still to be told of them.
#[derive(Debug, Default)]
pub(in crate::export) struct Settlement {
    events: usize,
    bytes: usize,
    /// Numbers of their rows on disk.
    rows: Vec<i64>,
    /// For their sources, once they are off the board.
    pub(in crate::export) acks: Vec<Ack>,
    /// Their events, from which others can be made.
    pub(in crate::export) spent: Vec<Arc<Event>>,
}

impl Settlement {
    pub(in crate::export) fn add(&mut self, delivery: Delivery) {
        self.events += 1;
        self.bytes += delivery.bytes;
        match delivery.claim {
            Claim::Line { ack, .. } => self.acks.push(ack),
            Claim::Row(row) => self.rows.push(row.number),
            Claim::Replay(_) => {}
        }
        if SpentEvents::takes(delivery.bytes) {
            self.spent.push(delivery.event);
        }
    }
}

/// See [`Board::burying`].
pub(in crate::export) struct Burying<'a>(&'a Board);

impl Drop for Burying<'_> {
    fn drop(&mut self) {
        self.0.state().burying -= 1;
        self.0.room.notify_waiters();
    }
}

impl Board {
    /// The endpoint took a delivery. Where that was its probe, all that waited for it may go.
    /// Tells what changed.
    pub(in crate::export) fn endpoint_well(&self, taken: &Taken) -> Option<Change> {
        let mut state = self.state();
        let (change, parked) = state.endpoints.recovered(&taken.endpoint, taken.probe);
        self.troubled.store(!state.endpoints.is_empty(), Ordering::Release);
        if change.is_none() && !taken.probe && parked.is_empty() {
            return None;
        }
        state.released.extend(parked);
        drop(state);
        self.wake_all();
        change
    }

    /// The endpoint did not take what was its probe.
    pub(in crate::export) fn probe_failed(&self, taken: &Taken) -> Option<Change> {
        if !taken.probe {
            return None;
        }
        let change = self.state().endpoints.probe_failed(&taken.endpoint, Instant::now());
        self.wake_all();
        change
    }

    /// Counts a refusal; returns how many there were in a row.
    pub(in crate::export) fn refused(&self, endpoint: &str) -> u32 {
        let mut state = self.state();
        let (refusals, forgotten) = state.endpoints.refused(endpoint);
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
        refusals
    }

    /// Counts a failure that is not the event's fault; tells what that changes.
    pub(in crate::export) fn failed(&self, endpoint: &str) -> Option<Change> {
        let mut state = self.state();
        let (change, forgotten) = state.endpoints.failed(endpoint, Instant::now());
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
        change
    }

    /// The endpoint of a request's deliveries is gone: they wait there, and so do all others.
    pub(in crate::export) fn pause(
        &self,
        deliveries: &mut Vec<Delivery>,
        endpoint: &str,
    ) -> Option<Change> {
        let mut state = self.state();
        let (change, forgotten) = state.endpoints.pause(endpoint, Instant::now());
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
        state.park_all(endpoint, deliveries);
        drop(state);
        self.ready.notify_one();
        change
    }

    /// Whether pausing holds nothing back any more.
    pub(in crate::export) fn is_lifted(&self) -> bool {
        self.state().endpoints.is_lifted()
    }

    /// No source brings anything any more: breaker and pause hold nothing back.
    pub(in crate::export) fn lift_barriers(&self) {
        let mut state = self.state();
        let parked = state.endpoints.lift();
        state.released.extend(parked);
        drop(state);
        self.wake_all();
    }

    /// Shuts an endpoint that an earlier run had shut.
    pub(in crate::export) fn restore_endpoint(&self, name: &str, kind: BarrierKind, probes: u32) {
        let mut state = self.state();
        let forgotten = state.endpoints.restore(name, kind, probes, Instant::now());
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
    }

    /// The export leads elsewhere: what its endpoints were says nothing of those it has now.
    pub(in crate::export) fn forget_endpoints(&self) {
        let mut state = self.state();
        let parked = state.endpoints.forget_all();
        state.released.extend(parked);
        drop(state);
        self.wake_all();
    }

    /// Endpoints that were forgotten since the last call, and what had shut them.
    pub(in crate::export) fn forgotten(&self) -> Vec<(EndpointName, Option<BarrierKind>)> {
        self.state().endpoints.take_forgotten()
    }

    /// Sends nothing until [`Board::resume`].
    pub(in crate::export) fn pause_all(&self) {
        self.state().paused = true;
        self.wake_all();
        self.settled.notify_waiters();
    }

    /// Sends again, to endpoints that were shut too; returns those.
    pub(in crate::export) fn resume(&self) -> Vec<(EndpointName, BarrierKind)> {
        let mut state = self.state();
        state.paused = false;
        let (opened, parked) = state.endpoints.open_all();
        state.released.extend(parked);
        drop(state);
        self.wake_all();
        opened
    }

    /// Whether somebody asked that nothing be sent.
    pub(in crate::export) fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// What is shut, and whether it is being probed: endpoint, why, probing.
    pub(in crate::export) fn shut(&self) -> Vec<(EndpointName, BarrierKind, bool)> {
        let state = self.state();
        state.endpoints.shut().map(|(name, kind, probing)| (name.into(), kind, probing)).collect()
    }

    /// Deliveries of one request wait for their next attempts.
    pub(in crate::export) fn retry(&self, deliveries: &mut Vec<(Instant, Delivery)>) {
        if deliveries.is_empty() {
            return;
        }
        let mut state = self.state();
        state.in_flight -= deliveries.len();
        state.wait_first(deliveries.drain(..));
        drop(state);
        self.ready.notify_one();
    }

    /// The endpoint of a request's deliveries is to be left alone; they go first when that is over.
    pub(in crate::export) fn hold(
        &self,
        deliveries: &mut Vec<Delivery>,
        endpoint: &str,
        until: Instant,
    ) {
        let mut state = self.state();
        let forgotten = state.endpoints.hold(endpoint, until);
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
        state.park_all(endpoint, deliveries);
        drop(state);
        self.ready.notify_one();
    }

    /// The receiver took something.
    pub(in crate::export) fn delivered(&self) {
        self.state().delivered_at = Some(Instant::now());
    }

    /// An endpoint is to be left alone although it took what it was sent.
    pub(in crate::export) fn spare(&self, endpoint: &str, wait: Duration) {
        let mut state = self.state();
        let forgotten = state.endpoints.hold(endpoint, Instant::now() + wait);
        self.troubled.store(true, Ordering::Release);
        state.released.extend(forgotten);
        drop(state);
        self.ready.notify_one();
    }

    /// These deliveries are settled and off the board.
    pub(in crate::export) fn settled(&self, settled: &mut Settlement) {
        if settled.events == 0 {
            return;
        }
        let mut state = self.state();
        state.in_flight -= settled.events;
        state.queue.release(settled.events, settled.bytes);
        (settled.events, settled.bytes) = (0, 0);
        state.arrived_since_eviction = true;
        let room = state.queue.wakes() || !settled.rows.is_empty();
        settled.rows.drain(..).for_each(|number| state.queue.disk.ended(number));
        let empty = state.queue.events() == 0;
        let feed = state.replays.is_empty();
        let strict = state.strict;
        drop(state);
        if strict {
            // The next may go only now.
            self.ready.notify_one();
        }
        if room {
            // All who wait look again: the first may not fit where the second does.
            self.room.notify_waiters();
        }
        if empty || feed {
            self.settled.notify_waiters();
        }
    }

    /// What was dropped unsettled, as by a panic, goes on waiting: it was not delivered.
    pub(in crate::export) fn give_back(&self, taken: &mut Taken) {
        let mut state = self.state();
        if taken.probe {
            state.endpoints.probe_failed(&taken.endpoint, Instant::now());
        }
        for delivery in taken.deliveries.drain(..).rev() {
            state.in_flight -= 1;
            state.released.push_front(delivery);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// A slot ended by a panic.
    pub(in crate::export) fn slot_lost(&self) {
        let mut state = self.state();
        state.slots -= 1;
        if let Some(limiter) = &mut state.limiter {
            limiter.end(Instant::now());
        }
    }

    /// Begins nothing any more; what comes in is queued as ever.
    pub(in crate::export) fn rest(&self) {
        self.state().resting = true;
    }

    /// How many deliveries are being sent or written down.
    pub(in crate::export) fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Gives nothing out any more; slots end when they come back.
    pub(in crate::export) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.queue.disk.stopped = true;
        drop(state);
        self.ready.notify_waiters();
        self.room.notify_waiters();
        self.settled.notify_waiters();
    }

    /// Whether something is being written to disk.
    pub(in crate::export) fn is_writing(&self) -> bool {
        let state = self.state();
        state.queue.disk.writing + state.relieving + state.aside.writing + state.burying > 0
    }

    /// Counts a dead letter as being written until the guard is dropped; `None` where everything
    /// stops: cut off, it would be written and kept too.
    pub(in crate::export) fn burying(&self) -> Option<Burying<'_>> {
        let mut state = self.state();
        (!state.stopped).then(|| {
            state.burying += 1;
            Burying(self)
        })
    }

    /// Takes everything off the board that is not in flight, in order of sending, and forgets what
    /// is on disk.
    pub(in crate::export) fn take_all(&self) -> Vec<Left> {
        let mut state = self.state();
        state.left = true;
        let moved = state.stands_before_disk();
        let before = moved.is_some();
        let left = |delivery, due, before_disk| Left { delivery, due, before_disk };
        let retries = std::mem::take(&mut state.retries);
        let mut all: Vec<_> = retries
            .into_iter()
            .map(|((due, _), delivery)| left(delivery, Some(due), before))
            .collect();
        // In strict order nothing overtakes the one that waits.
        let line = all.last().and_then(|left| left.due).filter(|_| state.strict);
        let expired = std::mem::take(&mut state.expired);
        let released = std::mem::take(&mut state.released);
        let parked = state.endpoints.take_parked();
        let batches = state.batches.take_all();
        let others = expired.into_iter().chain(released).chain(parked).chain(batches);
        let mut others: Vec<_> = others.map(|delivery| left(delivery, line, before)).collect();
        if line.is_some()
            && let (Some(other), Some(retry)) = (others.first(), all.first())
            && is_before(&other.delivery, &retry.delivery)
        {
            all.iter_mut().for_each(|retry| retry.due = line);
            std::mem::swap(&mut all, &mut others);
        }
        all.append(&mut others);
        let mut place = 0;
        while let Some(delivery) = state.queue.pop() {
            // What stays behind what is on disk goes to its end, where it has no place there yet.
            let before = moved.is_some_and(|moved| place < moved);
            all.push(left(delivery, line.filter(|_| before), before));
            place += 1;
        }
        let replays = std::mem::take(&mut state.replays);
        all.extend(replays.into_iter().map(|delivery| left(delivery, None, false)));
        for left in &all {
            state.queue.release(1, left.delivery.bytes);
        }
        let spilling = std::mem::take(&mut state.queue.disk.spilling);
        all.extend(spilling.into_iter().map(|delivery| left(delivery, None, false)));
        state.queue.disk.spilling_bytes = 0;
        all
    }

    /// Whether all was taken off: what comes later is for who brings it.
    pub(in crate::export) fn is_left(&self) -> bool {
        self.state().left
    }

    /// The bounds of the queue.
    pub(in crate::export) fn bounds(&self) -> config::Queue {
        *self.state().queue.bounds()
    }
}

impl State {
    /// `None` where nothing of the FIFO on disk is behind anything in memory. Else how many from
    /// the front of the FIFO in memory must be written before it: up to the last one that has no
    /// row there while later ones have.
    fn stands_before_disk(&self) -> Option<usize> {
        let used = self.queue.disk.is_used();
        let fifo = self.queue.fifo();
        let has_row =
            |delivery: &Delivery| matches!(delivery.claim, Claim::Row(RowId { due_ms: None, .. }));
        let last_row = fifo.iter().rposition(has_row);
        if !used && last_row.is_none() {
            return None;
        }
        let end = if used { fifo.len() } else { last_row.unwrap_or_default() };
        let line = |delivery: &Delivery| matches!(delivery.claim, Claim::Line { .. });
        Some(fifo.iter().take(end).rposition(line).map_or(0, |place| place + 1))
    }
}
