//! How deliveries come onto the board: from routing, from an earlier run, and as replays.

use super::{Board, REPLAYS_ON_BOARD};
use crate::delivery::Delivery;
use crate::queue::Entrant;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

impl Board {
    /// Puts routed deliveries into the queue, waiting for room as long as it takes; calls
    /// `entered` after each step. Returns how long it waited.
    pub(in crate::export) async fn push(
        &self,
        deliveries: Vec<Delivery>,
        entrant: Entrant,
        entered: impl Fn(),
    ) -> Duration {
        let mut waiting = VecDeque::from(deliveries);
        self.state().entering += waiting.len();
        let turn = match entrant {
            Entrant::Source => Some(self.turnstile.lock().await),
            Entrant::Internal => None,
        };
        let start = Instant::now();
        let mut blocked = false;
        loop {
            // Registered before the look, so that no room that comes up in between is missed.
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            self.state().enter(&mut waiting, entrant);
            entered();
            if waiting.is_empty() {
                drop(turn);
                return if blocked { start.elapsed() } else { Duration::ZERO };
            }
            blocked = true;
            room.await;
        }
    }

    /// Puts deliveries of an earlier run on the board, each with the time it is due.
    pub(in crate::export) fn restore(&self, deliveries: Vec<(Delivery, Option<Instant>)>) {
        let mut state = self.state();
        for (delivery, due) in deliveries {
            state.queue.hold(&delivery);
            match due {
                Some(due) => state.wait_until(due, delivery),
                None => state.released.push_back(delivery),
            }
        }
    }

    /// Puts replays on the board; at most [`REPLAYS_ON_BOARD`] should stand there.
    pub(in crate::export) fn replay(&self, deliveries: Vec<Delivery>) {
        let mut state = self.state();
        for delivery in deliveries {
            state.queue.hold(&delivery);
            state.replays.push_back(delivery);
        }
    }

    /// How many replays may still be put on the board.
    pub(in crate::export) fn replay_room(&self) -> usize {
        REPLAYS_ON_BOARD.saturating_sub(self.state().replays.len())
    }

    /// Lets everything in that still waits for room.
    pub(in crate::export) fn lift_bounds(&self) {
        self.state().queue.lift_bounds();
        self.room.notify_waiters();
    }
}
