//! Filters: which events an export takes. Every key that is present must hold.

use crate::support::{Place, Receiver, event_with};
use serde_json::{Value, json};

/// Asserts which of these events (id, further fields) each export with these filters gets.
fn assert_takes(events: &[(&str, Value)], exports: &[(&str, &[&str])]) {
    let receivers: Vec<_> = exports.iter().map(|_| Receiver::ok()).collect();
    let mut config = String::from("exports:\n");
    for (number, ((filters, _), receiver)) in exports.iter().zip(&receivers).enumerate() {
        config.push_str(&format!(
            "- name: x{number}\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
             filters: {filters}\n",
            receiver.url("/")
        ));
    }
    let place = Place::new(&config);
    let lines: String = events.iter().map(|(id, fields)| event_with(id, fields.clone())).collect();
    let (metrics, finished) = place.carry(&lines);
    finished.code(0);
    for (number, ((filters, expected), receiver)) in exports.iter().zip(&receivers).enumerate() {
        assert_eq!(receiver.audit_ids(), *expected, "filters: {filters}");
        let labels = [("export", &*format!("x{number}"))];
        assert_eq!(metrics.one("events_routed_total", &labels), expected.len() as f64);
    }
}

#[test]
fn by_severity() {
    let events = [
        ("debug", json!({"severity": "debug"})),
        ("info", json!({"severity": "INFO"})),
        ("warning", json!({"severity": "Warning"})),
        ("err", json!({"severity": "err"})),
        ("critical", json!({"severity": "critical"})),
        ("number", json!({"severity": 0})),
        ("strange", json!({"severity": "purple"})),
        ("absent", json!({"severity": null})),
    ];
    let all: Vec<_> = events.iter().map(|(id, _)| *id).collect();
    assert_takes(
        &events,
        &[
            ("{min_severity: error}", &["err", "critical", "number", "strange"]),
            ("{min_severity: emergency}", &["number", "strange"]),
            ("{min_severity: debug}", &all),
            ("{}", &all),
        ],
    );
}

#[test]
fn by_kind() {
    let kind = |kind: &str| json!({ "event_kind": kind });
    let events = [
        ("1", kind("auth_ok")),
        ("2", kind("auth_fail.x/y")),
        ("3", kind("Auth_ok")),
        ("4", kind("policy_block")),
        ("5", json!({"event_kind": null})),
    ];
    assert_takes(
        &events,
        &[
            ("{event_kinds: ['auth_*']}", &["1", "2"]),
            ("{event_kinds: [policy_block, unknown]}", &["4", "5"]),
            ("{exclude_event_kinds: ['auth_*']}", &["3", "4", "5"]),
            ("{event_kinds: ['*'], exclude_event_kinds: ['*_ok']}", &["2", "4", "5"]),
            ("{event_kinds: ['auth_*', '!*_ok']}", &["2"]),
        ],
    );
}

#[test]
fn by_fields() {
    let events = [
        ("1", json!({"session": "myapp/main", "policy_result": {"verdict": "deny"}})),
        ("2", json!({"session": "myapp/prod-7", "policy_result": {"verdict": "allow"}, "n": 3})),
        ("3", json!({"policy_result": {"verdict": "deny"}, "on": true})),
        ("4", json!({"session": ["other", "myapp/main"], "a/b": {"c": "x"}})),
        ("5", json!({"session": null, "policy_result": "deny", "n": "3"})),
    ];
    assert_takes(
        &events,
        &[
            ("{when: {session: ['myapp/main', 'myapp/prod*']}}", &["1", "2", "4"]),
            ("{when: {policy_result.verdict: [deny]}}", &["1", "3"]),
            ("{when: {/policy_result/verdict: [deny]}}", &["1", "3"]),
            ("{when: {session: ['myapp*'], policy_result.verdict: [allow]}}", &["2"]),
            ("{when: {n: ['3'], session: ['*']}}", &["2"]),
            ("{when: {'on': ['true']}}", &["3"]),
            ("{when: {/a~1b/c: [x]}}", &["4"]),
            ("{when: {session: ['*', '!other']}}", &["1", "2", "4"]),
        ],
    );
}

#[test]
fn by_expression() {
    let events = [
        ("1", json!({"cost": {"usd": 0.7}, "message": "has pii inside"})),
        ("2", json!({"cost": {"usd": 0.4}, "message": "has pii inside"})),
        ("3", json!({"message": "has pii inside"})),
        ("4", json!({"cost": {"usd": 2}, "message": "clean"})),
    ];
    assert_takes(
        &events,
        &[
            ("{expr: \"cost.usd > 0.5 and 'pii' in message\"}", &["1"]),
            ("{expr: \"severity == 'error' and not cost\"}", &["3"]),
        ],
    );
}

#[test]
fn an_expression_that_fails_on_an_event_takes_it_and_is_counted() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
         filters: {{expr: \"n + 1 > 5\"}}\n",
        receiver.url("/")
    ));
    let lines = event_with("fails", json!({"n": {"not": "a number"}}))
        + &event_with("takes", json!({"n": 7}))
        + &event_with("leaves", json!({"n": 1}));
    let (metrics, finished) = place.carry(&lines);
    finished.code(0);
    assert_eq!(receiver.audit_ids(), ["fails", "takes"]);
    assert_eq!(metrics.one("filter_errors_total", &[("export", "a")]), 1.0);
}

#[test]
fn unmatched_takes_what_no_other_took() {
    let events = [
        ("1", json!({"severity": "error", "event_kind": "a"})),
        ("2", json!({"severity": "info", "event_kind": "b"})),
        ("3", json!({"severity": "info", "event_kind": "c"})),
    ];
    assert_takes(
        &events,
        &[
            // Its place in the list does not matter.
            ("{unmatched: true}", &["3"]),
            ("{min_severity: error}", &["1"]),
            ("{event_kinds: [b]}", &["2"]),
            ("{unmatched: true, event_kinds: [b, d]}", &[]),
        ],
    );
}

#[test]
fn all_keys_must_hold() {
    let events = [
        ("1", json!({"severity": "error", "event_kind": "a", "x": "1"})),
        ("2", json!({"severity": "info", "event_kind": "a", "x": "1"})),
        ("3", json!({"severity": "error", "event_kind": "b", "x": "1"})),
        ("4", json!({"severity": "error", "event_kind": "a", "x": "2"})),
    ];
    let filters = "{min_severity: error, event_kinds: [a], when: {x: ['1']}, sources: [std*]}";
    assert_takes(&events, &[(filters, &["1"]), ("{sources: [other, '!stdin']}", &[])]);
}

#[test]
fn what_nobody_takes_is_counted_and_settled() {
    let place = Place::new(
        "exports:\n- {name: a, destination: console, filters: {event_kinds: [nothing]}}\n",
    );
    let (metrics, finished) = place.carry(&crate::support::events(3));
    assert_eq!(finished.code(0).stdout, "");
    assert_eq!(metrics.one("events_unmatched_total", &[]), 3.0);
    assert_eq!(metrics.one("events_filtered_total", &[("export", "a")]), 3.0);
}

#[test]
fn a_mapping_says_where_foreign_events_keep_their_envelope() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "sources:\n- name: in\n  type: stdin\n  event:\n    id: /meta/uid\n    kind: /decision\n    \
         agent: /who\n    severity: {{from: /level, map: {{deny: error, allow: info}}, default: notice}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
         filters: {{min_severity: notice}}\n",
        receiver.url("/")
    ));
    let lines = "{\"meta\":{\"uid\":\"u1\"},\"decision\":\"block\",\"level\":\"deny\"}\n\
                 {\"meta\":{\"uid\":\"u2\"},\"decision\":\"pass\",\"level\":\"allow\"}\n\
                 {\"meta\":{\"uid\":\"u3\"},\"decision\":\"ask\"}\n";
    place.carry(lines).1.code(0);
    let ids: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| {
            let header = |name| request.header(name).unwrap().to_owned();
            (header("X-Postrider-Event-ID"), header("X-Postrider-Event"))
        })
        .collect();
    let expected = [("u1", "block"), ("u3", "ask")];
    assert_eq!(ids, expected.map(|(id, kind)| (id.to_owned(), kind.to_owned())));
}
