//! Slots: how many are started, what they take, and what they wait for when there is nothing.

use super::{Board, Next, Taken};
use std::time::Duration;
use tokio::time::Instant;

impl Board {
    /// How many slots should be started, of at most `limit`; they count as started from now on.
    pub(in crate::export) fn missing_slots(&self, limit: usize) -> usize {
        let mut state = self.state();
        if state.stopped {
            return 0;
        }
        let limit = if state.strict { 1 } else { limit };
        let ready = state.ready_now(limit);
        let missing = ready.saturating_sub(state.idle_slots).min(limit.saturating_sub(state.slots));
        // What waits for a time needs one slot that waits with it.
        let nobody = state.idle_slots == 0 && state.slots < limit;
        let missing = if nobody && state.waits() { missing.max(1) } else { missing };
        state.slots += missing;
        let watches = ready == 0 && missing == 0 && state.is_unwatched();
        let wake = ready.max(usize::from(watches)).min(state.idle_slots);
        drop(state);
        (0..wake).for_each(|_| self.ready.notify_one());
        missing
    }

    /// Takes the next delivery, waiting for one; false when the slot should end: the board
    /// stopped, `stale` says that its settings are old, or there was nothing for `idle`.
    pub(in crate::export) async fn take(
        &self,
        taken: &mut Taken,
        idle: Duration,
        stale: impl Fn() -> bool,
    ) -> bool {
        let idle_from = Instant::now();
        taken.waited = false;
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let (wait, last) = {
                let mut state = self.state();
                if stale() {
                    state.slots -= 1;
                    return false;
                }
                match state.next(Instant::now(), taken) {
                    Next::Taken => return true,
                    Next::Stop => {
                        state.slots -= 1;
                        return false;
                    }
                    Next::Wait(until) => {
                        taken.waited |= until.is_some();
                        // One idle slot stays for what waits for a time.
                        let may_end = state.idle_slots > 0 || !state.waits();
                        if may_end && idle_from.elapsed() >= idle {
                            state.slots -= 1;
                            return false;
                        }
                        state.idle_slots += 1;
                        state.watched = state.watched.into_iter().chain(until).min();
                        (until, may_end.then(|| idle_from + idle))
                    }
                }
            };
            let _idle = Idle { board: self, until: wait };
            match wait.into_iter().chain(last).min() {
                Some(until) => tokio::select! {
                    () = ready => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                None => ready.await,
            }
        }
    }
}

/// Counts a slot as idle while it lives.
struct Idle<'a> {
    board: &'a Board,
    /// What it waits for.
    until: Option<Instant>,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let mut state = self.board.state();
        state.idle_slots -= 1;
        if state.watched == self.until {
            state.watched = None;
        }
    }
}
