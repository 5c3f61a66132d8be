//! The whole program against a receiver on loopback, beside a bare client loop that posts the same
//! bodies in the same run: read the ratios, the machine is noisy.
//!
//! `cargo bench --bench pipeline` prints a table, medians of three runs. Names after `--` choose
//! scenarios (`each`, `rare`, `batch`); `--runs N` and `--scale F` change how often and how much.
//!
//! The receiver and the client loop are this same executable in processes of their own, so that
//! the CPU time and memory of each can be told apart.

#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

mod bare;
mod measure;
mod receiver;
mod scenario;

use measure::Figures;
use scenario::{SCENARIOS, Scenario};
use std::path::Path;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("receiver") => return receiver::run(),
        Some("bare") => return bare::run(&arguments[1..]),
        _ => {}
    }
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<f64>().ok()
    };
    let runs = option("--runs").unwrap_or(3.0).max(1.0) as usize;
    let scale = option("--scale").unwrap_or(1.0);
    let chosen = |scenario: &&Scenario| {
        let named = |name| arguments.iter().any(|argument| argument == name);
        named(scenario.name) || !SCENARIOS.iter().any(|scenario| named(scenario.name))
    };
    let folder = tempfile::tempdir().expect("a folder for the run");
    println!(
        "{} cores; medians of {runs} runs; CPU is user + system time of that process alone\n",
        cores()
    );
    println!("| scenario | who | in/s | of bare | CPU s/M in | receiver CPU s/M in | peak MB |");
    println!("|---|---|---|---|---|---|---|");
    for scenario in SCENARIOS.iter().filter(chosen) {
        run(scenario, runs, scale, folder.path());
    }
}

/// Runs one scenario, the two contestants by turns.
fn run(scenario: &Scenario, runs: usize, scale: f64, folder: &Path) {
    let input = scenario.input(scale, folder);
    let (mut bare, mut postrider) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        bare.push(scenario.bare(&input));
        postrider.push(scenario.postrider(&input, folder));
    }
    let (bare, postrider) = (measure::median(bare), measure::median(postrider));
    row(scenario.name, "bare loop", &bare, &bare);
    row(scenario.name, "postrider", &postrider, &bare);
}

fn row(scenario: &str, who: &str, figures: &Figures, bare: &Figures) {
    println!(
        "| {scenario} | {who} | {:.0} | {:.0} % | {:.2} | {:.2} | {:.0} |",
        figures.rate(),
        100.0 * figures.rate() / bare.rate(),
        figures.cpu_per_million(),
        figures.receiver_cpu_per_million(),
        figures.peak_bytes / 1e6,
    );
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
