//! The admin listener: metrics and health, and who may ask.

use crate::support::{Answer, Gate, Place, Receiver, Step, event, events, free_port};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

const CONSOLE: &str = "exports:\n- {name: a, destination: console}\n";

#[test]
fn every_series_is_there_from_the_start() {
    let place = Place::new(
        "sources:\n- {name: in, type: stdin}\nexports:\n- {name: a, destination: console}\n\
         - {name: b, destination: webhook, webhook: {url: 'http://127.0.0.1:9/'}}\n",
    );
    let running = place.run().start().ready();
    let metrics = running.metrics();
    for name in [
        "events_received_total",
        "received_bytes_total",
        "events_malformed_total",
        "severity_unknown_total",
        "source_last_event_timestamp_seconds",
        "source_lag_bytes",
        "file_truncations_total",
    ] {
        assert_eq!(metrics.one(name, &[("source", "in")]), 0.0, "{name}");
        metrics.one(name, &[("source", "internal")]);
    }
    for export in ["a", "b"] {
        let export = ("export", export);
        for name in [
            "events_filtered_total",
            "filter_errors_total",
            "events_routed_total",
            "events_restored_total",
            "events_replayed_total",
            "events_delivered_total",
            "attempt_duration_seconds_count",
            "delivery_latency_seconds_count",
            "oldest_pending_age_seconds",
            "last_delivery_timestamp_seconds",
            "retry_after_waits_total",
            "rate_limit_wait_seconds_total",
            "blocked_seconds_total",
            "queue_bytes",
            "dead_letters",
            "dead_letter_bytes",
        ] {
            assert_eq!(metrics.one(name, &[export]), 0.0, "{name}");
        }
        for reason in ["retries_exhausted", "rejected", "render", "too_large"] {
            assert_eq!(
                metrics.one("events_dead_lettered_total", &[export, ("reason", reason)]),
                0.0
            );
        }
        for place in ["memory", "disk", "retry", "flight"] {
            assert_eq!(metrics.one("events_pending", &[export, ("where", place)]), 0.0);
        }
        assert_eq!(metrics.one("queue_limit_bytes", &[export]), 8e6);
    }
    assert_eq!(metrics.one("events_unmatched_total", &[]), 0.0);
    for reason in ["malformed", "too_large"] {
        metrics.one("events_dead_lettered_total", &[("export", ""), ("reason", reason)]);
    }
    assert_eq!(metrics.one("ready", &[]), 1.0);
    assert_eq!(metrics.one("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(metrics.one("config_info", &[]), 1.0);
    assert!(metrics.one("process_resident_memory_bytes", &[]) > 1e6);
    running.end().code(0);
}

#[test]
fn the_page_is_valid_and_described() {
    let place = Place::new(CONSOLE);
    let mut running = place.run().start();
    running.feed(events(3) + "bad\n");
    running.settled(4);
    let (status, page) = running.get("/metrics", "");
    assert_eq!(status, 200);
    let mut described = "";
    let mut typed = "";
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described = help.split(' ').next().unwrap();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            typed = kind.split(' ').next().unwrap();
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(name == typed || base == Some(typed), "{line} below {typed}");
            assert_eq!(described, typed, "{line}");
        }
    }
    running.end().code(3);
}

#[test]
fn live_and_ready_need_neither_token_nor_host() {
    let place = Place::new(&format!(
        "{CONSOLE}admin: {{tokens: [{{name: t, token: s3cret, role: read}}]}}\n"
    ));
    let running = place.run().start().ready();
    for path in ["/live", "/ready"] {
        assert_eq!(running.get(path, "Host: evil.example\r\n").0, 200, "{path}");
        let (_, body) = running.get(path, "");
        serde_json::from_str::<Value>(&body).expect("JSON");
    }
    running.end().code(0);
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let tokens = "admin: {tokens: [{name: t, token: s3cret, role: read}]}\n";
    let place = Place::new(&format!("{CONSOLE}{tokens}"));
    let running = place.run().start().ready();
    for (headers, status) in [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Basic s3cret\r\n", 401),
        ("Authorization: Bearer s3cret\r\n", 200),
    ] {
        let (found, body) = running.get("/metrics", headers);
        assert_eq!(found, status, "{headers}");
        if status != 200 {
            let error: Value = serde_json::from_str(&body).expect("JSON");
            for field in ["code", "message", "fix"] {
                assert!(error["error"][field].is_string(), "{body}");
            }
        }
    }
    running.end().code(0);
    let open = place.run().set("admin.metrics_open=true").start().ready();
    assert_eq!(open.get("/metrics", "").0, 200);
    open.end().code(0);
}

#[test]
fn a_foreign_host_or_origin_is_refused() {
    let place = Place::new(&format!("{CONSOLE}admin: {{hosts: [metrics.internal]}}\n"));
    let running = place.run().start().ready();
    for (headers, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: 127.0.0.1:1234\r\n", 200),
        ("Host: Metrics.Internal\r\n", 200),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://localhost:8080\r\n", 200),
    ] {
        assert_eq!(running.get("/metrics", headers).0, status, "{headers}");
    }
    assert_eq!(running.get("/nothing", "").0, 404);
    running.end().code(0);
}

#[test]
fn a_busy_address_is_an_error_where_it_was_configured_and_else_a_warning() {
    let busy = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let address = busy.local_addr().unwrap();
    let place = Place::new(CONSOLE);
    let listen = format!("admin.listen={address}");
    let failed = place.postrider(&["run", "--set", &listen]).finish().code(1);
    assert!(failed.stderr.contains(&address.to_string()), "{}", failed.stderr);
    assert!(!place.path("postrider-data/postrider.db").exists());
    // Whoever has the default port, this test or another program: it is taken.
    let _taken = TcpListener::bind(("127.0.0.1", 9077));
    let warned = place.postrider(&["run"]).stdin(event("e")).finish().code(0);
    assert!(warned.stderr.contains("WARN") && warned.stderr.contains("9077"), "{}", warned.stderr);
    assert_eq!(warned.stdout, event("e"));
}

#[test]
fn without_a_listener_the_events_go_all_the_same() {
    let place = Place::new(&format!("{CONSOLE}admin: false\n"));
    let silent = place.postrider(&["run"]).stdin(event("e")).finish().code(0);
    assert_eq!(silent.stdout, event("e"));
    assert!(!silent.stderr.contains("WARN"), "{}", silent.stderr);
}

#[test]
fn an_export_in_trouble_is_a_warning_and_no_reason_to_be_not_ready() {
    let receiver = Receiver::always(Answer::status(503));
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         retry: {{backoff_seconds: [1h]}}\nshutdown_grace: 0\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(event("e"));
    let waits = [("where", "retry")];
    running.shows("a waiting retry", |metrics| metrics.sum("events_pending", &waits) == 1.0);
    let (status, body) = running.get("/ready", "");
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(body["warnings"][0].as_str().unwrap().contains("`a`"), "{body}");
    running.terminate();
    running.wait().code(0);
}

#[test]
fn while_it_drains_it_is_live_and_not_ready() {
    let gate = Gate::new();
    let receiver = Receiver::always(Answer::status(200).first(Step::Wait(gate.clone())));
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(event("e"));
    receiver.wait_for(1);
    running.terminate();
    running.says("stopping");
    crate::support::until("not ready", || (running.get("/ready", "").0 == 503).then_some(()));
    assert_eq!(running.get("/live", "").0, 200);
    assert_eq!(running.metrics().one("ready", &[]), 0.0);
    gate.open();
    running.wait().code(0);
}

#[test]
fn off_loopback_a_token_is_required() {
    let place = Place::new(&format!("{CONSOLE}admin: {{listen: '0.0.0.0:9077'}}\n"));
    let failed = place.postrider(&["validate"]).finish().code(2);
    assert!(failed.stdout.contains("token"), "{}", failed.stdout);
}

#[test]
fn who_waits_for_the_lock_gets_the_admin_listener_with_it() {
    let port = free_port();
    let place = Place::new(&format!(
        "admin: {{listen: '127.0.0.1:{port}'}}\nsources:\n- {{name: in, type: stdin}}\n{CONSOLE}"
    ));
    let run = || place.postrider(&["run"]).start();
    let first = run();
    first.says("started");
    // Each waits for the lock: what it is told meanwhile is what it does.
    let second = run();
    second.says("waiting");
    second.terminate();
    second.wait().code(0);
    let third = run();
    third.says("waiting");
    first.terminate();
    first.wait().code(0);
    third.says("started");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
