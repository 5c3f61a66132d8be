//! One slot: takes, sends, concludes, until there has been nothing to do for a while or the
//! export's settings have changed.

use super::conclude::Flight;
use super::endpoint::EndpointName;
use super::{Export, SLOT_IDLE};
use crate::delivery::{Delivery, Moment, Outcome};
use crate::poison::FATAL;
use crate::retry::Reason;
use crate::sink::{Key, Sink};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::{Instant, sleep_until};

pub(super) async fn run<S: Sink>(export: Arc<Export>, mut sink: S, generation: u64) {
    let mut flight = Flight::new(Arc::clone(&export), true);
    let mut outcomes = Vec::new();
    let batch = export.settings().width.batch;
    let stale = || export.generation.load(Ordering::Acquire) != generation;
    flight.taken.alone = export.poison.watches();
    while export.board.take(&mut flight.taken, SLOT_IDLE, stale).await {
        // Of a batch what is left fills up meanwhile, and somebody is to wait for its time. A time
        // that was waited for may have come for more than this slot can carry.
        if sink.is_batch() || flight.taken.waited {
            export.wake();
        }
        export.carry(&mut sink, &mut flight, &mut outcomes, batch).await;
        export.tell_forgotten();
        flight.taken.alone = export.poison.watches();
    }
    if stale() {
        // Slots of the new settings take over.
        export.wake();
    }
}

impl Export {
    /// Makes an attempt with what was taken, and concludes it.
    async fn carry<S: Sink>(
        self: &Arc<Self>,
        sink: &mut S,
        flight: &mut Flight,
        outcomes: &mut Vec<Outcome>,
        batch: usize,
    ) {
        if flight.taken.expired {
            return self.bury_expired(flight);
        }
        if batch > 1 && !flight.taken.alone {
            self.board.take_more(&mut flight.taken, batch);
        }
        let started = Moment::now();
        for delivery in &mut flight.taken.deliveries {
            delivery.tries.first_at.get_or_insert(started);
        }
        if flight.taken.unsorted {
            return self.sort(sink, flight);
        }
        self.part(sink, flight);
        match flight.taken.deliveries.first().map(|delivery| self.address(sink, delivery)) {
            Some(Ok(Some(endpoint))) => {
                if !self.board.admit(&mut flight.taken, endpoint) {
                    return;
                }
            }
            Some(Err(outcome)) => {
                self.board.attempt_cancelled();
                outcomes.push(outcome);
            }
            Some(Ok(None)) => {}
            // None of them can be sent.
            None => {
                self.board.attempt_cancelled();
                self.endpoint_answered(&flight.taken, false);
                flight.taken.probe = false;
                return;
            }
        }
        if outcomes.is_empty() {
            let deliveries = &flight.taken.deliveries;
            let id = deliveries.first().map_or("", |delivery| delivery.id.as_str());
            self.poison.watched(id, sink.send(deliveries, outcomes)).await;
            let sent =
                outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Unsendable { .. }));
            if !sent {
                self.board.attempt_cancelled();
            } else if let Some(at) = self.board.attempt_ended() {
                self.save_limiter_at(at);
            }
        }
        let well = self.conclude(flight, started, outcomes, sink.is_batch());
        self.endpoint_answered(&flight.taken, well);
        if let Some(wait) = sink.rest().filter(|_| well) {
            self.spare(&flight.taken.endpoint, wait);
        }
        flight.taken.probe = false;
    }

    /// Saves the rate limit's window at this time, with what ends until then.
    fn save_limiter_at(self: &Arc<Self>, at: Instant) {
        if at <= Instant::now() {
            return self.save_limiter();
        }
        let export = Arc::clone(self);
        self.spawn(async move {
            sleep_until(at).await;
            export.save_limiter();
        });
    }

    /// Saves the rate limit's window, where there is a limit.
    pub(super) fn save_limiter(&self) {
        if let Some(window) = self.board.window_to_save() {
            self.store.save_limiter(&self.name, window);
        }
    }

    /// Tells apart what goes to different places and lets it fill up there.
    fn sort<S: Sink>(self: &Arc<Self>, sink: &S, flight: &mut Flight) {
        let mut keys = Vec::with_capacity(flight.taken.deliveries.len());
        for delivery in &flight.taken.deliveries {
            keys.push(self.key(sink, delivery));
        }
        let mut sorted = Vec::with_capacity(keys.len());
        for (key, delivery) in keys.into_iter().zip(flight.taken.deliveries.drain(..)) {
            match key {
                Ok(key) => sorted.push((key, delivery)),
                Err((reason, error)) => self.bury(delivery, reason, error),
            }
        }
        flight.taken.unsorted = false;
        self.board.sorted(sorted, flight.taken.alone);
        self.wake();
    }

    /// Leaves of what was taken what can go in one request; the others go after it.
    fn part<S: Sink>(self: &Arc<Self>, sink: &S, flight: &mut Flight) {
        let taken = &mut flight.taken;
        if taken.uniform || taken.deliveries.len() < 2 || !sink.is_batch() {
            return;
        }
        let strict = self.board.is_strict();
        let mut keys = Vec::with_capacity(taken.deliveries.len());
        for delivery in &taken.deliveries {
            keys.push(self.key(sink, delivery));
            // In strict order only what stands side by side goes together.
            if strict && keys.first() != keys.last() {
                break;
            }
        }
        if keys.iter().all(|key| key.is_ok() && keys.first() == Some(key)) {
            return;
        }
        if strict {
            let first = keys.len().saturating_sub(1);
            let rest = taken.deliveries.split_off(first.max(1));
            return self.board.form(vec![rest], false);
        }
        let mut groups: Vec<Vec<Delivery>> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for (key, delivery) in keys.into_iter().zip(taken.deliveries.drain(..)) {
            match key {
                Ok(key) => {
                    let place = *places.entry(key).or_insert(groups.len());
                    groups.resize_with(groups.len().max(place + 1), Vec::new);
                    if let Some(group) = groups.get_mut(place) {
                        group.push(delivery);
                    }
                }
                Err((reason, error)) => self.bury(delivery, reason, error),
            }
        }
        let rest = groups.split_off(groups.len().min(1));
        taken.deliveries.extend(groups.into_iter().flatten());
        self.board.form(rest, true);
        self.wake();
    }

    /// What tells a delivery apart from others, where anything does.
    fn key<S: Sink>(&self, sink: &S, delivery: &Delivery) -> Result<Key, (Reason, String)> {
        let _watch = self.poison.watch(delivery.id.as_str());
        match sink.key(delivery) {
            Ok(key) => Ok(key.unwrap_or_default()),
            Err(Outcome::Unsendable { reason, error }) => Err((reason, error)),
            Err(_) => Err((Reason::Render, "its address cannot be told".to_owned())),
        }
    }

    /// Where a delivery is to go, unless it has ended the process too often.
    fn address<S: Sink>(
        &self,
        sink: &S,
        delivery: &Delivery,
    ) -> Result<Option<EndpointName>, Outcome> {
        let id = delivery.id.as_str();
        if self.poison.is_poison(id) {
            let error = format!("postrider ended without warning {FATAL} times while it was sent");
            return Err(Outcome::Unsendable { reason: Reason::Poison, error });
        }
        let _watch = self.poison.watch(id);
        sink.endpoint(delivery)
    }

    /// Buries what waited longer than it may.
    fn bury_expired(self: &Arc<Self>, flight: &mut Flight) {
        for delivery in flight.taken.deliveries.drain(..) {
            let error = "it waited longer than queue.max_age".to_owned();
            self.bury(delivery, Reason::Expired, error);
        }
        flight.taken.expired = false;
    }
}
