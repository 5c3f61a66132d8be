//! The scenarios: what is read, what of it is sent, and how each contestant is run.

use crate::bare::CONNECTIONS;
use crate::measure::{self, Figures};
use crate::receiver::Receiver;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Input lines at scale 1.
    lines: usize,
    /// Every so many lines one is `critical`; all others are `info`.
    critical_every: usize,
    /// What postrider's filter and the client loop look for.
    severity: &'static str,
    /// How many events go in one request; 0: one, and no batch.
    batch: usize,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    // Every line is its own request.
    Scenario { name: "each", lines: 200_000, critical_every: 1, severity: "critical", batch: 0 },
    // Two in a hundred lines are.
    Scenario { name: "rare", lines: 1_000_000, critical_every: 50, severity: "critical", batch: 0 },
    // Every line, ten thousand of them in a request.
    Scenario {
        name: "batch",
        lines: 1_000_000,
        critical_every: 1,
        severity: "critical",
        batch: 10_000,
    },
];

/// A scenario's input.
pub(crate) struct Input {
    path: PathBuf,
    lines: usize,
    sent: u64,
}

impl Scenario {
    /// Writes the input: audit events of about 440 bytes.
    pub(crate) fn input(&self, scale: f64, folder: &Path) -> Input {
        let lines = ((self.lines as f64 * scale) as usize).max(self.critical_every);
        let mut text = String::with_capacity(lines * 450);
        for n in 0..lines {
            let severity = if n % self.critical_every == 0 { "critical" } else { "info" };
            let _ = writeln!(
                text,
                "{{\"audit_id\":\"ae_{n:010}\",\"timestamp\":\"2026-04-17T10:15:03.{:03}Z\",\"event_kind\":\"policy_block\",\
                 \"severity\":\"{severity}\",\"agent_id\":\"support-bot-{}\",\"session\":\"myapp/main\",\
                 \"policy_result\":{{\"verdict\":\"deny\",\"rule\":\"no_pii_to_external\",\"score\":0.{:03}}},\
                 \"request\":{{\"tool\":\"http_post\",\"url\":\"https://api.example.com/v1/customers/{n}\",\
                 \"bytes\":{},\"headers\":{{\"content-type\":\"application/json\"}}}},\
                 \"message\":\"Outbound request blocked: the payload holds personal data\",\"cost\":{{\"usd\":0.0{}}}}}",
                n % 1000,
                n % 17,
                n % 997,
                n % 65_536,
                n % 100,
            );
        }
        let path = folder.join(format!("{}.jsonl", self.name));
        std::fs::write(&path, text).expect("room for the input");
        let sent = lines.div_ceil(self.critical_every) as u64;
        Input { path, lines, sent }
    }

    /// Runs the bare client loop.
    pub(crate) fn bare(&self, input: &Input) -> Figures {
        let program = std::env::current_exe().expect("this program");
        let wanted = format!("\"severity\":\"{}\"", self.severity);
        contest(input, self.batch > 0, |port| {
            let mut command = Command::new(&program);
            command.arg("bare").arg(port.to_string()).arg(&input.path).arg(&wanted);
            command.arg(self.batch.to_string());
            command
        })
    }

    /// Runs postrider, checkpoints on.
    pub(crate) fn postrider(&self, input: &Input, folder: &Path) -> Figures {
        let data = tempfile::tempdir_in(folder).expect("a data directory");
        let config = data.path().join("postrider.yaml");
        let batch = match self.batch {
            0 => String::new(),
            events => format!("    batch: {{ max_events: {events}, max_bytes: 8MB }}\n"),
        };
        contest(input, self.batch > 0, |port| {
            let text = format!(
                "data_dir: data\nadmin: false\n\
                 sources: [{{ name: bench, type: file, paths: [\"{}\"] }}]\n\
                 exports:\n  - name: hook\n    destination: webhook\n    filters: {{ min_severity: {} }}\n    \
                 webhook: {{ url: \"http://127.0.0.1:{port}/hook\", concurrency: {CONNECTIONS} }}\n{batch}",
                input.path.display(),
                self.severity,
            );
            std::fs::write(&config, text).expect("room for the configuration");
            let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
            command.args(["run", "-q", "-c"]).arg(&config);
            command
        })
    }
}

/// Runs one contestant against a fresh receiver, from its start to the last event received.
fn contest(input: &Input, lines: bool, command: impl FnOnce(u16) -> Command) -> Figures {
    let mut receiver = Receiver::start();
    receiver.expect(input.sent, lines);
    let mut command = command(receiver.port);
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).spawn().expect("the contestant starts");
    let mut child = Ended(child);
    receiver.wait();
    let figures = Figures {
        lines: input.lines as f64,
        time: start.elapsed(),
        cpu: measure::cpu(&child.0),
        receiver_cpu: measure::cpu(&receiver.child),
        peak_bytes: measure::peak_bytes(&child.0),
    };
    child.end();
    figures
}

/// A contestant that ends with the bench.
struct Ended(Child);

impl Ended {
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.end();
    }
}
