//! How deliveries come onto the board: from routing, from an earlier run, and as replays.

use super::{Board, State};
use crate::config::{QueueFull, QueueMode};
use crate::delivery::Delivery;
use crate::queue::{Entrant, SPILL_AFTER, Spilled};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};

/// What became of a push.
#[derive(Debug, Default)]
pub(in crate::export) struct Pushed {
    /// How long it waited for room.
    pub(in crate::export) blocked: Duration,
    /// What found no room and is not meant to wait for any.
    pub(in crate::export) refused: Vec<Delivery>,
}

/// What was routed and has not found room; dropped, it waits no more.
struct Entering<'a> {
    board: &'a Board,
    waiting: VecDeque<Delivery>,
    /// Whether it counts as held up by a full queue.
    held_up: bool,
    /// Whether it goes without a turn where others have one.
    out_of_turn: bool,
    /// How many had gone before it out of their turn.
    overtakers: u64,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if self.held_up || !self.waiting.is_empty() {
            let mut state = self.board.state();
            state.entering -= self.waiting.len();
            state.queue.held_up -= usize::from(self.held_up);
        }
    }
}

/// One look at the board with what waits to enter.
struct Step {
    refused: Vec<Delivery>,
    /// In the mode `disk`: what `written` must reach.
    ticket: Option<u64>,
    /// What comes next depends on whether another export is kept waiting.
    asks: bool,
}

impl Board {
    /// Puts routed deliveries into the queue, waiting for room as long as it takes; calls
    /// `entered` after each step. In the mode `disk` it returns when they are on disk.
    ///
    /// `disk_bytes` tells what the export has on disk, `others_wait` whether another export of the
    /// same source has room and is kept waiting.
    pub(in crate::export) async fn push(
        &self,
        deliveries: Vec<Delivery>,
        entrant: Entrant,
        disk_bytes: impl Fn() -> u64,
        others_wait: impl Fn() -> bool,
        entered: impl Fn(),
    ) -> Pushed {
        let durable = entrant != Entrant::Internal && self.bounds().mode == QueueMode::Disk;
        let _uncounted = durable.then(|| self.uncounted(deliveries.len()));
        self.state().entering += deliveries.len();
        let mut entering = Entering {
            board: self,
            waiting: deliveries.into(),
            held_up: false,
            out_of_turn: false,
            overtakers: 0,
        };
        // Who cannot wait does not stand behind one who can. Nor does who has room on disk promised
        // behind one who waits for some, perhaps for this very room.
        let in_turn = entrant.can_wait() && !(durable && entrant == Entrant::Promised);
        let start = Instant::now();
        let (mut turn, mut blocked) =
            if in_turn { self.turn(&others_wait).await } else { (None, false) };
        entering.out_of_turn = in_turn && turn.is_none();
        entering.overtakers = self.state().overtakers;
        let (mut pushed, mut ticket) = (Pushed::default(), None);
        loop {
            // Registered before the look, so that no room that comes up in between is missed.
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let mut step = self.state().enter(&mut entering, entrant, &disk_bytes, None);
            if step.asks {
                // Without the lock: another board asks this one.
                let others_wait = others_wait();
                let mut state = self.state();
                step = state.enter(&mut entering, entrant, &disk_bytes, Some(others_wait));
            }
            pushed.refused.extend(step.refused);
            ticket = step.ticket.or(ticket);
            entered();
            let waits = !entering.waiting.is_empty();
            if !waits {
                // The next one's events may share a commit with these.
                drop(turn.take());
            }
            let written = ticket.is_none_or(|ticket| self.state().is_written(ticket));
            if !waits && written {
                break;
            }
            blocked |= waits;
            // Looked at again in a while: what the queue may do then depends on others too.
            let _ = timeout(SPILL_AFTER, room).await;
        }
        if blocked {
            pushed.blocked = start.elapsed();
        }
        pushed
    }

    /// Waits until it is a source's turn to look for room; tells whether it had to wait. Where the
    /// queue has been full for long and may spill, and another export is kept waiting by that, the
    /// source goes without one: the one before it may wait for as long as the receiver is down.
    pub(super) async fn turn(
        &self,
        others_wait: &impl Fn() -> bool,
    ) -> (Option<MutexGuard<'_, ()>>, bool) {
        if let Ok(turn) = self.turnstile.try_lock() {
            return (Some(turn), false);
        }
        let turn = self.turnstile.lock();
        tokio::pin!(turn);
        let mut waited = Duration::ZERO;
        loop {
            let goes_without = self.may_spill_after(waited) && others_wait();
            if goes_without {
                return (None, true);
            }
            match timeout(SPILL_AFTER, turn.as_mut()).await {
                Ok(turn) => return (Some(turn), true),
                Err(_) => waited += SPILL_AFTER,
            }
        }
    }

    /// Whether the queue may spill for somebody who has waited for so long.
    fn may_spill_after(&self, waited: Duration) -> bool {
        let (state, now) = (self.state(), Instant::now());
        let long = match state.queue.bounds().mode {
            QueueMode::Memory => return false,
            QueueMode::Overflow => state.queue.is_long_full(now),
            QueueMode::Disk => state.disk_full_since.is_some_and(|full| full + SPILL_AFTER <= now),
        };
        long || waited >= SPILL_AFTER
    }

    /// Takes note of what an earlier run left on disk: events and waiting retries.
    pub(in crate::export) fn restore(&self, events: u64, waiting: u64, last: i64) {
        let mut state = self.state();
        state.restoring = false;
        let disk = &mut state.queue.disk;
        disk.unloaded = i64::try_from(events).unwrap_or(i64::MAX);
        disk.waiting = waiting;
        disk.last = last;
        disk.next_due = (waiting > 0).then(Instant::now);
        drop(state);
        self.room.notify_waiters();
    }

    /// Lets nothing in before [`Board::restore`]: what an earlier export left goes before it.
    pub(in crate::export) fn await_restore(&self) {
        self.state().restoring = true;
    }

    /// Takes note of an event that was written to this export's queue with a dead letter of
    /// another export; it is due now.
    pub(in crate::export) fn fallen_back(&self) {
        let mut state = self.state();
        let disk = &mut state.queue.disk;
        disk.waiting += 1;
        disk.next_due = disk.next_due.into_iter().chain([Instant::now()]).min();
        if let Some(loading) = &mut disk.loading {
            loading.came = true;
        }
    }

    /// Puts replays on the board.
    pub(in crate::export) fn replay(&self, deliveries: Vec<Delivery>) {
        let mut state = self.state();
        for delivery in deliveries {
            state.queue.hold(&delivery);
            state.replays.push_back(delivery);
        }
    }

    /// A replay has ended: whoever feeds them looks again.
    pub(in crate::export) fn replay_ended(&self) {
        self.settled.notify_waiters();
    }

    /// Whether a source would find room.
    pub(in crate::export) fn has_room(&self) -> bool {
        self.state().queue.has_room(Instant::now())
    }

    /// Lets everything in that still waits for room, and reads nothing more from disk.
    pub(in crate::export) fn lift_bounds(&self) {
        self.state().queue.lift_bounds();
        self.room.notify_waiters();
        self.wake_all();
    }
}

impl State {
    /// Moves what there is room for into memory, or towards the disk where that is its place.
    fn enter(
        &mut self,
        entering: &mut Entering<'_>,
        entrant: Entrant,
        disk_bytes: &impl Fn() -> u64,
        others_wait: Option<bool>,
    ) -> Step {
        let waiting = &mut entering.waiting;
        let before = waiting.len();
        let now = Instant::now();
        let mut step = Step { refused: Vec::new(), ticket: None, asks: false };
        if self.restoring && !self.queue.disk.stopped && !self.stopped {
            return step;
        }
        let bounds = *self.queue.bounds();
        let durable =
            bounds.mode == QueueMode::Disk && entrant != Entrant::Internal && !self.stopped;
        self.queue.held_up -= usize::from(entering.held_up);
        if !durable {
            self.queue.enter(waiting, entrant, now);
        } else if self.queue.disk.stopped {
            // It cannot wait for room any more, and counts only when it is on disk all the same.
            waiting.drain(..).for_each(|delivery| self.queue.disk.spill(delivery));
        }
        let held_back = entrant.can_wait();
        if durable && entrant == Entrant::Promised {
            // It has its room, though what is being written counts twice for a moment.
            waiting.drain(..).for_each(|delivery| self.queue.disk.spill(delivery));
        }
        let long_full = durable || self.queue.is_long_full(now);
        let may_spill = !waiting.is_empty() && long_full && !self.queue.disk.stopped;
        step.asks = may_spill && !durable && held_back && others_wait.is_none();
        // Where others go past it to disk, there would never be room in memory for the one whose turn
        // it is: it may go there once, too.
        let overtaken = self.overtakers > entering.overtakers;
        let gives_way = durable || !held_back || others_wait == Some(true) || overtaken;
        if may_spill && gives_way {
            let spilled = match bounds.mode {
                QueueMode::Memory => Spilled { events: 0, full: true },
                _ => self.queue.spill(waiting, disk_bytes()),
            };
            let full = spilled.full;
            self.overtakers += u64::from(entering.out_of_turn && spilled.events > 0);
            // A source that can wait does so in the mode `memory`, unless told to drop.
            let drops = bounds.when_full == QueueFull::DropNewest;
            let waits = bounds.mode == QueueMode::Memory && held_back && !drops;
            if full && bounds.when_full != QueueFull::Block && !waits {
                step.refused.extend(waiting.drain(..));
            }
        }
        if durable {
            step.ticket = Some(self.queue.disk.spilled);
        }
        self.entering -= before - waiting.len();
        entering.held_up = !durable && !waiting.is_empty();
        self.queue.held_up += usize::from(entering.held_up);
        // They are in the hands of who pushed them until they are buried or dropped.
        self.in_flight += step.refused.len();
        step.refused.iter().for_each(|delivery| self.queue.hold(delivery));
        step
    }

    /// Whether what had this ticket is on disk.
    fn is_written(&self, ticket: u64) -> bool {
        self.stopped || self.queue.disk.written >= ticket
    }
}
