//! postrider's own events: reads the outbox that the store writes with what caused them, and
//! routes them like any other. An export never routes by itself: two that fed each other would
//! lock each other.

use crate::ack::{AckTracker, Settled};
use crate::event::{Origin, Position, Record};
use crate::export::Waiting;
use crate::metrics::{self, SourceMetrics};
use crate::queue::{Entrant, SPILL_AFTER};
use crate::route::Router;
use crate::schema::Schema;
use crate::store::{OutboxEvent, STORE_RETRY, Store, StoreError};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::error;

/// Own events that are read at once.
const PAGE: usize = 256;

/// The source of postrider's own events.
#[derive(Debug)]
pub struct Internal {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    router: Arc<Router>,
    store: Store,
    metrics: SourceMetrics,
    schema: Schema,
    /// The ledger of the outbox: an event's id is its offset.
    tracker: Arc<AckTracker>,
    /// Id of the last event that was routed.
    last: AtomicI64,
    /// Ids of the events that were routed and not deleted.
    routed: Mutex<VecDeque<i64>>,
    progress: Notify,
}

impl Internal {
    /// The source over this store's outbox, not started.
    pub fn new(
        name: &str,
        router: &Arc<Router>,
        store: &Store,
        metrics: SourceMetrics,
    ) -> Internal {
        let shared = Arc::new(Shared {
            name: name.into(),
            router: Arc::clone(router),
            store: store.clone(),
            metrics,
            schema: Schema::default(),
            tracker: AckTracker::new(&Settled::default(), Arc::default()),
            last: AtomicI64::new(0),
            routed: Mutex::default(),
            progress: Notify::new(),
        });
        Internal { shared, task: Mutex::new(None) }
    }

    /// Starts routing what stands in the outbox, from its first event on.
    pub fn start(&self) {
        let running = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            tokio::join!(running.route(), running.delete());
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Whether everything in the outbox was routed and settled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_idle(&self) -> Result<bool, StoreError> {
        if self.task.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            // Not started: what stands in the outbox waits for the next run.
            return Ok(true);
        }
        let further = self.shared.next(1).await?;
        Ok(further.is_empty() && self.shared.tracker.open_lines() == 0)
    }

    /// Waits until something more was routed, since the last call; for one caller.
    pub async fn progress(&self) {
        self.shared.progress.notified().await;
    }

    /// Ends it. What is not settled stays in the outbox for the next start.
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // It was aborted: there is nothing else to hear from it.
            let _ = task.await;
            self.shared.delete_settled();
        }
    }
}

impl Shared {
    async fn route(&self) {
        loop {
            match self.next(PAGE).await {
                Ok(events) if events.is_empty() => {
                    self.progress.notify_one();
                    self.store.outbox_changed().await;
                }
                Ok(events) => {
                    for event in events {
                        self.accept(&event).await;
                    }
                }
                Err(trouble) => {
                    error!(error = %trouble, "own events cannot be read and wait");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// The next events that were not routed, at most `limit`; behind those that cannot be read.
    async fn next(&self, limit: usize) -> Result<Vec<OutboxEvent>, StoreError> {
        let mut after = self.last.load(Ordering::Acquire);
        loop {
            let page = self.store.outbox_after(after, limit).await?;
            match page.next {
                Some(next) if page.items.is_empty() => after = next,
                _ => return Ok(page.items),
            }
        }
    }

    async fn accept(&self, event: &OutboxEvent) {
        while timeout(SPILL_AFTER, self.tracker.room()).await.is_err() {
            self.router.relieve(&Waiting::Stream(self.store.uid())).await;
        }
        let now = Timestamp::now();
        let (offset, end) = (event.id as u64, event.id as u64 + 1);
        let mut routing = self.router.begin();
        let mut count =
            metrics::TakenIn { events: 1, bytes: event.text.len() as u64, ..Default::default() };
        match self.schema.read(&event.text) {
            Ok((json, envelope)) => {
                let position = Position { stream: self.store.uid(), offset, index: 0 };
                let accepted_at = event.created_at;
                let origin = Origin { source: &self.name, position, accepted_at };
                let mut record = Record::new(json, envelope, origin);
                record.about.clone_from(&event.about);
                routing.accept(&record, offset, end);
            }
            // Only a store that was written by other hands can hold this; nobody could use it.
            Err(_) => count.malformed = 1,
        }
        self.metrics.took_in(count, now);
        // Ids can skip what was never committed: the chunk covers the gap too.
        let start = match self.last.load(Ordering::Acquire) {
            0 => 0,
            last => last as u64 + 1,
        };
        let entered = self.router.enter(routing, &self.tracker, (start, end), true);
        entered.count();
        self.routed().push_back(event.id);
        self.last.store(event.id, Ordering::Release);
        self.progress.notify_one();
        entered.queue(&self.name, Entrant::Internal).await;
    }

    /// Deletes settled events as the watermark moves.
    async fn delete(&self) {
        loop {
            self.tracker.changed().await;
            self.delete_settled();
            self.progress.notify_one();
        }
    }

    fn delete_settled(&self) {
        let settled = self.tracker.settled().watermark as i64;
        let mut routed = self.routed();
        let count = routed.partition_point(|id| *id < settled);
        self.store.outbox_delete(routed.drain(..count));
    }

    fn routed(&self) -> MutexGuard<'_, VecDeque<i64>> {
        self.routed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::Bench;
    use crate::store::{Replaces, testing};

    #[tokio::test]
    async fn own_events_behind_a_page_that_cannot_be_read_are_routed() {
        let bench = Bench::new();
        let mut run = bench.open();
        // Text that is no text: more of it than one page holds.
        let damaged = format!(
            "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {})
             INSERT INTO outbox (id, created_at, text) SELECT id, 0, x'ff' FROM n",
            PAGE + 1
        );
        let file = crate::store::path(&bench.path("../data"));
        rusqlite::Connection::open(file).unwrap().execute_batch(&damaged).unwrap();
        run.store.bury(testing::letter("another", 1), Replaces::Nothing, None).await.unwrap();
        let metrics = run.metrics.source("internal");
        let internal = Internal::new("internal", &run.router, &run.store, metrics);
        // As if it ran, and had routed nothing yet.
        *internal.task.lock().unwrap() = Some(tokio::spawn(std::future::pending()));
        assert_eq!(internal.is_idle().await, Ok(false));
        internal.start();
        bench.got.count(1).await;
        internal.stop().await;
        run.stop().await;
    }
}
