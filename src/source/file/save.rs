//! Checkpoints of a file source: what its streams settled goes to the store as it comes. They
//! outlive the reading: exports settle lines long after the last one was read.

use super::identity::Head;
use crate::ack::AckTracker;
use crate::metrics::SourceMetrics;
use crate::store::{FileState, Store};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// What settles is saved at most this often. With the time until the store commits it, this is how
/// much a killed process repeats: 100 ms in all.
const SAVE_EVERY: Duration = Duration::from_millis(20);

/// The checkpoints of one source, saved as they move until [`Checkpoints::finish`]. Dropped before
/// that, they are saved no more, which repeats events and loses none.
#[derive(Debug)]
pub struct Checkpoints {
    book: Arc<Book>,
    saver: JoinSet<()>,
}

impl Checkpoints {
    /// Starts saving what the book holds.
    pub(super) fn start(book: &Arc<Book>) -> Self {
        let saving = Arc::clone(book);
        let mut saver = JoinSet::new();
        saver.spawn(async move {
            loop {
                saving.changed.notified().await;
                // The store's own time to forget files does not count on top.
                let next = Instant::now() + SAVE_EVERY;
                saving.save().await;
                sleep_until(next).await;
            }
        });
        Checkpoints { book: Arc::clone(book), saver }
    }

    /// Waits until every line that was taken in is settled: for a source that has ended while the
    /// exports go on.
    pub async fn settled(&self) {
        while self.book.has_open_lines() {
            tokio::time::sleep(SAVE_EVERY).await;
        }
    }

    /// Saves for the last time; nothing settles any more. On disk when the store is closed.
    pub async fn finish(mut self) {
        self.saver.shutdown().await;
        self.book.save().await;
    }

    /// Like [`Checkpoints::finish`], for a source that is started anew while the store is open: on
    /// disk when it returns, or what the store cannot take is read again.
    pub async fn hand_over(self) {
        let store = self.book.store.clone();
        self.finish().await;
        if let Err(error) = store.committed().await {
            warn!(%error, "checkpoints wait for a later commit: a source that is started anew may repeat events");
        }
    }
}

/// The files of a source, as their checkpoints see them.
#[derive(Debug)]
pub(super) struct Book {
    store: Store,
    metrics: SourceMetrics,
    /// Told by the streams whose ledger moved or whose file grew.
    pub(super) changed: Arc<Notify>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// By the file's row.
    files: HashMap<i64, Entry>,
    /// Bytes of all files that are not settled.
    lag: u64,
}

#[derive(Debug)]
struct Entry {
    tracker: Arc<AckTracker>,
    state: FileState,
    lag: u64,
    /// Whether the state itself changed.
    changed: bool,
    retired: Option<Retired>,
}

/// A file that is not read any more.
#[derive(Debug)]
struct Retired {
    /// Offset behind its last byte: everything below was taken in.
    end: u64,
    /// Its handle keeps the inode from being used again while its lines are open.
    _file: Option<File>,
}

impl Book {
    pub(super) fn new(store: Store, metrics: SourceMetrics) -> Arc<Self> {
        Arc::new(Book { store, metrics, changed: Arc::default(), pages: Mutex::default() })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing under this lock can leave a file half changed.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, row: i64, change: impl FnOnce(&mut FileState)) {
        if let Some(entry) = self.pages().files.get_mut(&row) {
            change(&mut entry.state);
            entry.changed = true;
        }
        self.changed.notify_one();
    }

    /// Enters a file.
    pub(super) fn enter(&self, row: i64, tracker: &Arc<AckTracker>, state: FileState) {
        let tracker = Arc::clone(tracker);
        let entry = Entry { tracker, state, lag: 0, changed: true, retired: None };
        self.pages().files.insert(row, entry);
        self.changed.notify_one();
    }

    /// A file has this length and this head.
    pub(super) fn grew(&self, row: i64, size: u64, head: &Head) {
        self.change(row, |state| {
            state.size = size;
            if state.head_len != head.len() as u64 {
                state.head_len = head.len() as u64;
                state.head_hash = head.hash(head.len()).unwrap_or_default();
            }
        });
    }

    /// A file has this length.
    pub(super) fn has_size(&self, row: i64, size: u64) {
        self.change(row, |state| state.size = size);
    }

    /// A file has another name.
    pub(super) fn renamed(&self, row: i64, path: &Path) {
        self.change(row, |state| path.clone_into(&mut state.path));
    }

    /// A file was read to `end` and is not read again: forgotten when all of it is settled.
    pub(super) fn retire(&self, row: i64, end: u64, file: Option<File>) {
        if let Some(entry) = self.pages().files.get_mut(&row) {
            entry.state.size = end;
            entry.changed = true;
            entry.retired = Some(Retired { end, _file: file });
        }
        self.changed.notify_one();
    }

    /// Leaves a file out: what stands there is another one now.
    pub(super) fn leave_out(&self, row: i64) {
        let mut pages = self.pages();
        if let Some(entry) = pages.files.remove(&row) {
            pages.lag -= entry.lag;
            self.metrics.lag(pages.lag);
        }
    }

    fn has_open_lines(&self) -> bool {
        self.pages().files.values().any(|entry| entry.tracker.open_lines() > 0)
    }

    /// Saves what changed since the last call, and forgets the files that are done.
    async fn save(&self) {
        let (checkpoints, done) = self.collect();
        self.store.save_checkpoints(checkpoints);
        if done.is_empty() {
            return;
        }
        if let Err(trouble) = self.store.forget_files(done).await {
            // They are looked for at the next start, and forgotten then.
            warn!(error = %trouble, "files that are gone could not be forgotten");
        }
    }

    fn collect(&self) -> (Vec<(i64, FileState)>, Vec<i64>) {
        let mut pages = self.pages();
        let Pages { files, lag } = &mut *pages;
        let (mut checkpoints, mut done) = (Vec::new(), Vec::new());
        for (row, entry) in files.iter_mut() {
            if !entry.tracker.take_changed() && !entry.changed {
                continue;
            }
            entry.changed = false;
            let open = entry.settle();
            *lag = *lag - entry.lag + open;
            entry.lag = open;
            if entry.is_done() {
                done.push(*row);
            }
            checkpoints.push((*row, entry.state.clone()));
        }
        done.iter().for_each(|row| drop(files.remove(row)));
        self.metrics.lag(*lag);
        (checkpoints, done)
    }
}

impl Entry {
    /// Brings the state up to what is settled. Returns how many bytes are not.
    fn settle(&mut self) -> u64 {
        let settled = self.tracker.settled();
        let ahead: u64 = settled.ranges.iter().map(|(start, end)| end - start).sum();
        let open = self.state.size.saturating_sub(settled.watermark).saturating_sub(ahead);
        self.state.settled = settled;
        self.state.done = self.is_done();
        open
    }

    fn is_done(&self) -> bool {
        let watermark = self.state.settled.watermark;
        self.retired.as_ref().is_some_and(|retired| watermark >= retired.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::{Settled, TakenLine};
    use crate::event::StreamId;
    use crate::source::Stream;
    use crate::source::testing::{Bench, NAME};
    use crate::store::NewFile;

    fn state(size: u64) -> FileState {
        FileState {
            path: "/a".into(),
            device: 1,
            inode: 2,
            head_len: 0,
            head_hash: [0; 32],
            settled: Settled::default(),
            size,
            done: false,
        }
    }

    #[tokio::test]
    async fn what_settles_is_saved_and_what_is_done_is_forgotten() {
        let bench = Bench::new();
        let run = bench.open();
        let book = Book::new(run.store.clone(), run.metrics.source(NAME));
        let new = NewFile { uid: StreamId::random(), state: state(100) };
        let row = run.store.add_files(NAME, vec![new]).await.unwrap()[0];
        let stream =
            Stream::resume(StreamId::random(), "", &Settled::default(), Arc::clone(&book.changed));
        book.enter(row, &stream.tracker, state(100));
        let chunk = stream.tracker.enter(
            0,
            60,
            &[
                TakenLine { start: 10, end: 20, takers: 1 },
                TakenLine { start: 30, end: 40, takers: 1 },
            ],
        );
        chunk.ack(1).settle();
        book.save().await;
        assert_eq!(run.metric("source_lag_bytes"), 50.0, "10 held, 40 not read");
        let (saved, _) = book.collect();
        assert!(saved.is_empty(), "nothing moved since");

        book.retire(row, 60, None);
        book.save().await;
        chunk.ack(0).settle();
        let (saved, done) = book.collect();
        assert_eq!(saved[0].1.settled, Settled { watermark: 60, ranges: vec![] });
        assert!(saved[0].1.done);
        assert_eq!(done, [row]);
        assert_eq!(run.metric("source_lag_bytes"), 0.0);
        assert!(book.pages().files.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_settles_waits_no_longer_for_its_save_than_it_may() {
        let bench = Bench::new();
        let run = bench.open();
        let book = Book::new(run.store.clone(), run.metrics.source(NAME));
        let _checkpoints = Checkpoints::start(&book);
        let new = NewFile { uid: StreamId::random(), state: state(20) };
        let row = run.store.add_files(NAME, vec![new]).await.unwrap()[0];
        let stream =
            Stream::resume(StreamId::random(), "", &Settled::default(), Arc::clone(&book.changed));
        book.enter(row, &stream.tracker, state(20));
        let line = |start| TakenLine { start, end: start + 10, takers: 1 };
        let chunk = stream.tracker.enter(0, 20, &[line(0), line(10)]);
        // The second settles just after a save, so it waits longest.
        for index in [0, 1] {
            chunk.ack(index).settle();
            tokio::time::sleep(SAVE_EVERY + Duration::from_millis(1)).await;
            assert!(!stream.tracker.take_changed(), "line {index} was taken up");
        }
    }

    #[tokio::test]
    async fn checkpoints_outlive_the_reading() {
        let bench = Bench::new();
        let run = bench.open();
        let book = Book::new(run.store.clone(), run.metrics.source(NAME));
        let checkpoints = Checkpoints::start(&book);
        let new = NewFile { uid: StreamId::random(), state: state(10) };
        let row = run.store.add_files(NAME, vec![new]).await.unwrap()[0];
        let stream =
            Stream::resume(StreamId::random(), "", &Settled::default(), Arc::clone(&book.changed));
        book.enter(row, &stream.tracker, state(10));
        drop(book);
        let chunk = stream.tracker.enter(0, 10, &[TakenLine { start: 0, end: 10, takers: 1 }]);
        chunk.ack(0).settle();
        checkpoints.finish().await;
        run.store.close().await.unwrap();
        let files = bench.open().store.files(NAME).await.unwrap().files;
        assert_eq!(files[0].state.settled.watermark, 10);
    }
}
