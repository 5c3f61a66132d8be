//! The console and file sinks.

use crate::support::{Answer, Place, Receiver, event, event_with, events};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_console_prints_one_line_an_event() {
    let place = Place::new(
        "exports:\n- {name: out, destination: console}\n\
         - {name: err, destination: console, console: {stream: stderr}, filters: {event_kinds: [auth]}}\n",
    );
    let lines = events(3) + &event_with("auth", json!({"event_kind": "auth"}));
    let (_, finished) = place.carry(&lines);
    let finished = finished.code(0);
    assert_eq!(finished.stdout, lines);
    assert!(finished.stderr.contains("\"audit_id\":\"auth\""), "{}", finished.stderr);
    assert!(!finished.stderr.contains("\"audit_id\":\"e0\""), "{}", finished.stderr);
}

#[test]
fn a_closed_pipe_is_a_failed_attempt_and_loses_nothing() {
    let place = Place::new(
        "exports:\n- {name: out, destination: console, retry: {max_attempts: 2, backoff_seconds: [0.01]}}\n",
    );
    // A file that is always full stands for an output that nobody can write to.
    let script = format!(
        "exec '{}' run --set admin=false < in.jsonl > /dev/full",
        env!("CARGO_BIN_EXE_postrider")
    );
    place.write("in.jsonl", events(3));
    let status = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(3));
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 3);
    assert_eq!(
        (&letters[0]["reason"], &letters[0]["attempts"]),
        (&json!("retries_exhausted"), &json!(2))
    );
}

#[test]
fn a_file_is_appended_to_with_the_mode_that_is_set() {
    let place = Place::new(
        "exports:\n- {name: f, destination: file, file: {path: deep/out.jsonl, mode: 0600}}\n",
    );
    place.carry(&events(1000)).1.code(0);
    place.carry(&event("later")).1.code(0);
    assert_eq!(place.read("deep/out.jsonl"), events(1000) + &event("later"));
    let mode = std::fs::metadata(place.path("deep/out.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_was_rotated_away_is_made_anew() {
    let place = Place::new("exports:\n- {name: f, destination: file, file: {path: out.jsonl}}\n");
    let mut running = place.run().start();
    running.feed(event("one"));
    running.settled(1);
    std::fs::rename(place.path("out.jsonl"), place.path("out.1")).unwrap();
    running.feed(event("two"));
    running.settled(2);
    std::fs::remove_file(place.path("out.jsonl")).unwrap();
    running.feed(event("three"));
    running.settled(3);
    running.end().code(0);
    assert_eq!((place.read("out.1"), place.read("out.jsonl")), (event("one"), event("three")));
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_and_keeps_no_other_export() {
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "exports:\n- name: f\n  destination: file\n  file: {{path: blocked/out.jsonl}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 100000}}\n\
         - {{name: w, destination: webhook, webhook: {{url: '{}'}}}}\n",
        receiver.url("/")
    ));
    // A file stands where the folder should be.
    place.write("blocked", "");
    let mut running = place.run().start();
    running.feed(events(3));
    receiver.wait_for(3);
    let failed = [("export", "f"), ("outcome", "retry")];
    running.shows("failed attempts", |metrics| metrics.sum("attempts_total", &failed) > 3.0);
    std::fs::remove_file(place.path("blocked")).unwrap();
    running.settled(3);
    running.end().code(0);
    let mut lines: Vec<_> =
        place.read("blocked/out.jsonl").lines().map(|l| format!("{l}\n")).collect();
    lines.sort();
    assert_eq!(lines.concat(), events(3));
}

#[test]
fn a_path_template_cannot_lead_out_of_its_folder() {
    let place = Place::new(
        "exports:\n- {name: f, destination: file, file: {path: 'logs/{{agent_id}}/out.jsonl'}}\n",
    );
    let agents = ["bob", "..", "../../etc", "a/b", "", "x\u{0}y"];
    let lines: String =
        agents.iter().map(|agent| event_with(agent, json!({ "agent_id": agent }))).collect();
    place.carry(&lines).1.code(3);
    assert_eq!(place.read("logs/bob/out.jsonl").lines().count(), 1);
    assert!(!place.path("out.jsonl").exists() && !place.path("../etc").exists());
    let logs = place.path("logs");
    for letter in place.dead_letters() {
        assert_eq!(letter["reason"], "render", "{letter}");
    }
    for entry in std::fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.canonicalize().unwrap().starts_with(logs.canonicalize().unwrap()), "{path:?}");
    }
}

#[test]
fn a_slow_webhook_keeps_no_file_waiting() {
    let receiver = Receiver::always(Answer::hang());
    let place = Place::new(&format!(
        "exports:\n- {{name: f, destination: file, file: {{path: out.jsonl}}}}\n\
         - {{name: w, destination: webhook, webhook: {{url: '{}'}}}}\nshutdown_grace: 0\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(100));
    let delivered = [("export", "f")];
    running.shows("the file", |metrics| metrics.one("events_delivered_total", &delivered) == 100.0);
    running.terminate();
    running.wait().code(0);
    assert_eq!(place.read("out.jsonl"), events(100));
}
