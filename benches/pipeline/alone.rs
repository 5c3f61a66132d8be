//! Figures that have no bare loop beside them: how late an event comes, how soon the first one is
//! sent, what idling costs, and what a receiver that is down does to memory and disk.

use crate::growth::growth;
use crate::instructions::instructions;
use crate::measure;
use crate::receiver;
use crate::scenario::{Ended, event};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Lines appended a second where lateness is measured.
const PACE: usize = 1_000;

/// One of these figures: its name, and what it does with a folder and the scale; it returns lines
/// of the form `what | figure`.
pub(crate) type Alone = (&'static str, fn(&Path, f64) -> Vec<(String, String)>);

pub(crate) const ALL: &[Alone] = &[
    ("tail", tail),
    ("start", start),
    ("idle", idle),
    ("down", down),
    ("growth", growth),
    ("instructions", instructions),
];

/// postrider in a directory of its own, reading `in.jsonl` there.
pub(crate) struct Postrider {
    pub(crate) folder: PathBuf,
}

impl Postrider {
    pub(crate) fn new(folder: &Path, exports: &str, more: &str) -> Postrider {
        Postrider::over(folder, "in.jsonl", exports, more)
    }

    /// The same, reading these files there.
    pub(crate) fn over(folder: &Path, paths: &str, exports: &str, more: &str) -> Postrider {
        let folder = tempfile::tempdir_in(folder).expect("a folder").keep();
        let text = format!(
            "data_dir: data\n{more}sources: [{{ name: bench, type: file, paths: ['{paths}'] }}]\n\
             exports:\n{exports}"
        );
        std::fs::write(folder.join("postrider.yaml"), text).expect("room for the configuration");
        std::fs::write(folder.join("in.jsonl"), "").expect("room for the input");
        Postrider { folder }
    }

    pub(crate) fn run(&self) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(["run", "-q", "-c"]).arg(self.folder.join("postrider.yaml"));
        Ended(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }

    pub(crate) fn input(&self) -> std::fs::File {
        let path = self.folder.join("in.jsonl");
        std::fs::File::options().append(true).open(path).expect("the input")
    }
}

pub(crate) fn webhook(name: &str, port: u16) -> String {
    format!(
        "  - name: {name}\n    destination: webhook\n    \
         webhook: {{ url: \"http://127.0.0.1:{port}/\", concurrency: 16 }}\n"
    )
}

fn number(body: &[u8]) -> usize {
    let digits = body.get(16..26).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// From the write of a line to the receipt of its request.
fn tail(folder: &Path, scale: f64) -> Vec<(String, String)> {
    let count = ((20_000.0 * scale) as usize).max(PACE);
    let received = Arc::new(Mutex::new(vec![None; count]));
    let of_receiver = Arc::clone(&received);
    let port = receiver::listen("127.0.0.1:0", move |body| {
        let now = Instant::now();
        of_receiver.lock().expect("a receiver that lives")[number(body)].get_or_insert(now);
    });
    let postrider = Postrider::new(folder, &webhook("hook", port), "admin: false\n");
    let _running = postrider.run();
    let mut input = postrider.input();
    let mut written = Vec::with_capacity(count);
    // It watches the file by then.
    sleep(Duration::from_secs(1));
    let started = Instant::now();
    let mut line = String::new();
    for n in 0..count {
        line.clear();
        event(&mut line, n, 0, "critical");
        let due = Duration::from_secs_f64(n as f64 / PACE as f64);
        sleep(due.saturating_sub(started.elapsed()));
        written.push(Instant::now());
        input.write_all(line.as_bytes()).expect("room for the input");
    }
    let all = || received.lock().expect("a receiver that lives").iter().all(Option::is_some);
    measure::until("every event", all);
    let received = received.lock().expect("a receiver that lives");
    let late = received.iter().zip(&written).filter_map(|(at, from)| Some((*at)? - *from));
    let mut late: Vec<_> = late.collect();
    late.sort();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    vec![(
        format!("from a line's write to its receipt, {PACE} lines a second"),
        format!("p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}", at(0.5), at(0.99), at(0.999)),
    )]
}

/// From the start of the process to the first request: with nothing behind it, and with a queue.
fn start(folder: &Path, scale: f64) -> Vec<(String, String)> {
    let empty = {
        let postrider = |port| {
            let postrider = Postrider::new(folder, &webhook("hook", port), "admin: false\n");
            write_events(&postrider, 1);
            postrider
        };
        first_delivery(postrider)
    };
    let rows = ((1_000_000.0 * scale) as usize).max(1_000);
    let full = {
        let admin = free_port();
        // Nobody listens there until the queue is full.
        let port = free_port();
        let text = webhook("hook", port) + "    queue: { mode: disk }\n";
        let postrider =
            Postrider::new(folder, &text, &format!("admin: {{ listen: '127.0.0.1:{admin}' }}\n"));
        write_events(&postrider, rows);
        let mut running = postrider.run();
        let received = format!("events_received_total{{source=\"bench\"}} {rows}");
        measure::until("all of it in the queue", || page(admin).contains(&received));
        running.end();
        let (tell, first) = mpsc::channel();
        receiver::listen(&format!("127.0.0.1:{port}"), move |_| {
            let _ = tell.send(Instant::now());
        });
        of_three(|| {
            while first.try_recv().is_ok() {}
            let started = Instant::now();
            let mut running = postrider.run();
            let took = first.recv().expect("a request") - started;
            running.end();
            // What was under way when it ended.
            sleep(Duration::from_millis(100));
            took
        })
    };
    let what = "from exec to the first request";
    vec![
        (format!("{what}, nothing waits"), format!("{empty:.1?}")),
        (format!("{what}, {rows} events wait on disk"), format!("{full:.1?}")),
    ]
}

fn first_delivery(postrider: impl Fn(u16) -> Postrider) -> Duration {
    let (tell, first) = mpsc::channel();
    let port = receiver::listen("127.0.0.1:0", move |_| {
        let _ = tell.send(Instant::now());
    });
    of_three(|| {
        let postrider = postrider(port);
        let started = Instant::now();
        let mut running = postrider.run();
        let took = first.recv().expect("a request") - started;
        running.end();
        took
    })
}

fn of_three(mut run: impl FnMut() -> Duration) -> Duration {
    let mut took = [run(), run(), run()];
    took.sort();
    took[1]
}

/// A process that has nothing to do.
fn idle(folder: &Path, _: f64) -> Vec<(String, String)> {
    let port = receiver::listen("127.0.0.1:0", |_| ());
    let postrider = Postrider::new(folder, &webhook("hook", port), "admin: false\n");
    let running = postrider.run();
    sleep(Duration::from_secs(3));
    let before = measure::switches(&running.0);
    sleep(Duration::from_secs(10));
    let after = measure::switches(&running.0);
    vec![(
        "idle, one file source, one export".to_owned(),
        format!(
            "{:.1} MB resident, {:.1} MB of it its own; {:.0} wake-ups in 10 s",
            measure::memory(&running.0, "VmRSS") / 1e6,
            measure::memory(&running.0, "RssAnon") / 1e6,
            after - before
        ),
    )]
}

/// A receiver that takes nothing beside one that takes all.
fn down(folder: &Path, scale: f64) -> Vec<(String, String)> {
    let bytes = (10e9 * scale) as u64;
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let up = receiver::listen("127.0.0.1:0", move |body| {
        let lines = memchr::memchr_iter(b'\n', body).count();
        counted.fetch_add(lines as u64, Ordering::Relaxed);
    });
    // It takes connections and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = hanging.local_addr().expect("its address").port();
    let exports = webhook("up", up)
        + "    batch: { max_events: 2000 }\n"
        + &webhook("down", dead)
        + "    queue: { disk_bytes: 200MB, when_full: drop_newest }\n";
    let postrider = Postrider::new(folder, &exports, "admin: false\n");
    let running = postrider.run();
    let (mut input, mut text, mut lines, mut written) = (postrider.input(), String::new(), 0, 0);
    let started = Instant::now();
    while written < bytes {
        text.clear();
        (0..2_000).for_each(|n| event(&mut text, lines + n, 0, "critical"));
        input.write_all(text.as_bytes()).expect("room for the input");
        (lines, written) = (lines + 2_000, written + text.len() as u64);
        // The file need not grow much faster than it is read.
        while taken.load(Ordering::Relaxed) + 500_000 < lines as u64 {
            sleep(Duration::from_millis(5));
        }
    }
    measure::until("all at the other", || taken.load(Ordering::Relaxed) >= lines as u64);
    let rate = lines as f64 / started.elapsed().as_secs_f64();
    vec![(
        format!("a receiver that is down, {:.1} GB of input", written as f64 / 1e9),
        format!(
            "{:.1} MB at most, {:.0} MB of disk (bound 200 MB); {rate:.0} lines/s to the other one",
            measure::peak_bytes(&running.0) / 1e6,
            measure::disk(&postrider.folder.join("data")) / 1e6,
        ),
    )]
}

fn write_events(postrider: &Postrider, count: usize) {
    let mut text = String::with_capacity(count * 450);
    (0..count).for_each(|n| event(&mut text, n, 0, "critical"));
    postrider.input().write_all(text.as_bytes()).expect("room for the input");
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The page of metrics; nothing while there is none.
pub(crate) fn page(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let mut request = String::new();
        let _ = write!(
            request,
            "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut text);
    }
    text
}
