//! Instructions of the whole program for one event, counted by callgrind: they hardly depend on
//! what else the machine does, so a change shows where times only waver.
//!
//! Callgrind's processor has no instructions for SHA-256: what signs or names by a hash costs some
//! thousand instructions more here than it does anywhere else.

use crate::receiver;
use crate::scenario::{EACH, Scenario};
use std::path::Path;
use std::process::{Command, Stdio};

/// What is counted: its name, what happens to each line, and how many lines there are at scale 1.
const ROWS: &[(&str, Scenario, usize)] = &[
    (
        "read, checked and filtered out",
        // All but the first.
        Scenario { critical_every: usize::MAX, ..EACH },
        20_000,
    ),
    ("sent in a batch", Scenario { batch: 10_000, ..EACH }, 20_000),
    ("sent in a request of its own", EACH, 4_000),
    ("rendered from ten fields, signed and sent", Scenario { rendered: true, ..EACH }, 4_000),
];

/// See [`crate::alone::Alone`].
pub(crate) fn instructions(folder: &Path, scale: f64) -> Vec<(String, String)> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return vec![("instructions".to_owned(), "not counted: no valgrind".to_owned())];
    }
    let port = receiver::listen("127.0.0.1:0", |_| ());
    let row = |(what, scenario, lines): &(&str, Scenario, usize)| {
        let lines = ((*lines as f64 * scale) as usize).max(100);
        // What starting and stopping costs is in both.
        let few = count(scenario, lines / 10, port, folder);
        let many = count(scenario, lines, port, folder);
        let each = many.saturating_sub(few) / (lines - lines / 10) as u64;
        (format!("instructions for a line that is {what}"), each.to_string())
    };
    ROWS.iter().map(row).collect()
}

/// Instructions of a run over so many lines, from its start to its end.
fn count(scenario: &Scenario, lines: usize, port: u16, folder: &Path) -> u64 {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let input = scenario.lines(lines, folder.path());
    let config = folder.path().join("postrider.yaml");
    std::fs::write(&config, scenario.config(&input, port, false)).expect("room");
    let counted = folder.path().join("callgrind.out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", counted.display()))
        .arg(env!("CARGO_BIN_EXE_postrider"))
        .args(["run", "-q", "-c"])
        .arg(&config)
        .stdin(Stdio::null())
        .status()
        .expect("valgrind");
    assert!(status.success(), "postrider ended with {status}");
    let counted = std::fs::read_to_string(counted).expect("what callgrind counted");
    let totals = counted.lines().find_map(|line| line.strip_prefix("totals: "));
    totals.and_then(|total| total.trim().parse().ok()).expect("callgrind's totals")
}
