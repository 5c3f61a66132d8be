//! What an export holds: bounded, in order, and given back to nobody before it is settled.

use crate::support::{Answer, Gate, Place, Receiver, Step, event, event_with, events};
use serde_json::json;

#[test]
fn a_full_queue_holds_its_source_back_in_bounded_memory() {
    let receiver = Receiver::always(Answer::hang());
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', timeout: 1h}}\n\
         shutdown_grace: 0\n",
        receiver.url("/")
    ));
    // 100 MB wait on the other side of the pipe.
    let line = event_with("e", json!({ "x": "x".repeat(900) }));
    let running = place.run().stdin(line.repeat(100_000_000 / line.len())).start();
    receiver.wait_for(8);
    let blocked = [("export", "a")];
    let metrics =
        running.shows("room for no more", |metrics| metrics.sum("events_pending", &[]) >= 900.0);
    assert!(metrics.received() < 5000.0, "{} received", metrics.received());
    running
        .shows("the same later", |metrics| metrics.one("process_resident_memory_bytes", &[]) < 1e8);
    running.terminate();
    running.wait().code(0);
    // Taken up again, they are sent; those that were never read were never accepted.
    receiver.rewrite(|_| Answer::status(200));
    let again = place.run().start();
    let metrics = again.settled(0);
    assert!(metrics.one("events_delivered_total", &blocked) >= 900.0);
    again.end().code(0);
}

#[test]
fn how_long_a_source_was_held_back_is_counted() {
    let gate = Gate::new();
    let receiver = Receiver::always(Answer::status(200).first(Step::Wait(gate.clone())));
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  queue: {{memory_events: 20}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(100));
    receiver.wait_for(8);
    gate.open();
    let metrics = running.settled(100);
    assert!(metrics.one("blocked_seconds_total", &[("export", "a")]) > 0.0);
    running.end().code(0);
    assert_eq!(receiver.exactly(100).len(), 100);
}

#[test]
fn events_go_in_the_order_in_which_they_came() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
         queue: {{memory_events: 16}}\n",
        receiver.url("/")
    ));
    place.carry(&events(500)).1.code(0);
    let expected: Vec<_> = (0..500).map(|number| format!("e{number}")).collect();
    assert_eq!(receiver.audit_ids(), expected);
}

#[test]
fn a_due_retry_goes_before_what_waits_for_its_first_attempt() {
    let gate = Gate::new();
    let held = gate.clone();
    let receiver = Receiver::new(move |request| match (&*request.audit_id(), request.attempt()) {
        ("first", 1) => Answer::status(503),
        ("e0", _) => Answer::status(200).first(Step::Wait(held.clone())),
        _ => Answer::status(200),
    });
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05]}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(event("first"));
    let waits = [("where", "retry")];
    receiver.wait_for(1);
    running.feed(events(10));
    receiver.wait_for(2);
    let due = |metrics: &crate::support::Metrics| metrics.sum("events_pending", &waits) == 1.0;
    running.shows("the retry waits", due);
    // `e0` keeps the only slot until the retry is due for sure.
    let age = |metrics: &crate::support::Metrics| {
        metrics.one("oldest_pending_age_seconds", &[("export", "a")]) > 0.3
    };
    running.shows("the retry is due", age);
    gate.open();
    running.settled(11);
    running.end().code(0);
    assert_eq!(receiver.audit_ids()[..4], ["first", "e0", "first", "e1"]);
}

#[test]
fn an_event_larger_than_the_whole_queue_is_sent_alone() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  queue: {{memory_bytes: 1KB}}\n",
        receiver.url("/")
    ));
    let lines = events(5) + &event_with("big", json!({"x": "x".repeat(5000)})) + &event("last");
    place.carry(&lines).1.code(0);
    receiver.exactly(7);
}
