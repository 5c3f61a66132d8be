//! A full disk: what is refused, what goes on, and how it ends.

#![allow(clippy::disallowed_types, reason = "the writer is a thread without a runtime")]

use super::super::testing::{self, Bench};
use super::super::{LetterState, Replaces, ReplayScope, Selection};
use super::*;
use crate::store::FileState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SOON: Duration = Duration::from_millis(20);

/// A store on a disk whose free room is set by hand; what fills it is `max_page_count`.
fn open(bench: &Bench, room: &Arc<AtomicU64>) -> Store {
    let room = Arc::clone(room);
    let free = move || room.load(Ordering::SeqCst);
    let ask = move |_: &Path| Ok(Room { free: free(), whole: u64::MAX });
    let disk = Disk { room: Box::new(ask), try_every: SOON };
    Store::start(bench.path(), true, bench.options(), disk).unwrap()
}

fn plenty() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(u64::MAX))
}

/// Lets the file grow to so many pages; SQLite takes 1 as: no more than there are.
async fn pages(store: &Store, pages: i64) {
    let set = store.between("read", move |conn| {
        conn.pragma_update(None, "max_page_count", pages)?;
        Ok(())
    });
    set.await.unwrap();
}

const MANY: i64 = u32::MAX as i64 - 1;

fn large(n: u64) -> crate::delivery::DeadLetter {
    crate::delivery::DeadLetter { text: vec![b'x'; 100_000], ..testing::letter("alerts", n) }
}

async fn bury(store: &Store, letter: crate::delivery::DeadLetter) -> Result<i64, StoreError> {
    store.bury(letter, Replaces::Nothing, None).await.map(|buried| buried.id)
}

fn facts(bench: &Bench) -> Vec<String> {
    let facts = bench.facts.lock().unwrap();
    facts.iter().filter(|fact| fact.contains("Room")).cloned().collect()
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(SOON).await;
    }
}

#[tokio::test]
async fn the_reserve_is_made_of_real_blocks_and_as_large_as_the_bounds_ask_for() {
    let bench = Bench::new();
    let store = open(&bench, &plenty());
    let path = bench.path().join(FILE_NAME);
    until(|| is_there(&path, MIN_BYTES)).await;
    store.set_dlq_bounds(DlqBounds { max_bytes: 300_000_000, ..DlqBounds::default() });
    until(|| is_there(&path, 3_000_000)).await;
    store.close().await.unwrap();
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    let store = open(&bench, &plenty());
    until(|| is_there(&path, MIN_BYTES)).await;
    store.close().await.unwrap();
    let again = fs::metadata(&path).unwrap().modified().unwrap();
    assert_ne!(again, made);
    open(&bench, &plenty()).close().await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), again, "it is made once");
}

#[tokio::test]
async fn a_visitor_makes_none() {
    let bench = Bench::new();
    let path = bench.path().join(FILE_NAME);
    bench.open().close().await.unwrap();
    fs::remove_file(&path).unwrap();
    let store = Store::open_existing(bench.path(), bench.options()).unwrap();
    bury(&store, large(1)).await.unwrap();
    store.close().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn on_a_full_disk_adding_is_refused_and_settling_goes_on_until_there_is_room() {
    let bench = Bench::new();
    let room = plenty();
    let store = open(&bench, &room);
    let path = bench.path().join(FILE_NAME);
    until(|| is_there(&path, MIN_BYTES)).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(bury(&store, testing::letter("alerts", n)).await.unwrap());
    }
    let outbox = store.outbox_after(0, 9).await.unwrap().items;
    room.store(MIN_BYTES, Ordering::SeqCst);
    pages(&store, 1).await;
    // In one commit with what does not fit, what settles gets through.
    store.replayed(ids[0]);
    store.outbox_delete([outbox[0].id]);
    let scope = ReplayScope { exports: vec!["alerts".into()], orphans_to: None };
    let of = |n: usize| Selection { ids: vec![ids[n]], ..Selection::default() };
    let (one, two) = (of(1), of(2));
    let (full, marked, purged) = tokio::join!(
        bury(&store, large(9)),
        store.mark_replaying(&one, &scope),
        store.purge(&two),
    );
    assert_eq!(full, Err(StoreError::Full));
    assert_eq!((marked.unwrap().letters(), purged), (1, Ok(1)));
    assert!(!path.exists(), "the reserve is given up");
    // Even what would fit is refused: it would eat the room for settling.
    assert_eq!(bury(&store, testing::letter("alerts", 9)).await, Err(StoreError::Full));
    assert_eq!(store.add_files("app", vec![]).await, Err(StoreError::Full));
    assert_eq!(store.purge(&of(3)).await, Ok(1));
    let letters = crate::store::Reader::open(bench.path()).unwrap();
    let state = |id| letters.letter(id).unwrap().map(|letter| letter.state);
    assert_eq!(
        [0, 1, 2, 3].map(|n: usize| state(ids[n])),
        [Some(LetterState::Replayed), Some(LetterState::Replaying), None, None]
    );
    assert_eq!(store.outbox_after(0, 9).await.unwrap().items.len(), 3);
    assert_eq!(facts(&bench), ["Room { full: true }"], "a commit that frees does not end it");
    // Room for the reserve alone is not enough; for twice of it, it is.
    pages(&store, MANY).await;
    tokio::time::sleep(SOON * 5).await;
    assert!(!path.exists());
    room.store(2 * MIN_BYTES, Ordering::SeqCst);
    until(|| is_there(&path, MIN_BYTES)).await;
    until(|| facts(&bench).len() == 2).await;
    assert_eq!(facts(&bench)[1], "Room { full: false }");
    bury(&store, large(9)).await.unwrap();
    assert_eq!(store.total("alerts").letters, 2);
}

#[tokio::test]
async fn a_full_disk_is_told_once_and_named_again_when_it_was_not_over() {
    let bench = Bench::new();
    let store = open(&bench, &plenty());
    bury(&store, testing::letter("alerts", 1)).await.unwrap();
    pages(&store, 1).await;
    for n in 0..3 {
        assert_eq!(bury(&store, large(n)).await, Err(StoreError::Full));
        until(|| facts(&bench).len() == 2 * (n as usize + 1)).await;
    }
    let expected = ["Room { full: true }", "Room { full: false }"].repeat(3);
    assert_eq!(facts(&bench), expected, "the disk said that it had room");
    assert_eq!(bench.number("SELECT COUNT(*) FROM dead_letters"), 1, "nothing is half written");
}

#[tokio::test]
async fn a_program_that_stops_may_use_the_reserve_for_what_it_would_lose() {
    let bench = Bench::new();
    let room = plenty();
    let store = open(&bench, &room);
    room.store(0, Ordering::SeqCst);
    pages(&store, 1).await;
    assert_eq!(bury(&store, large(1)).await, Err(StoreError::Full));
    // As the room that the reserve gave would.
    pages(&store, MANY).await;
    room.store(MIN_BYTES, Ordering::SeqCst);
    assert_eq!(bury(&store, large(1)).await, Err(StoreError::Full));
    store.stopping();
    assert!(store.is_full() && store.is_short());
    let too_large =
        crate::delivery::DeadLetter { text: vec![b'x'; 500_000], ..testing::letter("alerts", 1) };
    assert_eq!(bury(&store, too_large).await, Err(StoreError::Full), "settling needs some of it");
    bury(&store, large(1)).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_large_is_not_begun_where_the_disk_has_no_room_for_it_twice() {
    let bench = Bench::new();
    let room = plenty();
    let store = open(&bench, &room);
    until(|| is_there(&bench.path().join(FILE_NAME), MIN_BYTES)).await;
    room.store(3 * MIN_BYTES, Ordering::SeqCst);
    let letters = |n| (0..n).map(|n| bury(&store, large(n))).collect::<Vec<_>>();
    // 100 KB are less than the reserve can take up in any case.
    bury(&store, large(0)).await.unwrap();
    let large =
        crate::delivery::DeadLetter { text: vec![b'x'; 2_000_000], ..testing::letter("alerts", 1) };
    assert_eq!(bury(&store, large.clone()).await, Err(StoreError::Full));
    assert!(store.is_full());
    // There is room for the reserve again, but not for what found none.
    tokio::time::sleep(SOON * 5).await;
    assert!(store.is_full());
    room.store(6 * MIN_BYTES, Ordering::SeqCst);
    until(|| !store.is_full()).await;
    bury(&store, large).await.unwrap();
    assert!(futures::future::join_all(letters(3)).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn the_log_never_holds_more_than_the_reserve_could_take_up() {
    let bench = Bench::new();
    let store = open(&bench, &plenty());
    let log = database::beside(&crate::store::path(bench.path()), "-wal");
    for n in 0..40 {
        bury(&store, large(n)).await.unwrap();
        let pages = store.between("read", database::log_pages).await.unwrap();
        assert!(pages * 4096 < MIN_BYTES, "{pages} pages after {n}");
        let bytes = fs::metadata(&log).unwrap().len();
        assert!(bytes <= 2 * MIN_BYTES, "{bytes} bytes after {n}");
    }
    // Full, it gives back its own room with each commit.
    pages(&store, 1).await;
    assert_eq!(bury(&store, large(1)).await, Err(StoreError::Full));
    store.purge(&Selection { limit: Some(1), ..Selection::default() }).await.unwrap();
    until(|| fs::metadata(&log).unwrap().len() < MIN_BYTES / 4).await;
}

#[tokio::test]
async fn a_disk_without_room_for_a_reserve_is_used_all_the_same() {
    let bench = Bench::new();
    let store = open(&bench, &Arc::new(AtomicU64::new(0)));
    bury(&store, large(1)).await.unwrap();
    let state = FileState {
        path: "/a".into(),
        device: 1,
        inode: 1,
        head_len: 0,
        head_hash: [0; 32],
        settled: Default::default(),
        size: 0,
        done: false,
    };
    store.save_checkpoints([(1, state)]);
    store.close().await.unwrap();
    assert!(!bench.path().join(FILE_NAME).exists());
    assert_eq!(facts(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn the_file_gets_shorter_when_nobody_waits_for_it() {
    let bench = Bench::new();
    let store = open(&bench, &plenty());
    for n in 0..100 {
        bury(&store, large(n)).await.unwrap();
    }
    let path = crate::store::path(bench.path());
    let sum = |path: &Path| {
        let log = database::beside(path, "-wal");
        fs::metadata(path).unwrap().len() + fs::metadata(log).unwrap().len()
    };
    assert!(sum(&path) > 10_000_000);
    // Dropped letters: nobody asks for their room as a purge does.
    store.set_dlq_bounds(DlqBounds {
        max_bytes: 200_000,
        max_age: None,
        when_full: crate::store::WhenFull::DropOldest,
    });
    bury(&store, large(0)).await.unwrap();
    until(|| sum(&path) < 1_000_000).await;
    assert_eq!(store.total("alerts").letters, 2);
}

#[test]
fn a_small_disk_spares_no_more_than_a_twentieth() {
    let bounds = DlqBounds { max_bytes: 1_000_000_000, ..DlqBounds::default() };
    for (whole, bytes) in
        [(u64::MAX, 10_000_000), (100_000_000, 5_000_000), (20_000_000, MIN_BYTES), (0, MIN_BYTES)]
    {
        let ask = move |_: &Path| Ok(Room { free: whole, whole });
        let disk = Disk { room: Box::new(ask), try_every: SOON };
        let reserve = Reserve::new(Path::new("/nowhere"), &bounds, disk, false);
        assert_eq!(reserve.bytes, bytes, "{whole}");
    }
}
