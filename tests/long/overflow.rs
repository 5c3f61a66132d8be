//! Figures of a queue on disk: what a dead export costs, how soon a start with much on disk sends,
//! how fast events go through the disk, and dead letters in and out.

use super::size;
use crate::support::{Dice, Faults, Metrics, Oracle, Place, Running, events, long, until};
use std::io::Write;
use std::process::ChildStdin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most memory that it ever had, in bytes.
fn peak(running: &Running) -> usize {
    let path = format!("/proc/{}/status", running.pid());
    let status = std::fs::read_to_string(path).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().expect("a number") * 1024
}

/// Writes to its input, which stays open until this is joined.
fn write_aside(running: &mut Running, text: String) -> JoinHandle<ChildStdin> {
    let mut input = running.take_input();
    thread::spawn(move || {
        // It may be stopped before it has read all.
        let _ = input.write_all(text.as_bytes());
        input
    })
}

/// What this disk takes for a small write that is on it for sure: the middle of 21.
fn fdatasync(place: &Place) -> Duration {
    let mut file = std::fs::File::create(place.path("sync")).expect("a file");
    let mut took: Vec<_> = (0..21)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; 4096]).expect("written");
            file.sync_data().expect("on disk");
            started.elapsed()
        })
        .collect();
    took.sort();
    took[10]
}

/// Waits until this holds of the page; looks seldom, so that looking costs nothing.
fn seldom(running: &Running, what: &str, condition: impl Fn(&Metrics) -> bool) -> Duration {
    let started = Instant::now();
    until(what, || {
        thread::sleep(Duration::from_millis(20));
        condition(&running.metrics()).then_some(())
    });
    started.elapsed()
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[test]
fn a_dead_export_costs_little_and_a_start_with_all_of_it_sends_at_once() {
    let count = size(20_000, 1_000_000);
    let oracle = Oracle::new(1, Faults::default(), &mut Dice::new("a dead export"));
    // A port that refuses, until the receiver is there.
    let place = Place::new(&format!(
        "shutdown_grace: 0\nexports:\n- name: quick\n  destination: file\n  file: {{path: out.jsonl}}\n\
         - name: dead\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 16}}\n",
        oracle.url(0)
    ));
    let nobody =
        format!("exports.dead.webhook.url=http://127.0.0.1:{}/", crate::support::free_port());
    let mut running = place.run().set(&nobody).start().ready();
    let input = write_aside(&mut running, events(count));
    let took = seldom(&running, "all at the other one", |metrics| {
        metrics.sum("events_delivered_total", &[("export", "quick")]) == count as f64
            && metrics.sum("events_pending", &[("export", "dead"), ("where", "memory")]) < 1_000.0
    });
    let bytes = peak(&running);
    running.terminate();
    drop(input.join());
    running.wait().code(0);
    println!(
        "an export dead for {count} events: {:.1} MB at most; {:.0} events/s to the other one",
        bytes as f64 / 1e6,
        per_second(count, took)
    );
    assert!(bytes < 64 << 20, "{bytes} bytes");
    let mut first: Vec<_> = (0..3)
        .map(|_| {
            let seen = oracle.count();
            let started = Instant::now();
            let running = place.run().start();
            until("the first delivery", || (oracle.count() > seen).then_some(()));
            let took = started.elapsed();
            running.kill();
            took
        })
        .collect();
    first.sort();
    println!("the first delivery comes {:.1?} after the start", first[1]);
    let running = place.run().start();
    let before = oracle.distinct(0);
    let started = Instant::now();
    until("all of them", || (oracle.distinct(0) == count).then_some(()));
    println!(
        "from disk to the receiver: {:.0} events/s, {:.1} MB at most",
        per_second(count - before, started.elapsed()),
        peak(&running) as f64 / 1e6
    );
    running.end().code(0);
}

#[test]
fn events_go_through_the_disk_fast() {
    let count = size(20_000, 1_000_000);
    let place = Place::new(
        "exports:\n- name: a\n  destination: file\n  file: {path: out.jsonl}\n  queue: {mode: disk}\n",
    );
    let mut running = place.run().start().ready();
    let text = events(count);
    let started = Instant::now();
    let input = write_aside(&mut running, text);
    seldom(&running, "all received", |metrics| metrics.received() == count as f64);
    let received = started.elapsed();
    let metrics = {
        seldom(&running, "all delivered", |metrics| {
            metrics.sum("events_delivered_total", &[]) == count as f64
        });
        running.metrics()
    };
    println!(
        "through the disk: {:.0} events/s in, {:.0} in and out; {} commits, fdatasync {:.2?}, {:.1} MB \
         at most",
        per_second(count, received),
        per_second(count, started.elapsed()),
        metrics.sum("store_commit_seconds_count", &[]),
        fdatasync(&place),
        peak(&running) as f64 / 1e6
    );
    drop(input.join());
    running.wait().code(0);
    assert_eq!(place.read("out.jsonl").lines().count(), count);
}

#[test]
fn dead_letters_are_durable_fast_and_are_replayed_in_flat_memory() {
    let count = size(2_000, 100_000);
    let oracle = Oracle::new(1, Faults::default(), &mut Dice::new("replay"));
    let place = Place::new(&format!(
        "dlq: {{emit_events: false}}\nexports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{}', concurrency: 16}}\n  \
         queue: {{mode: disk, disk_bytes: 1, when_full: dead_letter, memory_events: 1}}\n",
        oracle.url(0)
    ));
    // Nobody answers, so that one event fills the queue and all others are dead letters.
    let nobody = crate::support::Wire::new(|_, stream| {
        drop(std::io::copy(&mut &*stream, &mut std::io::sink()));
    });
    let hangs = format!("exports.a.webhook.url={}", nobody.url());
    let mut running = place.run().set(&hangs).set("shutdown_grace=0").start().ready();
    let text = events(count + 10_000);
    let input = write_aside(&mut running, text);
    let took = seldom(&running, "dead letters", |metrics| {
        metrics.sum("events_dead_lettered_total", &[]) >= count as f64
    });
    println!(
        "dead letters: {:.0} durable a second, fdatasync {:.2?}, {:.1} MB at most",
        per_second(count, took),
        fdatasync(&place),
        peak(&running) as f64 / 1e6
    );
    running.terminate();
    drop(input.join());
    running.wait();
    let running = place.run().set("exports.a.queue.mode=overflow").start().ready();
    seldom(&running, "the rest", |metrics| metrics.sum("events_pending", &[]) == 0.0);
    let (before, memory) = (oracle.count(), peak(&running));
    let started = Instant::now();
    place.postrider(&["dlq", "replay"]).finish().code(0);
    until("all replayed", || (oracle.count() - before >= count).then_some(()));
    println!(
        "replay: {:.0} events/s, {:.1} MB at most after {:.1} MB",
        per_second(oracle.count() - before, started.elapsed()),
        peak(&running) as f64 / 1e6,
        memory as f64 / 1e6
    );
    if long() {
        assert!(peak(&running) < memory + (32 << 20));
    }
    running.end();
}
