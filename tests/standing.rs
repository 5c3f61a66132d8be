//! What becomes of a receiver that fails or is gone: breaker, pause, fallback, strict order, and
//! what postrider tells of it.

use crate::support::{Answer, Place, Receiver, Request, Running, at_once, event, events, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An export to this receiver, with further keys.
fn export(name: &str, receiver: &Receiver, keys: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n{keys}",
        receiver.url("/")
    )
}

/// Exports `a` with these keys, which takes everything, own events too, and `news`.
fn place(a: &Receiver, keys: &str, news: &Receiver) -> Place {
    let own = "  filters: {event_kinds: ['webhook.*']}\n";
    let exports = export("a", a, keys) + &export("news", news, own);
    Place::new(&format!("shutdown_grace: 0.2\nexports:\n{exports}"))
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    let kind = |request: &Request| request.header("X-Postrider-Event").unwrap().to_owned();
    receiver.requests().iter().map(kind).collect()
}

/// What was told, without ids and times.
fn told(news: &Receiver) -> Vec<Value> {
    let plain = |request: &Request| {
        let mut event = request.json();
        let id = event["audit_id"].take();
        let kind = event["event_kind"].as_str().unwrap().trim_start_matches("webhook.");
        assert!(id.as_str().unwrap().starts_with(&format!("{kind}_")), "{id}");
        event["timestamp"].take().as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        event
    };
    news.requests().iter().map(plain).collect()
}

fn telling(kind: &str, severity: &str, reason: &str, last_status: Option<u16>) -> Value {
    json!({"audit_id": null, "timestamp": null, "event_kind": kind, "severity": severity,
        "agent_id": "", "export": "a", "reason": reason, "last_status": last_status})
}

fn in_state(running: &Running, state: &str) {
    let labels = [("export", "a"), ("state", state)];
    running.shows(state, |metrics| metrics.one("export_state", &labels) == 1.0);
}

#[test]
fn others_are_told_of_a_breaker_and_never_the_export_itself() {
    let (a, news) = (Receiver::always(Answer::status(503)), Receiver::ok());
    let keys = "  retry: {jitter: 0, backoff_seconds: [0.05], max_attempts: 100000}\n  \
                breaker: {failures: 3, probe_after: [0.1]}\n";
    let place = place(&a, keys, &news);
    let mut running = place.run().start().ready();
    running.feed(event("first"));
    news.wait_for(1);
    running.feed(events(20));
    let warnings = running.get("/ready", "").1;
    assert!(warnings.contains("export `a` is down: its receiver fails"), "{warnings}");
    a.rewrite(|_| Answer::status(200));
    news.wait_for(2);
    let metrics = running.settled(21);
    in_state(&running, "up");
    running.end().code(0);
    let (down, up) = ("webhook.down", "webhook.up");
    let reason = "the receiver fails";
    let expected = [telling(down, "error", reason, Some(503)), telling(up, "notice", reason, None)];
    assert_eq!(told(&news), expected);
    assert!(kinds(&a).iter().all(|kind| kind == "policy_block"), "{:?}", kinds(&a));
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 21.0);
    assert_eq!(metrics.one("events_filtered_total", &[("export", "a")]), 2.0, "its own events");
}

#[test]
fn others_are_told_of_a_pause_and_of_its_end() {
    let (a, news) = (Receiver::always(Answer::status(410)), Receiver::ok());
    let keys = "  breaker: {failures: 1000, probe_after: [0.4]}\n";
    let place = place(&a, keys, &news);
    let mut running = place.run().start().ready();
    running.feed(event("first"));
    news.wait_for(1);
    in_state(&running, "paused");
    // What comes meanwhile waits, but for one that goes to see.
    running.feed(events(20));
    let probes = a.wait_for(3);
    assert!(probes.iter().all(|request| request.audit_id() == "first"));
    a.rewrite(|_| Answer::status(200));
    let metrics = running.settled(21);
    news.wait_for(2);
    in_state(&running, "up");
    running.end().code(0);
    let reason = "the receiver is gone";
    let expected = [
        telling("webhook.paused", "error", reason, Some(410)),
        telling("webhook.resumed", "notice", reason, None),
    ];
    assert_eq!(told(&news), expected);
    assert!(kinds(&a).iter().all(|kind| kind == "policy_block"), "{:?}", kinds(&a));
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 21.0);
    assert_eq!(metrics.sum("events_dead_lettered_total", &[]), 0.0);
}

#[test]
fn a_receiver_that_is_gone_buries_or_retries_on_request() {
    at_once(
        [
            ("dead_letter", 410, 2, vec!["endpoint_gone"; 2], 2),
            ("retry", 410, 2, vec!["retries_exhausted"; 2], 6),
            ("dead_letter", 404, 12, [vec!["rejected"; 9], vec!["endpoint_gone"; 3]].concat(), 12),
        ],
        |(on_gone, status, count, reasons, requests)| {
            let (a, news) = (Receiver::always(Answer::status(status)), Receiver::ok());
            let keys = format!(
                "  on_gone: {on_gone}\n  filters: {{exclude_event_kinds: ['webhook.*']}}\n  \
                 retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 3}}\n"
            );
            let place = place(&a, &keys, &news);
            let mut running = place.run().set("exports.a.webhook.concurrency=1").start();
            running.feed(events(count));
            running.settled(count);
            running.end().code(3);
            a.exactly(requests);
            let letters = place.dead_letters();
            // Dead letters are written side by side.
            let mut found: Vec<_> =
                letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
            found.sort_unstable_by_key(|reason| std::cmp::Reverse(*reason));
            assert_eq!(found, reasons, "{on_gone} {status}");
            assert!(letters.iter().all(|letter| letter["last_status"] == status));
            assert!(kinds(&news).iter().all(|kind| kind == "webhook.dlq"), "{:?}", kinds(&news));
        },
    );
}

/// `a` falls back to `b`, whose own filter takes nothing.
fn falling_back(a: &Receiver, b: &Receiver) -> Place {
    let (a, b) = (
        export("a", a, "  fallback: b\n"),
        export("b", b, "  fallback: a\n  filters: {event_kinds: [nothing]}\n"),
    );
    Place::new(&format!("shutdown_grace: 0.2\ndlq: {{emit_events: false}}\nexports:\n{a}{b}"))
}

#[test]
fn the_fallback_gets_what_became_a_dead_letter_once() {
    let a = Receiver::new(|request| match &*request.audit_id() {
        "e3" | "e4" => Answer::status(200),
        _ => Answer::status(400),
    });
    let b = Receiver::new(|request| match &*request.audit_id() {
        "e2" => Answer::status(422),
        _ => Answer::status(200),
    });
    let place = falling_back(&a, &b);
    let (metrics, finished) = place.carry(&events(5));
    finished.code(3);
    a.exactly(5);
    let arrived: BTreeSet<_> = b.audit_ids().into_iter().collect();
    assert_eq!(arrived, ["e0", "e1", "e2"].map(str::to_owned).into());
    b.exactly(3);
    let ids = |receiver: &Receiver| -> BTreeSet<String> {
        receiver.requests().iter().map(|r| r.delivery_id().to_owned()).collect()
    };
    assert!(ids(&a).is_disjoint(&ids(&b)), "another export is another delivery");
    for (name, export, count) in [
        ("events_dead_lettered_total", "a", 3.0),
        ("events_dead_lettered_total", "b", 1.0),
        ("events_replayed_total", "b", 3.0),
        ("events_delivered_total", "b", 2.0),
    ] {
        assert_eq!(metrics.sum(name, &[("export", export)]), count, "{name} {export}");
    }
    assert_eq!(place.dead_letters().len(), 4, "and what fails there is a dead letter, no more");
}

#[test]
fn what_falls_back_outlives_a_kill() {
    let (a, b) = (Receiver::always(Answer::status(400)), Receiver::always(Answer::hang()));
    let place = falling_back(&a, &b);
    let mut running = place.run().start();
    running.feed(events(3));
    running.shows("three dead letters", |metrics| {
        metrics.sum("dead_letters", &[("export", "a")]) == 3.0
    });
    running.kill();
    b.rewrite(|_| Answer::status(200));
    let before = b.requests().len();
    let running = place.run().start();
    let metrics = running.settled(0);
    running.end().code(0);
    assert_eq!(metrics.one("events_delivered_total", &[("export", "b")]), 3.0);
    let arrived: BTreeSet<_> = b.audit_ids().into_iter().skip(before).collect();
    assert_eq!(arrived, ["e0", "e1", "e2"].map(str::to_owned).into());
}

/// The numbers of the events that were taken, in order of arrival.
fn taken(receiver: &Receiver, from: usize) -> Vec<usize> {
    let ids = receiver.audit_ids();
    let mut numbers: Vec<usize> =
        ids[from..].iter().map(|id| id.trim_start_matches('e').parse().unwrap()).collect();
    // Attempts of the same event follow each other.
    numbers.dedup();
    numbers
}

fn follow_one_another(numbers: &[usize]) {
    let expected: Vec<_> = numbers.iter().enumerate().map(|(at, _)| numbers[0] + at).collect();
    assert_eq!(numbers, expected, "in the order of the lines");
}

#[test]
fn strict_order_is_the_order_of_the_lines_over_kills_and_stops() {
    // Every third attempt fails, one of them with a hold.
    let script = |limit: usize| {
        move |request: &Request| match request.number {
            _ if request.number >= limit => Answer::status(503),
            7 => Answer::status(429).header("Retry-After", "1"),
            number if number % 3 == 0 => Answer::status(503),
            _ => Answer::status(200),
        }
    };
    let a = Receiver::new(script(30));
    let place = Place::new(&format!(
        "shutdown_grace: 0.2\nexports:\n{}",
        export(
            "a",
            &a,
            "  order: strict\n  queue: {mode: disk, memory_events: 16}\n  \
             retry: {jitter: 0, backoff_seconds: [0.02], max_attempts: 100000}\n"
        )
    ));
    let mut running = place.run().start();
    running.feed(events(60));
    running.shows("all are on disk", |metrics| metrics.received() == 60.0);
    // It fails from here on: the line is held by a retry.
    a.wait_for(40);
    running.kill();
    let first = taken(&a, 0);
    assert_eq!(first[0], 0);
    follow_one_another(&first);
    let seen = a.requests().len();
    a.rewrite(script(seen + 25));
    let running = place.run().start();
    a.wait_for(seen + 30);
    running.terminate();
    running.wait().code(0);
    let second = taken(&a, seen);
    follow_one_another(&second);
    assert!(second[0] <= first[first.len() - 1], "{first:?} {second:?}");
    let seen = a.requests().len();
    a.rewrite(script(usize::MAX));
    let mut running = place.run().start();
    let more: String = (60..80).map(|number| event(&format!("e{number}"))).collect();
    running.feed(more);
    running.settled(20);
    running.end().code(0);
    let third = taken(&a, seen);
    follow_one_another(&third);
    assert!(third[0] <= second[second.len() - 1], "{second:?} {third:?}");
    assert_eq!(third[third.len() - 1], 79);
}

#[test]
fn strict_order_holds_while_memory_overflows() {
    let a = Receiver::new(|request| match request.number % 5 {
        1 => Answer::status(503),
        _ => Answer::status(200),
    });
    let b = Receiver::ok();
    let strict = "  order: strict\n  queue: {memory_events: 10}\n  \
                  retry: {jitter: 0, backoff_seconds: [0.01]}\n";
    // `b` has room, so what `a` has none for goes to disk.
    let exports = export("a", &a, strict) + &export("b", &b, "");
    let place = Place::new(&format!("exports:\n{exports}"));
    let mut running = place.run().start();
    running.feed(events(300));
    until("all at the other", || (b.requests().len() == 300).then_some(()));
    running.settled(300);
    running.end().code(0);
    let numbers = taken(&a, 0);
    follow_one_another(&numbers);
    assert_eq!(numbers.len(), 300);
}
