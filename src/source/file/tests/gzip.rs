//! Compressed files: read once, whole, and known as what they were made of.

use super::super::gzip::tests::gzip;
use super::*;

pub(super) fn compress(bench: &Bench, name: &str) {
    let text = fs::read(bench.path(name)).unwrap();
    fs::write(bench.path(&format!("{name}.gz")), gzip(&text)).unwrap();
    fs::remove_file(bench.path(name)).unwrap();
}

fn once(bench: &Bench, globs: &[&str]) -> FileInput {
    FileInput { follow: false, ..input(bench, globs) }
}

/// A run to the end; returns the numbers that arrived.
async fn run(bench: &Bench, globs: &[&str], count: usize) -> (Vec<usize>, Result<(), String>) {
    let mut tailing = start_with(bench, once(bench, globs)).await;
    let ended = tailing.run.ended().await;
    bench.got.count(count).await;
    tailing.stop().await;
    (numbers(bench), ended)
}

#[tokio::test]
async fn compressed_files_are_read_to_their_ends_once() {
    let bench = Bench::new();
    append(&bench.path("a.log.1"), &lines(0..40_000));
    append(&bench.path("b.log"), &(lines(50_000..50_010) + "{\"n\":50010}"));
    append(&bench.path("empty.log"), "");
    ["a.log.1", "b.log", "empty.log"].iter().for_each(|name| compress(&bench, name));
    append(&bench.path("c.log"), &lines(60_000..60_010));
    fs::write(bench.path("none.log.gz"), "").unwrap();
    let all: Vec<_> = (0..40_000).chain(50_000..50_011).chain(60_000..60_010).collect();
    assert_eq!(run(&bench, &["*.log*"], all.len()).await, (all, Ok(())));
    assert_eq!(run(&bench, &["*.log*"], 0).await, (vec![], Ok(())));
}

#[tokio::test]
async fn a_file_that_was_compressed_is_read_on_where_it_was_left() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &(lines(0..300) + "{\"hold\":1}\n" + &lines(300..500)));
    let mut tailing = start_with(&bench, once(&bench, &["a.log*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(501).await;
    let held = bench.got.take()[300].clone();
    tailing.stop().await;
    append(&bench.path("a.log"), &lines(500..510));
    rename(&bench, "a.log", "a.log.1");
    compress(&bench, "a.log.1");
    append(&bench.path("a.log"), &lines(600..605));
    for pass in 0..2 {
        let mut tailing = start_with(&bench, once(&bench, &["a.log*"])).await;
        assert_eq!(tailing.run.ended().await, Ok(()));
        let count = if pass == 0 { 16 } else { 1 };
        bench.got.count(count).await;
        tailing.stop().await;
        let mut got = bench.got.take();
        let index = got.iter().position(|(_, text)| text.contains("hold")).unwrap();
        assert_eq!(got.remove(index), held, "the same event at the same position");
        assert_eq!(got.len() + 1, count);
    }
}

#[tokio::test]
async fn what_is_not_clear_is_read_as_new() {
    let bench = Bench::new();
    let head = format!("{{\"n\":\"{}\"}}\n", "x".repeat(2_000));
    append(&bench.path("a.log"), &(head.clone() + &line(1)));
    append(&bench.path("b.log"), &(head.clone() + &line(2)));
    let texts = |bench: &Bench| {
        let texts = bench.got.take().into_iter().map(|(_, text)| text);
        let mut texts: Vec<_> = texts.filter(|text| text.len() < 100).collect();
        texts.sort();
        texts
    };
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(4).await;
    tailing.stop().await;
    texts(&bench);
    // Either could be either, by their heads and by their lengths.
    ["a.log", "b.log"].iter().for_each(|name| compress(&bench, name));
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(4).await;
    tailing.stop().await;
    assert_eq!(texts(&bench), [line(1).trim(), line(2).trim()]);
    // One that is shorter than what was settled of the other is not that one.
    ["a.log.gz", "b.log.gz"].iter().for_each(|name| fs::remove_file(bench.path(name)).unwrap());
    fs::write(bench.path("c.log"), head.clone() + &lines(10..300)).unwrap();
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(291).await;
    tailing.stop().await;
    texts(&bench);
    fs::remove_file(bench.path("c.log")).unwrap();
    fs::write(bench.path("d.log.gz"), gzip((head + &line(3)).as_bytes())).unwrap();
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(2).await;
    tailing.stop().await;
    assert_eq!(texts(&bench), [line(3).trim()]);
}

#[tokio::test]
async fn of_a_damaged_file_the_readable_is_taken_and_the_rest_told() {
    let bench = Bench::new();
    let whole = gzip(lines(0..50_000).as_bytes());
    let cut = &whole[..whole.len() / 2];
    fs::write(bench.path("cut.gz"), cut).unwrap();
    append(&bench.path("fine.log"), &line(90_000));
    fs::write(bench.path("plain.gz"), "no gzip").unwrap();
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    let problem = tailing.run.ended().await.unwrap_err();
    assert!(problem.contains("was not read to its end") && problem.contains("more"), "{problem}");
    bench.got.count(10_000).await;
    tailing.stop().await;
    let read = numbers(&bench);
    assert_eq!(read.last(), Some(&90_000));
    let before = read.len() - 1;
    assert_eq!(read[..before], (0..before).collect::<Vec<_>>());
    // When it is whole, the rest is read, and the line that was cut.
    fs::remove_file(bench.path("plain.gz")).unwrap();
    fs::write(bench.path("cut.gz"), whole).unwrap();
    let rest: Vec<_> = (before..50_000).collect();
    assert_eq!(run(&bench, &["*"], rest.len()).await, (rest, Ok(())));
}

#[tokio::test]
async fn a_bomb_is_one_line_that_is_too_long() {
    let bench = Bench::new();
    let bomb = [&vec![b'x'; 64 << 20], &b"\n{\"n\":1}\n"[..]].concat();
    fs::write(bench.path("a.gz"), gzip(&bomb)).unwrap();
    drop(bomb);
    let mut tailing = start_with(&bench, once(&bench, &["*"])).await;
    assert_eq!(tailing.run.ended().await, Ok(()));
    bench.got.count(1).await;
    let letters = tailing.run.dead_letters(&bench).await;
    assert_eq!((letters.len(), letters[0].0.as_str(), letters[0].1.len()), (1, "too_large", 4096));
    tailing.stop().await;
}

#[tokio::test]
async fn compressed_files_are_left_while_files_are_followed() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..3));
    compress(&bench, "a.log");
    append(&bench.path("a.log"), &lines(10..13));
    let tailing = start(&bench, &["*"]).await;
    bench.got.count(3).await;
    append(&bench.path("a.log"), &line(13));
    bench.got.count(4).await;
    assert_eq!(numbers(&bench), [10, 11, 12, 13]);
    tailing.stop().await;
}

#[tokio::test]
async fn a_file_that_is_there_plain_too_is_read_once() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..3));
    fs::write(bench.path("a.log.gz"), gzip(lines(0..3).as_bytes())).unwrap();
    assert_eq!(run(&bench, &["*"], 3).await, (vec![0, 1, 2], Ok(())));
    fs::remove_file(bench.path("a.log")).unwrap();
    assert_eq!(run(&bench, &["*"], 0).await, (vec![], Ok(())));
}

#[tokio::test]
async fn reading_from_the_end_leaves_compressed_files() {
    let bench = Bench::new();
    append(&bench.path("a.log"), &lines(0..3));
    compress(&bench, "a.log");
    let from_end = || FileInput { read_from: ReadFrom::End, ..once(&bench, &["*"]) };
    for _ in 0..2 {
        let mut tailing = start_with(&bench, from_end()).await;
        assert_eq!(tailing.run.ended().await, Ok(()));
        tailing.stop().await;
        assert!(numbers(&bench).is_empty());
        append(&bench.path("a.log"), "");
    }
}
