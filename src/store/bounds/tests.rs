//! The bounds of dead letters: who is refused, what goes first, and what gets too old.

use super::super::testing::{self, Bench};
use super::super::{ReplayScope, Selection};
use super::*;
use crate::delivery::Claim;
use crate::store::{Reader, StoreOptions};
use futures::future::join_all;

/// A letter of 100 bytes.
fn letter(export: &str, n: u64) -> DeadLetter {
    DeadLetter { text: vec![b'x'; 100], ..testing::letter(export, n) }
}

fn line(source: &str, n: u64) -> DeadLetter {
    DeadLetter { text: vec![b'x'; 100], ..testing::malformed(source, n) }
}

fn open(bench: &Bench, bounds: DlqBounds) -> Store {
    Store::open(bench.path(), StoreOptions { dlq: bounds, ..bench.options() }).unwrap()
}

fn bounds(max_bytes: u64, when_full: WhenFull) -> DlqBounds {
    DlqBounds { max_bytes, max_age: None, when_full }
}

async fn bury(store: &Store, letter: DeadLetter) -> Result<i64, StoreError> {
    store.bury(letter, Replaces::Nothing, None).await.map(|buried| buried.id)
}

async fn replay(store: &Store, ids: &[i64]) {
    let of = Selection { ids: ids.to_vec(), ..Selection::default() };
    let scope = ReplayScope { exports: vec!["a".into()], orphans_to: None };
    assert_eq!(store.mark_replaying(&of, &scope).await.unwrap().letters(), ids.len() as u64);
}

async fn deliver(store: &Store, ids: &[i64]) {
    replay(store, ids).await;
    ids.iter().for_each(|id| store.replayed(*id));
    store.flush_folds().await.unwrap();
}

/// The ids that are there.
fn there(bench: &Bench) -> Vec<i64> {
    let reader = Reader::open(bench.path()).unwrap();
    let order = super::super::Order::OldestFirst;
    let page = reader.letters(&Selection::default(), order, None, 10_000).unwrap();
    page.items.iter().map(|letter| letter.id).collect()
}

fn told(bench: &Bench, what: &str) -> Vec<String> {
    let facts = bench.facts.lock().unwrap();
    facts.iter().filter(|fact| fact.contains(what)).cloned().collect()
}

fn no_room(export: &str) -> Result<i64, StoreError> {
    Err(StoreError::NoRoom(Owner::Export(export.into())))
}

#[tokio::test]
async fn who_finds_no_room_is_refused_alone() {
    let bench = Bench::new();
    let store = open(&bench, bounds(300, WhenFull::Block));
    // All of them in one commit.
    let letters = (0..4).map(|n| letter("a", n)).chain([letter("b", 1), line("s", 1)]);
    let answers = join_all(letters.map(|letter| bury(&store, letter))).await;
    assert_eq!(answers[3], no_room("a"));
    assert!(answers.iter().enumerate().all(|(n, answer)| n == 3 || answer.is_ok()), "{answers:?}");
    assert_eq!(store.without_room(), [Owner::Export("a".into())]);
    assert_eq!(told(&bench, "Failed"), Vec::<String>::new(), "the store is well");
    // Lines of one source are bounded for themselves.
    for n in 2..4 {
        bury(&store, line("s", n)).await.unwrap();
        bury(&store, line("t", n)).await.unwrap();
    }
    let of_s = Owner::Source("s".into());
    assert_eq!(bury(&store, line("s", 9)).await, Err(StoreError::NoRoom(of_s.clone())));
    bury(&store, line("t", 9)).await.unwrap();
    assert_eq!(store.without_room(), [Owner::Export("a".into()), of_s]);
}

#[tokio::test]
async fn a_refused_letter_settles_nothing_and_finds_room_again() {
    let bench = Bench::new();
    let store = open(&bench, bounds(300, WhenFull::Block));
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
    }
    let rows = store.keep("a", vec![testing::kept(1)]).await.unwrap();
    let row = Claim::Row(rows[0]);
    let replaces = Replaces::of(&"a".into(), &row);
    assert_eq!(
        store.bury(letter("a", 4), replaces.clone(), None).await.map(|buried| buried.id),
        no_room("a")
    );
    assert_eq!(testing::queued(&store, "a").await.len(), 1, "it still waits there");
    store.purge(&Selection { ids: vec![ids[1]], ..Selection::default() }).await.unwrap();
    store.bury(letter("a", 4), replaces, None).await.unwrap();
    assert_eq!(testing::queued(&store, "a").await.len(), 0);
    assert_eq!(store.without_room(), []);
    // A wider bound is enough, too.
    assert_eq!(bury(&store, letter("a", 5)).await, no_room("a"));
    store.set_dlq_bounds(bounds(400, WhenFull::Block));
    bury(&store, letter("a", 5)).await.unwrap();
}

#[tokio::test]
async fn replayed_letters_count_for_nothing_and_go_first() {
    let bench = Bench::new();
    let store = open(&bench, bounds(300, WhenFull::Block));
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
    }
    deliver(&store, &ids[1..]).await;
    ids.push(bury(&store, letter("a", 3)).await.unwrap());
    assert_eq!(there(&bench), [ids[0], ids[2], ids[3]], "the oldest replayed one has gone");
    ids.push(bury(&store, letter("a", 4)).await.unwrap());
    assert_eq!(there(&bench), [ids[0], ids[3], ids[4]]);
    assert_eq!(bury(&store, letter("a", 5)).await, no_room("a"));
    assert_eq!(told(&bench, "Dropped"), Vec::<String>::new(), "they were delivered");
}

#[tokio::test]
async fn a_replay_in_vain_always_finds_room() {
    let bench = Bench::new();
    let store = open(&bench, bounds(300, WhenFull::Block));
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
    }
    replay(&store, &ids).await;
    assert_eq!(bury(&store, letter("a", 5)).await, no_room("a"), "they may come back");
    store.set_dlq_bounds(bounds(100, WhenFull::Block));
    let again = store.bury(letter("a", 0), Replaces::Letter(ids[0]), None).await;
    assert_eq!(again.map(|buried| buried.id), Ok(ids[0]));
}

#[tokio::test]
async fn a_letter_larger_than_all_room_gets_in_alone() {
    let bench = Bench::new();
    let store = open(&bench, bounds(50, WhenFull::Block));
    let id = bury(&store, letter("a", 1)).await.unwrap();
    assert_eq!(bury(&store, letter("a", 2)).await, no_room("a"));
    store.purge(&Selection::default()).await.unwrap();
    assert!(bury(&store, letter("a", 2)).await.unwrap() > id);
    store.set_dlq_bounds(bounds(50, WhenFull::DropOldest));
    let last = bury(&store, letter("a", 3)).await.unwrap();
    assert_eq!(there(&bench), [last]);
}

#[tokio::test]
async fn the_oldest_make_room_where_that_is_asked_for() {
    let bench = Bench::new();
    let store = open(&bench, bounds(300, WhenFull::DropOldest));
    let (mut ids, mut lines) = (Vec::new(), Vec::new());
    for n in 0..3 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
        lines.push(bury(&store, line("s", n)).await.unwrap());
        lines.push(bury(&store, line("t", n)).await.unwrap());
    }
    replay(&store, &ids[..1]).await;
    ids.push(bury(&store, letter("a", 3)).await.unwrap());
    let drops = [line("s", 4), line("s", 5)].map(|line| bury(&store, line));
    lines.extend(join_all(drops).await.into_iter().map(Result::unwrap));
    let mut expected = vec![ids[0], ids[2], ids[3]];
    expected.extend([1, 3, 4, 5, 6, 7].map(|n| lines[n]));
    expected.sort_unstable();
    assert_eq!(there(&bench), expected, "what is being replayed stays");
    let dropped = told(&bench, "Dropped");
    let of = |export: &str| dropped.iter().filter(|fact| fact.contains(export)).count();
    assert_eq!((of("Some(\"a\")"), of("None")), (1, dropped.len() - 1), "{dropped:?}");
    assert_eq!(store.total("a").bytes, 300);
    assert_eq!(store.without_room(), []);
    // Only letters that are being replayed are left: it gets in beside them.
    replay(&store, &ids[2..]).await;
    bury(&store, letter("a", 9)).await.unwrap();
    assert_eq!(store.total("a").bytes, 400);
}

#[tokio::test]
async fn a_much_lower_bound_is_reached_step_by_step() {
    let bench = Bench::new();
    let store = open(&bench, bounds(1_000_000, WhenFull::DropOldest));
    join_all((0..3000).map(|n| bury(&store, letter("a", n)))).await;
    store.set_dlq_bounds(bounds(1000, WhenFull::DropOldest));
    let mut left = Vec::new();
    for n in 0..4 {
        bury(&store, letter("a", n)).await.unwrap();
        left.push(store.total("a").letters);
    }
    assert_eq!(left, [3000 - 1024 + 1, 3000 - 2 * 1024 + 2, 10, 10]);
}

#[tokio::test]
async fn letters_that_are_too_old_go_a_minute_later_at_most() {
    let bench = Bench::new();
    let max_age = Some(Duration::from_secs(3600));
    let store = open(&bench, DlqBounds { max_age, ..DlqBounds::default() });
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
        bench.advance_ms(60_000);
    }
    deliver(&store, &ids[..1]).await;
    replay(&store, &ids[1..2]).await;
    bench.advance_ms(3_600_000 - 90_000);
    ids.push(bury(&store, letter("a", 9)).await.unwrap());
    assert_eq!(there(&bench), [ids[1], ids[3], ids[4]], "what is being replayed stays");
    let expired = told(&bench, "Expired");
    assert_eq!(expired.len(), 1, "{expired:?}");
    assert!(expired[0].contains("count: 1"), "the delivered one counts no more: {expired:?}");
    bench.advance_ms(30_000);
    bury(&store, letter("a", 10)).await.unwrap();
    assert!(there(&bench).contains(&ids[3]), "looked at once a minute");
    bench.advance_ms(30_001);
    store.flush_folds().await.unwrap();
    assert!(!there(&bench).contains(&ids[3]));
    let counted: i64 = store.totals().iter().map(|total| total.count.letters).sum();
    assert_eq!(counted, there(&bench).len() as i64);
}

#[tokio::test]
async fn a_damaged_row_fails_no_commit() {
    let bench = Bench::new();
    let max_age = Some(Duration::from_secs(3600));
    let store = open(&bench, DlqBounds { max_age, ..DlqBounds::default() });
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bury(&store, letter("a", n)).await.unwrap());
    }
    replay(&store, &ids[..3]).await;
    for (id, damage) in
        [(0, "source = x'ff'"), (1, "source = x'ff'"), (2, "attempts = -1"), (3, "created_at = ''")]
    {
        let damaged = format!("UPDATE dead_letters SET {damage} WHERE id = {}", ids[id]);
        bench.sql().execute_batch(&damaged).unwrap();
    }
    store.replayed(ids[0]);
    store.committed().await.unwrap();
    for n in [1, 2] {
        let replaces = Replaces::Letter(ids[n]);
        let again = store.bury(letter("a", n as u64), replaces, None).await.unwrap();
        assert!(again.id > ids[4], "a letter of its own: nothing is lost with the row");
    }
    bench.advance_ms(7_200_000);
    bury(&store, letter("a", 9)).await.unwrap();
    let left = bench.number("SELECT COUNT(*) FROM dead_letters");
    assert_eq!(left, 5, "the damaged ones stay where they are, what is too old behind them goes");
}

#[tokio::test]
async fn many_old_letters_go_in_steps_and_a_clock_gone_wrong_hides_none() {
    let bench = Bench::new();
    let store = open(&bench, DlqBounds::default());
    bench.advance_ms(365 * 86_400_000);
    let future = bury(&store, letter("a", 0)).await.unwrap();
    bench.advance_ms(-365 * 86_400_000);
    join_all((0..2500).map(|n| bury(&store, letter("a", n)))).await;
    bench.advance_ms(7_200_000);
    let max_age = Some(Duration::from_secs(3600));
    store.set_dlq_bounds(DlqBounds { max_age, ..DlqBounds::default() });
    store.flush_folds().await.unwrap();
    let mut left = store.total("a").letters;
    // The writer goes on by itself, too.
    assert!([2501 - 1023, 2501 - 2047, 1].contains(&left), "{left}");
    while left > 1 {
        store.flush_folds().await.unwrap();
        assert!(store.total("a").letters <= left);
        left = store.total("a").letters;
    }
    assert_eq!(there(&bench), [future]);
}

#[tokio::test]
async fn events_of_dead_letters_can_be_switched_off_and_on() {
    let bench = Bench::new();
    let store = bench.open();
    for (emit, events) in [(true, 1), (false, 1), (true, 2)] {
        store.set_emit_dlq_events(emit);
        bury(&store, letter("a", 1)).await.unwrap();
        assert_eq!(store.outbox_after(0, 9).await.unwrap().items.len(), events);
    }
}
