//! Another configuration while running: what becomes of sources.

use crate::support::{Answer, Place, Receiver, event, events, free_port, until};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

/// These sources, and an export `a`.
fn config(receiver: &Receiver, sources: &str) -> String {
    format!(
        "sources:\n{sources}exports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n  retry: {{jitter: 0, backoff_seconds: [0.1], max_attempts: 1000}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\nshutdown_grace: 2\n",
        receiver.url("/")
    )
}

fn files(name: &str, keys: &str) -> String {
    format!("- {{name: {name}, type: file, {keys}}}\n")
}

fn lines(name: &str, count: usize) -> String {
    (0..count).map(|number| event(&format!("{name}{number}"))).collect()
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.audit_ids().into_iter().collect()
}

#[test]
fn other_paths_are_read_and_those_left_out_no_more() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver, &files("in", "paths: ['logs/a*.jsonl']")));
    place.write("logs/a1.jsonl", lines("a1-", 10));
    place.write("logs/a2.jsonl", lines("a2-", 10));
    place.write("logs/b.jsonl", lines("b-", 10));
    let running = place.run().start().ready();
    running.settled(20);
    let keys = "paths: ['logs/*.jsonl'], exclude: ['logs/a2*']";
    place.write("postrider.yaml", config(&receiver, &files("in", keys)));
    running.reload();
    running.settled(30);
    place.append("logs/a2.jsonl", &lines("left-", 10));
    place.append("logs/a1.jsonl", &lines("more-", 10));
    running.settled(40);
    // Asked for again, it is read on where it was left.
    place.write("postrider.yaml", config(&receiver, &files("in", "paths: ['logs/*.jsonl']")));
    running.reload();
    running.settled(50);
    running.terminate();
    running.wait().code(0);
    receiver.exactly(50);
    assert_eq!(ids(&receiver).len(), 50);
    place.run().start().ready().terminate();
    receiver.exactly(50);
}

#[test]
fn a_renamed_source_reads_nothing_twice() {
    // A part of what was read waits for a retry while the source is renamed.
    let receiver = Receiver::new(|request| match request.number % 4 {
        0 => Answer::status(503),
        _ => Answer::status(200),
    });
    let paths = "paths: ['logs/*.jsonl']";
    let place = Place::new(&config(&receiver, &files("old", paths)));
    place.write("logs/a.jsonl", events(200));
    let running = place.run().start().ready();
    receiver.wait_for(100);
    let keys = format!("{paths}, former_names: [old]");
    place.write("postrider.yaml", config(&receiver, &files("new", &keys)));
    running.reload();
    place.append("logs/a.jsonl", &lines("more-", 50));
    let metrics = running.settled(250);
    running.terminate();
    running.wait().code(0);
    assert_eq!(metrics.one("events_received_total", &[("source", "old")]), 200.0);
    assert_eq!(metrics.one("events_received_total", &[("source", "new")]), 50.0);
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 250.0);
    assert_eq!(ids(&receiver).len(), 250);
    let running = place.run().start().ready();
    let (before, read) = (receiver.requests().len(), running.metrics().received());
    place.append("logs/a.jsonl", &event("last"));
    receiver.wait_for(before + 1);
    running.settled(1);
    assert_eq!(read, 0.0);
    running.terminate();
}

#[test]
fn sources_come_and_go() {
    let receiver = Receiver::ok();
    let (a, b) = (files("a", "paths: ['a.jsonl']"), files("b", "paths: ['b.jsonl']"));
    let place = Place::new(&config(&receiver, &a));
    place.write("a.jsonl", lines("a", 10));
    place.write("b.jsonl", lines("b", 10));
    let running = place.run().start().ready();
    running.settled(10);
    place.write("postrider.yaml", config(&receiver, &(a.clone() + &b)));
    running.reload();
    running.settled(20);
    place.write("postrider.yaml", config(&receiver, &b));
    running.reload();
    running.says("source ends: it is no longer configured");
    place.append("a.jsonl", &lines("later-a", 10));
    place.append("b.jsonl", &lines("later-b", 10));
    running.settled(30);
    // Back again, it goes on where it ended.
    place.write("postrider.yaml", config(&receiver, &(a + &b)));
    running.reload();
    running.settled(40);
    running.terminate();
    running.wait().code(0);
    receiver.exactly(40);
    assert_eq!(ids(&receiver).len(), 40);
}

#[test]
fn a_connection_to_the_address_before_goes_on() {
    let receiver = Receiver::ok();
    let (old, new) = (free_port(), free_port());
    let socket = |port: u16| {
        format!("- {{name: in, type: socket, mode: tcp, address: '127.0.0.1:{port}'}}\n")
    };
    let place = Place::new(&config(&receiver, &socket(old)));
    let running = place.run().start().ready();
    let mut open = TcpStream::connect(("127.0.0.1", old)).unwrap();
    open.write_all(event("before").as_bytes()).unwrap();
    running.settled(1);
    // In the middle of a line.
    let line = event("during");
    let (head, rest) = line.split_at(20);
    open.write_all(head.as_bytes()).unwrap();
    place.write("postrider.yaml", config(&receiver, &socket(new)));
    running.reload();
    open.write_all(rest.as_bytes()).unwrap();
    running.settled(2);
    let mut other = TcpStream::connect(("127.0.0.1", new)).unwrap();
    other.write_all(event("new").as_bytes()).unwrap();
    running.settled(3);
    until("the old address to be free", || TcpStream::connect(("127.0.0.1", old)).err());
    open.write_all(event("after").as_bytes()).unwrap();
    running.settled(4);
    running.terminate();
    running.wait().code(0);
    assert_eq!(receiver.audit_ids(), ["before", "during", "new", "after"]);
}
