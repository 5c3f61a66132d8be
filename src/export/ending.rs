//! How an export comes to its end: with the program, or because it is no longer configured.

use super::{Export, Left};
use crate::ack::Ack;
use crate::delivery::{Claim, Delivery};
use crate::queue::Entrant;
use crate::store::{Kept, STORE_RETRY};
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How long stopping waits for a write that is under way.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether what is in flight has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Who has taken up what an export left. While it is locked, nothing gets into the store.
pub(super) type Heir = Mutex<Option<Arc<Export>>>;

impl Export {
    /// Stops sending and lets in whatever still waits for room, so that nobody waits for this
    /// export; [`Export::stop`] follows.
    pub fn cut_off(&self) {
        self.board.stop();
    }

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

    /// Lets the attempts under way end, for at most so long, and begins no other: what ends is
    /// settled, and whoever goes on with the rest does not send it again. What comes in meanwhile
    /// is queued.
    pub async fn rest(&self, at_most: Duration) {
        self.board.rest();
        let deadline = Instant::now() + at_most;
        while self.board.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends an export that is no longer configured: stops sending, and leaves all that is not
    /// settled in the store. Returns how many replays it leaves as the dead letters that they are.
    pub async fn retire(self: &Arc<Self>) -> u64 {
        self.retired.store(true, Ordering::Release);
        self.board.lift_bounds();
        let now = Timestamp::now();
        let left = self.stop().await.into_iter();
        let left: Vec<_> =
            left.map(|left| (left.delivery, left.before_disk.then_some(now))).collect();
        let replays =
            left.iter().filter(|(delivery, _)| matches!(delivery.claim, Claim::Replay(_)));
        let replays = replays.count() as u64;
        self.leave(left).await;
        replays
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// For an export that takes up what this one left: while the guard lives, nothing more gets
    /// into the store; afterwards what still comes goes to the heir that was put there.
    pub async fn inherit(&self) -> MutexGuard<'_, Option<Arc<Export>>> {
        self.heir.lock().await
    }

    /// What comes in too late, from a chunk on its way, goes to the heir, or waits in the store for
    /// one.
    pub(super) fn pass_on(&self, deliveries: Vec<Delivery>, entrant: Entrant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let heir = self.heir.lock().await;
            let Some(to) = heir.clone() else {
                self.leave(deliveries.into_iter().map(|delivery| (delivery, None)).collect()).await;
                let total = self.store.queue_total(&self.name);
                self.metrics.on_disk(total.events + total.waiting);
                return;
            };
            drop(heir);
            let nobody_waits: fn() -> bool = || false;
            to.push(deliveries, entrant, nobody_waits).await;
        })
    }

    /// Writes deliveries to the store, each with the time it is due, and settles them for their
    /// sources.
    async fn leave(&self, left: Vec<(Delivery, Option<Timestamp>)>) {
        let mut kept = Vec::new();
        let mut acks = Vec::new();
        for (delivery, due) in left {
            kept.extend(match &delivery.claim {
                Claim::Line { .. } => Kept::of(&delivery, due),
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
