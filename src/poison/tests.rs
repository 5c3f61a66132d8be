//! Deaths, simulated: a process that dies drops nothing and closes nothing.

use super::*;
use std::task::Poll;
use tempfile::TempDir;

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &TempDir) -> Poison {
    Poison::open(dir.path()).unwrap()
}

/// What would be found if the process died now.
fn on_disk(dir: &TempDir) -> Vec<String> {
    let bytes = fs::read(dir.path().join("handling")).unwrap();
    bytes.chunks_exact(RECORD).skip(1).filter_map(noted).map(str::to_owned).collect()
}

/// A run that dies while these are handled.
fn die_handling(dir: &TempDir, ids: &[&str]) {
    let poison = open(dir);
    ids.iter().for_each(|id| std::mem::forget(poison.watch(id)));
}

fn ends(dir: &TempDir) -> Vec<(String, u32)> {
    Suspects::read(dir.path().join("suspects")).unwrap().ends.into_iter().collect()
}

#[test]
fn three_unclean_ends_make_an_event_poison() {
    let dir = place();
    // Nothing is watched before the first: it costs too much to watch everything always.
    die_handling(&dir, &["bad"]);
    assert!(ends(&dir).is_empty());
    for count in 1..=FATAL {
        die_handling(&dir, &["bad"]);
        let poison = open(&dir);
        assert_eq!(poison.is_poison("bad"), count == FATAL, "after {count}");
        assert!(!poison.is_poison("good"));
        // This run dies without having handled anything, which accuses nobody.
        assert_eq!(ends(&dir), [("bad".to_owned(), count)]);
    }
}

#[test]
fn without_an_unclean_end_nothing_is_noted() {
    let dir = place();
    for _ in 0..3 {
        let poison = open(&dir);
        let _watch = poison.watch("e");
        assert_eq!(on_disk(&dir), [""; 0]);
        poison.close().unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_noted_is_what_is_handled() {
    let dir = place();
    die_handling(&dir, &[]);
    let poison = open(&dir);
    let (first, second) = (poison.watch("first"), poison.watch("second"));
    assert_eq!(on_disk(&dir), ["first", "second"]);
    drop(first);
    assert_eq!(on_disk(&dir), ["second"]);
    let _third = poison.watch("a third with a longer id");
    drop(second);
    assert_eq!(on_disk(&dir), [key("a third with a longer id")]);
}

#[tokio::test]
async fn an_event_that_waits_is_not_noted() {
    let dir = place();
    die_handling(&dir, &[]);
    let poison = open(&dir);
    let (open, gate) = tokio::sync::oneshot::channel();
    let handling = poison.watched("e", async {
        let before = on_disk(&dir);
        gate.await.unwrap();
        (before, on_disk(&dir))
    });
    let mut handling = pin!(handling);
    assert!(matches!(futures::poll!(&mut handling), Poll::Pending));
    assert_eq!(on_disk(&dir), [""; 0]);
    open.send(()).unwrap();
    assert_eq!(handling.await, (vec!["e".to_owned()], vec!["e".to_owned()]));
    assert_eq!(on_disk(&dir), [""; 0]);
}

#[test]
fn who_was_handled_well_after_all_is_no_suspect() {
    let dir = place();
    die_handling(&dir, &[]);
    die_handling(&dir, &["a", "b"]);
    let poison = open(&dir);
    assert_eq!(ends(&dir), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    poison.forget("a");
    poison.forget("a");
    poison.forget("unknown");
    poison.close().unwrap();
    // A clean end forgets nobody who has not come again, and accuses nobody.
    let poison = open(&dir);
    assert_eq!(ends(&dir), [("b".to_owned(), 1)]);
    poison.close().unwrap();
}

#[test]
fn an_end_is_counted_once_even_if_the_counting_dies() {
    let dir = place();
    die_handling(&dir, &[]);
    die_handling(&dir, &["a"]);
    let left_behind = fs::read(dir.path().join("handling")).unwrap();
    for _ in 0..3 {
        drop(open(&dir));
        assert_eq!(ends(&dir), [("a".to_owned(), 1)]);
        // As if the process had died before the file was replaced.
        fs::write(dir.path().join("handling"), &left_behind).unwrap();
    }
    open(&dir).close().unwrap();
    // A clean end in between does not lead to a number that was counted before.
    let poison = open(&dir);
    std::mem::forget(poison.watch("a"));
    drop(poison);
    drop(open(&dir));
    assert_eq!(ends(&dir), [("a".to_owned(), 2)]);
}

#[test]
fn one_event_in_two_records_is_accused_once() {
    let dir = place();
    die_handling(&dir, &[]);
    die_handling(&dir, &["a", "a", "a"]);
    drop(open(&dir));
    assert_eq!(ends(&dir), [("a".to_owned(), 1)]);
}

#[test]
fn the_first_thousand_are_watched_and_suspects_always() {
    let dir = place();
    die_handling(&dir, &[]);
    die_handling(&dir, &["suspect"]);
    let poison = open(&dir);
    for number in 0..WATCHED {
        let _watch = poison.watch(&number.to_string());
        assert_eq!(on_disk(&dir), [number.to_string()]);
    }
    let (_late, _suspect) = (poison.watch("late"), poison.watch("suspect"));
    assert_eq!(on_disk(&dir), ["suspect"]);
    poison.forget("suspect");
    drop((_late, _suspect));
    let _watch = poison.watch("suspect");
    assert_eq!(on_disk(&dir), [""; 0]);
    assert!(!poison.watches());
    let _line = poison.watch_line("line");
    assert_eq!(on_disk(&dir), ["line"], "lines have a number of their own");
}

#[test]
fn more_than_there_are_records_are_not_all_noted() {
    let dir = place();
    die_handling(&dir, &[]);
    let poison = open(&dir);
    let watches: Vec<_> =
        (0..RECORDS + 9).map(|number| poison.watch(&number.to_string())).collect();
    assert_eq!(on_disk(&dir).len(), RECORDS);
    drop(watches);
    assert_eq!(on_disk(&dir), [""; 0]);
    let _watch = poison.watch("again");
    assert_eq!(on_disk(&dir), ["again"]);
}

#[test]
fn suspects_are_bounded_and_the_worst_are_kept() {
    let dir = place();
    die_handling(&dir, &[]);
    die_handling(&dir, &["zz-bad"]);
    die_handling(&dir, &["zz-bad"]);
    for batch in 0..=MAX_SUSPECTS / RECORDS {
        let ids: Vec<_> = (0..RECORDS).map(|number| format!("{batch}-{number}")).collect();
        die_handling(&dir, &ids.iter().map(|id| &**id).collect::<Vec<_>>());
    }
    let poison = open(&dir);
    assert_eq!(poison.suspects().ends.len(), MAX_SUSPECTS);
    assert_eq!(poison.suspects().ends["zz-bad"], 2);
}

#[test]
fn ids_of_any_kind_are_told_apart() {
    let long = "x".repeat(5000);
    let longer = "x".repeat(5001);
    let ids = ["plain", "two words", "line\nend", "3 plain", "é", "", &long, &longer];
    for id in ids {
        let dir = place();
        die_handling(&dir, &[]);
        (0..FATAL).for_each(|_| die_handling(&dir, &[id]));
        let poison = open(&dir);
        for other in ids {
            assert_eq!(poison.is_poison(other), other == id, "{id:.20?} and {other:.20?}");
        }
    }
}

#[test]
fn spoiled_files_accuse_nobody() {
    for bytes in [&b""[..], b"x", &[0xff; 4 * RECORD], &[b'7'; 1000], b"\n\n\x00\n1\n2 \n x\n"] {
        let dir = place();
        fs::write(dir.path().join("handling"), bytes).unwrap();
        fs::write(dir.path().join("suspects"), bytes).unwrap();
        die_handling(&dir, &["a"]);
        let poison = open(&dir);
        assert_eq!(poison.suspects().ends.get("a"), Some(&1), "{bytes:.20?}");
        assert!(!poison.is_poison("a"));
    }
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let dir = place();
    let error = Poison::open(&dir.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing/handling"), "{error}");
}
