//! One export at work. Slots take deliveries from the board, send them and settle them; what fails
//! for good is written down as a dead letter before it is settled.
//!
//! Slots are started when there is work for them and end when there is none for a while, so an
//! idle export is data: no task, no timer, no connection.

mod board;
mod endpoint;
mod limiter;
mod log;
#[cfg(test)]
mod tests;

use crate::config::{self, QueueBounds};
use crate::delivery::{Claim, Delivery, Failure, Moment, Outcome};
use crate::filter::Filter;
use crate::metrics::{AttemptOutcome, ExportMetrics, Metrics};
use crate::queue::Entrant;
use crate::retry::{Policy, Reason, Tries, Verdict};
use crate::sink::Sink;
use crate::store::{Replaces, Store};
use board::{Board, Taken};
use futures::future::BoxFuture;
use jiff::Timestamp;
use log::ExportLog;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::futures::Notified;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use endpoint::EndpointName;

/// How long a slot without work keeps its connection.
const SLOT_IDLE: Duration = Duration::from_secs(30);

/// How long to wait before the store is asked again to write a dead letter down.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// One export at work.
pub struct Export {
    name: Arc<str>,
    filter: Filter,
    policy: Policy,
    board: Board,
    slots: usize,
    batch: usize,
    metrics: ExportMetrics,
    store: Store,
    log: ExportLog,
    start_slot: Box<dyn Fn(Arc<Export>) -> BoxFuture<'static, ()> + Send + Sync>,
    tasks: Mutex<JoinSet<()>>,
    replaying: Mutex<HashSet<i64>>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({})", self.name)
    }
}

/// How many attempts may be under way at once, and how many deliveries one of them may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Attempts at once.
    pub slots: usize,
    /// Deliveries in one.
    pub batch: usize,
}

impl Export {
    /// An export that sends through the sinks that `open` makes, one for each slot. `address` is
    /// where it leads, as logs may show it.
    pub fn new<S: Sink>(
        config: &config::Export,
        address: String,
        width: Width,
        store: Store,
        metrics: &Metrics,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Arc<Export> {
        let QueueBounds { memory_bytes, .. } = config.queue;
        Arc::new(Export {
            name: Arc::clone(&config.name),
            filter: config.filter.clone(),
            policy: config.retry.clone(),
            board: Board::new(config.queue, config.rate_limit),
            slots: width.slots,
            batch: width.batch,
            metrics: metrics.export(&config.name, memory_bytes),
            store,
            log: ExportLog::new(&config.name, address),
            start_slot: Box::new(move |export| Box::pin(slot(export, open()))),
            tasks: Mutex::default(),
            replaying: Mutex::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it takes.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What it counts.
    pub fn metrics(&self) -> &ExportMetrics {
        &self.metrics
    }

    /// Queues routed deliveries, waiting for room as long as it takes.
    pub async fn push(self: &Arc<Self>, deliveries: Vec<Delivery>, entrant: Entrant) {
        let blocked = self.board.push(deliveries, entrant, || self.wake()).await;
        if !blocked.is_zero() {
            self.metrics.blocked(blocked);
        }
    }

    /// Takes up deliveries of an earlier run, each with the time it is due.
    pub fn restore(self: &Arc<Self>, deliveries: Vec<(Delivery, Option<Instant>)>) {
        self.metrics.restored(deliveries.len() as u64);
        self.board.restore(deliveries);
        self.wake();
    }

    /// Takes up dead letters to replay; at most [`Self::replay_room`] at once.
    pub fn replay(self: &Arc<Self>, deliveries: Vec<Delivery>) {
        self.replaying().extend(deliveries.iter().filter_map(|delivery| match delivery.claim {
            Claim::Replay(id) => Some(id),
            Claim::Line { .. } | Claim::Row(_) => None,
        }));
        self.metrics.replayed(deliveries.len() as u64);
        self.board.replay(deliveries);
        self.wake();
    }

    /// How many more replays it takes up now.
    pub fn replay_room(&self) -> usize {
        self.board.replay_room()
    }

    /// Ids of the dead letters that it replays now.
    pub fn replaying(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.replaying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everything in that still waits for room: the program stops, and its sources cannot
    /// take back what they have read.
    pub fn lift_bounds(&self) {
        self.board.lift_bounds();
    }

    /// What is wrong with it, for people; `None` where nothing is.
    pub fn warning(&self) -> Option<String> {
        let pending = self.board.pending(Timestamp::now());
        (pending.retry > 0)
            .then(|| format!("export `{}`: {} events wait for a retry", self.name, pending.retry))
    }

    /// Waits until something is settled.
    pub fn on_settled(&self) -> Notified<'_> {
        self.board.on_settled()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.board.is_empty()
    }

    /// Whether something of it can still change before `deadline`.
    pub fn is_busy_before(&self, deadline: Instant) -> bool {
        self.board.is_busy_before(deadline)
    }

    /// Brings the gauges up to date.
    pub fn observe(&self) {
        self.metrics.pending(self.board.pending(Timestamp::now()));
        self.metrics.rate_limited(self.board.rate_limited());
    }

    /// Stops sending, cuts off what is in flight, and returns all that is not settled, each with
    /// the time it is due.
    pub async fn stop(&self) -> Vec<(Delivery, Option<Instant>)> {
        self.board.stop();
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // Each task gives back what it holds as it goes.
        tasks.shutdown().await;
        self.board.take_all()
    }

    /// Starts slots for what is ready.
    fn wake(self: &Arc<Self>) {
        for _ in 0..self.board.missing_slots(self.slots) {
            self.spawn((self.start_slot)(Arc::clone(self)));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Ends one attempt for one delivery, as the policy says.
    fn conclude(
        self: &Arc<Self>,
        flight: &mut Flight,
        started: Moment,
        outcome: Outcome,
        ended: Timestamp,
    ) {
        let Some(mut delivery) = flight.taken.deliveries.pop() else { return };
        let tries = &mut delivery.tries;
        if !matches!(outcome, Outcome::Unsendable { .. }) {
            tries.sent += 1;
            tries.used += 1;
            tries.last_at = Some(ended);
        }
        let took = started.instant.elapsed();
        match outcome {
            Outcome::Delivered(status) => {
                self.metrics.attempted(AttemptOutcome::Delivered, status, took);
                self.log.delivered(&delivery, status, took);
                self.delivered(delivery, ended);
            }
            Outcome::Failed(failure) => self.failed(flight, delivery, failure, took),
            Outcome::Unsendable { reason, error } => self.bury(delivery, reason, error),
        }
    }

    fn delivered(&self, delivery: Delivery, now: Timestamp) {
        let latency = Duration::try_from(now.duration_since(delivery.event.origin.accepted_at))
            .unwrap_or_default();
        let bytes = delivery.bytes();
        match delivery.claim {
            Claim::Line { ack, .. } => ack.settle(),
            Claim::Row(row) => self.store.settle_row(&self.name, row),
            Claim::Replay(id) => {
                self.store.replayed(id);
                self.replaying().remove(&id);
            }
        }
        self.metrics.delivered(latency);
        self.board.settled(bytes);
    }

    fn failed(
        self: &Arc<Self>,
        flight: &Flight,
        mut delivery: Delivery,
        failure: Failure,
        took: Duration,
    ) {
        let elapsed =
            delivery.tries.first_at.map_or(Duration::ZERO, |first| first.instant.elapsed());
        let tries = Tries { used: delivery.tries.used, elapsed };
        let verdict = self.policy.decide(tries, failure.reply, random());
        let outcome = match verdict {
            Verdict::Delivered => AttemptOutcome::Delivered,
            Verdict::Retry(_) | Verdict::Hold(_) => AttemptOutcome::Retry,
            Verdict::Dead(Reason::Rejected) => AttemptOutcome::Rejected,
            Verdict::Dead(_) => AttemptOutcome::Error,
        };
        self.metrics.attempted(outcome, failure.status(), took);
        let error = failure.error.clone();
        if let Verdict::Retry(wait) | Verdict::Hold(wait) = verdict {
            self.log.retry(&delivery, &failure, wait, took);
        }
        delivery.tries.last = Some(failure);
        match verdict {
            Verdict::Delivered => self.delivered(delivery, Timestamp::now()),
            Verdict::Retry(wait) => self.board.retry(delivery, wait),
            Verdict::Hold(wait) => {
                delivery.tries.used -= 1;
                self.metrics.retry_after_wait();
                self.board.hold(delivery, &flight.taken.endpoint, wait);
            }
            Verdict::Dead(reason) => self.bury(delivery, reason, error),
        }
    }

    /// Writes a dead letter down, and settles only then. Holds no slot meanwhile.
    fn bury(self: &Arc<Self>, delivery: Delivery, reason: Reason, error: String) {
        let mut flight = Flight::new(Arc::clone(self), false);
        flight.taken.deliveries.push(delivery);
        self.spawn(async move {
            while let Some(delivery) = flight.taken.deliveries.last() {
                let letter = delivery.dead_letter(&flight.export.name, reason, &error);
                let replaces = Replaces::of(&flight.export.name, &delivery.claim);
                match flight.export.store.bury(letter, replaces, None).await {
                    Ok(buried) => flight.buried(buried.id, reason, &error),
                    Err(trouble) => {
                        flight.export.log.store_trouble(&trouble);
                        tokio::time::sleep(STORE_RETRY).await;
                    }
                }
            }
        });
    }
}

/// What a task has taken off the board. Dropped before it is settled, as by a panic, it goes back:
/// it counts as not delivered.
struct Flight {
    export: Arc<Export>,
    taken: Taken,
    /// Whether the task is a slot.
    slot: bool,
}

impl Flight {
    fn new(export: Arc<Export>, slot: bool) -> Self {
        Flight { export, taken: Taken::default(), slot }
    }

    fn buried(&mut self, id: i64, reason: Reason, error: &str) {
        let Some(delivery) = self.taken.deliveries.pop() else { return };
        self.export.log.dead_letter(&delivery, id, reason, error);
        self.export.metrics.dead_lettered(reason);
        let bytes = delivery.bytes();
        match delivery.claim {
            Claim::Line { ack, .. } => ack.settle(),
            Claim::Row(_) => {}
            Claim::Replay(id) => drop(self.export.replaying().remove(&id)),
        }
        self.export.board.settled(bytes);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.slot && std::thread::panicking() {
            self.export.board.slot_lost();
        }
        if !self.taken.deliveries.is_empty() {
            self.export.board.give_back(&mut self.taken);
            self.export.wake();
        }
    }
}

/// One slot: takes, sends, concludes, until there has been nothing to do for a while.
async fn slot<S: Sink>(export: Arc<Export>, mut sink: S) {
    let mut flight = Flight::new(Arc::clone(&export), true);
    let mut outcomes = Vec::new();
    while export.board.take(&mut flight.taken, SLOT_IDLE).await {
        if export.batch > 1 {
            export.board.take_more(&mut flight.taken, export.batch);
        }
        let started = Moment::now();
        for delivery in &mut flight.taken.deliveries {
            delivery.tries.first_at.get_or_insert(started);
        }
        match flight.taken.deliveries.first().map(|delivery| sink.endpoint(delivery)) {
            Some(Ok(Some(endpoint))) => {
                if !export.board.admit(&mut flight.taken, endpoint) {
                    continue;
                }
            }
            Some(Err(outcome)) => {
                export.board.attempt_cancelled();
                outcomes.push(outcome);
            }
            Some(Ok(None)) | None => {}
        }
        if outcomes.is_empty() {
            sink.send(&flight.taken.deliveries, &mut outcomes).await;
            export.board.attempt_ended();
        }
        let ended = Timestamp::now();
        let well = matches!(outcomes.first(), Some(Outcome::Delivered(_)));
        while let Some(outcome) = outcomes.pop() {
            export.conclude(&mut flight, started, outcome, ended);
        }
        if well {
            export.metrics.last_delivery(ended);
        }
        export.board.endpoint_answered(&flight.taken.endpoint, flight.taken.probe, well);
        flight.taken.probe = false;
    }
}

/// A number from 0 up to 1, for the jitter.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random bytes the wait is just not spread.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
