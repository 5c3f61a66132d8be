//! The one thread that writes. It takes what waits, writes it in one transaction, commits, and only
//! then answers; what arrives meanwhile makes up the next commit, so the group grows with the load
//! and no timer is needed. What is written lives in the modules beside this one.

use super::message::{Between, Message, Write};
use super::reserve::Reserve;
use super::riders::Riders;
use super::tidy::Tidy;
use super::transaction::{State, Tx};
use super::{Clock, Observer, Owner, StoreError, StoreFact, check};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
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
    /// Whether the disk is full.
    pub(super) full: AtomicBool,
    /// When it last became or ceased to be full.
    pub(super) full_at: Mutex<Option<Instant>>,
    /// Whose last dead letter found no room.
    pub(super) without_room: Mutex<BTreeSet<Owner>>,
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
    pub(super) reserve: Reserve,
    pub(super) tidy: Tidy,
    pub(super) place: Place,
}

/// Where the store's file stood when it was opened.
pub(super) struct Place {
    path: PathBuf,
    inode: Option<u64>,
}

impl Place {
    pub(super) fn of(path: PathBuf) -> Self {
        let inode = inode(&path);
        Place { path, inode }
    }

    /// Fails where the file was taken away: what is written into it then is lost with the process.
    fn check(&self) -> Result<(), StoreError> {
        if self.inode == inode(&self.path) {
            return Ok(());
        }
        let path = self.path.display();
        Err(StoreError::Disk(format!("{path} was deleted or moved while postrider used it")))
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.ino())
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
        self.bound_log();
        // What an earlier run left in it is copied back while there is room for that.
        self.look_after_log();
        loop {
            let round = self.gather();
            let ends = round.gone || round.closing.is_some();
            self.look_after_reserve();
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
            self.tidy();
        }
    }

    /// Waits for something to do and takes what else is there.
    fn gather(&mut self) -> Round {
        let mut round = Round::default();
        let now = Instant::now();
        let wakes = [self.due(now), self.reserve.due(), self.tidy.due()];
        let first = match wakes.into_iter().flatten().min() {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => self.messages.recv_timeout(due.saturating_duration_since(now)),
        };
        match first {
            Ok(message) => self.take(message, &mut round),
            Err(RecvTimeoutError::Timeout) => return round,
            Err(RecvTimeoutError::Disconnected) => round.gone = true,
        }
        let max_bytes = MAX_BYTES.min(usize::try_from(self.reserve.bytes()).unwrap_or(MAX_BYTES));
        while round.rows < MAX_ROWS && round.bytes < max_bytes {
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
            Message::Change(change) => self.change(change),
            Message::Close(waiting) => round.closing = Some(waiting),
        }
    }

    /// When to commit though nobody waits; `None` while nothing is pending.
    fn due(&self, now: Instant) -> Option<Instant> {
        let ride = self.riding.then_some(now);
        let fold = self.state.folds.due_at().filter(|_| !self.state.disk_full);
        let timed = fold.into_iter().chain(self.state.bound.due_at()).min().map(|due_ms| {
            let wait_ms = due_ms.saturating_sub((self.clock)().as_millisecond());
            // A clock that was set may be off by years; look again in a minute.
            now + Duration::from_millis(wait_ms.clamp(0, 60_000).unsigned_abs())
        });
        ride.into_iter().chain(timed).min().map(|due| due.max(self.quiet_until))
    }

    /// One transaction, and its answers.
    fn commit(&mut self, writes: Vec<Box<dyn Write>>) -> Result<(), StoreError> {
        self.look_ahead(&writes);
        let mut writes = self.refuse_adding(writes);
        let mut riders = std::mem::take(&mut *self.shared.riders());
        self.riding = false;
        let mut committed = self.commit_riders(&mut riders);
        if committed.is_ok() {
            committed = self.attempt(&mut writes, &mut riders);
        }
        if committed == Err(StoreError::Full) && self.make_do() {
            writes = self.refuse_adding(writes);
            committed = self.commit_riders(&mut riders);
            if committed.is_ok() && (!writes.is_empty() || !riders.is_empty()) {
                committed = self.attempt(&mut writes, &mut riders);
            }
        }
        if committed.is_err() {
            self.quiet_until = Instant::now() + RETRY_AFTER;
            self.riding |= !riders.is_empty();
            self.shared.riders().put_back(riders);
        }
        for write in writes {
            write.answer(committed.clone());
        }
        committed
    }

    /// One try of a transaction, and what is known then.
    pub(super) fn attempt(
        &mut self,
        writes: &mut [Box<dyn Write>],
        riders: &mut Riders,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        let rows = writes.iter().map(|write| write.size().0).sum::<usize>() + riders.rows();
        let committed = self.transaction(writes, riders);
        match &committed {
            Ok(()) => {
                let took = started.elapsed();
                self.quiet_until = Instant::now() + RIDE_EVERY;
                self.tidy.committed(Instant::now());
                self.publish();
                (self.observer)(StoreFact::Committed { rows, took });
                self.look_after_log();
            }
            Err(error) => {
                self.state.roll_back();
                if let StoreError::Corrupt(damage) = error {
                    check::mark_damaged(&self.conn, damage);
                }
                (self.observer)(StoreFact::Failed { op: "commit", error });
            }
        }
        committed
    }

    /// Writes and commits.
    fn transaction(
        &mut self,
        writes: &mut [Box<dyn Write>],
        riders: &Riders,
    ) -> Result<(), StoreError> {
        let Writer { conn, state, shared, clock, place, .. } = self;
        place.check()?;
        let now = clock().as_millisecond();
        let written = (|| {
            let mut tx = Tx::begin(conn, state, shared, now)?;
            tx.tell_of_past_minutes()?;
            // First: a write may end what a rider moved, and no rider knows of what a write makes.
            riders.apply(&mut tx)?;
            tx.expire()?;
            for write in writes {
                write.apply(&mut tx)?;
            }
            tx.save_counters()?;
            conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
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
        check::note_clean_stop(&self.conn);
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
mod tests;
