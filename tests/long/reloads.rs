//! Reloads under load, half of the exports failing: nothing is lost, and those that do not change
//! notice nothing.

use super::{moment, size};
use crate::support::{Dice, Faults, Oracle, Place, event, until};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Exports that never change and whose receiver takes everything; as many change at each reload
/// and fail often. One more comes and goes.
const HALF: usize = 4;

/// The configuration of that round.
fn config(well: &Oracle, failing: &Oracle, round: usize) -> String {
    let export = |name: String, url: String, keys: String| {
        format!("- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}'}}\n{keys}")
    };
    let own = "  filters: {exclude_event_kinds: ['webhook.*']}\n";
    let same = (0..HALF).map(|lane| export(format!("same{lane}"), well.url(lane), own.to_owned()));
    let other = (0..HALF).map(|lane| {
        let wait = 0.01 + (round % 7) as f64 / 100.0;
        let queue = ["overflow", "disk"][lane % 2];
        let keys = format!(
            "{own}  queue: {{mode: {queue}, memory_events: {}}}\n  \
             retry: {{jitter: 0, backoff_seconds: [{wait}], max_attempts: 1000000}}\n",
            200 + round % 3 * 100
        );
        export(format!("other{lane}"), failing.url(lane), keys)
    });
    let guest =
        round.is_multiple_of(2).then(|| export("guest".into(), well.url(HALF), own.to_owned()));
    let exports: String = same.chain(other).chain(guest).collect();
    format!("shutdown_grace: 30s\nexports:\n{exports}")
}

/// Writes so many events a second until told to stop; returns how many.
fn feed(mut input: impl Write, pace: usize, stop: &AtomicBool) -> usize {
    let started = Instant::now();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = Duration::from_secs_f64(count as f64 / pace as f64);
        moment(due.saturating_sub(started.elapsed()), || false);
        input.write_all(event(&format!("e{count}")).as_bytes()).expect("read");
        count += 1;
    }
    count
}

/// The longest time between two arrivals at a lane.
fn longest_gap(oracle: &Oracle, lane: usize) -> Duration {
    let mut times: Vec<_> = oracle.lane(lane).iter().flat_map(|event| event.at.clone()).collect();
    times.sort();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[test]
fn reloads_lose_nothing_and_hold_nobody_up() {
    let mut dice = Dice::new("reloads");
    let well = Oracle::new(HALF + 1, Faults::default(), &mut dice);
    let failing = Oracle::new(HALF, Faults { refuse: 200, hang: 0, reset: 20 }, &mut dice);
    let place = Place::new(&config(&well, &failing, 0));
    let mut running = place.run().start().ready();
    let input = running.take_input();
    let (reloads, pace) = (size(10, 200), size(200, 1000));
    let stop = Arc::new(AtomicBool::new(false));
    let feeding = {
        let stop = Arc::clone(&stop);
        // The pipe is given back, so that it stays open.
        thread::spawn(move || {
            let mut input = input;
            (feed(&mut input, pace, &stop), input)
        })
    };
    let mut longest_reload = Duration::ZERO;
    for round in 1..=reloads {
        moment(Duration::from_millis(dice.below(100) as u64), || false);
        place.write("postrider.yaml", config(&well, &failing, round));
        let asked = Instant::now();
        running.reload();
        longest_reload = longest_reload.max(asked.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let (count, input) = feeding.join().expect("it feeds");
    let gap = (0..HALF).map(|lane| longest_gap(&well, lane)).max();
    until("every event at every export that stays", || {
        let all = |oracle: &Oracle| (0..HALF).all(|lane| oracle.distinct(lane) == count);
        (all(&well) && all(&failing)).then_some(())
    });
    let metrics = running.at_rest();
    let guest = metrics.sum("events_delivered_total", &[("export", "guest")]);
    assert_eq!(guest, metrics.sum("events_routed_total", &[("export", "guest")]));
    running.terminate();
    running.wait().code(0);
    drop(input);
    assert_eq!(place.dead_letters().len(), 0);
    println!(
        "{reloads} reloads under {pace} events/s, {count} events to each of {} exports, half of \
         them failing: 0 lost; longest gap at an unchanged one {:.0?}, longest reload {:.0?}",
        2 * HALF,
        gap.unwrap_or_default(),
        longest_reload
    );
}
