//! The log lines of an export. Bodies, URLs and header values never appear.

use crate::delivery::{Delivery, Failure};
use crate::repeats::Repeats;
use crate::retry::Reason;
use crate::trouble::{Explanation, Trouble};
use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// What an export says.
#[derive(Debug)]
pub(super) struct ExportLog {
    export: Arc<str>,
    address: RwLock<String>,
    repeats: Repeats,
}

impl ExportLog {
    pub(super) fn new(export: &Arc<str>, address: String) -> Self {
        ExportLog {
            export: Arc::clone(export),
            address: RwLock::new(address),
            repeats: Repeats::default(),
        }
    }

    /// The export leads elsewhere from now on.
    pub(super) fn lead_to(&self, address: String) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }

    fn address(&self) -> RwLockReadGuard<'_, String> {
        self.address.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn delivered(&self, delivery: &Delivery, status: Option<u16>, took: Duration) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        debug!(
            export = %self.export,
            delivery_id = %delivery.id,
            attempt = delivery.tries.sent,
            status,
            latency_ms = millis(took),
            url = %self.address(),
            "delivered"
        );
    }

    pub(super) fn retry(&self, delivery: &Delivery, failure: &Failure, wait: Duration) {
        let Some(suppressed) = self.repeats.allow("retry", &failure.error) else { return };
        let why = failure.trouble.explain();
        info!(
            export = %self.export,
            delivery_id = %delivery.id,
            attempt = delivery.tries.sent,
            status = failure.status(),
            latency_ms = failure.took.map(millis),
            wait_s = wait.as_secs_f64(),
            url = %self.address(),
            error = %failure.error,
            cause = why.cause,
            fix = why.fix,
            suppressed,
            "retry"
        );
    }

    /// A request was refused for one of its events, nobody knows which: they go in two halves.
    pub(super) fn halved(&self, events: usize, one: Option<&Delivery>) {
        let Some(failure) = one.and_then(|delivery| delivery.tries.last.as_ref()) else { return };
        let Some(suppressed) = self.repeats.allow("halved", &failure.error) else { return };
        info!(
            export = %self.export,
            events,
            status = failure.status(),
            url = %self.address(),
            suppressed,
            "a batch was refused and goes in two halves"
        );
    }

    pub(super) fn dead_letter(&self, delivery: &Delivery, id: i64, reason: Reason, error: &str) {
        let Some(suppressed) = self.repeats.allow(reason.as_str(), error) else { return };
        let last = delivery.tries.last.as_deref();
        let why = why(Trouble::of_reason(reason).or(last.map(|failure| failure.trouble)));
        warn!(
            export = %self.export,
            dead_letter_id = id,
            delivery_id = %delivery.id,
            reason = reason.as_str(),
            attempt = delivery.tries.sent,
            status = last.and_then(Failure::status),
            latency_ms = last.and_then(|failure| failure.took).map(millis),
            url = %self.address(),
            error,
            cause = why.map(|why| why.cause),
            fix = why.map(|why| why.fix),
            suppressed,
            "dead_letter"
        );
    }

    /// An endpoint was paused or is down, or is well again: `what` is the kind of postrider's own
    /// event about it, `last` the attempt that led to it, and `said` what somebody has to say.
    pub(super) fn endpoint(&self, what: &str, said: Option<&str>, last: Option<&Failure>) {
        let (export, url) = (&self.export, self.address());
        let status = last.and_then(Failure::status);
        let latency_ms = last.and_then(|failure| failure.took).map(millis);
        let error = said.or(last.map(|failure| &*failure.error));
        let why = why(last.map(|failure| failure.trouble));
        let (cause, fix) = (why.map(|why| why.cause), why.map(|why| why.fix));
        match what {
            "webhook.paused" => {
                error!(%export, status, latency_ms, %url, error, cause, fix, "paused");
            }
            "webhook.down" => error!(%export, status, latency_ms, %url, error, cause, fix, "down"),
            "webhook.resumed" => info!(%export, %url, "resumed"),
            _ => info!(%export, %url, "up"),
        }
    }

    /// An event found no room and is given up, as the configuration says.
    pub(super) fn dropped(&self, delivery: &Delivery, reason: Reason) {
        let Some(suppressed) = self.repeats.allow("dropped", "") else { return };
        let (export, reason) = (&self.export, reason.as_str());
        warn!(%export, delivery_id = %delivery.id, reason, suppressed, "dropped");
    }

    /// The queue on disk could not be written or read; it is tried again.
    pub(super) fn queue_trouble(&self, trouble: &impl Display) {
        let Some(suppressed) = self.repeats.allow("queue", "") else { return };
        error!(export = %self.export, error = %trouble, suppressed, "the queue on disk fails and is tried again");
    }

    /// Events of the queue on disk could not be read; they stay there.
    pub(super) fn damaged(&self, events: u64) {
        error!(export = %self.export, events, "events of the queue on disk could not be read; they stay in the store");
    }

    /// The store could not write a dead letter down; it will be asked again.
    pub(super) fn store_trouble(&self, trouble: &impl Display) {
        let Some(suppressed) = self.repeats.allow("store", "") else { return };
        error!(export = %self.export, error = %trouble, suppressed, "a dead letter could not be stored and waits");
    }
}

fn why(trouble: Option<Trouble>) -> Option<&'static Explanation> {
    trouble.map(Trouble::explain)
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
