//! The order of sending: which delivery a slot takes next, and whether it may go now.

use super::batch::extract_queued;
use super::{Next, PLACES_BETWEEN_REPLAYS, RETRIES_IN_A_ROW, State, Taken, extract};
use crate::delivery::Delivery;
use crate::export::endpoint::{Admission, EndpointName};
use crate::export::limiter::Permit;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often to look whether something has waited longer than it may.
const EXPIRY_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a delivery stands that could go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Expired,
    Retry,
    Parked,
    Released,
    /// What goes together as it is.
    Formed,
    Queue,
    /// The queue, to be told apart before anything of it is sent.
    Unsorted,
    Replay,
}

/// What a look at the board shows.
pub(super) enum Look {
    Ready { place: Place, probe: bool },
    Wait(Option<Instant>),
    Stop,
}

/// Whether the event of one delivery was accepted before that of another, where their sources give
/// an order.
pub(super) fn is_before(a: &Delivery, b: &Delivery) -> bool {
    let (a, b) = (&a.event.origin, &b.event.origin);
    match a.position.stream == b.position.stream {
        true => a.position < b.position,
        false => a.accepted_at < b.accepted_at,
    }
}

impl State {
    /// Lets a delivery wait for its endpoint; where that is the only one, before all others.
    pub(super) fn park(&mut self, endpoint: &str, delivery: Delivery) {
        let left = if endpoint.is_empty() {
            Some(delivery)
        } else {
            self.endpoints.park(endpoint, delivery)
        };
        if let Some(delivery) = left {
            self.released.push_front(delivery);
        }
    }

    /// Lets the deliveries of one request wait for their endpoint, together where they can.
    pub(super) fn park_all(&mut self, endpoint: &str, deliveries: &mut Vec<Delivery>) {
        self.in_flight -= deliveries.len();
        if endpoint.is_empty() && deliveries.len() > 1 {
            return self.batches.form_first(std::mem::take(deliveries), true);
        }
        deliveries.drain(..).for_each(|delivery| self.park(endpoint, delivery));
    }

    pub(super) fn cancel_attempt(&mut self) {
        if let Some(limiter) = &mut self.limiter {
            limiter.cancel();
        }
    }

    /// Lets a delivery wait. In strict order it does so behind all that wait already.
    pub(super) fn wait_until(&mut self, due: Instant, delivery: Delivery) {
        let last = self.retries.last_key_value().filter(|_| self.strict);
        let due = last.map_or(due, |((last, _), _)| due.max(*last));
        self.next_number += 1;
        self.retries.insert((due, self.next_number), delivery);
    }

    /// Lets the deliveries of one request wait. In strict order all that wait already do so behind
    /// them: they went first because they were first.
    pub(super) fn wait_first(&mut self, deliveries: impl Iterator<Item = (Instant, Delivery)>) {
        let behind = if self.strict { std::mem::take(&mut self.retries) } else { BTreeMap::new() };
        deliveries.for_each(|(due, delivery)| self.wait_until(due, delivery));
        behind.into_iter().for_each(|((due, _), delivery)| self.wait_until(due, delivery));
    }

    /// Deliveries that could go now but for endpoint and rate limit; counted up to `limit`.
    pub(super) fn ready_now(&mut self, limit: usize) -> usize {
        let now = Instant::now();
        self.close_batches(now);
        let due = self.retries.range(..=(now, u64::MAX)).take(limit).count();
        let queue = self.queue_requests(now) + self.batches.formed();
        let others = queue + self.released.len() + self.replays.len();
        (others + self.expired.len() + due).min(limit)
    }

    /// Whether anything waits for a time or for its turn.
    pub(super) fn waits(&self) -> bool {
        self.queue.events() > self.in_flight
    }

    /// Whether nothing is held that could still be sent in this run.
    pub(super) fn is_empty(&self) -> bool {
        let held = self.queue.events() + self.relieving + self.aside.events;
        held == 0 && !self.queue.disk.is_pending()
    }

    /// Finds the next delivery and puts it into `taken`.
    pub(super) fn next(&mut self, now: Instant, taken: &mut Taken) -> Next {
        if self.resting && !self.stopped {
            return Next::Wait(None);
        }
        let (place, probe) = match self.look(now) {
            Look::Ready { place, probe } => (place, probe),
            Look::Wait(until) => return Next::Wait(until),
            Look::Stop => return Next::Stop,
        };
        let mut endpoint: EndpointName = "".into();
        let mut retry_due = None;
        (taken.formed, taken.uniform) = (false, false);
        let delivery = match place {
            Place::Expired => self.expired.pop_front(),
            Place::Retry => self.retries.pop_first().map(|((due, _), delivery)| {
                retry_due = Some(due);
                delivery
            }),
            Place::Released => self.released.pop_front(),
            Place::Formed => self.take_formed(taken),
            Place::Queue | Place::Unsorted => self.queue.pop(),
            Place::Replay => self.replays.pop_front(),
            Place::Parked => self.endpoints.next_probe(now).map(|(name, delivery)| {
                endpoint = name;
                delivery
            }),
        };
        let Some(delivery) = delivery else {
            return Next::Wait(None);
        };
        if probe {
            self.endpoints.probe("");
        }
        let expired = place == Place::Expired;
        let unsorted = place == Place::Unsorted;
        if !expired
            && !unsorted
            && let Some(limiter) = &mut self.limiter
        {
            limiter.start();
        }
        if let Some(since) = self.limited_since.take() {
            self.limited += now - since;
        }
        self.places_since_replay = match place {
            Place::Replay => 0,
            Place::Unsorted => self.places_since_replay,
            _ => self.places_since_replay.saturating_add(1),
        };
        self.retries_in_a_row = match place {
            Place::Queue => 0,
            Place::Unsorted => self.retries_in_a_row,
            _ => self.retries_in_a_row.saturating_add(1),
        };
        self.in_flight += 1;
        taken.deliveries.push(delivery);
        taken.endpoint = endpoint;
        taken.probe = probe || place == Place::Parked;
        (taken.expired, taken.unsorted) = (expired, unsorted);
        match retry_due {
            Some(due) => self.fill_retries(due, taken, now),
            None => self.fill(place, taken, now),
        }
        Next::Taken
    }

    /// Where the next delivery stands, and whether it may go.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        if self.stopped {
            return Look::Stop;
        }
        let expiry = self.expire(now);
        if !self.expired.is_empty() {
            return Look::Ready { place: Place::Expired, probe: false };
        }
        if self.paused {
            return Look::Wait(expiry);
        }
        let batch_due = self.close_batches(now);
        if self.is_unsorted() {
            return Look::Ready { place: Place::Unsorted, probe: false };
        }
        let queue_due = self.queue_due(now);
        let mut until = expiry;
        let mut wait = |time: Option<Instant>| {
            until = until.into_iter().chain(time).min();
        };
        wait(self.retries.keys().next().map(|(due, _)| *due).filter(|due| *due > now));
        wait(self.endpoints.next_due().filter(|due| *due > now));
        wait(batch_due);
        wait(queue_due.filter(|due| *due > now));
        let queue_ready = queue_due.is_some_and(|due| due <= now);
        let mut ready = None;
        for place in self.places(now, queue_ready).into_iter().flatten() {
            match self.endpoints.look("", self.is_first_attempt(place), now) {
                Admission::Open => ready = Some((place, false)),
                Admission::Probe => ready = Some((place, true)),
                Admission::HeldUntil(time) => {
                    wait(Some(time));
                    continue;
                }
                Admission::Probing => continue,
            }
            break;
        }
        let Some((place, probe)) = ready else { return Look::Wait(until) };
        match self.limiter.as_mut().map_or(Permit::Now, |limiter| limiter.permit(now)) {
            Permit::Now => return Look::Ready { place, probe },
            Permit::At(time) => wait(Some(time)),
            Permit::Later => {}
        }
        self.limited_since.get_or_insert(now);
        Look::Wait(until)
    }

    /// The places where something is ready, in order of preference.
    fn places(&self, now: Instant, queue_ready: bool) -> [Option<Place>; 6] {
        let retry_due = self.retries.keys().next().is_some_and(|(due, _)| *due <= now);
        let parked_due = self.endpoints.next_due().is_some_and(|due| due <= now);
        // In strict order the first one holds the line, whatever it waits for.
        let line = !(self.strict && (self.in_flight > 0 || self.is_line_on_disk()));
        let first = if self.strict { self.first_in_line() } else { None };
        let goes = |place, ready: bool| {
            (ready && first.is_none_or(|first| first == place)).then_some(place)
        };
        let retry = goes(Place::Retry, retry_due);
        let parked = goes(Place::Parked, parked_due);
        let released = goes(Place::Released, !self.released.is_empty());
        let formed = goes(Place::Formed, line && !self.batches.is_formed_empty());
        let queue = goes(Place::Queue, line && queue_ready);
        let replay = (!self.replays.is_empty()).then_some(Place::Replay);
        let [a, b, c, d, e] = if self.retries_in_a_row >= RETRIES_IN_A_ROW {
            [queue, retry, parked, released, formed]
        } else {
            [retry, parked, released, formed, queue]
        };
        if self.places_since_replay >= PLACES_BETWEEN_REPLAYS {
            [replay, a, b, c, d, e]
        } else {
            [a, b, c, d, e, replay]
        }
    }

    /// Whether strict order lets nothing out of the queue: one waits for its retry, on disk too.
    pub(super) fn is_line_held(&self) -> bool {
        self.strict && (!self.retries.is_empty() || self.is_line_on_disk())
    }

    fn is_line_on_disk(&self) -> bool {
        self.relieving > 0 || self.queue.disk.waiting > 0
    }

    /// Where the delivery stands that was accepted first, of all that stand before the queue.
    fn first_in_line(&self) -> Option<Place> {
        let earlier = |a, b| if is_before(b, a) { b } else { a };
        let heads = [
            (Place::Retry, self.retries.values().next()),
            (Place::Parked, self.endpoints.parked().reduce(earlier)),
            (Place::Released, self.released.front()),
            (Place::Formed, self.batches.front()),
        ];
        let heads = heads.into_iter().filter_map(|(place, head)| Some((place, head?)));
        heads.reduce(|a, b| if is_before(b.1, a.1) { b } else { a }).map(|(place, _)| place)
    }

    /// Whether the next delivery of that place was never tried.
    fn is_first_attempt(&self, place: Place) -> bool {
        let next = match place {
            Place::Queue => self.queue.front(),
            Place::Released => self.released.front(),
            Place::Replay => self.replays.front(),
            Place::Formed => self.batches.front(),
            Place::Retry | Place::Parked | Place::Expired | Place::Unsorted => None,
        };
        next.is_some_and(|delivery| delivery.tries.sent == 0)
    }

    /// Sets aside what has waited longer than it may; returns when to look again.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let max_age = self.max_age?;
        if self.queue.events() == self.in_flight {
            return None;
        }
        if self.expiry_look > now {
            return Some(self.expiry_look);
        }
        let wall = Timestamp::now();
        let old = |delivery: &Delivery| {
            let age = wall.duration_since(delivery.event.origin.accepted_at);
            Duration::try_from(age).is_ok_and(|age| age > max_age)
        };
        let retries = self.retries.extract_if(.., |_, delivery| old(delivery));
        self.expired.extend(retries.map(|(_, delivery)| delivery));
        self.expired.extend(extract(&mut self.released, old));
        self.expired.extend(extract_queued(&mut self.queue, old));
        self.expired.extend(self.batches.extract(old));
        for (_, parked) in self.endpoints.parked_mut() {
            self.expired.extend(extract(parked, old));
        }
        self.expiry_look = now + EXPIRY_LOOK_EVERY;
        Some(self.expiry_look)
    }
}
