//! One dead receiver among ten: the other nine get everything, as fast as without it.

use super::{moment, size};
use crate::support::{Dice, Faults, Oracle, Place, Wire, event, events, until};
use std::io::Write;
use std::time::{Duration, Instant};

/// Receivers that live; one more is dead.
const ALIVE: usize = 9;

/// How fast events come where latencies are measured, a second.
const PACE: usize = 1000;

/// Events of a run that takes about a minute, all at once and at that pace.
const MINUTE: (usize, usize) = (150_000, 60_000);

/// A configuration of the living, and of the dead one if there is one.
fn config(oracle: &Oracle, dead: Option<&str>) -> String {
    let living = (0..ALIVE).map(|lane| (format!("x{lane}"), oracle.url(lane)));
    let dead = dead.map(|url| ("dead".to_owned(), url.to_owned()));
    let exports = living.chain(dead).map(|(name, url)| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}', concurrency: 4}}\n"
        )
    });
    format!("shutdown_grace: 0\nexports:\n{}", exports.collect::<String>())
}

fn complete(oracle: &Oracle, count: usize) -> bool {
    (0..ALIVE).all(|lane| oracle.distinct(lane) == count)
}

/// Runs events of one input through all; what the living took, by lane and event.
fn run(dead: Option<&str>, feed: impl FnOnce(&mut dyn Write), count: usize) -> Oracle {
    let oracle = Oracle::new(ALIVE, Faults::default(), &mut Dice::new("isolation"));
    let place = Place::new(&config(&oracle, dead));
    let mut running = place.run().start().ready();
    let mut input = running.take_input();
    feed(&mut input);
    until("everything at all that live", || complete(&oracle, count).then_some(()));
    running.terminate();
    running.wait().code(0);
    oracle
}

/// Events a second that each of the living took, all coming at once.
fn rate(dead: Option<&str>, count: usize) -> f64 {
    let started = Instant::now();
    let feed = |input: &mut dyn Write| input.write_all(events(count).as_bytes()).expect("read");
    let oracle = run(dead, feed, count);
    let last =
        (0..ALIVE).flat_map(|lane| oracle.lane(lane)).filter_map(|event| event.at.first().copied());
    count as f64 / last.max().expect("an event").duration_since(started).as_secs_f64()
}

/// The time from its line to its arrival that 99 of 100 events keep.
fn p99(dead: Option<&str>, count: usize) -> Duration {
    let mut written = Vec::with_capacity(count);
    let started = Instant::now();
    let feed = |input: &mut dyn Write| {
        for number in 0..count {
            let due = Duration::from_secs_f64(number as f64 / PACE as f64);
            moment(due.saturating_sub(started.elapsed()), || false);
            written.push(Instant::now());
            input.write_all(event(&format!("e{number}")).as_bytes()).expect("read");
        }
    };
    let oracle = run(dead, feed, count);
    let mut took: Vec<_> = (0..ALIVE)
        .flat_map(|lane| oracle.lane(lane).into_iter().enumerate().collect::<Vec<_>>())
        .map(|(number, event)| event.at[0].duration_since(written[number]))
        .collect();
    took.sort();
    took[took.len() * 99 / 100]
}

/// The middle one of three runs each, taken by turns: the machine is not alone in the world.
fn rates(dead: &str) -> (f64, f64) {
    let count = size(600, MINUTE.0 / 3);
    let runs = size(1, 3);
    let mut alone: Vec<_> = Vec::new();
    let mut beside: Vec<_> = Vec::new();
    for _ in 0..runs {
        alone.push(rate(None, count));
        beside.push(rate(Some(dead), count));
    }
    let middle = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[runs / 2]
    };
    (middle(alone), middle(beside))
}

#[test]
fn nine_receivers_get_everything_beside_a_dead_one() {
    let hanging = Wire::new(|_, stream| drop(std::io::copy(&mut &*stream, &mut std::io::sink())));
    let dead = hanging.url();
    let (alone, beside) = rates(&dead);
    println!(
        "{alone:.0} events/s to each of {ALIVE} alone, {beside:.0} beside a dead one: {:.2}",
        beside / alone
    );
    let count = size(300, MINUTE.1);
    let (alone, beside) = (p99(None, count), p99(Some(&dead), count));
    println!(
        "p99 at {PACE} events/s: {alone:.1?} alone, {beside:.1?} beside a dead one: {:.2}",
        beside.as_secs_f64() / alone.as_secs_f64()
    );
    assert!(hanging.connections() > 0);
}
