//! Replays: feeds marked dead letters from the store to their exports, a few at a time, so that
//! any number of them runs in flat memory and a kill at any point loses nothing.

use crate::delivery::Delivery;
use crate::export::Export;
use crate::repeats::Repeats;
use crate::store::{Marked, ReplayScope, STORE_RETRY, Selection, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::error;

/// Which dead letters to put back on their exports.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// Which of them.
    pub selection: Selection,
    /// Where those go whose export no longer exists, and only these.
    pub to: Option<String>,
    /// At most so many a second and export; `None`: as fast as the export goes.
    pub rate: Option<u32>,
}

/// The feeders of all exports.
#[derive(Debug, Clone)]
pub(super) struct Replays(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    feeders: Mutex<Vec<Running>>,
}

/// A feeder and its task.
#[derive(Debug)]
struct Running {
    feeder: Arc<Feeder>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Feeder {
    export: Arc<Export>,
    store: Store,
    /// More was marked.
    marked: Notify,
    /// Letters a second; 0 for no limit.
    rate: AtomicU32,
    repeats: Repeats,
}

impl Replays {
    /// Starts feeding; what an earlier run left marked is taken up at once.
    pub(super) fn start(exports: &[Arc<Export>], store: &Store) -> Replays {
        let replays = Replays(Arc::new(Inner { store: store.clone(), feeders: Mutex::default() }));
        replays.set(exports);
        replays
    }

    /// Feeds these exports from now on; of those that it feeds already nothing changes.
    pub(super) fn set(&self, exports: &[Arc<Export>]) {
        let mut feeders = self.feeders();
        let mut former = std::mem::take(&mut *feeders);
        for export in exports {
            let known = former.iter().position(|old| Arc::ptr_eq(&old.feeder.export, export));
            feeders.push(match known {
                Some(index) => former.swap_remove(index),
                None => Running::start(export, &self.0.store),
            });
        }
        former.iter().for_each(|old| old.task.abort());
    }

    /// Feeds an export no more; what is marked for it stays so.
    pub(super) fn forget(&self, export: &Arc<Export>) {
        self.feeders().retain(|running| {
            let other = !Arc::ptr_eq(&running.feeder.export, export);
            if !other {
                running.task.abort();
            }
            other
        });
    }

    fn feeders(&self) -> MutexGuard<'_, Vec<Running>> {
        self.0.feeders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks dead letters and has them fed.
    pub(super) async fn request(&self, request: ReplayRequest) -> Result<Marked, StoreError> {
        let feeders: Vec<_> =
            self.feeders().iter().map(|running| Arc::clone(&running.feeder)).collect();
        let exports = feeders.iter().map(|feeder| Arc::clone(feeder.export.name())).collect();
        let ReplayRequest { selection, to, rate } = request;
        let asked = |export: &str| {
            selection.exports.is_empty()
                || to.as_deref() == Some(export)
                || selection.exports.iter().any(|name| name == export)
        };
        // Before the first letter is marked: a feeder may find it at once.
        for feeder in feeders.iter().filter(|feeder| asked(feeder.export.name())) {
            feeder.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        }
        let scope = ReplayScope { exports, orphans_to: to.map(Into::into) };
        let marked = self.0.store.mark_replaying(&selection, &scope).await?;
        for feeder in feeders {
            if marked.by_export.contains_key(feeder.export.name()) {
                feeder.marked.notify_one();
            }
        }
        Ok(marked)
    }

    /// Ends the feeding; what is marked stays so for the next start.
    pub(super) async fn stop(&self) {
        let feeders = std::mem::take(&mut *self.feeders());
        feeders.iter().for_each(|running| running.task.abort());
        for running in feeders {
            // It was aborted: there is nothing else to hear from it.
            let _ = running.task.await;
        }
    }
}

impl Running {
    fn start(export: &Arc<Export>, store: &Store) -> Running {
        let feeder = Arc::new(Feeder {
            export: Arc::clone(export),
            store: store.clone(),
            marked: Notify::new(),
            rate: AtomicU32::new(0),
            repeats: Repeats::default(),
        });
        let task = tokio::spawn(Arc::clone(&feeder).run());
        Running { feeder, task }
    }
}

impl Feeder {
    async fn run(self: Arc<Self>) {
        loop {
            if let Err(trouble) = self.pass().await {
                if let Some(suppressed) = self.repeats.allow("read", &trouble.to_string()) {
                    error!(export = %self.export.name(), error = %trouble, suppressed,
                        "replays cannot be read and wait");
                }
                tokio::time::sleep(STORE_RETRY).await;
                continue;
            }
            self.marked.notified().await;
        }
    }

    /// Feeds every marked letter once, in order.
    async fn pass(&self) -> Result<(), StoreError> {
        // What the export works on now stays marked until it is settled, and what it has settled
        // is unmarked by the next commit: only behind one is the rest known to be new.
        let known: HashSet<i64> = self.export.replaying().clone();
        self.store.committed().await?;
        let mut after = 0;
        loop {
            let room = self.room().await;
            let page = self.store.next_replaying(self.export.name(), after, room).await?;
            let letters = page.items.into_iter().filter(|letter| !known.contains(&letter.id));
            let (mut deliveries, mut unreadable) = (Vec::new(), Vec::new());
            for letter in letters {
                let id = letter.id;
                match letter.into_delivery() {
                    Some(delivery) => deliveries.push(delivery),
                    None => unreadable.push(id),
                }
            }
            if !unreadable.is_empty() {
                error!(export = %self.export.name(), ids = ?unreadable,
                    "dead letters that were to be replayed cannot be read: they stay dead");
                let damaged = Selection { ids: unreadable, ..Selection::default() };
                self.store.unmark_replaying(&damaged).await?;
            }
            self.feed(deliveries).await;
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Puts letters on the board, no faster than was asked.
    async fn feed(&self, deliveries: Vec<Delivery>) {
        let mut waiting = VecDeque::from(deliveries);
        loop {
            // Looked at for each: the rate is that of the newest request.
            let rate = self.rate.load(Ordering::Relaxed);
            let now = if rate == 0 { waiting.len() } else { waiting.len().min(1) };
            self.export.replay(waiting.drain(..now).collect());
            if rate > 0 && now > 0 {
                tokio::time::sleep(Duration::from_secs(1) / rate).await;
            }
            if waiting.is_empty() {
                return;
            }
        }
    }

    /// Waits until the export has room for replays.
    async fn room(&self) -> usize {
        loop {
            let settled = self.export.on_settled();
            tokio::pin!(settled);
            settled.as_mut().enable();
            match self.export.replay_room() {
                0 => settled.await,
                room => return room,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeadLetter;
    use crate::source::testing::{Bench, NAME};
    use crate::store::{Replaces, testing};

    #[tokio::test]
    async fn replays_go_on_while_the_disk_is_full() {
        let bench = Bench::new();
        // A folder in its place: no reserve can be made that would end the full disk.
        std::fs::create_dir_all(bench.path("../data/reserve")).unwrap();
        let mut run = bench.open();
        let bury = |letter| run.store.bury(letter, Replaces::Nothing, None);
        bury(testing::letter(NAME, 1)).await.unwrap();
        run.store.fill(true).await;
        let large = DeadLetter { text: vec![b'x'; 100_000], ..testing::letter(NAME, 2) };
        assert_eq!(bury(large).await, Err(StoreError::Full));
        let replays = Replays::start(&[Arc::clone(&run.export)], &run.store);
        let marked = replays.request(ReplayRequest::default()).await.unwrap();
        assert_eq!(marked.letters(), 1);
        bench.got.count(1).await;
        assert!(run.store.is_full());
        replays.stop().await;
        run.stop().await;
    }
}
