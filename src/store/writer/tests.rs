//! The writer: what shares a commit, what a failed one leaves behind, and how it ends.

#![allow(clippy::disallowed_types, reason = "the writer is a thread without a runtime")]

use super::super::testing::{self, Bench};
use super::super::{FileState, NewFile, Replaces, Store, StoreOptions};
use super::*;
use crate::ack::Settled;
use crate::event::StreamId;
use futures::future::join_all;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

fn bury(store: &Store, n: u64) -> impl Future<Output = Result<i64, StoreError>> {
    let store = store.clone();
    async move {
        store
            .bury(testing::letter("alerts", n), Replaces::Nothing, None)
            .await
            .map(|buried| buried.id)
    }
}

#[tokio::test]
async fn what_waits_shares_a_commit() {
    let bench = Bench::new();
    let store = bench.open();
    let ids = join_all((0..1000).map(|n| bury(&store, n))).await;
    let ids: Vec<_> = ids.into_iter().map(Result::unwrap).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids ascend in the order of asking");
    let commits = bench.commits.load(Ordering::SeqCst);
    assert!(commits < 100, "{commits} commits");
}

#[tokio::test]
async fn what_was_answered_outlives_a_crash() {
    let bench = Bench::new();
    let store = bench.open();
    join_all((0..50).map(|n| bury(&store, n))).await.into_iter().for_each(|id| assert!(id.is_ok()));
    let after = bench.crashed();
    assert_eq!(after.open().total("alerts").letters, 50);
    assert_eq!(after.number("SELECT COUNT(*) FROM dead_letters"), 50);
}

#[tokio::test]
async fn ids_go_on_after_a_restart_even_if_their_rows_are_gone() {
    let bench = Bench::new();
    let store = bench.open();
    let last = bury(&store, 1).await.unwrap();
    assert_eq!(store.purge(&Default::default()).await, Ok(1));
    store.close().await.unwrap();
    assert_eq!(bury(&bench.open(), 2).await, Ok(last + 1));
}

#[tokio::test]
async fn a_failed_commit_is_told_to_everyone_and_the_writer_goes_on() {
    let bench = Bench::new();
    let store = bench.open();
    bench.sql().execute_batch("ALTER TABLE dead_letters RENAME TO away").unwrap();
    for answer in join_all((0..20).map(|n| bury(&store, n))).await {
        assert!(matches!(answer, Err(StoreError::Sqlite(_))), "{answer:?}");
    }
    assert!(bench.facts.lock().unwrap()[0].contains("commit"));
    bench.sql().execute_batch("ALTER TABLE away RENAME TO dead_letters").unwrap();
    bury(&store, 1).await.unwrap();
    assert_eq!(store.total("alerts").letters, 1, "what failed does not count");
    assert_eq!(bench.number("SELECT COUNT(*) FROM outbox"), 1);
}

#[tokio::test]
async fn what_nobody_waits_for_is_committed_without_company_and_never_when_idle() {
    let bench = Bench::new();
    let (told, commits) = mpsc::channel();
    let options = StoreOptions {
        observer: Box::new(move |fact| {
            if let StoreFact::Committed { rows, .. } = fact {
                told.send(rows).unwrap();
            }
        }),
        ..bench.options()
    };
    let store = Store::open(bench.path(), options).unwrap();
    let state = FileState {
        path: "/var/log/a".into(),
        device: 1,
        inode: 2,
        head_len: 0,
        head_hash: [0; 32],
        settled: Settled::default(),
        size: 0,
        done: false,
    };
    let file = NewFile { uid: StreamId::random(), state: state.clone() };
    let ids = store.add_files("app", vec![file]).await.unwrap();
    assert_eq!(commits.try_iter().count(), 1);
    let started = Instant::now();
    for round in 1..=3 {
        for watermark in 0..100 {
            let settled = Settled { watermark: round * 100 + watermark, ranges: vec![] };
            store.save_checkpoints([(ids[0], FileState { settled, ..state.clone() })]);
        }
        assert!(commits.recv().unwrap() <= 1, "one row however often it is saved");
    }
    assert!(started.elapsed() >= RIDE_EVERY * 2, "{:?}", started.elapsed());
    store.close().await.unwrap();
    assert_eq!(bench.number("SELECT watermark FROM files"), 399);
}

#[tokio::test]
async fn riders_of_a_failed_commit_go_with_the_next_one() {
    let bench = Bench::new();
    let store = bench.open();
    let id = bury(&store, 1).await.unwrap();
    let outbox = store.outbox_after(0, 9).await.unwrap().items;
    bench.sql().execute_batch("ALTER TABLE dead_letters RENAME TO away").unwrap();
    store.outbox_delete([outbox[0].id]);
    store.replayed(id);
    bury(&store, 2).await.unwrap_err();
    bench.sql().execute_batch("ALTER TABLE away RENAME TO dead_letters").unwrap();
    store.close().await.unwrap();
    assert_eq!(bench.number("SELECT COUNT(*) FROM outbox"), 0);
    assert_eq!(bench.number("SELECT state FROM dead_letters"), 2);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let bench = Bench::new();
    let store = bench.open();
    bury(&store, 1).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(bury(&store, 2).await, Err(StoreError::Closed));
    assert_eq!(store.close().await, Ok(()));
    store.replayed(1);
    let wal = bench.path().join("postrider.db-wal");
    assert!(!wal.exists(), "everything is in the file itself");
}

#[tokio::test]
async fn a_store_that_is_dropped_still_writes_what_it_was_given() {
    let bench = Bench::new();
    let (told, ended) = mpsc::channel::<()>();
    let options = StoreOptions { observer: Box::new(move |_| _ = &told), ..bench.options() };
    let store = Store::open(bench.path(), options).unwrap();
    let id = bury(&store, 1).await.unwrap();
    store.replayed(id);
    drop(store);
    assert!(ended.recv().is_err(), "the writer has ended");
    assert_eq!(bench.number("SELECT state FROM dead_letters"), 2);
}
