//! What one more event costs where there is much already: lines of a file, files, events that wait
//! on disk, dead letters. The fill is not measured; the CPU time of the next events is.

use crate::alone::{Postrider, free_port, page, webhook};
use crate::measure;
use crate::receiver;
use crate::scenario::event;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lines that are measured where nobody takes them.
const LINES: u64 = 500_000;

/// Events that are measured where each is written to the store, or sent.
const EVENTS: u64 = 20_000;

/// Lines by which one of many files grows.
const GROWTH: u64 = 500;

/// Lines that are written in one go.
const BLOCK: u64 = 10_000;

/// Each of these at sizes ten times apart.
pub(crate) fn growth(folder: &Path, scale: f64) -> Vec<(String, String)> {
    let mut figures = vec![lines(folder, &sizes(10_000, 10_000_000, scale))];
    figures.push(files(folder, &sizes(1, 1_000, scale.min(1.0))));
    figures.extend(waiting(folder, &sizes(1_000, 1_000_000, scale)));
    figures.push(dead(folder, &sizes(1_000, 1_000_000, scale)));
    figures
}

/// From one size to another one, ten times larger each.
fn sizes(from: u64, to: u64, scale: f64) -> Vec<u64> {
    let last = ((to as f64 * scale) as u64).max(from);
    std::iter::successors(Some(from), |size| Some(size * 10))
        .take_while(|size| *size <= last)
        .collect()
}

/// The figures of one row of the table.
fn figure(what: &str, of: &[(u64, f64)]) -> (String, String) {
    let told: Vec<_> = of.iter().map(|(size, cost)| format!("{size}: {cost:.2} µs")).collect();
    (format!("CPU time of an event, {what}"), told.join(", "))
}

/// A receiver that takes everything: its port, and how many requests it took.
fn counting() -> (u16, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let port = receiver::listen("127.0.0.1:0", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (port, taken)
}

/// The CPU time, in µs an event, of what happens until `events` are through.
fn cost(process: &Child, events: u64, work: impl FnOnce()) -> f64 {
    let before = measure::cpu(process);
    work();
    (measure::cpu(process) - before) * 1e6 / events as f64
}

/// Lines that nobody takes, of one file that has so many already.
fn lines(folder: &Path, sizes: &[u64]) -> (String, String) {
    let (port, end) = counting();
    let export = webhook("hook", port) + "    filters: { min_severity: critical }\n";
    let postrider = Postrider::new(folder, &export, "admin: false\n");
    let running = postrider.run();
    let mut ends = 0;
    // The last line is sent, and tells that those before it are through.
    let mut feed = |lines: u64, text: &dyn Fn(&mut String, u64)| {
        write(&mut postrider.input(), lines, text);
        let mut last = String::new();
        event(&mut last, 0, 0, "critical");
        postrider.input().write_all(last.as_bytes()).expect("room for the input");
        ends += 1;
        measure::until("the last line", || end.load(Ordering::Relaxed) == ends);
    };
    let (mut there, mut costs) = (0, Vec::new());
    for size in sizes {
        feed(size.saturating_sub(there), &small);
        there = there.max(*size) + LINES;
        costs.push((*size, cost(&running.0, LINES, || feed(LINES, &ordinary))));
    }
    figure("none sent, by lines of its file before it", &costs)
}

/// Lines that nobody takes, spread over so many files: in turn, each grows by as many.
fn files(folder: &Path, sizes: &[u64]) -> (String, String) {
    let port = receiver::listen("127.0.0.1:0", |_| ());
    let export = webhook("hook", port) + "    filters: { min_severity: critical }\n";
    let mut costs = Vec::new();
    for size in sizes {
        let admin = free_port();
        let more = format!("admin: {{ listen: '127.0.0.1:{admin}' }}\n");
        let postrider = Postrider::over(folder, "in/*.jsonl", &export, &more);
        let input = |n: u64| {
            let path = postrider.folder.join(format!("in/{}.jsonl", n % size));
            std::fs::File::options().create(true).append(true).open(path).expect("a file")
        };
        std::fs::create_dir(postrider.folder.join("in")).expect("room for a folder");
        (0..*size).for_each(|n| write(&mut input(n), 1, &ordinary));
        let running = postrider.run();
        received(admin, *size);
        costs.push((
            *size,
            cost(&running.0, LINES, || {
                (0..LINES / GROWTH).for_each(|n| write(&mut input(n), GROWTH, &ordinary));
                received(admin, size + LINES);
            }),
        ));
    }
    figure("none sent, by files that grow by turns", &costs)
}

/// Waits until so many events have come in.
fn received(admin: u16, events: u64) {
    let row = format!("events_received_total{{source=\"bench\"}} {events}\n");
    measure::until("all of it read", || page(admin).contains(&row));
}

/// Events that are written to the queue on disk behind so many, and events that are sent from there.
fn waiting(folder: &Path, sizes: &[u64]) -> Vec<(String, String)> {
    let (port, taken) = counting();
    let admin = free_port();
    let export = webhook("hook", port) + "    queue: { mode: disk, disk_bytes: 100GB }\n";
    let more = format!("admin: {{ listen: '127.0.0.1:{admin}' }}\n");
    let postrider = Postrider::new(folder, &export, &more);
    let running = postrider.run();
    received(admin, 0);
    postrider.exports("pause");
    let (mut there, mut written) = (0, 0);
    let mut feed = |lines: u64, text: &dyn Fn(&mut String, u64)| {
        write(&mut postrider.input(), lines, text);
        written += lines;
        received(admin, written);
    };
    let (mut kept, mut sent) = (Vec::new(), Vec::new());
    for size in sizes {
        feed(size.saturating_sub(there), &wanted);
        there = there.max(*size) + EVENTS;
        kept.push((*size, cost(&running.0, EVENTS, || feed(EVENTS, &critical))));
        let (first, before) = (taken.load(Ordering::Relaxed), measure::cpu(&running.0));
        postrider.exports("resume");
        let many = EVENTS.min(there / 2);
        measure::until("some sent", || taken.load(Ordering::Relaxed) >= first + many);
        postrider.exports("pause");
        let took = measure::cpu(&running.0) - before;
        let through = taken.load(Ordering::Relaxed) - first;
        there -= through.min(there);
        sent.push((*size, took * 1e6 / through as f64));
    }
    vec![
        figure("written to disk, by events that wait there", &kept),
        figure("sent from disk, by events that wait there", &sent),
    ]
}

/// Events that become dead letters, with so many before them.
fn dead(folder: &Path, sizes: &[u64]) -> (String, String) {
    let port = receiver::listen_and_say(receiver::REFUSED, "127.0.0.1:0", |_| ());
    let admin = free_port();
    let more = format!(
        "admin: {{ listen: '127.0.0.1:{admin}' }}\ndlq: {{ max_bytes: 100GB, emit_events: false }}\n"
    );
    let postrider = Postrider::new(folder, &webhook("hook", port), &more);
    let running = postrider.run();
    let (mut there, mut costs) = (0, Vec::new());
    let mut feed = |lines: u64, text: &dyn Fn(&mut String, u64)| {
        write(&mut postrider.input(), lines, text);
        there += lines;
        measure::until("all of it dead", || {
            let page = page(admin);
            let dead = page
                .lines()
                .filter(|line| line.starts_with("postrider_events_dead_lettered_total"));
            let dead = dead.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
            dead.sum::<f64>() as u64 == there
        });
        there
    };
    let mut before = 0;
    for size in sizes {
        before = feed(size.saturating_sub(before), &malformed);
        costs.push((before, cost(&running.0, EVENTS, || before = feed(EVENTS, &critical))));
    }
    figure("refused and buried, by dead letters before it", &costs)
}

fn write(file: &mut std::fs::File, lines: u64, text: &dyn Fn(&mut String, u64)) {
    for from in (0..lines).step_by(BLOCK as usize) {
        let mut block = String::new();
        (from..lines.min(from + BLOCK)).for_each(|n| text(&mut block, n));
        file.write_all(block.as_bytes()).expect("room for the input");
    }
}

fn ordinary(text: &mut String, n: u64) {
    event(text, n as usize, 0, "info");
}

fn critical(text: &mut String, n: u64) {
    event(text, n as usize, 0, "critical");
}

fn small(text: &mut String, n: u64) {
    let _ = writeln!(text, "{{\"n\":{n},\"severity\":\"info\"}}");
}

fn wanted(text: &mut String, n: u64) {
    let _ = writeln!(text, "{{\"n\":{n},\"severity\":\"critical\"}}");
}

fn malformed(text: &mut String, n: u64) {
    let _ = writeln!(text, "{{\"n\":{n}");
}

impl Postrider {
    fn exports(&self, what: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(["exports", what, "hook", "-q", "-c"]).arg(self.folder.join("postrider.yaml"));
        let status = command.stdout(Stdio::null()).status().expect("it starts");
        assert!(status.success(), "exports {what}");
    }
}
