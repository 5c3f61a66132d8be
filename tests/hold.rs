//! Retry-After: one answer holds all events of its export, and none of another.

use crate::support::{Answer, Gate, Place, Receiver, Request, Step, at_once, event, events};
use std::time::Duration;

/// Two exports with the same schedule: `a` to the one URL, `b` to the other.
fn config(a: &str, b: &str) -> String {
    let export = |name, url| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}', concurrency: 1}}\n  \
             retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 3}}\n"
        )
    };
    format!("exports:\n{}{}", export("a", a), export("b", b))
}

fn longest_gap(requests: &[Request]) -> Duration {
    requests.windows(2).map(|pair| pair[1].arrived - pair[0].arrived).max().unwrap_or_default()
}

#[test]
fn one_answer_holds_its_export_and_no_other() {
    let receiver =
        Receiver::answering([Answer::status(429).header("Retry-After", "2"), Answer::status(200)]);
    let other = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), &other.url("/")));
    let mut running = place.run().start();
    running.feed(events(5));
    receiver.wait_for(1);
    // The other export has everything while the first is held.
    other.wait_for(5);
    receiver.exactly(1);
    let metrics = running.settled(5);
    running.end().code(0);
    let requests = receiver.exactly(6);
    let held = requests[1].arrived - requests[0].arrived;
    assert!(held >= Duration::from_secs(2), "held for {held:?}");
    assert_eq!(requests[0].audit_id(), "e0");
    assert_eq!(requests[1].audit_id(), "e0", "what was held back goes first");
    assert_eq!(requests[1].attempt(), 2, "the held attempt is numbered");
    assert_eq!(metrics.one("retry_after_waits_total", &[("export", "a")]), 1.0);
    assert_eq!(metrics.one("retry_after_waits_total", &[("export", "b")]), 0.0);
}

#[test]
fn only_the_success_of_one_probe_lets_the_others_go() {
    let gate = Gate::new();
    let held = gate.clone();
    let receiver = Receiver::new(move |request| match request.number {
        0 => Answer::status(429).header("Retry-After", "1"),
        1 => Answer::status(503),
        2 => Answer::status(200).first(Step::Wait(held.clone())),
        _ => Answer::status(200),
    });
    let other = Receiver::ok();
    // Many slots: none of them may overtake the probe.
    let config =
        config(&receiver.url("/"), &other.url("/")).replace("concurrency: 1", "concurrency: 8");
    let place = Place::new(&config);
    let mut running = place.run().start();
    // One alone meets the 429, so that the others find the endpoint held.
    running.feed(event("first"));
    receiver.wait_for(1);
    let held = |metrics: &crate::support::Metrics| {
        metrics.one("retry_after_waits_total", &[("export", "a")]) == 1.0
    };
    running.shows("the hold", held);
    running.feed(events(10));
    receiver.wait_for(3);
    let everything = |metrics: &crate::support::Metrics| metrics.received() == 11.0;
    let metrics = running.shows("all received", everything);
    assert_eq!(metrics.one("events_pending", &[("export", "a"), ("where", "flight")]), 1.0);
    receiver.exactly(3);
    gate.open();
    running.settled(11);
    running.end().code(0);
    receiver.exactly(13);
}

#[test]
fn a_hold_uses_up_no_attempt() {
    let hold = || Answer::status(503).header("Retry-After", "0.01").body("{\"retry_after\": 0.01}");
    let receiver =
        Receiver::answering((0..6).map(|_| hold()).chain([503, 503, 200].map(Answer::status)));
    let other = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), &other.url("/")));
    place.carry(&event("e")).1.code(0);
    let requests = receiver.exactly(9);
    assert_eq!(requests[8].attempt(), 9);
}

#[test]
fn the_body_of_an_answer_may_say_how_long() {
    let receiver = Receiver::answering([
        Answer::status(429).body("{\"message\": \"slow down\", \"retry_after\": 0.7}"),
        Answer::status(200),
    ]);
    let other = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), &other.url("/")));
    let (metrics, finished) = place.carry(&events(3));
    finished.code(0);
    assert!(longest_gap(&receiver.exactly(4)) >= Duration::from_millis(700));
    assert_eq!(metrics.one("retry_after_waits_total", &[("export", "a")]), 1.0);
}

#[test]
fn an_answer_that_does_not_say_how_long_holds_nothing() {
    let values = [
        None,
        Some("soon"),
        Some("-5"),
        Some("Fri, 01 Jan 2010 00:00:00 GMT"),
        Some("99999999999999999999999"),
    ];
    at_once(values, |value| {
        let value = value.map(str::to_owned);
        let script = move |request: &Request| match (&*request.audit_id(), request.attempt()) {
            ("e0", 1) => match &value {
                Some(value) => Answer::status(503).header("Retry-After", value),
                None => Answer::status(503),
            },
            _ => Answer::status(200),
        };
        let receiver = Receiver::new(script);
        let other = Receiver::ok();
        // The wait of the schedule is long: what overtakes it was not held.
        let config = config(&receiver.url("/"), &other.url("/")).replace("[0.05]", "[2]");
        let place = Place::new(&config);
        let (metrics, finished) = place.carry(&events(3));
        finished.code(0);
        assert_eq!(receiver.audit_ids(), ["e0", "e1", "e2", "e0"]);
        assert_eq!(metrics.one("retry_after_waits_total", &[("export", "a")]), 0.0);
    });
}
