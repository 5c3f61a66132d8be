//! The board of one export: everything it holds, and which delivery a slot takes next.
//!
//! Order of sending: the retry longest due, then what an endpoint let go, then the queue in order
//! of acceptance; replays get at most every fourth place while others wait. A delivery that waits
//! stands here and nowhere else: it holds no slot, no connection and no timer of its own.

mod enter;
mod order;

use super::endpoint::{Admission, EndpointName, Endpoints};
use super::limiter::Limiter;
use crate::config::{QueueBounds, RateLimit};
use crate::delivery::Delivery;
use crate::metrics::Pending;
use crate::queue::Queue;
use jiff::Timestamp;
use order::Look;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Replays wait for three others between two of their own.
const PLACES_BETWEEN_REPLAYS: u8 = 3;

/// Replays that stand on the board at once; the rest waits in the store.
pub(super) const REPLAYS_ON_BOARD: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    /// For slots: something may be ready.
    ready: Notify,
    /// For sources, in the order they came: something was settled.
    room: Notify,
    /// For whoever waits until nothing is held, or feeds replays.
    settled: Notify,
    /// Sources enter one at a time, one chunk each.
    turnstile: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// By due time; the number keeps equal times apart.
    retries: BTreeMap<(Instant, u64), Delivery>,
    released: VecDeque<Delivery>,
    replays: VecDeque<Delivery>,
    endpoints: Endpoints,
    limiter: Option<Limiter>,
    /// Since when the limiter alone keeps ready deliveries back.
    limited_since: Option<Instant>,
    limited: Duration,
    places_since_replay: u8,
    next_number: u64,
    /// Deliveries that were routed and wait for room.
    entering: usize,
    in_flight: usize,
    slots: usize,
    idle_slots: usize,
    /// Nothing is given out any more.
    stopped: bool,
}

/// What a slot took, to send in one attempt.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// The endpoint, where it is known already; empty for an export with a single one.
    pub(super) endpoint: EndpointName,
    /// Whether the whole endpoint waits for what comes of this attempt.
    pub(super) probe: bool,
}

/// What the board has for a slot.
enum Next {
    Take {
        delivery: Delivery,
        endpoint: EndpointName,
        probe: bool,
    },
    /// Nothing before this time, or before something changes.
    Wait(Option<Instant>),
    Stop,
}

impl Board {
    pub(super) fn new(bounds: QueueBounds, rate_limit: Option<RateLimit>) -> Self {
        Board {
            state: Mutex::new(State {
                queue: Queue::new(bounds),
                retries: BTreeMap::new(),
                released: VecDeque::new(),
                replays: VecDeque::new(),
                endpoints: Endpoints::default(),
                limiter: rate_limit.map(Limiter::new),
                limited_since: None,
                limited: Duration::ZERO,
                places_since_replay: PLACES_BETWEEN_REPLAYS,
                next_number: 0,
                entering: 0,
                in_flight: 0,
                slots: 0,
                idle_slots: 0,
                stopped: false,
            }),
            ready: Notify::new(),
            room: Notify::new(),
            settled: Notify::new(),
            turnstile: tokio::sync::Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many slots should be started, of at most `limit`; they count as started from now on.
    pub(super) fn missing_slots(&self, limit: usize) -> usize {
        let mut state = self.state();
        let ready = state.ready_now(limit);
        let missing = ready.saturating_sub(state.idle_slots).min(limit.saturating_sub(state.slots));
        // What waits for a time needs one slot that waits with it.
        let missing = if state.slots == 0 && state.waits() { missing.max(1) } else { missing };
        state.slots += missing;
        let wake = ready.min(state.idle_slots);
        drop(state);
        (0..wake).for_each(|_| self.ready.notify_one());
        missing
    }

    /// Takes the next delivery, waiting for one; false when the slot should end: the board
    /// stopped, or there was nothing for `idle`.
    pub(super) async fn take(&self, taken: &mut Taken, idle: Duration) -> bool {
        let idle_from = Instant::now();
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let (wait, last) = {
                let mut state = self.state();
                match state.next(Instant::now()) {
                    Next::Take { delivery, endpoint, probe } => {
                        taken.deliveries.push(delivery);
                        taken.endpoint = endpoint;
                        taken.probe = probe;
                        return true;
                    }
                    Next::Stop => {
                        state.slots -= 1;
                        return false;
                    }
                    Next::Wait(until) => {
                        // One slot stays for what waits for a time.
                        let may_end = state.slots > 1 || !state.waits();
                        if may_end && idle_from.elapsed() >= idle {
                            state.slots -= 1;
                            return false;
                        }
                        state.idle_slots += 1;
                        (until, may_end.then(|| idle_from + idle))
                    }
                }
            };
            let _idle = Idle(self);
            match wait.into_iter().chain(last).min() {
                Some(until) => tokio::select! {
                    () = ready => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                None => ready.await,
            }
        }
    }

    /// Takes more that may go with what a slot has just taken, up to `max` in all.
    pub(super) fn take_more(&self, taken: &mut Taken, max: usize) {
        let mut state = self.state();
        while taken.deliveries.len() < max && !taken.probe {
            let Some(delivery) = state.released.pop_front().or_else(|| state.queue.pop()) else {
                return;
            };
            state.in_flight += 1;
            taken.deliveries.push(delivery);
        }
    }

    /// Asks whether what was taken may go to its endpoint, which only rendering its URL told. Else
    /// it is parked, and nothing was sent.
    pub(super) fn admit(&self, taken: &mut Taken, endpoint: EndpointName) -> bool {
        let mut state = self.state();
        let admission = if taken.probe {
            Admission::Open
        } else {
            state.endpoints.look(&endpoint, Instant::now())
        };
        match admission {
            Admission::Open => {}
            Admission::Probe => {
                state.endpoints.probe(&endpoint);
                taken.probe = true;
            }
            Admission::HeldUntil(_) | Admission::Probing => {
                state.cancel_attempt();
                for delivery in taken.deliveries.drain(..) {
                    state.in_flight -= 1;
                    state.park(&endpoint, delivery);
                }
                drop(state);
                // The parked one may be the first that waits for this time.
                self.ready.notify_one();
                return false;
            }
        }
        taken.endpoint = endpoint;
        true
    }

    /// An attempt ended; its token returns in time.
    pub(super) fn attempt_ended(&self) {
        if let Some(limiter) = &mut self.state().limiter {
            limiter.end(Instant::now());
        }
    }

    /// Nothing was sent after all.
    pub(super) fn attempt_cancelled(&self) {
        self.state().cancel_attempt();
    }

    /// The endpoint took a delivery. Where that was its probe, all that waited for it may go.
    pub(super) fn endpoint_answered(&self, endpoint: &str, probe: bool, well: bool) {
        if !probe {
            return;
        }
        let mut state = self.state();
        if well {
            let parked = state.endpoints.recovered(endpoint);
            state.released.extend(parked);
        } else {
            state.endpoints.probe_failed(endpoint, Instant::now());
        }
        drop(state);
        self.ready.notify_waiters();
        self.ready.notify_one();
    }

    /// A delivery waits for its next attempt.
    pub(super) fn retry(&self, delivery: Delivery, wait: Duration) {
        let mut state = self.state();
        state.in_flight -= 1;
        state.wait_until(Instant::now() + wait, delivery);
        drop(state);
        self.ready.notify_one();
    }

    /// A delivery's endpoint is to be left alone; it goes first when that is over.
    pub(super) fn hold(&self, delivery: Delivery, endpoint: &str, wait: Duration) {
        let mut state = self.state();
        state.in_flight -= 1;
        let forgotten = state.endpoints.hold(endpoint, Instant::now() + wait);
        state.released.extend(forgotten);
        state.park(endpoint, delivery);
        drop(state);
        self.ready.notify_one();
    }

    /// A delivery of this size is settled and off the board.
    pub(super) fn settled(&self, bytes: usize) {
        let mut state = self.state();
        state.in_flight -= 1;
        state.queue.release(bytes);
        let empty = state.queue.events() == 0;
        let feed = state.replays.is_empty();
        drop(state);
        // All who wait look again: the first may not fit where the second does.
        self.room.notify_waiters();
        if empty || feed {
            self.settled.notify_waiters();
        }
    }

    /// What was dropped unsettled, as by a panic, goes on waiting: it was not delivered.
    pub(super) fn give_back(&self, taken: &mut Taken) {
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
    pub(super) fn slot_lost(&self) {
        let mut state = self.state();
        state.slots -= 1;
        if let Some(limiter) = &mut state.limiter {
            limiter.end(Instant::now());
        }
    }

    /// Waits until something is settled; check the condition after creating the future.
    pub(super) fn on_settled(&self) -> Notified<'_> {
        self.settled.notified()
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.state().queue.events() == 0
    }

    /// Whether something is ready or in flight or becomes due before `deadline`: else waiting until
    /// then brings nothing.
    pub(super) fn is_busy_before(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        if state.queue.events() == 0 {
            return false;
        }
        state.in_flight > 0
            || match state.look(now) {
                Look::Wait(until) => until.is_some_and(|until| until < deadline),
                Look::Ready { .. } => true,
                Look::Stop => false,
            }
    }

    /// Gives nothing out any more; slots end when they come back.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.ready.notify_waiters();
        self.settled.notify_waiters();
    }

    /// Takes everything off the board that is not in flight, in order of sending, each with the
    /// time it is due.
    pub(super) fn take_all(&self) -> Vec<(Delivery, Option<Instant>)> {
        let mut state = self.state();
        let retries = std::mem::take(&mut state.retries);
        let mut all: Vec<_> =
            retries.into_iter().map(|((due, _), delivery)| (delivery, Some(due))).collect();
        all.extend(state.released.drain(..).map(|delivery| (delivery, None)));
        all.extend(state.endpoints.take_parked().into_iter().map(|delivery| (delivery, None)));
        while let Some(delivery) = state.queue.pop() {
            all.push((delivery, None));
        }
        all.extend(std::mem::take(&mut state.replays).into_iter().map(|delivery| (delivery, None)));
        for (delivery, _) in &all {
            state.queue.release(delivery.bytes());
        }
        all
    }

    /// What is held now, for the metrics.
    pub(super) fn pending(&self, now: Timestamp) -> Pending {
        let state = self.state();
        let waiting = state.retries.values().chain(&state.released).chain(state.endpoints.parked());
        let all = waiting.chain(state.queue.front()).chain(&state.replays);
        let oldest = all.map(|delivery| delivery.event.origin.accepted_at).min();
        let age = |oldest| Duration::try_from(now.duration_since(oldest)).ok();
        Pending {
            memory: state.entering + state.queue.len() + state.replays.len(),
            disk: 0,
            retry: state.retries.len() + state.released.len() + state.endpoints.parked().count(),
            flight: state.in_flight,
            bytes: state.queue.bytes(),
            oldest: oldest.and_then(age).unwrap_or_default(),
        }
    }

    /// How long the rate limit kept ready deliveries back since the last call.
    pub(super) fn rate_limited(&self) -> Duration {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(since) = state.limited_since {
            state.limited += now - since;
            state.limited_since = Some(now);
        }
        std::mem::take(&mut state.limited)
    }
}

/// Counts a slot as idle while it lives.
struct Idle<'a>(&'a Board);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.state().idle_slots -= 1;
    }
}
