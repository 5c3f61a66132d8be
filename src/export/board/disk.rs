//! What comes back from disk, and what is moved there: which rows are to be read, which retries
//! stand in the way. The reading and writing itself is done by the tasks of `overflow`.

use super::batch::extract_queued;
use super::{Board, State, extract};
use crate::delivery::{Claim, Delivery, RowId};
use crate::event::StreamId;
use crate::queue::Loading;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Retries are read from disk so long before they are due.
const LOAD_AHEAD: Duration = Duration::from_secs(1);

/// How long until retries are moved out of the way once more though nothing has arrived since.
const EVICT_AGAIN: Duration = Duration::from_secs(30);

/// Whose ledger waits.
#[derive(Debug, Clone)]
pub enum Waiting {
    /// That of one stream.
    Stream(StreamId),
    /// Those of all streams of a source.
    Source(Arc<str>),
}

/// What the task that reads is to do next.
#[derive(Debug)]
pub(in crate::export) enum Load {
    /// Read events of the FIFO.
    Fifo { after: i64, up_to: i64, events: usize, bytes: usize },
    /// Read retries; so many of those on disk stand in memory already.
    Retries { known: usize, events: usize, bytes: usize },
    /// Write retries that are due later than all others.
    Evict(Relief),
    /// Nothing before this time, or before enough is settled.
    Wait(Instant),
    /// Nothing is on disk.
    Done,
}

/// Deliveries that were taken off the board to be written to disk, each with its place.
#[derive(Debug, Default)]
pub(in crate::export) struct Relief {
    pub(in crate::export) retries: Vec<(Instant, Delivery)>,
    pub(in crate::export) released: VecDeque<Delivery>,
    pub(in crate::export) queue: VecDeque<Delivery>,
    pub(in crate::export) parked: Vec<(Box<str>, Delivery)>,
}

impl Relief {
    pub(in crate::export) fn len(&self) -> usize {
        self.retries.len() + self.released.len() + self.queue.len() + self.parked.len()
    }

    /// Each delivery with the time it is due; `None`: at once.
    pub(in crate::export) fn iter_mut(
        &mut self,
    ) -> impl Iterator<Item = (&mut Delivery, Option<Instant>)> {
        let retries = self.retries.iter_mut().map(|(due, delivery)| (delivery, Some(*due)));
        let released = self.released.iter_mut().map(|delivery| (delivery, None));
        let queue = self.queue.iter_mut().map(|delivery| (delivery, None));
        let parked = self.parked.iter_mut().map(|(_, delivery)| (delivery, None));
        retries.chain(released).chain(queue).chain(parked)
    }
}

impl Board {
    /// Whether a task that reads should be started; it counts as running from now on.
    pub(in crate::export) fn needs_reader(&self) -> bool {
        let mut state = self.state();
        let wants = state.wants_reader(Instant::now());
        let disk = &mut state.queue.disk;
        let needed = !disk.reader && !disk.stopped && wants;
        disk.reader |= needed;
        needed
    }

    /// What the task that reads is to do next.
    pub(in crate::export) fn next_load(&self) -> Load {
        let mut state = self.state();
        let now = Instant::now();
        if !state.wants_reader(now) || state.stopped || state.queue.disk.stopped {
            state.queue.disk.reader = false;
            return Load::Done;
        }
        let horizon = now + LOAD_AHEAD;
        let strict = state.strict;
        let disk = &state.queue.disk;
        let due = disk.waiting > 0 && (strict || disk.next_due.is_some_and(|due| due <= horizon));
        let fifo = disk.unloaded > 0 && !(strict && disk.waiting > 0);
        let (after, up_to) = (disk.cursor, disk.last);
        // In strict order everything waits for them: what is held cannot make room.
        let room = state.queue.room_to_load().or((strict && due).then_some((1, 1)));
        if let Some((events, bytes)) = room {
            let retries = due && state.relieving + state.aside.writing == 0;
            let disk = &mut state.queue.disk;
            // By turns: what comes back may only find that its endpoint is still left alone.
            disk.retries_turn = retries && !(fifo && disk.retries_turn);
            if disk.retries_turn {
                disk.loading = Some(Loading::default());
                return Load::Retries { known: disk.known.len(), events, bytes };
            }
            if fifo {
                return Load::Fifo { after, up_to, events, bytes };
            }
        }
        if (due || fifo || state.entering > 0) && state.may_evict(now) {
            return Load::Evict(state.evict(horizon));
        }
        let next = state.queue.disk.next_due.map_or(now + EVICT_AGAIN, |due| due - LOAD_AHEAD);
        Load::Wait(next.clamp(now + Duration::from_millis(50), now + LOAD_AHEAD))
    }

    /// Events were read from the FIFO up to this number; some of them could not be.
    pub(in crate::export) fn loaded(&self, events: Vec<Delivery>, next: i64, damaged: u64) {
        let mut state = self.state();
        let disk = &mut state.queue.disk;
        let gone = events.len() as u64 + damaged;
        disk.unloaded -= i64::try_from(gone).unwrap_or(i64::MAX);
        disk.damaged += damaged;
        disk.cursor = disk.cursor.max(next);
        if disk.cursor >= disk.last {
            // Whatever the account says: there is nothing more to read.
            disk.unloaded = 0;
        }
        events.into_iter().for_each(|delivery| state.queue.push(delivery));
        state.expiry_look = Instant::now();
    }

    /// Leaves those retries that do not stand in memory already.
    pub(in crate::export) fn retain_unknown(&self, retries: &mut Vec<(Instant, Delivery)>) {
        self.state().queue.disk.retain_unknown(retries);
    }

    /// Retries could not be read.
    pub(in crate::export) fn not_loaded(&self) {
        let mut state = self.state();
        let disk = &mut state.queue.disk;
        for number in disk.loading.take().unwrap_or_default().ended {
            disk.known.remove(&number);
        }
    }

    /// Retries were read; the next one that was not is due then. Those that are due later than
    /// soon stay where they are. Returns how many are found damaged.
    pub(in crate::export) fn loaded_waiting(
        &self,
        mut retries: Vec<(Instant, Delivery)>,
        mut next_due: Option<Instant>,
        mut damaged: Vec<i64>,
    ) -> u64 {
        let mut state = self.state();
        let now = Instant::now();
        let disk = &mut state.queue.disk;
        disk.retain_unknown(&mut retries);
        let Some(Loading { ended, came, stale }) = disk.loading.take() else { return 0 };
        // They stay on disk: known, they are counted once.
        damaged.retain(|number| !stale && disk.known.insert(*number));
        for number in ended {
            disk.known.remove(&number);
        }
        if stale {
            return 0;
        }
        let horizon = now + LOAD_AHEAD;
        if !state.strict
            && let Some(later) = retries.iter().position(|(due, _)| *due > horizon)
        {
            next_due = retries.get(later).map(|(due, _)| *due);
            retries.truncate(later);
        }
        let disk = &mut state.queue.disk;
        let damaged = damaged.len() as u64;
        disk.waiting = disk.waiting.saturating_sub(retries.len() as u64 + damaged);
        disk.damaged += damaged;
        disk.next_due = next_due;
        if next_due.is_none() {
            disk.waiting = 0;
        }
        if came {
            // The page may have been read before it; if not, the next one shows that.
            disk.waiting = disk.waiting.max(1);
            disk.next_due = Some(now);
        }
        state.expiry_look = now;
        for (due, delivery) in retries {
            if let Claim::Row(row) = delivery.claim {
                state.queue.disk.known.insert(row.number);
            }
            state.queue.hold(&delivery);
            state.wait_until(due, delivery);
        }
        drop(state);
        self.ready.notify_one();
        damaged
    }

    /// Takes off the board, for as long as they are written to disk, all that a ledger waits for.
    pub(in crate::export) fn relieve(&self, waiting: &Waiting) -> Relief {
        let mut state = self.state();
        let of_stream = |delivery: &Delivery| {
            let origin = &delivery.event.origin;
            matches!(delivery.claim, Claim::Line { .. })
                && match waiting {
                    Waiting::Stream(stream) => origin.position.stream == *stream,
                    Waiting::Source(source) => origin.source == *source,
                }
        };
        let mut relief = Relief::default();
        if state.stopped {
            return relief;
        }
        let retries = state.retries.extract_if(.., |_, delivery| of_stream(delivery));
        relief.retries.extend(retries.map(|((due, _), delivery)| (due, delivery)));
        relief.released.extend(extract(&mut state.released, of_stream));
        relief.released.extend(state.batches.extract(of_stream));
        relief.queue.extend(extract_queued(&mut state.queue, of_stream));
        for (name, parked) in state.endpoints.parked_mut() {
            let taken = extract(parked, of_stream);
            relief.parked.extend(taken.into_iter().map(|delivery| (name.into(), delivery)));
        }
        state.relieving += relief.len();
        if let Some(loading) = &mut state.queue.disk.loading {
            loading.stale |= relief.len() > 0;
        }
        relief
    }

    /// Puts back what was taken off to be written; what is on disk too is known by its row.
    pub(in crate::export) fn relieved(&self, relief: Relief) {
        let mut state = self.state();
        state.relieving -= relief.len();
        let Relief { retries, released, queue, parked } = relief;
        for (due, delivery) in retries {
            state.know(&delivery);
            state.wait_until(due, delivery);
        }
        for (name, delivery) in parked {
            state.know(&delivery);
            state.park(&name, delivery);
        }
        for delivery in released.into_iter().rev() {
            state.know(&delivery);
            state.released.push_front(delivery);
        }
        for delivery in queue.into_iter().rev() {
            state.know(&delivery);
            state.queue.push_front(delivery);
        }
        drop(state);
        self.room.notify_waiters();
        self.wake_all();
    }

    /// Retries that were taken off are on disk, and there alone from now on.
    pub(in crate::export) fn evicted(&self, relief: Relief) {
        let mut state = self.state();
        state.relieving -= relief.len();
        for (due, delivery) in relief.retries {
            state.queue.release(1, delivery.bytes);
            let disk = &mut state.queue.disk;
            if let Claim::Row(row) = delivery.claim {
                disk.known.remove(&row.number);
            }
            disk.waiting += 1;
            disk.next_due = disk.next_due.into_iter().chain([due]).min();
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// A delivery's row is about to stand where retries wait.
    pub(in crate::export) fn reschedule(&self, row: RowId) {
        self.state().queue.disk.known.insert(row.number);
    }

    /// Waits until there may be room; check the condition after creating the future.
    pub(in crate::export) fn on_room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }
}

impl State {
    fn know(&mut self, delivery: &Delivery) {
        if let Claim::Row(row) = delivery.claim
            && row.due_ms.is_some()
        {
            self.queue.disk.known.insert(row.number);
        }
    }

    fn wants_reader(&self, now: Instant) -> bool {
        let disk = &self.queue.disk;
        let waits = !self.retries.is_empty() || self.endpoints.parked().next().is_some();
        let crowded = self.entering > 0 && self.queue.is_long_full(now) && waits;
        disk.unloaded > 0 || disk.waiting > 0 || crowded
    }

    /// Whether what waits may be moved out of the way: nothing else is ready, and the receiver takes
    /// something now and then. One that takes nothing would only fill the disk with what waits
    /// for it in any case.
    fn may_evict(&self, now: Instant) -> bool {
        let again = self.evicted_at.is_none_or(|at| at + EVICT_AGAIN <= now);
        !self.strict
            && self.queue.is_empty()
            && self.released.is_empty()
            && self.batches.is_formed_empty()
            && self.retries.keys().next().is_none_or(|(due, _)| *due > now)
            && (self.retries.keys().next_back().is_some_and(|(due, _)| *due > now + LOAD_AHEAD)
                || self.endpoints.has_parked_beyond(now + LOAD_AHEAD))
            && (self.arrived_since_eviction || again)
    }

    /// Takes off the later half of the retries that are not due before `horizon`, and of what waits
    /// for endpoints that are left alone for longer. Replays have no place in the queue on disk.
    fn evict(&mut self, horizon: Instant) -> Relief {
        let count = self.retries.len().div_ceil(2);
        let later = (Bound::Excluded((horizon, u64::MAX)), Bound::Unbounded);
        let keys: Vec<_> = self
            .retries
            .range(later)
            .rev()
            .filter(|(_, delivery)| !matches!(delivery.claim, Claim::Replay(_)))
            .map(|(key, _)| *key)
            .take(count)
            .collect();
        let mut relief = Relief::default();
        for key in keys {
            let retry = self.retries.remove(&key);
            relief.retries.extend(retry.map(|delivery| (key.0, delivery)));
        }
        let unknown = Instant::now() + EVICT_AGAIN;
        relief.retries.extend(self.endpoints.take_parked_beyond(horizon, unknown));
        self.relieving += relief.len();
        self.arrived_since_eviction = false;
        self.evicted_at = Some(Instant::now());
        relief
    }
}
