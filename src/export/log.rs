//! The log lines of an export. A line that repeats for one cause comes once in ten seconds, with
//! the number of those it stands for. Bodies, URLs and header values never appear.

use crate::delivery::{Delivery, Failure};
use crate::retry::Reason;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// A line of one cause comes at most this often.
const REPEAT: Duration = Duration::from_secs(10);

/// Causes that are told apart; beyond, the oldest is forgotten.
const MAX_CAUSES: usize = 64;

/// What an export says.
#[derive(Debug)]
pub(super) struct ExportLog {
    export: Arc<str>,
    address: String,
    repeats: Mutex<HashMap<(&'static str, String), Repeat>>,
}

#[derive(Debug)]
struct Repeat {
    last: Instant,
    suppressed: u64,
}

impl ExportLog {
    pub(super) fn new(export: &Arc<str>, address: String) -> Self {
        ExportLog { export: Arc::clone(export), address, repeats: Mutex::default() }
    }

    /// Whether a line may be written now, and how many before it were not.
    fn allow(&self, line: &'static str, cause: &str) -> Option<u64> {
        let now = Instant::now();
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (line, cause.to_owned());
        if let Some(repeat) = repeats.get_mut(&key) {
            if now - repeat.last < REPEAT {
                repeat.suppressed += 1;
                return None;
            }
            repeat.last = now;
            return Some(std::mem::take(&mut repeat.suppressed));
        }
        if repeats.len() >= MAX_CAUSES {
            let oldest =
                repeats.iter().min_by_key(|(_, repeat)| repeat.last).map(|(key, _)| key.clone());
            oldest.map(|key| repeats.remove(&key));
        }
        repeats.insert(key, Repeat { last: now, suppressed: 0 });
        Some(0)
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
        let Some(suppressed) = self.allow("retry", &failure.error) else { return };
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
        let Some(suppressed) = self.allow(reason.as_str(), error) else { return };
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
        let Some(suppressed) = self.allow("store", "") else { return };
        error!(export = %self.export, error = %trouble, suppressed, "a dead letter could not be stored and waits");
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_line_comes_once_in_ten_seconds_with_a_count() {
        let log = ExportLog::new(&"a".into(), String::new());
        assert_eq!(log.allow("retry", "HTTP 503"), Some(0));
        assert_eq!(log.allow("retry", "HTTP 503"), None);
        assert_eq!(log.allow("retry", "HTTP 503"), None);
        assert_eq!(log.allow("retry", "HTTP 500"), Some(0), "another cause");
        tokio::time::advance(REPEAT).await;
        assert_eq!(log.allow("retry", "HTTP 503"), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_are_bounded() {
        let log = ExportLog::new(&"a".into(), String::new());
        for cause in 0..3 * MAX_CAUSES {
            log.allow("retry", &cause.to_string());
        }
        assert_eq!(log.repeats.lock().unwrap().len(), MAX_CAUSES);
    }
}
