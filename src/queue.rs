//! What an export holds: in memory a FIFO of what was routed, with a bound over everything that is
//! not settled, wherever on the board it stands; and the account of what stands on disk behind it.
//! Memory and disk are one FIFO. Reading and writing the disk is the export's business.

use crate::config;
use crate::delivery::{Claim, Delivery};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Internal events have a tenth of the queue to themselves, so that a flood of others cannot keep
/// the news of its own trouble out.
const INTERNAL_SHARE: usize = 10;

/// A source that found the queue full goes on when so much of what it may have has become free: one
/// that is woken for each event that leaves does little else.
const WAKING_SHARE: usize = 8;

/// How long a queue is full before it spills to disk what other exports are kept waiting for.
pub const SPILL_AFTER: Duration = Duration::from_millis(50);

/// Events that may wait to be written to disk, and their bytes.
const SPILL_EVENTS: usize = 4_096;
const SPILL_BYTES: usize = 2 * 1024 * 1024;

/// About what an event takes on disk beside its text.
pub const ROW_BYTES: usize = 200;

/// What sources may have of a bound.
fn source_share(bound: usize) -> usize {
    bound - bound / INTERNAL_SHARE
}

/// A bounded queue. The bound counts queued, waiting and in-flight deliveries together.
#[derive(Debug)]
pub struct Queue {
    bounds: config::Queue,
    fifo: VecDeque<Delivery>,
    fifo_bytes: usize,
    events: usize,
    bytes: usize,
    /// How many have left since those who wait for room were last woken.
    freed: usize,
    /// Since when there has always been somebody who found no room.
    full_since: Option<Instant>,
    /// How many wait because they found none.
    pub held_up: usize,
    /// What stands on disk.
    pub disk: Disk,
}

/// Who wants to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrant {
    /// Events of a configured source.
    Source {
        /// Whether it can be held back: what it has not read stays where it is.
        can_wait: bool,
    },
    /// Events of a source that can be held back, for which room on disk is promised.
    Promised,
    /// postrider's own events.
    Internal,
}

impl Entrant {
    /// Whether it can be held back.
    pub fn can_wait(self) -> bool {
        matches!(self, Entrant::Source { can_wait: true } | Entrant::Promised)
    }

    /// The same at another queue, which promised nothing.
    pub fn unpromised(self) -> Entrant {
        match self {
            Entrant::Promised => Entrant::Source { can_wait: true },
            Entrant::Source { .. } | Entrant::Internal => self,
        }
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(bounds: config::Queue) -> Self {
        Queue {
            bounds,
            fifo: VecDeque::new(),
            fifo_bytes: 0,
            events: 0,
            bytes: 0,
            freed: 0,
            full_since: None,
            held_up: 0,
            disk: Disk::default(),
        }
    }

    /// Takes other bounds; what is held stays.
    pub fn configure(&mut self, bounds: config::Queue) {
        self.bounds = bounds;
    }

    /// Its bounds.
    pub fn bounds(&self) -> &config::Queue {
        &self.bounds
    }

    /// Moves deliveries from the front of `waiting` into memory while there is room. A queue that
    /// holds nothing takes a delivery of any size: else it could never be sent. What comes after
    /// something on disk has no place in memory, except postrider's own events. While
    /// this runs, their owner does not count as held up.
    pub fn enter(&mut self, waiting: &mut VecDeque<Delivery>, entrant: Entrant, now: Instant) {
        let behind = self.disk.is_used() && entrant != Entrant::Internal;
        while let Some(delivery) = waiting.pop_front() {
            if behind && self.disk.stopped {
                // It cannot wait any more: it goes to disk with what is left.
                self.disk.spill(delivery);
                continue;
            }
            if behind || !self.fits(delivery.bytes, entrant) {
                waiting.push_front(delivery);
                self.full_since.get_or_insert(now);
                return;
            }
            self.push(delivery);
        }
        // What is small may fit where something large goes on waiting.
        if self.held_up == 0 {
            self.full_since = None;
        }
    }

    /// Moves deliveries from the front of `waiting` to those that are to be written to disk, while
    /// there is room there. Whether the disk itself is full is told by `disk_bytes`, what the
    /// export has there.
    pub fn spill(&mut self, waiting: &mut VecDeque<Delivery>, disk_bytes: u64) -> Spilled {
        let mut spilled = Spilled::default();
        while let Some(delivery) = waiting.front() {
            let bytes = delivery.bytes;
            let disk = &mut self.disk;
            let events = disk.spilling.len() + disk.writing + 1;
            let coming = disk.spilling_bytes + disk.writing_bytes + bytes + events * ROW_BYTES;
            // A disk that holds nothing takes an event of any size: else it could never be sent.
            let alone = disk_bytes == 0 && events == 1;
            if !alone && disk_bytes + coming as u64 > self.bounds.disk_bytes {
                spilled.full = true;
                break;
            }
            if disk.spilling.len() >= SPILL_EVENTS || disk.spilling_bytes >= SPILL_BYTES {
                break;
            }
            waiting.pop_front().into_iter().for_each(|delivery| disk.spill(delivery));
            spilled.events += 1;
        }
        spilled
    }

    /// Promises room on disk for so many bytes, beside what is on its way there; whether there is
    /// any.
    pub fn promise(&mut self, bytes: usize, disk_bytes: u64) -> bool {
        let disk = &mut self.disk;
        let events = disk.spilling.len() + disk.writing;
        let coming = disk.spilling_bytes + disk.writing_bytes + disk.promised + events * ROW_BYTES;
        let before = disk_bytes + coming as u64;
        // A disk that holds nothing takes anything: else it could never be sent.
        let granted = before == 0 || before + bytes as u64 <= self.bounds.disk_bytes;
        if granted {
            disk.promised += bytes;
        }
        granted
    }

    /// Moves what was to be written to disk into memory while there is room, where nothing stands
    /// on disk before it.
    pub fn take_back(&mut self) {
        while let Some(delivery) = self.disk.spilling.front()
            && self.disk.writing == 0
            && self.fits_written(delivery.bytes)
            && let Some(delivery) = self.disk.spilling.pop_front()
        {
            self.disk.spilling_bytes = self.disk.spilling_bytes.saturating_sub(delivery.bytes);
            // Nobody waits for it to be written.
            self.disk.written += 1;
            self.push(delivery);
        }
    }

    /// Whether something found no room and still waits for it.
    pub fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Whether the queue has been full for so long that it may spill.
    pub fn is_long_full(&self, now: Instant) -> bool {
        self.full_since.is_some_and(|since| since + SPILL_AFTER <= now)
    }

    /// Whether who waits for room is to look again, now that something was settled: there may be
    /// room for many, or little is left to send before more comes.
    pub fn wakes(&mut self) -> bool {
        let many = source_share(self.bounds.memory_events) / WAKING_SHARE;
        let wakes = self.freed >= many || self.fifo.len() <= many / 2;
        if wakes {
            self.freed = 0;
        }
        wakes
    }

    /// Whether another event of a source finds room, now or after a short wait.
    pub fn has_room(&self, now: Instant) -> bool {
        let fits = self.fits(0, Entrant::Source { can_wait: true });
        self.bounds.mode == config::QueueMode::Disk
            || !self.disk.is_used() && (fits || !self.is_long_full(now))
    }

    /// How many events and bytes may be read from disk now: nothing while more than half of the
    /// bound is held, so that each read brings many.
    pub fn room_to_load(&self) -> Option<(usize, usize)> {
        let config::Queue { memory_events, memory_bytes, .. } = self.bounds;
        let low = self.events <= memory_events / 2 && self.bytes <= memory_bytes / 2;
        low.then(|| ((memory_events - self.events).max(1), (memory_bytes - self.bytes).max(1)))
    }

    /// Whether what was written to disk may stand in memory beside: there is nothing before it.
    pub fn fits_written(&self, bytes: usize) -> bool {
        self.disk.unloaded == 0 && self.fits(bytes, Entrant::Source { can_wait: true })
    }

    fn fits(&self, bytes: usize, entrant: Entrant) -> bool {
        let share = |bound: usize| match entrant {
            Entrant::Source { .. } | Entrant::Promised => source_share(bound),
            Entrant::Internal => bound,
        };
        self.events == 0
            || (self.events < share(self.bounds.memory_events)
                && self.bytes.saturating_add(bytes) <= share(self.bounds.memory_bytes))
    }

    /// Lets everything in from now on.
    pub fn lift_bounds(&mut self) {
        (self.bounds.memory_events, self.bounds.memory_bytes) = (usize::MAX, usize::MAX);
        self.disk.stopped = true;
    }

    /// Puts a delivery behind the others, whatever the bound says.
    pub fn push(&mut self, delivery: Delivery) {
        self.hold(&delivery);
        self.fifo_bytes += delivery.bytes;
        self.fifo.push_back(delivery);
    }

    /// Counts a delivery that stands elsewhere on the board, whatever the bound says.
    pub fn hold(&mut self, delivery: &Delivery) {
        self.take_up(1, delivery.bytes);
    }

    /// Counts deliveries of this size that were forgotten for a while.
    pub fn take_up(&mut self, events: usize, bytes: usize) {
        self.events += events;
        self.bytes += bytes;
    }

    /// Forgets deliveries of this size, settled or taken off the board.
    pub fn release(&mut self, events: usize, bytes: usize) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.freed = self.freed.saturating_add(events);
    }

    /// The next delivery in order of acceptance.
    pub fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.fifo.pop_front()?;
        self.fifo_bytes -= delivery.bytes;
        Some(delivery)
    }

    /// Deliveries that stand in the FIFO in memory.
    pub fn len(&self) -> usize {
        self.fifo.len()
    }

    /// Whether the FIFO in memory is empty.
    pub fn is_empty(&self) -> bool {
        self.fifo.is_empty()
    }

    /// The delivery at the front.
    pub fn front(&self) -> Option<&Delivery> {
        self.fifo.front()
    }

    /// Puts a delivery that is held already before the others.
    pub fn push_front(&mut self, delivery: Delivery) {
        self.fifo_bytes += delivery.bytes;
        self.fifo.push_front(delivery);
    }

    /// The FIFO in memory.
    pub fn fifo(&self) -> &VecDeque<Delivery> {
        &self.fifo
    }

    /// Changes the FIFO in memory, as by taking something out of its middle.
    pub fn change_fifo<T>(&mut self, change: impl FnOnce(&mut VecDeque<Delivery>) -> T) -> T {
        let changed = change(&mut self.fifo);
        self.fifo_bytes = self.fifo.iter().map(|delivery| delivery.bytes).sum();
        changed
    }

    /// Bytes of the texts of the FIFO in memory.
    pub fn fifo_bytes(&self) -> usize {
        self.fifo_bytes
    }

    /// Everything that is held in memory: FIFO, waiting and in flight.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Bytes of the texts of all that is held in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What was moved towards the disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Spilled {
    /// How many events.
    pub events: usize,
    /// Whether the next one finds no room on disk.
    pub full: bool,
}

/// The account of what an export has on disk and not in memory.
#[derive(Debug, Default)]
pub struct Disk {
    /// Events that are to be written, in order, and their bytes.
    pub spilling: VecDeque<Delivery>,
    /// Their bytes.
    pub spilling_bytes: usize,
    /// Events of the write under way.
    pub writing: usize,
    /// Their bytes.
    pub writing_bytes: usize,
    /// Bytes for which sources wait to be let in.
    pub promised: usize,
    /// Events that were ever put into `spilling`, and how many of these are on disk: an event is
    /// there once `written` has reached what `spilled` was right after it was put in.
    pub spilled: u64,
    /// See `spilled`.
    pub written: u64,
    /// Events of the FIFO that wait to be read. Below zero for the moment between a commit and its
    /// being told.
    pub unloaded: i64,
    /// Number of the last event that was read.
    pub cursor: i64,
    /// Number of the last event that is known to be on disk.
    pub last: i64,
    /// Retries that wait on disk alone, and when the first of them is due.
    pub waiting: u64,
    /// See `waiting`.
    pub next_due: Option<Instant>,
    /// Numbers of retries that stand both on disk and in memory, and of those that could not be read.
    pub known: HashSet<i64>,
    /// A read of retries that is under way.
    pub loading: Option<Loading>,
    /// Whether retries were read last, and not the FIFO.
    pub retries_turn: bool,
    /// Events that could not be read and stay where they are.
    pub damaged: u64,
    /// Whether the task that writes runs.
    pub writer: bool,
    /// Whether the task that reads runs.
    pub reader: bool,
    /// Nothing more is read: the program stops, and what is on disk is safe there.
    pub stopped: bool,
}

/// What happened to retries while a page of them is read.
#[derive(Debug, Default)]
pub struct Loading {
    /// Numbers that were settled: the page may still have them.
    pub ended: Vec<i64>,
    /// One was written that the page may not have.
    pub came: bool,
    /// Some were written whose numbers nobody knows yet: the page is of no use.
    pub stale: bool,
}

impl Disk {
    /// Puts a delivery behind those that are to be written.
    pub fn spill(&mut self, delivery: Delivery) {
        self.spilling_bytes += delivery.bytes;
        self.spilled += 1;
        self.spilling.push_back(delivery);
    }

    /// Leaves those retries that do not stand in memory already.
    pub fn retain_unknown(&self, retries: &mut Vec<(Instant, Delivery)>) {
        retries.retain(|(_, delivery)| match delivery.claim {
            Claim::Row(row) => !self.known.contains(&row.number),
            Claim::Line { .. } | Claim::Replay(_) => false,
        });
    }

    /// A delivery that stands on disk with this number is settled.
    pub fn ended(&mut self, number: i64) {
        match &mut self.loading {
            Some(loading) => loading.ended.push(number),
            None => drop(self.known.remove(&number)),
        }
    }

    /// Whether something stands there, or is on its way, that a new event must go behind.
    pub fn is_used(&self) -> bool {
        self.unloaded > 0 || !self.spilling.is_empty() || self.writing > 0
    }

    /// Whether something of it can still be sent in this run.
    pub fn is_pending(&self) -> bool {
        let there = !self.stopped && (self.unloaded > 0 || self.waiting > 0);
        there || !self.spilling.is_empty() || self.writing > 0
    }

    /// Events that stand on disk and not in memory.
    pub fn events(&self) -> u64 {
        self.unloaded.max(0).unsigned_abs() + self.waiting + self.damaged
    }
}
