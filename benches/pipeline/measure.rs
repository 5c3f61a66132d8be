//! What a process used, read from /proc while it still lives.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// No wait of a bench is longer.
const LONGEST: Duration = Duration::from_secs(1_800);

/// Ticks of /proc/PID/stat a second.
const TICKS: f64 = 100.0;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Input lines.
    pub(crate) lines: f64,
    /// From the start of the process to the last event received.
    pub(crate) time: Duration,
    /// CPU seconds of the process.
    pub(crate) cpu: f64,
    /// CPU seconds of the receiver.
    pub(crate) receiver_cpu: f64,
    /// Peak resident memory of the process.
    pub(crate) peak_bytes: f64,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.lines / self.time.as_secs_f64()
    }

    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu / self.lines * 1e6
    }

    pub(crate) fn receiver_cpu_per_million(&self) -> f64 {
        self.receiver_cpu / self.lines * 1e6
    }
}

/// The run in the middle, by rate.
pub(crate) fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    runs[runs.len() / 2]
}

/// User and system time of a process, in seconds.
pub(crate) fn cpu(child: &Child) -> f64 {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the process lives");
    let (_, fields) = stat.rsplit_once(") ").expect("the form of /proc/PID/stat");
    let field = |number: usize| {
        fields.split(' ').nth(number - 3).and_then(|field| field.parse::<f64>().ok())
    };
    (field(14).unwrap_or(0.0) + field(15).unwrap_or(0.0)) / TICKS
}

/// Peak resident memory of a process, in bytes.
pub(crate) fn peak_bytes(child: &Child) -> f64 {
    memory(child, "VmHWM")
}

/// A row of /proc/PID/status that is an amount of memory, in bytes.
pub(crate) fn memory(child: &Child, row: &str) -> f64 {
    status(&format!("/proc/{}/status", child.id()), row) * 1024.0
}

/// How often threads of a process were woken so far.
pub(crate) fn switches(child: &Child) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("it lives");
    let status = |task: std::fs::DirEntry| {
        status(&task.path().join("status").to_string_lossy(), "voluntary_ctxt_switches")
    };
    tasks.flatten().map(status).sum()
}

/// The number of a row in such a file; 0 where there is none.
fn status(path: &str, row: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = |line: &str| {
        let value = line.strip_prefix(row)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse().ok()
    };
    text.lines().find_map(value).unwrap_or(0.0)
}

/// What the files of a directory take on disk, in bytes.
pub(crate) fn disk(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).expect("a directory").flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len() as f64)).sum()
}

/// Waits until this holds, looking seldom, so that looking costs nothing.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONGEST, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
