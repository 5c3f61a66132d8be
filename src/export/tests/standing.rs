//! Breaker, pause, strict order and fallback.

use super::*;
use std::sync::atomic::AtomicBool;

fn breaker(failures: u32, probe_after: &[u64]) -> Option<config::Breaker> {
    let probe_after = probe_after.iter().map(|s| Duration::from_secs(*s)).collect();
    Some(config::Breaker { failures: NonZeroU32::new(failures).unwrap(), probe_after })
}

/// The kinds of postrider's own events, in order.
async fn own_events(bench: &Bench) -> Vec<String> {
    let events = bench.store.outbox_after(0, 100).await.unwrap().items;
    let kind = |text: &str| {
        let event: serde_json::Value = serde_json::from_str(text).unwrap();
        event["event_kind"].as_str().unwrap().to_owned()
    };
    events.iter().map(|event| kind(&event.text)).collect()
}

/// Waits for as many own events, and compares.
async fn until_own_events(bench: &Bench, kinds: &[&str]) {
    while own_events(bench).await.len() < kinds.len() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(own_events(bench).await, kinds);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_holds_first_attempts_back_and_leaves_retries_alone() {
    let bench = Bench::new(
        1,
        NOW,
        |config| {
            config.breaker = breaker(2, &[30, 60]);
            config.retry.schedule = RetrySchedule::new(vec![Duration::from_secs(20)], 0.0).unwrap();
        },
        {
            let start = Instant::now();
            move |_, _| match start.elapsed().as_secs() {
                0..50 => status(503, None),
                _ => Outcome::Delivered(Some(200)),
            }
        },
    );
    bench.push(&["a", "b", "c", "d"]).await;
    bench.until_empty().await;
    let seen = bench.seen();
    let at = |id: &str| -> Vec<f64> {
        seen.iter().filter(|(_, seen, _)| seen == id).map(|(at, ..)| *at).collect()
    };
    assert_eq!((at("a"), at("b")), (vec![0.0, 20.0, 40.0, 60.0], vec![0.0, 20.0, 40.0, 60.0]));
    assert_eq!(at("c"), [30.0, 50.0], "one goes through to see, and follows its own schedule");
    assert_eq!(at("d"), [50.0], "and all when one has arrived");
    until_own_events(&bench, &["webhook.down", "webhook.up"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_left_alone_until_a_probe_succeeds() {
    let start = Instant::now();
    let bench = Bench::new(
        2,
        NOW,
        |_| (),
        move |_, _| match start.elapsed().as_secs() {
            0..700 => status(410, None),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["a"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.export.standing().state, ExportState::Paused);
    bench.push(&["b", "c"]).await;
    bench.until_empty().await;
    let times: Vec<_> = bench.seen().iter().map(|(at, id, _)| (*at, id.clone())).collect();
    let expected = [(0.0, "a"), (300.0, "a"), (600.0, "a"), (900.0, "a")];
    assert_eq!(times[..4], expected.map(|(at, id)| (at, id.to_owned())));
    assert_eq!((times.len(), times[5].0), (6, 900.0));
    assert_eq!(bench.letters().len(), 0, "a probe uses up no attempt");
    assert_eq!(bench.export.standing().state, ExportState::Up);
    until_own_events(&bench, &["webhook.paused", "webhook.resumed"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_tenth_refusal_in_a_row_pauses_and_a_single_one_is_a_dead_letter() {
    let well = Arc::new(AtomicBool::new(false));
    let answers = {
        let well = Arc::clone(&well);
        move |id: &str, _| match id {
            "ok" => Outcome::Delivered(Some(200)),
            _ if well.load(Ordering::Relaxed) => Outcome::Delivered(Some(200)),
            _ => status(401, None),
        }
    };
    let bench = Bench::new(1, NOW, |_| (), answers);
    bench.push(&["1", "2", "ok"]).await;
    bench.push(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]).await;
    while bench.letters().len() < 11 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.letters().len(), 11, "two before the 200, nine behind it");
    assert!(bench.letters().iter().all(|letter| letter.reason == Reason::Rejected));
    assert_eq!(bench.export.standing().pending, 2);
    well.store(true, Ordering::Relaxed);
    bench.export.resume();
    bench.until_empty().await;
    assert_eq!(bench.order()[13..], ["10", "11"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_shut_is_shut_after_a_restart_unless_it_leads_elsewhere() {
    for (target, state) in [([0; 16], ExportState::Paused), ([1; 16], ExportState::Up)] {
        let bench = Bench::new(1, NOW, |_| (), |_, _| status(410, None));
        bench.push(&["a"]).await;
        while own_events(&bench).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let config = config(|config| config.target = config::Digest(target));
        let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, {
            let script = Arc::clone(&bench.script);
            move || ScriptedSink(Arc::clone(&script))
        });
        let metrics = Metrics::new("");
        let store = bench.store.clone();
        let poison = Arc::clone(&bench.export.poison);
        let again =
            Export::new(&config, String::new(), settings, store, poison, Arc::default(), &metrics);
        again.restore(false).await.unwrap();
        assert_eq!(again.standing().state, state, "{target:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn paused_by_hand_nothing_is_sent_until_it_is_resumed() {
    let bench = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(Some(200)));
    bench.export.pause();
    bench.push(&["a"]).await;
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    assert_eq!((bench.seen().len(), bench.export.standing().by_hand), (0, true));
    bench.export.resume();
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a"]);
    until_own_events(&bench, &["webhook.paused", "webhook.resumed"]).await;
    assert!(bench.store.endpoints("a").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_source_breaker_and_pause_hold_nothing_back() {
    let bench = Bench::new(1, NOW, |_| (), |_, _| status(410, None));
    bench.push(&["a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.seen().len(), 1);
    bench.export.lift_barriers();
    bench.until_empty().await;
    let letters = bench.letters();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [Reason::EndpointGone, Reason::EndpointGone]);
}

#[tokio::test(start_paused = true)]
async fn in_strict_order_a_dead_letter_lets_the_next_go() {
    let strict = |config: &mut config::Export| config.strict = true;
    let bench = Bench::new(1, NOW, strict, |id, _| {
        if id == "a" { status(400, None) } else { Outcome::Delivered(None) }
    });
    bench.push(&["a", "b"]).await;
    // Nothing else wakes the slot: without news of the dead letter this would last forever.
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn in_strict_order_a_retry_holds_the_line() {
    let bench = Bench::new(
        8,
        Duration::from_millis(10),
        |config| config.strict = true,
        |id, attempt| match (id, attempt) {
            ("b", 1..3) | ("d", 1) => status(503, None),
            ("c", 1) => status(429, Some(4)),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["a", "b", "c", "d", "e"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "b", "b", "b", "c", "c", "d", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_falls_back_once() {
    let first = Bench::new(1, NOW, |_| (), |_, _| status(400, None));
    let config = config(|config| config.name = "b".into());
    let script = Arc::new(Script {
        answers: Box::new(|id, _| match id {
            "x" => status(400, None),
            _ => Outcome::Delivered(Some(200)),
        }),
        takes: NOW,
        seen: Mutex::default(),
        start: Instant::now(),
    });
    let sink = Arc::clone(&script);
    let open = move || ScriptedSink(Arc::clone(&sink));
    let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, open);
    let metrics = Metrics::new("");
    let second = Export::new(
        &config,
        String::new(),
        settings,
        first.store.clone(),
        Arc::clone(&first.export.poison),
        Arc::default(),
        &metrics,
    );
    first.export.fall_back_to(Some(&second));
    second.fall_back_to(Some(&first.export));
    first.push(&["x", "y"]).await;
    let page = || metrics.render();
    let is = |line: &str| page().lines().any(|row| row == line);
    while !(is("postrider_events_delivered_total{export=\"b\"} 1")
        && is("postrider_events_dead_lettered_total{export=\"b\",reason=\"rejected\"} 1"))
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is("postrider_events_replayed_total{export=\"b\"} 2"), "{}", page());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.seen().len(), 2, "what fell back does not fall back again");
    assert!(second.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_panics_three_times_is_poison_and_the_rest_goes_on() {
    let bench = Bench::new(
        1,
        NOW,
        |_| (),
        |id, _| {
            if id == "a" {
                panic!("scripted");
            }
            Outcome::Delivered(None)
        },
    );
    bench.push(&["a", "b"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "a", "a", "b"]);
    let letters = bench.letters();
    assert_eq!((letters.len(), letters[0].reason), (1, Reason::Poison));
    assert_eq!(bench.tracker.open_lines(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_expires() {
    let within = |age| {
        move |config: &mut config::Export| {
            config.queue.max_age = Some(age);
            config.retry.schedule =
                RetrySchedule::new(vec![Duration::from_secs(100_000)], 0.0).unwrap();
        }
    };
    let bench = Bench::new(1, NOW, within(Duration::from_secs(3600)), |_, _| status(503, None));
    bench.push(&["a"]).await;
    while bench.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // Ages are those of the wall clock, which does not go on with tokio's.
    let script = Arc::clone(&bench.script);
    let config = config(within(Duration::from_nanos(1)));
    let open = move || ScriptedSink(Arc::clone(&script));
    let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, open);
    bench.export.configure(&config, String::new(), settings);
    bench.until_empty().await;
    let letters = bench.letters();
    assert_eq!((letters[0].reason, letters[0].attempts), (Reason::Expired, 1));
}

#[tokio::test(start_paused = true)]
async fn what_this_process_lacks_uses_up_no_attempt_and_is_held_against_no_receiver() {
    let breaker = |config: &mut config::Export| {
        let probe_after = vec![Duration::from_secs(600)];
        config.breaker = Some(config::Breaker { failures: NonZeroU32::MIN, probe_after });
    };
    let bench = Bench::new(1, NOW, breaker, |_, attempt| match attempt {
        1..9 => Outcome::Failed(Box::new(Failure {
            reply: Reply::None,
            trouble: Trouble::OutOfFiles,
            error: "too many open files".to_owned(),
            response: None,
            took: None,
        })),
        _ => Outcome::Delivered(Some(200)),
    });
    bench.push(&["a"]).await;
    bench.until_empty().await;
    let at: Vec<_> = bench.seen().into_iter().map(|(at, ..)| at).collect();
    assert_eq!(at, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "each after the first wait");
    assert_eq!(bench.letters().len(), 0);
}
