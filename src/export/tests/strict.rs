//! Strict order: one at a time, in order of acceptance, whatever fails and whoever goes on.

use super::*;

/// In strict order, with so many events in memory.
fn strict(memory_events: usize) -> impl FnOnce(&mut config::Export) {
    move |config| {
        config.strict = true;
        config.queue.memory_events = memory_events;
    }
}

/// Ten events of which the first fails; then the export stops and another one goes on, gets ten
/// more, and stops as well after so many attempts, and a third one goes on. Meanwhile some fail as
/// this says. Returns in which order they arrived.
async fn arrived(
    memory_events: usize,
    attempts: usize,
    fails: fn(&str, u32) -> Option<Outcome>,
) -> Vec<String> {
    let bench = Bench::new(1, NOW, strict(memory_events), move |id, attempt| match (id, attempt) {
        ("0", 1) => status(503, None),
        _ => fails(id, attempt).unwrap_or(Outcome::Delivered(Some(200))),
    });
    let some = (0..10).map(|n| bench.delivery(&n.to_string())).collect();
    bench.push_from(some, true, true).await;
    while bench.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.export.keep().await, []);
    let second = bench.heir(strict(memory_events));
    second.restore(true).await.unwrap();
    while bench.seen().len() < attempts {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let more = (10..20).map(|n| bench.delivery(&n.to_string())).collect();
    second.push(more, Entrant::Source { can_wait: true }, || true).await;
    assert_eq!(second.keep().await, []);
    let heir = bench.heir(strict(memory_events));
    heir.restore(true).await.unwrap();
    while !heir.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = bench.seen().into_iter();
    seen.filter(|(_, id, attempt)| *attempt > 1 || id != "0")
        .filter(|(_, id, attempt)| fails(id, *attempt).is_none())
        .map(|(_, id, _)| id)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_waited_when_the_program_stopped_keeps_its_order_though_more_of_it_fails() {
    let fails: [fn(&str, u32) -> Option<Outcome>; 3] = [
        |_, _| None,
        |id, attempt| match (id, attempt) {
            ("0", 2) | ("3", 1 | 2) | ("7", 1) => Some(status(503, None)),
            _ => None,
        },
        |id, attempt| match (id, attempt) {
            ("0", 2) | ("3", 1) => Some(status(429, Some(5))),
            ("4", 1) => Some(status(503, None)),
            _ => None,
        },
    ];
    let stops = [(100, 2), (100, 3), (6, 2), (6, 3)].into_iter();
    for ((events, attempts), (case, fails)) in
        stops.flat_map(|stop| fails.into_iter().enumerate().map(move |case| (stop, case)))
    {
        let arrived = arrived(events, attempts, fails).await;
        let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(arrived, expected, "case {case}: {events}, {attempts}");
    }
}
