//! The files of one source that are being read: who they are, whose turn it is, and who is
//! leaving. Decisions alone; nothing here touches the file system or the store.

mod leave;
mod roll;
#[cfg(test)]
mod tests;

use super::discover::Found;
use super::identity::FileKey;
use super::reader::{Progress, Reader};
use crate::source::Stream;
pub(super) use roll::Roll;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long a file that was renamed away or deleted is kept after it grew last: who wrote it may
/// go on for a while, and its last line may not be whole.
pub(super) const ROTATE_WAIT: Duration = Duration::from_secs(60);

/// How often a file that is leaving is looked at, first and in the end: nothing tells of its
/// changes any more.
const LEAVING_LOOK: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// How many files a source keeps open where the system lets it. Of more, those read longest ago are
/// closed and opened again when they grow; what is written to one of these and deleted at once is
/// not seen.
pub(super) const MAX_OPEN: usize = 4_096;

/// A file of the roster. Ascends, so a file that takes another's path has the larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TailId(u64);

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its row in the store.
    pub(super) row: i64,
    pub(super) stream: Stream,
    pub(super) key: FileKey,
    /// Its path; where it leaves, the one it had.
    pub(super) path: PathBuf,
    /// Where its path leads, if that is a link.
    target: Option<PathBuf>,
    /// Away while its turn is under way.
    reader: Option<Box<Reader>>,
    /// Offset behind the last byte read.
    position: u64,
    /// When it was changed last, as far as looks tell.
    modified: (i64, i64),
    compressed: bool,
    queued: bool,
    at_end: bool,
    /// Whether it was read to its end for good.
    finished: bool,
    /// Why it could not be read last time.
    pub(super) failed: Option<ErrorKind>,
    leaving: Option<Leaving>,
    let_go: Option<LetGo>,
    /// The file that had this path before and is read to its end first.
    after: Option<TailId>,
    /// How often in a row it grew and no event told.
    unannounced: u8,
    /// How often it was found under another name and opened again.
    reopened: u32,
    last_turn: u64,
}

/// A file whose path is gone, or another's.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    quiet_since: Instant,
    next_look: Instant,
}

/// A file that is no longer asked for and still read to the end that it had then.
#[derive(Debug, Clone, Copy, Default)]
struct LetGo {
    /// Its length in bytes, when a turn has told.
    end: Option<u64>,
}

/// One file's turn: its reader, to be given back with [`Roster::end_turn`].
#[derive(Debug)]
pub(super) struct Called {
    pub(super) id: TailId,
    pub(super) reader: Box<Reader>,
    pub(super) path: PathBuf,
    /// Whether its rest is due, where there is nothing new.
    pub(super) finish: bool,
}

/// The files of a source.
#[derive(Debug)]
pub(super) struct Roster {
    tails: BTreeMap<TailId, Tail>,
    by_key: HashMap<FileKey, TailId>,
    /// By their paths, and by where these lead.
    by_path: HashMap<PathBuf, TailId>,
    leaving: BTreeSet<TailId>,
    ready: VecDeque<TailId>,
    ids: u64,
    turns: u64,
    /// Open files whose turn is not under way; first those that had theirs longest ago.
    open: BTreeSet<(u64, TailId)>,
    max_open: usize,
    /// How many the system turned out to let it open.
    granted: usize,
    /// Whether it let it open no more, and no look has found that over.
    lacked: bool,
    /// Whether files end at their ends.
    ends: bool,
}

impl Tail {
    /// A file that `found` showed, to be read by `reader`.
    pub(super) fn new(row: i64, stream: Stream, found: Found, reader: Reader) -> Self {
        Tail {
            row,
            stream,
            key: found.key,
            path: found.path,
            target: found.target,
            position: reader.position(),
            compressed: reader.is_compressed(),
            reader: Some(Box::new(reader)),
            modified: found.modified,
            queued: false,
            at_end: false,
            finished: false,
            failed: None,
            leaving: None,
            let_go: None,
            after: None,
            unannounced: 0,
            reopened: 0,
            last_turn: 0,
        }
    }

    /// Whether it left long enough ago.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.leaving.is_some_and(|leaving| now >= leaving.quiet_since + ROTATE_WAIT)
    }

    /// Asked for again, at this path; it was removed from the roster.
    pub(super) fn comes_back(&mut self, found: Found, reader: Box<Reader>) {
        self.reader = Some(reader);
        self.stream.label = found.path.to_string_lossy().into();
        self.path = found.path;
        self.target = found.target;
        self.modified = found.modified;
        (self.queued, self.at_end, self.finished) = (false, false, false);
        (self.leaving, self.let_go, self.failed) = (None, None, None);
    }

    fn is_open(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.is_open())
    }
}

impl Roster {
    /// Without files. `ends` says that none is waited for to grow; `max_open` of them may be open.
    pub(super) fn new(ends: bool, max_open: usize) -> Self {
        Roster {
            tails: BTreeMap::new(),
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            leaving: BTreeSet::new(),
            ready: VecDeque::new(),
            ids: 0,
            turns: 0,
            open: BTreeSet::new(),
            max_open,
            granted: usize::MAX,
            lacked: false,
            ends,
        }
    }

    /// Enters a file. Its first turn comes when the file that had its path before is at its end:
    /// `before`, or else the one that has the path now.
    pub(super) fn add(&mut self, mut tail: Tail, before: Option<TailId>) -> TailId {
        self.ids += 1;
        let id = TailId(self.ids);
        if tail.is_open() {
            self.open.insert((tail.last_turn, id));
        }
        tail.after = self.by_path.get(&tail.path).copied().or(before);
        self.by_key.insert(tail.key, id);
        self.by_path.insert(tail.path.clone(), id);
        if let Some(target) = &tail.target {
            self.by_path.insert(target.clone(), id);
        }
        self.tails.insert(id, tail);
        self.queue(id);
        id
    }

    /// A file has this name too.
    pub(super) fn add_name(&mut self, found: Found) {
        let Some(id) = self.by_key.get(&found.key).copied() else { return };
        for path in [Some(found.path), found.target].into_iter().flatten() {
            self.by_path.entry(path).or_insert(id);
        }
    }

    pub(super) fn get(&mut self, id: TailId) -> Option<&mut Tail> {
        self.tails.get_mut(&id)
    }

    pub(super) fn knows(&self, key: FileKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// How many more files may be open.
    pub(super) fn room(&self) -> usize {
        self.bound().saturating_sub(self.open.len())
    }

    /// Whether some file waits for its turn.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// Whether every file was read to its end for good.
    pub(super) fn is_finished(&self) -> bool {
        self.tails.values().all(|tail| tail.finished)
    }

    /// Gives a file a turn.
    pub(super) fn queue(&mut self, id: TailId) {
        if let Some(tail) = self.tails.get_mut(&id).filter(|tail| !tail.queued && !tail.finished) {
            tail.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Something was written to the file at this path, if it is one of these.
    pub(super) fn grew(&mut self, path: &Path) {
        let Some(id) = self.by_path.get(path).copied() else { return };
        if let Some(tail) = self.tails.get_mut(&id) {
            tail.unannounced = 0;
        }
        self.queue(id);
    }

    /// Whose turn it is.
    pub(super) fn call(&mut self, now: Instant) -> Option<Called> {
        let waits = |id: &TailId| !self.is_behind(*id);
        let index = self.ready.iter().position(waits).unwrap_or(0);
        let id = self.ready.remove(index)?;
        let tail = self.tails.get_mut(&id)?;
        tail.queued = false;
        let reader = tail.reader.take()?;
        self.open.remove(&(tail.last_turn, id));
        let finish = self.ends || tail.is_over(now);
        Some(Called { id, reader, path: tail.path.clone(), finish })
    }

    /// Whether the file that had this one's path is still to be read.
    fn is_behind(&self, id: TailId) -> bool {
        let before = self.tails.get(&id).and_then(|tail| tail.after);
        let before = before.and_then(|before| self.tails.get(&before));
        before.is_some_and(|before| before.queued || !before.at_end)
    }

    /// Takes a reader back. Without progress it could not read, and has no turn before the next
    /// look.
    pub(super) fn end_turn(
        &mut self,
        id: TailId,
        reader: Box<Reader>,
        progress: Option<&Progress>,
        now: Instant,
    ) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        self.turns += 1;
        tail.last_turn = self.turns;
        tail.position = reader.position();
        if reader.is_open() {
            self.open.insert((tail.last_turn, id));
        }
        tail.reader = Some(reader);
        tail.at_end = progress.is_none_or(|progress| progress.at_end);
        tail.finished |= progress.is_some_and(|progress| progress.finished);
        if let (Some(leaving), Some(Progress { grown: true, .. })) = (&mut tail.leaving, progress) {
            *leaving = Leaving { quiet_since: now, next_look: now + LEAVING_LOOK.0 };
        }
        // At its end a file has one more turn, to take its rest.
        let (more, compressed) =
            (!tail.at_end || (self.ends && progress.is_some()), tail.compressed);
        if more {
            self.queue(id);
        }
        // Closed and opened again it would be read from its beginning: it goes on at once.
        if more && compressed && self.ready.pop_back_if(|last| *last == id).is_some() {
            self.ready.push_front(id);
        }
        self.close_some();
    }

    /// Says that a file will not be read further.
    pub(super) fn finish(&mut self, id: TailId) {
        if let Some(tail) = self.tails.get_mut(&id) {
            tail.finished = true;
        }
    }

    /// Takes a file off whose turn is not under way.
    pub(super) fn remove(&mut self, id: TailId) -> Option<(Tail, Box<Reader>)> {
        let mut tail = self.tails.remove(&id)?;
        self.open.remove(&(tail.last_turn, id));
        self.leaving.remove(&id);
        self.ready.retain(|ready| *ready != id);
        if self.by_key.get(&tail.key) == Some(&id) {
            self.by_key.remove(&tail.key);
        }
        for path in [Some(&tail.path), tail.target.as_ref()].into_iter().flatten() {
            if self.by_path.get(path) == Some(&id) {
                self.by_path.remove(path);
            }
        }
        tail.reader.take().map(|reader| (tail, reader))
    }

    /// Gives a closed file a handle.
    pub(super) fn reopen(&mut self, id: TailId, file: File) {
        if let Some(tail) = self.tails.get_mut(&id)
            && let Some(reader) = tail.reader.as_mut().filter(|reader| !reader.is_open())
        {
            reader.reopen(file);
            (tail.at_end, tail.reopened) = (false, tail.reopened + 1);
            self.open.insert((tail.last_turn, id));
            self.close_some();
        }
        self.queue(id);
    }

    /// So many may be open from now on.
    pub(super) fn allow(&mut self, max_open: usize) {
        self.max_open = max_open;
    }

    /// The system lets no more files be opened: gets along with fewer.
    pub(super) fn open_fewer(&mut self) {
        (self.granted, self.lacked) = (self.open.len() / 2, true);
        self.close_some();
    }

    /// Nothing lacked at a look by the clock: after the second one more may be opened again.
    pub(super) fn open_more(&mut self) {
        if !std::mem::take(&mut self.lacked) {
            self.granted = self.granted.max(4).saturating_mul(2);
        }
    }

    fn bound(&self) -> usize {
        self.max_open.min(self.granted)
    }

    fn close_some(&mut self) {
        while self.open.len() > self.bound() {
            let stays = |(_, id): &&(u64, TailId)| !self.leaving.contains(id);
            let Some(idle) = self.open.iter().find(stays).copied() else { return };
            self.open.remove(&idle);
            if let Some(reader) = self.tails.get_mut(&idle.1).and_then(|tail| tail.reader.as_mut())
            {
                reader.close();
            }
        }
    }
}
