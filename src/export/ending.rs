//! How an export comes to its end: with the program, or because it is no longer configured.

use super::{Export, Left};
use crate::delivery::{Claim, Delivery, Moment};
use crate::event::Position;
use crate::queue::Entrant;
use crate::store::{Kept, STORE_RETRY, StoreError};
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};
use tracing::error;

/// How long stopping waits for a write that is under way.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether what is in flight has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// About the bytes of the texts that are kept in one commit: on a full disk part of what is left
/// may still find room.
const KEEP_BYTES: usize = 512 * 1024;

/// Who has taken up what an export left. While it is locked, nothing gets into the store.
pub(super) type Heir = Mutex<Option<Arc<Export>>>;

impl Export {
    /// Stops sending and lets in whatever still waits for room, so that nobody waits for this
    /// export; [`Export::stop`] follows.
    pub fn cut_off(&self) {
        self.board.stop();
        self.cut_off.cancel();
        self.refusing.close();
    }

    /// Stops sending, cuts off what is in flight, and returns all that is not settled and not on
    /// disk, each with the time it is due.
    pub async fn stop(&self) -> Vec<Left> {
        self.board.stop();
        // What is being written would be written twice if it were cut off.
        let deadline = Instant::now() + WRITE_GRACE;
        while self.board.is_writing() && Instant::now() < deadline {
            let room = self.board.on_room();
            let _ = timeout(Duration::from_millis(10), room).await;
        }
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // Each task gives back what it holds as it goes.
        tasks.shutdown().await;
        self.save_limiter();
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
    /// settled in the store, however long that takes, or until it is cut off. Returns how many
    /// replays it leaves as the dead letters that they are.
    pub async fn retire(self: &Arc<Self>) -> u64 {
        self.retired.store(true, Ordering::Release);
        self.refusing.close();
        self.board.lift_bounds();
        let left = self.stop().await;
        let is_replay = |left: &&Left| matches!(left.delivery.claim, Claim::Replay(_));
        let replays = left.iter().filter(is_replay).count() as u64;
        self.leave(left).await;
        replays
    }

    /// Stops, and keeps in the store what no source can give again, and what others would get again
    /// with it: as much as there is room for, from the front. Returns where the events stood that
    /// are lost.
    pub async fn keep(&self) -> Vec<Position> {
        let mut left = VecDeque::from(self.stop().await);
        left.extend(self.left().drain(..));
        // All of them up to the last one that is shared: given again, the others would come behind it.
        let shared = left.iter().rposition(is_shared).map_or(0, |last| last + 1);
        let Err(trouble) = self.write(&mut left, shared).await else {
            return Vec::new();
        };
        // What came from a row still stands in it.
        let lost = left.iter().filter(|left| is_lost(&left.delivery.claim));
        let lost: Vec<_> = lost.map(|left| left.delivery.event.origin.position).collect();
        error!(export = %self.name, events = lost.len(), error = %trouble, "unsettled events could not be stored");
        lost
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
                let late = |delivery| Left { delivery, due: None, before_disk: false };
                self.leave(deliveries.into_iter().map(late).collect()).await;
                self.metrics.on_disk(self.store.queue_total(&self.name).all());
                return;
            };
            drop(heir);
            let nobody_waits: fn() -> bool = || false;
            to.push(deliveries, entrant, nobody_waits).await;
        })
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Vec<Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of it to the store and settles it for its sources. What is not written when it is
    /// cut off waits for [`Export::keep`].
    async fn leave(&self, left: Vec<Left>) {
        let mut left = VecDeque::from(left);
        loop {
            let all = left.len();
            let Err(trouble) = self.write(&mut left, all).await else { return };
            self.log.queue_trouble(&trouble);
            if timeout(STORE_RETRY, self.cut_off.cancelled()).await.is_ok() {
                return self.left().extend(left);
            }
        }
    }

    /// Writes to the store what no source can give again, and of the first `always` what their
    /// sources have, too; what is done with is taken out of `left`.
    async fn write(&self, left: &mut VecDeque<Left>, mut always: usize) -> Result<(), StoreError> {
        let mut most = KEEP_BYTES;
        // One moment for all: what is due at the same time stays in its order.
        let now = Moment::now();
        while !left.is_empty() {
            let mut bytes = most;
            let fits = |left: &&Left| {
                let fits = bytes > 0;
                bytes = bytes.saturating_sub(left.delivery.bytes);
                fits
            };
            let count = left.iter().take_while(fits).count();
            let rows = left.iter().take(count).enumerate();
            let rows: Vec<_> = rows.filter_map(|(at, left)| kept(left, at < always, now)).collect();
            if !rows.is_empty() {
                match self.store.keep(&self.name, rows).await {
                    Ok(_) => {}
                    Err(StoreError::Full) if count > 1 => {
                        most /= 4;
                        continue;
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            for (at, left) in left.drain(..count).enumerate() {
                settle(left, at < always);
            }
            always = always.saturating_sub(count);
        }
        Ok(())
    }
}

/// What is to be written of a delivery; `None` where its source or the store has it as it stands.
/// `always`: also where its source has it.
fn kept(left: &Left, always: bool, now: Moment) -> Option<Kept> {
    let Left { delivery, due, before_disk } = left;
    let wait = |due: Instant| due.saturating_duration_since(now.instant);
    let due = due.and_then(|due| now.wall.checked_add(wait(due)).ok());
    // What is due goes before what is not tried yet.
    let due = due.or(before_disk.then_some(now.wall));
    let due = match &delivery.claim {
        Claim::Line { repeatable: false, .. } => due,
        // It stands in its place, and its wait with it.
        Claim::Row(row) if row.due_ms.is_some() => return None,
        Claim::Row(_) if delivery.tries.sent == 0 && due.is_none() => return None,
        Claim::Row(_) => Some(due.unwrap_or(now.wall)),
        // Given again, it would come behind those on disk.
        Claim::Line { repeatable: true, .. } if *before_disk || always => due,
        Claim::Line { repeatable: true, .. } | Claim::Replay(_) => return None,
    };
    Kept::of(delivery, due)
}

fn settle(left: Left, always: bool) {
    if let (Claim::Line { ack, .. }, true) = (left.delivery.claim, left.before_disk || always) {
        ack.settle();
    }
}

/// Whether another export is done with the event, and would get it again.
fn is_shared(left: &Left) -> bool {
    matches!(&left.delivery.claim, Claim::Line { ack, .. } if ack.is_shared())
}

/// Whether an event is gone if it is not kept now.
fn is_lost(claim: &Claim) -> bool {
    matches!(claim, Claim::Line { repeatable: false, .. })
}
