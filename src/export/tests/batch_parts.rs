//! What goes apart: halves of what was refused, batches for different places, and what panics.

use super::batch::{BatchBench, bounds};
use super::*;
use crate::config::BatchBounds;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id_of(letter: &crate::store::StoredLetter) -> String {
    letter.envelope.as_ref().map_or("", |envelope| &envelope.audit_id).to_owned()
}

/// Names of events: a letter for a bad one.
fn names(count: usize, bad: &[usize]) -> Vec<String> {
    (0..count).map(|n| if bad.contains(&n) { format!("bad{n}") } else { format!("e{n}") }).collect()
}

#[tokio::test(start_paused = true)]
async fn halving_finds_the_bad_ones_and_uses_up_no_attempt_of_the_others() {
    for code in [400, 413, 422] {
        for (count, bad) in [
            (1, &[0][..]),
            (2, &[]),
            (2, &[1]),
            (3, &[0, 1, 2]),
            (8, &[0]),
            (8, &[3, 4]),
            (10, &[9]),
            (31, &[0, 7, 15, 30]),
        ] {
            let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
            let bench = BatchBench::new(
                2,
                bounds(count, 0),
                // Two attempts, and the first one fails for everyone: not one is left for a half.
                |config| config.retry.max_attempts = NonZeroU32::new(2).unwrap(),
                move |ids, _| {
                    let bad = ids.iter().any(|id| id.starts_with("bad"));
                    let mut seen = seen.lock().unwrap();
                    match bad {
                        true => code,
                        false if !ids.iter().all(|id| seen.contains(id)) => {
                            seen.extend(ids.iter().cloned());
                            503
                        }
                        false => 200,
                    }
                },
            );
            let ids = names(count, bad);
            bench.bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let requests = bench.all().await.len();
            let letters = bench.bench.letters();
            let buried: BTreeSet<_> = letters.iter().map(id_of).collect();
            let wanted: BTreeSet<_> = bad.iter().map(|n| format!("bad{n}")).collect();
            assert_eq!(buried, wanted, "{count} {bad:?}");
            assert!(letters.iter().all(|letter| letter.reason == Reason::Rejected), "{letters:?}");
            let most = 2 * (1 + 2 * bad.len() * (count.ilog2() as usize + 1));
            assert!(requests <= most, "{requests} requests for {count} with {bad:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_fill_up_apart_by_where_they_go() {
    let apart = BatchBounds { sorted: true, ..bounds(2, 5) };
    let bench = BatchBench::new(4, apart, |_| (), |_, _| 200);
    bench.push("a@1 b@2 c@3 d@1 e@3 f@3").await;
    let mut seen = bench.all().await;
    seen.sort();
    let expected = [(0, "a@1 d@1"), (0, "c@3 e@3"), (5, "b@2"), (5, "f@3")];
    assert_eq!(seen, expected.map(|(at, ids)| (at, ids.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn at_most_64_batches_fill_up_at_once() {
    let apart = BatchBounds { sorted: true, ..bounds(1000, 5) };
    let bench = BatchBench::new(4, apart, |_| (), |_, _| 200);
    let ids: Vec<_> = (0..70).map(|n| format!("e{n:02}@{n}")).collect();
    bench.push(&ids.join(" ")).await;
    let seen = bench.all().await;
    let early: BTreeSet<_> =
        seen.iter().filter(|(at, _)| *at == 0).map(|(_, ids)| ids.clone()).collect();
    assert_eq!((early.len(), seen.len()), (6, 70));
    assert!(early.iter().all(|id| ids[..6].contains(id)), "the oldest go: {early:?}");
}

#[tokio::test(start_paused = true)]
async fn a_held_endpoint_keeps_its_batches_and_no_others() {
    let apart = BatchBounds { sorted: true, ..bounds(2, 1) };
    let bench = BatchBench::new(
        2,
        apart,
        |_| (),
        |ids, number| if number == 0 && ids[0].ends_with("@1") { 429 } else { 200 },
    );
    bench.push("a@1 b@1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.push("c@1 d@1 e@2 f@2").await;
    let seen = bench.all().await;
    assert_eq!(seen[1], (0, "e@2 f@2".to_owned()), "{seen:?}");
    let held: Vec<_> = seen[2..].iter().map(|(at, ids)| (*at, ids.as_str())).collect();
    assert_eq!(held, [(2, "a@1 b@1"), (2, "c@1 d@1")]);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_panics_only_the_culprit_is_poison() {
    let bench = BatchBench::new(
        1,
        bounds(8, 0),
        |_| (),
        |ids, _| {
            assert!(!ids.contains(&"bad5".to_owned()), "scripted");
            200
        },
    );
    let ids = names(8, &[5]);
    bench.bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.all().await;
    let letters = bench.bench.letters();
    let told: Vec<_> = letters.iter().map(|letter| (id_of(letter), letter.reason)).collect();
    assert_eq!(told, [("bad5".to_owned(), Reason::Poison)]);
}

/// Pushes these events, each to one of these places, to a receiver that answers as it likes; looks
/// at every moment whether all of them are still there, and at the end whether each had one end.
async fn nothing_is_lost(
    places: Vec<u8>,
    codes: Vec<u16>,
    bounds: BatchBounds,
    slots: usize,
    strict: bool,
) {
    let ends: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&ends);
    let bench = BatchBench::new(
        slots,
        bounds,
        |config| {
            config.strict = strict;
            config.queue.memory_events = 16;
        },
        move |ids, number| {
            let code = codes[number % codes.len()];
            if code == 200 {
                let mut ends = counted.lock().unwrap();
                ids.iter().for_each(|id| *ends.entry(id.clone()).or_default() += 1);
            }
            code
        },
    );
    let ids: Vec<_> = places.iter().enumerate().map(|(n, place)| format!("{n}@{place}")).collect();
    let export = Arc::clone(&bench.bench.export);
    let watched = async {
        loop {
            let pending = export.board.pending(Timestamp::now());
            let pending = pending.memory + pending.disk + pending.retry + pending.flight;
            let arrived: usize = ends.lock().unwrap().values().sum();
            // An answer is counted by the receiver before it is known here.
            assert!(pending + arrived + bench.bench.letters().len() >= ids.len());
            if export.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    bench.push(&ids.join(" ")).await;
    watched.await;
    let letters = bench.bench.letters();
    let mut ends = ends.lock().unwrap().clone();
    letters.iter().for_each(|letter| *ends.entry(id_of(letter)).or_default() += 1);
    assert_eq!(ends.len(), ids.len());
    assert!(ends.values().all(|times| *times == 1), "{ends:?}");
    assert_eq!(bench.bench.tracker.open_lines(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_answered_each_event_has_one_end(
        places in prop::collection::vec(0u8..4, 1..40),
        codes in prop::collection::vec(prop::sample::select(vec![200, 200, 503, 413, 429, 404]), 1..12),
        max_events in 1usize..9,
        max_wait in 0u64..4,
        slots in 1usize..4,
        strict: bool,
    ) {
        let bounds = BatchBounds { sorted: true, ..bounds(max_events, max_wait) };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        // All codes but one: else nothing would ever arrive.
        let codes = [codes, vec![200]].concat();
        runtime.block_on(nothing_is_lost(places, codes, bounds, slots, strict));
    }
}
