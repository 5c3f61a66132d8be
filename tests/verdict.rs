//! The verdict of an attempt: the status decides as soon as the head is read, whatever follows;
//! without a whole head there is none.

use crate::support::{
    Answer, Place, Receiver, Request, Step, at_once, event, event_with, events, until,
};
use serde_json::json;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);

fn config(url: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}', timeout: 1.5s}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 2}}\n"
    )
}

#[test]
fn a_2xx_head_is_a_delivery_whatever_becomes_of_its_body() {
    let ok = || Answer::status(200);
    let cases = [
        (
            "late",
            ok().claims_length(5)
                .then(Step::Pause(Duration::from_millis(100)))
                .then(Step::Write(b"later".into())),
        ),
        ("never", ok().claims_length(5).then(Step::Hang)),
        ("cut", ok().body("half").claims_length(500).then(Step::Close)),
        ("reset", ok().body("half").claims_length(500).then(Step::Reset)),
        ("endless", ok().until_close().then(Step::Drip(vec![b'x'; 8192], SOON))),
        (
            "endless drip",
            ok().until_close().then(Step::Drip(b"x".into(), Duration::from_millis(20))),
        ),
        ("longer than told", ok().body("and more and more").claims_length(3)),
        ("bad chunks", ok().body("zzz\r\nnot a chunk").claims_chunks()),
        ("cut chunks", ok().body("5\r\nhel").claims_chunks().then(Step::Close)),
        ("huge", ok().body(vec![b'x'; 3_000_000])),
        (
            "HTTP/1.0",
            Answer::raw([Step::Write(b"HTTP/1.0 200 OK\r\n\r\nfine".to_vec()), Step::Close]),
        ),
        ("no content", Answer::status(204)),
        ("created", Answer::status(201).body("{}")),
        ("until close", ok().body("fine").until_close().then(Step::Close)),
    ];
    at_once(cases, |(case, answer)| {
        let receiver = Receiver::always(answer);
        let place = Place::new(&config(&receiver.url("/")));
        let (metrics, finished) = place.carry(&events(3));
        assert_eq!(finished.status.code(), Some(0), "{case}");
        assert_eq!(receiver.requests().len(), 3, "{case}: each event arrives once");
        assert_eq!(metrics.sum("attempts_total", &[("outcome", "delivered")]), 3.0, "{case}");
    });
}

#[test]
fn a_head_that_no_reader_takes_still_tells_its_status() {
    let filler = || Step::Drip(vec![b'a'; 4096], SOON);
    let heads = [
        ("two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), Step::Hang),
        ("a negative length", "Content-Length: -1\r\n\r\n".to_owned(), Step::Hang),
        (
            "a length beyond 64 bits",
            format!("Content-Length: 1{}\r\n\r\n", "0".repeat(40)),
            Step::Hang,
        ),
        ("many headers", "X-A: b\r\n".repeat(500) + "\r\n", Step::Hang),
        ("a head of 2 MB", format!("X-A: {}\r\n\r\n", "b".repeat(2_000_000)), Step::Hang),
        ("an endless head", "X-A: ".to_owned(), filler()),
        ("no header", "not a header\r\n\r\n".to_owned(), Step::Hang),
    ];
    at_once(heads, |(case, rest, then)| {
        let interim = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n";
        let head = |status: u16| {
            let head = format!("{interim}HTTP/1.1 {status} X\r\n{rest}").into_bytes();
            Answer::raw([Step::Write(head), then.clone()])
        };
        let receiver = Receiver::answering([head(503), head(202), head(400), Answer::status(200)]);
        let place = Place::new(
            &config(&receiver.url("/"))
                .replace("timeout", "concurrency: 1, timeout")
                .replace("retry:", "filters: {sources: [stdin]}\n  retry:"),
        );
        let mut running = place.run().start();
        running.feed(event("a"));
        running.settled(1);
        running.feed(event("b"));
        running.settled(2);
        running.feed(event("c"));
        let metrics = running.settled(3);
        running.end().code(3);
        // a: 503, then 202; b: 400; c: 200.
        let attempts: Vec<_> =
            receiver.requests().iter().map(|r| (r.audit_id(), r.attempt())).collect();
        let expected = [("a", 1), ("a", 2), ("b", 1), ("c", 1)].map(|(id, n)| (id.to_owned(), n));
        assert_eq!(attempts, expected, "{case}");
        for (outcome, code) in [("retry", "503"), ("delivered", "202"), ("rejected", "400")] {
            let labels = [("outcome", outcome), ("code", code)];
            assert_eq!(metrics.sum("attempts_total", &labels), 1.0, "{case}: {labels:?}");
        }
        let letters = place.dead_letters();
        assert_eq!(letters.len(), 1, "{case}: {letters:?}");
        assert_eq!(
            (&letters[0]["reason"], &letters[0]["last_status"]),
            (&json!("rejected"), &json!(400))
        );
    });
}

#[test]
fn a_second_answer_is_not_taken_for_the_answer_to_the_next_request() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let twice = Answer::raw([Step::Write(ok.repeat(2).into_bytes())]);
    let receiver = Receiver::answering([twice, Answer::status(400)]);
    let place = Place::new(
        &config(&receiver.url("/"))
            .replace("timeout", "concurrency: 1, timeout")
            .replace("retry:", "filters: {sources: [stdin]}\n  retry:"),
    );
    let mut running = place.run().start();
    running.feed(event("a"));
    running.settled(1);
    running.feed(event("b"));
    let metrics = running.settled(2);
    running.end().code(3);
    assert_eq!(metrics.sum("events_delivered_total", &[]), 1.0);
    assert_eq!(receiver.exactly(2)[1].attempt(), 1);
}

#[test]
fn without_a_whole_head_there_is_no_verdict() {
    let write = |bytes: &str| Step::Write(bytes.as_bytes().to_vec());
    let cases = [
        ("reset", Answer::raw([Step::Reset])),
        ("closed", Answer::raw([Step::Close])),
        ("half a head", Answer::raw([write("HTTP/1.1 200 OK\r\nContent-"), Step::Close])),
        ("half a head, hanging", Answer::raw([write("HTTP/1.1 200 OK\r\nContent-"), Step::Hang])),
        ("hang", Answer::hang()),
        ("not HTTP", Answer::raw([write("SSH-2.0-OpenSSH_9.6\r\n"), Step::Close])),
        (
            "a slow endless head",
            Answer::raw([write("HTTP/1.1 200 OK\r\nX-A: "), Step::Drip(b"a".into(), SOON * 20)]),
        ),
        (
            "an endless status line",
            Answer::raw([write("HTTP/1.1 200 "), Step::Drip(vec![b'a'; 4096], SOON)]),
        ),
        (
            "a broken head of something else",
            Answer::raw([write("HTTP/2.0 200 OK\r\n\r\n"), Step::Close]),
        ),
        (
            "interim answers only",
            Answer::raw([write("HTTP/1.1 100 Continue\r\n\r\n"), Step::Close]),
        ),
    ];
    at_once(cases, |(case, answer)| {
        let receiver = Receiver::answering([answer, Answer::status(200)]);
        let place = Place::new(&config(&receiver.url("/")));
        let (metrics, finished) = place.carry(&event("e"));
        assert_eq!(finished.status.code(), Some(0), "{case}");
        let requests = receiver.exactly(2);
        assert_eq!(requests[1].attempt(), 2, "{case}");
        let labels = [("outcome", "retry"), ("code", "none")];
        assert_eq!(metrics.sum("attempts_total", &labels), 1.0, "{case}");
    });
}

#[test]
fn the_endless_body_of_a_failure_is_read_no_longer_than_the_timeout() {
    let drip = Step::Drip(b"x".into(), Duration::from_millis(10));
    let receiver = Receiver::always(Answer::status(500).until_close().then(drip));
    let place = Place::new(&config(&receiver.url("/")));
    let started = Instant::now();
    place.carry(&event("e")).1.code(3);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    receiver.exactly(2);
    let letter = &place.dead_letters()[0];
    assert_eq!(letter["last_status"], json!(500));
}

#[test]
fn a_1xx_answer_is_not_the_verdict() {
    let before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let receiver = Receiver::always(Answer::status(200).first(Step::Write(before.to_vec())));
    let place = Place::new(&config(&receiver.url("/")));
    place.carry(&events(3)).1.code(0);
    receiver.exactly(3);
}

#[test]
fn a_connection_that_the_receiver_closed_while_it_was_idle_costs_no_attempt() {
    let receiver = Receiver::always(Answer::status(200).then(Step::Close));
    let place = Place::new(&config(&receiver.url("/")));
    let mut running = place.run().start();
    for number in 0..5 {
        running.feed(event(&format!("e{number}")));
        running.settled(number + 1);
    }
    running.end().code(0);
    let requests = receiver.exactly(5);
    assert!(requests.iter().all(|request| request.attempt() == 1));
    assert_eq!(receiver.connections(), 5);
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let receiver = Receiver::always(Answer::status(200).body("{\"ok\":true}"));
    let place =
        Place::new(&config(&receiver.url("/")).replace("timeout", "concurrency: 1, timeout"));
    place.carry(&events(20)).1.code(0);
    receiver.exactly(20);
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn connection_close_is_obeyed() {
    let receiver = Receiver::always(
        Answer::status(200).header("Connection", "close").body("{}").then(Step::Close),
    );
    let place = Place::new(&config(&receiver.url("/")));
    place.carry(&events(5)).1.code(0);
    assert!(receiver.exactly(5).iter().all(|request| request.attempt() == 1));
}

/// Everything that ends an event or an export says in the log why, and what to do.
#[test]
fn log_lines_say_cause_fix_and_time() {
    let receiver = Receiver::new(|request: &Request| {
        Answer::status(if request.target == "/gone" { 410 } else { 400 })
    });
    let export = |name: &str, kind: &str, more: &str| {
        format!(
            "- {{name: {name}, destination: webhook, filters: {{event_kinds: [{kind}]}}, \
             webhook: {{{more}}}}}\n"
        )
    };
    let url = |path| format!("url: '{}'", receiver.url(path));
    let place = Place::new(&format!(
        "exports:\n{}{}{}",
        export("gone", "a", &url("/gone")),
        export("refused", "b", &url("/")),
        export("unmade", "c", &format!("{}, body_template: '{{{{1 / 0}}}}'", url("/"))),
    ));
    let kinds = ["a", "b", "c"];
    let lines: String =
        kinds.iter().map(|kind| event_with(kind, json!({"event_kind": kind}))).collect();
    let mut running = place.run().start();
    running.feed(lines);
    for (export, what, timed) in [
        ("gone", "paused", true),
        ("refused", "dead_letter", true),
        ("unmade", "dead_letter", false),
    ] {
        let said = until(&format!("{what} of {export}"), || {
            let log = running.stderr();
            let line = log.lines().find(|line| {
                line.contains(&format!(" {what} ")) && line.contains(&format!("export={export} "))
            });
            line.map(str::to_owned)
        });
        assert!(said.contains("cause=") && said.contains("fix="), "{said}");
        assert_eq!(said.contains("latency_ms="), timed, "{said}");
    }
    running.terminate();
    running.wait();
}
