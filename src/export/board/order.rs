//! The order of sending: which delivery a slot takes next, and whether it may go now.

use super::{Next, PLACES_BETWEEN_REPLAYS, State};
use crate::delivery::Delivery;
use crate::export::endpoint::{Admission, EndpointName};
use crate::export::limiter::Permit;
use crate::queue::Entrant;
use std::collections::VecDeque;
use tokio::time::Instant;

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

    /// Moves what there is room for into the queue.
    pub(super) fn enter(&mut self, waiting: &mut VecDeque<Delivery>, entrant: Entrant) {
        let before = waiting.len();
        self.queue.enter(waiting, entrant);
        self.entering -= before - waiting.len();
    }

    pub(super) fn cancel_attempt(&mut self) {
        if let Some(limiter) = &mut self.limiter {
            limiter.cancel();
        }
    }

    pub(super) fn wait_until(&mut self, due: Instant, delivery: Delivery) {
        self.next_number += 1;
        self.retries.insert((due, self.next_number), delivery);
    }

    /// Deliveries that could go now but for endpoint and rate limit; counted up to `limit`.
    pub(super) fn ready_now(&self, limit: usize) -> usize {
        let due = self.retries.range(..=(Instant::now(), u64::MAX)).take(limit).count();
        (self.queue.len() + self.released.len() + self.replays.len() + due).min(limit)
    }

    /// Whether anything waits for a time or for its turn.
    pub(super) fn waits(&self) -> bool {
        self.queue.events() > self.in_flight
    }

    /// Finds the next delivery and takes it.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let (place, probe) = match self.look(now) {
            Look::Ready { place, probe } => (place, probe),
            Look::Wait(until) => return Next::Wait(until),
            Look::Stop => return Next::Stop,
        };
        let mut endpoint: EndpointName = "".into();
        let delivery = match place {
            Place::Retry => self.retries.pop_first().map(|(_, delivery)| delivery),
            Place::Released => self.released.pop_front(),
            Place::Queue => self.queue.pop(),
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
        if let Some(limiter) = &mut self.limiter {
            limiter.start();
        }
        if let Some(since) = self.limited_since.take() {
            self.limited += now - since;
        }
        self.places_since_replay = match place {
            Place::Replay => 0,
            _ => self.places_since_replay.saturating_add(1),
        };
        self.in_flight += 1;
        Next::Take { delivery, endpoint, probe: probe || place == Place::Parked }
    }

    /// Where the next delivery stands, and whether it may go.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        if self.stopped {
            return Look::Stop;
        }
        let Some(place) = self.place(now) else {
            let due = self.retries.keys().next().map(|(due, _)| *due);
            return Look::Wait(due.into_iter().chain(self.endpoints.next_due()).min());
        };
        let probe = match self.endpoints.look("", now) {
            Admission::Open => false,
            Admission::Probe => true,
            Admission::HeldUntil(until) => return Look::Wait(Some(until)),
            Admission::Probing => return Look::Wait(None),
        };
        let until = match self.limiter.as_mut().map_or(Permit::Now, |limiter| limiter.permit(now)) {
            Permit::Now => return Look::Ready { place, probe },
            Permit::At(until) => Some(until),
            Permit::Later => None,
        };
        self.limited_since.get_or_insert(now);
        Look::Wait(until)
    }

    fn place(&self, now: Instant) -> Option<Place> {
        let retry_due = self.retries.keys().next().is_some_and(|(due, _)| *due <= now);
        let other = if retry_due {
            Some(Place::Retry)
        } else if self.endpoints.next_due().is_some_and(|due| due <= now) {
            Some(Place::Parked)
        } else if !self.released.is_empty() {
            Some(Place::Released)
        } else if !self.queue.is_empty() {
            Some(Place::Queue)
        } else {
            None
        };
        let replays_turn = other.is_none() || self.places_since_replay >= PLACES_BETWEEN_REPLAYS;
        if !self.replays.is_empty() && replays_turn { Some(Place::Replay) } else { other }
    }
}

/// Where a delivery stands that could go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Retry,
    Parked,
    Released,
    Queue,
    Replay,
}

/// What a look at the board shows.
pub(super) enum Look {
    Ready { place: Place, probe: bool },
    Wait(Option<Instant>),
    Stop,
}
