//! The whole program against a receiver on loopback, beside a bare client loop that posts the same
//! bodies in the same run: read the ratios, the machine is noisy.
//!
//! `cargo bench --bench pipeline` prints a table, medians of five runs. Names after `--` choose
//! scenarios (`each`, `rendered`, `batch`, `rare`, `fan-out`) and figures (`tail`, `start`, `idle`,
//! `down`, `growth`, `instructions`); `--runs N` and `--scale F` change how often and how much.
//! `--peer NAME='COMMAND'` puts another program beside: a command line in which `{file}` and
//! `{port}` stand for what it is to read and where on 127.0.0.1 it is to post.
//!
//! The receiver and the client loop are this same executable in processes of their own, so that
//! the CPU time and memory of each can be told apart.

#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

mod alone;
mod bare;
mod growth;
mod instructions;
mod measure;
mod receiver;
mod scenario;

use measure::Figures;
use scenario::{SCENARIOS, Scenario};
use std::path::Path;

/// What the command line asks for.
struct Options {
    names: Vec<String>,
    runs: usize,
    scale: f64,
    /// Names and command lines.
    peers: Vec<(String, String)>,
}

impl Options {
    fn of(mut arguments: impl Iterator<Item = String>) -> Options {
        let mut options = Options { names: Vec::new(), runs: 5, scale: 1.0, peers: Vec::new() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("a value behind the option");
            match argument.as_str() {
                "--bench" => {}
                "--runs" => options.runs = value().parse().expect("a number of runs"),
                "--scale" => options.scale = value().parse().expect("a factor"),
                "--peer" => {
                    let peer = value();
                    let (name, line) = peer.split_once('=').expect("NAME=COMMAND");
                    options.peers.push((name.to_owned(), line.to_owned()));
                }
                name => options.names.push(name.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|known| known == name)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("receiver") => return receiver::run(),
        Some("bare") => return bare::run(&arguments[1..]),
        _ => {}
    }
    let options = Options::of(arguments.into_iter());
    let folder = tempfile::tempdir().expect("a folder for the run");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    println!(
        "{cores} cores; medians of {} runs; CPU is user + system time of that process alone\n",
        options.runs
    );
    if SCENARIOS.iter().any(|scenario| options.wants(scenario.name)) {
        println!(
            "| scenario | who | in/s | of bare | CPU s/M in | receiver CPU s/M in | peak MB |\n\
             |---|---|---|---|---|---|---|"
        );
        for scenario in SCENARIOS.iter().filter(|scenario| options.wants(scenario.name)) {
            run(scenario, &options, folder.path());
        }
        println!();
    }
    if alone::ALL.iter().any(|(name, _)| options.wants(name)) {
        println!("| what | figure |\n|---|---|");
        for (_, figure) in alone::ALL.iter().filter(|(name, _)| options.wants(name)) {
            for (what, figure) in figure(folder.path(), options.scale) {
                println!("| {what} | {figure} |");
            }
        }
    }
}

/// Runs one scenario, the contestants by turns.
fn run(scenario: &Scenario, options: &Options, folder: &Path) {
    let input = scenario.input(options.scale, folder);
    let mut contestants = vec![("bare loop", Vec::new()), ("postrider", Vec::new())];
    contestants.extend(options.peers.iter().map(|(name, _)| (name.as_str(), Vec::new())));
    for _ in 0..options.runs {
        contestants[0].1.push(scenario.bare(&input));
        contestants[1].1.push(scenario.postrider(&input, folder));
        for ((_, line), (_, runs)) in options.peers.iter().zip(&mut contestants[2..]) {
            runs.push(scenario.peer(&input, line));
        }
    }
    let figures = contestants.into_iter().map(|(who, runs)| (who, measure::median(runs)));
    let figures: Vec<_> = figures.collect();
    for (who, of_one) in &figures {
        row(scenario.name, who, of_one, &figures[0].1);
    }
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
