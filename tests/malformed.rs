//! Lines that are not events: the good ones around them arrive, and what becomes of a bad one is
//! what `malformed` says.

use crate::support::{Place, Receiver, event, until};
use serde_json::{Value, json};

fn config(url: &str, source: &str) -> String {
    format!(
        "sources:\n- {{name: in, type: stdin, {source}}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}', concurrency: 1}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\n"
    )
}

/// Every kind of bad line, between good ones.
const BAD: &[(&str, &[u8])] = &[
    ("bad UTF-8", b"{\"audit_id\":\"\xff\xfe\"}"),
    ("broken", b"not json"),
    ("cut off", b"{\"audit_id\":\"e"),
    ("array", b"[{\"audit_id\":\"e\"}]"),
    ("string", b"\"audit_id\""),
    ("number", b"17"),
    ("null", b"null"),
    ("NUL", b"\0\0\0"),
    ("NUL inside", b"{\"audit_id\":\"e\0\"}"),
    ("two on a line", b"{\"a\":1}{\"b\":2}"),
    ("trailing text", b"{\"a\":1} x"),
    ("single quotes", b"{'a':1}"),
    ("NaN", b"{\"a\":NaN}"),
    ("control character", b"{\"a\":\"\x01\"}"),
];

/// A good line before, between and after the bad ones.
fn input() -> (Vec<u8>, Vec<u64>) {
    let mut input = event("g0").into_bytes();
    let mut offsets = Vec::new();
    for (number, (_, line)) in BAD.iter().enumerate() {
        offsets.push(input.len() as u64);
        input.extend_from_slice(line);
        input.push(b'\n');
        input.extend_from_slice(event(&format!("g{}", number + 1)).as_bytes());
    }
    (input, offsets)
}

fn good() -> Vec<String> {
    (0..=BAD.len()).map(|number| format!("g{number}")).collect()
}

#[test]
fn a_bad_line_is_a_dead_letter_and_its_neighbours_arrive() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let (input, offsets) = input();
    let mut running = place.run().start();
    running.feed(&input);
    running.settled(2 * BAD.len() + 1);
    let bad = BAD.len() as f64;
    let metrics = running.shows("the dead letters", |metrics| {
        metrics.sum("events_dead_lettered_total", &[("export", "")]) == bad
    });
    running.end().code(3);
    assert_eq!(receiver.audit_ids(), good());
    assert_eq!(metrics.one("events_malformed_total", &[("source", "in")]), bad);
    let labels = [("export", ""), ("reason", "malformed")];
    assert_eq!(metrics.one("events_dead_lettered_total", &labels), bad);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), BAD.len());
    for (((case, line), offset), letter) in BAD.iter().zip(offsets).zip(&letters) {
        assert_eq!(letter["reason"], "malformed", "{case}");
        assert_eq!(letter["export"], Value::Null, "{case}");
        assert_eq!(letter["source"], "in", "{case}");
        assert_eq!(letter["text"], *String::from_utf8_lossy(line), "{case}");
        assert_eq!(letter["position"]["offset"], offset, "{case}");
        let error = letter["last_error"].as_str().unwrap();
        assert!(error.contains(&format!("offset {offset}:")), "{case}: {error}");
    }
}

#[test]
fn wrapped_a_bad_line_is_an_event_with_its_text_as_message() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "malformed: wrap"));
    let mut running = place.run().start();
    running.feed(input().0);
    let metrics = running.settled(2 * BAD.len() + 1);
    running.end().code(0);
    let requests = receiver.exactly(2 * BAD.len() + 1);
    for ((case, line), request) in BAD.iter().zip(requests[1..].iter().step_by(2)) {
        let message = String::from_utf8_lossy(line);
        assert_eq!(request.json(), json!({ "message": message }), "{case}");
    }
    assert_eq!(metrics.one("events_malformed_total", &[("source", "in")]), 0.0);
}

#[test]
fn dropped_a_bad_line_is_only_counted() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "malformed: drop"));
    let mut running = place.run().start();
    running.feed(input().0);
    let metrics = running.settled(2 * BAD.len() + 1);
    running.end().code(0);
    assert_eq!(receiver.audit_ids(), good());
    assert_eq!(metrics.one("events_malformed_total", &[("source", "in")]), BAD.len() as f64);
    assert_eq!(place.dead_letters().len(), 0);
}

#[test]
fn raw_lines_are_events_whatever_they_hold() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "format: raw"));
    let (_, finished) = place.carry("GET / 200\n{\"a\":1}\n");
    finished.code(0);
    let bodies: Vec<_> = receiver.requests().iter().map(|request| request.json()).collect();
    assert_eq!(bodies, [json!({"message": "GET / 200"}), json!({"message": "{\"a\":1}"})]);
}

#[test]
fn line_ends_blanks_and_byte_order_marks_are_no_part_of_an_event() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    let mut running = place.run().start();
    running.feed("\u{feff}{\"audit_id\":\"a\"}\r\n\r\n\n   \n\t{\"audit_id\":\"b\"}  \r\n");
    running.settled(2);
    // The last line needs no end: the stream's end is one.
    running.feed("{\"audit_id\":\"c\"}");
    running.end().code(0);
    let bodies: Vec<_> = receiver.requests().iter().map(|r| r.text().to_owned()).collect();
    assert_eq!(bodies, [r#"{"audit_id":"a"}"#, r#"{"audit_id":"b"}"#, r#"{"audit_id":"c"}"#]);
}

#[test]
fn a_line_that_is_too_long_is_let_go_of_in_bounded_memory() {
    const LENGTH: u64 = 100_000_000;
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "max_line_bytes: 1MiB"));
    let mut running = place.run().start();
    running.feed(event("before"));
    let start = event("before").len() as u64;
    running.feed("{\"x\":\"");
    let piece = "x".repeat(1_000_000);
    (0..LENGTH / 1_000_000).for_each(|_| running.feed(&piece));
    running.feed("\"}\n".to_owned() + &event("after"));
    let metrics = running.settled(3);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("kB");
    assert!(peak < 100_000, "peak memory {peak} kB");
    running.end().code(3);
    assert_eq!(receiver.audit_ids(), ["before", "after"]);
    let labels = [("export", ""), ("reason", "too_large")];
    assert_eq!(metrics.one("events_dead_lettered_total", &labels), 1.0);
    let letter = &place.dead_letters()[0];
    assert_eq!(letter["reason"], "too_large");
    assert_eq!(letter["position"]["offset"], start);
    let error = letter["last_error"].as_str().unwrap();
    let length = LENGTH + 9;
    assert!(error.contains(&format!("{length} bytes")), "{error}");
    let head = letter["text"].as_str().unwrap();
    assert!(head.starts_with("{\"x\":\"xxx") && head.len() <= 8192, "{} bytes", head.len());
}

#[test]
fn a_line_just_within_the_limit_arrives_and_one_byte_more_does_not() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "max_line_bytes: 100"));
    let line = |length: usize| format!("{{\"a\":\"{}\"}}\n", "x".repeat(length - 8));
    let (_, finished) = place.carry(&(line(100) + &line(101) + &line(99)));
    finished.code(3);
    let lengths: Vec<_> = receiver.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths, [100, 99]);
    assert_eq!(place.dead_letters()[0]["reason"], "too_large");
}

#[test]
fn the_issues_example_delivers_two_buries_one_and_exits_3() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}, filters: {{sources: [stdin]}}}}\n",
        receiver.url("/")
    ));
    let input = "{\"a\":1}\nnot json\n{\"b\":2}\n";
    place.run().stdin(input).finish().code(3);
    let mut bodies: Vec<_> = receiver.requests().iter().map(|r| r.text().to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(place.dead_letters().len(), 1);
}

#[test]
fn a_bad_line_raises_an_event_of_its_own_without_an_export() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "").replace("exclude_", ""));
    let mut running = place.run().start();
    running.feed("nonsense\n");
    let told = receiver.wait_for(1)[0].json();
    running.settled(1);
    running.end().code(3);
    assert_eq!(
        (&told["event_kind"], &told["reason"]),
        (&json!("webhook.dlq"), &json!("malformed"))
    );
    assert_eq!((&told["export"], &told["source"]), (&Value::Null, &json!("in")));
    until("one dead letter", || (place.dead_letters().len() == 1).then_some(()));
}
