//! kill -9 at moments by chance while the receiver misbehaves: no event is missing, and what comes
//! twice comes under one delivery id.

use super::{random_moment, size};
use crate::support::{Dice, Faults, Oracle, Place, Taken, events};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Requests at once.
const CONCURRENCY: usize = 16;

/// How long what was settled may wait for its checkpoint to be on disk: 20 ms until the store hears
/// of it, 100 ms between its commits, and the commit.
const CHECKPOINT: Duration = Duration::from_millis(150);

const FAULTS: Faults = Faults { refuse: 200, hang: 1, reset: 10 };

/// What an export needs to meet every fault and go on.
pub(super) fn export(url: &str) -> String {
    format!(
        "dlq: {{emit_events: false}}\nexports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{url}', timeout: 500ms, concurrency: {CONCURRENCY}}}\n  \
         retry: {{backoff_seconds: [0.01, 0.02, 0.05], max_attempts: 8}}\n"
    )
}

/// The events that became dead letters, each of them once.
pub(super) fn buried(place: &Place) -> BTreeSet<String> {
    let letters = place.dead_letters();
    let of = |name: &str| -> BTreeSet<_> {
        letters.iter().map(|letter| letter[name].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(of("delivery_id").len(), letters.len(), "a delivery is buried once");
    of("audit_id")
}

/// What of these numbers was neither taken nor buried.
pub(super) fn missing(
    wanted: impl Iterator<Item = usize>,
    lane: &[Taken],
    buried: &BTreeSet<String>,
) -> Vec<usize> {
    let taken = |number: usize| lane.get(number).is_some_and(|event| !event.at.is_empty());
    wanted.filter(|number| !taken(*number) && !buried.contains(&format!("e{number}"))).collect()
}

#[track_caller]
pub(super) fn assert_one_delivery_id_each(lane: &[Taken]) {
    for (number, event) in lane.iter().enumerate() {
        assert!(event.ids.len() <= 1, "e{number} came under {} delivery ids", event.ids.len());
    }
}

/// What came again, and why it may.
#[derive(Debug, Default)]
struct Repeats {
    /// Times anything was taken again.
    count: usize,
    /// What may come again: taken at most so long before a kill.
    allowed: usize,
    /// The longest time from an event's taking to the kill after which it came again.
    oldest: Duration,
}

impl Repeats {
    fn of(lane: &[Taken], kills: &[Instant]) -> Repeats {
        let mut repeats = Repeats { allowed: kills.len() * CONCURRENCY, ..Repeats::default() };
        let next_kill = |at: Instant| kills.get(kills.partition_point(|kill| *kill < at));
        for event in lane {
            let window = |at: &&Instant| {
                next_kill(**at).is_some_and(|kill| kill.duration_since(**at) <= CHECKPOINT)
            };
            repeats.allowed += event.at.iter().filter(window).count();
            for at in &event.at[..event.at.len().saturating_sub(1)] {
                repeats.count += 1;
                let age = next_kill(*at).map_or(Duration::MAX, |kill| kill.duration_since(*at));
                repeats.oldest = repeats.oldest.max(age);
            }
        }
        repeats
    }
}

#[test]
fn a_file_source_misses_nothing_over_many_kills() {
    let (count, kills) = (size(6_000, 200_000), size(10, 200));
    let mut dice = Dice::new("kills of a file source");
    let oracle = Oracle::new(1, FAULTS, &mut dice);
    let place = Place::new(&format!(
        "sources:\n- {{name: in, type: file, paths: [in.jsonl]}}\n{}",
        export(&oracle.url(0))
    ));
    let (text, share) = (events(count), count / kills);
    let mut written = 0;
    let mut killed = Vec::new();
    place.write("in.jsonl", "");
    let started = Instant::now();
    for _ in 0..kills {
        // Cut anywhere, so that the end is mostly half a line.
        let more = dice.below(2 * share * text.len() / count) + 1;
        let end = text.len().min(written + more);
        place.append("in.jsonl", &text[written..end]);
        written = end;
        let running = place.run().start();
        random_moment(&mut dice, 2 * share, || oracle.count());
        running.kill();
        killed.push(Instant::now());
    }
    place.append("in.jsonl", &text[written..]);
    let last = place.run().set("sources.in.follow=false").start().wait();
    assert!(matches!(last.status.code(), Some(0 | 3)), "{:?}", last.status);
    let (lane, buried) = (oracle.lane(0), buried(&place));
    let missing = missing(0..count, &lane, &buried);
    let repeats = Repeats::of(&lane, &killed);
    println!(
        "{count} events, {kills} kills in {:.1?}: {} taken, {} dead letters, {} missing; {} came \
         again (allowed {}), the oldest of them taken {:.1?} before its kill",
        started.elapsed(),
        oracle.distinct(0),
        buried.len(),
        missing.len(),
        repeats.count,
        repeats.allowed,
        repeats.oldest,
    );
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_one_delivery_id_each(&lane);
    // How soon a checkpoint is committed depends on what else the machine does.
    if crate::support::long() {
        assert!(repeats.count <= repeats.allowed, "{repeats:?}");
    }
}
