//! Whose turn it is, and who is leaving. No file system: readers are never read from.

use super::*;
use crate::source::Lines;
use crate::source::file::identity::Head;

fn found(path: &str, inode: u64, size: u64) -> Found {
    let key = FileKey { device: 1, inode };
    Found { path: path.into(), key, size, modified: (size as i64, 0), target: None }
}

/// A file that was read to `position`, closed.
fn tail(path: &str, inode: u64, position: u64) -> Tail {
    let found = found(path, inode, position);
    let reader = Reader::new(None, found.key, Head::default(), Lines::new(position, 100).into());
    Tail::new(inode as i64, Stream::fresh(path), found, reader)
}

fn roster() -> Roster {
    Roster::new(false, MAX_OPEN)
}

/// Has the next file read as much, and says which it was.
fn turn(roster: &mut Roster, grown: bool, at_end: bool) -> Option<String> {
    let Called { id, reader, path, .. } = roster.call(Instant::now())?;
    let progress = Progress { grown, at_end, ..Progress::default() };
    roster.end_turn(id, reader, Some(&progress), Instant::now());
    Some(path.to_string_lossy().into_owned())
}

/// Has every file that is ready read to its end.
fn settle(roster: &mut Roster) {
    while turn(roster, false, true).is_some() {}
}

#[test]
fn files_have_their_turns_one_after_the_other() {
    let mut roster = roster();
    ["/a", "/b", "/c"].into_iter().zip(1..).for_each(|(path, inode)| {
        roster.add(tail(path, inode, 0), None);
    });
    let turns: Vec<_> = (0..6).filter_map(|_| turn(&mut roster, true, false)).collect();
    assert_eq!(turns, ["/a", "/b", "/c", "/a", "/b", "/c"]);
    settle(&mut roster);
    assert!(!roster.is_ready());
    roster.grew(Path::new("/b"));
    roster.grew(Path::new("/b"));
    assert_eq!(turn(&mut roster, true, true).as_deref(), Some("/b"));
    assert_eq!(turn(&mut roster, true, true), None);
}

#[test]
fn who_takes_a_path_waits_for_the_one_before_it() {
    let mut roster = roster();
    roster.add(tail("/a", 1, 0), None);
    let roll = roster.call_the_roll(vec![found("/a", 2, 9), found("/a.1", 1, 9)], &[], false);
    assert_eq!(roll.renamed, [(1, PathBuf::from("/a.1"))]);
    assert_eq!(roll.new, [found("/a", 2, 9)]);
    let before = roll.held.get(Path::new("/a")).copied();
    roster.add(tail("/a", 2, 0), before);
    roster.add(tail("/b", 3, 0), None);
    let turns: Vec<_> = (0..4).filter_map(|_| turn(&mut roster, true, false)).collect();
    assert_eq!(turns, ["/a.1", "/b", "/a.1", "/b"]);
    let turns: Vec<_> = (0..3).filter_map(|_| turn(&mut roster, true, true)).collect();
    assert_eq!(turns, ["/a.1", "/a", "/b"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_without_a_path_is_looked_at_until_it_has_been_quiet() {
    let mut roster = roster();
    let id = roster.add(tail("/a", 1, 0), None);
    settle(&mut roster);
    assert_eq!(roster.next_look(), None);
    roster.call_the_roll(vec![], &[], false);
    let began = Instant::now();
    let mut looks = 0;
    let called = loop {
        tokio::time::sleep_until(roster.next_look().unwrap()).await;
        roster.look_at_leaving(Instant::now());
        let Some(called) = roster.call(Instant::now()) else { continue };
        if called.finish {
            break called;
        }
        looks += 1;
        // Half a minute later it grows once more.
        let grown =
            began.elapsed() > ROTATE_WAIT / 2 && began.elapsed() < ROTATE_WAIT / 2 + LEAVING_LOOK.1;
        let progress = Progress { grown, at_end: true, ..Progress::default() };
        roster.end_turn(called.id, called.reader, Some(&progress), Instant::now());
    };
    assert_eq!(called.id, id);
    assert!(began.elapsed() > ROTATE_WAIT * 3 / 2, "{:?}", began.elapsed());
    assert!((100..500).contains(&looks), "{looks}");
}

#[test]
fn a_file_comes_back() {
    let mut roster = roster();
    roster.add(tail("/a", 1, 5), None);
    settle(&mut roster);
    roster.call_the_roll(vec![], &[], false);
    assert!(roster.next_look().is_some());
    let roll = roster.call_the_roll(vec![found("/a", 1, 5)], &[], false);
    assert!(roster.next_look().is_none());
    assert!(roll.new.is_empty());
}

#[test]
fn what_could_not_be_looked_at_is_where_it_was() {
    let mut roster = roster();
    roster.add(tail("/x/y/a", 1, 5), None);
    settle(&mut roster);
    let roll = roster.call_the_roll(vec![], &[Path::new("/x")], false);
    assert!(roll.vanished.is_empty());
    assert!(roster.next_look().is_none());
    roster.grew(Path::new("/x/y/a"));
    assert!(roster.is_ready());
}

#[test]
fn events_that_miss_a_file_twice_are_not_relied_on() {
    let mut roster = roster();
    roster.add(tail("/a", 1, 0), None);
    settle(&mut roster);
    let look = |roster: &mut Roster, size| {
        let roll = roster.call_the_roll(vec![found("/a", 1, size)], &[], true);
        settle(roster);
        roll.deaf
    };
    assert!(!look(&mut roster, 5));
    roster.grew(Path::new("/a"));
    settle(&mut roster);
    assert!(!look(&mut roster, 6), "an event came between");
    assert!(look(&mut roster, 7));
}

#[test]
fn all_names_of_a_file_are_one() {
    let mut roster = roster();
    let names = vec![found("/a", 1, 0), found("/b", 1, 0)];
    let roll = roster.call_the_roll(names.clone(), &[], false);
    assert_eq!((roll.new.len(), roll.aliases.len()), (1, 1));
    roster.add(tail("/a", 1, 0), None);
    roll.aliases.into_iter().for_each(|found| roster.add_name(found));
    settle(&mut roster);
    roster.grew(Path::new("/b"));
    assert!(roster.is_ready());
    let roll = roster.call_the_roll(names, &[], false);
    assert!(roll.renamed.is_empty() && roll.new.is_empty() && roll.aliases.is_empty());
}

#[test]
fn what_is_not_followed_ends_at_its_end() {
    let mut roster = Roster::new(true, MAX_OPEN);
    roster.add(tail("/a", 1, 0), None);
    assert!(!roster.is_finished());
    assert!(turn(&mut roster, true, true).is_some());
    let called = roster.call(Instant::now()).unwrap();
    assert!(called.finish);
    let progress = Progress { at_end: true, finished: true, ..Progress::default() };
    roster.end_turn(called.id, called.reader, Some(&progress), Instant::now());
    assert!(roster.is_finished() && !roster.is_ready());
}

#[test]
fn what_may_be_open_shrinks_at_once_and_grows_slowly() {
    let mut roster = Roster::new(false, 100);
    roster.open_fewer();
    assert_eq!(roster.room(), 0);
    let grown = std::iter::repeat_with(|| {
        roster.open_more();
        roster.room()
    });
    let grown: Vec<_> = grown.take(7).collect();
    assert_eq!(grown, [0, 8, 16, 32, 64, 100, 100]);
    roster.allow(20);
    assert_eq!(roster.room(), 20);
}

#[test]
fn a_file_that_left_and_is_closed_is_looked_for_until_it_is_found() {
    let mut roster = roster();
    let id = roster.add(tail("/a", 1, 0), None);
    for _ in 0..3 {
        assert_eq!(roster.call_the_roll(Vec::new(), &[], false).vanished, [id]);
    }
}
