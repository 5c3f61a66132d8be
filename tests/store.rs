//! The store's file as a program meets it: from a newer postrider, or damaged.

use crate::support::{Answer, Place, Receiver, Request, event, until};
use std::os::unix::fs::FileExt;

/// A store at rest with three dead letters.
fn place() -> Place {
    let receiver = Receiver::new(|_: &Request| Answer::status(400));
    let place = Place::new(&format!(
        "dlq: {{emit_events: false}}\nexports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n",
        receiver.url("/")
    ));
    let lines: String = (0..3).map(|n| event(&format!("e{n}"))).collect();
    place.run().stdin(lines).finish().code(3);
    assert_eq!(place.dead_letters().len(), 3);
    place
}

fn write(place: &Place, at: u64, bytes: &[u8]) {
    let path = place.path("postrider-data/postrider.db");
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_newer_store_is_left_as_it_is_and_the_exit_code_is_2() {
    let place = place();
    // Where a file of SQLite keeps `user_version`.
    write(&place, 60, &99_u32.to_be_bytes());
    let before = std::fs::read(place.path("postrider-data/postrider.db")).unwrap();
    let refused = place.run().stdin("").finish().code(2);
    assert!(refused.stderr.contains("is of version 99"), "{}", refused.stderr);
    assert!(refused.stderr.contains("fix: run the newer postrider"), "{}", refused.stderr);
    for args in [
        &["dlq", "list"][..],
        &["dlq", "show", "1"],
        &["dlq", "stats"],
        &["dlq", "export"],
        &["dlq", "purge", "--all", "--yes"],
        &["dlq", "replay"],
        &["dlq", "replay", "--dry-run"],
        &["exports", "list"],
        &["exports", "pause", "a"],
    ] {
        let refused = place.postrider(args).finish().code(2);
        assert!(refused.stderr.contains("fix: run the newer postrider"), "{}", refused.stderr);
    }
    assert_eq!(std::fs::read(place.path("postrider-data/postrider.db")).unwrap(), before);
}

#[test]
fn a_damaged_store_is_set_aside_and_saved() {
    let place = place();
    let letters = place.dead_letters();
    write(&place, 0, &[0xa5; 4096]);
    let failed = place.postrider(&["dlq", "list"]).finish().code(1);
    assert!(failed.stderr.contains("start `postrider run`"), "{}", failed.stderr);
    let saved = place.run().stdin("").finish().code(0);
    assert!(saved.stderr.contains("postrider.db.corrupt-"), "{}", saved.stderr);
    assert_eq!(place.dead_letters(), letters);
    let again = place.run().stdin("").finish().code(0);
    assert!(!again.stderr.contains("corrupt"), "{}", again.stderr);
}

#[test]
fn a_store_that_is_taken_away_is_told_and_nothing_counts_as_stored() {
    let place = Place::new(
        "shutdown_grace: 0\nsources: [{name: in, type: stdin}]\nexports:\n\
         - {name: a, destination: file, file: {path: out.jsonl}, queue: {mode: disk}}\n",
    );
    let mut running = place.run().start();
    running.feed(event("before"));
    running.settled(1);
    std::fs::remove_dir_all(place.path("postrider-data")).unwrap();
    running.feed(event("after"));
    until("/ready says so", || {
        let (status, told) = running.get("/ready", "");
        (status == 503 && told.contains("was deleted or moved")).then_some(())
    });
    assert_eq!(running.metrics().received(), 1.0, "it is not on disk");
    running.terminate();
    let ended = running.wait().code(1);
    assert!(ended.stderr.contains("lost"), "{}", ended.stderr);
}
