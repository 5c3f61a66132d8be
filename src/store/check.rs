//! Whether the last stop was clean, and looking for damage after one that was not, beside the
//! writer. What is done about damage lives in `salvage`: at the next start, told by a marker file.

use super::message::Message;
use super::{Store, StoreError, StoreFact, database};
use rusqlite::{Connection, InterruptHandle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};
use tracing::{error, info};

/// How many findings are told.
const FINDINGS: usize = 5;

/// How often a check that is to end is told so.
const INTERRUPT_EVERY: Duration = Duration::from_millis(5);

/// Notes in the store that it is open; whether the last one to open it did not close it.
pub(super) fn note_open(conn: &Connection) -> Result<bool, StoreError> {
    let noted =
        conn.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('open', x'01')", [])?;
    Ok(noted == 0)
}

/// Notes that it is closed; where that fails, the next start looks for damage in vain.
pub(super) fn note_clean_stop(conn: &Connection) {
    let _ = conn.execute("DELETE FROM meta WHERE key = 'open'", []);
}

/// The file that says that the store is damaged.
pub(super) fn marker(path: &Path) -> PathBuf {
    database::beside(path, ".damaged")
}

/// Notes for the next start that the store is damaged.
pub(super) fn mark_damaged(conn: &Connection, damage: &str) {
    let Some(path) = conn.path().map(Path::new) else { return };
    let marker = marker(path);
    if let Err(error) = std::fs::write(&marker, damage) {
        error!(path = %marker.display(), %error, "the store is damaged, and that cannot be noted");
    }
}

/// Notes that the store of a data directory is damaged: the next [`super::Store::open`] saves what
/// can be read of it.
pub fn note_damage(data_dir: &Path, damage: &str) {
    let marker = marker(&super::path(data_dir));
    if let Err(error) = std::fs::write(&marker, damage) {
        error!(path = %marker.display(), %error, "the store is damaged, and that cannot be noted");
    }
}

/// A check at work.
pub(super) struct Check {
    stop: Arc<AtomicBool>,
    interrupt: InterruptHandle,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// What its thread has.
struct Running {
    conn: Connection,
    stop: Arc<AtomicBool>,
    tell: mpsc::Sender<Message>,
}

impl Check {
    fn start(path: &Path, tell: mpsc::Sender<Message>) -> Result<Check, StoreError> {
        let conn = database::look(path)?;
        let interrupt = conn.get_interrupt_handle();
        let stop = Arc::new(AtomicBool::new(false));
        let running = Running { conn, stop: Arc::clone(&stop), tell };
        let thread = std::thread::Builder::new()
            .name("store-check".to_owned())
            .spawn(move || running.run())
            .map_err(|error: io::Error| StoreError::Disk(error.to_string()))?;
        Ok(Check { stop, interrupt, thread })
    }

    /// Ends it, wherever it is.
    pub(super) fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        // An interrupt between two statements is lost, so one is not enough.
        while !self.thread.is_finished() {
            self.interrupt.interrupt();
            std::thread::sleep(INTERRUPT_EVERY);
        }
    }
}

impl Running {
    fn run(self) {
        let found = if self.stop.load(Ordering::SeqCst) { return } else { check(&self.conn) };
        if self.stop.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(Some(damage)) = &found {
            mark_damaged(&self.conn, damage);
        }
        // Who has closed the store asks no more.
        let _ = self.tell.send(Message::Between(Box::new(move |_, observer| match found {
            Ok(damage) => observer(StoreFact::Checked { damage }),
            Err(error) => observer(StoreFact::Failed { op: "check", error: &error }),
        })));
    }
}

/// What is damaged; nothing where all is well.
pub(super) fn check(conn: &Connection) -> Result<Option<String>, StoreError> {
    let findings = || -> rusqlite::Result<Vec<String>> {
        let mut statement = conn.prepare(&format!("PRAGMA quick_check({FINDINGS})"))?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match findings().map_err(StoreError::from) {
        Ok(findings) if findings == ["ok"] => Ok(None),
        Ok(findings) => Ok(Some(findings.join("; "))),
        Err(StoreError::Corrupt(damage)) => Ok(Some(damage)),
        Err(error) => Err(error),
    }
}

impl Store {
    /// Whether the last program that had the store open did not close it: it crashed, was killed,
    /// or the machine lost its power.
    pub fn stopped_uncleanly(&self) -> bool {
        self.0.unclean
    }

    /// Damage was met while the store is at work: it is noted for the next [`Store::open`], which
    /// saves what can be read, and the observer is told with [`StoreFact::Checked`]. Once: what is
    /// found later is part of it.
    pub fn found_damaged(&self, damage: String) {
        let marker = marker(&self.0.path);
        if self.0.damaged.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = std::fs::write(&marker, &damage) {
            error!(path = %marker.display(), %error, "the store is damaged, and that cannot be noted");
        }
        // Who has closed the store asks no more.
        let _ = self.0.messages.send(Message::Between(Box::new(move |_, observer| {
            observer(StoreFact::Checked { damage: Some(damage) });
        })));
    }

    /// Looks for damage after an unclean stop, in a thread of its own; nothing after a clean one,
    /// nor a second time. The observer is told with [`StoreFact::Checked`]. Damage is noted in
    /// `postrider.db.damaged`, and the next [`Store::open`] salvages what can be read. Closing the
    /// store ends the check. It reads all of the file, so it is to be started after the first
    /// delivery, not before.
    ///
    /// # Errors
    /// When the file can't be opened once more.
    pub fn start_check(&self) -> Result<(), StoreError> {
        let mut check = self.0.check.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.0.check_asked.swap(true, Ordering::SeqCst);
        if self.0.unclean && !asked {
            info!(path = %self.0.path.display(), "the last stop was not clean: looking for damage");
            *check = Some(Check::start(&self.0.path, self.0.messages.clone())?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::super::{Replaces, StoreOptions};
    use super::*;
    use std::os::unix::fs::FileExt;

    fn told(bench: &Bench) -> (StoreOptions, mpsc::Receiver<Option<String>>) {
        let (tell, told) = mpsc::channel();
        let observer = Box::new(move |fact: StoreFact<'_>| {
            if let StoreFact::Checked { damage } = fact {
                // A test that ended listens no more.
                let _ = tell.send(damage);
            }
        });
        (StoreOptions { observer, ..bench.options() }, told)
    }

    #[tokio::test]
    async fn only_an_unclean_stop_is_followed_by_a_check() {
        let bench = Bench::new();
        let store = bench.open();
        assert!(!store.stopped_uncleanly());
        let crashed = bench.crashed();
        let (options, told) = told(&crashed);
        let store_after = Store::open(crashed.path(), options).unwrap();
        assert!(store_after.stopped_uncleanly());
        store_after.start_check().unwrap();
        store_after.start_check().unwrap();
        assert_eq!(told.recv().unwrap(), None);
        store_after.close().await.unwrap();
        assert!(told.recv().is_err(), "one check, whatever asks for it");
        assert!(!crashed.open().stopped_uncleanly());
        store.close().await.unwrap();
        assert!(!bench.open().stopped_uncleanly());
    }

    #[tokio::test]
    async fn damage_is_told_and_noted() {
        let bench = Bench::new();
        let store = bench.open();
        for n in 0..200 {
            store.bury(testing::letter("alerts", n), Replaces::Nothing, None).await.unwrap();
        }
        store.between("read", database::cut_log).await.unwrap();
        let crashed = bench.crashed();
        let path = database::path(crashed.path());
        // The end of the index that no table's rows stand in.
        let root: u64 = crashed
            .number("SELECT rootpage FROM sqlite_schema WHERE name = 'dead_letters_by_export'")
            as u64;
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 2000], root * 4096 - 2000).unwrap();
        let (options, told) = told(&crashed);
        let store = Store::open(crashed.path(), options).unwrap();
        store.start_check().unwrap();
        let damage = told.recv().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(marker(&path)).unwrap(), damage);
    }

    #[tokio::test]
    async fn closing_ends_a_check() {
        let bench = Bench::new();
        let store = bench.open();
        store.bury(testing::letter("alerts", 1), Replaces::Nothing, None).await.unwrap();
        let crashed = bench.crashed();
        let store = crashed.open();
        store.start_check().unwrap();
        store.close().await.unwrap();
    }
}
