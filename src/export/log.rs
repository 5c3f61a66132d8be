//! The log lines of an export. Bodies, URLs and header values never appear.

use crate::delivery::{Delivery, Failure};
use crate::repeats::Repeats;
use crate::retry::Reason;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// What an export says.
#[derive(Debug)]
pub(super) struct ExportLog {
    export: Arc<str>,
    address: String,
    repeats: Repeats,
}

impl ExportLog {
    pub(super) fn new(export: &Arc<str>, address: String) -> Self {
        ExportLog { export: Arc::clone(export), address, repeats: Repeats::default() }
    }

    pub(super) fn delivered(&self, delivery: &Delivery, status: Option<u16>, took: Duration) {
        debug!(
            export = %self.export,
            delivery_id = %delivery.id,
            attempt = delivery.tries.sent,
            status,
            latency_ms = millis(took),
            url = %self.address,
            "delivered"
        );
    }

    pub(super) fn retry(
        &self,
        delivery: &Delivery,
        failure: &Failure,
        wait: Duration,
        took: Duration,
    ) {
        let Some(suppressed) = self.repeats.allow("retry", &failure.error) else { return };
        let why = failure.trouble.explain();
        info!(
            export = %self.export,
            delivery_id = %delivery.id,
            attempt = delivery.tries.sent,
            status = failure.status(),
            latency_ms = millis(took),
            wait_s = wait.as_secs_f64(),
            url = %self.address,
            error = %failure.error,
            cause = why.cause,
            fix = why.fix,
            suppressed,
            "retry"
        );
    }

    pub(super) fn dead_letter(&self, delivery: &Delivery, id: i64, reason: Reason, error: &str) {
        let Some(suppressed) = self.repeats.allow(reason.as_str(), error) else { return };
        let last = delivery.tries.last.as_ref();
        let why = last.map(|failure| failure.trouble.explain());
        warn!(
            export = %self.export,
            dead_letter_id = id,
            delivery_id = %delivery.id,
            reason = reason.as_str(),
            attempt = delivery.tries.sent,
            status = last.and_then(Failure::status),
            url = %self.address,
            error,
            cause = why.map(|why| why.cause),
            fix = why.map(|why| why.fix),
            suppressed,
            "dead_letter"
        );
    }

    /// The store could not write a dead letter down; it will be asked again.
    pub(super) fn store_trouble(&self, trouble: &impl Display) {
        let Some(suppressed) = self.repeats.allow("store", "") else { return };
        error!(export = %self.export, error = %trouble, suppressed, "a dead letter could not be stored and waits");
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
