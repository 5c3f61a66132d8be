//! The store's file: making and opening it, its settings, its version and its migrations. What
//! stands in its tables is the business of the modules beside this one.

#[cfg(test)]
mod tests;

use super::StoreError;
use crate::event::StreamId;
use crate::folder;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the store's file in the data directory.
pub const FILE_NAME: &str = "postrider.db";

/// `dlq/*.sql` in order; the n-th (from 1) brings a store to version n.
const MIGRATIONS: &[&str] =
    &[include_str!("../../dlq/0001_store.sql"), include_str!("../../dlq/0002_overflow.sql")];

/// The version that this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version that brought totals of queues, which count what older ones left.
const QUEUE_TOTALS: usize = 2;

/// What SQLite's `application_id` says of a store: "pstr".
const APPLICATION_ID: i64 = 0x7073_7472;

/// What a page of the file holds: SQLite's own choice, said so that it stays.
pub(super) const PAGE_BYTES: usize = 4096;

/// How long a program that looks into the store (`sqlite3`, a backup) may hold it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut to this many bytes after it was copied back.
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// The writer's page cache: the largest commit fits, and so does a queue's page on its way from
/// being written to being read and settled. SQLite takes a negative number as KiB.
const CACHE_KIB: i64 = -16 * 1024;

/// Pages that one step gives back to the disk, 2 MB.
const VACUUM_PAGES: i64 = 512;

/// Prepared statements kept by a connection; there are about sixty.
const STATEMENTS: usize = 96;

/// Where the store of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The file whose name is that of the store's with something added.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Makes the data directory for this user alone, in a way that outlives a loss of power; one that
/// exists is left as it is.
pub(super) fn create_dir(data_dir: &Path) -> std::io::Result<()> {
    let holders = if data_dir.is_dir() { Vec::new() } else { folder::holders(data_dir) };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    holders.iter().rev().try_for_each(|folder| folder::sync(folder))
}

/// Opens the store for its writer, making and migrating it.
pub(super) fn open(data_dir: &Path, create: bool, now: i64) -> Result<Connection, StoreError> {
    let path = path(data_dir);
    if create {
        create_dir(data_dir).map_err(|error| StoreError::path(data_dir, &error))?;
        let mut file = OpenOptions::new();
        // The log files beside it take their mode from it.
        file.write(true).create(true).truncate(false).mode(0o600);
        file.open(&path).map_err(|error| StoreError::path(&path, &error))?;
    }
    // Settings write to the file, so a store that must stay untouched is looked at first.
    let version = version(&look(&path)?, &path)?;
    if version == 0 && !create {
        return Err(StoreError::Missing(path));
    }
    let mut conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Before the first page is written: it can't be changed later.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    // The writer copies the log back itself: it must know when that finds no room.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(&mut conn, version, now)?;
    Ok(conn)
}

/// Opens the store to look at it beside its writer.
pub(super) fn open_to_read(data_dir: &Path) -> Result<Connection, StoreError> {
    let path = path(data_dir);
    let conn = look(&path)?;
    let found = version(&conn, &path)?;
    if found < VERSION {
        return Err(StoreError::Older { path, found, known: VERSION });
    }
    Ok(conn)
}

/// Opens the store to look at it.
pub(super) fn look(path: &Path) -> Result<Connection, StoreError> {
    match path.try_exists() {
        Ok(true) => {
            roll_back(path);
            connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        }
        Ok(false) => Err(StoreError::Missing(path.to_owned())),
        Err(error) => Err(StoreError::path(path, &error)),
    }
}

/// Undoes what a crash cut short: until a store has its write-ahead log, as while it is made, SQLite
/// keeps a journal beside it, and whoever only reads cannot write that back.
fn roll_back(path: &Path) {
    if !beside(path, "-journal").exists() {
        return;
    }
    let read = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|conn| {
        Ok(conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?)
    });
    // What keeps it from being read is told by who reads it.
    drop(read);
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let opened = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let conn = opened.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Path { path: path.to_owned(), error: error.to_string() }
        }
        _ => error.into(),
    })?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// The version of a store; 0 for an empty file.
fn version(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || -> Result<(i64, i64, i64), StoreError> {
        let tables = "SELECT COUNT(*) FROM sqlite_schema";
        let tables = conn.query_row(tables, [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    let (application, found, tables) = match read() {
        Err(StoreError::Corrupt(_)) if !is_ours(path) => {
            return Err(StoreError::Foreign(path.to_owned()));
        }
        read => read?,
    };
    if application != APPLICATION_ID && (found != 0 || tables != 0) {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    if found > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(found)
}

/// Whether a file that can't be read was a store: it says so itself, or where its first page is
/// gone, what stands beside it does. The lock says nothing: it is made before the store is opened.
fn is_ours(path: &Path) -> bool {
    let mut head = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head.starts_with(b"SQLite format 3\0") {
        return head[68..72] == (APPLICATION_ID as u32).to_be_bytes();
    }
    let reserve = path.with_file_name(super::reserve::FILE_NAME);
    let marks = ["-wal", "-shm", ".damaged"].map(|ending| beside(path, ending));
    marks.into_iter().chain([reserve]).any(|mark| mark.exists())
}

/// The version of a damaged store, as far as this program knows it.
pub(super) fn known_version(conn: &Connection) -> i64 {
    let found = conn.pragma_query_value(None, "user_version", |row| row.get(0));
    found.ok().filter(|found| (1..=VERSION).contains(found)).unwrap_or(VERSION)
}

/// Makes an empty store of that version in a file of its own. It is written without a journal, so
/// that a crash leaves nothing of use.
pub(super) fn make_plain(path: &Path, version: i64, now: i64) -> Result<Connection, StoreError> {
    let mut file = OpenOptions::new();
    file.write(true).create_new(true).mode(0o600);
    file.open(path).map_err(|error| StoreError::path(path, &error))?;
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "OFF")?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    migrate_to(version, &mut conn, 0, now)?;
    Ok(conn)
}

/// Brings a store to this program's version in one transaction.
pub(super) fn migrate(conn: &mut Connection, from: i64, now: i64) -> Result<(), StoreError> {
    migrate_to(VERSION, conn, from, now)
}

fn migrate_to(to: i64, conn: &mut Connection, from: i64, now: i64) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let count = |version: i64| usize::try_from(version).unwrap_or_default();
    for (before, migration) in MIGRATIONS.iter().enumerate().take(count(to)).skip(count(from)) {
        transaction.execute_batch(migration)?;
        if before + 1 == QUEUE_TOTALS {
            super::queue::recount(&transaction)?;
        }
    }
    if from == 0 {
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('uid', ?1)",
            [StreamId::random().as_bytes()],
        )?;
        for name in ["dead_letters", "outbox", "queue"] {
            transaction.execute(
                "INSERT INTO counters (name, value) VALUES (?1, ?2)",
                params![name, now],
            )?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()?;
    Ok(())
}

/// How many pages of the file are free.
fn free_pages(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.pragma_query_value(None, "freelist_count", |row| row.get(0))?)
}

/// How many pages the log holds that are not copied back.
pub(super) fn log_pages(conn: &Connection) -> Result<u64, StoreError> {
    let (all, copied) = conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    Ok(all.saturating_sub(copied).max(0).unsigned_abs())
}

/// Copies back what of the log no reader holds; its room is written anew from then on.
pub(super) fn copy_back(conn: &Connection) -> Result<(), StoreError> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}

/// Says how long the log stays after it was copied back.
pub(super) fn bound_log(conn: &Connection, bytes: u64) -> Result<(), StoreError> {
    let bytes = i64::try_from(bytes).unwrap_or(LOG_BYTES).min(LOG_BYTES);
    Ok(conn.pragma_update(None, "journal_size_limit", bytes)?)
}

/// How long the log is, in bytes.
fn log_bytes(conn: &Connection) -> u64 {
    let log = conn.path().map(|path| format!("{path}-wal"));
    log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len())
}

/// Copies the log back and cuts it to nothing, without waiting for those who still read it.
pub(super) fn cut_log(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(Duration::ZERO)?;
    let cut = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    conn.busy_timeout(BUSY_TIMEOUT)?;
    match cut? {
        false => Ok(()),
        true => Err(StoreError::Busy("the log is being read".to_owned())),
    }
}

/// Gives some free pages back to the disk and shortens the log; whether there is more to do.
pub(super) fn give_back(conn: &Connection) -> Result<bool, StoreError> {
    if free_pages(conn)? == 0 {
        if log_bytes(conn) > LOG_BYTES.unsigned_abs() / 2 {
            cut_log(conn)?;
        }
        return Ok(false);
    }
    match vacuum_step(conn, VACUUM_PAGES) {
        Err(StoreError::Full) => {
            // What is moved goes into the log first, and that had no room for all of it.
            cut_log(conn)?;
            let more = vacuum_step(conn, VACUUM_PAGES / 16)?;
            cut_log(conn)?;
            Ok(more)
        }
        Ok(false) => cut_log(conn).map(|()| false),
        done => done,
    }
}

/// Cuts at most so many free pages off the file; whether there are more.
fn vacuum_step(conn: &Connection, pages: i64) -> Result<bool, StoreError> {
    let before = free_pages(conn)?;
    // It frees a page a row, so all rows must be asked for.
    let mut vacuum = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    let after = free_pages(conn)?;
    Ok(after > 0 && after < before)
}

/// The store's random id.
pub(super) fn uid(conn: &Connection) -> Result<StreamId, StoreError> {
    conn.query_row("SELECT value FROM meta WHERE key = 'uid'", [], |row| row.get::<_, [u8; 16]>(0))
        .optional()?
        .map(StreamId::from_bytes)
        .ok_or_else(|| StoreError::Corrupt("it has lost its id".to_owned()))
}
