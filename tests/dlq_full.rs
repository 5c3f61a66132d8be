//! A dead-letter queue that is full and blocks: only what finds no room waits, and nothing of it is
//! lost.

use crate::support::{Answer, Place, Receiver, Request, event, event_with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// More lines than the ledger of a source holds.
const LINES: usize = 70_000;

/// Each so many lines one is refused for good by one of the two exports.
const REFUSED: usize = 150;

fn config(receiver: &Receiver) -> String {
    format!(
        "dlq: {{max_bytes: 2000, when_full: block, emit_events: false}}\n\
         sources:\n- {{name: in, type: file, paths: [in.jsonl], read_from: beginning, follow: false}}\n\
         exports:\n\
         - name: all\n  destination: file\n  file: {{path: all.jsonl}}\n\
         - name: picky\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{event_kinds: [refused]}}\n",
        receiver.url("/")
    )
}

fn lines() -> String {
    let mut lines = String::new();
    for number in 0..LINES {
        let kind = if number % REFUSED == 0 { "refused" } else { "login" };
        let line = event_with(&format!("e{number}"), json!({"event_kind": kind}));
        write!(lines, "{line}").unwrap();
    }
    lines
}

#[test]
fn letters_without_room_hold_up_nobody_else_and_are_written_when_there_is_room() {
    let refused = LINES.div_ceil(REFUSED);
    let receiver = Receiver::always(Answer::status(400));
    let place = Place::new(&config(&receiver));
    place.write("in.jsonl", lines());
    let running = place.run().start();
    let dead = [("export", "picky")];
    running.shows("everything at the other export", |metrics| {
        metrics.one("events_delivered_total", &[("export", "all")]) == LINES as f64
            && metrics.sum("attempts_total", &dead) == refused as f64
            && metrics.one("events_pending", &[("export", "picky"), ("where", "flight")]) > 300.0
    });
    running.adds_up();
    assert!(running.get("/ready", "").1.contains("picky"));
    assert_eq!(place.read("all.jsonl").lines().count(), LINES);

    // An end in the middle of it: what was settled a moment before may come again.
    running.kill();
    let running = place.run().start();
    running.shows("what waits is taken up", |metrics| {
        metrics.one("events_restored_total", &dead) > 300.0
            && metrics.one("events_pending", &[("export", "picky"), ("where", "flight")]) > 300.0
    });
    running.terminate();
    running.wait().code(0);
    place.run().set("dlq.max_bytes=1GB").finish().code(3);
    let ids = |letter: &Value| letter["audit_id"].as_str().unwrap().to_owned();
    let dead: BTreeSet<_> = place.dead_letters().iter().map(ids).collect();
    assert_eq!(dead, (0..LINES).step_by(REFUSED).map(|n| format!("e{n}")).collect());
    let all = place.read("all.jsonl");
    assert_eq!(all.lines().collect::<BTreeSet<_>>().len(), LINES);
}

#[test]
fn an_export_goes_on_beside_more_letters_without_room_than_its_queue_holds() {
    const COUNT: usize = 6_000;
    for order in ["none", "strict"] {
        // Each fifth: 1,200 in all, and the queue has room for 1,000.
        let receiver = Receiver::new(|request: &Request| {
            let number: usize = request.audit_id()[1..].parse().unwrap();
            Answer::status(if number.is_multiple_of(5) { 422 } else { 200 })
        });
        let place = Place::new(&format!(
            "dlq: {{max_bytes: 2000, when_full: block, emit_events: false}}\n\
             sources: [{{name: in, type: file, paths: [in.jsonl], read_from: beginning}}]\n\
             exports:\n- name: a\n  destination: webhook\n  order: {order}\n  \
             webhook: {{url: '{}'}}\n",
            receiver.url("/")
        ));
        let numbered = |number| event(&format!("e{number}"));
        place.write("in.jsonl", (0..COUNT).map(numbered).collect::<String>());
        let running = place.run().start();
        running.shows("all that the receiver takes", |metrics| {
            metrics.one("events_delivered_total", &[("export", "a")]) == (COUNT * 4 / 5) as f64
        });
        let metrics = running.adds_up();
        assert!(metrics.sum("events_pending", &[("export", "a")]) > 1_000.0);
        running.terminate();
        running.wait().code(0);
        let ends = place.read("postrider.yaml").replace("read_from", "follow: false, read_from");
        place.write("postrider.yaml", ends);
        place.run().set("dlq.max_bytes=1GB").finish().code(3);
        assert_eq!(place.dead_letters().len(), COUNT / 5, "{order}");
    }
}

#[test]
fn a_malformed_line_counts_when_it_is_written_down() {
    let place = Place::new(
        "dlq: {max_bytes: 500, when_full: block, emit_events: false}\n\
         sources: [{name: in, type: stdin}]\n\
         exports: [{name: a, destination: file, file: {path: out.jsonl}, queue: {mode: disk}}]\n",
    );
    let mut running = place.run().start();
    running.feed("this line is no event at all\n".repeat(200));
    running.feed(event("good"));
    let metrics = running.shows("the good one, and some of the others", |metrics| {
        metrics.one("events_delivered_total", &[("export", "a")]) == 1.0
            && metrics.one("events_malformed_total", &[("source", "in")]) > 0.0
    });
    running.kill();
    // Some may have been written down that were not counted yet.
    let written = place.dead_letters().len();
    assert!(metrics.received() <= 1.0 + written as f64, "{written}: {metrics:?}");
    assert!(written < 100, "{written}");
}

#[test]
fn malformed_lines_without_room_hold_up_no_event_and_are_kept_when_it_stops() {
    const BAD: usize = 40;
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "dlq: {{max_bytes: 100, when_full: block, emit_events: false}}\n\
         sources: [{{name: in, type: stdin}}]\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    for number in 0..BAD {
        running
            .feed(format!("this is line {number} and no event\n{}", event(&format!("e{number}"))));
    }
    receiver.wait_for(BAD);
    let metrics = running.adds_up();
    assert!(metrics.sum("events_dead_lettered_total", &[("export", "")]) < 10.0);
    assert!(running.get("/ready", "").1.contains("malformed lines"));
    running.terminate();
    running.wait().code(0);
    assert_eq!(place.dead_letters().len(), BAD);
}

#[test]
fn malformed_lines_of_a_file_wait_in_it_when_it_stops() {
    const BAD: usize = 40;
    let place = Place::new(
        "shutdown_grace: 60\n\
         dlq: {max_bytes: 100, when_full: block, emit_events: false}\n\
         sources: [{name: in, type: file, paths: [in.jsonl], read_from: beginning}]\n\
         exports: [{name: a, destination: file, file: {path: out.jsonl}}]\n",
    );
    let bad = |number| format!("this is line {number} and no event\n{}", event("e"));
    place.write("in.jsonl", (0..BAD).map(bad).collect::<String>());
    let running = place.run().start();
    running.shows("all events", |metrics| {
        metrics.one("events_delivered_total", &[("export", "a")]) == BAD as f64
    });
    running.terminate();
    running.wait().code(0);
    let first = place.dead_letters().len();
    assert!(first < 10, "{first}");

    let running = place.run().set("dlq.max_bytes=1GB").start();
    running.shows("all letters", |metrics| {
        metrics.sum("events_dead_lettered_total", &[("export", "")]) == (BAD - first) as f64
    });
    running.terminate();
    running.wait().code(0);
    assert_eq!(place.dead_letters().len(), BAD);
    assert_eq!(place.read("out.jsonl").lines().count(), BAD);
}
