//! The board of one export: everything it holds, and which delivery a slot takes next.
//!
//! Order of sending: the retry that is longest due, then what an endpoint let go, then the queue in
//! order of acceptance. The queue has at least every eighth place, and replays at most every fourth
//! while others wait.
//!
//! A delivery that waits stands here and nowhere else: it holds no slot, no connection and no timer
//! of its own. What has no room here waits on disk: `disk` says what is to be written and read, and
//! when.

mod aside;
mod batch;
mod disk;
mod enter;
mod leave;
mod order;
mod promise;
mod slots;
mod spill;

use super::endpoint::{Admission, EndpointName, Endpoints};
use super::limiter::Limiter;
use crate::config;
use crate::delivery::Delivery;
use crate::metrics::Pending;
use crate::queue::Queue;
use aside::Aside;
use batch::Batches;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

pub use disk::Waiting;
pub(super) use disk::{Load, Relief};
pub use leave::Left;
pub(super) use leave::Settlement;
pub(super) use spill::{GATHER, Writing};

/// Replays wait for three others between two of their own.
const PLACES_BETWEEN_REPLAYS: u8 = 3;

/// After so many retries in a row the queue has a place: else what keeps failing fast would keep
/// everything new out.
const RETRIES_IN_A_ROW: u8 = 7;

/// See the module.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    /// For slots: something may be ready.
    ready: Notify,
    /// For sources, in the order they came, and for the one who reads the disk: enough was settled,
    /// or something was written.
    room: Notify,
    /// For whoever waits until nothing is held, or feeds replays.
    settled: Notify,
    /// Sources enter one at a time, one chunk each, unless that keeps other exports waiting.
    turnstile: tokio::sync::Mutex<()>,
    /// Whether any endpoint may be in trouble: seen without the lock, by every delivery.
    troubled: AtomicBool,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// By due time; the number keeps equal times apart.
    retries: BTreeMap<(Instant, u64), Delivery>,
    released: VecDeque<Delivery>,
    replays: VecDeque<Delivery>,
    /// They waited longer than they may and are to be buried.
    expired: VecDeque<Delivery>,
    batches: Batches,
    endpoints: Endpoints,
    limiter: Option<Limiter>,
    /// From when on the limiter's window may be saved again, and whether somebody will.
    save_limiter_from: Instant,
    saves_limiter: bool,
    /// Since when the limiter alone keeps ready deliveries back.
    limited_since: Option<Instant>,
    limited: Duration,
    places_since_replay: u8,
    retries_in_a_row: u8,
    next_number: u64,
    /// Deliveries that were routed and wait for room.
    entering: usize,
    /// How often somebody went to disk out of turn.
    overtakers: u64,
    /// Of those on their way in, how many do not count before they are on disk.
    uncounted: usize,
    /// Since when the disk has had no room, until it was empty again.
    disk_full_since: Option<Instant>,
    /// When the receiver last took something.
    delivered_at: Option<Instant>,
    in_flight: usize,
    /// Deliveries that were taken off to write them to disk where they stand.
    relieving: usize,
    aside: Aside,
    /// Dead letters that are being written.
    burying: usize,
    slots: usize,
    idle_slots: usize,
    /// The first time that an idle slot is known to wait for.
    watched: Option<Instant>,
    strict: bool,
    max_age: Option<Duration>,
    /// When to look again whether something has waited too long.
    expiry_look: Instant,
    /// Whether something arrived since retries were last moved to disk, and when that was.
    arrived_since_eviction: bool,
    evicted_at: Option<Instant>,
    /// What an earlier export left is not known yet: new events wait for it.
    restoring: bool,
    /// Somebody asked that nothing be sent.
    paused: bool,
    /// It is about to stop: what is in flight ends, and nothing else begins.
    resting: bool,
    /// Nothing is given out any more.
    stopped: bool,
    /// What stood here was taken off for good.
    left: bool,
}

/// What a slot took, to send in one attempt.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// The endpoint, where it is known already; empty for an export with a single one.
    pub(super) endpoint: EndpointName,
    /// Whether the whole endpoint waits for what comes of this attempt.
    pub(super) probe: bool,
    /// They waited too long: they are not to be sent.
    pub(super) expired: bool,
    /// They are to be told apart by URL and headers, and given back.
    pub(super) unsorted: bool,
    /// They go together as they are.
    pub(super) formed: bool,
    /// They are known to have URL and headers in common.
    pub(super) uniform: bool,
    /// The slot waited for a time before.
    pub(super) waited: bool,
    /// Said by the slot: no more than one at a time.
    pub(super) alone: bool,
}

/// What the board has for a slot.
enum Next {
    /// It is taken.
    Taken,
    /// Nothing before this time, or before something changes.
    Wait(Option<Instant>),
    Stop,
}

impl Board {
    pub(super) fn new(config: &config::Export) -> Self {
        let now = Instant::now();
        Board {
            state: Mutex::new(State {
                queue: Queue::new(config.queue),
                retries: BTreeMap::new(),
                released: VecDeque::new(),
                replays: VecDeque::new(),
                expired: VecDeque::new(),
                batches: Batches::new(config.batch.as_ref().map(|batch| batch.bounds)),
                endpoints: Endpoints::new(config.breaker.clone()),
                limiter: config.rate_limit.map(Limiter::new),
                save_limiter_from: now,
                saves_limiter: false,
                limited_since: None,
                limited: Duration::ZERO,
                places_since_replay: PLACES_BETWEEN_REPLAYS,
                retries_in_a_row: 0,
                next_number: 0,
                entering: 0,
                overtakers: 0,
                uncounted: 0,
                disk_full_since: None,
                delivered_at: None,
                in_flight: 0,
                relieving: 0,
                aside: Aside::default(),
                burying: 0,
                slots: 0,
                idle_slots: 0,
                watched: None,
                strict: config.strict,
                max_age: config.queue.max_age,
                expiry_look: now,
                arrived_since_eviction: false,
                evicted_at: None,
                restoring: false,
                paused: false,
                resting: false,
                stopped: false,
                left: false,
            }),
            ready: Notify::new(),
            room: Notify::new(),
            settled: Notify::new(),
            turnstile: tokio::sync::Mutex::new(()),
            troubled: AtomicBool::new(false),
        }
    }

    /// Takes up a changed configuration between two attempts; what is held stays.
    pub(super) fn configure(&self, config: &config::Export) {
        let mut state = self.state();
        state.queue.configure(config.queue);
        state.endpoints.configure(config.breaker.clone());
        state.strict = config.strict;
        let apart = state.batches.configure(config.batch.as_ref().map(|batch| batch.bounds));
        state.released.extend(apart);
        state.max_age = config.queue.max_age;
        state.limiter = match (state.limiter.take(), config.rate_limit) {
            (Some(limiter), Some(limit)) => Some(limiter.configured(limit)),
            (None, Some(limit)) => Some(Limiter::new(limit)),
            (_, None) => None,
        };
        drop(state);
        self.room.notify_waiters();
        // There may be room for more replays.
        self.settled.notify_waiters();
        self.wake_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All slots look again, those too that come only now.
    fn wake_all(&self) {
        self.ready.notify_waiters();
        self.ready.notify_one();
    }

    /// Asks whether what was taken may go to its endpoint, which only rendering its URL told. Else
    /// it is parked, and nothing was sent.
    pub(super) fn admit(&self, taken: &mut Taken, endpoint: EndpointName) -> bool {
        let mut state = self.state();
        if taken.probe && taken.endpoint != endpoint {
            // The URL is another one than when this was held back: nobody would wait for an
            // endpoint that is not probed any more.
            let parked = state.endpoints.forget(&taken.endpoint);
            state.released.extend(parked);
            taken.probe = false;
        }
        let first = taken.deliveries.first().is_some_and(|delivery| delivery.tries.sent == 0);
        let admission = if taken.probe {
            Admission::Open
        } else {
            state.endpoints.look(&endpoint, first, Instant::now())
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

    /// An attempt ended; its token returns in time. Returns when the limiter's window is to be
    /// saved, if nobody is about to: [`Board::window_to_save`] gives it then.
    pub(super) fn attempt_ended(&self) -> Option<Instant> {
        let mut state = self.state();
        let now = Instant::now();
        state.limiter.as_mut()?.end(now);
        let saves = std::mem::replace(&mut state.saves_limiter, true);
        (!saves).then(|| state.save_limiter_from.max(now))
    }

    /// The limiter's window, which is saved now; `None` where there is no limit.
    pub(super) fn window_to_save(&self) -> Option<Vec<Timestamp>> {
        let mut state = self.state();
        state.saves_limiter = false;
        state.save_limiter_from = Instant::now() + super::SAVE_LIMITER_EVERY;
        let limiter = state.limiter.as_ref();
        limiter.map(|limiter| limiter.window(Instant::now(), Timestamp::now()))
    }

    /// Takes up the window of an earlier run.
    pub(super) fn restore_limiter(&self, ended: &[Timestamp]) {
        if let Some(limiter) = &mut self.state().limiter {
            limiter.restore(ended, Instant::now(), Timestamp::now());
        }
    }

    /// Nothing was sent after all.
    pub(super) fn attempt_cancelled(&self) {
        self.state().cancel_attempt();
    }

    /// Waits until something is settled; check the condition after creating the future.
    pub(super) fn on_settled(&self) -> Notified<'_> {
        self.settled.notified()
    }

    /// Whether nothing is held that could still be sent in this run.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.paused && state.in_flight + state.aside.events == 0 || state.is_empty()
    }

    /// Whether any endpoint may be in trouble.
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// Whether something is ready or in flight or becomes due before `deadline`: else waiting until
    /// then brings nothing.
    pub(super) fn is_busy_before(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        if state.is_empty() {
            return false;
        }
        let on_its_way = state.in_flight + state.relieving + state.queue.disk.writing;
        on_its_way > 0
            || match state.look(now) {
                order::Look::Wait(until) => until.is_some_and(|until| until < deadline),
                order::Look::Ready { .. } => true,
                order::Look::Stop => false,
            }
    }

    /// What is held now, for the metrics.
    pub(super) fn pending(&self, now: Timestamp) -> Pending {
        let state = self.state();
        let waiting = state.retries.values().chain(&state.released).chain(state.endpoints.parked());
        let all = waiting.chain(state.queue.front()).chain(&state.replays).chain(&state.expired);
        let all = all.chain(state.batches.iter());
        let oldest = all.map(|delivery| delivery.event.origin.accepted_at).min();
        let age = |oldest| Duration::try_from(now.duration_since(oldest)).ok();
        let disk = &state.queue.disk;
        let retry = state.retries.len() + state.released.len() + state.endpoints.parked().count();
        let memory = state.entering
            + state.queue.len()
            + state.replays.len()
            + state.batches.iter().count()
            + disk.spilling.len()
            + disk.writing;
        Pending {
            memory: memory.saturating_sub(state.uncounted),
            disk: disk.events() as usize,
            retry: retry + state.relieving + state.expired.len(),
            flight: state.in_flight + state.aside.events,
            bytes: state.queue.bytes()
                + state.aside.bytes
                + disk.spilling_bytes
                + disk.writing_bytes,
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

#[cfg(test)]
impl Board {
    /// Looks into the queue, or puts it into a state that is rare.
    pub(super) fn with_queue<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        change(&mut self.state().queue)
    }
}

/// Takes out of a list all that fulfils a condition, in order.
fn extract(list: &mut VecDeque<Delivery>, taken: impl Fn(&Delivery) -> bool) -> VecDeque<Delivery> {
    let (out, kept) = std::mem::take(list).into_iter().partition(taken);
    *list = kept;
    out
}
