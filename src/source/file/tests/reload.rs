//! Another configuration for a file source that runs: nothing is read twice and nothing is lost.

use super::*;
use crate::config::{self, Malformed};

impl Tailing {
    fn reconfigure(&self, input: FileInput) {
        self.handle.reconfigure(&testing::source(Input::File(input))).unwrap();
    }

    /// Waits until so many files are being read: those that are let go count no more.
    async fn lag(&self, bytes: f64) {
        self.settled("source_lag_bytes", bytes).await;
    }
}

#[tokio::test]
async fn other_globs_are_followed_and_files_come_and_go_without_loss_or_repetition() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..3) + "{\"n\":"));
    append(&bench.path("b.txt"), &lines(10..13));
    append(&bench.path("both"), &line(20));
    let tailing = start(&bench, &["*.log", "both"]).await;
    bench.got.count(4).await;
    let first = bench.got.take();
    let stream = |events: &[(crate::event::Position, String)], n: usize| {
        let text = line(n).trim().to_owned();
        events.iter().find(|(_, found)| *found == text).unwrap().0.stream
    };
    tailing.reconfigure(input(&bench, &["*.txt", "both"]));
    bench.got.count(3).await;
    assert_eq!(numbers(&bench), [10, 11, 12]);
    // What was not whole when it was let go stays behind, and no lag.
    tailing.lag(0.0).await;
    append(&bench.path("a.log"), &("3}\n".to_owned() + &line(4)));
    append(&bench.path("both"), &line(21));
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [21]);
    tailing.reconfigure(input(&bench, &["*.log", "both"]));
    bench.got.count(2).await;
    let again = bench.got.take();
    assert_eq!(again.len(), 2, "{again:?}");
    assert_eq!(stream(&again, 3), stream(&first, 0), "the same file, read on");
    append(&bench.path("b.txt"), &line(13));
    tailing.stop().await;
    // Its place is kept over a restart too.
    let tailing = start(&bench, &["*.log", "*.txt", "both"]).await;
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [13]);
    tailing.stop().await;
}

#[tokio::test]
async fn what_is_still_on_its_way_when_a_file_is_let_go_is_not_sent_again() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..2) + "{\"hold\":1}\n" + &lines(2..4)));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(5).await;
    let held = bench.got.take()[2].clone();
    tailing.reconfigure(input(&bench, &["b.log"]));
    append(&bench.path("b.log"), &line(5));
    bench.got.count(1).await;
    tailing.reconfigure(input(&bench, &["?.log"]));
    append(&bench.path("a.log"), &line(4));
    bench.got.count(2).await;
    assert_eq!(numbers(&bench), [4, 5]);
    tailing.stop().await;
    let tailing = start(&bench, &["?.log"]).await;
    bench.got.count(1).await;
    assert_eq!(bench.got.take(), [held], "a restart repeats what was not settled");
    tailing.stop().await;
}

#[tokio::test]
async fn a_file_that_is_let_go_is_read_to_the_end_that_it_has() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..60_000));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(1).await;
    tailing.reconfigure(input(&bench, &["b.log"]));
    bench.got.count(60_000).await;
    assert_eq!(numbers(&bench), (0..60_000).collect::<Vec<_>>());
    tailing.stop().await;
}

#[tokio::test]
async fn another_file_in_the_place_of_one_that_was_let_go_is_new() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..5));
    let tailing = start(&bench, &["a.log"]).await;
    bench.got.count(5).await;
    bench.got.take();
    tailing.reconfigure(input(&bench, &["b.log"]));
    append(&bench.path("b.log"), &line(20));
    bench.got.count(1).await;
    // As if its inode had been given to another file.
    fs::write(bench.path("a.log"), lines(10..17)).unwrap();
    tailing.reconfigure(input(&bench, &["?.log"]));
    bench.got.count(8).await;
    assert_eq!(numbers(&bench), (10..17).chain([20]).collect::<Vec<_>>());
    tailing.stop().await;
    let tailing = start(&bench, &["?.log"]).await;
    append(&bench.path("a.log"), &line(18));
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [18]);
    tailing.stop().await;
}

#[tokio::test]
async fn following_can_be_ended_and_taken_up() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..2) + "{\"n\":2}"));
    let mut tailing = start(&bench, &["a.log"]).await;
    bench.got.count(2).await;
    assert!(!tailing.handle.has_ended());
    tailing.reconfigure(FileInput { follow: false, ..input(&bench, &["*.log"]) });
    assert_eq!(tailing.run.ended().await, Ok(()));
    assert!(tailing.handle.has_ended());
    bench.got.count(3).await;
    assert_eq!(numbers(&bench), [0, 1, 2]);
    tailing.stop().await;

    append(&bench.path("b.log"), &(line(3) + "{\"hold\":1}\n"));
    append(&bench.path("c.log"), &lines(4..40_000));
    let unfollowed = FileInput { follow: false, ..input(&bench, &["*.log"]) };
    let tailing = start_with(&bench, unfollowed).await;
    // Before it has ended: the ledger of so many lines is not settled at once.
    tailing.reconfigure(input(&bench, &["*.log"]));
    bench.got.count(39_998).await;
    append(&bench.path("c.log"), &line(40_000));
    bench.got.count(39_999).await;
    tailing.stop().await;
}

#[tokio::test]
async fn lines_are_taken_as_the_newest_configuration_says() {
    let bench = Bench::new();
    append(&bench.path("a.log"), "");
    let tailing = start(&bench, &["a.log"]).await;
    append(&bench.path("a.log"), "first\n");
    tailing.settled("events_malformed_total", 1.0).await;
    let config = config::Source {
        malformed: Malformed::Wrap,
        max_line_bytes: 30,
        ..testing::source(Input::File(input(&bench, &["a.log"])))
    };
    tailing.handle.reconfigure(&config).unwrap();
    append(&bench.path("a.log"), &("second\n".to_owned() + &"x".repeat(31) + "\n{\"n\":1}\n"));
    bench.got.count(2).await;
    assert_eq!(bench.got.texts(), ["{\"message\":\"second\"}", "{\"n\":1}"]);
    let letters = || async { tailing.run.dead_letters(&bench).await };
    while letters().await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(letters().await[1].0, "too_large");
    tailing.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_had_changes_nothing() {
    let bench = Bench::new();
    let tailing = start(&bench, &["a.log"]).await;
    let bad = FileInput { paths: vec!["/a/{b".to_owned()], ..input(&bench, &[]) };
    let problem = tailing.handle.reconfigure(&testing::source(Input::File(bad))).unwrap_err();
    assert!(problem.contains("braces"), "{problem}");
    let stdin = testing::source(Input::Stdin);
    assert!(!tailing.handle.can_become(&stdin));
    assert!(tailing.handle.reconfigure(&stdin).is_err());
    drop(tailing.handle.prepare(&testing::source(Input::File(input(&bench, &["b.log"])))));
    append(&bench.path("b.log"), &line(2));
    append(&bench.path("a.log"), &line(1));
    bench.got.count(1).await;
    assert_eq!(numbers(&bench), [1]);
    tailing.stop().await;
}
