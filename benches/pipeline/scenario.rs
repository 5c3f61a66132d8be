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
    pub(crate) lines: usize,
    /// Every so many lines one is `critical`, and sent; all others are `info`.
    pub(crate) critical_every: usize,
    /// How many exports share what is sent, each with events of a kind of its own.
    pub(crate) exports: usize,
    /// How many events go in one request; 0: one, and no batch.
    pub(crate) batch: usize,
    /// Whether postrider renders a body and signs it; else the event goes as it came.
    pub(crate) rendered: bool,
}

pub(crate) const EACH: Scenario = Scenario {
    name: "each",
    lines: 200_000,
    critical_every: 1,
    exports: 1,
    batch: 0,
    rendered: false,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    // Every line is its own request.
    EACH,
    // The same with a template of ten fields and a signature. The bare loop sends what it reads.
    Scenario { name: "rendered", rendered: true, ..EACH },
    // Every line, ten thousand of them in a request, or what 0.2 s brought.
    Scenario { name: "batch", lines: 1_000_000, batch: 10_000, ..EACH },
    // Two in a hundred lines are sent.
    Scenario { name: "rare", lines: 1_000_000, critical_every: 50, ..EACH },
    // The same two in a hundred, each by one of twenty exports.
    Scenario { name: "fan-out", lines: 1_000_000, critical_every: 50, exports: 20, ..EACH },
];

const TEN_FIELDS: &str = r#"{"id": "{{audit_id}}", "at": "{{timestamp}}", "kind": "{{event_kind}}", "who": "{{agent_id}}", "session": {{session}}, "verdict": "{{policy_result.verdict}}", "rule": {{policy_result.rule}}, "score": {{policy_result.score}}, "url": "{{request.url}}", "text": "{{message}}"}"#;

/// A scenario's input.
pub(crate) struct Input {
    path: PathBuf,
    lines: usize,
    sent: u64,
}

/// Appends an audit event of about 440 bytes as a line.
pub(crate) fn event(text: &mut String, n: usize, kind: usize, severity: &str) {
    let _ = writeln!(
        text,
        "{{\"audit_id\":\"ae_{n:010}\",\"timestamp\":\"2026-04-17T10:15:03.{:03}Z\",\"event_kind\":\"policy_block_{kind}\",\
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

impl Scenario {
    /// Writes the input.
    pub(crate) fn input(&self, scale: f64, folder: &Path) -> Input {
        let lines = ((self.lines as f64 * scale) as usize).max(self.critical_every);
        self.lines(lines, folder)
    }

    /// Writes an input of so many lines.
    pub(crate) fn lines(&self, lines: usize, folder: &Path) -> Input {
        let mut text = String::with_capacity(lines * 450);
        for n in 0..lines {
            let critical = n % self.critical_every == 0;
            let severity = if critical { "critical" } else { "info" };
            event(&mut text, n, n / self.critical_every % self.exports, severity);
        }
        let path = folder.join(format!("{}.jsonl", self.name));
        std::fs::write(&path, text).expect("room for the input");
        let sent = lines.div_ceil(self.critical_every) as u64;
        Input { path, lines, sent }
    }

    /// Runs the bare client loop.
    pub(crate) fn bare(&self, input: &Input) -> Figures {
        let program = std::env::current_exe().expect("this program");
        self.contest(input, |port| {
            let mut command = Command::new(&program);
            command.arg("bare").arg(port.to_string()).arg(&input.path);
            command.arg("\"severity\":\"critical\"").arg(self.batch.to_string());
            command
        })
    }

    /// Runs postrider, checkpoints on.
    pub(crate) fn postrider(&self, input: &Input, folder: &Path) -> Figures {
        let data = tempfile::tempdir_in(folder).expect("a data directory");
        let config = data.path().join("postrider.yaml");
        self.contest(input, |port| {
            std::fs::write(&config, self.config(input, port, true)).expect("room");
            let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
            command.args(["run", "-q", "-c"]).arg(&config);
            command
        })
    }

    /// Runs a command line in which `{file}` and `{port}` stand for the input and the receiver.
    pub(crate) fn peer(&self, input: &Input, line: &str) -> Figures {
        self.contest(input, |port| {
            let line = line.replace("{file}", &input.path.to_string_lossy());
            let line = line.replace("{port}", &port.to_string());
            let mut command = Command::new("sh");
            // In place of the shell, whose own CPU time nobody asked for.
            command.arg("-c").arg(format!("exec {line}"));
            command
        })
    }

    /// postrider's configuration; it stops at the end of the input unless it follows it.
    pub(crate) fn config(&self, input: &Input, port: u16, follow: bool) -> String {
        let mut text = format!(
            "data_dir: data\nadmin: false\n\
             sources: [{{ name: bench, type: file, follow: {follow}, paths: [\"{}\"] }}]\nexports:\n",
            input.path.display(),
        );
        (0..self.exports).for_each(|index| text.push_str(&self.export(index, port)));
        text
    }

    fn export(&self, index: usize, port: u16) -> String {
        let concurrency = (CONNECTIONS / self.exports).max(2);
        let kinds = match self.exports {
            1 => String::new(),
            _ => format!(", event_kinds: [policy_block_{index}]"),
        };
        let mut text = format!(
            "  - name: hook-{index}\n    destination: webhook\n    \
             filters: {{ min_severity: critical{kinds} }}\n",
        );
        if self.batch > 0 {
            let _ = writeln!(
                text,
                "    batch: {{ max_events: {}, max_bytes: 8MB, max_wait: 0.2s }}",
                self.batch
            );
        }
        let _ = write!(
            text,
            "    webhook:\n      url: \"http://127.0.0.1:{port}/hook\"\n      \
             concurrency: {concurrency}\n",
        );
        if self.rendered {
            let _ = writeln!(
                text,
                "      authentication: {{ type: hmac, hmac_secret: 0123456789abcdef0123456789abcdef }}\n      \
                 body_template: '{TEN_FIELDS}'"
            );
        }
        text
    }

    /// Runs one contestant against a fresh receiver, from its start to the last event received.
    fn contest(&self, input: &Input, command: impl FnOnce(u16) -> Command) -> Figures {
        let mut receiver = Receiver::start();
        receiver.expect(input.sent, self.batch > 0);
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
}

/// A process that ends with the bench.
pub(crate) struct Ended(pub(crate) Child);

impl Ended {
    pub(crate) fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.end();
    }
}
