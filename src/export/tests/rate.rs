//! The rate limit of an export at work: what is on the wire within any time, whoever sends it.

use super::*;

fn limit(requests: u32, per: u64) -> RateLimit {
    RateLimit { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_secs(per) }
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_counts_retries_too() {
    let bench = Bench::new(
        4,
        NOW,
        |config| config.rate_limit = Some(limit(2, 10)),
        |id, attempt| match (id, attempt) {
            ("a", 1) => status(500, None),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["a", "b", "c", "d"]).await;
    bench.until_empty().await;
    let times: Vec<_> = bench.seen().into_iter().map(|(at, ..)| at).collect();
    assert_eq!(times, [0.0, 0.0, 10.0, 10.0, 20.0]);
}

#[tokio::test(start_paused = true)]
async fn thirty_a_minute_are_never_thirty_one_in_any_minute() {
    let takes = Duration::from_millis(700);
    let bench = Bench::new(
        8,
        takes,
        |config| config.rate_limit = Some(limit(30, 60)),
        |id, attempt| match id.len() {
            // Some fail and come again, some hold the endpoint, most are delivered.
            7 if attempt < 3 => status(500, None),
            6 if attempt < 2 => status(429, Some(2)),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    let ids: Vec<_> = (0..400).map(|number| "x".repeat(number % 8 + 1)).collect();
    bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let replays = (0..50).map(|_| Delivery { claim: Claim::Replay(1), ..bench.delivery("replay") });
    bench.export.replay(replays.collect());
    tokio::time::sleep(Duration::from_secs(600)).await;
    let seen = bench.seen();
    assert!(seen.iter().any(|(_, id, _)| id == "replay"));
    assert!(seen.iter().any(|(_, _, attempt)| *attempt == 3));
    let starts: Vec<_> = seen.iter().map(|(at, ..)| (at * 1e3).round() as u128).collect();
    for window in starts.windows(31) {
        // A token returns a minute after its attempt ended.
        assert!(window[30] - window[0] >= 60_000 + takes.as_millis(), "{window:?}");
    }
    // Nor is less sent than that allows.
    assert!(starts.len() >= 9 * 30, "{}", starts.len());
}

/// As after kill -9: nothing is stopped.
#[tokio::test(start_paused = true)]
async fn a_burst_before_a_crash_is_remembered() {
    let bench = Bench::new(
        4,
        NOW,
        |config| config.rate_limit = Some(limit(30, 60)),
        |_, _| Outcome::Delivered(None),
    );
    let ids: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until_empty().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.store.flush_folds().await.unwrap();
    assert_eq!(bench.store.limiter("a").await.unwrap().len(), 30);
}
