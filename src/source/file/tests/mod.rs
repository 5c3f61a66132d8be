//! File sources over real files, a real store and a scripted export.

mod archive;
mod gzip;
mod many;
mod model;
mod reload;

use super::roster::ROTATE_WAIT;
use super::*;
use crate::ack::MAX_LEDGER_LINES;
use crate::config::Input;
use crate::source::SourceHandle;
use crate::source::testing::{self, Bench, Run, append, wait_until};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A run of a file source.
struct Tailing {
    run: Run,
    checkpoints: Checkpoints,
    handle: SourceHandle,
}

fn input(bench: &Bench, globs: &[&str]) -> FileInput {
    let glob = |glob: &&str| bench.path(glob).to_string_lossy().into_owned();
    FileInput {
        paths: globs.iter().map(glob).collect(),
        exclude: Vec::new(),
        data_dir: bench.path("data"),
        read_from: ReadFrom::Beginning,
        follow: true,
    }
}

async fn start_among(bench: &Bench, input: FileInput, open_files: Arc<OpenFiles>) -> Tailing {
    let mut run = bench.open();
    let config = testing::source(Input::File(input.clone()));
    let opened = FileSource::open(run.intake(&config), &input, &run.store, open_files).await;
    let (source, checkpoints) = opened.unwrap();
    let handle = source.handle(&config);
    run.start(source);
    Tailing { run, checkpoints, handle }
}

async fn start_with(bench: &Bench, input: FileInput) -> Tailing {
    start_among(bench, input, OpenFiles::of_process(1)).await
}

async fn start(bench: &Bench, globs: &[&str]) -> Tailing {
    start_with(bench, input(bench, globs)).await
}

impl Tailing {
    async fn stop(mut self) {
        self.run.stop().await;
        self.checkpoints.finish().await;
        self.run.store.close().await.unwrap();
    }

    async fn settled(&self, metric: &str, value: f64) {
        let told = || self.run.metric(metric);
        wait_until(
            || told() == value,
            std::future::pending(),
            || format!("{metric} {value}, it is {}", told()),
        )
        .await;
    }
}

fn line(n: usize) -> String {
    format!("{{\"n\":{n}}}\n")
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(line).collect()
}

/// The numbers that arrived since the last call.
fn numbers(bench: &Bench) -> Vec<usize> {
    let number = |text: &str| text.trim_start_matches("{\"n\":").trim_end_matches('}').parse();
    let mut numbers: Vec<usize> =
        bench.got.take().iter().map(|(_, text)| number(text).unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn rename(bench: &Bench, from: &str, to: &str) {
    fs::rename(bench.path(from), bench.path(to)).unwrap();
}

#[tokio::test]
async fn what_is_there_and_what_is_appended_arrives() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..3));
    let tailing = start(&bench, &["*.log"]).await;
    bench.got.count(3).await;
    append(&bench.path("a.log"), &lines(3..5));
    bench.got.count(5).await;
    append(&bench.path("b.log"), &lines(5..7));
    bench.got.count(7).await;
    assert_eq!(numbers(&bench), (0..7).collect::<Vec<_>>());
    tailing.settled("source_lag_bytes", 0.0).await;
    tailing.stop().await;
}

#[tokio::test]
async fn without_events_files_are_looked_at_by_the_clock() {
    let bench = Bench::new();
    let (mut run, input) = (bench.open(), input(&bench, &["*.log"]));
    let config = testing::source(Input::File(input.clone()));
    let open_files = OpenFiles::of_process(1);
    let opened = FileSource::open(run.intake(&config), &input, &run.store, open_files).await;
    let (source, checkpoints) = opened.unwrap();
    source.files.watch.lock().unwrap().poll_because("a test");
    let handle = source.handle(&config);
    run.start(source);
    let tailing = Tailing { run, checkpoints, handle };
    append(&bench.path("a.log"), &line(0));
    bench.got.count(1).await;
    append(&bench.path("a.log"), &line(1));
    bench.got.count(2).await;
    rename(&bench, "a.log", "a.1");
    append(&bench.path("a.1"), &line(2));
    append(&bench.path("a.log"), &line(3));
    bench.got.count(4).await;
    assert_eq!(numbers(&bench), [0, 1, 2, 3]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_line_is_taken_when_it_is_whole() {
    let bench = Bench::new();
    append(&bench.path("a.log"), "{\"n\":1");
    let tailing = start(&bench, &["a.log"]).await;
    append(&bench.path("b.log"), "");
    append(&bench.path("a.log"), "2}\n{\"n\":");
    bench.got.count(1).await;
    append(&bench.path("a.log"), "13}\n");
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [12, 13]);
    tailing.stop().await;
}

#[tokio::test]
async fn folders_may_appear_later() {
    let bench = Bench::new();
    let tailing = start(&bench, &["x/*/a.log"]).await;
    fs::create_dir_all(bench.path("x/y")).unwrap();
    append(&bench.path("x/y/a.log"), &line(1));
    bench.got.count(1).await;
    fs::remove_dir_all(bench.path("x")).unwrap();
    fs::create_dir_all(bench.path("x/z")).unwrap();
    append(&bench.path("x/z/a.log"), &line(2));
    bench.got.count(2).await;
    tailing.stop().await;
}

#[tokio::test]
async fn nothing_is_missing_after_rotations() {
    let bench = Bench::new();
    let path = bench.path("a.log");
    append(&path, &line(200_000));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [200_000]);
    let writer = std::thread::spawn(move || {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        for n in 0..10_000 {
            use std::io::Write;
            file.write_all(line(n).as_bytes()).unwrap();
            if n % 2_000 == 1_000 {
                fs::rename(&path, path.with_extension(n.to_string())).unwrap();
                // It is still written to for a while.
                file.write_all(line(100_000 + n).as_bytes()).unwrap();
                file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            }
        }
    });
    bench.got.count(10_005).await;
    writer.join().unwrap();
    let expected = (0..10_000).chain((0..5).map(|n| 101_000 + n * 2_000));
    assert_eq!(numbers(&bench), expected.collect::<Vec<_>>());
    tailing.stop().await;
}

#[tokio::test]
async fn a_file_renamed_within_the_globs_is_not_read_again() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &line(1));
    let tailing = start(&bench, &["a.log*"]).await;
    bench.got.count(1).await;
    rename(&bench, "a.log", "a.log.1");
    append(&bench.path("a.log.1"), &line(2));
    append(&bench.path("a.log"), &line(3));
    bench.got.count(3).await;
    append(&bench.path("a.log.1"), &line(4));
    bench.got.count(4).await;
    assert_eq!(numbers(&bench), [1, 2, 3, 4]);
    tailing.stop().await;
    let tailing = start(&bench, &["a.log*"]).await;
    append(&bench.path("a.log"), &line(5));
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [5]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_recreated_file_is_another() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &line(1));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(1).await;
    fs::remove_file(bench.path("a.log")).unwrap();
    append(&bench.path("a.log"), &line(1));
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [1, 1]);
    assert_eq!(tailing.run.metric("file_truncations_total"), 0.0);
    tailing.stop().await;
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_read_from_its_beginning() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..10));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(10).await;
    let before = bench.got.take()[0].0.stream;
    fs::write(bench.path("a.log"), line(11)).unwrap();
    bench.got.count(1).await;
    let (after, text) = bench.got.take().remove(0);
    assert_eq!((after.offset, text.as_str()), (0, "{\"n\":11}"));
    assert_ne!(after.stream, before);
    assert_eq!(tailing.run.metric("file_truncations_total"), 1.0);
    append(&bench.path("a.log"), &line(12));
    bench.got.count(1).await;
    tailing.settled("source_lag_bytes", 0.0).await;
    tailing.stop().await;
    // It is known by its new head.
    let tailing = start(&bench, &["a.log"]).await;
    append(&bench.path("a.log"), &line(13));
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [12, 13]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_restart_repeats_only_what_was_not_settled() {
    let bench = Bench::new();
    let text = lines(0..5) + "{\"hold\":1}\n" + &lines(5..9) + "{\"hold\":2}\n" + &lines(9..10);
    append(&bench.path("a.log"), &text);
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(12).await;
    let first: Vec<_> = bench.got.take();
    tailing.stop().await;
    let tailing = start(&bench, &["a.log"]).await;
    append(&bench.path("a.log"), &line(10));
    bench.got.count(3).await;
    let second = bench.got.take();
    assert_eq!(second[0], first[5], "the same event at the same position");
    assert_eq!(second[1], first[10]);
    assert_eq!(second[2].1, "{\"n\":10}");
    assert_eq!(second.len(), 3);
    tailing.stop().await;
}

#[tokio::test]
async fn another_file_on_the_same_inode_is_not_resumed() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..5));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(5).await;
    tailing.stop().await;
    // As if its inode had been given to another file.
    fs::write(bench.path("a.log"), lines(10..20)).unwrap();
    bench.got.take();
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(10).await;
    assert_eq!(numbers(&bench), (10..20).collect::<Vec<_>>());
    tailing.stop().await;
}

#[tokio::test]
async fn reading_from_the_end_holds_for_what_is_there_at_the_first_start() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..5) + "{\"n\":"));
    let from_end = || FileInput { read_from: ReadFrom::End, ..input(&bench, &["*.log"]) };
    let tailing = start_with(&bench, from_end()).await;
    tailing.settled("source_lag_bytes", 5.0).await;
    append(&bench.path("a.log"), "6}\n");
    append(&bench.path("b.log"), &line(7));
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [6, 7]);
    tailing.stop().await;
    append(&bench.path("a.log"), &line(8));
    append(&bench.path("c.log"), &line(9));
    let tailing = start_with(&bench, from_end()).await;
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [8, 9]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_file_renamed_while_stopped_is_read_to_its_end_first() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..3));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(3).await;
    tailing.stop().await;
    bench.got.take();
    append(&bench.path("a.log"), &lines(3..5_000));
    rename(&bench, "a.log", "a.log.1");
    append(&bench.path("a.log"), &lines(5_000..5_005));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(5_002).await;
    let order: Vec<_> = bench.got.take().into_iter().map(|(_, text)| text).collect();
    let expected: Vec<_> = (3..5_005).map(|n| line(n).trim().to_owned()).collect();
    assert_eq!(order, expected);
    append(&bench.path("a.log.1"), &line(9_999));
    bench.got.count(1).await;
    tailing.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_line_of_a_file_that_left_is_taken_in_the_end() {
    let bench = Bench::new();
    append(&bench.path("a.log"), "{\"n\":1}\n{\"n\":2}");
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(1).await;
    let began = Instant::now();
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.got.count(2).await;
    assert!(began.elapsed() >= ROTATE_WAIT, "{:?}", began.elapsed());
    assert_eq!(numbers(&bench), [1, 2]);
    // All of it is settled: it is forgotten.
    let forgotten =
        || async { tailing.run.store.files(testing::NAME).await.unwrap().files.is_empty() };
    while !forgotten().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tailing.run.metric("source_lag_bytes"), 0.0);
    tailing.stop().await;
}

#[tokio::test]
async fn without_follow_everything_is_read_to_its_end() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..40_000) + "{\"n\":40000}"));
    append(&bench.path("b.log"), &lines(50_000..50_010));
    append(&bench.path("empty.log"), "");
    let unfollowed = || FileInput { follow: false, ..input(&bench, &["*.log"]) };
    let mut tailing = start_with(&bench, unfollowed()).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(40_011).await;
    assert_eq!(numbers(&bench), (0..40_001).chain(50_000..50_010).collect::<Vec<_>>());
    tailing.stop().await;
    append(&bench.path("b.log"), &line(1));
    let mut tailing = start_with(&bench, unfollowed()).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [1]);
    tailing.stop().await;
}

#[tokio::test]
async fn hard_links_and_links_are_one_file() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &line(1));
    fs::hard_link(bench.path("a.log"), bench.path("b.log")).unwrap();
    std::os::unix::fs::symlink(bench.path("a.log"), bench.path("c.log")).unwrap();
    let tailing = start(&bench, &["*.log"]).await;
    bench.got.count(1).await;
    append(&bench.path("b.log"), &line(2));
    bench.got.count(2).await;
    fs::remove_file(bench.path("a.log")).unwrap();
    append(&bench.path("b.log"), &line(3));
    bench.got.count(3).await;
    append(&bench.path("d.log"), &line(4));
    bench.got.count(4).await;
    assert_eq!(numbers(&bench), [1, 2, 3, 4]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_link_to_a_file_elsewhere_is_followed() {
    let bench = Bench::new();
    fs::create_dir(bench.path("pods")).unwrap();
    append(&bench.path("pods/0.log"), &line(1));
    std::os::unix::fs::symlink(bench.path("pods/0.log"), bench.path("x.log")).unwrap();
    let tailing = start(&bench, &["*.log"]).await;
    bench.got.count(1).await;
    append(&bench.path("pods/0.log"), &line(2));
    bench.got.count(2).await;
    rename(&bench, "pods/0.log", "pods/0.log.old");
    append(&bench.path("pods/0.log"), &line(3));
    bench.got.count(3).await;
    assert_eq!(numbers(&bench), [1, 2, 3]);
    tailing.stop().await;
}

#[tokio::test]
async fn what_is_no_event_is_a_dead_letter_and_the_rest_goes_on() {
    let bench = Bench::new();
    let giant = format!("{{\"n\":\"{}\"}}\n", "x".repeat(100 << 20));
    append(&bench.path("a.log"), &format!("\u{feff}{}not json\r\n\r\n{giant}{}", line(1), line(2)));
    drop(giant);
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [1, 2]);
    tailing.settled("source_lag_bytes", 0.0).await;
    let letters = tailing.run.dead_letters(&bench).await;
    assert_eq!(letters.len(), 2);
    assert_eq!((letters[0].0.as_str(), letters[0].1.as_str()), ("malformed", "not json"));
    assert_eq!((letters[1].0.as_str(), letters[1].1.len()), ("too_large", 4096));
    assert!(letters[1].2.contains("a.log offset"), "{}", letters[1].2);
    assert_eq!(tailing.run.metric("events_malformed_total"), 2.0);
    tailing.stop().await;
}

#[tokio::test]
async fn a_few_lines_that_wait_do_not_hold_back_the_rest() {
    let bench = Bench::new();
    let count = MAX_LEDGER_LINES + 40_000;
    let line = |n| if n % 1000 == 0 { format!("{{\"hold\":{n}}}\n") } else { line(n) };
    append(&bench.path("a.log"), &(0..count).map(line).collect::<String>());
    let tailing = start(&bench, &["a.log"]).await;
    // Each open chunk has one that waits, so that the ledger would stay full forever.
    bench.got.count(count).await;
    tailing.stop().await;
}
