//! Log lines that repeat: one of a cause comes once in ten seconds, with the number of those it
//! stands for. What a line says is the business of those who write it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A line of one cause comes at most this often.
const REPEAT: Duration = Duration::from_secs(10);

/// Causes that are told apart; beyond, the oldest is forgotten.
const MAX_CAUSES: usize = 64;

/// What one part of the program has said lately.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<HashMap<(&'static str, String), Repeat>>);

#[derive(Debug)]
struct Repeat {
    last: Instant,
    suppressed: u64,
}

impl Repeats {
    /// Whether a line of this cause may be written now: `Some` with the number of those before it
    /// that were not.
    pub fn allow(&self, line: &'static str, cause: &str) -> Option<u64> {
        let now = Instant::now();
        let mut repeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_line_comes_once_in_ten_seconds_with_a_count() {
        let repeats = Repeats::default();
        assert_eq!(repeats.allow("retry", "HTTP 503"), Some(0));
        assert_eq!(repeats.allow("retry", "HTTP 503"), None);
        assert_eq!(repeats.allow("retry", "HTTP 503"), None);
        assert_eq!(repeats.allow("retry", "HTTP 500"), Some(0), "another cause");
        tokio::time::advance(REPEAT).await;
        assert_eq!(repeats.allow("retry", "HTTP 503"), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_are_bounded() {
        let repeats = Repeats::default();
        for cause in 0..3 * MAX_CAUSES {
            repeats.allow("retry", &cause.to_string());
        }
        assert_eq!(repeats.0.lock().unwrap().len(), MAX_CAUSES);
    }
}
