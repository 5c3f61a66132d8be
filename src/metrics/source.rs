//! What a source counts.

use crate::event::Severity;
use crate::retry::Reason;
use metrics::{Counter, Gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a source counts.
#[derive(Debug, Clone)]
pub struct SourceMetrics {
    pub(super) received: Counter,
    pub(super) bytes: Counter,
    pub(super) malformed: Counter,
    pub(super) unknown_severity: Counter,
    pub(super) truncations: Counter,
    pub(super) last_event: Gauge,
    pub(super) lag: Gauge,
    pub(super) dead_malformed: Counter,
    pub(super) dead_too_large: Counter,
    pub(super) dead_poison: Counter,
    pub(super) buried: Arc<AtomicU64>,
}

/// What a chunk of lines brought in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Events, malformed ones included.
    pub events: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// Lines that are not events.
    pub malformed: u64,
    /// Events of unknown severity.
    pub unknown_severity: u64,
}

impl TakenIn {
    /// A line of so many bytes that is not an event.
    pub fn malformed(bytes: u64) -> Self {
        TakenIn { events: 1, bytes, malformed: 1, unknown_severity: 0 }
    }

    /// Leaves out what is counted apart.
    pub fn leave_out(&mut self, part: TakenIn) {
        self.events -= part.events;
        self.bytes -= part.bytes;
        self.malformed -= part.malformed;
        self.unknown_severity -= part.unknown_severity;
    }

    /// An event of this severity came in.
    pub fn severity(&mut self, severity: Severity) {
        self.unknown_severity += u64::from(severity == Severity::Unknown);
    }
}

impl SourceMetrics {
    /// A chunk of lines came in.
    pub fn took_in(&self, taken: TakenIn, now: jiff::Timestamp) {
        if taken.events == 0 {
            return;
        }
        self.received.increment(taken.events);
        self.bytes.increment(taken.bytes);
        self.malformed.increment(taken.malformed);
        self.unknown_severity.increment(taken.unknown_severity);
        self.last_event.set(now.as_millisecond() as f64 / 1e3);
    }

    /// A line that is not an event became a dead letter; what came in with it is counted apart.
    pub fn dead_lettered(&self, reason: Reason) {
        match reason {
            Reason::TooLarge => self.dead_too_large.increment(1),
            Reason::Poison => self.dead_poison.increment(1),
            _ => self.dead_malformed.increment(1),
        }
        self.buried.fetch_add(1, Ordering::Relaxed);
    }

    /// A file became shorter than what was read of it.
    pub fn truncated(&self) {
        self.truncations.increment(1);
    }

    /// Bytes that are not settled.
    pub fn lag(&self, bytes: u64) {
        self.lag.set(bytes as f64);
    }
}
