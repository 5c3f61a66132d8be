//! The rate limit at the wire: pure, told the time.

use crate::config::RateLimit;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Lets at most `requests` attempts stand in any window of `per`. An attempt counts from its start
/// until `per` after its end: whenever within it the receiver counted it, the receiver's own window
/// cannot hold more.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    in_flight: u32,
    /// When attempts ended, oldest first; at most `requests` of them.
    ended: VecDeque<Instant>,
}

/// Whether an attempt may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Now.
    Now,
    /// At this time.
    At(Instant),
    /// Once an attempt in flight has ended.
    Later,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Limiter { limit, in_flight: 0, ended: VecDeque::new() }
    }

    /// The same window under another limit.
    pub(super) fn configured(self, limit: RateLimit) -> Self {
        Limiter { limit, ..self }
    }

    /// When the attempts ended that still count, for the next start. What is in flight counts as
    /// ending now.
    pub(super) fn window(&self, now: Instant, wall: Timestamp) -> Vec<Timestamp> {
        let ago = |end: Instant| wall.checked_sub(now.saturating_duration_since(end)).ok();
        let running = std::iter::repeat_n(now, self.in_flight as usize);
        self.ended.iter().copied().chain(running).filter_map(ago).collect()
    }

    /// Counts attempts of an earlier run.
    pub(super) fn restore(&mut self, ended: &[Timestamp], now: Instant, wall: Timestamp) {
        for end in ended {
            // A clock that was set back must not hold anything for longer than the limit says.
            let ago = Duration::try_from(wall.duration_since(*end)).unwrap_or_default();
            self.ended.extend(now.checked_sub(ago).filter(|end| *end + self.limit.per > now));
        }
        let surplus = self.ended.len().saturating_sub(self.limit.requests.get() as usize);
        self.ended.drain(..surplus);
    }

    fn per(&self) -> Duration {
        self.limit.per
    }

    /// Whether an attempt may start at `now`.
    pub(super) fn permit(&mut self, now: Instant) -> Permit {
        while self.ended.front().is_some_and(|end| *end + self.per() <= now) {
            self.ended.pop_front();
        }
        let counted = self.in_flight as usize + self.ended.len();
        if counted < self.limit.requests.get() as usize {
            return Permit::Now;
        }
        self.ended.front().map_or(Permit::Later, |end| Permit::At(*end + self.per()))
    }

    /// An attempt starts.
    pub(super) fn start(&mut self) {
        self.in_flight += 1;
    }

    /// An attempt ended at `now`.
    pub(super) fn end(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.ended.push_back(now);
    }

    /// What was started sent nothing.
    pub(super) fn cancel(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn limiter(requests: u32, per: u64) -> Limiter {
        Limiter::new(RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            per: Duration::from_millis(per),
        })
    }

    #[test]
    fn a_window_outlives_a_restart() {
        let (now, wall) = (Instant::now() + Duration::from_secs(60), Timestamp::now());
        let mut before = limiter(3, 10_000);
        (0..3).for_each(|_| before.start());
        before.end(now - Duration::from_secs(9));
        before.end(now - Duration::from_secs(2));
        let window = before.window(now, wall);
        assert_eq!(window.len(), 3, "what was in flight counts");
        let mut after = limiter(3, 10_000);
        after.restore(&window, now, wall);
        let Permit::At(free) = after.permit(now) else { panic!("no room is left") };
        assert_eq!((free - now).as_millis(), 1000);
        assert_eq!(
            after
                .configured(RateLimit { requests: NonZeroU32::MIN, per: Duration::from_secs(10) })
                .permit(now + Duration::from_secs(9)),
            Permit::At(now + Duration::from_secs(10))
        );
    }

    proptest! {
        /// Whatever attempts last, no window of `per` holds more than `requests` of them, counted
        /// anywhere between start and end; and a permit that is promised for a time is given then.
        #[test]
        fn no_window_holds_more(
            requests in 1u32..6,
            per in 1u64..200,
            lasts in prop::collection::vec(0u64..150, 1..60),
            counted_late: bool,
        ) {
            let mut limiter = limiter(requests, per);
            let start = Instant::now();
            let at = |ms: u64| start + Duration::from_millis(ms);
            let (mut now, mut running, mut counted) = (0u64, Vec::<u64>::new(), Vec::<u64>::new());
            for last in lasts {
                loop {
                    running.sort_unstable();
                    while running.first().is_some_and(|end| *end <= now) {
                        limiter.end(at(running.remove(0)));
                    }
                    match limiter.permit(at(now)) {
                        Permit::Now => break,
                        Permit::At(time) => {
                            let time = (time - start).as_millis() as u64;
                            prop_assert!(time > now);
                            now = running.first().map_or(time, |end| time.min(*end));
                        }
                        Permit::Later => now = running[0],
                    }
                }
                limiter.start();
                running.push(now + last);
                counted.push(if counted_late { now + last } else { now });
            }
            counted.sort_unstable();
            for window in counted.windows(requests as usize + 1) {
                prop_assert!(window[requests as usize] - window[0] >= per, "{:?}", window);
            }
        }
    }
}
