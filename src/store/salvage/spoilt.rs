//! Stores of which pages at random are overwritten: what is saved is what was written, and nearly
//! all that did not stand on those pages.

use super::super::testing::{self, Bench, START_MS};
use super::super::{Kept, Replaces, Store};
use super::*;
use crate::delivery::DeliveryId;
use crate::event::Text;
use database::PAGE_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn page(&mut self) -> Vec<u8> {
        (0..PAGE_BYTES).map(|_| self.next() as u8).collect()
    }
}

fn kept(export: &str, n: u64) -> Kept {
    let mut event = crate::event::Event::clone(&testing::event(n, "policy_block"));
    let padding = "x".repeat(300 + (n as usize * 37) % 600);
    event.text = Text::check(format!(r#"{{"n":{n},"text":"{padding}"}}"#)).unwrap();
    let id = DeliveryId::new(export, &event.origin.position);
    Kept { id, event: Arc::new(event), ..testing::kept(n) }
}

/// A store whose queues hold so many events each; every seventh one of `settled` is settled.
async fn queues(exports: &[&str], events: u64, settled: Option<&str>) -> Bench {
    let bench = Bench::new();
    let store = bench.open();
    for from in (0..events).step_by(100) {
        for export in exports {
            let chunk = (from..from + 100).map(|n| kept(export, n)).collect();
            let rows = store.keep(export, chunk).await.unwrap();
            if settled == Some(*export) {
                let rows = rows.iter().step_by(7);
                rows.for_each(|row| store.settle_row(&Arc::from(*export), *row));
            }
        }
    }
    store.close().await.unwrap();
    bench
}

fn spoil(bench: &Bench, random: &mut Random, pages: usize, from: u64) -> u64 {
    let path = database::path(bench.path());
    let count = fs::metadata(&path).unwrap().len() / PAGE_BYTES as u64;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut spoilt = BTreeSet::new();
    while spoilt.len() < pages {
        let page = from + random.next() % (count - from);
        if spoilt.insert(page) {
            file.write_all_at(&random.page(), page * PAGE_BYTES as u64).unwrap();
        }
    }
    fs::write(check::marker(&path), "pages are gone").unwrap();
    count
}

/// Which events a store has, after seeing that each is what was written.
async fn saved(store: &Store, export: &str) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for restored in testing::queued(store, export).await {
        let n = restored.delivery.event.origin.position.offset;
        let whole = kept(export, n);
        assert_eq!(restored.delivery.id, whole.id);
        assert_eq!(format!("{:?}", restored.delivery.event), format!("{:?}", whole.event));
        *found.entry(n).or_default() += 1;
    }
    found
}

#[tokio::test]
async fn what_stands_on_pages_that_are_whole_comes_through() {
    for (pages, from, least) in
        [(1, 1, 1400), (5, 1, 1300), (20, 1, 1000), (20, 0, 1000), (60, 1, 400)]
    {
        let mut total = 0;
        for seed in 0..4 {
            let bench = queues(&["alerts"], 1500, None).await;
            let mut random = Random(seed * 977 + pages as u64);
            let count = spoil(&bench, &mut random, pages, from);
            if from == 0 {
                let path = database::path(bench.path());
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.write_all_at(&random.page(), 0).unwrap();
            }
            let store = bench.open();
            let found = saved(&store, "alerts").await;
            let salvage = store.salvage().unwrap();
            println!("{pages} of {count} pages from {from}: {} of 1500, {salvage:?}", found.len());
            assert!(found.values().all(|times| *times == 1), "nothing twice");
            total += found.len();
            let counted = store.queue_total("alerts");
            assert_eq!(counted.events as usize, found.len());
            if let Some(events) = salvage.events {
                assert_eq!(events as usize, 1500 - found.len(), "{salvage:?}");
            }
            store.close().await.unwrap();
            assert_eq!(check::check(&bench.sql()).unwrap(), None);
            assert!(bench.open().salvage().is_none());
        }
        assert!(total / 4 > least, "{} with {pages} pages", total / 4);
    }
}

#[tokio::test]
async fn events_go_back_to_their_own_exports_and_what_was_settled_stays_so() {
    for seed in 0..4 {
        let bench = queues(&["alerts", "chat"], 1000, Some("chat")).await;
        spoil(&bench, &mut Random(seed), 12, 1);
        let store = bench.open();
        let (alerts, chat) = (saved(&store, "alerts").await, saved(&store, "chat").await);
        assert!(alerts.len() > 700 && chat.len() > 600, "{} {}", alerts.len(), chat.len());
        // What stood in a row that is lost, with its marks, comes again.
        let again = chat.keys().filter(|n| *n % 100 % 7 == 0).count();
        assert!(again < 40, "{again}");
        let total = store.queue_total("alerts").events + store.queue_total("chat").events;
        assert_eq!(total as usize, alerts.len() + chat.len());
    }
}

#[tokio::test]
async fn dead_letters_outlive_the_tree_that_leads_to_them() {
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..2000 {
        store.bury(testing::letter("alerts", n), Replaces::Nothing, None).await.unwrap();
    }
    store.close().await.unwrap();
    let root = bench.number("SELECT rootpage FROM sqlite_schema WHERE name = 'dead_letters'");
    let path = database::path(bench.path());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&Random(5).page(), (root as u64 - 1) * PAGE_BYTES as u64).unwrap();
    fs::write(check::marker(&path), "a page is gone").unwrap();
    let store = bench.open();
    assert_eq!(store.total("alerts").letters, 2000);
    let salvage = store.salvage().unwrap();
    assert_eq!((salvage.letters, salvage.events, salvage.warning()), (Some(0), Some(0), None));
}

#[tokio::test]
async fn a_crashed_store_is_saved_with_its_log() {
    let bench = Bench::new();
    let store = bench.open();
    for from in (0..600).step_by(100) {
        let chunk = (from..from + 100).map(|n| kept("alerts", n)).collect();
        store.keep("alerts", chunk).await.unwrap();
    }
    let crashed = bench.crashed();
    let path = database::path(crashed.path());
    let log = database::beside(&path, "-wal");
    assert!(fs::metadata(&log).unwrap().len() > 300_000, "all of it is in the log");
    // A page of the queue's tree, in the file, while the log has it too: nothing is lost of it.
    fs::write(check::marker(&path), "pages are gone").unwrap();
    let root = bench.number("SELECT rootpage FROM sqlite_schema WHERE name = 'queue'") as u64;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(root * 4096).unwrap();
    let again = crashed.open();
    assert_eq!(saved(&again, "alerts").await.len(), 600);
    let pages = pages::Pages::open(&database::beside(&path, &format!(".corrupt-{START_MS}")));
    assert!(pages.unwrap().read(root as u32).is_some());
}
