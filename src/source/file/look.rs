//! What a look and a turn change: files are entered, resumed, renamed, found to be cut off, and
//! let go. The decisions stand in the pure rooms beside this one; here they meet the disk and the
//! store.

use super::discover::{Found, Scan};
use super::reader::{Progress, Reader, Turn};
use super::resume::{self, Claim, Fate, Opened};
use super::roster::{Roll, Tail, TailId};
use super::watch::Change;
use super::{Chunk, Files};
use crate::config::ReadFrom;
use crate::event::StreamId;
use crate::source::Stream;
use crate::store::{FileState, NewFile, STORE_RETRY, StoreError, StoredFile};
use crate::trouble::is_out_of_files;
use jiff::Timestamp;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// A file that is about to be entered.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) opened: Opened,
    uid: StreamId,
    state: FileState,
    /// Its row, where it has one.
    pub(super) row: Option<i64>,
    /// The path that it had, where it was renamed while nobody looked.
    left: Option<PathBuf>,
}

impl Files {
    /// Does what a change asks for.
    pub(super) async fn change(&mut self, change: Change) {
        match change {
            Change::Grown(paths) => paths.iter().for_each(|path| self.roster.grew(path)),
            Change::Names => self.look(false).await,
            Change::Time => self.look(true).await,
        }
    }

    /// Looks at everything. `by_clock` says that nothing told of a change.
    pub(super) async fn look(&mut self, by_clock: bool) {
        let started = Instant::now();
        let (scan, events) = self.scan().await;
        self.pace.looked(started.elapsed(), events);
        let Scan { mut files, renamed, mut troubles, .. } = scan;
        self.leave_compressed(&mut files);
        self.renamed.extend(renamed);
        let unseen: Vec<_> = troubles.iter().map(|(path, _)| path.as_path()).collect();
        let roll = self.roster.call_the_roll(files, &unseen, by_clock && events);
        for (row, path) in &roll.renamed {
            self.book.renamed(*row, path);
        }
        for (row, size) in &roll.resized {
            self.book.has_size(*row, *size);
        }
        if roll.deaf {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.poll_because("a file grew and no event told of it");
        }
        for id in &roll.vanished {
            self.find_renamed(*id).await;
        }
        let entered = self.enter(roll, &mut troubles).await;
        self.complaints.tell(&troubles);
        let lacking = troubles.iter().any(|(_, error)| is_out_of_files(error));
        if !self.follow {
            let lasting = troubles.iter().filter(|(_, error)| !is_out_of_files(error));
            self.failures.extend(lasting.map(|(path, error)| failure(path, error)));
        }
        match entered {
            Ok(()) => self.look_due = false,
            Err(trouble) => {
                self.look_due = true;
                if let Some(suppressed) = self.repeats.allow("enter", "") {
                    error!(source = %self.name, error = %trouble, suppressed, "new files could not be entered in the store and wait");
                }
                self.pace.look_again_in(STORE_RETRY);
            }
        }
        if lacking {
            self.want_files();
        } else if by_clock {
            self.roster.open_more();
        }
    }

    /// The system lets no more files be opened: gets along with fewer, and looks again soon.
    fn want_files(&mut self) {
        self.roster.open_fewer();
        self.look_due = true;
        self.pace.look_again_in(STORE_RETRY);
    }

    /// Looks, off the async threads; also tells whether events work.
    async fn scan(&self) -> (Scan, bool) {
        let watch = Arc::clone(&self.watch);
        let look = move || {
            let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
            let scan = watch.look();
            (scan, watch.has_events())
        };
        // Nothing in it panics; a look that found nothing is followed by another.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Enters the files that are new: those of the store are read on, the others from their
    /// beginning or, at the very first start, their end.
    async fn enter(
        &mut self,
        mut roll: Roll,
        troubles: &mut Vec<(PathBuf, io::Error)>,
    ) -> Result<(), StoreError> {
        let mut new = std::mem::take(&mut roll.new);
        for (found, _) in &self.renamed {
            if !self.roster.knows(found.key) && !new.iter().any(|new| new.key == found.key) {
                new.push(found.clone());
            }
        }
        if new.is_empty() && self.forgotten.is_empty() && !self.look_due {
            return Ok(());
        }
        let opened = self.open(new, troubles).await;
        let opened = self.take_back(opened, &roll.held);
        let opened = self.without_copies(opened);
        let mut entrants: Vec<_> = opened.into_iter().map(|opened| self.claim(opened)).collect();
        self.find_heirs(&mut entrants).await;
        if self.look_due {
            self.find_lost(&mut entrants).await;
        }
        if let Err(trouble) = self.commit(&mut entrants).await {
            // At the next look their files are found again.
            let resumed = entrants.into_iter().filter_map(Entrant::into_stored);
            resumed.for_each(|stored| self.unclaimed.put_back(stored));
            return Err(trouble);
        }
        self.first_start = false;
        self.renamed.clear();
        // Those that had the others' paths come first.
        entrants.sort_by_key(|entrant| entrant.left.is_none());
        for entrant in entrants {
            self.present.remove(&entrant.opened.found.key);
            self.admit(entrant, &roll.held);
        }
        roll.aliases.into_iter().for_each(|found| self.roster.add_name(found));
        Ok(())
    }

    /// Opens new files.
    async fn open(
        &mut self,
        new: Vec<Found>,
        troubles: &mut Vec<(PathBuf, io::Error)>,
    ) -> Vec<Opened> {
        let end = |found: &Found| match self.present.get(&found.key) {
            Some(size) => Some(*size),
            None => self.starts_at_ends().then_some(found.size),
        };
        let new: Vec<_> = new.into_iter().map(|found| (end(&found), found)).collect();
        let room = self.roster.room();
        let lines = self.intake.has_lines();
        let opening = tokio::task::spawn_blocking(move || resume::open_all(new, room, lines)).await;
        let (mut opened, failed) = opening.unwrap_or_default();
        for (found, error) in failed {
            if self.starts_at_ends() {
                self.present.insert(found.key, found.size);
            }
            troubles.push((found.path, error));
        }
        opened.retain(|opened| !self.roster.knows(opened.found.key));
        opened
    }

    /// What an opened file is.
    fn claim(&mut self, opened: Opened) -> Entrant {
        let key = opened.found.key;
        let mut entrant = match self.unclaimed.claim(&opened) {
            Claim::New => Entrant::new(opened),
            Claim::Resumed(stored) => Entrant::resumed(opened, stored),
            Claim::CutOff(stored) => {
                self.cut_off(&opened.found.path);
                self.forgotten.push(stored.id);
                Entrant::new(opened)
            }
        };
        let left = self.renamed.iter().find(|(found, _)| found.key == key);
        if let Some((_, from)) = left.filter(|(found, _)| found.path == entrant.opened.found.path) {
            // Under that path it is looked for after a restart.
            entrant.state.path.clone_from(from);
            entrant.left = Some(from.clone());
        }
        entrant
    }

    /// Whether what is found now was there before the source first started, and is not read.
    fn starts_at_ends(&self) -> bool {
        self.read_from == ReadFrom::End && self.first_start
    }

    /// Looks for the stored files that no path leads to any more.
    async fn find_lost(&mut self, entrants: &mut Vec<Entrant>) {
        let lost = self.unclaimed.take_all();
        let look = move || {
            let now = Timestamp::now();
            let fate = |file: StoredFile| (resume::fate(&file, now), file);
            lost.into_iter().map(fate).collect::<Vec<_>>()
        };
        for (fate, stored) in tokio::task::spawn_blocking(look).await.unwrap_or_default() {
            let is_read = |opened: &Opened| {
                let key = opened.found.key;
                self.roster.knows(key) || entrants.iter().any(|known| known.opened.found.key == key)
            };
            match fate {
                Fate::Renamed(opened) if !stored.state.done && !is_read(&opened) => {
                    info!(source = %self.name, path = %stored.state.path.display(), now = %opened.found.path.display(), "a file was renamed while nobody looked; the rest of it is read first");
                    let left = Some(stored.state.path.clone());
                    entrants.push(Entrant { left, ..Entrant::resumed(opened, stored) });
                }
                Fate::Away => self.unclaimed.put_back(stored),
                Fate::Renamed(_) | Fate::Gone => self.forgotten.push(stored.id),
            }
        }
    }

    /// Writes down what is new, before the first line of it is sent.
    async fn commit(&mut self, entrants: &mut [Entrant]) -> Result<(), StoreError> {
        if !self.forgotten.is_empty() {
            // First: two records of one file would be worse than none.
            self.store.forget_files(self.forgotten.clone()).await?;
            self.forgotten.clear();
        }
        let new = || entrants.iter().filter(|entrant| entrant.row.is_none());
        let files: Vec<_> =
            new().map(|new| NewFile { uid: new.uid, state: new.state.clone() }).collect();
        if files.is_empty() && !self.look_due {
            return Ok(());
        }
        let rows = self.store.add_files(&self.name, files).await?;
        let new = entrants.iter_mut().filter(|entrant| entrant.row.is_none());
        new.zip(rows).for_each(|(entrant, row)| entrant.row = Some(row));
        Ok(())
    }

    /// Puts an entered file on the roster. `held` tells who had its path before.
    fn admit(&mut self, entrant: Entrant, held: &HashMap<PathBuf, TailId>) {
        let Entrant { opened, uid, mut state, row, left } = entrant;
        let Some(row) = row else { return };
        state.size = opened.size().max(state.settled.watermark);
        let Opened { found, file, head, text, .. } = opened;
        let label = found.path.to_string_lossy();
        let stream = Stream::resume(uid, &label, &state.settled, Arc::clone(&self.book.changed));
        let lines = self.intake.framer(state.settled.watermark);
        let reader = match text {
            None => Reader::new(file, found.key, head, lines),
            Some(_) => Reader::compressed(found.key, head, lines),
        };
        (state.device, state.inode) = (found.key.device, found.key.inode);
        let leaving = left.is_some();
        let path = left.unwrap_or_else(|| found.path.clone());
        state.path.clone_from(&path);
        self.book.enter(row, &stream.tracker, state);
        let tail = Tail::new(row, stream, Found { path, ..found }, reader);
        let before = held.get(&tail.path).copied();
        let id = self.roster.add(tail, before);
        if leaving {
            self.roster.leave(id);
        }
    }

    /// Takes in what a turn brought.
    pub(super) async fn end_turn(
        &mut self,
        id: TailId,
        reader: Box<Reader>,
        turn: io::Result<Turn>,
    ) -> Option<Chunk> {
        let now = Instant::now();
        match turn {
            Ok(Turn::Read(progress)) => self.read_on(id, reader, progress, now),
            Ok(Turn::Truncated) => {
                self.roster.end_turn(id, reader, None, now);
                self.begin_anew(id).await;
                None
            }
            Ok(Turn::Gone) => {
                // A look finds where it went.
                self.roster.end_turn(id, reader, None, now);
                if self.roster.is_read_out(id, None) {
                    self.park(id);
                }
                self.look_due = true;
                self.pace.ask();
                None
            }
            Err(error) => self.unreadable(id, reader, &error, now),
        }
    }

    fn read_on(
        &mut self,
        id: TailId,
        reader: Box<Reader>,
        mut progress: Progress,
        now: Instant,
    ) -> Option<Chunk> {
        let stretches = std::mem::take(&mut progress.stretches);
        let tail = self.roster.get(id)?;
        tail.failed = None;
        let stream = tail.stream.clone();
        if progress.grown {
            self.book.grew(tail.row, progress.size, reader.head());
        }
        self.roster.end_turn(id, reader, Some(&progress), now);
        if self.roster.is_read_out(id, Some(&progress)) {
            self.park(id);
        } else if progress.finished && self.follow {
            self.retire(id);
        }
        (!stretches.is_empty()).then_some(Chunk { stream, stretches })
    }

    /// A file cannot be read now. It is tried again at the next look, and is at its end where
    /// there will be none.
    fn unreadable(
        &mut self,
        id: TailId,
        mut reader: Box<Reader>,
        error: &io::Error,
        now: Instant,
    ) -> Option<Chunk> {
        let tail = self.roster.get(id)?;
        // What cannot be opened for want of others that are closed can be soon.
        let ends = (!self.follow || tail.is_over(now)) && !is_out_of_files(error);
        if tail.failed.replace(error.kind()) != Some(error.kind()) {
            self.complaints.warn(&tail.path, error);
        }
        let (path, stream) = (tail.path.clone(), tail.stream.clone());
        // Where the rest of a cut line may still be written, half of it is no line.
        let cut = error.kind() == io::ErrorKind::UnexpectedEof;
        let rest = if ends && !cut { reader.rest() } else { None };
        self.roster.end_turn(id, reader, None, now);
        if is_out_of_files(error) {
            self.want_files();
        }
        if self.roster.is_read_out(id, None) {
            self.park(id);
        } else if ends && self.follow {
            self.retire(id);
        } else if ends {
            self.failures.push(failure(&path, error));
            self.roster.finish(id);
        }
        rest.map(|rest| Chunk { stream, stretches: vec![rest] })
    }

    /// Lets go of a file that is not read any more.
    fn retire(&mut self, id: TailId) {
        if let Some((tail, mut reader)) = self.roster.remove(id) {
            self.book.retire(tail.row, reader.taken(), reader.close());
        }
    }

    /// Looks for a closed file that no path leads to any more. Where it cannot be told whether it is
    /// still there, the next look looks for it again.
    async fn find_renamed(&mut self, id: TailId) {
        if !self.roster.make_room() {
            return self.pace.look_again_in(STORE_RETRY);
        }
        let Some(tail) = self.roster.get(id) else { return };
        let (path, key) = (tail.path.clone(), tail.key);
        let place = path.clone();
        let sibling = move || resume::sibling(&place, key);
        match tokio::task::spawn_blocking(sibling).await.unwrap_or(Ok(None)) {
            Ok(Some(file)) => self.roster.reopen(id, file),
            Ok(None) => {
                info!(source = %self.name, path = %path.display(), "a file went away while it was closed");
                self.retire(id);
            }
            Err(error) => {
                let told = self.roster.get(id).and_then(|tail| tail.failed.replace(error.kind()));
                if told != Some(error.kind()) {
                    self.complaints.warn(&path, &error);
                }
                if is_out_of_files(&error) {
                    return self.want_files();
                }
                self.pace.look_again_in(STORE_RETRY);
            }
        }
    }

    /// Leaves a file whose bytes are not those any more that were read. What stands there now is
    /// found as a new file, with a new uid.
    async fn begin_anew(&mut self, id: TailId) {
        let Some((tail, _)) = self.roster.remove(id) else { return };
        self.cut_off(&tail.path);
        self.book.leave_out(tail.row);
        self.forgotten.push(tail.row);
        self.look(false).await;
    }

    fn cut_off(&self, path: &Path) {
        self.intake.metrics().truncated();
        warn!(
            source = %self.name, path = %path.display(),
            fix = "let the file be rotated by renaming it and creating a new one (logrotate: `create`, not `copytruncate`)",
            "a file was cut off or written anew: what stood there and was not read yet is lost; it is read from its beginning"
        );
    }

    /// How the reading of files that are not followed went.
    pub(super) fn failures(&self) -> Result<(), String> {
        if self.roster.is_empty() && self.failures.is_empty() {
            warn!(source = %self.name, fix = "check `paths` and `exclude`", "there was no file to read");
        }
        match self.failures.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            [first, rest @ ..] => Err(format!("{first}, and {} more", rest.len())),
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> String {
    format!("{} was not read to its end: {error}", path.display())
}

impl Entrant {
    fn new(opened: Opened) -> Self {
        let state = opened.state();
        Entrant { opened, uid: StreamId::random(), state, row: None, left: None }
    }

    pub(super) fn resumed(opened: Opened, stored: StoredFile) -> Self {
        let StoredFile { id, uid, state, .. } = stored;
        Entrant { opened, uid, state, row: Some(id), left: None }
    }

    fn into_stored(self) -> Option<StoredFile> {
        let Entrant { uid, state, row, .. } = self;
        Some(StoredFile { id: row?, uid, state, updated_at: Timestamp::now() })
    }
}
