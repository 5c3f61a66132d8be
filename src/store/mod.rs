//! The store: one SQLite file, one thread that writes it with group commit. It keeps dead letters,
//! the queue rows of a stopped program, file checkpoints and the outbox of own events.
//!
//! [`Store`] is the way in: its async methods return when what they wrote is on disk, its plain
//! ones leave something for the next commit to take along. [`Reader`] looks in beside a running
//! writer. What a dead letter, a replay or an event means is decided by those who call.

mod bury;
mod chunk;
mod codec;
mod database;
mod error;
mod files;
mod folds;
mod letter;
mod lock;
mod outbox;
mod page;
mod queue;
mod reader;
mod replay;
mod riders;
mod selection;
mod sweep;
#[cfg(test)]
mod testing;
mod times;
mod totals;
mod transaction;
mod writer;

pub use bury::Replaces;
pub use chunk::{Kept, Restored};
pub use database::{FILE_NAME, path};
pub use error::StoreError;
pub use files::{FileState, NewFile, StoredFile, StoredFiles};
pub use folds::SINGLE_EVENTS;
pub use letter::{LetterState, StoredEnvelope, StoredLetter};
pub use lock::{DataDirLock, LockError};
pub use outbox::{DLQ_EVENT_KIND, OutboxEvent};
pub use page::Page;
pub use reader::{Order, Reader, Stat};
pub use replay::{Marked, ReplayScope};
pub use selection::Selection;
pub use totals::{Count, Total};

use crate::delivery::DeadLetter;
use crate::event::StreamId;
use jiff::Timestamp;
use riders::Riders;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sweep::Sweep;
use tokio::sync::oneshot;
use totals::CommittedTotals;
use transaction::{State, Tx};
use writer::{Job, Message, Shared, Writer};

/// What the time is.
pub type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// Who is told of the store's doings; called on the writer's thread.
pub type Observer = Box<dyn Fn(StoreFact<'_>) + Send>;

/// How a store is opened.
pub struct StoreOptions {
    /// Whether dead letters raise `webhook.dlq` events.
    pub emit_dlq_events: bool,
    /// The clock of what is written; the system's by default.
    pub clock: Clock,
    /// Who is told of the store's doings; nobody by default.
    pub observer: Observer,
}

/// Something that the store did.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreFact<'a> {
    /// A commit is on disk.
    Committed {
        /// About how many rows it wrote.
        rows: usize,
        /// From the first statement to the end.
        took: Duration,
        /// How much of it the disk took.
        synced: Duration,
    },
    /// Something failed; nothing of it was written.
    Failed {
        /// `commit`, `read` or `vacuum`.
        op: &'static str,
        /// Why.
        error: &'a StoreError,
    },
    /// The dead letters of an export (`None`: malformed lines) are now these.
    Total {
        /// The export.
        export: Option<&'a str>,
        /// What there is.
        count: Count,
    },
    /// Dead letters are no longer dead.
    Removed {
        /// The export; `None` for malformed lines.
        export: Option<&'a str>,
        /// How they went.
        how: Removal,
        /// How many.
        count: u64,
    },
}

/// How dead letters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removal {
    /// Delivered after all.
    Replayed,
    /// Deleted on request.
    Purged,
}

impl Removal {
    /// The word that metrics show.
    pub fn as_str(self) -> &'static str {
        match self {
            Removal::Replayed => "replayed",
            Removal::Purged => "purged",
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            emit_dlq_events: true,
            clock: Box::new(Timestamp::now),
            observer: Box::new(|_| ()),
        }
    }
}

/// The store. Cheap to clone; all clones share one writer, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    messages: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    totals: CommittedTotals,
    uid: StreamId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store of a data directory, making both where they are missing and bringing the
    /// store to this program's version. The caller holds the [`DataDirLock`]. Blocks for as long
    /// as the disk takes.
    ///
    /// # Errors
    /// When the file can't be made, is not a store, or is newer than this program, which leaves it
    /// untouched.
    pub fn open(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Store::start(data_dir, true, options)
    }

    /// Opens the store of a data directory like [`Store::open`], but never makes one.
    ///
    /// # Errors
    /// As for [`Store::open`], and when there is none.
    pub fn open_existing(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Store::start(data_dir, false, options)
    }

    fn start(data_dir: &Path, create: bool, options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { emit_dlq_events, clock, observer } = options;
        let conn = database::open(data_dir, create, clock().as_millisecond())?;
        let state = State::load(&conn, emit_dlq_events)?;
        let uid = database::uid(&conn)?;
        let totals = state.totals.committed.clone();
        for export in totals.exports() {
            writer::tell_total(&state, &observer, &export);
        }
        let (sender, messages) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            conn,
            state,
            messages,
            shared: Arc::clone(&shared),
            clock,
            observer,
            quiet_until: Instant::now(),
            riding: false,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::path(data_dir, &error))?;
        let thread = Mutex::new(Some(thread));
        Ok(Store(Arc::new(Inner { messages: sender, shared, totals, uid, thread })))
    }

    /// Commits everything, closes the file and ends the writer. What is asked of any clone
    /// afterwards is answered with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the last commit fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let (waiting, closed) = oneshot::channel();
        self.send(Message::Close(waiting))?;
        let closed = closed.await.unwrap_or(Err(StoreError::Closed));
        // It has answered, so there is nothing left to wait for.
        let _ = thread.join();
        closed
    }

    /// The store's random id: the stream of its outbox.
    pub fn uid(&self) -> StreamId {
        self.0.uid
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        self.0.messages.send(message).map_err(|_| StoreError::Closed)
    }

    /// Writes about so many rows and bytes with the next commit.
    async fn write<T: Send + 'static>(
        &self,
        (rows, bytes): (usize, usize),
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waiting, answer) = oneshot::channel();
        let job = Job { rows, bytes, work: Some(work), done: None, waiting };
        self.send(Message::Write(Box::new(job)))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Works on the connection between two commits, so that it sees only what is committed.
    async fn between<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waiting, answer) = oneshot::channel();
        self.send(Message::Between(Box::new(move |conn, observer| {
            let done = work(conn);
            if let Err(error) = &done {
                observer(StoreFact::Failed { op, error });
            }
            // Who no longer waits has lost nothing.
            let _ = waiting.send(done);
        })))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Leaves something for the next commit to take along. After closing it goes nowhere, which
    /// repeats events and loses none.
    fn ride(&self, get_on: impl FnOnce(&mut Riders)) {
        let mut riders = self.0.shared.riders();
        let first = riders.is_empty();
        get_on(&mut riders);
        let wake = first && !riders.is_empty();
        drop(riders);
        if wake {
            let _ = self.send(Message::Ride);
        }
    }
}

/// Dead letters.
impl Store {
    /// Buries a delivery that failed for good: the letter, the end of what it replaces and its
    /// `webhook.dlq` event are one transaction, on disk when this returns. Returns the id.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn bury(&self, letter: DeadLetter, replaces: Replaces) -> Result<i64, StoreError> {
        // Beside the text: the row's other columns and the event.
        let bytes = letter.text.len() + 1024;
        self.write((2, bytes), move |tx| tx.bury(&letter, &replaces)).await
    }

    /// Writes the `webhook.dlq` events that wait for their minute to be over.
    ///
    /// # Errors
    /// When the commit fails.
    pub async fn flush_folds(&self) -> Result<(), StoreError> {
        self.write((1, 0), |tx| tx.tell_of_folds(None)).await
    }

    /// Puts dead letters back on their exports; they stay `replaying` over restarts until they are
    /// settled. Takes the oldest first where the selection has a limit.
    ///
    /// # Errors
    /// When a commit fails; what earlier commits marked stays so.
    pub async fn mark_replaying(
        &self,
        selection: &Selection,
        scope: &ReplayScope,
    ) -> Result<Marked, StoreError> {
        let mut marked = Marked::default();
        let Some(narrowed) = scope.narrow(selection, &self.0.totals.exports()) else {
            return Ok(marked);
        };
        let mut sweep = Sweep::new(&narrowed);
        while !sweep.is_done() {
            let (scope, mut here) = (scope.clone(), sweep);
            let (next, step) = self
                .write((1024, 0), move |tx| {
                    let step = tx.mark(&mut here, &scope)?;
                    Ok((here, step))
                })
                .await?;
            sweep = next;
            marked.refused += step.refused;
            for (export, letters) in step.by_export {
                *marked.by_export.entry(export).or_default() += letters;
            }
        }
        Ok(marked)
    }

    /// Takes back what [`Store::mark_replaying`] did; the selection's `states` do not count.
    /// Returns how many letters are dead again. Not for letters that an export works on.
    ///
    /// # Errors
    /// When a commit fails.
    pub async fn unmark_replaying(&self, selection: &Selection) -> Result<u64, StoreError> {
        let states = vec![LetterState::Replaying];
        self.sweep(&Selection { states, ..selection.clone() }, |tx, sweep| tx.unmark(sweep)).await
    }

    /// The letters that an export is to replay, at most `limit`, behind the id `after` (0: from
    /// the first).
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn next_replaying(
        &self,
        export: &str,
        after: i64,
        limit: usize,
    ) -> Result<Page<StoredLetter>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| replay::next(conn, &export, after, limit)).await
    }

    /// Says that a replayed letter was delivered; written with the next commit.
    pub fn replayed(&self, id: i64) {
        self.ride(|riders| riders.replayed.push(id));
    }

    /// Deletes dead letters and gives their room back to the disk. Returns how many.
    ///
    /// # Errors
    /// When a commit fails; what earlier commits deleted stays so.
    pub async fn purge(&self, selection: &Selection) -> Result<u64, StoreError> {
        let purged = self.sweep(selection, |tx, sweep| tx.purge(sweep)).await?;
        while purged > 0 && self.between("vacuum", database::vacuum_step).await? {}
        Ok(purged)
    }

    async fn sweep(
        &self,
        selection: &Selection,
        change: fn(&mut Tx<'_>, &mut Sweep) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut sweep = Sweep::new(selection);
        let mut sum = 0;
        while !sweep.is_done() {
            let mut here = sweep;
            let (next, count) = self
                .write((1024, 0), move |tx| {
                    let count = change(tx, &mut here)?;
                    Ok((here, count))
                })
                .await?;
            sweep = next;
            sum += count;
        }
        Ok(sum)
    }

    /// The dead letters of each export and the malformed lines of each source.
    pub fn totals(&self) -> Vec<Total> {
        self.0.totals.list()
    }

    /// The dead letters of an export; of all sources' malformed lines for the empty name.
    pub fn total(&self, export: &str) -> Count {
        self.0.totals.of(export)
    }
}

/// Queues.
impl Store {
    /// Writes events behind those that an export's queue has, in this order.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn keep(&self, export: &str, events: Vec<Kept>) -> Result<(), StoreError> {
        let export = export.to_owned();
        let bytes = events.iter().map(|kept| kept.event.text.bytes().len() + 256).sum();
        self.write((events.len(), bytes), move |tx| tx.keep(&export, &events)).await
    }

    /// The exports whose queues have events.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn queued_exports(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.between("read", queue::exports).await
    }

    /// The events of an export's queue in order, those of at most `limit` rows behind the cursor
    /// `after` (0: from the first). They stay in the store until they are settled.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn restore(
        &self,
        export: &str,
        after: i64,
        limit: usize,
    ) -> Result<Page<Restored>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| queue::restore(conn, &export, after, limit)).await
    }

    /// Settles the event of that number; written with the next commit.
    pub fn settle_row(&self, export: &Arc<str>, number: i64) {
        self.ride(|riders| match riders.settled.get_mut(export) {
            Some(numbers) => numbers.push(number),
            None => drop(riders.settled.insert(Arc::clone(export), vec![number])),
        });
    }
}

/// File sources.
impl Store {
    /// The files of a source, and when it started first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn files(&self, source: &str) -> Result<StoredFiles, StoreError> {
        let source = source.to_owned();
        self.between("read", move |conn| files::load(conn, &source)).await
    }

    /// Enters files of a source, and that it has started, also where there is no file yet. On disk
    /// when this returns. Returns the files' ids in order.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn add_files(
        &self,
        source: &str,
        files: Vec<NewFile>,
    ) -> Result<Vec<i64>, StoreError> {
        let source = source.to_owned();
        let rows = files.len() + 1;
        self.write((rows, rows * 256), move |tx| tx.add_files(&source, &files)).await
    }

    /// Saves where files stand, by their ids; written with the next commit, and of several saves
    /// of a file only the last.
    pub fn save_checkpoints(&self, checkpoints: impl IntoIterator<Item = (i64, FileState)>) {
        self.ride(|riders| riders.checkpoints.extend(checkpoints));
    }

    /// Forgets files that are gone.
    ///
    /// # Errors
    /// When the commit fails.
    pub async fn forget_files(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        self.write((ids.len(), 0), move |tx| tx.forget_files(&ids)).await
    }
}

/// The outbox.
impl Store {
    /// Own events behind the id `after` (0: from the first), at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn outbox_after(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Page<OutboxEvent>, StoreError> {
        self.between("read", move |conn| outbox::after(conn, after, limit)).await
    }

    /// Deletes own events that are settled; written with the next commit.
    pub fn outbox_delete(&self, ids: impl IntoIterator<Item = i64>) {
        self.ride(|riders| riders.outbox.extend(ids));
    }

    /// Waits until a commit has written to the outbox since the last call; for one caller.
    pub async fn outbox_changed(&self) {
        self.0.shared.outbox_changed.notified().await;
    }
}
