//! A store whose pages a disk has spoilt while it lay there: what is met at start and what is met at
//! work, and what is said of it.

use crate::support::{Answer, Place, Receiver, Running, event_with, until};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;

fn export(name: &str, receiver: &Receiver, keys: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*'], event_kinds: [{name}]}}\n{keys}",
        receiver.url("/")
    )
}

fn numbers(kind: &str, from: usize, to: usize) -> String {
    let padding = "x".repeat(500);
    let event = |n| event_with(&format!("{kind}{n}"), json!({"event_kind": kind, "more": padding}));
    (from..to).map(event).collect()
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.audit_ids().into_iter().collect()
}

/// A place where export `a` has so many events on disk, at rest; `a` now takes what comes.
fn full(events: usize) -> (Place, Receiver, Receiver) {
    let (a, b) = (Receiver::always(Answer::hang()), Receiver::ok());
    let exports = [export("a", &a, "  queue: {mode: disk}\n"), export("b", &b, "")].concat();
    let place = Place::new(&format!("shutdown_grace: 1s\nexports:\n{exports}"));
    let running = place.run().stdin(numbers("a", 0, events)).start().ready();
    running.shows("all received", |metrics| metrics.received() == events as f64);
    running.terminate();
    running.wait().code(0);
    a.rewrite(|_| Answer::status(200));
    (place, a, b)
}

/// Overwrites the first page from `from` of all on that fulfils a condition.
fn spoil(place: &Place, from: f64, which: impl Fn(u32, &[u8]) -> bool) {
    let path = place.path("postrider-data/postrider.db");
    let bytes = fs::read(&path).unwrap();
    let first = (bytes.len() as f64 / PAGE as f64 * from) as usize;
    let pages = bytes.chunks(PAGE).enumerate().skip(first);
    let (index, _) = pages
        .into_iter()
        .find(|(index, page)| which(*index as u32 + 1, page))
        .expect("such a page");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xa5; PAGE], (index * PAGE) as u64).unwrap();
}

/// What `/ready` says; where a commit met the damage, too, its status is not 200.
fn warnings(running: &Running) -> String {
    running.get("/ready", "").1
}

/// The topmost page of the queue's table.
fn root(place: &Place) -> u32 {
    let path = place.path("postrider-data/postrider.db");
    let conn = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'queue'";
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn damage_that_only_reading_the_queue_meets_is_saved_at_that_very_start() {
    let (place, a, _b) = full(1500);
    let root = root(&place);
    spoil(&place, 0.0, |page, _| page == root);
    // A hung attempt of the first run may have arrived.
    let before = a.requests().len();
    let running = place.run().stdin(numbers("b", 0, 1)).start();
    until("nearly all of it", || (ids(&a).len() > 1400).then_some(()));
    running.says("the damaged store was set aside");
    let finished = running.end().code(0);
    let fails = finished.stderr.matches("the store fails").count();
    assert_eq!(fails, 0, "nothing works on the store that was closed: {}", finished.stderr);
    assert!(finished.stderr.contains("queued events and 0 dead letters of a damaged store"));
    assert!(a.requests().len() > before);
}

#[test]
fn damage_met_at_work_is_told_and_others_go_on_and_a_restart_saves_the_rest() {
    let (place, a, b, mut running) = loop {
        let (place, a, b) = full(3000);
        // A page in the middle of a chunk: one that leads to the next.
        spoil(&place, 0.5, |page, bytes| bytes[..4] == (page + 1).to_be_bytes());
        let running = place.run().start().ready();
        // Which events shared a commit decides whether a start reads that page already.
        if !running.stderr().contains("the damaged store was set aside") {
            break (place, a, b, running);
        }
        running.terminate();
        running.wait();
    };
    running.says("the store is damaged: restart postrider, it saves what can be read");
    running.feed(numbers("b", 0, 200));
    b.wait_for(200);
    let ready = warnings(&running);
    assert!(ready.contains("what export `a` has queued there waits"), "{ready}");
    assert!(ready.contains("restart postrider, it saves what can be read"), "{ready}");
    let told = running.stderr().matches("the store is damaged: restart").count();
    assert_eq!(told, 1);
    running.terminate();
    // It is 1 where the last commit met the damage, too: what was settled then comes again.
    running.wait();
    let running = place.run().start().ready();
    until("nearly all of it", || (ids(&a).len() > 2950).then_some(()));
    let ready = warnings(&running);
    assert!(ready.contains("queued events and 0 dead letters of a damaged store"), "{ready}");
    assert!(!ready.contains("restart postrider"), "{ready}");
    running.at_rest();
    running.terminate();
    running.wait().code(0);
    let each: BTreeSet<_> = a.requests().iter().map(|r| r.delivery_id().to_owned()).collect();
    assert_eq!(each.len(), ids(&a).len(), "each under one delivery id");
}
