//! What an export counts and measures.

use super::{METADATA, Samples, Seconds, key, table};
use crate::retry::Reason;
use metrics::{Counter, Gauge, Histogram, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Distinct status codes an export's attempts are counted under; beyond, the class (`5xx`) is.
const MAX_CODES: usize = 64;

/// What an export counts.
pub struct ExportMetrics {
    pub(super) name: String,
    pub(super) filtered: Counter,
    pub(super) filter_errors: Counter,
    pub(super) routed: Counter,
    pub(super) restored: Counter,
    pub(super) replayed: Counter,
    pub(super) delivered: Counter,
    pub(super) dead: [Counter; Reason::ALL.len()],
    pub(super) pending: [Gauge; 4],
    pub(super) dropped: Counter,
    pub(super) states: [Gauge; ExportState::ALL.len()],
    pub(super) queue_limit: Gauge,
    pub(super) oldest: Gauge,
    pub(super) queue_bytes: Gauge,
    pub(super) attempt_duration: Histogram,
    pub(super) latency: Histogram,
    pub(super) last_delivery: Gauge,
    pub(super) retry_after_waits: Counter,
    pub(super) rate_limit_wait: Seconds,
    pub(super) blocked: Seconds,
    pub(super) attempts: Mutex<Vec<Attempts>>,
    pub(super) buried: Arc<AtomicU64>,
    pub(super) recorder: Arc<PrometheusRecorder>,
    pub(super) samples: Arc<Samples>,
}

impl std::fmt::Debug for ExportMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExportMetrics({})", self.name)
    }
}

/// Requests that one thing became of. There are few of them, and one is nearly all.
pub(super) struct Attempts {
    outcome: AttemptOutcome,
    /// The answer's status, or the class that it is counted under.
    code: Option<u16>,
    counter: Counter,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Its events arrived.
    Delivered,
    /// It is tried again.
    Retry,
    /// The receiver refused it for good.
    Rejected,
    /// The last try failed.
    Error,
}

impl AttemptOutcome {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Delivered => "delivered",
            AttemptOutcome::Retry => "retry",
            AttemptOutcome::Rejected => "rejected",
            AttemptOutcome::Error => "error",
        }
    }
}

/// How the worst endpoint of an export stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportState {
    /// Nothing is held back.
    Up,
    /// The breaker holds first attempts back.
    Open,
    /// One of them is on its way, to see.
    Probing,
    /// Nothing is sent: the receiver is gone, or somebody asked for it.
    Paused,
}

impl ExportState {
    /// Every state.
    pub const ALL: [ExportState; 4] =
        [ExportState::Up, ExportState::Open, ExportState::Probing, ExportState::Paused];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportState::Up => "up",
            ExportState::Open => "open",
            ExportState::Probing => "probing",
            ExportState::Paused => "paused",
        }
    }
}

/// What an export holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pending {
    /// Events queued in memory.
    pub memory: usize,
    /// Events queued on disk.
    pub disk: usize,
    /// Events that wait for a retry or for their endpoint.
    pub retry: usize,
    /// Events being sent or written down.
    pub flight: usize,
    /// Bytes of the texts of those in memory.
    pub bytes: usize,
    /// Age of the oldest.
    pub oldest: Duration,
}

impl ExportMetrics {
    /// Events of a chunk that the filters left and took.
    pub fn routed(&self, filtered: u64, taken: u64) {
        self.filtered.increment(filtered);
        self.routed.increment(taken);
    }

    /// An expression failed on an event.
    pub fn filter_error(&self, events: u64) {
        self.filter_errors.increment(events);
    }

    /// Events of an earlier run were found in the store.
    pub fn restored(&self, events: u64) {
        self.restored.increment(events);
    }

    /// Dead letters were put back on the export.
    pub fn replayed(&self, letters: u64) {
        self.replayed.increment(letters);
    }

    /// Events arrived, this long after they were accepted.
    pub fn delivered(&self, events: usize, latency: Duration) {
        self.delivered.increment(events as u64);
        self.samples.record_many(&self.latency, latency.as_secs_f64(), events);
    }

    /// When the last event arrived.
    pub fn last_delivery(&self, now: jiff::Timestamp) {
        self.last_delivery.set(now.as_millisecond() as f64 / 1e3);
    }

    /// An event became a dead letter.
    pub fn dead_lettered(&self, reason: Reason) {
        self.dead_lettered_many(reason, 1);
    }

    /// Events became dead letters.
    pub fn dead_lettered_many(&self, reason: Reason, events: u64) {
        let index = Reason::ALL.iter().position(|known| *known == reason).unwrap_or_default();
        self.dead[index].increment(events);
        self.buried.fetch_add(events, Ordering::Relaxed);
    }

    /// Events of an export that is not at work stand on disk, and none elsewhere.
    pub fn on_disk(&self, events: u64) {
        self.pending(Pending { disk: events as usize, ..Pending::default() });
    }

    /// An event was given up without a dead letter: its queue was full.
    pub fn dropped(&self) {
        self.dropped.increment(1);
    }

    /// How the export stands.
    pub fn state(&self, state: ExportState) {
        for (gauge, known) in self.states.iter().zip(ExportState::ALL) {
            gauge.set(f64::from(u8::from(known == state)));
        }
    }

    /// The queue's bound in bytes.
    pub fn queue_limit(&self, bytes: usize) {
        self.queue_limit.set(bytes as f64);
    }

    /// A request ended.
    pub fn attempted(&self, outcome: AttemptOutcome, status: Option<u16>, took: Duration) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |attempts: &[Attempts], code| {
            attempts.iter().position(|known| (known.outcome, known.code) == (outcome, code))
        };
        let mut at = known(&attempts, status);
        let mut code = status;
        if at.is_none() && attempts.len() >= MAX_CODES {
            // A class is kept as the number of its first status below 100: 5 for 5xx.
            code = status.map(|status| status / 100);
            at = known(&attempts, code);
        }
        match at {
            Some(at) => attempts[at].counter.increment(1),
            None => {
                let counter = self.attempts_counter(outcome, code);
                counter.increment(1);
                attempts.push(Attempts { outcome, code, counter });
            }
        }
        drop(attempts);
        self.samples.record(&self.attempt_duration, took.as_secs_f64());
    }

    fn attempts_counter(&self, outcome: AttemptOutcome, code: Option<u16>) -> Counter {
        let code = match code {
            None => "none".to_owned(),
            Some(class) if class < 10 => format!("{class}xx"),
            Some(code) => code.to_string(),
        };
        let key = key(&table::ATTEMPTS, &[&self.name, outcome.as_str(), &code]);
        self.recorder.register_counter(&key, &METADATA)
    }

    /// An answer held its endpoint back.
    pub fn retry_after_wait(&self) {
        self.retry_after_waits.increment(1);
    }

    /// The rate limit let no event go for this long.
    pub fn rate_limited(&self, time: Duration) {
        self.rate_limit_wait.add(time);
    }

    /// The full queue held a source back for this long.
    pub fn blocked(&self, time: Duration) {
        self.blocked.add(time);
    }

    /// What the export holds now.
    pub fn pending(&self, pending: Pending) {
        for (gauge, events) in
            self.pending.iter().zip([pending.memory, pending.disk, pending.retry, pending.flight])
        {
            gauge.set(events as f64);
        }
        self.queue_bytes.set(pending.bytes as f64);
        self.oldest.set(pending.oldest.as_secs_f64());
    }
}
