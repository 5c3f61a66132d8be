//! The end of an export that is no longer configured.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_waits_for_an_heir_or_goes_to_it() {
    let gone = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(Some(200)));
    gone.export.retire().await;
    gone.push(&["a", "b"]).await;
    assert_eq!(gone.seen().len(), 0);
    assert_eq!(gone.store.queue_total("a").events, 2, "a chunk was on its way");
    assert_eq!(gone.tracker.open_lines(), 0);
    let heir = gone.heir(|_| ());
    let mut estate = gone.export.inherit().await;
    heir.restore(true).await.unwrap();
    *estate = Some(Arc::clone(&heir));
    drop(estate);
    gone.push(&["c"]).await;
    while !heir.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(gone.order(), ["a", "b", "c"]);
    assert_eq!(gone.tracker.open_lines(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_retry_is_left_with_its_time_and_its_tries() {
    let gone = Bench::new(
        1,
        NOW,
        |_| (),
        |_, attempt| match attempt {
            1 => status(503, None),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    gone.push(&["a"]).await;
    while gone.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gone.export.retire().await;
    let total = gone.store.queue_total("a");
    assert_eq!((total.events, total.waiting), (0, 1), "it waits for its time");
    let heir = gone.heir(|_| ());
    heir.restore(true).await.unwrap();
    while !heir.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let attempts: Vec<_> = gone.seen().into_iter().map(|(_, _, attempt)| attempt).collect();
    assert_eq!(attempts, [1, 2]);
}

/// The id of an event that finds no free page in a full store.
fn large(id: &str) -> String {
    id.repeat(40_000)
}

/// An export that sends nothing and has two events, and a full store.
async fn full() -> Bench {
    let bench = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(Some(200)));
    bench.export.pause();
    bench.export.standing_stored().await;
    bench.push(&[&large("a"), &large("b")]).await;
    bench.store.fill(true).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_nobody_from_stopping() {
    let bench = full().await;
    let export = Arc::clone(&bench.export);
    let retiring = tokio::spawn(async move { export.retire().await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!retiring.is_finished(), "it waits for room");
    bench.export.cut_off();
    retiring.await.unwrap();
    // What comes now is not held up either.
    bench.push(&[&large("c")]).await;
    assert_eq!(bench.export.keep().await.len(), 3, "no source can give them again");
    assert_eq!(bench.export.keep().await.len(), 0, "each is told of once");
    assert_eq!(bench.tracker.open_lines(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_found_no_room_is_kept_where_there_is_some_in_the_end() {
    let bench = full().await;
    bench.export.cut_off();
    bench.export.retire().await;
    bench.store.fill(false).await;
    bench.store.stopping();
    assert_eq!(bench.export.keep().await, []);
    let total = bench.store.queue_total("a");
    assert_eq!(total.events + total.waiting, 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_a_new_export_before_it_knows_that_it_was_paused() {
    let gone = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(Some(200)));
    gone.export.pause();
    gone.export.standing_stored().await;
    gone.export.retire().await;
    let heir = gone.heir(|_| ());
    heir.await_restore();
    let deliveries = vec![gone.delivery("a")];
    let to = Arc::clone(&heir);
    let pushing = tokio::spawn(async move {
        to.push(deliveries, Entrant::Source { can_wait: true }, || false).await;
    });
    tokio::task::yield_now().await;
    heir.restore(true).await.unwrap();
    pushing.await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gone.seen(), []);
    assert_eq!(heir.standing().pending, 1);
}

/// More than are buried at once wait to be, for the store is full when everything stops.
#[tokio::test(start_paused = true)]
async fn what_waits_to_be_refused_when_everything_stops_is_left_with_the_rest() {
    let hangs = Duration::from_secs(1_000_000);
    let no_room = overflow::small(|queue| {
        (queue.mode, queue.when_full) = (QueueMode::Memory, QueueFull::DeadLetter);
    });
    let bench = Bench::new(1, hangs, no_room, |_, _| Outcome::Delivered(None));
    bench.store.fill(true).await;
    let push = bench.push_from(overflow::deliveries(&bench, 0, 3_000), false, false);
    tokio::pin!(push);
    let waits = tokio::time::timeout(Duration::from_secs(10), push.as_mut()).await;
    assert!(waits.is_err(), "so many are buried at once");
    bench.export.cut_off();
    let lets_go = tokio::time::timeout(Duration::from_millis(1), push).await;
    assert!(lets_go.is_ok(), "it waits for none of those that are being buried");
    let left = bench.export.stop().await.len();
    let written = bench.letters().len();
    assert_eq!(left + written, 3_000, "{written} were buried");
    assert!(left > 1_000, "{left}");
}
