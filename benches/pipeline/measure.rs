//! What a process used, read from /proc while it still lives.

use std::process::Child;
use std::time::Duration;

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
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.split_whitespace()
        .next()
        .and_then(|kilobytes| kilobytes.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1024.0
}
