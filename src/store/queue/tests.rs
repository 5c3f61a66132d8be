//! What the queue on disk gives back, table by table. What holds for every order of things is in
//! `model`.

use super::super::chunk::{Kept, Restored};
use super::super::testing::{self, Bench, START_MS, kept, queued};
use super::super::{Reader, Selection, Store, StoreOptions};
use super::*;
use crate::delivery::Claim;
use crate::retry::Reason;

fn waiting(n: u64, due_ms: i64) -> Kept {
    Kept { due: Some(testing::time(due_ms)), ..kept(n) }
}

fn offset(restored: &Restored) -> u64 {
    restored.delivery.event.origin.position.offset
}

fn offsets(restored: &[Restored]) -> Vec<u64> {
    restored.iter().map(offset).collect()
}

fn row(restored: &Restored) -> RowId {
    match restored.delivery.claim {
        Claim::Row(row) => row,
        ref claim => panic!("{claim:?}"),
    }
}

/// What rode along is in the file.
async fn flush(store: &Store) {
    store.write((1, 0), |_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn events_come_back_in_order_after_a_crash() {
    let bench = Bench::new();
    let store = bench.open();
    let due = START_MS + 5000;
    let mut events: Vec<_> = (0..700).map(kept).collect();
    events.insert(3, waiting(1000, due + 1));
    events.push(waiting(1001, due));
    let rows = store.keep("alerts", events).await.unwrap();
    assert_eq!((rows[3].due_ms, rows[4].due_ms), (Some(due + 1), None));
    store.keep("other", vec![kept(1)]).await.unwrap();
    let last = store.keep("alerts", vec![kept(2000)]).await.unwrap();
    assert_eq!(bench.number("SELECT COUNT(*) FROM queue WHERE export = 'alerts'"), 4);
    let after = bench.crashed();
    let store = after.open();
    assert_eq!(store.queued_exports().await.unwrap(), ["alerts".into(), "other".into()]);
    assert_eq!(store.last_number("alerts").await, Ok(last[0].number));
    assert_eq!(store.last_number("none").await, Ok(0));
    let found = queued(&store, "alerts").await;
    assert_eq!(offsets(&found), (0..700).chain([2000, 1001, 1000]).collect::<Vec<_>>());
    let fifo: Vec<_> = rows.iter().filter(|row| row.due_ms.is_none()).copied().collect();
    assert_eq!(found.iter().take(700).map(row).collect::<Vec<_>>(), fifo);
    assert!(fifo.is_sorted_by(|a, b| a < b) && fifo[699] < last[0]);
    assert_eq!(found[701].due, Some(testing::time(due)));
    assert_eq!(queued(&store, "none").await.len(), 0);
    let total = store.queue_total("alerts");
    assert_eq!((total.events, total.waiting), (701, 2));
    assert_eq!(store.queue_totals().len(), 2);
}

#[tokio::test]
async fn a_page_starts_and_ends_inside_a_row_and_knows_its_bounds() {
    let bench = Bench::new();
    let store = bench.open();
    let rows = store.keep("alerts", (0..300).map(kept).collect()).await.unwrap();
    let first = rows[0].number;
    for settled in [1, 2, 4, 299] {
        store.settle_row(&"alerts".into(), rows[settled]);
    }
    flush(&store).await;
    let page = async |after: i64, up_to: i64, events, bytes| {
        let page = store.queue_page("alerts", after, up_to, events, bytes).await.unwrap();
        (offsets(&page.events), page.next - first, page.done)
    };
    let one = kept(10).event.text.as_str().len();
    let (end, none) = (i64::MAX, vec![]);
    assert_eq!(page(0, end, 3, 9999).await, (vec![0, 3, 5], 5, false));
    assert_eq!(page(first + 5, end, 2, 9999).await, (vec![6, 7], 7, false));
    assert_eq!(page(first + 9, end, 99, 1).await, (vec![10], 10, false), "at least one");
    assert_eq!(page(first + 9, end, 0, 0).await, (vec![10], 10, false), "at least one");
    assert_eq!(page(first + 9, end, 99, 3 * one).await.0, [10, 11, 12]);
    assert_eq!(page(0, first + 5, 99, 9999).await, (vec![0, 3, 5], 5, true));
    assert_eq!(page(first, first + 2, 99, 9999).await, (none.clone(), 2, true));
    assert_eq!(page(first + 254, end, 3, 9999).await, (vec![255, 256, 257], 257, false));
    assert_eq!(page(first + 296, end, 9, 9999).await, (vec![297, 298], 299, true));
    assert_eq!(page(first + 299, end, 9, 9999).await, (none.clone(), 299, true));
    assert_eq!(page(i64::MAX, end, 9, 9999).await.0, none);
    assert_eq!(page(i64::MIN, end, 1, 9999).await.0, [0]);
    assert_eq!(page(0, first - 1, 9, 9999).await, (none, -first, true));
}

#[tokio::test]
async fn what_is_settled_does_not_come_back_and_the_last_one_ends_its_row() {
    let bench = Bench::new();
    let store = bench.open();
    let export: Arc<str> = "alerts".into();
    let mut events: Vec<_> = (0..300).map(kept).collect();
    events.push(waiting(300, START_MS));
    let rows = store.keep("alerts", events).await.unwrap();
    rows[1..300].iter().step_by(2).rev().for_each(|row| store.settle_row(&export, *row));
    // What is settled, or what no row has, does no harm.
    let fifo = |number| RowId { number, due_ms: None };
    let wrong_due = RowId { due_ms: Some(START_MS + 1), ..rows[300] };
    let (first, last) = (rows[1].number, rows[300].number);
    [first, last, 0, -1, i64::MAX, i64::MIN]
        .into_iter()
        .map(fifo)
        .chain([wrong_due])
        .for_each(|row| store.settle_row(&export, row));
    store.settle_row(&"none".into(), rows[0]);
    store.close().await.unwrap();
    let store = bench.open();
    let left = queued(&store, "alerts").await;
    assert_eq!(offsets(&left), (0..=300).step_by(2).collect::<Vec<_>>());
    assert_eq!(
        left.iter().map(row).collect::<Vec<_>>(),
        rows.iter().copied().step_by(2).collect::<Vec<_>>()
    );
    left.iter().for_each(|one| store.settle_row(&export, row(one)));
    flush(&store).await;
    assert_eq!(store.queue_totals(), []);
    store.close().await.unwrap();
    for table in ["queue", "waiting", "queue_totals"] {
        assert_eq!(bench.number(&format!("SELECT COUNT(*) FROM {table}")), 0, "{table}");
    }
}

#[tokio::test]
async fn what_is_kept_again_takes_the_place_of_what_was_read() {
    let bench = Bench::new();
    let store = bench.open();
    store.keep("alerts", (0..3).map(kept).collect()).await.unwrap();
    let found = queued(&store, "alerts").await;
    let due = testing::time(START_MS + 9000);
    let again = |one: &Restored, due| Kept::of(&one.delivery, due).unwrap();
    let rows = vec![again(&found[1], Some(due)), again(&found[0], None)];
    store.keep("alerts", rows).await.unwrap();
    let now = queued(&store, "alerts").await;
    assert_eq!(offsets(&now), [2, 0, 1]);
    assert_eq!(now[2].due, Some(due));
    assert!(row(&now[1]).number > row(&found[2]).number);
}

#[tokio::test]
async fn a_retry_is_rescheduled_under_its_number_and_ends_where_it_was_moved_to() {
    let bench = Bench::new();
    let store = bench.open();
    let export: Arc<str> = "alerts".into();
    let rows = store.keep("alerts", (0..3).map(kept).collect()).await.unwrap();
    assert_eq!(store.reschedule(&export, kept(0)), None, "it replaces nothing");
    let replaces = Some(rows[0]);
    assert_eq!(store.reschedule(&export, Kept { replaces, ..kept(0) }), None, "it is not due");
    let moved = |replaces, due_ms, used| {
        let mut kept = Kept { replaces: Some(replaces), ..waiting(0, due_ms) };
        kept.tries.used = used;
        store.reschedule(&export, kept).unwrap()
    };
    let first = moved(rows[0], START_MS + 7, 1);
    assert_eq!(first, RowId { number: rows[0].number, due_ms: Some(START_MS + 7) });
    let second = moved(first, START_MS + 3, 2);
    let page = store.waiting_page("alerts", None, 9, 9999).await.unwrap();
    assert_eq!(page.events.iter().map(row).collect::<Vec<_>>(), [second], "at once");
    assert_eq!((page.events[0].delivery.tries.used, page.next_due), (2, None));
    let third = moved(second, START_MS + 3, 3);
    store.settle_row(&export, rows[0]);
    store.settle_row(&export, third);
    assert_eq!(moved(third, START_MS + 9, 4).due_ms, Some(START_MS + 9));
    moved(rows[0], START_MS + 9, 4);
    flush(&store).await;
    assert_eq!(offsets(&queued(&store, "alerts").await), [1, 2], "what is settled stays so");
}

#[tokio::test]
async fn what_was_rescheduled_outlives_failed_commits_in_its_order() {
    let bench = Bench::new();
    let store = bench.open();
    let export: Arc<str> = "alerts".into();
    let rows = store.keep("alerts", vec![kept(0)]).await.unwrap();
    let again = |replaces, due_ms| {
        store.reschedule(&export, Kept { replaces: Some(replaces), ..waiting(0, due_ms) }).unwrap()
    };
    bench.sql().execute_batch("ALTER TABLE waiting RENAME TO away").unwrap();
    let moved = again(rows[0], START_MS + 1);
    assert!(store.waiting_page("alerts", None, 9, 9).await.is_err(), "not told as if it were so");
    let moved = again(moved, START_MS + 2);
    bench.sql().execute_batch("ALTER TABLE away RENAME TO waiting").unwrap();
    let page = store.waiting_page("alerts", None, 9, 9).await.unwrap();
    assert_eq!(page.events.iter().map(row).collect::<Vec<_>>(), [moved]);
    assert_eq!(store.queue_total("alerts").waiting, 1);
}

#[tokio::test]
async fn waiting_retries_are_read_in_the_order_in_which_they_are_due() {
    let bench = Bench::new();
    let store = bench.open();
    let due = |n: i64| START_MS + n;
    let dues = [5, 3, 4, 3, 9].map(due);
    store.keep("alerts", (0..).zip(dues).map(|(n, due)| waiting(n, due)).collect()).await.unwrap();
    let page = store.waiting_page("alerts", None, 2, 9999).await.unwrap();
    assert_eq!((offsets(&page.events), page.next_due), (vec![1, 3], Some(testing::time(due(4)))));
    assert_eq!(page.events[0].due, Some(testing::time(due(3))));
    let page = store.waiting_page("alerts", page.next, 99, 1).await.unwrap();
    assert_eq!((offsets(&page.events), page.next_due), (vec![2], Some(testing::time(due(5)))));
    let page = store.waiting_page("alerts", page.next, 99, 9999).await.unwrap();
    assert_eq!((offsets(&page.events), page.next_due), (vec![0, 4], None));
    let end = store.waiting_page("alerts", page.next, 99, 9999).await.unwrap();
    assert_eq!((end.events.len(), end.next, end.next_due), (0, page.next, None));
}

#[tokio::test]
async fn damaged_rows_are_counted_and_keep_nobody_from_going_on() {
    let bench = Bench::new();
    let store = bench.open();
    let export: Arc<str> = "alerts".into();
    store.keep("alerts", vec![kept(1), kept(2)]).await.unwrap();
    let events = vec![kept(3), waiting(4, START_MS), waiting(5, START_MS + 1)];
    let rows = store.keep("alerts", events).await.unwrap();
    for (damage, lost, left) in [
        ("queue SET chunk = x'01ff'", 2, vec![3, 4, 5]),
        ("queue SET chunk = x''", 2, vec![3, 4, 5]),
        ("queue SET chunk = 'text'", 2, vec![3, 4, 5]),
        ("queue SET chunk = substr(chunk, 1, length(chunk) - 1)", 1, vec![1, 3, 4, 5]),
        ("queue SET events = 3", 1, vec![1, 2, 3, 4, 5]),
        ("queue SET events = 'many'", 1, vec![3, 4, 5]),
        ("queue SET settled = 'text'", 0, vec![1, 2, 3, 4, 5]),
        ("waiting SET chunk = x'02'", 1, vec![1, 2, 3, 5]),
        ("waiting SET due_at = -9223372036854775807", 1, vec![1, 2, 3, 5]),
    ] {
        let sql = bench.sql();
        let (table, number) = match damage.split_once(' ') {
            Some(("queue", _)) => ("queue", "seq"),
            _ => ("waiting", "number"),
        };
        sql.execute_batch(&format!(
            "CREATE TEMP TABLE whole AS SELECT * FROM {table};
             UPDATE {damage} WHERE {number} = (SELECT MIN({number}) FROM {table})"
        ))
        .unwrap();
        let fifo = store.queue_page("alerts", 0, i64::MAX, 99, 9999).await.unwrap();
        assert!(fifo.done && fifo.next == rows[0].number, "{damage}");
        let mut wait = store.waiting_page("alerts", None, 1, 9999).await.unwrap();
        let rest = store.waiting_page("alerts", wait.next, 9, 9999).await.unwrap();
        wait.events.extend(rest.events);
        let damaged = fifo.damaged + (wait.damaged.len() + rest.damaged.len()) as u64;
        let read = [offsets(&fifo.events), offsets(&wait.events)].concat();
        assert_eq!((read, damaged), (left, lost), "{damage}");
        sql.execute_batch(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM whole"))
            .unwrap();
    }
    bench.sql().execute_batch("UPDATE queue SET chunk = x'02', events = 'many'").unwrap();
    store.settle_row(&export, rows[0]);
    store.keep("alerts", vec![kept(6)]).await.unwrap();
    assert_eq!(store.queue_total("alerts").waiting, 2, "the writer works on");
}

#[tokio::test]
async fn what_waits_for_a_removed_export_becomes_dead_letters() {
    let bench = Bench::new();
    let store = bench.open();
    let mut events: Vec<_> = (0..7).map(kept).collect();
    events[6].tries.sent = 3;
    events.push(waiting(7, START_MS));
    events.push(waiting(8, START_MS));
    let rows = store.keep("alerts", events).await.unwrap();
    store.keep("alerts", vec![kept(9)]).await.unwrap();
    store.keep("other", vec![kept(1)]).await.unwrap();
    store.settle_row(&"alerts".into(), rows[1]);
    bench
        .sql()
        .execute_batch(
            "UPDATE queue SET chunk = x'02' WHERE seq = (SELECT MAX(seq) FROM queue WHERE export = 'alerts');
             UPDATE waiting SET chunk = x'02' WHERE number = (SELECT MAX(number) FROM waiting)",
        )
        .unwrap();
    assert_eq!(store.bury_removed("alerts", 4).await, Ok(4));
    assert_eq!(store.queue_total("alerts").events, 3);
    assert_eq!(store.bury_removed("alerts", 0).await, Ok(1), "at least one");
    assert_eq!(store.bury_removed("alerts", 99).await, Ok(2));
    let told = |fact: &&String| fact.contains("Unreadable");
    assert_eq!(bench.facts.lock().unwrap().iter().filter(told).count(), 0);
    assert_eq!(store.bury_removed("alerts", 99).await, Ok(0));
    assert_eq!(store.bury_removed("none", 99).await, Ok(0));
    let facts: Vec<_> = bench.facts.lock().unwrap().iter().filter(told).cloned().collect();
    assert_eq!(facts, [r#"Unreadable { export: "alerts", events: 2 }"#]);
    let total = store.queue_total("alerts");
    assert_eq!((total.events, total.waiting), (1, 1), "they stay");
    assert_eq!(store.queue_total("other").events, 1);
    let letters = Reader::open(bench.path())
        .unwrap()
        .letters(&Selection::default(), crate::store::Order::OldestFirst, None, 99)
        .unwrap()
        .items;
    let found: Vec<_> = letters.iter().map(|letter| letter.position.offset).collect();
    assert_eq!(found, [0, 2, 3, 4, 5, 6, 7]);
    assert!(letters.iter().all(|letter| letter.reason == Reason::ExportRemoved));
    assert_eq!((letters[5].attempts, store.total("alerts").letters), (3, 7));
    assert_eq!(store.outbox_after(0, 99).await.unwrap().items.len(), 7);
}

#[tokio::test]
async fn what_version_1_left_is_carried_over_and_counted() {
    let bench = Bench::new();
    let sql = bench.sql();
    sql.execute_batch(include_str!("../../../dlq/0001_store.sql")).unwrap();
    sql.execute_batch(
        "PRAGMA application_id = 0x70737472; PRAGMA user_version = 1;
         INSERT INTO meta VALUES ('uid', x'00112233445566778899aabbccddeeff');
         INSERT INTO counters VALUES ('dead_letters', 5), ('outbox', 5), ('queue', 320)",
    )
    .unwrap();
    let mut insert = sql.prepare("INSERT INTO queue VALUES (?1, ?2, ?3, ?4, ?5, ?6)").unwrap();
    let all: Vec<_> = (0..10).map(kept).collect();
    let chunk = super::super::chunk::old_form(&all);
    let single = super::super::chunk::old_form(&all[..1]);
    insert.execute(params!["alerts", 301, 10, None::<i64>, None::<Vec<u8>>, chunk]).unwrap();
    insert.execute(params!["alerts", 311, 1, START_MS, None::<Vec<u8>>, single]).unwrap();
    // Three are settled; bits behind the last one mean nothing.
    insert.execute(params!["other", 312, 10, None::<i64>, [0b10000011u8, 0xfc], chunk]).unwrap();
    drop(insert);
    assert!(Reader::open(bench.path()).is_err(), "a reader waits for the writer");
    let store = Store::open(bench.path(), bench.options()).unwrap();
    assert_eq!(bench.number("PRAGMA user_version"), 2);
    let bytes = chunk.len() as u64;
    let of = |events, waiting, bytes| QueueTotal { events, waiting, bytes };
    assert_eq!(store.queue_total("alerts"), of(10, 1, bytes + single.len() as u64));
    assert_eq!(store.queue_total("other"), of(7, 0, bytes));
    let found = queued(&store, "alerts").await;
    assert_eq!(offsets(&found), (0..10).chain([0]).collect::<Vec<_>>());
    assert_eq!(row(&found[10]), RowId { number: 311, due_ms: Some(START_MS) });
    assert_eq!(offsets(&queued(&store, "other").await), [2, 3, 4, 5, 6, 8, 9]);
    let rows = store.keep("alerts", vec![kept(77)]).await.unwrap();
    assert_eq!(rows[0].number, 321);
    for export in ["alerts", "other"] {
        let export: Arc<str> = export.into();
        queued(&store, &export).await.iter().for_each(|one| store.settle_row(&export, row(one)));
    }
    flush(&store).await;
    assert_eq!(store.queue_totals(), []);
}

#[tokio::test]
async fn a_full_queue_opens_without_counting() {
    let bench = Bench::new();
    let store = bench.open();
    store.keep("alerts", (0..20).map(kept).collect()).await.unwrap();
    store.close().await.unwrap();
    // Who counted would find one row of ten thousand.
    bench.sql().execute_batch("UPDATE queue_totals SET events = 10000").unwrap();
    let store = Store::open(bench.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.queue_total("alerts").events, 10_000);
}
