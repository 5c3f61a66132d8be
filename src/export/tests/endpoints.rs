//! Endpoints that are no longer what they were: of another URL, too many to remember, over their
//! trouble.

use super::overflow::until_empty;
use super::*;
use crate::store::{EndpointChange, EndpointRow, EndpointState};
use futures::future::join_all;

const LONG: Duration = Duration::from_secs(10_000);

/// One failure shuts an endpoint, and its event is a dead letter.
fn shuts_at_once(config: &mut config::Export) {
    let probe_after = vec![Duration::from_secs(30)];
    config.breaker = Some(config::Breaker { failures: NonZeroU32::MIN, probe_after });
    config.retry.max_attempts = NonZeroU32::MIN;
}

/// How many of postrider's own events are of this kind.
async fn told(bench: &Bench, kind: &str) -> usize {
    let events = bench.store.outbox_after(0, 10_000).await.unwrap().items;
    let of_kind = |text: &str| text.contains(&format!("\"event_kind\":\"{kind}\""));
    events.iter().filter(|event| of_kind(&event.text)).count()
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_goes_elsewhere_leaves_nobody_waiting_for_what_comes_of_it() {
    let bench = Bench::new(1, NOW, shuts_at_once, |id, _| {
        if id == "fixed" { status(503, None) } else { Outcome::Delivered(Some(200)) }
    });
    bench.push(&["fixed"]).await;
    while bench.letters().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // From now on the URL is a template: nothing goes to the endpoint without a name any more.
    bench.push(&["1@new", "2@new", "3@other"]).await;
    let emptied = tokio::time::timeout(LONG, bench.until_empty()).await;
    assert!(emptied.is_ok(), "{:?}", bench.export.standing());
    bench.export.standing_stored().await;
    assert!(bench.store.endpoints("a").await.unwrap().is_empty());
    assert_eq!((told(&bench, "webhook.down").await, told(&bench, "webhook.up").await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_receiver_is_not_held_as_the_former_one_asked() {
    let answers = |_: &str, attempt| match attempt {
        1 => status(429, Some(3_000)),
        _ => Outcome::Delivered(Some(200)),
    };
    for id in ["x", "x@y"] {
        let bench = Bench::new(1, NOW, |_| (), answers);
        bench.push(&[id]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let config = config(|config| config.target = config::Digest([1; 16]));
        let script = Arc::clone(&bench.script);
        let width = Width { slots: 1, batch: 1 };
        let settings = Settings::new(&config, width, move || ScriptedSink(Arc::clone(&script)));
        bench.export.configure(&config, String::new(), settings);
        bench.until_empty().await;
        assert_eq!(bench.seen()[1], (1.0, id.to_owned(), 2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_forgotten_leaves_nothing_in_the_store() {
    let bench = Bench::new(8, NOW, shuts_at_once, |_, _| status(503, None));
    let ids: Vec<_> = (0..1_100).map(|n| format!("x@{n}")).collect();
    for some in ids.chunks(100) {
        bench.push(&some.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    until_empty(&bench.export).await;
    bench.export.standing_stored().await;
    assert_eq!(bench.store.endpoints("a").await.unwrap().len(), endpoint::MAX_ENDPOINTS);
    assert_eq!(bench.export.standing().shut, endpoint::MAX_ENDPOINTS);
    let forgotten = 1_100 - endpoint::MAX_ENDPOINTS;
    let told = (told(&bench, "webhook.down").await, told(&bench, "webhook.up").await);
    assert_eq!(told, (1_100, forgotten));
}

#[tokio::test(start_paused = true)]
async fn a_start_forgets_more_endpoints_than_it_remembers() {
    let bench = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(None));
    let shut = |n: usize| {
        let row = EndpointRow {
            state: EndpointState::Down,
            reason: String::new(),
            last_status: None,
            since: Timestamp::now(),
            probes: 0,
            fingerprint: "0000".to_owned(),
        };
        let (export, endpoint) = ("a".into(), n.to_string());
        bench.store.endpoint_changed(EndpointChange {
            export,
            endpoint,
            row: Some(row),
            event: None,
        })
    };
    for stored in join_all((0..endpoint::MAX_ENDPOINTS + 6).map(shut)).await {
        stored.unwrap();
    }
    bench.export.restore(false).await.unwrap();
    bench.export.standing_stored().await;
    assert_eq!(bench.store.endpoints("a").await.unwrap().len(), endpoint::MAX_ENDPOINTS);
    assert_eq!(told(&bench, "webhook.up").await, 6);
}

#[tokio::test(start_paused = true)]
async fn what_waited_goes_through_as_many_slots_as_there_are() {
    // Longer than a slot without work lives.
    let troubles = [429, 410, 503].into_iter();
    for (trouble, endpoint) in troubles.flat_map(|code| [(code, ""), (code, "@there")]) {
        let start = Instant::now();
        let slow = RetrySchedule::new(vec![Duration::from_secs(100)], 0.0).unwrap();
        let bench = Bench::new(
            4,
            Duration::from_secs(1),
            |config| config.retry.schedule = slow,
            move |_, _| match start.elapsed().as_secs() {
                0..50 => status(trouble, (trouble == 429).then_some(100)),
                _ => Outcome::Delivered(Some(200)),
            },
        );
        let ids: Vec<_> = (0..13).map(|n| format!("{n}{endpoint}")).collect();
        bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        bench.until_empty().await;
        let seen = bench.seen();
        let at_once = |time: f64| seen.iter().filter(|(at, ..)| *at == time).count();
        let most = seen.iter().map(|(at, ..)| *at).filter(|at| *at > 50.0).map(at_once).max();
        assert_eq!(most, Some(4), "{trouble} {endpoint}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_endpoint_leaves_room_for_the_others() {
    for (code, retry_after, others_wait) in
        [(410, None, true), (410, None, false), (429, Some(600), true), (429, Some(600), false)]
    {
        let small = |config: &mut config::Export| config.queue.memory_events = 100;
        let bench = Bench::new(4, NOW, small, move |id, _| match id.ends_with("@dead") {
            true => status(code, retry_after),
            false => Outcome::Delivered(Some(200)),
        });
        let ids = (0..300).flat_map(|n| [format!("{n}@dead"), format!("{n}@live")]);
        let ids: Vec<_> = ids.collect();
        let started = Instant::now();
        for some in ids.chunks(50) {
            let deliveries = some.iter().map(|id| bench.delivery(id)).collect();
            let pushed = bench.push_from(deliveries, true, others_wait);
            tokio::time::timeout(LONG, pushed).await.expect("there is room in the end");
        }
        let live = || bench.seen().iter().filter(|(_, id, _)| id.ends_with("@live")).count();
        while live() < 300 && started.elapsed() < LONG {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(live(), 300, "{code} {others_wait}");
        // Paused time leaps while the store works: it is good for some probes.
        let dead = bench.seen().len() - live();
        let probes = 8 + started.elapsed().as_secs() as usize / 300;
        assert!(dead <= probes, "{code}: {dead} requests to who wants to be left alone");
        assert_eq!(bench.export.standing().pending, 300);
    }
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_is_forgotten_that_something_waits_for() {
    let many = |config: &mut config::Export| config.queue.memory_events = 5_000;
    let bench = Bench::new(8, NOW, many, |_, _| status(429, Some(600)));
    let ids: Vec<_> = (0..1_500).map(|n| format!("x@{n}")).collect();
    for some in ids.chunks(100) {
        bench.push(&some.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(bench.seen().len(), 1_500, "each was asked once");
}
