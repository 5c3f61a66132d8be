//! How many replays an export takes up, and that whoever feeds them hears of each that ends.

use super::*;

/// Feeds so many replays as there is room for, as `pipeline::replay` does.
async fn feed(bench: &Bench, ids: impl IntoIterator<Item = String>) {
    let mut waiting: std::collections::VecDeque<_> = (1..).zip(ids).collect();
    while !waiting.is_empty() {
        let settled = bench.export.on_settled();
        tokio::pin!(settled);
        settled.as_mut().enable();
        let room = bench.export.replay_room().min(waiting.len());
        if room == 0 {
            settled.await;
            continue;
        }
        let replay = |(number, id): (i64, String)| Delivery {
            claim: Claim::Replay(number),
            ..bench.delivery(&id)
        };
        bench.export.replay(waiting.drain(..room).map(replay).collect());
        tokio::task::yield_now().await;
    }
}

fn slow(config: &mut config::Export) {
    config.retry.schedule = RetrySchedule::new(vec![Duration::from_secs(5_000)], 0.0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn replays_that_wait_for_their_retry_leave_room_for_what_is_new() {
    let bench = Bench::new(
        2,
        NOW,
        |config| {
            slow(config);
            config.queue.memory_events = 40;
        },
        |id, _| match id.strip_prefix("replay") {
            Some(_) => status(503, None),
            None => Outcome::Delivered(Some(200)),
        },
    );
    let replays = feed(&bench, (0..500).map(|n| format!("replay{n}")));
    assert!(tokio::time::timeout(Duration::from_secs(100), replays).await.is_err());
    let pending = bench.export.standing().pending;
    assert_eq!(pending, 10, "a quarter of what the queue may hold");
    bench.push(&["new"]).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(1), async {
            while !bench.order().contains(&"new".to_owned()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn replays_to_an_endpoint_that_fails_leave_room_for_others() {
    let bench = Bench::new(2, NOW, slow, |id, _| {
        if id.ends_with("@bad") { status(503, None) } else { Outcome::Delivered(Some(200)) }
    });
    let bad = (0..100).map(|n| format!("{n}@bad"));
    feed(&bench, bad.chain(["1@good".to_owned()])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bench.order().contains(&"1@good".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn each_replay_that_ends_makes_room_for_others() {
    let bench = Bench::new(
        1,
        Duration::from_millis(1),
        |config| {
            slow(config);
            config.queue.memory_events = 4 * 128;
        },
        |id, _| if id.starts_with("bad") { status(503, None) } else { Outcome::Delivered(None) },
    );
    // The last one that ends does so while others stand before it, and these do not end.
    let good = (0..64).map(|n| format!("good{n}"));
    let bad = (0..64).map(|n| format!("bad{n}"));
    feed(&bench, good.chain(bad).chain(["last".to_owned()])).await;
    assert!(bench.script.start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_a_dead_letter_again_leaves_its_place() {
    let bench = Bench::new(1, NOW, |_| (), |_, _| status(400, None));
    feed(&bench, ["dead".to_owned()]).await;
    while !bench.export.replaying().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.letters().len(), 1);
}
