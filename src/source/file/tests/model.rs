//! A file source against a writer who does whatever writers do: every whole line arrives exactly
//! once, and at least once where the source was killed.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the writer does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Writes so many lines.
    Append(usize),
    /// Writes half a line; the next append writes the rest.
    Half,
    /// Renames the file to a name that the globs do not match.
    RenameOut,
    /// Renames the file to a name that the globs match.
    RenameWithin,
    /// Writes a line to the file that was renamed last.
    AppendToOld,
    /// Deletes the file, when all of it was read.
    Delete,
    /// Cuts the file off, when all of it was read.
    Truncate,
    /// Has the source stopped while a few of these happen, and started again.
    Restart { killed: bool, append: usize, rename: bool },
    /// Has the file not asked for while so many lines are written, and asked for again.
    Reload(usize),
    /// Waits until all has arrived.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..200).prop_map(Step::Append),
        2 => Just(Step::Half),
        2 => Just(Step::RenameOut),
        2 => Just(Step::RenameWithin),
        2 => Just(Step::AppendToOld),
        1 => Just(Step::Delete),
        1 => Just(Step::Truncate),
        2 => (any::<bool>(), 0usize..50, any::<bool>())
            .prop_map(|(killed, append, rename)| Step::Restart { killed, append, rename }),
        2 => (0usize..50).prop_map(Step::Reload),
        2 => Just(Step::Wait),
    ]
}

/// The writer, and what it knows.
struct Writer {
    bench: Bench,
    tailing: Option<Tailing>,
    /// Lines that are whole.
    written: usize,
    /// How often each arrived.
    arrived: BTreeMap<usize, usize>,
    half: bool,
    names: usize,
    old: Option<String>,
    killed: bool,
    truncations: f64,
}

const GLOBS: [&str; 2] = ["a.log", "kept.*"];

impl Writer {
    async fn new() -> Self {
        let mut writer = Writer {
            bench: Bench::new(),
            tailing: None,
            written: 0,
            arrived: BTreeMap::new(),
            half: false,
            names: 0,
            old: None,
            killed: false,
            truncations: 0.0,
        };
        writer.begin().await;
        writer
    }

    fn append(&mut self, count: usize) {
        let mut text = String::new();
        for _ in 0..count {
            let line = line(self.written);
            text += if std::mem::take(&mut self.half) { &line[5..] } else { &line };
            self.written += 1;
        }
        append(&self.bench.path("a.log"), &text);
    }

    /// What is half written stays so for good.
    fn rename(&mut self, to: &str) {
        if self.bench.path("a.log").exists() {
            self.names += 1;
            let name = format!("{to}.{}", self.names);
            rename(&self.bench, "a.log", &name);
            if std::mem::take(&mut self.half) {
                append(&self.bench.path(&name), &line(self.written)[5..]);
                self.written += 1;
            }
            self.old = Some(name);
        }
    }

    fn count_arrived(&mut self) -> bool {
        numbers(&self.bench).into_iter().for_each(|n| *self.arrived.entry(n).or_default() += 1);
        self.arrived.len() == self.written
    }

    #[allow(clippy::disallowed_types, reason = "paused time passes at once: patience is real time")]
    async fn wait(&mut self) {
        let started = std::time::Instant::now();
        while !self.count_arrived() {
            let missing: Vec<_> =
                (0..self.written).filter(|n| !self.arrived.contains_key(n)).collect();
            assert!(started.elapsed() < Duration::from_secs(8), "missing: {missing:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn restart(&mut self, killed: bool, append: usize, rename: bool) {
        let mut tailing = self.tailing.take().unwrap();
        if killed {
            // What was settled last may not be saved.
            drop(tailing.checkpoints);
            tailing.run.stop().await;
            tailing.run.store.close().await.unwrap();
            self.killed = true;
        } else {
            tailing.stop().await;
        }
        self.append(append);
        if rename {
            self.rename("out");
        }
        self.begin().await;
    }

    /// Starts the source, and waits until it looks.
    async fn begin(&mut self) {
        self.truncations = 0.0;
        self.tailing = Some(start(&self.bench, &GLOBS).await);
        self.append(1);
        self.wait().await;
    }

    async fn step(&mut self, step: Step) {
        let path = self.bench.path("a.log");
        match step {
            Step::Append(count) => self.append(count),
            Step::Half if !self.half => {
                append(&path, &line(self.written)[..5]);
                self.half = true;
            }
            Step::RenameOut => self.rename("out"),
            Step::RenameWithin => self.rename("kept"),
            Step::AppendToOld => {
                if let Some(old) = &self.old {
                    append(&self.bench.path(old), &line(self.written));
                    self.written += 1;
                }
            }
            Step::Delete | Step::Truncate if self.half || !path.exists() => {}
            Step::Delete => {
                self.wait().await;
                fs::remove_file(&path).unwrap();
            }
            Step::Truncate => {
                self.wait().await;
                if fs::metadata(&path).unwrap().len() > 0 {
                    fs::write(&path, "").unwrap();
                    self.truncations += 1.0;
                    let truncated = self.truncations;
                    self.tailing
                        .as_ref()
                        .unwrap()
                        .settled("file_truncations_total", truncated)
                        .await;
                }
            }
            Step::Restart { killed, append, rename } => {
                // A file that nobody has looked at is lost when it is renamed meanwhile.
                self.append(1);
                self.wait().await;
                self.restart(killed, append, rename).await;
            }
            Step::Reload(count) => {
                // As before a restart.
                self.append(1);
                self.wait().await;
                let handle = &self.tailing.as_ref().unwrap().handle;
                let config =
                    |globs: &[&str]| testing::source(Input::File(input(&self.bench, globs)));
                handle.reconfigure(&config(&GLOBS[1..])).unwrap();
                let again = config(&GLOBS);
                self.append(count + 1);
                let handle = &self.tailing.as_ref().unwrap().handle;
                // What comes, goes or is cut off before the source looks again was not asked for.
                handle.reconfigure(&again).unwrap().wait().await;
                self.wait().await;
            }
            Step::Wait => self.wait().await,
            Step::Half => {}
        }
    }
}

/// Plays what a writer does, and says what came of it.
fn play(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut writer = Writer::new().await;
        for step in steps {
            writer.step(step).await;
        }
        writer.wait().await;
        let tailing = writer.tailing.take().unwrap();
        tailing.stop().await;
        writer.count_arrived();
        let more: Vec<_> = writer.arrived.iter().filter(|(_, times)| **times > 1).collect();
        assert!(writer.killed || more.is_empty(), "more than once: {more:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn every_line_arrives(steps in prop::collection::vec(step(), 1..30)) {
        play(steps);
    }
}

#[test]
fn what_is_cut_off_once_a_reload_is_in_force_is_counted() {
    use Step::*;
    for _ in 0..8 {
        play(vec![RenameWithin, Append(181), Append(128), Reload(18), Truncate, Append(132)]);
    }
}

#[test]
fn what_comes_and_goes_once_a_reload_is_in_force_arrives() {
    use Step::*;
    for _ in 0..8 {
        let reloads = [Reload(20), Reload(4), Wait, Append(137), Half, AppendToOld, RenameOut];
        play([&[Half, RenameOut][..], &reloads, &[Append(196), RenameOut]].concat());
    }
}
