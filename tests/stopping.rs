//! How postrider stops, and what a later start takes up.

use crate::support::{Answer, Gate, Place, Receiver, Step, event, events, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn config(url: &str, further: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 100000}}\n{further}"
    )
}

/// Delivery ids by event.
fn ids(receiver: &Receiver) -> BTreeMap<String, String> {
    receiver.requests().iter().map(|r| (r.audit_id(), r.delivery_id().to_owned())).collect()
}

#[test]
fn at_the_end_of_its_input_it_drains_and_ends() {
    let receiver =
        Receiver::always(Answer::status(200).first(Step::Pause(Duration::from_millis(50))));
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.run().stdin(events(50)).finish().code(0);
    receiver.exactly(50);
}

#[test]
fn what_standard_input_gave_goes_to_the_store_and_is_delivered_by_the_next_start() {
    let receiver = Receiver::always(Answer::status(503));
    let place = Place::new(&config(&receiver.url("/"), "shutdown_grace: 0.3\n"));
    let mut running = place.run().start();
    running.feed(events(300));
    running.shows("all received", |metrics| metrics.received() == 300.0);
    until("every event was tried", || (ids(&receiver).len() == 300).then_some(()));
    let before = ids(&receiver);
    running.terminate();
    let stopped = running.wait().code(0);
    assert!(stopped.stderr.contains("kept=300"), "{}", stopped.stderr);
    let tried = receiver.requests().len();
    receiver.rewrite(|_| Answer::status(200));
    let mut running = place.run().start();
    let metrics = running.settled(0);
    assert_eq!(metrics.one("events_restored_total", &[("export", "a")]), 300.0);
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 300.0);
    running.close_stdin();
    running.wait().code(0);
    let requests = receiver.exactly(tried + 300);
    assert_eq!(ids(&receiver), before, "each keeps its delivery id");
    assert!(requests[tried..].iter().all(|request| request.attempt() > 1), "attempts go on");
    // Nothing is left for a third.
    place.run().finish().code(0);
    receiver.exactly(tried + 300);
}

#[test]
fn what_was_never_tried_is_kept_in_its_order() {
    let receiver = Receiver::always(Answer::hang());
    let config = config(&receiver.url("/"), "dlq: {emit_events: false}\nshutdown_grace: 0.2\n")
        .replace("url:", "concurrency: 1, url:")
        .replace("retry:", "queue: {memory_events: 10}\n  retry:");
    let place = Place::new(&config);
    let mut running = place.run().start();
    running.feed(events(300));
    receiver.wait_for(1);
    // More than the queue holds: what has been read and waits for room is kept too.
    running.shows("a source held back", |metrics| metrics.received() > 10.0);
    running.terminate();
    let stopped = running.wait().code(0).stderr;
    let kept = stopped.split("kept=").nth(1).and_then(|rest| rest.split(' ').next());
    let kept: usize = kept.and_then(|kept| kept.parse().ok()).expect("how many were kept");
    assert!(kept > 10, "{stopped}");
    receiver.rewrite(|_| Answer::status(200));
    place.run().finish().code(0);
    let arrived = receiver.audit_ids();
    let expected: Vec<_> = (0..kept).map(|number| format!("e{number}")).collect();
    assert_eq!(arrived[1..], expected);
}

#[test]
fn within_the_grace_everything_is_still_delivered() {
    let receiver =
        Receiver::answering([Answer::status(503), Answer::status(503), Answer::status(200)]);
    let place = Place::new(&config(&receiver.url("/"), "shutdown_grace: 20s\n"));
    let mut running = place.run().start();
    running.feed(event("e"));
    receiver.wait_for(1);
    running.terminate();
    let stopped = running.wait().code(0);
    assert!(stopped.stderr.contains("kept=0"), "{}", stopped.stderr);
    receiver.exactly(3);
}

#[test]
fn it_does_not_wait_for_what_cannot_happen_within_the_grace() {
    let receiver = Receiver::always(Answer::status(503));
    let config = config(&receiver.url("/"), "shutdown_grace: 25s\n").replace("[0.05]", "[1h]");
    let place = Place::new(&config);
    let mut running = place.run().start();
    running.feed(event("e"));
    receiver.wait_for(1);
    let waits = [("where", "retry")];
    running.shows("the wait", |metrics| metrics.sum("events_pending", &waits) == 1.0);
    let started = Instant::now();
    running.terminate();
    running.wait().code(0);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_second_signal_ends_at_once() {
    for signals in [
        [rustix::process::Signal::TERM; 2],
        [rustix::process::Signal::INT, rustix::process::Signal::TERM],
    ] {
        let receiver = Receiver::always(Answer::hang());
        let place = Place::new(
            &config(&receiver.url("/"), "shutdown_grace: 1h\n")
                .replace("url:", "timeout: 1h, url:"),
        );
        let mut running = place.run().start();
        running.feed(event("e"));
        receiver.wait_for(1);
        running.signal(signals[0]);
        running.says("stopping");
        assert_eq!(running.get("/ready", "").0, 503, "it is draining");
        running.signal(signals[1]);
        running.wait().code(1);
    }
}

#[test]
fn a_line_without_its_end_is_taken_in_when_it_stops() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let mut running = place.run().start();
    running.feed(event("whole") + "{\"audit_id\":\"open\"}");
    receiver.wait_for(1);
    running.terminate();
    running.wait().code(0);
    assert_eq!(receiver.audit_ids(), ["whole", "open"]);
}

#[test]
fn a_second_one_on_the_same_data_fails_clearly() {
    let place = Place::new("exports:\n- {name: a, destination: console}\nshutdown_grace: 0\n");
    let running = place.run().start().ready();
    // It waits the grace and 5 s: long enough for a restart.
    let second = place.run().set("shutdown_grace=0.1").finish().code(1);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    assert!(second.stderr.contains(&running.pid().to_string()), "{}", second.stderr);
    assert_eq!(running.get("/live", "").0, 200, "the first is not disturbed");
    running.end().code(0);
}

#[test]
fn a_restart_waits_for_the_one_that_ends() {
    let gate = Gate::new();
    let receiver = Receiver::always(Answer::status(200).first(Step::Wait(gate.clone())));
    let place = Place::new(&config(&receiver.url("/"), ""));
    let mut first = place.run().start();
    first.feed(event("e"));
    receiver.wait_for(1);
    first.terminate();
    first.says("stopping");
    let second = place.run().start();
    gate.open();
    first.wait().code(0);
    second.ready().end().code(0);
    receiver.exactly(1);
}

#[test]
fn what_a_killed_one_left_does_not_keep_the_next_from_starting() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.run().start().ready().kill();
    assert!(place.path("postrider-data/control.sock").exists(), "a stale socket");
    // A command finds nobody behind it, and works by itself.
    place.postrider(&["dlq", "replay"]).finish().code(0);
    let running = place.run().start().ready();
    let replay = place.postrider(&["dlq", "replay"]).finish().code(0);
    assert!(replay.stdout.contains("no dead letters"), "{}", replay.stdout);
    running.end().code(0);
}

#[test]
fn a_signal_while_nothing_happens_ends_it_in_order() {
    let place = Place::new("exports:\n- {name: a, destination: console}\n");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let running = place.run().start().ready();
        running.signal(signal);
        running.wait().code(0);
    }
}

#[test]
fn a_hangup_does_not_end_it() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let mut running = place.run().start().ready();
    running.signal(rustix::process::Signal::HUP);
    running.feed(event("e"));
    running.settled(1);
    running.end().code(0);
    receiver.exactly(1);
}
