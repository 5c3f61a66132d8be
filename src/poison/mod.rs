//! Events whose handling ends the process: an abort, a stack that overflows, memory that runs out.
//! What is under way after an unclean end is noted in a file that outlives the process; an event
//! that was under way at three unclean ends is poison. What then becomes of it is not decided here.
//!
//! `data_dir/handling` exists while a postrider runs, so what finds it at its start knows that the
//! last one ended uncleanly. It holds records of one size: a number of the run, then what is being
//! handled. `data_dir/suspects` is text: the number of the last run whose end was counted, then a
//! line for each suspect with its number of unclean ends.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Unclean ends that make an event poison.
pub const FATAL: u32 = 3;

/// Deliveries that are watched after an unclean end. What had been settled of them is not repeated,
/// so the culprit comes into their number after a few ends even if it stood far behind.
const WATCHED: usize = 1000;

/// Lines that are watched after an unclean end: more, for lines are taken in by the chunk, and what
/// of a chunk stands before the culprit is not settled before its end. A source whose queues are
/// full has no more of them open.
const WATCHED_LINES: usize = 1_000_000;

const HANDLING: &str = "handling";
const SUSPECTS: &str = "suspects";

/// The names of the files that it writes in `data_dir`, and of those that take their places.
pub const FILES: [&str; 4] = [HANDLING, SUSPECTS, "handling.new", "suspects.new"];

/// The most suspects that are remembered; those with the fewest ends are forgotten first.
const MAX_SUSPECTS: usize = 1000;

/// The most that is noted at once: one bit each of a word.
const RECORDS: usize = 64;

/// Bytes of a record: the length of an id, then the id.
const RECORD: usize = 128;

/// See the module.
#[derive(Debug)]
pub struct Poison {
    handling: File,
    path: PathBuf,
    /// Whether anything is watched at all; without it, nothing here costs more than this look.
    active: AtomicBool,
    /// How many deliveries are still to be watched, suspects or not.
    left: AtomicUsize,
    /// The same of lines.
    lines_left: AtomicUsize,
    /// Whether there are suspects.
    suspected: AtomicBool,
    /// Whether `handling` cannot be written any more.
    broken: AtomicBool,
    /// The records in use, a bit each.
    used: AtomicU64,
    suspects: Mutex<Suspects>,
}

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}: check that this user may write there and that the disk has room")]
pub struct PoisonError {
    path: PathBuf,
    error: io::Error,
}

impl PoisonError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> PoisonError {
        move |error| PoisonError { path: path.to_owned(), error }
    }
}

impl Poison {
    /// Begins a run in this directory, whose lock is held. If the last run ended uncleanly, what
    /// it was handling is suspect now, once more.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(data_dir: &Path) -> Result<Poison, PoisonError> {
        let path = data_dir.join(HANDLING);
        let left_behind = read(&path)?;
        let mut suspects = Suspects::read(data_dir.join(SUSPECTS))?;
        let mut run = suspects.counted;
        if let Some(left_behind) = &left_behind {
            let mut records = left_behind.chunks_exact(RECORD).filter_map(noted);
            let ended = records.next().and_then(|run| run.parse().ok()).unwrap_or(run + 1);
            suspects.count(ended, &records.collect())?;
            run = run.max(ended);
        }
        // In place of the old one, in one step: one that is half emptied would be counted wrongly.
        let handling = replace(&path, &first_records(run + 1)).map_err(PoisonError::at(&path))?;
        let (left, lines_left) =
            if left_behind.is_some() { (WATCHED, WATCHED_LINES) } else { (0, 0) };
        let suspected = !suspects.ends.is_empty();
        Ok(Poison {
            handling,
            path,
            active: AtomicBool::new(left > 0 || suspected),
            left: AtomicUsize::new(left),
            lines_left: AtomicUsize::new(lines_left),
            suspected: AtomicBool::new(suspected),
            broken: AtomicBool::new(false),
            used: AtomicU64::new(0),
            suspects: Mutex::new(suspects),
        })
    }

    /// Ends the run cleanly: whatever is still noted is no suspect.
    ///
    /// # Errors
    /// When the file cannot be removed; the next start takes this end for an unclean one then.
    pub fn close(&self) -> Result<(), PoisonError> {
        fs::remove_file(&self.path).map_err(PoisonError::at(&self.path))
    }

    /// Whether an event was under way at three unclean ends.
    pub fn is_poison(&self, id: &str) -> bool {
        self.active.load(Ordering::Relaxed)
            && self.suspects().ends.get(&*key(id)).is_some_and(|ends| *ends >= FATAL)
    }

    /// Whether deliveries are watched now: then each is handled alone.
    pub fn watches(&self) -> bool {
        self.may_watch(&self.left)
    }

    /// Whether lines are watched now: else nobody needs their ids.
    pub fn watches_lines(&self) -> bool {
        self.may_watch(&self.lines_left)
    }

    /// Notes that a delivery is being handled, until the guard is dropped.
    pub fn watch(&self, id: &str) -> Watch<'_> {
        self.watch_within(&self.left, id)
    }

    /// Notes that a line is being handled, until the guard is dropped.
    pub fn watch_line(&self, id: &str) -> Watch<'_> {
        self.watch_within(&self.lines_left, id)
    }

    fn watch_within(&self, left: &AtomicUsize, id: &str) -> Watch<'_> {
        if self.is_watched(left, id) { self.note(id) } else { Watch { poison: self, record: None } }
    }

    /// Runs a future and notes its delivery only while it is polled: one that merely waits, for a
    /// receiver or for its turn, ends no process.
    pub async fn watched<F: Future>(&self, id: &str, future: F) -> F::Output {
        if !self.is_watched(&self.left, id) {
            return future.await;
        }
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let _watch = self.note(id);
            future.as_mut().poll(context)
        })
        .await
    }

    /// An event was handled, well or as poison: it is no suspect any more. Writes to disk if it was
    /// one.
    pub fn forget(&self, id: &str) {
        if !self.active.load(Ordering::Relaxed) || !self.suspected.load(Ordering::Relaxed) {
            return;
        }
        let mut suspects = self.suspects();
        if suspects.ends.remove(&*key(id)).is_none() {
            return;
        }
        self.suspected.store(!suspects.ends.is_empty(), Ordering::Relaxed);
        if let Err(error) = suspects.save() {
            // It comes to nothing unless it ends the process as often once more.
            tracing::warn!(%error, "an event that was handled well is still taken for a suspect");
        }
    }

    fn may_watch(&self, left: &AtomicUsize) -> bool {
        self.active.load(Ordering::Relaxed)
            && (left.load(Ordering::Relaxed) > 0 || self.suspected.load(Ordering::Relaxed))
    }

    fn is_watched(&self, left: &AtomicUsize, id: &str) -> bool {
        if !self.may_watch(left) {
            return false;
        }
        let take = |left: usize| left.checked_sub(1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            || self.suspects().ends.contains_key(&*key(id))
    }

    /// Writes an id into a free record, if there is one.
    fn note(&self, id: &str) -> Watch<'_> {
        let take = |used: u64| (used != u64::MAX).then(|| used | (used + 1));
        let taken = self.used.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        let record = taken.ok().map(|used| used.trailing_ones() as usize);
        if let Some(record) = record {
            self.write(record, &key(id));
        }
        Watch { poison: self, record }
    }

    fn write(&self, record: usize, id: &str) {
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        // Behind the record that holds the run's number. Not synced: what is written survives the
        // process, and it is only the process whose end is looked into.
        let written = self.handling.write_all_at(&encoded(id), ((record + 1) * RECORD) as u64);
        if let Err(error) = written {
            // Delivering goes on: an event is worth more than the watch over it.
            if !self.broken.swap(true, Ordering::Relaxed) {
                let path = self.path.display();
                tracing::warn!(%path, %error, "events that end the process are not noted any more");
            }
        }
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// An event is being handled.
#[derive(Debug)]
#[must_use = "an event is noted only as long as this lives"]
pub struct Watch<'a> {
    poison: &'a Poison,
    record: Option<usize>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            self.poison.write(record, "");
            self.poison.used.fetch_and(!(1 << record), Ordering::Release);
        }
    }
}

/// What was being handled when a process ended, and how often.
#[derive(Debug)]
struct Suspects {
    path: PathBuf,
    /// The last run whose end was counted.
    counted: u64,
    ends: BTreeMap<String, u32>,
}

impl Suspects {
    fn read(path: PathBuf) -> Result<Suspects, PoisonError> {
        let bytes = read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let counted = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        // A line that somebody spoiled is one suspect less.
        let suspect = |line: &str| {
            let (ends, id) = line.split_once(' ')?;
            Some((id.to_owned(), ends.parse().ok()?))
        };
        let ends = lines.take(MAX_SUSPECTS).filter_map(suspect).collect();
        Ok(Suspects { path, counted, ends })
    }

    /// Counts the end of a run that was handling these; each run's once.
    fn count(&mut self, run: u64, handled: &BTreeSet<&str>) -> Result<(), PoisonError> {
        if run <= self.counted || handled.is_empty() {
            return Ok(());
        }
        self.counted = run;
        for id in handled {
            let ends = self.ends.entry((*id).to_owned()).or_default();
            *ends = ends.saturating_add(1);
        }
        while self.ends.len() > MAX_SUSPECTS {
            let least = self.ends.iter().min_by_key(|(_, ends)| **ends).map(|(id, _)| id.clone());
            least.and_then(|id| self.ends.remove(&id));
        }
        self.save()
    }

    fn save(&self) -> Result<(), PoisonError> {
        let lines = self.ends.iter().map(|(id, ends)| format!("{ends} {id}\n"));
        let text = format!("{}\n{}", self.counted, lines.collect::<String>());
        replace(&self.path, text.as_bytes()).map_err(PoisonError::at(&self.path))?;
        Ok(())
    }
}

/// A file's bytes, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, PoisonError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PoisonError::at(path)(error)),
    }
}

/// Puts a file with these bytes in the place of another, in one step.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(file)
}

/// The file of a run that handles nothing yet. Whole from the start, so that a full disk is noticed
/// here and not while events are handled.
fn first_records(run: u64) -> Vec<u8> {
    let mut bytes = encoded(&run.to_string()).to_vec();
    bytes.resize((1 + RECORDS) * RECORD, 0);
    bytes
}

fn encoded(id: &str) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    // Never longer than a record: see `key`.
    let length = id.len().min(RECORD - 1);
    record[0] = length as u8;
    record[1..=length].copy_from_slice(&id.as_bytes()[..length]);
    record
}

/// The id in a record; `None` if it is empty or spoiled.
fn noted(record: &[u8]) -> Option<&str> {
    let (length, text) = record.split_first()?;
    let id = std::str::from_utf8(text.get(..usize::from(*length))?).ok()?;
    (!id.is_empty() && key(id) == id).then_some(id)
}

/// An id as it is noted: itself where it fits into a record and a line, else its hash.
fn key(id: &str) -> Cow<'_, str> {
    let fits = (1..RECORD).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return id.into();
    }
    Sha256::digest(id).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

#[cfg(test)]
mod tests;
