//! A damaged store: setting its file aside, and putting a fresh one in its place that has all that
//! can be read of it. Reading row by row around damage lives in `copy`, reading what no tree leads to
//! any more in `raw`: page by page (`pages`, `map`, `btree`) and event by event (`chunks`).
//!
//! The fresh file is made whole under another name, and renamed last: a crash on the way leaves
//! either the damaged store, which is salvaged again, or one without a name, which gets it.

mod btree;
mod chunks;
mod copy;
mod map;
mod pages;
mod raw;
#[cfg(test)]
mod spoilt;
mod tables;
#[cfg(test)]
mod tests;

use super::{StoreError, check, database, reserve};
use copy::{Copied, copy};
use rusqlite::Connection;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use tracing::{error, info};

/// What SQLite keeps beside a file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The fresh store while it is made.
const FRESH: &str = ".new";

/// A copy of the damaged store with a first page that is whole.
const PATCHED: &str = ".patched";

/// What was saved of a damaged store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// Where the damaged file is now.
    pub aside: PathBuf,
    /// How it is damaged.
    pub damage: String,
    /// Rows that went into the fresh store.
    pub rows: u64,
    /// About how many rows could not be read; of queues, events.
    pub lost: u64,
    /// Of these, events of queues; `None` where nothing says how many there were.
    pub events: Option<u64>,
    /// Of these, dead letters; `None` where nothing says how many there were.
    pub letters: Option<u64>,
    /// Stretches that could not be read. Where it is 0 nothing is lost.
    pub gaps: u64,
}

impl Salvage {
    /// What was lost, for people; `None` where nothing was.
    pub fn warning(&self) -> Option<String> {
        let lost = match (self.events, self.letters) {
            _ if self.gaps == 0 => return None,
            (Some(events), Some(letters)) if self.lost > events + letters => format!(
                "{events} queued events, {letters} dead letters and about {} rows of other records",
                self.lost - events - letters
            ),
            (Some(0), Some(0)) => return None,
            (Some(events), Some(letters)) => {
                format!("{events} queued events and {letters} dead letters")
            }
            (Some(events), None) => {
                format!("{events} queued events and an unknown number of dead letters")
            }
            (None, Some(letters)) => {
                format!("an unknown number of queued events and {letters} dead letters")
            }
            (None, None) => "an unknown number of queued events and dead letters".to_owned(),
        };
        let aside = self.aside.display();
        Some(format!(
            "{lost} of a damaged store could not be read and are lost; it is kept as {aside}"
        ))
    }
}

/// A store that is open, and what was loaded from it.
pub(super) struct Opened<T> {
    pub(super) conn: Connection,
    pub(super) loaded: T,
    pub(super) salvage: Option<Salvage>,
}

/// Opens the store for its writer and loads what it needs; salvages it where it is damaged and
/// this is not just a visit.
pub(super) fn open<T>(
    data_dir: &Path,
    create: bool,
    now: i64,
    load: impl Fn(&Connection) -> Result<T, StoreError>,
) -> Result<Opened<T>, StoreError> {
    let path = database::path(data_dir);
    let open = || {
        with_room(data_dir, || {
            let conn = database::open(data_dir, create, now)?;
            let loaded = load(&conn)?;
            Ok(Opened { conn, loaded, salvage: None })
        })
    };
    if !create {
        return open();
    }
    let failed = |error: io::Error| StoreError::path(&path, &error);
    finish_earlier(&path, now).map_err(failed)?;
    let damage = match fs::read_to_string(check::marker(&path)) {
        // It may be newer than this program, or no longer there: that is said as ever.
        Ok(damage) if is_known(data_dir) => damage,
        _ => match open() {
            Err(StoreError::Corrupt(damage)) => damage,
            opened => {
                if opened.is_ok() {
                    // It told of a file that was replaced.
                    let _ = fs::remove_file(check::marker(&path));
                }
                return opened;
            }
        },
    };
    error!(path = %path.display(), %damage, "the store is damaged: saving what can be read of it");
    let copied = with_room(data_dir, || make_fresh(&path, now))?;
    let aside = set_aside(&path, now).map_err(failed)?;
    let Copied { rows, lost, events, letters, gaps } = copied;
    let salvage = Salvage { aside, damage, rows, lost, events, letters, gaps };
    let lost = salvage.warning().unwrap_or_else(|| "nothing was lost".to_owned());
    error!(
        store = %path.display(), aside = %salvage.aside.display(), rows, gaps, lost,
        "the damaged store was set aside; what could be read of it is in a fresh one"
    );
    let salvage = Some(salvage);
    open().map(|opened| Opened { salvage, ..opened })
}

/// Whether there is a store of a version that this program knows.
fn is_known(data_dir: &Path) -> bool {
    matches!(database::open_to_read(data_dir), Ok(_) | Err(StoreError::Older { found: 1.., .. }))
}

/// Does something once more without the reserve where the disk is full.
fn with_room<T>(
    data_dir: &Path,
    work: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match work() {
        Err(StoreError::Full) if reserve::give_up_in(data_dir) => work(),
        done => done,
    }
}

/// Makes a fresh store beside the damaged one, with all that can be read of that.
fn make_fresh(path: &Path, now: i64) -> Result<Copied, StoreError> {
    let fresh_path = database::beside(path, FRESH);
    let patched_path = database::beside(path, PATCHED);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::path(&fresh_path, &error),
    };
    remove_all(&fresh_path).map_err(failed)?;
    let done = (|| {
        let old = database::look(path)?;
        let (old, from) = match copy::is_readable(&old)? {
            true => (old, path),
            false => {
                drop(old);
                lend_first_page(path, &patched_path, now).map_err(failed)?;
                (database::look(&patched_path)?, &*patched_path)
            }
        };
        let version = database::known_version(&old);
        let mut fresh = database::make_plain(&fresh_path, version, now)?;
        let copied = copy(from, &old, &fresh, now)?;
        database::migrate(&mut fresh, version, now)?;
        fresh.close().map_err(|(_, error)| StoreError::from(error))?;
        File::open(&fresh_path).and_then(|file| file.sync_all()).map_err(failed)?;
        Ok(copied)
    })();
    let _ = remove_all(&patched_path);
    if done.is_err() {
        let _ = remove_all(&fresh_path);
    }
    done
}

/// Makes a copy of a store whose first page can't be read, with that of a fresh one: in it stand
/// the places of the tables, which are the same in every store.
fn lend_first_page(path: &Path, patched: &Path, now: i64) -> io::Result<()> {
    remove_all(patched)?;
    let lent = database::make_plain(patched, database::VERSION, now).map_err(io::Error::other)?;
    lent.close().map_err(|(_, error)| io::Error::other(error))?;
    let lent = fs::read(patched)?;
    let mut page = lent.get(..database::PAGE_BYTES).unwrap_or_default().to_vec();
    fs::copy(path, patched)?;
    let log = database::beside(path, BESIDE[0]);
    if log.exists() {
        fs::copy(log, database::beside(patched, BESIDE[0]))?;
        page.get_mut(18..20).into_iter().for_each(|forms| forms.fill(2));
    }
    let pages = (fs::metadata(path)?.len() / database::PAGE_BYTES as u64) as u32;
    let mut put = |at: usize, number: u32| {
        let place = page.get_mut(at..at + 4);
        place.into_iter().for_each(|place| place.copy_from_slice(&number.to_be_bytes()));
    };
    // The change counter and the one for which the size holds, the size, and no free pages.
    for (at, number) in [(24, 1), (92, 1), (28, pages), (32, 0), (36, 0)] {
        put(at, number);
    }
    let file = fs::OpenOptions::new().write(true).open(patched)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &page, 0)
}

/// Renames the damaged store, and the fresh one to its name. Returns where the damaged one is.
fn set_aside(path: &Path, now: i64) -> io::Result<PathBuf> {
    let aside = database::beside(path, &format!(".corrupt-{now}"));
    fs::rename(path, &aside)?;
    sync_dir(path)?;
    name_fresh(path, &aside)?;
    let marker = check::marker(path);
    if marker.exists() {
        fs::remove_file(marker)?;
    }
    Ok(aside)
}

/// Gives the fresh store its name. A log of the damaged one must be gone by then: it would be
/// copied into the fresh one.
fn name_fresh(path: &Path, aside: &Path) -> io::Result<()> {
    for ending in BESIDE {
        let from = database::beside(path, ending);
        if from.exists() {
            fs::rename(from, database::beside(aside, ending))?;
        }
    }
    sync_dir(path)?;
    fs::rename(database::beside(path, FRESH), path)?;
    sync_dir(path)
}

/// Finishes what a crash left: the fresh store is whole where the damaged one was set aside.
fn finish_earlier(path: &Path, now: i64) -> io::Result<()> {
    let fresh = database::beside(path, FRESH);
    if !fresh.exists() {
        return Ok(());
    }
    if path.exists() {
        return remove_all(&fresh);
    }
    info!(path = %path.display(), "a salvage that was cut short is finished");
    name_fresh(path, &database::beside(path, &format!(".corrupt-{now}")))?;
    let _ = fs::remove_file(check::marker(path));
    Ok(())
}

fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Removes a database and what SQLite keeps beside it.
fn remove_all(path: &Path) -> io::Result<()> {
    for ending in ["", BESIDE[0], BESIDE[1], "-journal"] {
        match fs::remove_file(database::beside(path, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
