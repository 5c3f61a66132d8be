//! The verdict of an attempt: the status decides as soon as the head is read, whatever follows;
//! without a whole head there is none.

use crate::support::{Answer, Place, Receiver, Step, at_once, event, events};
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
            "an endless head",
            Answer::raw([write("HTTP/1.1 200 OK\r\nX-A: "), Step::Drip(vec![b'a'; 4096], SOON)]),
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
