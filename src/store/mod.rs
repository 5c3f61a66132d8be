//! The store: one SQLite file, one thread that writes it with group commit. It keeps dead letters,
//! each export's queue on disk and what else an export must remember, file checkpoints and the
//! outbox of own events.
//!
//! `Store` is the way in: its async methods return when what they wrote is on disk, its plain
//! ones leave something for the next commit to take along. `Reader` looks in beside a running
//! writer. What a dead letter, a replay or an event means is decided by those who call.

#![allow(clippy::disallowed_types, reason = "the writer is a thread without a runtime")]

mod bounds;
mod bury;
mod check;
mod chunk;
mod codec;
mod database;
mod endpoints;
mod error;
mod files;
mod folds;
mod letter;
mod limiter;
mod lock;
mod log;
mod message;
mod outbox;
mod page;
#[cfg(test)]
mod power;
mod queue;
mod reader;
mod rename;
mod replay;
mod reserve;
mod riders;
mod salvage;
mod selection;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
mod tidy;
mod times;
mod totals;
mod transaction;
mod writer;

pub use bounds::{DlqBounds, Owner, WhenFull};
pub use bury::{Buried, Fallback, Replaces};
pub use check::note_damage;
pub use chunk::{Kept, Restored};
pub use database::{FILE_NAME, path};
pub use endpoints::{
    EndpointChange, EndpointEvent, EndpointEventKind, EndpointRow, EndpointState, StoredEndpoint,
};
pub use error::{STORE_RETRY, StoreError};
pub use files::{FileState, NewFile, StoredFile, StoredFiles};
pub use folds::SINGLE_EVENTS;
pub use letter::{LetterState, StoredEnvelope, StoredLetter};
pub use lock::{DataDirLock, LockError};
pub use outbox::{DLQ_EVENT_KIND, OutboxEvent};
pub use page::Page;
pub use queue::{QueuePage, QueueTotal, WaitingPage};
pub use reader::{Order, Reader, Stat};
pub use replay::{Marked, ReplayScope};
pub use salvage::Salvage;
pub use selection::Selection;
pub use totals::{Count, Total};

use crate::event::StreamId;
use check::Check;
use jiff::Timestamp;
use message::{Job, Kind, Message};
use queue::CommittedQueueTotals;
use reserve::{Disk, Reserve};
use riders::Riders;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidy::Tidy;
use tokio::sync::oneshot;
use totals::CommittedTotals;
use transaction::{State, Tx};
use writer::{Shared, Writer};

/// What the store writes in its directory beside files whose names begin with [`FILE_NAME`]: those
/// are the database, its log and index, and what was set aside.
pub const OTHER_FILES: [&str; 2] = [lock::FILE_NAME, reserve::FILE_NAME];

/// What the time is.
pub type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// Who is told of the store's doings; called on the writer's thread.
pub type Observer = Box<dyn Fn(StoreFact<'_>) + Send>;

/// How a store is opened.
pub struct StoreOptions {
    /// Whether dead letters raise `webhook.dlq` events.
    pub emit_dlq_events: bool,
    /// What the dead letters of each export may take up.
    pub dlq: DlqBounds,
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
    },
    /// Something failed; nothing of it was written.
    Failed {
        /// `commit`, `read`, `vacuum`, `check` or `checkpoint`.
        op: &'static str,
        /// Why.
        error: &'a StoreError,
    },
    /// The disk became full, so that what adds is refused with [`StoreError::Full`] while what
    /// settles and frees goes on; or it has room again and all goes on.
    Room {
        /// Whether it is full.
        full: bool,
    },
    /// The check that [`Store::start_check`] started has ended, or damage was met at work.
    Checked {
        /// What is damaged; `None`: all is well.
        damage: Option<String>,
    },
    /// The dead letters of an export (`None`: malformed lines) are now these.
    Total {
        /// The export.
        export: Option<&'a str>,
        /// What there is.
        count: Count,
    },
    /// Queued events of an export that is no longer configured can't be read; they stay.
    Unreadable {
        /// The export.
        export: &'a str,
        /// How many.
        events: u64,
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
    /// Deleted because they were too old.
    Expired,
    /// Deleted to make room for newer ones.
    Dropped,
}

impl Removal {
    /// The word that metrics show.
    pub fn as_str(self) -> &'static str {
        match self {
            Removal::Replayed => "replayed",
            Removal::Purged => "purged",
            Removal::Expired => "expired",
            Removal::Dropped => "dropped",
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            emit_dlq_events: true,
            dlq: DlqBounds::default(),
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
    queue_totals: CommittedQueueTotals,
    uid: StreamId,
    path: PathBuf,
    /// Whether the last stop was not clean.
    unclean: bool,
    salvage: Option<Salvage>,
    /// Whether the check was asked for.
    check_asked: AtomicBool,
    /// Whether damage was met.
    damaged: AtomicBool,
    check: Mutex<Option<Check>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    fn end_check(&self) {
        let check = self.check.lock().unwrap_or_else(PoisonError::into_inner).take();
        check.into_iter().for_each(Check::end);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It holds up the writer's end.
        self.end_check();
    }
}

impl Store {
    /// Opens the store of a data directory, making both where they are missing and bringing the
    /// store to this program's version. A damaged store is set aside, and what can be read of it
    /// goes into a fresh one ([`Store::salvage`]). The caller holds the [`DataDirLock`]. Blocks for
    /// as long as the disk takes.
    ///
    /// # Errors
    /// When the file can't be made, is not a store, can't be read, or is newer than this program;
    /// it is left untouched then.
    pub fn open(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Store::start(data_dir, true, options, Disk::default())
    }

    /// Opens the store of a data directory like [`Store::open`], but never makes one, nor anything
    /// else beside it.
    ///
    /// # Errors
    /// As for [`Store::open`], and when there is none or it is damaged.
    pub fn open_existing(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Store::start(data_dir, false, options, Disk::default())
    }

    fn start(
        data_dir: &Path,
        create: bool,
        options: StoreOptions,
        disk: Disk,
    ) -> Result<Self, StoreError> {
        let StoreOptions { emit_dlq_events, dlq, clock, observer } = options;
        let reserve = Reserve::new(data_dir, &dlq, disk, !create);
        let load = |conn: &Connection| -> Result<_, StoreError> {
            let state = State::load(conn, emit_dlq_events, dlq.clone())?;
            let uid = database::uid(conn)?;
            Ok((state, uid, check::note_open(conn)?))
        };
        let opened = salvage::open(data_dir, create, clock().as_millisecond(), load)?;
        let salvage::Opened { conn, loaded: (state, uid, unclean), salvage } = opened;
        let totals = state.totals.committed.clone();
        let queue_totals = state.queue_totals.committed.clone();
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
            reserve,
            tidy: Tidy::default(),
            place: writer::Place::of(path(data_dir)),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::path(data_dir, &error))?;
        Ok(Store(Arc::new(Inner {
            messages: sender,
            shared,
            totals,
            queue_totals,
            uid,
            path: path(data_dir),
            unclean,
            salvage,
            check_asked: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            check: Mutex::new(None),
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Commits everything, closes the file and ends the writer. What is asked of any clone
    /// afterwards is answered with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the last commit fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        self.0.end_check();
        let (waiting, closed) = oneshot::channel();
        self.send(Message::Close(waiting))?;
        let closed = answered(closed).await;
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

    /// What was saved of a damaged store when this one was opened.
    pub fn salvage(&self) -> Option<&Salvage> {
        self.0.salvage.as_ref()
    }

    /// Waits until everything that was left for the next commit is on disk, where a reader finds
    /// it; goes on while the disk is full.
    ///
    /// # Errors
    /// When the commit fails; what was left goes with a later one.
    pub async fn committed(&self) -> Result<(), StoreError> {
        self.write_freeing((1, 0), |_| Ok(())).await
    }

    /// Writes about so many rows and bytes with the next commit; refused while the disk is full.
    async fn write<T: Send + 'static>(
        &self,
        size: (usize, usize),
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_as(Kind::Adds, size, work).await
    }

    /// Like [`Store::write`], for what needs no further room: it goes on while the disk is full.
    async fn write_freeing<T: Send + 'static>(
        &self,
        size: (usize, usize),
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_as(Kind::Frees, size, work).await
    }

    async fn write_as<T: Send + 'static>(
        &self,
        kind: Kind,
        (rows, bytes): (usize, usize),
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waiting, answer) = oneshot::channel();
        let job = Job { kind, rows, bytes, work, done: None, waiting };
        self.send(Message::Write(Box::new(job)))?;
        answered(answer).await
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
        answered(answer).await
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

#[cfg(test)]
use testing::answered;

/// What the thread answers, or that the store is closed.
#[cfg(not(test))]
async fn answered<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.await.unwrap_or(Err(StoreError::Closed))
}
