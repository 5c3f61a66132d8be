//! What a platform's answers do, against a receiver that answers as the platform does.

use crate::support::{Answer, Place, Receiver, at_once, event, event_with, events};
use serde_json::json;
use std::time::Duration;

/// An export to this platform that tries twice, quickly, and buries what is gone.
fn config(url: &str, webhook: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{url}', concurrency: 1, timeout: 2s, {webhook}}}\n  \
         rate_limit: {{requests: 1000, per: 1s}}\n  on_gone: dead_letter\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 2}}\n"
    )
}

fn platform(name: &str) -> String {
    let key = if name == "pagerduty" { ", pagerduty: {routing_key: k}" } else { "" };
    format!("platform: {name}{key}")
}

#[test]
fn answers_mean_what_the_platform_says() {
    const TEAMS: &str =
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error ";
    let cases = [
        ("slack", 200, "ok".to_owned(), "delivered"),
        ("slack", 200, "no_service".into(), "endpoint_gone"),
        ("slack", 404, "no_service".into(), "endpoint_gone"),
        ("slack", 403, "invalid_token".into(), "endpoint_gone"),
        ("slack", 410, "channel_is_archived".into(), "endpoint_gone"),
        ("slack", 400, "invalid_blocks".into(), "rejected"),
        ("slack", 500, "rollup_error".into(), "retries_exhausted"),
        ("slack", 200, "<html>proxy</html>".into(), "retries_exhausted"),
        ("slack", 200, "".into(), "retries_exhausted"),
        ("discord", 200, json!({"id": "1"}).to_string(), "delivered"),
        ("discord", 204, "".into(), "delivered"),
        ("discord", 404, json!({"code": 10015}).to_string(), "endpoint_gone"),
        ("discord", 401, json!({"code": 50027}).to_string(), "endpoint_gone"),
        ("discord", 400, json!({"code": 50035}).to_string(), "rejected"),
        ("discord", 400, json!({"code": 20028}).to_string(), "retries_exhausted"),
        ("discord", 403, json!({"code": 40333}).to_string(), "retries_exhausted"),
        ("teams", 202, "".into(), "delivered"),
        ("teams", 200, "1".into(), "delivered"),
        ("teams", 200, format!("{TEAMS}429 with ContextId x"), "retries_exhausted"),
        ("teams", 200, format!("{TEAMS}413 with ContextId x"), "rejected"),
        ("teams", 200, format!("{TEAMS}400 with ContextId x"), "rejected"),
        ("teams", 200, format!("{TEAMS}404 with ContextId x"), "endpoint_gone"),
        ("teams", 200, format!("{TEAMS}500 with ContextId x"), "retries_exhausted"),
        ("pagerduty", 202, "{}".into(), "delivered"),
        ("pagerduty", 400, "{}".into(), "rejected"),
        ("pagerduty", 429, "".into(), "retries_exhausted"),
        ("openclaw", 200, "anything".into(), "delivered"),
        ("webhook", 200, "no_service".into(), "delivered"),
    ];
    let mut cases = cases.into_iter().peekable();
    while cases.peek().is_some() {
        // A few at a time: each is a process.
        let some: Vec<_> = cases.by_ref().take(4).collect();
        at_once(some, |(name, status, body, expected)| {
            let receiver = Receiver::always(Answer::status(status).body(body.clone()));
            let place = Place::new(&config(&receiver.url("/hook"), &platform(name)));
            let (_, finished) = place.carry(&event("e"));
            let case = format!("{name} {status} {body}");
            let attempts = if expected == "retries_exhausted" { 2 } else { 1 };
            assert_eq!(receiver.requests().len(), attempts, "{case}");
            let letters = place.dead_letters();
            if expected == "delivered" {
                assert!(letters.is_empty(), "{case}: {letters:?}");
                finished.code(0);
            } else {
                assert_eq!(letters[0]["reason"], json!(expected), "{case}");
                assert_eq!(letters[0]["last_status"], json!(status), "{case}");
                finished.code(3);
            }
        });
    }
}

#[test]
fn a_body_that_tells_is_waited_for_and_one_that_never_comes_is_no_delivery() {
    use crate::support::Step;
    let late = Answer::status(200)
        .claims_length(2)
        .then(Step::Pause(Duration::from_millis(600)))
        .then(Step::Write(b"ok".into()));
    let never = Answer::status(200).claims_length(2).then(Step::Hang);
    let receiver = Receiver::answering([never, late]);
    let place = Place::new(&config(&receiver.url("/"), "platform: slack"));
    place.carry(&event("e")).1.code(0);
    assert_eq!(receiver.exactly(2)[1].attempt(), 2);
}

#[test]
fn a_bucket_that_is_empty_is_left_alone_before_it_says_so() {
    let receiver = Receiver::new(|request| {
        let left = if request.number == 1 { "0" } else { "4" };
        Answer::status(204)
            .header("X-RateLimit-Remaining", left)
            .header("X-RateLimit-Reset-After", "0.5")
    });
    let place = Place::new(&config(&receiver.url("/"), "platform: discord"));
    let (metrics, finished) = place.carry(&events(4));
    finished.code(0);
    let requests = receiver.exactly(4);
    let wait = |number: usize| requests[number + 1].arrived - requests[number].arrived;
    assert!(wait(1) >= Duration::from_millis(500), "{:?}", wait(1));
    assert!(requests.iter().all(|request| request.attempt() == 1));
    assert_eq!(metrics.sum("retry_after_waits_total", &[]), 1.0);
}

#[test]
fn discord_says_in_its_body_or_headers_how_long_to_wait() {
    let limited = || Answer::status(429);
    let cases = [
        limited().body(r#"{"message": "slow down", "retry_after": 0.4, "global": false}"#),
        limited().header("X-RateLimit-Reset-After", "0.4"),
        limited().header("Retry-After", "1").body(r#"{"retry_after": 0.4}"#),
    ];
    at_once(cases, |answer| {
        let receiver = Receiver::answering([answer, Answer::status(204)]);
        let place = Place::new(&config(&receiver.url("/"), "platform: discord"));
        place.carry(&event("e")).1.code(0);
        let requests = receiver.exactly(2);
        let wait = requests[1].arrived - requests[0].arrived;
        assert!(wait >= Duration::from_millis(400), "{wait:?}");
    });
}

#[test]
fn addresses_are_rewritten_and_threads_named() {
    let receiver = Receiver::always(Answer::status(204));
    let keys = "platform: discord, discord: {thread_id: '77', username: '{{agent_id}}'}";
    let place = Place::new(&config(&receiver.url("/api/webhooks/1/t0ken"), keys));
    place.carry(&event_with("e", json!({"agent_id": "bot_7"}))).1.code(0);
    let request = &receiver.exactly(1)[0];
    assert_eq!(request.target, "/api/v10/webhooks/1/t0ken?thread_id=77&wait=true");
    assert_eq!(request.json()["username"], "bot_7");
}

#[test]
fn what_the_user_says_of_answers_stands_above_all() {
    let rows = "answers: [{status: [409], is: delivered}, {status: [500], body: [hopeless], is: rejected}, \
                {body: [try again], is: retry}]";
    let cases = [
        (Answer::status(409), None, 1),
        (Answer::status(500).body("this is hopeless"), Some("rejected"), 1),
        (Answer::status(200).body("please try again"), Some("retries_exhausted"), 2),
        (Answer::status(404).body("try again"), Some("retries_exhausted"), 2),
        (Answer::status(200).body("fine"), None, 1),
    ];
    at_once(cases, |(answer, reason, attempts)| {
        let receiver = Receiver::always(answer.clone());
        let place = Place::new(&config(&receiver.url("/"), rows));
        let (_, finished) = place.carry(&event("e"));
        assert_eq!(receiver.requests().len(), attempts, "{answer:?}");
        match reason {
            None => drop(finished.code(0)),
            Some(reason) => assert_eq!(place.dead_letters()[0]["reason"], json!(reason)),
        }
    });
}

#[test]
fn retry_on_stands_above_what_is_known_of_a_platform() {
    let receiver = Receiver::answering([
        Answer::status(404).body("no_service"),
        Answer::status(200).body("ok"),
    ]);
    let text = config(&receiver.url("/"), "platform: slack");
    let place = Place::new(&text.replace("jitter: 0", "jitter: 0, retry_on: [404]"));
    place.carry(&event("e")).1.code(0);
    receiver.exactly(2);
}

#[test]
fn the_rate_of_a_platform_holds_where_nobody_says_otherwise() {
    let receiver = Receiver::always(Answer::status(200).body("ok"));
    let text = config(&receiver.url("/"), "platform: slack");
    let place = Place::new(&text.replace("  rate_limit: {requests: 1000, per: 1s}\n", ""));
    place.carry(&events(3)).1.code(0);
    let requests = receiver.exactly(3);
    for pair in requests.windows(2) {
        let wait = pair[1].arrived - pair[0].arrived;
        assert!(wait >= Duration::from_secs(1), "{wait:?}");
    }
}

#[test]
fn incidents_are_resolved_by_the_kinds_that_do() {
    let receiver = Receiver::always(Answer::status(202));
    let keys = "platform: pagerduty, pagerduty: {routing_key: 'k\"y', dedup_key: 'host {{host}}', \
                resolve_kinds: ['*_over']}";
    let place = Place::new(&config(&receiver.url("/"), keys));
    let line = |id: &str, kind: &str| event_with(id, json!({"event_kind": kind, "host": "a\"b"}));
    place.carry(&(line("a", "disk_full") + &line("b", "disk_over"))).1.code(0);
    let bodies: Vec<_> = receiver.exactly(2).iter().map(|request| request.json()).collect();
    for (body, action) in bodies.iter().zip(["trigger", "resolve"]) {
        assert_eq!(body["event_action"], action);
        assert_eq!(body["routing_key"], "k\"y");
        assert_eq!(body["dedup_key"], "host a\"b");
    }
}

#[test]
fn a_huge_event_is_cut_and_says_so() {
    let receiver = Receiver::always(Answer::status(200).body("ok"));
    let place = Place::new(&config(&receiver.url("/"), "platform: slack, slack: {style: blocks}"));
    let text = format!("<!channel> {}", "é".repeat(20_000));
    place.carry(&event_with("e", json!({"message": text}))).1.code(0);
    let body = receiver.exactly(1)[0].json();
    let section = body["blocks"][1]["text"]["text"].as_str().expect("a section");
    assert!(section.starts_with("&lt;!channel&gt; éé"), "{section}");
    assert!(section.ends_with(" more characters)"), "{section}");
    assert!(section.chars().count() <= 3000);
}

#[test]
fn a_batch_for_people_is_a_digest() {
    let receiver = Receiver::always(Answer::status(200).body("ok"));
    let batch = "  batch: {max_events: 100, max_wait: 60s}\n";
    for (name, place) in [
        ("slack", "/text"),
        ("discord", "/embeds/0/description"),
        ("teams", "/attachments/0/content/body/1/text"),
        ("openclaw", "/text"),
    ] {
        let at = receiver.requests().len();
        let run = Place::new(&(config(&receiver.url("/"), &platform(name)) + batch)).run();
        run.stdin(events(27)).finish().code(0);
        let request = &receiver.exactly(at + 1)[at];
        let body = request.json();
        let at = |place| body.pointer(place).and_then(|text| text.as_str()).unwrap_or_default();
        let text = at(place);
        // Markup of the platform is escaped in values.
        let text = text.replace('\\', "");
        assert!(text.contains("policy_block on agent-1"), "{name}: {body}");
        // A card has a text of its own for that: none of the others can cut it away.
        let last = if name == "teams" { at("/attachments/0/content/body/2/text") } else { &text };
        assert!(last.ends_with("and 17 more"), "{name}: {body}");
        assert_eq!(request.header("Content-Type"), Some("application/json"), "{name}");
        assert_eq!(request.header("X-Postrider-Events"), Some("27"), "{name}");
    }
    let place = Place::new(&(config("http://127.0.0.1:1/", &platform("pagerduty")) + batch));
    let said = place.postrider(&["validate"]).finish().code(2);
    let said = said.stdout + &said.stderr;
    assert!(said.contains("`pagerduty` takes one event a request"), "{said}");
}
