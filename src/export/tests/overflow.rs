//! What goes to disk and comes back. The store is a real one on its own thread, and paused time
//! runs ahead while it is waited for: no test here asks when something happens.

use super::*;
use crate::config::{Queue, QueueFull, QueueMode};
use crate::export::board::Load;
use crate::store::Kept;

pub(super) fn ids(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

pub(super) fn deliveries(bench: &Bench, from: usize, to: usize) -> Vec<Delivery> {
    ids(from, to).iter().map(|id| bench.delivery(id)).collect()
}

pub(super) fn small(change: impl FnOnce(&mut Queue)) -> impl FnOnce(&mut config::Export) {
    move |config| {
        config.queue.memory_events = 10;
        change(&mut config.queue);
    }
}

/// An export over the store of another one, as after a restart.
pub(super) fn again(bench: &Bench) -> (Arc<Export>, Arc<Script>, Arc<Metrics>) {
    let script = Arc::new(Script {
        answers: Box::new(|_, _| Outcome::Delivered(Some(200))),
        takes: NOW,
        seen: Mutex::default(),
        start: Instant::now(),
    });
    let sink = Arc::clone(&script);
    let config = config(small(|_| ()));
    let open = move || ScriptedSink(Arc::clone(&sink));
    let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, open);
    let metrics = Metrics::new("");
    let export = Export::new(
        &config,
        String::new(),
        settings,
        bench.store.clone(),
        Arc::clone(&bench.export.poison),
        Arc::default(),
        &metrics,
    );
    (export, script, metrics)
}

pub(super) async fn until_empty(export: &Arc<Export>) {
    while !export.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub(super) fn seen(script: &Script) -> Vec<String> {
    script.seen.lock().unwrap().iter().map(|(_, id, _)| id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_spills_only_where_another_export_is_kept_waiting() {
    let takes = Duration::from_secs(1);
    for (can_wait, others_wait, spills) in
        [(true, false, false), (true, true, true), (false, false, true)]
    {
        let bench = Bench::new(1, takes, small(|_| ()), |_, _| Outcome::Delivered(None));
        let push = bench.push_from(deliveries(&bench, 0, 100), can_wait, others_wait);
        let pushed = tokio::time::timeout(Duration::from_secs(20), push).await.is_ok();
        assert_eq!(pushed, spills, "{can_wait} {others_wait}");
    }
}

/// Two full queues whose sources feed both would wait for each other forever.
#[tokio::test(start_paused = true)]
async fn a_full_queue_asks_for_others_without_holding_its_own_lock() {
    for mode in [QueueMode::Overflow, QueueMode::Disk] {
        let full = small(|queue| (queue.mode, queue.disk_bytes) = (mode, 3_000));
        let takes = Duration::from_secs(1);
        let bench = Bench::new(1, takes, full, |_, _| Outcome::Delivered(None));
        let source = Entrant::Source { can_wait: true };
        let asked = std::cell::Cell::new(false);
        let others_wait = || {
            asked.set(true);
            bench.export.has_room();
            true
        };
        if mode == QueueMode::Disk {
            bench.push_from(deliveries(&bench, 0, 5), true, false).await;
            drop(bench.export.await_room(100_000, others_wait).await);
        } else {
            bench.export.push(deliveries(&bench, 0, 100), source, others_wait).await;
        }
        assert!(asked.get(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_and_disk_are_one_fifo() {
    let bench = Bench::new(1, NOW, small(|_| ()), |_, _| Outcome::Delivered(None));
    for from in (0..1000).step_by(50) {
        bench.push_from(deliveries(&bench, from, from + 50), true, true).await;
    }
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ids(0, 1000));
    assert_eq!(bench.tracker.open_lines(), 0);
    let commit = bench.store.flush_folds();
    commit.await.unwrap();
    assert_eq!(bench.store.queue_total("a"), Default::default(), "nothing is left on disk");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_disk_is_settled_for_its_source_and_found_after_a_crash() {
    let hangs = Duration::from_secs(1_000_000);
    let bench = Bench::new(1, hangs, small(|_| ()), |_, _| Outcome::Delivered(None));
    bench.push_from(deliveries(&bench, 0, 100), false, false).await;
    let on_disk = loop {
        let on_disk = bench.export.standing().on_disk;
        if bench.tracker.open_lines() as u64 + on_disk == 100 && on_disk > 50 {
            break on_disk;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    // The first export is left alone, as a killed process would be.
    let (export, script, _metrics) = again(&bench);
    assert_eq!(export.restore(false).await.unwrap(), on_disk);
    until_empty(&export).await;
    assert_eq!(seen(&script), ids(100 - on_disk as usize, 100));
}

#[tokio::test(start_paused = true)]
async fn in_the_mode_disk_everything_is_on_disk_when_a_push_returns() {
    let hangs = Duration::from_secs(1_000_000);
    let durable = small(|queue| queue.mode = QueueMode::Disk);
    let bench = Bench::new(1, hangs, durable, |_, _| Outcome::Delivered(None));
    for from in [0, 30] {
        bench.push_from(deliveries(&bench, from, from + 30), true, false).await;
        assert_eq!(bench.tracker.open_lines(), 0);
    }
    let (export, script, _metrics) = again(&bench);
    assert_eq!(export.restore(false).await.unwrap(), 60);
    until_empty(&export).await;
    assert_eq!(seen(&script), ids(0, 60));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_delivered_from_memory() {
    let takes = Duration::from_secs(1);
    let bench = Bench::new(1, takes, small(|_| ()), |_, _| Outcome::Delivered(None));
    bench.store.fill(true).await;
    bench.push_from(deliveries(&bench, 0, 100), true, true).await;
    let delivered =
        tokio::time::timeout(Duration::from_secs(1_000_000), until_empty(&bench.export));
    assert!(delivered.await.is_ok(), "{:?}", bench.export.standing());
    assert_eq!(bench.order(), ids(0, 100));
    assert_eq!(bench.tracker.open_lines(), 0);
}

#[tokio::test]
async fn stopping_waits_for_a_write_and_not_for_the_next_try() {
    let hangs = Duration::from_secs(1_000_000);
    let durable = small(|queue| queue.mode = QueueMode::Disk);
    let bench = Bench::new(1, hangs, durable, |_, _| Outcome::Delivered(None));
    bench.store.fill(true).await;
    let push = bench.push_from(deliveries(&bench, 0, 30), true, false);
    let pushed = tokio::time::timeout(Duration::from_millis(1_300), push).await;
    assert!(pushed.is_err(), "nothing is on disk");
    let start = Instant::now();
    let left = bench.export.stop().await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(left.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_on_disk_does_as_the_configuration_says() {
    let hangs = Duration::from_secs(1_000_000);
    for (when_full, letters) in
        [(QueueFull::DeadLetter, true), (QueueFull::DropNewest, false), (QueueFull::Block, false)]
    {
        let full = small(|queue| {
            queue.disk_bytes = 4_000;
            queue.when_full = when_full;
        });
        let bench = Bench::new(1, hangs, full, |_, _| Outcome::Delivered(None));
        let push = bench.push_from(deliveries(&bench, 0, 500), false, false);
        let pushed = tokio::time::timeout(Duration::from_secs(60), push).await.is_ok();
        assert_eq!(pushed, when_full != QueueFull::Block, "{when_full:?}");
        while letters && bench.letters().len() < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(bench.letters().iter().all(|letter| letter.reason == Reason::QueueFull));
        assert_eq!(!bench.letters().is_empty(), letters, "{when_full:?}");
        assert!(bench.store.queue_total("a").bytes <= 4_000);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_make_room_for_what_can_be_delivered() {
    let slow = RetrySchedule::new(vec![Duration::from_secs(5_000)], 0.0).unwrap();
    let bench = Bench::new(
        1,
        NOW,
        |config| {
            config.queue.memory_events = 10;
            config.retry.schedule = slow;
        },
        |id, attempt| match (id.parse::<u32>().unwrap() % 3, attempt) {
            (0, 1) => status(503, None),
            _ => Outcome::Delivered(None),
        },
    );
    bench.push_from(deliveries(&bench, 0, 300), true, false).await;
    while bench.seen().len() < 300 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.order(), ids(0, 300), "each was tried once, in order");
    let standing = bench.export.standing();
    assert_eq!(standing.pending, 100);
    assert!((90..100).contains(&standing.on_disk), "{standing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_is_relieved_and_nothing_is_sent_twice() {
    let slow = RetrySchedule::new(vec![Duration::from_secs(50)], 0.0).unwrap();
    let bench = Bench::new(
        1,
        NOW,
        |config| config.retry.schedule = slow,
        |_, attempt| if attempt == 1 { status(503, None) } else { Outcome::Delivered(None) },
    );
    bench.push(&["a", "b", "c"]).await;
    while bench.seen().len() < 3 {
        tokio::task::yield_now().await;
    }
    bench.export.pause();
    bench.push(&["d"]).await;
    let stream = StreamId::from_bytes([1; 16]);
    bench.export.relieve(&Waiting::Stream(stream)).await;
    assert_eq!(bench.tracker.open_lines(), 0, "all is on disk");
    assert_eq!(bench.store.queue_total("a").waiting, 4);
    bench.export.resume();
    until_empty(&bench.export).await;
    let mut order = bench.order();
    order.sort();
    assert_eq!(order, ["a", "a", "b", "b", "c", "c", "d", "d"]);
    bench.store.flush_folds().await.unwrap();
    assert_eq!(bench.store.queue_total("a"), Default::default());
}

/// In real time: paused time would run ahead to the retry.
#[tokio::test]
async fn a_due_time_on_disk_outlives_the_process() {
    let wait = Duration::from_secs(50_000);
    let slow = RetrySchedule::new(vec![wait], 0.0).unwrap();
    let bench = Bench::new(
        1,
        NOW,
        |config| {
            config.queue.mode = QueueMode::Disk;
            config.retry.schedule = slow;
        },
        |_, _| status(503, None),
    );
    bench.push(&["a"]).await;
    while bench.store.queue_total("a").waiting == 0 {
        bench.store.flush_folds().await.unwrap();
    }
    let page = bench.store.waiting_page("a", None, 10, 1 << 20).await.unwrap();
    let due = page.events[0].due.unwrap().duration_since(Timestamp::now());
    assert!(Duration::try_from(due).unwrap() > wait - Duration::from_secs(60), "{due:?}");
    assert_eq!(page.events[0].delivery.tries.sent, 1);
    let (export, script, _metrics) = again(&bench);
    assert_eq!(export.restore(false).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let standing = export.standing();
    assert_eq!((seen(&script).len(), standing.pending, standing.on_disk), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_spilled_and_is_empty_again_has_room() {
    let bench = Bench::new(1, NOW, small(|_| ()), |_, _| Outcome::Delivered(None));
    bench.push_from(deliveries(&bench, 0, 100), false, false).await;
    until_empty(&bench.export).await;
    assert!(bench.export.has_room(), "else no other export of its source would ever spill");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_wait_does_not_stand_behind_one_that_can() {
    let hangs = Duration::from_secs(1_000_000);
    let bench = Bench::new(1, hangs, small(|_| ()), |_, _| Outcome::Delivered(None));
    let (file, udp) = (deliveries(&bench, 0, 100), deliveries(&bench, 100, 200));
    tokio::select! {
        () = bench.push_from(file, true, false) => panic!("it has room for ten"),
        () = bench.push_from(udp, false, false) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_retried_is_not_moved_to_disk() {
    let slow = RetrySchedule::new(vec![Duration::from_secs(5_000)], 0.0).unwrap();
    let bench = Bench::new(
        1,
        NOW,
        |config| {
            config.queue.memory_events = 1;
            config.retry.schedule = slow;
        },
        |id, attempt| match (id, attempt) {
            ("replay", 1) => status(503, None),
            _ => Outcome::Delivered(None),
        },
    );
    let mut replay = bench.delivery("replay");
    replay.claim = Claim::Replay(1);
    bench.export.replay(vec![replay]);
    while bench.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // It waits for room, which retries make that can be written.
    bench.push_from(deliveries(&bench, 0, 1), true, false).await;
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ["replay", "replay", "0"]);
}

/// Rows that wait in the store of an export, which is paused: nothing takes them off the board.
async fn waiting_rows(bench: &Bench, count: usize) -> Vec<crate::delivery::RowId> {
    bench.export.pause();
    let delivery = |id: &String| {
        let delivery = bench.delivery(id);
        Kept::of(&delivery, Some(Timestamp::now())).unwrap()
    };
    let kept = ids(0, count).iter().map(delivery).collect();
    bench.store.keep("a", kept).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_damaged_retry_is_counted_once_and_keeps_no_other_back() {
    let bench = Bench::new(1, NOW, small(|_| ()), |_, _| Outcome::Delivered(None));
    waiting_rows(&bench, 40).await;
    let sql = rusqlite::Connection::open(bench.folder.path().join("postrider.db")).unwrap();
    sql.execute(
        "UPDATE waiting SET chunk = x'02' WHERE number = (SELECT MIN(number) FROM waiting)",
        [],
    )
    .unwrap();
    assert_eq!(bench.export.restore(false).await.unwrap(), 40);
    bench.export.resume();
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ids(1, 40));
    assert_eq!(bench.export.standing().pending, 1, "the damaged one");
}

#[tokio::test(start_paused = true)]
async fn rows_that_stand_in_memory_leave_room_to_read_others() {
    // The rows of five small events are larger than what memory may hold.
    let bench = Bench::new(1, NOW, small(|queue| queue.memory_bytes = 400), |_, _| {
        Outcome::Delivered(None)
    });
    waiting_rows(&bench, 40).await;
    bench.export.restore(false).await.unwrap();
    bench.export.resume();
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ids(0, 40));
}

/// A read of retries as the task does it, with something that happens after the page was read.
async fn read_while(bench: &Bench, happens: impl FnOnce()) {
    let Load::Retries { known, events, bytes } = bench.export.board.next_load() else {
        panic!("retries wait");
    };
    let page = bench.store.waiting_page("a", None, known + events, bytes).await.unwrap();
    happens();
    let due = |restored: crate::store::Restored| (Instant::now(), restored.delivery);
    let retries = page.events.into_iter().map(due).collect();
    let next_due = page.next_due.map(|_| Instant::now());
    bench.export.board.loaded_waiting(retries, next_due, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_or_settled_while_retries_are_read_is_neither_lost_nor_doubled() {
    let bench = Bench::new(1, NOW, small(|_| ()), |_, _| Outcome::Delivered(None));
    let rows = waiting_rows(&bench, 3).await;
    let board = &bench.export.board;
    board.restore(0, 3, 0);
    board.reschedule(rows[0]);
    read_while(&bench, || {
        board.fallen_back();
        // One that was in flight is settled now; its row was still there.
        board.reschedule(rows[1]);
        board.with_queue(|queue| queue.disk.ended(rows[0].number));
    })
    .await;
    let standing = bench.export.standing();
    assert_eq!(standing.pending - standing.on_disk, 1, "only the third one is new");
    assert!(standing.on_disk >= 1, "one that fell back waits to be read");
}

#[tokio::test(start_paused = true)]
async fn what_a_relief_writes_while_retries_are_read_is_not_read_too() {
    let bench = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(None));
    waiting_rows(&bench, 1).await;
    bench.push(&["line"]).await;
    let board = &bench.export.board;
    board.restore(0, 1, 0);
    let Load::Retries { known, events, bytes } = board.next_load() else { panic!("one waits") };
    bench.export.relieve(&Waiting::Stream(StreamId::from_bytes([1; 16]))).await;
    let page = bench.store.waiting_page("a", None, known + events, bytes).await.unwrap();
    assert_eq!(page.events.len(), 2);
    let due = |restored: crate::store::Restored| (Instant::now(), restored.delivery);
    let retries = page.events.into_iter().map(due).collect();
    board.loaded_waiting(retries, None, Vec::new());
    bench.export.resume();
    bench.export.restore(false).await.unwrap();
    until_empty(&bench.export).await;
    let mut order = bench.order();
    order.sort();
    assert_eq!(order, ["0", "line"]);
}

#[tokio::test(start_paused = true)]
async fn in_strict_order_nothing_overtakes_a_retry_on_disk() {
    let bench = Bench::new(1, NOW, |config| config.strict = true, |_, _| Outcome::Delivered(None));
    waiting_rows(&bench, 2).await;
    let total = bench.store.queue_total("a");
    bench.export.board.restore(total.events, total.waiting, 0);
    bench.push(&["later"]).await;
    bench.export.resume();
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ["0", "1", "later"]);
}
