//! Making, opening and refusing the store's file.

use super::super::testing::{Bench, START_MS};
use super::super::{Reader, Store};
use super::*;
use std::os::unix::fs::PermissionsExt;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn sqlite_is_one_that_keeps_its_log_whole() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test]
async fn a_fresh_store_is_private_and_set_up() {
    let bench = Bench::new();
    let data_dir = bench.path().join("a/b");
    let store = Store::open(&data_dir, bench.options()).unwrap();
    assert_eq!(mode(&data_dir), 0o700);
    for name in ["postrider.db", "postrider.db-wal"] {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
    store.close().await.unwrap();
    let conn = Connection::open(path(&data_dir)).unwrap();
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("auto_vacuum"), 2, "incremental");
    assert_eq!(pragma("user_version"), VERSION);
    let wal: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(wal, "wal");
}

#[tokio::test]
async fn a_store_keeps_its_id() {
    let bench = Bench::new();
    let store = bench.open();
    let uid = store.uid();
    store.close().await.unwrap();
    assert_eq!(bench.open().uid(), uid);
    assert_ne!(Bench::new().open().uid(), uid);
}

#[tokio::test]
async fn a_newer_store_is_refused_untouched() {
    let bench = Bench::new();
    bench.open().close().await.unwrap();
    bench.sql().pragma_update(None, "user_version", VERSION + 1).unwrap();
    let before = std::fs::read(path(bench.path())).unwrap();
    for error in [bench.try_open().err(), Reader::open(bench.path()).err()] {
        let error = error.unwrap();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == VERSION + 1));
        assert!(error.to_string().contains("run the newer postrider"), "{error}");
    }
    assert_eq!(std::fs::read(path(bench.path())).unwrap(), before);
}

/// The head of a journal: so many pages stood in the file before.
fn journal(pages: u32) -> Vec<u8> {
    let mut head = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    for number in [0, 1, pages, 512, PAGE_BYTES as u32] {
        head.extend(u32::to_be_bytes(number));
    }
    head.resize(512, 0);
    head
}

#[tokio::test]
async fn a_store_whose_making_was_cut_short_is_made_again() {
    let bench = Bench::new();
    bench.sql().execute_batch("CREATE TABLE half_made (x)").unwrap();
    let journal_path = beside(&path(bench.path()), "-journal");
    std::fs::write(&journal_path, journal(0)).unwrap();
    let found = Reader::open(bench.path());
    assert!(matches!(found, Err(StoreError::Older { found: 0, .. })), "{found:?}");
    std::fs::write(&journal_path, journal(0)).unwrap();
    let store = bench.open();
    assert!(!journal_path.exists());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_that_tells_nothing_changes_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let uid = store.uid();
    store.close().await.unwrap();
    for nothing in [journal(0)[..20].to_vec(), b"some text".repeat(99), Vec::new()] {
        std::fs::write(beside(&path(bench.path()), "-journal"), nothing).unwrap();
        Reader::open(bench.path()).unwrap();
        let store = bench.open();
        assert_eq!(store.uid(), uid);
        store.close().await.unwrap();
    }
}

#[test]
fn what_is_not_a_store_is_refused_untouched() {
    let bench = Bench::new();
    bench.sql().execute_batch("CREATE TABLE notes (text)").unwrap();
    let before = std::fs::read(path(bench.path())).unwrap();
    assert!(matches!(bench.try_open(), Err(StoreError::Foreign(_))));
    assert_eq!(std::fs::read(path(bench.path())).unwrap(), before);
    std::fs::write(path(bench.path()), "some text that is no database at all".repeat(99)).unwrap();
    assert!(matches!(bench.try_open(), Err(StoreError::Foreign(_))));
}

#[test]
fn only_open_makes_a_store() {
    let bench = Bench::new();
    let missing = |bench: &Bench| {
        let opened = Store::open_existing(bench.path(), bench.options());
        assert!(matches!(opened, Err(StoreError::Missing(_))), "{opened:?}");
    };
    missing(&bench);
    assert!(matches!(Reader::open(bench.path()), Err(StoreError::Missing(_))));
    assert_eq!(std::fs::read_dir(bench.path()).unwrap().count(), 0);
    // What a crash between making the file and its tables leaves.
    std::fs::write(path(bench.path()), "").unwrap();
    missing(&bench);
    assert!(matches!(Reader::open(bench.path()), Err(StoreError::Older { found: 0, .. })));
    bench.open();
}

#[test]
fn a_failed_migration_leaves_nothing_behind() {
    let mut conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE outbox (x)").unwrap();
    assert!(migrate(&mut conn, 0, START_MS).is_err());
    let tables: i64 =
        conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}
