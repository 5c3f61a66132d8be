//! File sources that end, against somebody who rotates, compresses and deletes between their runs:
//! every line arrives exactly once, and at least once where a run was killed.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What happens between two runs that read everything to its end.
#[derive(Debug, Clone, Copy)]
enum Between {
    Append(usize),
    Rotate,
    /// Compresses the file that was rotated so many rotations ago.
    Compress(usize),
    /// Deletes it, when all of it was read; its inode may be used again.
    Delete(usize),
    /// Runs; told to stop after so many lines, or to the end. A kill loses what was not saved.
    Run {
        stop_after: Option<usize>,
        killed: bool,
    },
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => (1usize..3_000).prop_map(Between::Append),
        3 => Just(Between::Rotate),
        3 => (0usize..3).prop_map(Between::Compress),
        1 => (0usize..3).prop_map(Between::Delete),
        4 => (prop::option::of(0usize..3_000), prop::bool::weighted(0.3))
            .prop_map(|(stop_after, killed)| Between::Run { stop_after, killed }),
    ]
}

/// A folder of rotated files, and what is known of them.
struct Archive {
    bench: Bench,
    written: usize,
    rotated: Vec<String>,
    names: usize,
    arrived: BTreeMap<usize, usize>,
    killed: bool,
}

impl Archive {
    fn rotated(&self, ago: usize) -> Option<String> {
        self.rotated.iter().rev().nth(ago).cloned()
    }

    fn step(&mut self, step: Between) {
        match step {
            Between::Append(count) => {
                append(&self.bench.path("a.log"), &lines(self.written..self.written + count));
                self.written += count;
            }
            Between::Rotate if self.bench.path("a.log").exists() => {
                self.names += 1;
                let name = format!("a.log.{}", self.names);
                rename(&self.bench, "a.log", &name);
                self.rotated.push(name);
            }
            Between::Compress(ago) => {
                if let Some(name) = self.rotated(ago).filter(|name| !name.ends_with(".gz")) {
                    gzip::compress(&self.bench, &name);
                    self.rotated.retain(|other| *other != name);
                    self.rotated.push(name + ".gz");
                }
            }
            Between::Rotate | Between::Delete(_) | Between::Run { .. } => {}
        }
    }

    async fn run(&mut self, stop_after: Option<usize>, killed: bool) {
        let unfollowed = FileInput { follow: false, ..input(&self.bench, &["a.log*"]) };
        let mut tailing = start_with(&self.bench, unfollowed).await;
        match stop_after {
            Some(count) => {
                let enough = || {
                    let came = self.bench.got.texts().len() >= count;
                    came || tailing.handle.has_ended()
                };
                wait_until(enough, std::future::pending(), || "enough to stop".to_owned()).await;
            }
            None => {
                assert_eq!(tailing.run.ended().await, Ok(()));
                let missing = self.written - self.arrived.len();
                self.bench.got.count(missing).await;
            }
        }
        if killed {
            drop(tailing.checkpoints);
            tailing.run.stop().await;
            tailing.run.store.close().await.unwrap();
            self.killed = true;
        } else {
            tailing.stop().await;
        }
        numbers(&self.bench).into_iter().for_each(|n| *self.arrived.entry(n).or_default() += 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..Default::default() })]

    #[test]
    fn every_line_of_an_archive_arrives(steps in prop::collection::vec(between(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut archive = Archive {
                bench: Bench::new(),
                written: 0,
                rotated: Vec::new(),
                names: 0,
                arrived: BTreeMap::new(),
                killed: false,
            };
            for step in steps {
                match step {
                    Between::Run { stop_after, killed } => archive.run(stop_after, killed).await,
                    Between::Delete(ago) => {
                        if let Some(name) = archive.rotated(ago) {
                            archive.run(None, false).await;
                            fs::remove_file(archive.bench.path(&name)).unwrap();
                            archive.rotated.retain(|other| *other != name);
                        }
                    }
                    step => archive.step(step),
                }
            }
            archive.run(None, false).await;
            let missing: Vec<_> =
                (0..archive.written).filter(|n| !archive.arrived.contains_key(n)).collect();
            assert!(missing.is_empty(), "missing: {missing:?}");
            let more: Vec<_> = archive.arrived.iter().filter(|(_, times)| **times > 1).collect();
            assert!(archive.killed || more.is_empty(), "more than once: {more:?}");
        });
    }
}
