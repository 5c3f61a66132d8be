//! File sources: every line arrives, over rotations and restarts, and none without its end.

use crate::support::{Answer, Gate, Place, Receiver, Running, Step, event, events, until};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};

/// A source `in` over `logs/*.jsonl` with further keys, and an export `a` to this URL.
fn config(url: &str, source: &str) -> String {
    format!(
        "sources:\n- {{name: in, type: file, paths: ['logs/*.jsonl'], {source}}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 100000}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\nshutdown_grace: 0.2\n"
    )
}

fn start(place: &Place) -> Running {
    fs::create_dir_all(place.path("logs")).unwrap();
    place.run().start()
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.audit_ids().into_iter().collect()
}

#[test]
fn without_following_every_file_is_read_to_its_end_and_the_program_ends() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "follow: false"));
    place.write("logs/a.jsonl", events(50));
    // At the end for good, a last line needs no end.
    place.write("logs/b.jsonl", event("b1") + event("b2").trim_end());
    place.write("logs/other.txt", event("not this"));
    place.run().finish().code(0);
    receiver.exactly(52);
    assert!(ids(&receiver).contains("b2"));
    place.run().finish().code(0);
    receiver.exactly(52);
}

#[test]
fn a_file_that_was_compressed_between_two_runs_is_not_read_again() {
    let receiver = Receiver::ok();
    let config = config(&receiver.url("/"), "follow: false").replace("*.jsonl", "*.jsonl*");
    let place = Place::new(&config);
    place.write("logs/a.jsonl", events(50));
    place.run().finish().code(0);
    receiver.exactly(50);
    let text = place.read("logs/a.jsonl") + &event("late");
    let file = fs::File::create(place.path("logs/a.jsonl.1.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(place.path("logs/a.jsonl")).unwrap();
    place.write("logs/a.jsonl", event("newest"));
    place.run().finish().code(0);
    receiver.exactly(52);
    assert!(ids(&receiver).contains("late") && ids(&receiver).contains("newest"));
}

#[test]
fn a_line_that_is_appended_arrives() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", event("before"));
    let running = start(&place);
    receiver.wait_for(1);
    for number in 0..5 {
        place.append("logs/a.jsonl", &event(&format!("e{number}")));
        receiver.wait_for(number + 2);
    }
    let metrics = running.settled(6);
    assert_eq!(
        metrics.one("received_bytes_total", &[("source", "in")]) as u64,
        fs::metadata(place.path("logs/a.jsonl")).unwrap().len()
    );
    running.shows("no lag", |metrics| metrics.one("source_lag_bytes", &[("source", "in")]) == 0.0);
    running.terminate();
    running.wait().code(0);
}

#[test]
fn a_line_without_its_end_waits_for_it() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", event("whole") + "{\"audit_id\":\"ha");
    let running = start(&place);
    receiver.wait_for(1);
    running.terminate();
    running.wait().code(0);
    receiver.exactly(1);
    let running = start(&place).ready();
    place.append("logs/a.jsonl", "lf\"}\n");
    receiver.wait_for(2);
    running.settled(1);
    running.terminate();
    running.wait().code(0);
    assert_eq!(receiver.audit_ids(), ["whole", "half"]);
}

#[test]
fn a_file_that_appears_later_is_read_from_its_beginning() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "read_from: end"));
    place.write("logs/old.jsonl", event("old"));
    let running = start(&place).ready();
    place.write("logs/new.jsonl", event("new"));
    receiver.wait_for(1);
    place.append("logs/old.jsonl", &event("appended"));
    receiver.wait_for(2);
    running.settled(2);
    running.terminate();
    running.wait().code(0);
    assert_eq!(receiver.audit_ids(), ["new", "appended"]);
}

#[test]
fn what_postrider_keeps_is_not_read() {
    let receiver = Receiver::ok();
    let yaml = config(&receiver.url("/"), "").replace("*.jsonl", "**");
    let place = Place::new(&format!("{yaml}data_dir: logs\n"));
    place.write("logs/a.jsonl", events(3));
    let running = start(&place).ready();
    receiver.wait_for(3);
    place.append("logs/a.jsonl", &event("later"));
    receiver.wait_for(4);
    running.terminate();
    running.wait().code(0);
    assert!(place.dead_letters().is_empty());
}

#[test]
fn a_restart_goes_on_where_the_last_one_was_settled() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", events(20));
    let running = start(&place);
    running.settled(20);
    running.terminate();
    running.wait().code(0);
    place.append("logs/a.jsonl", &event("later"));
    let running = start(&place);
    running.settled(1);
    running.terminate();
    running.wait().code(0);
    assert_eq!(receiver.exactly(21)[20].audit_id(), "later");
}

#[test]
fn what_was_not_settled_comes_again_with_the_same_delivery_id() {
    let receiver = Receiver::new(|request| match &*request.audit_id() {
        "e3" | "e7" => Answer::status(503),
        _ => Answer::status(200),
    });
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", events(10));
    let running = start(&place);
    let delivered = [("export", "a")];
    running.shows("eight", |metrics| metrics.one("events_delivered_total", &delivered) == 8.0);
    until("both tried", || {
        ["e3", "e7"].iter().all(|id| ids(&receiver).contains(*id)).then_some(())
    });
    running.terminate();
    let stopped = running.wait().code(0);
    assert!(stopped.stderr.contains("kept=0"), "the file keeps them: {}", stopped.stderr);
    let before = receiver.requests();
    receiver.rewrite(|_| Answer::status(200));
    let running = start(&place);
    running.settled(2);
    running.terminate();
    running.wait().code(0);
    let after = receiver.requests().split_off(before.len());
    for request in &after {
        let first = before.iter().find(|other| other.audit_id() == request.audit_id()).unwrap();
        assert_eq!(request.delivery_id(), first.delivery_id());
    }
    let after: BTreeSet<_> = after.iter().map(|request| request.audit_id()).collect();
    assert_eq!(after, BTreeSet::from(["e3".to_owned(), "e7".to_owned()]), "only the unsettled");
}

#[test]
fn a_file_that_was_renamed_and_recreated_is_read_on_in_both() {
    const LINES: usize = 100_000;
    // To a file: what is shown is the reading.
    let place = Place::new(
        "sources:\n- {name: in, type: file, paths: ['logs/a.jsonl*']}\n\
         exports:\n- {name: f, destination: file, file: {path: out.jsonl, fsync: false}}\n",
    );
    let running = start(&place).ready();
    let piece: Vec<String> = events(LINES).lines().map(|line| format!("{line}\n")).collect();
    for (number, lines) in piece.chunks(1000).enumerate() {
        place.append("logs/a.jsonl", &lines.concat());
        if number % 17 == 16 {
            fs::rename(place.path("logs/a.jsonl"), place.path(&format!("logs/a.jsonl.{number}")))
                .unwrap();
        }
    }
    running.settled(LINES);
    running.terminate();
    running.wait().code(0);
    let out = place.read("out.jsonl");
    let arrived: BTreeSet<&str> = out.lines().collect();
    assert_eq!((arrived.len(), out.lines().count()), (LINES, LINES), "each once");
}

#[test]
fn a_file_renamed_out_of_sight_is_still_read_to_its_end() {
    let gate = Gate::new();
    let receiver = Receiver::always(Answer::status(200).first(Step::Wait(gate.clone())));
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", events(3));
    let running = start(&place);
    receiver.wait_for(3);
    let mut old = fs::File::options().append(true).open(place.path("logs/a.jsonl")).unwrap();
    fs::rename(place.path("logs/a.jsonl"), place.path("logs/a.1")).unwrap();
    place.write("logs/a.jsonl", event("new"));
    // The writer goes on in the old one for a while.
    std::io::Write::write_all(&mut old, event("late").as_bytes()).unwrap();
    gate.open();
    running.settled(5);
    running.terminate();
    running.wait().code(0);
    assert!(ids(&receiver).contains("new") && ids(&receiver).contains("late"));
}

#[test]
fn a_file_that_was_cut_short_is_counted_and_read_from_its_new_beginning() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", events(10));
    let running = start(&place);
    receiver.wait_for(10);
    fs::File::create(place.path("logs/a.jsonl")).unwrap();
    running.shows("the cut", |metrics| {
        metrics.one("file_truncations_total", &[("source", "in")]) == 1.0
    });
    place.append("logs/a.jsonl", &event("after"));
    receiver.wait_for(11);
    running.settled(11);
    running.terminate();
    running.wait().code(0);
    let requests = receiver.exactly(11);
    let ids: BTreeSet<_> = requests.iter().map(|request| request.delivery_id()).collect();
    assert_eq!(ids.len(), 11, "the same offset is another position now");
}

#[test]
fn a_bad_line_is_buried_once_with_its_file_and_offset() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", event("one") + "nonsense\n" + &event("two"));
    let running = start(&place);
    receiver.wait_for(2);
    running.settled(3);
    running.terminate();
    running.wait().code(0);
    let running = start(&place).ready();
    place.append("logs/a.jsonl", &event("three"));
    receiver.wait_for(3);
    running.terminate();
    running.wait().code(0);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1);
    let error = letters[0]["last_error"].as_str().unwrap();
    let at = format!("a.jsonl offset {}:", event("one").len());
    assert!(error.contains(&at), "{error}");
    assert_eq!(letters[0]["position"]["offset"], json!(event("one").len()));
}

#[test]
fn a_dead_letter_settles_its_line() {
    let receiver = Receiver::new(|request| match &*request.audit_id() {
        "e1" => Answer::status(400),
        _ => Answer::status(200),
    });
    let place = Place::new(&config(&receiver.url("/"), "follow: false"));
    place.write("logs/a.jsonl", events(3));
    place.run().finish().code(3);
    receiver.exactly(3);
    place.run().finish().code(0);
    receiver.exactly(3);
}

#[test]
fn files_and_events_without_an_id_get_the_same_one_again() {
    let receiver = Receiver::always(Answer::status(503));
    let place = Place::new(&config(&receiver.url("/"), ""));
    place.write("logs/a.jsonl", "{\"a\":1}\n{\"a\":1}\n");
    let names = |from: usize| -> BTreeSet<String> {
        let requests = receiver.requests();
        requests[from..]
            .iter()
            .map(|r| r.header("X-Postrider-Event-ID").unwrap().to_owned())
            .collect()
    };
    let running = start(&place);
    until("both tried", || (names(0).len() == 2).then_some(()));
    running.kill();
    let (before, seen) = (names(0), receiver.requests().len());
    let running = start(&place);
    until("both again", || (names(seen).len() == 2).then_some(()));
    running.kill();
    assert_eq!(names(seen), before);
}

/// `run` with a limit; killed at the end.
struct Limited(Child);

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `run` in a shell that sets a limit first.
fn limited(place: &Place, limit: &str) -> Limited {
    let script = format!("ulimit {limit}; exec \"$0\" run -q -c \"$1\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_postrider")])
        .arg(place.path("postrider.yaml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    Limited(command.spawn().unwrap())
}

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let place = Place::new(
        "admin: false\nsources: [{name: in, type: stdin}]\n\
         exports: [{name: a, destination: console}]\n",
    );
    let mut run = limited(&place, "-Sn 64");
    let limits = format!("/proc/{}/limits", run.0.id());
    until("the limit is raised", || {
        let limits = fs::read_to_string(&limits).unwrap();
        let row = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut numbers = row.split_whitespace();
        let soft = numbers.next();
        (soft == numbers.next() && soft != Some("64")).then_some(())
    });
    drop(run.0.stdin.take());
    assert!(run.0.wait().unwrap().success());
}

#[test]
fn sources_share_what_may_be_open_and_lose_no_rotated_file() {
    const FILES: usize = 150;
    let receiver = Receiver::ok();
    let source = |name| format!("- {{name: {name}, type: file, paths: ['{name}/*.jsonl']}}\n");
    let place = Place::new(&format!(
        "admin: false\nsources:\n{}{}exports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n",
        source("b"),
        source("c"),
        receiver.url("/"),
    ));
    fs::create_dir(place.path("b")).unwrap();
    fs::create_dir(place.path("c")).unwrap();
    let paths = || (0..FILES).flat_map(|n| [format!("b/{n}.jsonl"), format!("c/{n}.jsonl")]);
    let all = |count| until("every line", || (ids(&receiver).len() == count).then_some(()));
    paths().for_each(|path| place.append(&path, &event(&format!("first {path}"))));
    let _run = limited(&place, "-n 120");
    all(2 * FILES);
    for path in paths() {
        place.append(&path, &event(&format!("second {path}")));
        fs::rename(place.path(&path), place.path(&format!("{path}.1"))).unwrap();
        place.append(&path, &event(&format!("third {path}")));
    }
    all(6 * FILES);
}
