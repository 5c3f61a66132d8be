//! A delivered event: the request that the receiver sees.

use crate::support::{Place, Receiver, event, event_with, events};
use serde_json::json;

/// An export `a` to this URL, with further keys of `webhook`.
fn config(url: &str, webhook: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: \"{url}\", {webhook}}}\n"
    )
}

#[test]
fn the_body_is_the_line_as_it_came() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/hook"), ""));
    let line = "{ \"b\" : 1.50,\"a\":\"\\u00e9 é\", \"a\":[ ], \"audit_id\":\"x\" }";
    let (_, finished) = place.carry(&format!("{line}\n"));
    finished.code(0);
    let requests = receiver.exactly(1);
    assert_eq!(requests[0].text(), line);
    assert_eq!((&*requests[0].method, &*requests[0].target), ("POST", "/hook"));
}

#[test]
fn a_request_carries_the_standard_headers() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.carry(&event("ae_1")).1.code(0);
    let request = &receiver.exactly(1)[0];
    let id = request.delivery_id().to_owned();
    let host = format!("127.0.0.1:{}", receiver.port());
    let length = request.body.len().to_string();
    for (name, value) in [
        ("Host", &*host),
        ("User-Agent", concat!("postrider/", env!("CARGO_PKG_VERSION"))),
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
        ("X-Postrider-Event", "policy_block"),
        ("X-Postrider-Event-ID", "ae_1"),
        ("X-Postrider-Attempt", "1"),
        ("Idempotency-Key", &id),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(request.headers.len(), 9, "nothing else is sent: {request}");
}

#[test]
fn each_event_has_a_delivery_id_of_its_own_for_each_export() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{0}'}}}}\n\
         - {{name: b, destination: webhook, webhook: {{url: '{0}'}}}}\n",
        receiver.url("/")
    ));
    // Equal lines are different events.
    place.carry(&event("same").repeat(20)).1.code(0);
    let requests = receiver.exactly(40);
    let ids: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.delivery_id().to_owned()).collect();
    assert_eq!(ids.len(), 40);
}

#[test]
fn an_event_without_an_id_is_given_one_by_its_position() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let line = event_with("", json!({"audit_id": null, "event_kind": null}));
    place.carry(&line.repeat(2)).1.code(0);
    let requests = receiver.exactly(2);
    let id = |number: usize| requests[number].header("X-Postrider-Event-ID").unwrap().to_owned();
    assert!(!id(0).is_empty() && id(0) != id(1), "{} {}", id(0), id(1));
    assert_eq!(requests[0].header("X-Postrider-Event"), Some("unknown"));
    assert_eq!(requests[0].text(), line.trim_end(), "the body stays as it came");
}

#[test]
fn a_configured_header_replaces_a_standard_one_and_null_leaves_it_out() {
    let receiver = Receiver::ok();
    let headers = "headers: {user-agent: mine/1, Content-Type: application/x-ndjson, \
                   X-Postrider-Attempt: null, x-team: red, Authorization: 'Bearer t0ken'}";
    let place = Place::new(&config(&receiver.url("/"), headers));
    place.carry(&event("e")).1.code(0);
    let request = &receiver.exactly(1)[0];
    for (name, value) in [
        ("User-Agent", Some("mine/1")),
        ("Content-Type", Some("application/x-ndjson")),
        ("X-Postrider-Attempt", None),
        ("X-Team", Some("red")),
        ("Authorization", Some("Bearer t0ken")),
        ("X-Postrider-Event", Some("policy_block")),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
}

#[test]
fn what_an_event_holds_cannot_add_headers() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let line = event_with(
        "id\r\nX-Evil: 1",
        json!({"event_kind": "kind\r\n\r\nPOST /evil HTTP/1.1\r\nHost: x\u{0}é"}),
    );
    place.carry(&line).1.code(0);
    let request = &receiver.exactly(1)[0];
    assert_eq!(request.header("X-Evil"), None);
    assert_eq!(request.header("X-Postrider-Event-ID"), Some("id%0D%0AX-Evil: 1"));
    assert_eq!(
        request.header("X-Postrider-Event"),
        Some("kind%0D%0A%0D%0APOST /evil HTTP/1.1%0D%0AHost: x%00%C3%A9")
    );
}

#[test]
fn a_header_value_with_a_line_break_is_a_dead_letter_render() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "headers: {X-Team: \"{{ agent_id }}\"}"));
    let lines = event_with("bad", json!({"agent_id": "a\r\nX-Evil: 1"})) + &event("good");
    let (metrics, finished) = place.carry(&lines);
    finished.code(3);
    assert_eq!(receiver.audit_ids(), ["good"]);
    assert_eq!(receiver.requests()[0].header("X-Team"), Some("agent-1"));
    let labels = [("export", "a"), ("reason", "render")];
    assert_eq!(metrics.one("events_dead_lettered_total", &labels), 1.0);
    let letters = place.dead_letters();
    assert_eq!((&letters[0]["reason"], &letters[0]["attempts"]), (&json!("render"), &json!(0)));
    assert!(letters[0]["last_error"].as_str().unwrap().to_lowercase().contains("x-team"));
}

#[test]
fn the_method_and_the_query_are_as_configured() {
    let receiver = Receiver::ok();
    let url = receiver.url("/a%20b/c?x=1&y=%2F#fragment");
    let place = Place::new(&config(&url, "method: PUT"));
    place.carry(&event("e")).1.code(0);
    let request = &receiver.exactly(1)[0];
    assert_eq!((&*request.method, &*request.target), ("PUT", "/a%20b/c?x=1&y=%2F"));
}

#[test]
fn no_value_leads_a_request_to_another_path() {
    let receiver = Receiver::ok();
    let url = receiver.url("/x/../in/{{a}}/{{b}}{{c}}/.{{d}}?q={{a}}");
    let place = Place::new(&config(&url, ""));
    let bad = [
        json!({"a": "..", "b": "b", "c": "c", "d": "d"}),
        json!({"a": ".", "b": "b", "c": "c", "d": "d"}),
        json!({"a": "a", "b": ".", "c": ".", "d": "d"}),
        json!({"a": "a", "b": "b", "c": "c", "d": "."}),
        json!({"a": "a", "b": "b", "c": "c"}),
    ];
    let good = [
        json!({"a": "../..", "b": "%2e%2e", "c": "", "d": "d"}),
        json!({"a": "...", "b": ".", "c": "c", "d": "d"}),
    ];
    let text: String = bad.iter().chain(&good).map(|event| format!("{event}\n")).collect();
    place.run().stdin(text).start().wait().code(3);
    let mut targets: Vec<_> = receiver.requests().into_iter().map(|it| it.target).collect();
    targets.sort();
    assert_eq!(targets, ["/in/..%2F../%252e%252e/.d?q=..%2F..", "/in/.../.c/.d?q=..."]);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), bad.len());
    for letter in letters {
        assert_eq!(letter["reason"], "render");
        let error = letter["last_error"].as_str().unwrap();
        assert!(error.contains("url: a value makes a path segment `.` or `..`"), "{letter}");
    }
}

#[test]
fn a_template_makes_the_url_and_the_body_from_the_event() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook:\n    url: '{}'\n    body_template: |\n      \
         {{\"summary\": \"{{{{event_kind}}}} on {{{{agent_id}}}}\", \"details\": {{{{event_json}}}}, \"user\": {{{{user}}}}}}\n",
        receiver.url("/in/{{agent_id}}?kind={{event_kind}}")
    ));
    let line = event_with("e", json!({"agent_id": "a/b ?\"é", "user": {"name": "x\ny"}}));
    place.carry(&line).1.code(0);
    let request = &receiver.exactly(1)[0];
    assert_eq!(request.target, "/in/a%2Fb%20%3F%22%C3%A9?kind=policy_block");
    let body = request.json();
    assert_eq!(body["summary"], "policy_block on a/b ?\"é");
    assert_eq!(body["details"]["audit_id"], "e");
    assert_eq!(body["user"], json!({"name": "x\ny"}));
    assert!(request.text().contains(line.trim_end()), "event_json is the untouched line");
}

#[test]
fn a_body_that_is_not_json_is_never_sent() {
    let receiver = Receiver::ok();
    let template = "body_template: '{\"a\": {% if n %}{{ n }}{% endif %}}'";
    let place = Place::new(&config(&receiver.url("/"), template));
    let lines = event("bad") + &event_with("good", json!({"n": 1}));
    place.carry(&lines).1.code(3);
    assert_eq!(receiver.exactly(1)[0].text(), "{\"a\": 1}");
    assert_eq!(place.dead_letters()[0]["reason"], "render");
}

#[test]
fn a_body_over_the_limit_is_a_dead_letter_too_large() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "max_body_bytes: 1KB"));
    let lines = event_with("big", json!({"x": "x".repeat(1200)})) + &event("small");
    place.carry(&lines).1.code(3);
    assert_eq!(receiver.audit_ids(), ["small"]);
    assert_eq!(place.dead_letters()[0]["reason"], "too_large");
}

#[test]
fn no_more_requests_are_in_flight_than_concurrency_allows() {
    let gate = crate::support::Gate::new();
    let answer =
        crate::support::Answer::status(200).first(crate::support::Step::Wait(gate.clone()));
    let receiver = Receiver::always(answer);
    let place = Place::new(&config(&receiver.url("/"), "concurrency: 3"));
    let mut running = place.run().start();
    running.feed(events(20));
    receiver.wait_for(3);
    let flight = [("export", "a"), ("where", "flight")];
    let metrics = running.shows("all received", |metrics| metrics.received() == 20.0);
    assert_eq!(metrics.one("events_pending", &flight), 3.0);
    receiver.exactly(3);
    gate.open();
    running.settled(20);
    running.end().code(0);
    assert!(receiver.connections() <= 3, "connections are kept: {}", receiver.connections());
}

#[test]
fn what_is_delivered_is_counted_and_timed() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let (metrics, _) = place.carry(&events(7));
    let a = ("export", "a");
    assert_eq!(metrics.one("events_delivered_total", &[a]), 7.0);
    let attempts = [a, ("outcome", "delivered"), ("code", "200")];
    assert_eq!(metrics.one("attempts_total", &attempts), 7.0);
    assert_eq!(metrics.sum("attempts_total", &[]), 7.0);
    assert_eq!(metrics.one("attempt_duration_seconds_count", &[a]), 7.0);
    assert_eq!(metrics.one("delivery_latency_seconds_count", &[a]), 7.0);
    assert!(metrics.one("last_delivery_timestamp_seconds", &[a]) > 1.7e9);
    assert_eq!(metrics.one("received_bytes_total", &[("source", "stdin")]), events(7).len() as f64);
}
