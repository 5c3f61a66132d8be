//! Many events in one request: what the receiver sees of a batch, and what becomes of its events.

use crate::support::{
    Answer, Gate, Place, Receiver, Request, Step, event, event_with, events, until,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An export `a` with further keys of `webhook` and this batch.
fn config(url: &str, webhook: &str, batch: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'{webhook}}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05]}}\n  batch: {{{batch}}}\n"
    )
}

/// The events of a request of lines.
fn lines(request: &Request) -> Vec<Value> {
    let lines = request.text().lines();
    lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["audit_id"].as_str().expect("an id").to_owned()).collect()
}

/// `e0` up to this number.
fn all(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("e{number}")).collect()
}

#[test]
fn events_are_joined_as_the_encoding_says_and_the_end_of_input_sends_what_waits() {
    for (encoding, kind, text) in [
        ("ndjson", "application/x-ndjson", "{\"n\": \"e0\"}\n{\"n\": \"e1\"}\n{\"n\": \"e2\"}\n"),
        ("json_array", "application/json", "[{\"n\": \"e0\"},{\"n\": \"e1\"},{\"n\": \"e2\"}]"),
        ("concat", "application/json", "{\"n\": \"e0\"}{\"n\": \"e1\"}{\"n\": \"e2\"}"),
    ] {
        let receiver = Receiver::ok();
        let body = ", body_template: '{\"n\": \"{{audit_id}}\"}'";
        let batch = format!("encoding: {encoding}, max_wait: 1h");
        let place = Place::new(&config(&receiver.url("/"), body, &batch));
        place.run().stdin(events(3)).start().wait().code(0);
        let request = &receiver.exactly(1)[0];
        assert_eq!(request.text(), text);
        assert_eq!(request.header("Content-Type"), Some(kind));
    }
}

/// The keys of the first fenced block of a document that has this text.
fn example(document: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
    let document = std::fs::read_to_string(path).expect("a document");
    let blocks = document.split("```").skip(1).step_by(2);
    let block = blocks.into_iter().find(|block| block.contains(text)).expect("an example");
    block.split_once('\n').expect("a language").1.to_owned()
}

#[test]
fn the_documented_bulk_request_of_elasticsearch_has_two_lines_an_event() {
    let receiver = Receiver::ok();
    let shown = example("batches.md", "{\"index\":{}}");
    assert!(shown.contains("https://search.example.com:9200/audit/_bulk"), "{shown}");
    let url = receiver.url("/audit/_bulk");
    let shown = shown.replace("https://search.example.com:9200/audit/_bulk", &url);
    let place = Place::new(&shown);
    let text = events(3);
    place.carry(&text).1.code(0);
    let request = &receiver.exactly(1)[0];
    let wanted: String = text.lines().map(|line| format!("{{\"index\":{{}}}}\n{line}\n")).collect();
    assert_eq!(request.text(), wanted);
    assert_eq!(request.header("Content-Type"), Some("application/x-ndjson"));
    assert!(place.dead_letters().is_empty());
}

#[test]
fn several_values_an_event_stand_on_lines_where_the_content_type_says_so() {
    for (encoding, kind, letters) in [
        ("ndjson", "application/x-ndjson", 0),
        ("concat", "application/jsonl; charset=utf-8", 0),
        ("json_array", "application/x-ndjson", 2),
        ("concat", "application/json", 2),
    ] {
        let receiver = Receiver::ok();
        let webhook = format!(
            ", headers: {{Content-Type: '{kind}'}}, \
             body_template: \"{{\\\"n\\\":\\n1}}{{{{event_json}}}}\""
        );
        let batch = format!("encoding: {encoding}, max_wait: 1h");
        let place = Place::new(&config(&receiver.url("/"), &webhook, &batch));
        let text = events(2);
        place.run().stdin(text.clone()).start().wait().code(if letters > 0 { 3 } else { 0 });
        let found = place.dead_letters();
        assert_eq!(found.len(), letters, "{encoding} {kind}: {found:?}");
        if letters == 0 {
            let wanted: String =
                text.lines().map(|line| format!("{{\"n\": 1}}\n{line}\n")).collect();
            assert_eq!(receiver.exactly(1)[0].text(), wanted, "{encoding} {kind}");
        }
    }
}

#[test]
fn each_event_has_a_line_there_also_where_only_some_kinds_have_a_template() {
    let receiver = Receiver::ok();
    let webhook = ", headers: {Content-Type: application/x-ndjson}, \
                   body_templates: {other: '{\"index\":{}} {{event_json}}'}";
    let place = Place::new(&config(&receiver.url("/"), webhook, "encoding: concat, max_wait: 1h"));
    let [first, other, last] =
        [json!({}), json!({"event_kind": "other"}), json!({})].map(|with| event_with("e", with));
    place.run().stdin(format!("{first}{other}{last}")).start().wait().code(0);
    let wanted = format!("{first}{{\"index\":{{}}}}\n{other}{last}");
    assert_eq!(receiver.exactly(1)[0].text(), wanted);
}

#[test]
fn a_whole_document_is_json_unless_something_else_is_said() {
    for (batch, webhook, kind) in [
        ("max_wait: 1h", "", "application/json"),
        ("max_wait: 1h, encoding: ndjson", "", "application/x-ndjson"),
        ("max_wait: 1h", ", headers: {Content-Type: application/x-ndjson}", "application/x-ndjson"),
    ] {
        let receiver = Receiver::ok();
        let webhook = format!("{webhook}, batch_template: '{{\"n\": {{{{ events | length }}}}}}'");
        let place = Place::new(&config(&receiver.url("/"), &webhook, batch));
        place.run().stdin(events(2)).start().wait().code(0);
        let request = &receiver.exactly(1)[0];
        assert_eq!(request.text(), "{\"n\": 2}");
        assert_eq!(request.header("Content-Type"), Some(kind), "{batch} {webhook}");
    }
}

#[test]
fn a_batch_has_headers_of_its_own() {
    let receiver = Receiver::answering([Answer::status(503), Answer::status(200)]);
    let place = Place::new(&config(&receiver.url("/"), "", "max_size: 3, max_wait_seconds: 3600"));
    let (metrics, finished) = place.carry(&events(3));
    finished.code(0);
    let requests = receiver.exactly(2);
    for (request, attempt) in requests.iter().zip(["1", "2"]) {
        assert_eq!(ids(&lines(request)), ["e0", "e1", "e2"]);
        for (name, value) in [
            ("X-Postrider-Events", Some("3")),
            ("X-Postrider-Attempt", Some(attempt)),
            ("X-Postrider-Event", None),
            ("X-Postrider-Event-ID", None),
            ("X-Postrider-Delivery", None),
        ] {
            assert_eq!(request.header(name), value, "{name}");
        }
    }
    let key = |number: usize| requests[number].header("Idempotency-Key").expect("a key");
    assert_eq!(key(0), key(1), "the same events in the same order");
    assert_eq!(key(0).len(), 32);
    assert_eq!(metrics.sum("attempts_total", &[("export", "a")]), 2.0, "requests are counted");
    assert_eq!(metrics.sum("events_delivered_total", &[("export", "a")]), 3.0);
}

#[test]
fn a_body_keeps_its_bound_and_a_line_is_a_line() {
    let receiver = Receiver::ok();
    let batch = "max_bytes: 300, max_wait: 1h, max_events: 100";
    let body = ", body_template: '{\"id\": \"{{audit_id}}\",\n\n  \"text\": {{text}}}\n'";
    let place = Place::new(&config(&receiver.url("/"), body, batch));
    let long = event_with("long", json!({"text": "x".repeat(300)}));
    let text = json!({"text": "two\nlines"});
    let others: String = (0..9).map(|n| event_with(&format!("e{n}"), text.clone())).collect();
    place.run().stdin(format!("{long}{others}")).start().wait().code(3);
    let mut seen = BTreeSet::new();
    for request in receiver.requests() {
        assert!(request.body.len() <= 300, "{}", request.body.len());
        for line in lines(&request) {
            assert_eq!(line["text"], "two\nlines");
            seen.insert(line["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, all(9));
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["reason"], "too_large");
}

/// Larger than what a connection buffers, so that it is joined while it is sent.
#[test]
fn a_large_batch_arrives_whole_also_when_it_comes_again() {
    let texts: Vec<_> =
        (0..900).map(|n| event_with(&format!("e{n}"), json!({"text": "x".repeat(n)}))).collect();
    let texts: Vec<_> = texts.iter().map(|text| text.trim_end()).collect();
    for (encoding, body) in [
        ("ndjson", texts.join("\n") + "\n"),
        ("json_array", format!("[{}]", texts.join(","))),
        ("concat", texts.concat()),
    ] {
        let receiver = Receiver::answering([Answer::status(503), Answer::status(200)]);
        let batch = format!("encoding: {encoding}, max_events: 900, max_bytes: 8MB, max_wait: 1h");
        let place = Place::new(&config(&receiver.url("/"), "", &batch));
        place.run().stdin(texts.join("\n")).start().wait().code(0);
        for request in receiver.exactly(2) {
            assert!(request.text() == body, "{encoding}");
            assert_eq!(request.header("Content-Length"), Some(&*body.len().to_string()));
        }
    }
}

#[test]
fn a_refused_batch_is_halved_until_the_bad_event_stands_alone() {
    for code in [400, 413, 422] {
        let receiver = Receiver::new(move |request| {
            let bad = lines(request).iter().any(|event| event["audit_id"] == "e5");
            Answer::status(if bad { code } else { 200 })
        });
        let batch = "max_events: 8, max_wait: 1h";
        let config =
            config(&receiver.url("/"), "", batch).replace("retry: {", "retry: {max_attempts: 1, ");
        let place = Place::new(&config);
        let (metrics, finished) = place.carry(&events(8));
        finished.code(3);
        // 8, two fours, of one of them two twos, of one of them two ones.
        receiver.exactly(7);
        let one = |name: &str| metrics.sum(name, &[("export", "a")]);
        assert_eq!(one("events_delivered_total"), 7.0);
        assert_eq!(one("events_dead_lettered_total"), 1.0);
        assert_eq!(one("attempts_total"), 7.0);
        let letters = place.dead_letters();
        let told = |name: &str| letters[0][name].clone();
        assert_eq!((letters.len(), told("reason")), (1, json!("rejected")));
        assert_eq!((told("last_status"), told("attempts")), (json!(code), json!(4)));
    }
}

#[test]
fn a_template_that_fails_on_an_event_buries_it_and_sends_the_others() {
    let receiver = Receiver::ok();
    let body = ", body_template: '{\"id\": {{audit_id}}, \"n\": {{ 1 // n }}}'";
    let place = Place::new(&config(&receiver.url("/"), body, "max_events: 3, max_wait: 1h"));
    let with = |id: &str, n: u32| event_with(id, json!({ "n": n }));
    let text = [with("a", 1), with("bad", 0), with("b", 1)].concat();
    place.carry(&text).1.code(3);
    let sent: Vec<_> =
        lines(&receiver.exactly(1)[0]).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(sent, ["a", "b"]);
    assert_eq!(place.dead_letters()[0]["reason"], "render");
}

#[test]
fn a_batch_template_sees_all_events() {
    let receiver = Receiver::ok();
    let template = r#"
    batch_template: |
      {"count": {{ postrider.events }}, "kinds": {{ events | map(attribute="event_kind") | list }},
       "worst": "{{ events | map(attribute='severity') | first }}", "first": {{ events[0] }},
       "notes": [{% for e in events %}"{{ e.audit_id }}: {{ e.note }}"{% if not loop.last %},{% endif %}{% endfor %}],
       "texts": [{% for e in events %}{{ e.event_json }}{% if not loop.last %},{% endif %}{% endfor %}]}
"#;
    let config = format!(
        "exports:\n- name: a\n  destination: webhook\n  batch: {{max_events: 2, encoding: json_array}}\n  \
         webhook:\n    url: '{}'{}",
        receiver.url("/"),
        template
    );
    let place = Place::new(&config);
    let first = event_with("a", json!({"note": "say \"no\"\n"}));
    let second = event_with("b", json!({"event_kind": "auth"}));
    place.carry(&format!("{first}{second}")).1.code(0);
    let body = receiver.exactly(1)[0].json();
    assert_eq!(body["count"], 2);
    assert_eq!(body["kinds"], json!(["policy_block", "auth"]));
    assert_eq!(body["worst"], "error");
    assert_eq!(body["notes"], json!(["a: say \"no\"\n", "b: "]));
    assert_eq!(body["first"]["note"], "say \"no\"\n");
    assert_eq!(body["texts"][1]["audit_id"], "b");
}

#[test]
fn events_with_other_urls_or_headers_go_in_other_batches() {
    let receiver = Receiver::ok();
    let url = format!("{}{{{{tenant}}}}", receiver.url("/in/"));
    let headers = ", headers: {X-Team: '{{team}}'}";
    let place = Place::new(&config(&url, headers, "max_events: 100, max_wait: 1h"));
    let text: String = (0..40)
        .map(|n| event_with(&format!("e{n}"), json!({"tenant": n % 2, "team": n % 4})))
        .collect();
    place.run().stdin(text).start().wait().code(0);
    let requests = receiver.exactly(4);
    let mut seen = BTreeSet::new();
    for request in requests {
        let team: u64 = request.header("X-Team").unwrap().parse().unwrap();
        assert_eq!(request.target, format!("/in/{}", team % 2));
        for event in lines(&request) {
            assert_eq!(
                (event["tenant"].as_u64(), event["team"].as_u64()),
                (Some(team % 2), Some(team))
            );
            seen.extend(ids(&[event]));
        }
    }
    assert_eq!(seen, all(40));
}

#[test]
fn what_was_in_flight_as_a_batch_survives_a_kill() {
    let receiver = Receiver::always(Answer::hang());
    let config = config(&receiver.url("/"), "", "max_events: 10, max_wait: 0.2");
    let place =
        Place::new(&format!("sources: [{{name: in, type: file, paths: [in.jsonl]}}]\n{config}"));
    place.append("in.jsonl", &events(95));
    let running = place.run().start();
    receiver.wait_for(3);
    running.kill();
    let before = receiver.requests().len();
    receiver.rewrite(|_| Answer::status(200));
    let running = place.run().start().ready();
    let arrived = || -> BTreeSet<String> {
        let requests = receiver.requests();
        requests[before..].iter().flat_map(|request| ids(&lines(request))).collect()
    };
    until("all of them", || (arrived() == all(95)).then_some(()));
    running.settled(95);
    running.terminate();
    running.wait().code(0);
}

#[test]
fn stopping_sends_what_waits_for_others() {
    let receiver = Receiver::ok();
    let config = config(&receiver.url("/"), "", "max_events: 100, max_wait: 1h");
    let place =
        Place::new(&format!("sources: [{{name: in, type: file, paths: [in.jsonl]}}]\n{config}"));
    place.append("in.jsonl", &events(7));
    let running = place.run().start().ready();
    running.shows("all taken in", |metrics| metrics.received() == 7.0);
    running.terminate();
    running.wait().code(0);
    assert_eq!(ids(&lines(&receiver.exactly(1)[0])).len(), 7);
}

#[test]
fn strict_order_is_kept_inside_of_batches_and_between_them() {
    let gate = Gate::new();
    let opened = gate.clone();
    let receiver = Receiver::new(move |request| match request.number {
        0 => Answer::status(200).first(Step::Wait(opened.clone())),
        3 | 5 => Answer::status(503),
        _ => Answer::status(200),
    });
    let config = config(&receiver.url("/"), "", "max_events: 10, max_wait: 0.05");
    let place = Place::new(&format!("{config}  order: strict\n"));
    let mut running = place.run().start();
    running.feed(events(77));
    running.shows("all taken in", |metrics| metrics.received() == 77.0);
    gate.open();
    running.settled(77);
    running.end().code(0);
    let mut seen: Vec<String> = Vec::new();
    for request in receiver.requests() {
        let ids = ids(&lines(&request));
        // One that failed comes once more, as it was.
        seen.retain(|id| !ids.contains(id));
        seen.extend(ids);
    }
    let expected: Vec<_> = (0..77).map(|number| format!("e{number}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn render_shows_a_batch_of_one() {
    let place = Place::new(&config("http://127.0.0.1:9/", "", "encoding: json_array"));
    let call = place.postrider(&["render", "--export", "a"]).stdin(event("x"));
    let shown = call.finish().code(0).stdout;
    for part in ["x-postrider-events: 1\n", "content-type: application/json\n", "\n[{\"a"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(!shown.contains("x-postrider-event-id"), "{shown}");
}
