//! Everything receivers do wrong, in one table: what becomes of the event, and what is told of it.
//! One process carries one event to all of them at once, so that none can hide behind another.

use crate::support::{
    Answer, Certificate, Metrics, Place, Receiver, Running, Step, TlsReceiver, VALID, Wire,
    endless_body, endless_head, event, event_with, events, gzip_bomb, read_head, slowly, until,
    wire, write_status,
};
use serde_json::{Value, json};
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a behaviour is the end of, for the event it meets first.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Delivered,
    /// Tried again: delivered if the receiver behaves then, else a dead letter whose last error
    /// holds this.
    Retried(&'static str),
    /// A dead letter at once, with this last status.
    Rejected(u16),
}
use Expected::{Delivered, Rejected, Retried};

const SOON: Duration = Duration::from_millis(2);

fn taken() -> Vec<(&'static str, Answer, Expected)> {
    let ok = || Answer::status(200);
    let claims = |text: &str, length| ok().body(text).claims_length(length);
    vec![
        ("201", Answer::status(201).body("{}"), Delivered),
        ("202", Answer::status(202), Delivered),
        ("204", Answer::status(204), Delivered),
        ("206", Answer::status(206), Delivered),
        ("299", Answer::status(299), Delivered),
        ("continue", ok().first(Step::Write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())), Delivered),
        ("slow head", slowly("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SOON), Delivered),
        ("slow body", slowly("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", SOON), Delivered),
        ("hang after the head", claims("", 9).then(Step::Hang), Delivered),
        ("reset after the head", claims("", 9).then(Step::Reset), Delivered),
        ("shorter than told", claims("half", 900).then(Step::Close), Delivered),
        ("longer than told", claims("much more", 4), Delivered),
        ("endless body", endless_body(200), Delivered),
        ("gzip bomb", gzip_bomb(200), Delivered),
        ("not gzip", ok().header("Content-Encoding", "gzip").body("plain"), Delivered),
        ("bad chunks", ok().body("zz\r\n\r\n").claims_chunks(), Delivered),
        ("huge chunk", ok().body("ffffffffffffffff0\r\nx").claims_chunks(), Delivered),
        ("endless head", endless_head(200), Delivered),
        ("two answers", Answer::raw([Step::Write(TWO.to_vec())]), Delivered),
        ("closing", ok().header("Connection", "close").then(Step::Close), Delivered),
    ]
}

const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
    HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";

fn tried_again() -> Vec<(&'static str, Answer, Expected)> {
    let status = Answer::status;
    let slow = Duration::from_millis(100);
    vec![
        ("408", status(408), Retried("HTTP 408")),
        ("425", status(425), Retried("HTTP 425")),
        ("429", status(429), Retried("HTTP 429")),
        ("500", status(500).body("oops"), Retried("HTTP 500")),
        ("502", status(502), Retried("HTTP 502")),
        ("503", status(503).header("Retry-After", "soon"), Retried("HTTP 503")),
        ("504", status(504).header("Retry-After", "-1"), Retried("HTTP 504")),
        ("599", status(599), Retried("HTTP 599")),
        ("endless 500", endless_body(500), Retried("HTTP 500")),
        ("gzip bomb 500", gzip_bomb(500), Retried("HTTP 500")),
        ("cut 500", status(500).body("o").claims_length(9).then(Step::Close), Retried("HTTP 500")),
        ("hanging 500", status(500).claims_length(9).then(Step::Hang), Retried("HTTP 500")),
        ("endless head 500", endless_head(500), Retried("HTTP 500")),
        ("hang", Answer::hang(), Retried("no answer in time")),
        ("reset", Answer::raw([Step::Reset]), Retried("")),
        ("close", Answer::raw([Step::Close]), Retried("connection closed")),
        ("half a head", wire("HTTP/1.1 200 OK\r\nX", Step::Close), Retried("connection closed")),
        ("half a line", wire("HTTP/1.1 20", Step::Close), Retried("connection closed")),
        ("half, hanging", wire("HTTP/1.1 200 OK\r\n", Step::Hang), Retried("no answer in time")),
        (
            "too slow a head",
            slowly("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", slow),
            Retried("no answer in time"),
        ),
        ("garbage", wire("\0\u{1}\u{2}\u{3} garbage\r\n\r\n", Step::Close), Retried("not HTTP")),
        ("HTTP/0.9", wire("<html>200 OK</html>", Step::Close), Retried("not HTTP")),
        ("ssh", wire("SSH-2.0-OpenSSH_9.6\r\n", Step::Close), Retried("not HTTP")),
        ("HTTP/2", wire("\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}", Step::Close), Retried("not HTTP")),
        ("TLS alert", wire("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}", Step::Close), Retried("not HTTP")),
        ("no status", wire("HTTP/1.1 OK\r\n\r\n", Step::Close), Retried("not HTTP")),
        ("status 99", wire("HTTP/1.1 99 X\r\n\r\n", Step::Close), Retried("not HTTP")),
    ]
}

fn refused() -> Vec<(&'static str, Answer, Expected)> {
    let found = Answer::status(302).header("Location", "http://127.0.0.1:1/");
    let mut cases = vec![
        ("redirect", found, Rejected(302)),
        ("gzip bomb 400", gzip_bomb(400), Rejected(400)),
        (
            "cut 400",
            Answer::status(400).body("x").claims_length(9).then(Step::Reset),
            Rejected(400),
        ),
    ];
    for (name, status) in [("400", 400), ("403", 403), ("404", 404), ("413", 413), ("422", 422)] {
        cases.push((name, Answer::status(status).body("no"), Rejected(status)));
    }
    cases
}

/// Settings where nothing but the timeout ends an attempt.
const HURRIED: &str = "timeout: 3s";

/// Those of all others: a machine beside other work takes seconds for so many at once.
const PATIENT: &str = "timeout: 60s";

fn settings_for(case: &str, expected: Expected) -> &'static str {
    let hangs = case.contains("hang") || matches!(expected, Retried("no answer in time"));
    if hangs { HURRIED } else { PATIENT }
}

fn export(name: &str, url: &str, settings: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}', {settings}}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 2}}\n  \
         filters: {{sources: [stdin]}}\n"
    )
}

fn count(metrics: &Metrics, name: &str, export: &str) -> f64 {
    metrics.sum(name, &[("export", export)])
}

/// Dead letters by export.
fn letters_of<'a>(letters: &'a [Value], export: &str) -> Vec<&'a Value> {
    letters.iter().filter(|letter| letter["export"] == export).collect()
}

#[test]
fn what_a_receiver_does_decides_what_becomes_of_the_event() {
    let cases: Vec<_> = [taken(), tried_again(), refused()].concat();
    let mut config = "exports:\n".to_owned();
    // Each behaviour twice: once met and then gone, and for ever.
    let receivers: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, (case, answer, expected))| {
            let settings = settings_for(case, *expected);
            let once = Receiver::answering([answer.clone(), Answer::status(200)]);
            let always = Receiver::always(answer.clone());
            config += &export(&format!("once-{number}"), &once.url("/"), settings);
            config += &export(&format!("always-{number}"), &always.url("/"), settings);
            (once, always)
        })
        .collect();
    let place = Place::new(&config);
    let (metrics, finished) = place.carry(&event("e"));
    finished.code(3);
    let letters = place.dead_letters();
    for (number, ((case, _, expected), (once, always))) in cases.iter().zip(&receivers).enumerate()
    {
        let (once_name, always_name) = (format!("once-{number}"), format!("always-{number}"));
        // (requests, delivered) where the behaviour is met once, and where it stays.
        let told = |receiver: &Receiver, name: &str| {
            (receiver.requests().len(), count(&metrics, "events_delivered_total", name))
        };
        let found = (told(once, &once_name), told(always, &always_name));
        let wanted = match expected {
            Delivered => ((1, 1.0), (1, 1.0)),
            Retried(_) => ((2, 1.0), (2, 0.0)),
            Rejected(_) => ((1, 0.0), (1, 0.0)),
        };
        assert_eq!(found, wanted, "{case}");
        for request in once.requests().iter().chain(&always.requests()) {
            assert_eq!(request.header("Accept-Encoding"), None, "{case}");
        }
        let letters = letters_of(&letters, &always_name);
        match (expected, &letters[..]) {
            (Delivered, []) => {}
            (Retried(text), [letter]) => {
                assert_eq!(letter["reason"], "retries_exhausted", "{case}");
                let error = letter["last_error"].as_str().expect("an error");
                assert!(error.contains(text), "{case}: {error}");
            }
            (Rejected(status), [letter]) => {
                assert_eq!(letter["reason"], "rejected", "{case}");
                assert_eq!(letter["last_status"], json!(status), "{case}");
            }
            (expected, letters) => panic!("{case}: {expected:?}, {letters:?}"),
        }
    }
}

#[test]
fn what_is_wrong_with_tls_is_told() {
    let expired = Certificate { valid_before: 2020, ..VALID };
    let other = Certificate { name: "other.example", ..VALID };
    let good = TlsReceiver::new(VALID);
    let authority = Certificate { of_authority: true, ..VALID };
    let bad = [expired, other, VALID, authority].map(TlsReceiver::new);
    // What speaks HTTP without TLS takes the handshake for a bad request.
    let plain = Wire::new(|_, mut stream| {
        let read = std::io::Read::read(&mut stream, &mut [0; 4096]);
        read.map(|_| write_status(stream, 400)).expect("a handshake");
    });
    let mute = Wire::new(|_, stream| drop(std::io::copy(&mut &*stream, &mut std::io::sink())));
    let gone = Wire::new(|_, mut stream| {
        std::io::Read::read(&mut stream, &mut [0; 4096]).expect("a handshake");
    });
    let https = |port: u16| format!("https://localhost:{port}/");
    let cases = [
        ("expired", bad[0].url(), "certificate expired"),
        ("wrong-name", bad[1].url(), "not valid for name"),
        ("self-signed", bad[2].url(), "TLS: invalid peer certificate"),
        ("authority", bad[3].url(), "TLS: the receiver shows the certificate of an authority"),
        ("plain-text", https(plain.port()), "TLS:"),
        ("mute", https(mute.port()), "no connection in time"),
        ("closing", https(gone.port()), "TLS:"),
    ];
    let mut config = format!("exports:\n{}", export("good", &good.url(), PATIENT));
    let settings = |name: &str| {
        if name == "mute" { "timeout: 60s, connect_timeout: 2s" } else { PATIENT }
    };
    cases.iter().for_each(|(name, url, _)| config += &export(name, url, settings(name)));
    let place = Place::new(&config);
    // The one that nobody vouches for is left out.
    let roots = [good.pem(), bad[0].pem(), bad[1].pem(), bad[3].pem()].concat();
    let roots = place.write("roots.pem", roots);
    let mut running = place.run().env("SSL_CERT_FILE", roots.to_str().expect("UTF-8")).start();
    running.feed(event("e"));
    let metrics = running.settled(1);
    running.end().code(3);
    assert_eq!((good.requests(), count(&metrics, "events_delivered_total", "good")), (1, 1.0));
    let letters = place.dead_letters();
    assert_eq!(letters.len(), cases.len(), "{letters:?}");
    for (name, _, text) in cases {
        let letter = letters_of(&letters, name)[0];
        assert_eq!(letter["reason"], "retries_exhausted", "{name}");
        assert_eq!(letter["attempts"], 2, "{name}: {letter}");
        let error = letter["last_error"].as_str().expect("an error");
        assert!(error.contains(text), "{name}: {error}");
    }
    assert_eq!(bad.iter().map(TlsReceiver::requests).sum::<usize>(), 0);
}

/// An event too large for the buffers between both sides, so that a receiver can answer while most
/// of it is unwritten.
fn large(id: &str) -> String {
    event_with(id, json!({ "filler": "x".repeat(12_000_000) }))
}

fn large_config(url: &str) -> String {
    let export = export("a", url, "concurrency: 1, timeout: 60s, max_body_bytes: 16MB");
    format!(
        "sources:\n- {{name: stdin, type: stdin, max_line_bytes: 16MB}}\nexports:\n{export}  \
         queue: {{memory_bytes: 64MB}}\n"
    )
}

#[test]
fn an_answer_that_comes_before_the_body_was_read_is_the_verdict() {
    for (status, delivered) in [(200, 2.0), (413, 0.0)] {
        let reading = Wire::new(move |_, stream| {
            while let Some(head) = read_head(stream) {
                write_status(stream, status);
                head.read_body(stream);
            }
        });
        let place = Place::new(&large_config(&reading.url()));
        let mut running = place.run().start();
        running.feed(large("a"));
        running.settled(1);
        running.feed(large("b"));
        let metrics = running.settled(2);
        running.end();
        assert_eq!(count(&metrics, "events_delivered_total", "a"), delivered, "{status}");
        assert_eq!(metrics.sum("attempts_total", &[]), 2.0, "{status}");
    }
}

#[test]
fn a_receiver_that_answers_early_and_reads_no_further_does_not_cost_the_next_event_its_attempt() {
    let stuck = Wire::new(|_, stream| {
        if read_head(stream).is_some() {
            write_status(stream, 200);
            std::thread::sleep(Duration::from_secs(180));
        }
    });
    let place = Place::new(&large_config(&stuck.url()));
    let mut running = place.run().start();
    let started = Instant::now();
    for number in 0..3 {
        running.feed(large(&format!("e{number}")));
        running.settled(number + 1);
    }
    let metrics = running.metrics();
    running.end().code(0);
    assert_eq!(metrics.sum("attempts_total", &[("outcome", "delivered")]), 3.0);
    assert_eq!(metrics.sum("attempts_total", &[]), 3.0);
    assert_eq!(stuck.connections(), 3);
    // One attempt may take 60 s: no event waited for another's.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// Anonymous memory of a process, in bytes.
fn anonymous(running: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn whatever_a_receiver_sends_a_connection_costs_less_than_a_megabyte() {
    const CONNECTIONS: usize = 32;
    for (case, answer) in [
        ("endless body", endless_body(500)),
        ("endless head", endless_head(500)),
        ("endless line", wire("HTTP/1.1 500 ", Step::Drip(vec![b'x'; 65536], Duration::ZERO))),
        ("gzip bomb", gzip_bomb(500)),
        ("slow endless body", {
            let drip = Step::Drip(vec![b'x'; 512], Duration::from_millis(1));
            Answer::status(500).until_close().then(drip)
        }),
    ] {
        let receiver = Receiver::ok();
        let settings = format!("concurrency: {CONNECTIONS}, timeout: 2s");
        let export = export("a", &receiver.url("/"), &settings);
        let place = Place::new(&format!("exports:\n{export}"));
        let mut running = place.run().start();
        // As many connections as there may be, behaving well.
        running.feed(events(10 * CONNECTIONS));
        running.settled(10 * CONNECTIONS);
        let before = anonymous(&running);
        receiver.rewrite(move |_| answer.clone());
        running.feed(events(2 * CONNECTIONS));
        let most = Mutex::new(before);
        until("all settled", || {
            let mut most = most.lock().unwrap();
            *most = anonymous(&running).max(*most);
            let pending = running.metrics().sum("events_pending", &[]);
            (receiver.requests().len() >= 14 * CONNECTIONS && pending == 0.0).then_some(())
        });
        running.settled(12 * CONNECTIONS);
        running.end().code(3);
        let grown = most.into_inner().unwrap() - before;
        assert!(
            grown < CONNECTIONS as u64 * 1_000_000,
            "{case}: {grown} bytes more for {CONNECTIONS} connections"
        );
    }
}
