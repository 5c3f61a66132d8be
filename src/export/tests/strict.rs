//! Strict order: one at a time, in order of acceptance, whatever fails and whoever goes on.

use super::*;

fn strict(config: &mut config::Export) {
    config.strict = true;
}

/// Ten events of which the first fails; then the export stops and another one goes on, gets ten
/// more, and stops as well, and a third one goes on. Meanwhile some fail as this says. Returns in
/// which order they arrived.
async fn arrived(fails: fn(&str, u32) -> Option<Outcome>) -> Vec<String> {
    let bench = Bench::new(1, NOW, strict, move |id, attempt| match (id, attempt) {
        ("0", 1) => status(503, None),
        _ => fails(id, attempt).unwrap_or(Outcome::Delivered(Some(200))),
    });
    let ids: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    bench.push(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    while bench.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.export.keep().await, []);
    let second = bench.heir(strict);
    second.restore(true).await.unwrap();
    while bench.seen().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let more = (10..20).map(|n| bench.delivery(&n.to_string())).collect();
    second.push(more, Entrant::Source { can_wait: true }, || false).await;
    assert_eq!(second.keep().await, []);
    let heir = bench.heir(strict);
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
    for (case, fails) in fails.into_iter().enumerate() {
        let arrived = arrived(fails).await;
        let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(arrived, expected, "case {case}");
    }
}
