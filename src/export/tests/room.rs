//! Room in the queue and on disk: who waits for it, who does not stand behind them, and what a
//! promise is good for.

use super::overflow::{deliveries, small};
use super::*;
use crate::config::{Queue, QueueFull, QueueMode};

const HANGS: Duration = Duration::from_secs(1_000_000);

/// A queue on disk with this much room, beside a receiver that takes nothing.
fn on_disk(disk_bytes: u64, when_full: QueueFull) -> Bench {
    let full = small(|queue: &mut Queue| {
        (queue.mode, queue.disk_bytes, queue.when_full) = (QueueMode::Disk, disk_bytes, when_full);
    });
    Bench::new(1, HANGS, full, |_, _| Outcome::Delivered(None))
}

/// Pushes what has its promise, and gives that back when it is on disk.
async fn push_promised(bench: &Bench, deliveries: Vec<Delivery>, promise: Promise) {
    bench.export.push(deliveries, Entrant::Promised, || false).await;
    drop(promise);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_woken_for_many_places_and_not_for_each() {
    let ninety = |config: &mut config::Export| config.queue.memory_events = 100;
    let takes = Duration::from_millis(1);
    let bench = Bench::new(1, takes, ninety, |_, _| Outcome::Delivered(None));
    let entered = std::cell::Cell::new(0);
    let entrant = Entrant::Source { can_wait: true };
    let step = || {
        entered.set(entered.get() + 1);
        bench.export.wake();
    };
    bench.export.board.push(deliveries(&bench, 0, 300), entrant, || 0, || false, step).await;
    // At once as many as sources may have there, and then an eighth of it each time; the last few
    // one by one.
    assert!((2..=1 + 210 / 11 + 6).contains(&entered.get()), "{entered:?}");
    bench.until_empty().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_retry_leaves_a_source_its_pace() {
    let slow = RetrySchedule::new(vec![Duration::from_secs(1_000)], 0.0).unwrap();
    let change = |config: &mut config::Export| {
        (config.queue.memory_events, config.queue.mode) = (100, QueueMode::Memory);
        config.retry.schedule = slow;
    };
    let takes = Duration::from_millis(1);
    let bench = Bench::new(1, takes, change, |id, attempt| match (id, attempt) {
        ("bad", 1) => status(503, None),
        _ => Outcome::Delivered(None),
    });
    bench.push(&["bad"; 85]).await;
    let start = Instant::now();
    // Five places are left for them.
    bench.push_from(deliveries(&bench, 0, 300), true, false).await;
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(1), "385 of 1 ms each took {taken:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_its_room_promised_does_not_stand_behind_who_waits_for_some() {
    let bench = on_disk(3_000, QueueFull::Block);
    let first = bench.export.promise(2_000).unwrap();
    let second = bench.export.await_room(2_000, || false);
    let pushed = async {
        // The other one waits by then.
        tokio::task::yield_now().await;
        push_promised(&bench, deliveries(&bench, 0, 2), first).await;
    };
    let both = async { tokio::join!(second, pushed).0.is_of(&bench.export) };
    let promised = tokio::time::timeout(Duration::from_secs(10_000), both).await;
    assert_eq!(promised, Ok(true), "the two wait for each other");
}

#[tokio::test(start_paused = true)]
async fn what_was_promised_nothing_finds_no_room_in_the_promise_of_another() {
    let bench = on_disk(3_000, QueueFull::DeadLetter);
    let _promise = bench.export.promise(2_900).unwrap();
    bench.push_from(deliveries(&bench, 0, 100), true, false).await;
    bench.store.flush_folds().await.unwrap();
    let total = bench.store.queue_total("a");
    assert!(total.bytes <= 3_000, "{total:?}");
    while bench.letters().len() + (total.events as usize) < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn small_events_that_fit_do_not_keep_a_large_one_from_the_disk() {
    for can_wait in [true, false] {
        let never = RetrySchedule::new(vec![HANGS], 0.0).unwrap();
        let bench = Bench::new(
            1,
            NOW,
            |config| (config.queue.memory_bytes, config.retry.schedule) = (1_000, never),
            |id, _| if id == "waits" { status(503, None) } else { Outcome::Delivered(None) },
        );
        bench.push(&["waits"]).await;
        let large = bench.delivery(&"x".repeat(2_000));
        let push = bench.push_from(vec![large], can_wait, true);
        let others = async {
            loop {
                bench.push_from(vec![bench.delivery("small")], false, false).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = push => {}
            () = others => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{can_wait}: it waits"),
        }
    }
}

/// The first one reads only for the export whose receiver is down.
#[tokio::test(start_paused = true)]
async fn a_source_for_which_nobody_waits_does_not_stand_before_one_that_feeds_others_too() {
    let hangs = Duration::from_secs(1_000_000);
    for mode in [QueueMode::Overflow, QueueMode::Disk] {
        let full = small(|queue| {
            (queue.mode, queue.disk_bytes) = (mode, 100_000);
            queue.when_full = QueueFull::Block;
        });
        let bench = Bench::new(1, hangs, full, |_, _| Outcome::Delivered(None));
        bench.push_from(deliveries(&bench, 0, 50), true, true).await;
        let takes_in = async |from: usize, bytes, others_wait: bool| {
            let promised = bench.export.await_room(bytes, || others_wait).await;
            bench.push_from(deliveries(&bench, from, from + 100), true, others_wait).await;
            drop(promised);
        };
        let others = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let start = Instant::now();
            for from in (1_000..1_500).step_by(100) {
                takes_in(from, 1_000, true).await;
            }
            start.elapsed()
        };
        let patient =
            tokio::time::timeout(Duration::from_secs(100), takes_in(100, 1_000_000, false));
        let (patient, took) = tokio::join!(patient, others);
        if mode == QueueMode::Overflow {
            // It waits to see whether the queue is full for long, and not for each chunk. On disk
            // the store takes time of its own.
            assert!(took < Duration::from_millis(200), "{took:?}");
        }
        // Where they go past it to disk it goes there once, too.
        assert_eq!(patient.is_ok(), mode == QueueMode::Overflow, "{mode:?}");
    }
}

/// What is let in by turns is let in by turns too where one of them may go to disk at once.
#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_is_not_kept_out_by_who_goes_to_disk() {
    let takes = Duration::from_millis(100);
    let bench = Bench::new(1, takes, small(|_| ()), |_, _| Outcome::Delivered(None));
    let floods = async {
        for from in (10_000..).step_by(20) {
            bench.push_from(deliveries(&bench, from, from + 20), true, true).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let waits = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        for from in (0..100).step_by(20) {
            bench.push_from(deliveries(&bench, from, from + 20), true, false).await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_secs(60), waits);
    tokio::select! {
        entered = waits => assert!(entered.is_ok(), "nothing of it found room"),
        () = floods => {}
    }
}
