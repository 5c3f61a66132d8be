//! The one thread that writes. It takes what waits, writes it in one transaction, commits, and only
//! then answers; what arrives meanwhile makes up the next commit, so the group grows with the load
//! and no timer is needed. What is written lives in the modules beside this one.

use super::message::{Between, Message, Write};
use super::riders::Riders;
use super::transaction::{State, Tx};
use super::{Clock, Observer, StoreError, StoreFact};
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// A commit takes at most so many rows …
const MAX_ROWS: usize = 4_096;

/// … and bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What nobody waits for causes a commit at most this often.
const RIDE_EVERY: Duration = Duration::from_millis(50);

/// After a failed commit that nobody waited for, the next one is tried so much later.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the thread shares with everyone.
#[derive(Debug, Default)]
pub(super) struct Shared {
    riders: Mutex<Riders>,
    /// Fires after a commit that wrote to the outbox.
    pub(super) outbox_changed: Notify,
}

impl Shared {
    pub(super) fn riders(&self) -> MutexGuard<'_, Riders> {
        // A list is extended in one step, so a panic elsewhere leaves none half changed.
        self.riders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) state: State,
    pub(super) messages: Receiver<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) observer: Observer,
    /// Before this, no commit that nobody waits for.
    pub(super) quiet_until: Instant,
    /// Whether there may be riders.
    pub(super) riding: bool,
}

/// What one round of the loop takes up.
#[derive(Default)]
struct Round {
    writes: Vec<Box<dyn Write>>,
    between: Vec<Between>,
    rows: usize,
    bytes: usize,
    closing: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Nobody can send any more.
    gone: bool,
}

impl Writer {
    /// Works until it is closed or nobody is left to send.
    pub(super) fn run(mut self) {
        loop {
            let round = self.gather();
            let ends = round.gone || round.closing.is_some();
            let now = Instant::now();
            let due = self.due(now).is_some_and(|due| due <= now);
            let committed = if ends || due || !round.writes.is_empty() {
                self.commit(round.writes)
            } else {
                Ok(())
            };
            for work in round.between {
                work(&self.conn, &self.observer);
            }
            if ends {
                return self.end(round.closing, committed);
            }
        }
    }

    /// Waits for something to do and takes what else is there.
    fn gather(&mut self) -> Round {
        let mut round = Round::default();
        let now = Instant::now();
        let first = match self.due(now) {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => self.messages.recv_timeout(due.saturating_duration_since(now)),
        };
        match first {
            Ok(message) => self.take(message, &mut round),
            Err(RecvTimeoutError::Timeout) => return round,
            Err(RecvTimeoutError::Disconnected) => round.gone = true,
        }
        while round.rows < MAX_ROWS && round.bytes < MAX_BYTES {
            match self.messages.try_recv() {
                Ok(message) => self.take(message, &mut round),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    round.gone = true;
                    break;
                }
            }
        }
        round
    }

    fn take(&mut self, message: Message, round: &mut Round) {
        match message {
            Message::Write(write) => {
                let (rows, bytes) = write.size();
                round.rows += rows;
                round.bytes += bytes;
                round.writes.push(write);
            }
            Message::Between(work) => round.between.push(work),
            Message::Ride => self.riding = true,
            Message::Close(waiting) => round.closing = Some(waiting),
        }
    }

    /// When to commit though nobody waits; `None` while nothing is pending.
    fn due(&self, now: Instant) -> Option<Instant> {
        let ride = self.riding.then_some(now);
        let fold = self.state.folds.due_at().map(|due_ms| {
            let wait_ms = due_ms.saturating_sub((self.clock)().as_millisecond());
            // A clock that was set may be off by years; look again in a minute.
            now + Duration::from_millis(wait_ms.clamp(0, 60_000).unsigned_abs())
        });
        ride.into_iter().chain(fold).min().map(|due| due.max(self.quiet_until))
    }

    /// One transaction, and its answers.
    fn commit(&mut self, mut writes: Vec<Box<dyn Write>>) -> Result<(), StoreError> {
        let started = Instant::now();
        let riders = std::mem::take(&mut *self.shared.riders());
        self.riding = false;
        let rows = writes.iter().map(|write| write.size().0).sum::<usize>() + riders.rows();
        let committed = self.transaction(&mut writes, &riders);
        match &committed {
            Ok(synced) => {
                let took = started.elapsed();
                self.quiet_until = Instant::now() + RIDE_EVERY;
                self.publish();
                (self.observer)(StoreFact::Committed { rows, took, synced: *synced });
            }
            Err(error) => {
                self.quiet_until = Instant::now() + RETRY_AFTER;
                self.state.roll_back();
                self.riding |= !riders.is_empty();
                self.shared.riders().put_back(riders);
                (self.observer)(StoreFact::Failed { op: "commit", error });
            }
        }
        let committed = committed.map(drop);
        for write in writes {
            write.answer(committed.clone());
        }
        committed
    }

    /// Writes and commits; returns how long the disk took.
    fn transaction(
        &mut self,
        writes: &mut [Box<dyn Write>],
        riders: &Riders,
    ) -> Result<Duration, StoreError> {
        let Writer { conn, state, clock, .. } = self;
        let now = clock().as_millisecond();
        let written = (|| {
            let mut tx = Tx::begin(conn, state, now)?;
            tx.tell_of_past_minutes()?;
            // First: a write may end what a rider moved, and no rider knows of what a write makes.
            riders.apply(&mut tx)?;
            for write in writes {
                write.apply(&mut tx)?;
            }
            tx.save_counters()?;
            let started = Instant::now();
            conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(started.elapsed())
        })();
        // Some failures end the transaction by themselves.
        if written.is_err() && !conn.is_autocommit() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        written
    }

    /// Makes known what is now true.
    fn publish(&mut self) {
        self.state.committed();
        if std::mem::take(&mut self.state.wrote_outbox) {
            self.shared.outbox_changed.notify_one();
        }
        for export in self.state.totals.commit() {
            tell_total(&self.state, &self.observer, &export);
        }
        for (export, events) in self.state.unreadable.drain(..) {
            (self.observer)(StoreFact::Unreadable { export: &export, events });
        }
        for ((export, how), count) in self.state.removed.drain() {
            (self.observer)(StoreFact::Removed { export: name(&export), how, count });
        }
    }

    fn end(
        self,
        closing: Option<oneshot::Sender<Result<(), StoreError>>>,
        committed: Result<(), StoreError>,
    ) {
        // What a reader holds back stays in the log and is copied at the next start.
        let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = self.conn.close().map_err(|(_, error)| StoreError::from(error));
        if let Some(waiting) = closing {
            let _ = waiting.send(committed.and(closed));
        }
    }
}

/// Tells the total of an export; of malformed lines for the empty name.
pub(super) fn tell_total(state: &State, observer: &Observer, export: &str) {
    let count = state.totals.committed.of(export);
    observer(StoreFact::Total { export: name(export), count });
}

fn name(export: &str) -> Option<&str> {
    (!export.is_empty()).then_some(export)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::super::{FileState, NewFile, Replaces, Store, StoreOptions};
    use super::*;
    use crate::ack::Settled;
    use crate::event::StreamId;
    use futures::future::join_all;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;

    fn bury(store: &Store, n: u64) -> impl Future<Output = Result<i64, StoreError>> {
        let store = store.clone();
        let letter = testing::letter("alerts", n);
        async move { Ok(store.bury(letter, Replaces::Nothing, None).await?.id) }
    }

    #[tokio::test]
    async fn what_waits_shares_a_commit() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = join_all((0..1000).map(|n| bury(&store, n))).await;
        let ids: Vec<_> = ids.into_iter().map(Result::unwrap).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids ascend in the order of asking");
        let commits = bench.commits.load(Ordering::SeqCst);
        assert!(commits < 100, "{commits} commits");
    }

    #[tokio::test]
    async fn what_was_answered_outlives_a_crash() {
        let bench = Bench::new();
        let store = bench.open();
        join_all((0..50).map(|n| bury(&store, n)))
            .await
            .into_iter()
            .for_each(|id| assert!(id.is_ok()));
        let after = bench.crashed();
        assert_eq!(after.open().total("alerts").letters, 50);
        assert_eq!(after.number("SELECT COUNT(*) FROM dead_letters"), 50);
    }

    #[tokio::test]
    async fn ids_go_on_after_a_restart_even_if_their_rows_are_gone() {
        let bench = Bench::new();
        let store = bench.open();
        let last = bury(&store, 1).await.unwrap();
        assert_eq!(store.purge(&Default::default()).await, Ok(1));
        store.close().await.unwrap();
        assert_eq!(bury(&bench.open(), 2).await, Ok(last + 1));
    }

    #[tokio::test]
    async fn a_failed_commit_is_told_to_everyone_and_the_writer_goes_on() {
        let bench = Bench::new();
        let store = bench.open();
        bench.sql().execute_batch("ALTER TABLE dead_letters RENAME TO away").unwrap();
        for answer in join_all((0..20).map(|n| bury(&store, n))).await {
            assert!(matches!(answer, Err(StoreError::Sqlite(_))), "{answer:?}");
        }
        assert!(bench.facts.lock().unwrap()[0].contains("commit"));
        bench.sql().execute_batch("ALTER TABLE away RENAME TO dead_letters").unwrap();
        bury(&store, 1).await.unwrap();
        assert_eq!(store.total("alerts").letters, 1, "what failed does not count");
        assert_eq!(bench.number("SELECT COUNT(*) FROM outbox"), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_committed_without_company_and_never_when_idle() {
        let bench = Bench::new();
        let (told, commits) = mpsc::channel();
        let options = StoreOptions {
            observer: Box::new(move |fact| {
                if let StoreFact::Committed { rows, .. } = fact {
                    told.send(rows).unwrap();
                }
            }),
            ..bench.options()
        };
        let store = Store::open(bench.path(), options).unwrap();
        let state = FileState {
            path: "/var/log/a".into(),
            device: 1,
            inode: 2,
            head_len: 0,
            head_hash: [0; 32],
            settled: Settled::default(),
            size: 0,
            done: false,
        };
        let file = NewFile { uid: StreamId::random(), state: state.clone() };
        let ids = store.add_files("app", vec![file]).await.unwrap();
        assert_eq!(commits.try_iter().count(), 1);
        let started = Instant::now();
        for round in 1..=3 {
            for watermark in 0..100 {
                let settled = Settled { watermark: round * 100 + watermark, ranges: vec![] };
                store.save_checkpoints([(ids[0], FileState { settled, ..state.clone() })]);
            }
            assert!(commits.recv().unwrap() <= 1, "one row however often it is saved");
        }
        assert!(started.elapsed() >= RIDE_EVERY * 2, "{:?}", started.elapsed());
        store.close().await.unwrap();
        assert_eq!(bench.number("SELECT watermark FROM files"), 399);
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_nothing_is_half_written() {
        let bench = Bench::new();
        let store = bench.open();
        bury(&store, 1).await.unwrap();
        let pages = |pages: i64| {
            store.between("read", move |conn| {
                conn.pragma_update(None, "max_page_count", pages)?;
                Ok(())
            })
        };
        pages(1).await.unwrap(); // SQLite takes it as: no more than there are
        let mut letter = testing::letter("alerts", 2);
        letter.text = vec![b'x'; 100_000];
        let refused = store.bury(letter.clone(), Replaces::Nothing, None).await;
        assert_eq!(refused, Err(StoreError::Full));
        assert_eq!(bench.number("SELECT COUNT(*) FROM dead_letters"), 1);
        pages(i64::from(u32::MAX) - 1).await.unwrap();
        store.bury(letter, Replaces::Nothing, None).await.unwrap();
        assert_eq!(store.total("alerts").letters, 2);
    }

    #[tokio::test]
    async fn riders_of_a_failed_commit_go_with_the_next_one() {
        let bench = Bench::new();
        let store = bench.open();
        let id = bury(&store, 1).await.unwrap();
        let outbox = store.outbox_after(0, 9).await.unwrap().items;
        bench.sql().execute_batch("ALTER TABLE dead_letters RENAME TO away").unwrap();
        store.outbox_delete([outbox[0].id]);
        store.replayed(id);
        bury(&store, 2).await.unwrap_err();
        bench.sql().execute_batch("ALTER TABLE away RENAME TO dead_letters").unwrap();
        store.close().await.unwrap();
        assert_eq!(bench.number("SELECT COUNT(*) FROM outbox"), 0);
        assert_eq!(bench.number("SELECT state FROM dead_letters"), 2);
    }

    #[tokio::test]
    async fn a_closed_store_says_so() {
        let bench = Bench::new();
        let store = bench.open();
        bury(&store, 1).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(bury(&store, 2).await, Err(StoreError::Closed));
        assert_eq!(store.close().await, Ok(()));
        store.replayed(1);
        let wal = bench.path().join("postrider.db-wal");
        assert!(!wal.exists(), "everything is in the file itself");
    }

    #[tokio::test]
    async fn a_store_that_is_dropped_still_writes_what_it_was_given() {
        let bench = Bench::new();
        let (told, ended) = mpsc::channel::<()>();
        let options = StoreOptions { observer: Box::new(move |_| _ = &told), ..bench.options() };
        let store = Store::open(bench.path(), options).unwrap();
        let id = bury(&store, 1).await.unwrap();
        store.replayed(id);
        drop(store);
        assert!(ended.recv().is_err(), "the writer has ended");
        assert_eq!(bench.number("SELECT state FROM dead_letters"), 2);
    }
}
