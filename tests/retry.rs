//! Attempts that fail: what is tried again, how often, and when it is a dead letter.

use crate::support::{Answer, Gate, Place, Receiver, Step, event, events, free_port};
use serde_json::json;
use std::time::Duration;

/// An export `a` to this URL that tries quickly, with further keys of `retry`.
fn config(url: &str, retry: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], {retry}}}\n"
    )
}

#[test]
fn values_with_blanks_stand_in_quotes_on_every_line_of_the_log() {
    let receiver = Receiver::always(Answer::status(503));
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{sources: [stdin]}}\n  retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 2}}\n",
        receiver.url("/")
    ));
    let said = place.run().stdin(event("e")).finish().code(3).stderr;
    for what in ["retry", "dead_letter"] {
        let line = said.lines().find(|line| line.contains(&format!(" {what} export=a ")));
        let line = line.unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(line.contains(" error=\"HTTP 503\" "), "{line}");
    }
}

#[test]
fn a_failed_attempt_is_repeated_as_it_was_but_for_its_number() {
    let receiver = Receiver::answering([503, 500, 429, 408, 425, 200].map(Answer::status));
    let place = Place::new(&config(&receiver.url("/"), ""));
    let (metrics, finished) = place.carry(&event("e"));
    finished.code(0);
    let requests = receiver.exactly(6);
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(request.attempt() as usize, number + 1);
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.delivery_id(), requests[0].delivery_id());
        assert_eq!(request.header("Idempotency-Key"), requests[0].header("Idempotency-Key"));
    }
    for (outcome, code, count) in
        [("retry", "503", 1.0), ("retry", "408", 1.0), ("delivered", "200", 1.0)]
    {
        let labels = [("export", "a"), ("outcome", outcome), ("code", code)];
        assert_eq!(metrics.one("attempts_total", &labels), count, "{outcome} {code}");
    }
}

#[test]
fn the_wait_after_each_attempt_is_that_of_the_schedule() {
    let receiver = Receiver::always(Answer::status(503));
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         retry: {{jitter: 0, max_attempts: 5, backoff_seconds: [0.1, 0.3, 200ms]}}\n",
        receiver.url("/")
    ));
    place.carry(&event("e")).1.code(3);
    let requests = receiver.exactly(5);
    let waits = requests.windows(2).map(|pair| pair[1].arrived - pair[0].arrived);
    // Never early; how late depends on the machine.
    for (wait, least) in waits.zip([100, 300, 200, 200]) {
        assert!(wait >= Duration::from_millis(least), "{wait:?} after a wait of {least} ms");
    }
}

#[test]
fn a_refused_connection_is_tried_again_until_somebody_listens() {
    let port = free_port();
    let place = Place::new(&config(&format!("http://127.0.0.1:{port}/"), "max_attempts: 1000"));
    let mut running = place.run().start();
    running.feed(event("e"));
    let refused = [("export", "a"), ("outcome", "retry"), ("code", "none")];
    running.shows("two attempts", |metrics| metrics.sum("attempts_total", &refused) >= 2.0);
    let receiver = Receiver::on(port, |_| Answer::status(200));
    let metrics = running.settled(1);
    running.end().code(0);
    let attempts = metrics.sum("attempts_total", &[]);
    assert_eq!(f64::from(receiver.exactly(1)[0].attempt()), attempts);
}

#[test]
fn an_attempt_without_a_verdict_ends_with_its_timeout() {
    let receiver = Receiver::answering([Answer::hang(), Answer::status(200)]);
    let config = config(&receiver.url("/"), "").replace("url:", "timeout: 1.5s, url:");
    let place = Place::new(&config);
    let (metrics, finished) = place.carry(&event("e"));
    assert!(finished.code(0).stderr.contains("no answer in time"));
    receiver.exactly(2);
    let labels = [("outcome", "retry"), ("code", "none")];
    assert_eq!(metrics.sum("attempts_total", &labels), 1.0);
}

#[test]
fn an_exhausted_schedule_is_one_dead_letter_and_one_event_at_another_export() {
    let receiver = Receiver::always(Answer::status(503).body("try later"));
    let news = Receiver::ok();
    let place = Place::new(&format!(
        "{}  filters: {{exclude_event_kinds: ['webhook.*']}}\n- name: news\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n  filters: {{event_kinds: [webhook.dlq]}}\n",
        config(&receiver.url("/"), "max_attempts: 5"),
        news.url("/news")
    ));
    let mut running = place.run().start();
    running.feed(event("e"));
    let told = news.wait_for(1);
    let metrics = running.settled(1);
    running.end().code(3);
    let requests = receiver.exactly(5);
    assert_eq!(
        requests.iter().map(|request| request.attempt()).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    let labels = [("export", "a"), ("reason", "retries_exhausted")];
    assert_eq!(metrics.one("events_dead_lettered_total", &labels), 1.0);
    assert_eq!(metrics.one("dead_letters", &[("export", "a")]), 1.0);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    for (field, value) in [
        ("reason", json!("retries_exhausted")),
        ("attempts", json!(5)),
        ("last_status", json!(503)),
        ("last_error", json!("HTTP 503")),
        ("response", json!("try later")),
        ("state", json!("dead")),
        ("audit_id", json!("e")),
        ("delivery_id", json!(requests[0].delivery_id())),
    ] {
        assert_eq!(letter[field], value, "{field}");
    }
    assert_eq!(news.exactly(1).len(), told.len());
    assert_eq!(told[0].json()["dead_letter_id"], letter["id"]);
}

#[test]
fn a_status_that_is_not_retried_is_rejected_at_once() {
    for status in [400, 401, 403, 404, 413, 422, 418] {
        let receiver = Receiver::answering([
            Answer::status(status).body("no such thing"),
            Answer::status(200),
        ]);
        let place = Place::new(&config(&receiver.url("/"), ""));
        let (metrics, finished) = place.carry(&event("e"));
        finished.code(3);
        receiver.exactly(1);
        let labels = [("export", "a"), ("reason", "rejected")];
        assert_eq!(metrics.one("events_dead_lettered_total", &labels), 1.0, "{status}");
        let letter = &place.dead_letters()[0];
        assert_eq!(letter["last_status"], json!(status));
        assert_eq!(
            (&letter["attempts"], &letter["response"]),
            (&json!(1), &json!("no such thing"))
        );
    }
}

#[test]
fn retry_on_says_which_statuses_are_tried_again() {
    let receiver = Receiver::answering([404, 501, 200].map(Answer::status));
    let place = Place::new(&config(&receiver.url("/"), "retry_on: [4xx, 500-504]"));
    place.carry(&event("e")).1.code(0);
    receiver.exactly(3);
    let receiver = Receiver::answering([505, 200].map(Answer::status));
    let place = Place::new(&config(&receiver.url("/"), "retry_on: [4xx, 500-504]"));
    place.carry(&event("e")).1.code(3);
    receiver.exactly(1);
}

#[test]
fn a_redirect_is_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let target = Receiver::ok();
        let receiver =
            Receiver::always(Answer::status(status).header("Location", &target.url("/")));
        let place = Place::new(&config(&receiver.url("/"), ""));
        place.carry(&event("e")).1.code(3);
        receiver.exactly(1);
        target.exactly(0);
        assert_eq!(place.dead_letters()[0]["reason"], "rejected", "{status}");
    }
}

#[test]
fn a_waiting_retry_holds_no_connection_and_no_slot() {
    let gate = Gate::new();
    let held = gate.clone();
    let receiver = Receiver::new(move |request| match request.audit_id().as_str() {
        "bad" => Answer::status(503),
        _ => Answer::status(200).first(Step::Wait(held.clone())),
    });
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
         retry: {{jitter: 0, backoff_seconds: [60]}}\nshutdown_grace: 0.1\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(event("bad") + &events(3));
    gate.open();
    let delivered = |metrics: &crate::support::Metrics| {
        metrics.one("events_delivered_total", &[("export", "a")]) == 3.0
    };
    let metrics = running.shows("the others delivered", delivered);
    for (place, count) in [("retry", 1.0), ("flight", 0.0), ("memory", 0.0)] {
        assert_eq!(metrics.one("events_pending", &[("export", "a"), ("where", place)]), count);
    }
    running.terminate();
    running.wait().code(0);
}

#[test]
fn the_answer_that_is_kept_is_bounded() {
    let receiver = Receiver::always(Answer::status(400).body(vec![b'x'; 200_000]));
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.carry(&event("e")).1.code(3);
    assert_eq!(place.dead_letters()[0]["response"], "x".repeat(1024));
}

#[test]
fn https_at_a_port_without_it_is_a_failed_attempt() {
    let receiver = Receiver::ok();
    let url = receiver.url("/").replace("http:", "https:");
    let place = Place::new(&config(&url, "max_attempts: 2"));
    place.carry(&event("e")).1.code(3);
    receiver.exactly(0);
    let letter = &place.dead_letters()[0];
    assert_eq!((&letter["attempts"], &letter["last_status"]), (&json!(2), &json!(null)));
}

#[test]
fn of_a_host_with_several_addresses_the_one_that_answers_is_used() {
    let receiver = Receiver::ok();
    // `::1` comes first where the system knows it, and nothing listens there.
    let url = receiver.url("/").replace("127.0.0.1", "localhost");
    let place = Place::new(&config(&url, "max_attempts: 1"));
    place.carry(&event("e")).1.code(0);
    let host = format!("localhost:{}", receiver.port());
    assert_eq!(receiver.exactly(1)[0].header("Host"), Some(&*host));
}

#[test]
fn a_host_that_does_not_exist_is_a_failed_attempt() {
    let place = Place::new(&config("http://nowhere.invalid/", "max_attempts: 2"));
    place.carry(&event("e")).1.code(3);
    let letter = &place.dead_letters()[0];
    assert_eq!(letter["reason"], "retries_exhausted");
    assert!(!letter["last_error"].as_str().unwrap().contains("invalid"), "{letter}");
}

#[test]
fn the_number_of_the_attempt_changes_no_body() {
    let receiver = Receiver::answering([Answer::status(503), Answer::status(200)]);
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, retry: {{jitter: 0, backoff_seconds: [0.05]}}, \
         webhook: {{url: '{}', body_template: '{{\"n\":{{{{postrider.attempt}}}}}}'}}}}\n",
        receiver.url("/")
    ));
    place.run().stdin(event("1")).finish().code(0);
    let requests = receiver.exactly(2);
    assert_eq!(requests[0].text(), "{\"n\":1}");
    assert_eq!(requests[1].text(), requests[0].text());
}
