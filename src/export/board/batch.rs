//! Batches on the board: when the FIFO holds enough for one, what is told apart by URL and headers
//! and fills up apart, and what goes together because it went together before.

use super::order::Look;
use super::{Board, State, Taken, extract};
use crate::config::BatchBounds;
use crate::delivery::Delivery;
use crate::event::Position;
use crate::export::endpoint::Admission;
use crate::queue::Queue;
use crate::sink::Key;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Batches that fill up at once; of more, the oldest goes as it is.
const MAX_OPEN: usize = 64;

/// Deliveries that go in one request, as they are.
#[derive(Debug)]
struct Group {
    deliveries: Vec<Delivery>,
    /// Whether they are known to have URL and headers in common.
    uniform: bool,
}

/// A batch that fills up.
#[derive(Debug)]
struct Open {
    key: Key,
    deliveries: Vec<Delivery>,
    bytes: usize,
    due: Instant,
}

/// See the module. All that stands here counts as held by the queue.
#[derive(Debug, Default)]
pub(super) struct Batches {
    bounds: Option<BatchBounds>,
    formed: VecDeque<Group>,
    /// The oldest first.
    open: VecDeque<Open>,
    /// The front of the FIFO, and when it has waited long enough.
    front: Option<(Position, Instant)>,
}

impl Batches {
    pub(super) fn new(bounds: Option<BatchBounds>) -> Self {
        Batches { bounds, ..Batches::default() }
    }

    /// Takes other bounds. What stands here was put together under the old ones: where those have
    /// changed it is returned.
    pub(super) fn configure(&mut self, bounds: Option<BatchBounds>) -> Vec<Delivery> {
        if self.bounds == bounds {
            return Vec::new();
        }
        (self.bounds, self.front) = (bounds, None);
        self.take_all()
    }

    /// Whether nothing stands here that could go at once.
    pub(super) fn is_formed_empty(&self) -> bool {
        self.formed.is_empty()
    }

    /// The delivery that goes next, of what stands here.
    pub(super) fn front(&self) -> Option<&Delivery> {
        self.formed.front().and_then(|group| group.deliveries.first())
    }

    /// Groups that could go at once.
    pub(super) fn formed(&self) -> usize {
        self.formed.len()
    }

    /// Every delivery that stands here.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        let formed = self.formed.iter().flat_map(|group| &group.deliveries);
        formed.chain(self.open.iter().flat_map(|open| &open.deliveries))
    }

    /// Takes every delivery out, in order of sending.
    pub(super) fn take_all(&mut self) -> Vec<Delivery> {
        let formed = self.formed.drain(..).flat_map(|group| group.deliveries);
        formed.chain(self.open.drain(..).flat_map(|open| open.deliveries)).collect()
    }

    /// Takes out every delivery that fulfils a condition.
    pub(super) fn extract(&mut self, taken: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let mut out = Vec::new();
        for group in &mut self.formed {
            out.extend(group.deliveries.extract_if(.., |delivery| taken(delivery)));
        }
        for open in &mut self.open {
            out.extend(open.deliveries.extract_if(.., |delivery| taken(delivery)));
            open.bytes = open.deliveries.iter().map(|delivery| delivery.bytes).sum();
        }
        self.formed.retain(|group| !group.deliveries.is_empty());
        self.open.retain(|open| !open.deliveries.is_empty());
        out
    }

    pub(super) fn form_first(&mut self, deliveries: Vec<Delivery>, uniform: bool) {
        if !deliveries.is_empty() {
            self.formed.push_front(Group { deliveries, uniform });
        }
    }

    /// Whether a batch of this size has no room for one more of that size.
    fn is_full(&self, events: usize, bytes: usize, next: usize) -> bool {
        self.bounds.is_some_and(|bounds| {
            events >= bounds.max_events || bytes.saturating_add(next) > bounds.max_bytes
        })
    }

    /// Lets those go that are full or have waited long enough; all of them if `all`.
    fn close(&mut self, now: Instant, all: bool) {
        if self.open.is_empty() {
            return;
        }
        let mut due = self.open.len().saturating_sub(MAX_OPEN);
        let open = std::mem::take(&mut self.open);
        for batch in open {
            let full = self.is_full(batch.deliveries.len(), batch.bytes, 1);
            if all || full || due > 0 || batch.due <= now {
                due = due.saturating_sub(1);
                self.formed.push_back(Group { deliveries: batch.deliveries, uniform: true });
            } else {
                self.open.push_back(batch);
            }
        }
    }

    /// Puts a delivery to those of its key.
    fn fill(&mut self, key: Key, delivery: Delivery, due: Instant) {
        let at = self.open.iter().position(|open| open.key == key);
        let full = |open: &Open| self.is_full(open.deliveries.len(), open.bytes, delivery.bytes);
        if let Some(at) = at
            && self.open.get(at).is_some_and(full)
            && let Some(open) = self.open.remove(at)
        {
            self.formed.push_back(Group { deliveries: open.deliveries, uniform: true });
        }
        let bytes = delivery.bytes;
        match self.open.iter_mut().find(|open| open.key == key) {
            Some(open) => {
                open.bytes += bytes;
                open.deliveries.push(delivery);
            }
            None => {
                self.open.push_back(Open { key, deliveries: vec![delivery], bytes, due });
            }
        }
    }

    /// When the front of the FIFO has waited long enough.
    fn front_due(&mut self, queue: &Queue, max_wait: Duration, now: Instant) -> Option<Instant> {
        let front = queue.front()?;
        let position = front.event.origin.position;
        match self.front {
            Some((known, due)) if known == position => Some(due),
            _ => {
                let due = due(front, max_wait, now);
                self.front = Some((position, due));
                Some(due)
            }
        }
    }
}

/// When a delivery has waited long enough, counted from when its event was accepted.
fn due(delivery: &Delivery, max_wait: Duration, now: Instant) -> Instant {
    let age = Timestamp::now().duration_since(delivery.event.origin.accepted_at);
    // A clock that was set back must not hold anything for longer.
    now + max_wait.saturating_sub(Duration::try_from(age).unwrap_or_default())
}

impl Board {
    /// Takes more that may go with what a slot has just taken, up to `max` in all. An export with
    /// batches has taken them already.
    pub(in crate::export) fn take_more(&self, taken: &mut Taken, max: usize) {
        let mut state = self.state();
        if state.batches.bounds.is_some() || taken.formed {
            return;
        }
        while taken.deliveries.len() < max && !taken.probe && !taken.expired {
            if state.resting || state.is_line_held() {
                return;
            }
            let Some(delivery) = state.released.pop_front().or_else(|| state.queue.pop()) else {
                return;
            };
            state.in_flight += 1;
            taken.deliveries.push(delivery);
        }
    }

    /// Whether events go in order of acceptance.
    pub(in crate::export) fn is_strict(&self) -> bool {
        self.state().strict
    }

    /// Takes back what was found to go to different places, to fill up there. `alone`: each goes
    /// by itself.
    pub(in crate::export) fn sorted(&self, sorted: Vec<(Key, Delivery)>, alone: bool) {
        let mut state = self.state();
        let now = Instant::now();
        state.in_flight -= sorted.len();
        let max_wait = state.batches.bounds.map_or(Duration::ZERO, |bounds| bounds.max_wait);
        for (key, mut delivery) in sorted {
            untried(&mut delivery);
            if alone || state.batches.bounds.is_none() {
                let group = Group { deliveries: vec![delivery], uniform: true };
                state.batches.formed.push_back(group);
            } else {
                let due = due(&delivery, max_wait, now);
                state.batches.fill(key, delivery, due);
            }
        }
        drop(state);
        self.wake_all();
    }

    /// Takes back groups of what was taken together: they go next, in this order, each as it is.
    pub(in crate::export) fn form(&self, groups: Vec<Vec<Delivery>>, uniform: bool) {
        let mut state = self.state();
        for mut group in groups.into_iter().rev() {
            state.in_flight -= group.len();
            group.iter_mut().for_each(untried);
            state.batches.form_first(group, uniform);
        }
        drop(state);
        self.wake_all();
    }

    /// Takes back a request's deliveries in two halves.
    pub(in crate::export) fn halve(&self, deliveries: &mut Vec<Delivery>, uniform: bool) {
        let second = deliveries.split_off(deliveries.len().div_ceil(2));
        self.form(vec![std::mem::take(deliveries), second], uniform);
    }
}

/// Nothing was tried of it after all.
fn untried(delivery: &mut Delivery) {
    if delivery.tries.sent == 0 {
        delivery.tries.first_at = None;
    }
}

impl State {
    /// Whether nothing more is to be waited for: no more can come, or no more will.
    fn is_pressed(&self) -> bool {
        let disk = &self.queue.disk;
        let crowded = disk.unloaded > 0 && self.queue.room_to_load().is_none();
        self.endpoints.is_lifted() || disk.stopped || self.queue.is_full() || crowded
    }

    /// Whether the FIFO's events are told apart before they wait for others. In strict order they
    /// are only when they are sent.
    fn sorts(&self) -> bool {
        !self.strict && self.batches.bounds.is_some_and(|bounds| bounds.sorted)
    }

    /// Whether there is something to tell apart, and nothing that could go instead.
    pub(super) fn is_unsorted(&self) -> bool {
        self.sorts() && self.batches.formed.is_empty() && !self.queue.is_empty()
    }

    /// Whether a batch fills up and nobody waits for its time.
    pub(super) fn is_unwatched(&mut self) -> bool {
        if self.batches.bounds.is_none() {
            return false;
        }
        let Look::Wait(Some(due)) = self.look(Instant::now()) else { return false };
        self.watched.is_none_or(|watched| due < watched)
    }

    /// When the front of the FIFO may go; `None` where nothing of it may without more.
    pub(super) fn queue_due(&mut self, now: Instant) -> Option<Instant> {
        let Some(bounds) = self.batches.bounds else {
            return (!self.queue.is_empty()).then_some(now);
        };
        if self.sorts() {
            return None;
        }
        let full = self.batches.is_full(self.queue.len(), self.queue.fifo_bytes(), 1);
        if !self.queue.is_empty() && (full || self.is_pressed()) {
            return Some(now);
        }
        self.batches.front_due(&self.queue, bounds.max_wait, now)
    }

    /// Lets batches go whose time has come; returns when the next one's has.
    pub(super) fn close_batches(&mut self, now: Instant) -> Option<Instant> {
        if self.batches.open.is_empty() {
            return None;
        }
        let pressed = self.is_pressed();
        self.batches.close(now, pressed);
        self.batches.open.iter().map(|open| open.due).min()
    }

    /// How many requests the FIFO is good for now.
    pub(super) fn queue_requests(&mut self, now: Instant) -> usize {
        let Some(bounds) = self.batches.bounds else { return self.queue.len() };
        if self.sorts() {
            return usize::from(self.is_unsorted());
        }
        match self.queue_due(now) {
            Some(due) if due <= now => self.queue.len().div_ceil(bounds.max_events),
            _ => 0,
        }
    }

    /// Takes the next of what goes as it is.
    pub(super) fn take_formed(&mut self, taken: &mut Taken) -> Option<Delivery> {
        let mut group = self.batches.formed.pop_front()?;
        if taken.alone && group.deliveries.len() > 1 {
            let rest = group.deliveries.split_off(1);
            self.batches.form_first(rest, group.uniform);
        }
        (taken.formed, taken.uniform) = (true, group.uniform);
        self.in_flight += group.deliveries.len();
        taken.deliveries.append(&mut group.deliveries);
        // It is counted by who asks.
        self.in_flight -= 1;
        taken.deliveries.pop()
    }

    /// Fills up what was taken with more of the same place.
    pub(super) fn fill(&mut self, place: super::order::Place, taken: &mut Taken, now: Instant) {
        use super::order::Place;
        if self.batches.bounds.is_none() || taken.alone {
            return;
        }
        let firsts = taken.probe || self.endpoints.look("", true, now) == Admission::Open;
        let mut bytes: usize = taken.deliveries.iter().map(|delivery| delivery.bytes).sum();
        loop {
            let next = match place {
                Place::Retry | Place::Formed | Place::Expired => return,
                Place::Released => self.released.front(),
                Place::Replay => self.replays.front(),
                Place::Queue | Place::Unsorted => self.queue.front(),
                Place::Parked => self.endpoints.parked_at(&taken.endpoint).and_then(|p| p.front()),
            };
            let Some(next) = next else { return };
            let size = next.bytes;
            let full = self.batches.is_full(taken.deliveries.len(), bytes, size);
            if full || !firsts && place == Place::Released && next.tries.sent == 0 {
                return;
            }
            let delivery = match place {
                Place::Released => self.released.pop_front(),
                Place::Replay => self.replays.pop_front(),
                Place::Parked => {
                    self.endpoints.parked_at(&taken.endpoint).and_then(VecDeque::pop_front)
                }
                _ => self.queue.pop(),
            };
            bytes += size;
            self.in_flight += usize::from(delivery.is_some());
            taken.deliveries.extend(delivery);
        }
    }

    /// Fills up a retry with those that failed with it, which are due at the very same moment: the
    /// request is the same again. One that is alone goes with others that are.
    pub(super) fn fill_retries(&mut self, due: Instant, taken: &mut Taken, now: Instant) {
        if self.batches.bounds.is_none() || taken.alone {
            return;
        }
        let mut bytes: usize = taken.deliveries.iter().map(|delivery| delivery.bytes).sum();
        let mut single = true;
        loop {
            let mut next = self.retries.iter();
            let Some((&(time, number), delivery)) = next.next() else { return };
            let together = time == due;
            let alone = next.next().is_none_or(|((after, _), _)| *after != time);
            let size = delivery.bytes;
            single &= !together;
            let goes = together || single && alone && time <= now;
            if !goes || self.batches.is_full(taken.deliveries.len(), bytes, size) {
                return;
            }
            bytes += size;
            let delivery = self.retries.remove(&(time, number));
            self.in_flight += usize::from(delivery.is_some());
            taken.deliveries.extend(delivery);
        }
    }
}

/// Takes out of a queue's FIFO, as [`extract`] does.
pub(super) fn extract_queued(
    queue: &mut Queue,
    taken: impl Fn(&Delivery) -> bool,
) -> VecDeque<Delivery> {
    queue.change_fifo(|fifo| extract(fifo, taken))
}
