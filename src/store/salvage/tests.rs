//! Damaged stores: what is set aside, what is saved of them, and what is left alone.

use super::super::testing::{self, Bench, START_MS};
use super::super::{FileState, Kept, NewFile, Reader, Replaces, Restored, Store, StoreError};
use super::*;
use crate::ack::Settled;
use crate::delivery::DeliveryId;
use crate::event::StreamId;
use std::os::unix::fs::FileExt;

const LETTERS: u64 = 400;

/// A store with some of everything, closed.
async fn full() -> (Bench, StreamId, Vec<i64>) {
    let bench = Bench::new();
    let store = bench.open();
    let mut letters = Vec::new();
    for n in 0..LETTERS {
        let export = if n % 2 == 0 { "alerts" } else { "chat" };
        letters.push(testing::letter(export, n));
    }
    letters.push(testing::malformed("app", 1));
    let buried = letters.into_iter().map(|letter| store.bury(letter, Replaces::Nothing, None));
    let buried = futures::future::try_join_all(buried).await.unwrap();
    let ids = buried.into_iter().map(|buried| buried.id).collect();
    for n in 0..40 {
        for export in ["alerts", "chat"] {
            store.keep(export, vec![kept(export, n)]).await.unwrap();
        }
    }
    let state = FileState {
        path: "/var/log/a".into(),
        device: 1,
        inode: 2,
        head_len: 0,
        head_hash: [0; 32],
        settled: Settled { watermark: 77, ranges: vec![(80, 90)] },
        size: 100,
        done: false,
    };
    store.add_files("app", vec![NewFile { uid: StreamId::random(), state }]).await.unwrap();
    let uid = store.uid();
    store.close().await.unwrap();
    (bench, uid, ids)
}

fn kept(export: &str, n: u64) -> Kept {
    let id = DeliveryId::new(export, &testing::kept(n).event.origin.position);
    // Some of them wait for a retry.
    let due = (n % 4 == 3).then(|| testing::time(START_MS + n as i64));
    Kept { id, due, ..testing::kept(n) }
}

async fn queued(store: &Store, export: &str) -> Vec<u64> {
    let offset = |kept: &Restored| kept.delivery.event.origin.position.offset;
    let mut offsets: Vec<_> = testing::queued(store, export).await.iter().map(offset).collect();
    offsets.sort_unstable();
    offsets
}

/// The pages of a table or index, from its root on down; those with `type` only.
fn pages(bench: &Bench, name: &str, kinds: &[u8]) -> Vec<u64> {
    let data = fs::read(database::path(bench.path())).unwrap();
    let root = bench
        .sql()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| {
            row.get::<_, u32>(0)
        })
        .unwrap();
    let (mut open, mut found) = (vec![root], Vec::new());
    while let Some(page) = open.pop() {
        let start = (page as usize - 1) * database::PAGE_BYTES;
        let bytes = &data[start..start + database::PAGE_BYTES];
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        if kinds.contains(&bytes[0]) {
            found.push(u64::from(page));
        }
        if [2, 5].contains(&bytes[0]) {
            let cells = usize::from(bytes[3]) << 8 | usize::from(bytes[4]);
            open.push(number(8));
            for cell in (0..cells).rev() {
                let at = 12 + 2 * cell;
                open.push(number(usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])));
            }
        }
    }
    found
}

fn spoil(bench: &Bench, page: u64) {
    let file = fs::OpenOptions::new().write(true).open(database::path(bench.path())).unwrap();
    file.write_all_at(&[0xa5; 4096], (page - 1) * 4096).unwrap();
}

/// Marks the store as a check would, which makes the next start salvage it.
fn mark(bench: &Bench) {
    fs::write(check::marker(&database::path(bench.path())), "a page is gone").unwrap();
}

fn all_letters(bench: &Bench) -> Vec<i64> {
    let reader = Reader::open(bench.path()).unwrap();
    let page = reader.letters(&Default::default(), super::super::Order::OldestFirst, None, 10_000);
    page.unwrap().items.iter().map(|letter| letter.id).collect()
}

fn is_whole(bench: &Bench) {
    assert_eq!(check::check(&bench.sql()).unwrap(), None);
}

#[tokio::test]
async fn a_store_that_is_marked_and_whole_loses_nothing() {
    let (bench, uid, ids) = full().await;
    mark(&bench);
    let store = bench.open();
    let salvage = store.salvage().unwrap().clone();
    assert_eq!((salvage.lost, salvage.gaps), (0, 0), "{salvage:?}");
    assert_eq!(salvage.damage, "a page is gone");
    assert!(salvage.aside.ends_with(format!("postrider.db.corrupt-{START_MS}")), "{salvage:?}");
    assert!(salvage.aside.exists());
    assert_eq!(store.uid(), uid);
    assert_eq!(all_letters(&bench), ids);
    assert_eq!(store.total("alerts").letters, LETTERS as i64 / 2);
    assert_eq!(store.total("").letters, 1);
    for export in ["alerts", "chat"] {
        assert_eq!(queued(&store, export).await, (0..40).collect::<Vec<_>>());
    }
    let files = store.files("app").await.unwrap();
    assert!(files.started_at.is_some());
    assert_eq!(files.files[0].state.settled.watermark, 77);
    let next =
        store.bury(testing::letter("alerts", 9999), Replaces::Nothing, None).await.unwrap().id;
    assert!(next > *ids.last().unwrap(), "ids go on");
    store.close().await.unwrap();
    is_whole(&bench);
    assert!(bench.open().salvage().is_none(), "once");
}

#[tokio::test]
async fn rows_around_a_damaged_page_are_saved() {
    for place in 0..3 {
        let (bench, uid, ids) = full().await;
        let leaves = pages(&bench, "dead_letters", &[13]);
        assert!(leaves.len() > 10, "{leaves:?}");
        let page = [0, leaves.len() / 2, leaves.len() - 1][place];
        spoil(&bench, leaves[page]);
        mark(&bench);
        let store = bench.open();
        let salvage = store.salvage().unwrap().clone();
        let saved = all_letters(&bench);
        let lost = ids.len() - saved.len();
        assert!((1..40).contains(&lost), "{lost} of {}", ids.len());
        assert_eq!(salvage.lost, lost as u64, "as many as the totals say");
        assert_eq!(salvage.gaps, 1);
        assert_eq!(store.uid(), uid);
        assert_eq!(queued(&store, "chat").await.len(), 40);
        let counted = store.total("alerts").letters + store.total("chat").letters;
        assert_eq!(counted + store.total("").letters, saved.len() as i64);
        let next =
            store.bury(testing::letter("alerts", 9999), Replaces::Nothing, None).await.unwrap().id;
        assert!(next > *ids.last().unwrap(), "not even a lost one's id is used again");
        store.close().await.unwrap();
        is_whole(&bench);
    }
}

#[tokio::test]
async fn queue_rows_around_a_damaged_page_are_saved() {
    for place in 0..3 {
        let (bench, _, ids) = full().await;
        let leaves = pages(&bench, "queue", &[10]);
        assert!(leaves.len() > 2, "{leaves:?}");
        let page = [0, leaves.len() / 2, leaves.len() - 1][place];
        spoil(&bench, leaves[page]);
        mark(&bench);
        let store = bench.open();
        let saved = queued(&store, "alerts").await.len() + queued(&store, "chat").await.len();
        assert!((80 - 40..80).contains(&saved), "{saved} of page {place}");
        assert!(store.salvage().unwrap().lost > 0);
        assert_eq!(all_letters(&bench), ids);
    }
}

#[tokio::test]
async fn a_damaged_index_costs_no_row() {
    let (bench, _, ids) = full().await;
    for page in pages(&bench, "dead_letters_by_export", &[2, 10]) {
        spoil(&bench, page);
    }
    mark(&bench);
    let store = bench.open();
    let salvage = store.salvage().unwrap().clone();
    assert_eq!((salvage.lost, salvage.gaps), (0, 0));
    assert_eq!(all_letters(&bench), ids);
}

#[tokio::test]
async fn a_store_without_its_first_page_is_saved_where_it_was_a_store() {
    let (bench, uid, ids) = full().await;
    spoil(&bench, 1);
    let store = bench.open();
    assert_eq!(store.uid(), uid);
    assert_eq!(all_letters(&bench), ids);
    assert_eq!(queued(&store, "alerts").await.len(), 40);
    store.close().await.unwrap();
    is_whole(&bench);
    let names: Vec<_> = fs::read_dir(bench.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new") || name.contains(".patched"))
        .collect();
    assert_eq!(names, Vec::<String>::new(), "nothing is left lying about");
}

#[tokio::test]
async fn what_loading_needs_and_cannot_read_is_salvaged_without_a_mark() {
    let (bench, _, ids) = full().await;
    for page in pages(&bench, "counters", &[10]) {
        spoil(&bench, page);
    }
    let existing = Store::open_existing(bench.path(), bench.options());
    assert!(matches!(existing, Err(StoreError::Corrupt(_))), "a visitor salvages nothing");
    let store = bench.open();
    assert!(store.salvage().is_some());
    let next =
        store.bury(testing::letter("alerts", 9999), Replaces::Nothing, None).await.unwrap().id;
    assert!(next > *ids.last().unwrap());
}

#[tokio::test]
async fn a_salvage_that_is_cut_short_is_finished_or_begun_again() {
    let (bench, uid, ids) = full().await;
    let path = database::path(bench.path());
    let fresh = database::beside(&path, FRESH);
    // Before the damaged one was set aside, the fresh one may be half made.
    fs::write(&fresh, "half").unwrap();
    let store = bench.open();
    assert_eq!(store.uid(), uid);
    assert!(!fresh.exists());
    store.close().await.unwrap();
    // After that it is whole, and a log of the damaged one must not get into it.
    fs::rename(&path, &fresh).unwrap();
    fs::write(database::beside(&path, "-wal"), "the damaged one's").unwrap();
    let store = bench.open();
    assert_eq!(store.uid(), uid);
    assert_eq!(all_letters(&bench), ids);
}

#[tokio::test]
async fn a_failing_disk_is_not_damage() {
    let (bench, ..) = full().await;
    let path = database::path(bench.path());
    // Reading a folder is an error of the system, not of what it holds.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = bench.try_open().err().unwrap();
    assert!(matches!(error, StoreError::Disk(_) | StoreError::Path { .. }), "{error:?}");
    assert!(path.is_dir());
}

#[tokio::test]
async fn a_mark_beside_no_store_or_a_newer_one_changes_nothing() {
    let (bench, ..) = full().await;
    mark(&bench);
    bench.sql().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(bench.try_open(), Err(StoreError::Newer { found: 99, .. })));
    fs::remove_file(database::path(bench.path())).unwrap();
    for _ in 0..2 {
        let store = bench.open();
        assert!(store.salvage().is_none());
        store.close().await.unwrap();
    }
}
