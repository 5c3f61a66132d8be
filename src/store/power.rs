//! Power loss: the store as it is found when the disk kept what was synced and any part of what
//! came after. Whatever was answered by then is there, and nothing is half there.

use super::database;
use super::testing::{self, Bench};
use super::{Reader, Replaces, Store, StoreFact, StoreOptions, check};
use std::fs;
use std::sync::mpsc;

/// The log's length and the newest letter's id after each commit: what was durable then.
fn watch(bench: &Bench) -> (StoreOptions, mpsc::Receiver<u64>) {
    let log = database::beside(&database::path(bench.path()), "-wal");
    let (tell, synced) = mpsc::channel();
    let observer = Box::new(move |fact: StoreFact<'_>| {
        if let StoreFact::Committed { .. } = fact {
            // A test that ended listens no more.
            let _ = tell.send(fs::metadata(&log).unwrap().len());
        }
    });
    (StoreOptions { observer, ..bench.options() }, synced)
}

/// Opens what a power loss left and says which letters are there.
async fn found(database: &[u8], log: &[u8]) -> Vec<i64> {
    let bench = Bench::new();
    let path = database::path(bench.path());
    fs::write(&path, database).unwrap();
    fs::write(database::beside(&path, "-wal"), log).unwrap();
    let store = bench.open();
    assert!(store.salvage().is_none(), "a lost end is no damage");
    let reader = Reader::open(bench.path()).unwrap();
    let page = reader.letters(&Default::default(), super::Order::OldestFirst, None, 1000).unwrap();
    assert_eq!(page.skipped, 0);
    let letters = page.items.len() as i64;
    assert_eq!(store.total("alerts").letters, letters, "totals are of the same commit");
    let outbox = store.outbox_after(0, 1000).await.unwrap().items.len() as i64;
    assert_eq!(outbox, letters.min(10), "a letter and its event are one");
    store.bury(testing::letter("alerts", 999), Replaces::Nothing, None).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(check::check(&bench.sql()).unwrap(), None);
    page.items.iter().map(|letter| letter.id).collect()
}

#[tokio::test]
async fn what_was_synced_outlives_any_cut_behind_it() {
    let bench = Bench::new();
    let (options, synced) = watch(&bench);
    let store = Store::open(bench.path(), options).unwrap();
    // Each is a commit of its own: how long the log was then, and which letters were answered.
    let mut answered = Vec::new();
    let mut ids = Vec::new();
    for n in 0..12 {
        let mut letter = testing::letter("alerts", n);
        letter.text = vec![b'x'; 3000];
        ids.push(store.bury(letter, Replaces::Nothing, None).await.unwrap().id);
        answered.push((synced.recv().unwrap() as usize, ids.len()));
    }
    let path = database::path(bench.path());
    let (file, log) =
        (fs::read(&path).unwrap(), fs::read(database::beside(&path, "-wal")).unwrap());
    drop(store);
    assert!(answered.is_sorted_by(|a, b| a.0 < b.0), "no checkpoint came between: {answered:?}");
    let (first, last) = (answered[0].0, answered[11].0);
    // Where a sector ends, where a frame ends, and anywhere.
    let cuts = (first..=last).step_by(13 * 512).chain((first..=last).step_by(9_973));
    let ends = answered.iter().flat_map(|(end, _)| [end - 1, *end, end + 1]);
    let cuts: Vec<_> = cuts.chain(ends).filter(|cut| (first..=last).contains(cut)).collect();
    for (n, cut) in cuts.into_iter().enumerate() {
        let held = answered.iter().rfind(|(end, _)| *end <= cut).map_or(0, |(_, count)| *count);
        let mut left = log[..cut].to_vec();
        match n % 3 {
            0 => {}
            // What the disk had not written yet: old contents, or nothing.
            1 => left.extend(log[..4120.min(cut)].iter().rev()),
            _ => left.resize(last, 0),
        }
        assert_eq!(found(&file, &left).await, ids[..held], "cut at {cut} of {last}");
    }
}

#[tokio::test]
async fn pages_torn_while_the_log_is_copied_back_are_in_the_log() {
    let bench = Bench::new();
    let store = bench.open();
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(
            store.bury(testing::letter("alerts", n), Replaces::Nothing, None).await.unwrap().id,
        );
    }
    let path = database::path(bench.path());
    let log = fs::read(database::beside(&path, "-wal")).unwrap();
    let before = fs::read(&path).unwrap();
    store.between("read", database::cut_log).await.unwrap();
    let after = fs::read(&path).unwrap();
    // The file as it was found in the middle of that: any sectors new, the others old.
    for step in 1..8_usize {
        let mut torn = after.clone();
        for (sector, place) in torn.chunks_mut(512).enumerate() {
            if sector % (step + 1) == 0 {
                let old = before.get(sector * 512..sector * 512 + place.len());
                old.into_iter().for_each(|old| place.copy_from_slice(old));
            }
        }
        assert_eq!(found(&torn, &log).await, ids, "step {step}");
    }
}
