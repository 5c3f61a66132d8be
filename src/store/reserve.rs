//! The reserve: a file of real blocks that is given up when the disk is full, so that what settles
//! and frees can still be written. While it is gone, what adds is refused; made again, that goes on.
//!
//! A commit needs room even where it deletes: what it changes goes into the log first. So the
//! reserve is at least as large as the log of a small step.

#![allow(clippy::disallowed_types, reason = "the writer is a thread without a runtime")]

use super::message::{Change, Kind, Message, Write};
use super::writer::{Shared, Writer};
use super::{DlqBounds, Store, StoreError, StoreFact, database, log};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Its name in the data directory.
pub(super) const FILE_NAME: &str = "reserve";

/// The least that it holds.
const MIN_BYTES: u64 = 1024 * 1024;

/// Of the bound of dead letters it is one part in so many …
const PART: u64 = 100;

/// … and of the whole disk at most one in so many.
const DISK_PART: u64 = 20;

/// When the program stops, what is added leaves so much for settling.
const LAST_BYTES: u64 = 256 * 1024;

/// A disk that was full within this time is short of room.
const SHORT_FOR: Duration = Duration::from_secs(60);

/// Asks how much room the disk of a directory has.
type AskRoom = Box<dyn Fn(&Path) -> io::Result<Room> + Send>;

/// The room of a disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// What this user may still write.
    pub(super) free: u64,
    /// All of it.
    pub(super) whole: u64,
}

/// What the disk says of itself.
pub(super) struct Disk {
    /// How much room it has.
    pub(super) room: AskRoom,
    /// How often a reserve that is gone is tried again.
    pub(super) try_every: Duration,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            room: Box::new(|path| {
                let found = rustix::fs::statvfs(path)?;
                Ok(Room {
                    free: found.f_bavail.saturating_mul(found.f_frsize),
                    whole: found.f_blocks.saturating_mul(found.f_frsize),
                })
            }),
            try_every: Duration::from_secs(1),
        }
    }
}

/// The reserve of a data directory.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    disk: Disk,
    /// When it is tried again; `None` where it is there, or is not to be made.
    try_at: Option<Instant>,
    /// Whether it is not to be made: by a command that only visits.
    visits: bool,
    /// Whether a disk without room for it was told of.
    told: bool,
    /// Whether the program stops: what is not stored now is lost.
    stopping: bool,
    /// Room that was asked for in vain.
    wanted: u64,
}

impl Reserve {
    /// The reserve, made soon by a writer that stays.
    pub(super) fn new(data_dir: &Path, bounds: &DlqBounds, disk: Disk, visits: bool) -> Self {
        let mut reserve = Reserve {
            path: data_dir.join(FILE_NAME),
            bytes: 0,
            disk,
            try_at: None,
            visits,
            told: false,
            stopping: false,
            wanted: 0,
        };
        reserve.resize(bounds);
        reserve
    }

    /// Makes it as large as the bounds ask for, soon.
    fn resize(&mut self, bounds: &DlqBounds) {
        let dir = self.path.parent().unwrap_or(&self.path);
        let of_disk = (self.disk.room)(dir).map_or(u64::MAX, |room| room.whole / DISK_PART);
        self.bytes = (bounds.max_bytes / PART).min(of_disk).max(MIN_BYTES);
        if !self.visits && !is_there(&self.path, self.bytes) {
            self.try_at = Some(Instant::now());
        }
    }

    /// How much it holds, or is to hold.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the disk has room for so much, in the log and in the file. A disk that does not say
    /// what it has, and one whose reserve is enough for that, is not asked.
    pub(super) fn has_room_for(&mut self, bytes: u64) -> bool {
        if bytes == 0 || bytes <= self.bytes / 4 && !self.stopping || self.visits {
            return true;
        }
        // At the end there is no reserve left for what settles then.
        let last = if self.stopping { LAST_BYTES } else { 0 };
        let wanted = bytes.saturating_mul(2).saturating_add(last);
        let dir = self.path.parent().unwrap_or(&self.path);
        let room = (self.disk.room)(dir).ok().filter(|room| room.whole > 0);
        let found = room.is_none_or(|room| room.free >= wanted);
        if !found {
            self.wanted = wanted;
        }
        found
    }

    /// Tries it again now where it is gone.
    pub(super) fn try_soon(&mut self) {
        self.try_at = self.try_at.map(|at| at.min(Instant::now()));
    }

    /// When it is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.try_at
    }

    /// Makes it where it is due and the disk has room for twice of it, and for what found none;
    /// whether it was made.
    fn make(&mut self, now: Instant) -> bool {
        if self.stopping || self.try_at.is_none_or(|at| at > now) {
            return false;
        }
        match self.try_to_make() {
            Ok(()) => {
                self.try_at = None;
                self.told = false;
                self.wanted = 0;
                true
            }
            Err(error) => {
                self.try_at = Some(Instant::now() + self.disk.try_every);
                if !std::mem::replace(&mut self.told, true) {
                    warn!(path = %self.path.display(), bytes = self.bytes, %error,
                        "no reserve for a full disk: free some space there");
                }
                false
            }
        }
    }

    fn try_to_make(&self) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(&self.path);
        let room = self.bytes.saturating_add(self.bytes.max(self.wanted));
        if (self.disk.room)(dir)?.free < room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = write_zeros(&self.path, self.bytes);
        if made.is_err() {
            // Half of it is worth less than the room that it takes.
            let _ = fs::remove_file(&self.path);
        }
        made
    }

    /// Deletes it; whether it was there.
    fn give_up(&mut self) -> bool {
        if !self.visits {
            self.try_at = Some(Instant::now() + self.disk.try_every);
        }
        give_up(&self.path)
    }
}

/// Deletes the reserve of a data directory, so that its store can be opened on a full disk;
/// whether it was there.
pub(super) fn give_up_in(data_dir: &Path) -> bool {
    give_up(&data_dir.join(FILE_NAME))
}

fn give_up(path: &Path) -> bool {
    let gone = fs::remove_file(path).is_ok();
    if gone {
        warn!(path = %path.display(), "the disk is full: the reserve is given up");
    }
    gone
}

/// Whether a file of so many bytes is there with all its blocks.
fn is_there(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == bytes && found.blocks() * 512 >= bytes)
}

fn write_zeros(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let block = vec![0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let here = left.min(block.len() as u64);
        file.write_all(&block[..here as usize])?;
        left -= here;
    }
    file.sync_all()
}

impl Store {
    /// Says that the program stops: what is added from now on may use the reserve, for what can't
    /// be stored any more is lost.
    pub fn stopping(&self) {
        // After closing there is nothing to add.
        let _ = self.send(Message::Change(Change::Stopping));
    }

    /// Whether the disk is full, or was a short while ago: what is taken in now may find no room.
    pub fn is_short(&self) -> bool {
        let full_at = *self.0.shared.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_full() || full_at.is_some_and(|at| at.elapsed() < SHORT_FOR)
    }

    /// Whether the disk is full, so that nothing is added.
    pub fn is_full(&self) -> bool {
        self.0.shared.full.load(Ordering::Acquire)
    }
}

impl Shared {
    fn note_full(&self) {
        *self.full_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Writer {
    /// Makes the reserve where it is due; with it, adding goes on.
    pub(super) fn look_after_reserve(&mut self) {
        if self.reserve.make(Instant::now()) && self.state.disk_full {
            self.state.disk_full = false;
            self.shared.full.store(false, Ordering::Release);
            self.shared.note_full();
            info!("the disk has room again: the store takes in again");
            (self.observer)(StoreFact::Room { full: false });
        }
    }

    /// The disk is full: gives up the reserve and empties the log. Whether that has changed
    /// anything, so that a commit is worth another try.
    pub(super) fn make_do(&mut self) -> bool {
        let gave = self.reserve.give_up();
        let first = !std::mem::replace(&mut self.state.disk_full, true);
        if first {
            self.shared.full.store(true, Ordering::Release);
            self.shared.note_full();
            (self.observer)(StoreFact::Room { full: true });
        }
        // With what the reserve gave it fits into the file. What still finds no room there is
        // tried again with the next commit that fails.
        let _ = database::cut_log(&self.conn);
        gave || first
    }

    /// Refuses what adds while the disk is full; when the program stops, only where there is no
    /// room for it. Gives back the others.
    pub(super) fn refuse_adding(&mut self, writes: Vec<Box<dyn Write>>) -> Vec<Box<dyn Write>> {
        let last = self.reserve.stopping && self.reserve.has_room_for(log::added(&writes));
        if !self.state.disk_full || last {
            return writes;
        }
        let (freeing, adding): (Vec<_>, Vec<_>) =
            writes.into_iter().partition(|write| write.kind() == Kind::Frees);
        adding.into_iter().for_each(|write| write.answer(Err(StoreError::Full)));
        freeing
    }

    /// Works otherwise from now on.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Bounds(bounds) => {
                self.reserve.resize(&bounds);
                self.bound_log();
                self.shared.forget_without_room();
                self.state.bound.change(bounds);
            }
            Change::EmitDlqEvents(emit) => self.state.emit_dlq_events = emit,
            Change::Stopping => {
                self.reserve.stopping = true;
                self.state.bound.stopping = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
