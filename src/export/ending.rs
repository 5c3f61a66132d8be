//! How an export ends: with the program, or because it is no longer configured. What is not settled
//! then goes to the store, or is handed to who puts it there.

use super::board::Left;
use super::{Export, STORE_RETRY};
use crate::ack::Ack;
use crate::delivery::Claim;
use crate::store::Kept;
use jiff::Timestamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long stopping waits for a write that is under way.
const WRITE_GRACE: Duration = Duration::from_secs(5);

impl Export {
    /// Stops sending, cuts off what is in flight, and returns all that is not settled and not on
    /// disk, each with the time it is due.
    pub async fn stop(&self) -> Vec<Left> {
        self.board.stop();
        // What is being written would be written twice if it were cut off.
        let deadline = Instant::now() + WRITE_GRACE;
        while self.board.is_writing() && Instant::now() < deadline {
            let room = self.board.on_room();
            let _ = tokio::time::timeout(Duration::from_millis(10), room).await;
        }
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // Each task gives back what it holds as it goes.
        tasks.shutdown().await;
        if let Some(window) = self.board.limiter_window() {
            self.store.save_limiter(&self.name, window);
        }
        self.board.take_all()
    }

    /// Ends an export that is no longer configured: stops sending, and leaves all that is not
    /// settled in the store, what still comes in from chunks on their way too.
    pub async fn retire(self: &Arc<Self>) {
        self.retired.store(true, Ordering::Release);
        self.board.lift_bounds();
        let left = self.stop().await;
        self.leave(left).await;
    }

    pub(super) async fn leave_all(&self) {
        self.leave(self.board.take_all()).await;
    }

    /// Writes what is left to the store, and settles it for its sources.
    async fn leave(&self, left: Vec<Left>) {
        let now = Timestamp::now();
        let mut kept = Vec::new();
        let mut acks = Vec::new();
        for Left { delivery, before_disk, .. } in left {
            kept.extend(match &delivery.claim {
                Claim::Line { .. } => Kept::of(&delivery, before_disk.then_some(now), None),
                Claim::Row(_) | Claim::Replay(_) => None,
            });
            if let Claim::Line { ack, .. } = delivery.claim {
                acks.push(ack);
            }
        }
        while !kept.is_empty() {
            match self.store.keep(&self.name, kept.clone()).await {
                Ok(_) => break,
                Err(trouble) => {
                    self.log.queue_trouble(&trouble);
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
        acks.into_iter().for_each(Ack::settle);
    }
}
