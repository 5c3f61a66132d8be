//! A receiver that takes one event a second gets all of them at that pace.

use super::size;
use crate::support::{Answer, Place, Receiver, events, until};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_receiver_that_takes_one_a_second_gets_all_and_none_is_given_up() {
    let count = size(8, 300);
    let mut last: Option<Instant> = None;
    let receiver = Receiver::new(move |request| {
        if last.is_some_and(|last| request.arrived.duration_since(last) < SECOND) {
            return Answer::status(429).header("Retry-After", "1");
        }
        last = Some(request.arrived);
        Answer::status(200)
    });
    // Two attempts would not do: those that are answered with 429 use up none.
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         retry: {{max_attempts: 2, backoff_seconds: [1]}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(count));
    running.shows("all received", |metrics| metrics.received() == count as f64);
    let started = Instant::now();
    until("all delivered", || {
        let delivered = running.metrics().sum("events_delivered_total", &[]);
        (delivered == count as f64).then_some(())
    });
    let took = started.elapsed();
    let metrics = running.settled(count);
    running.end().code(0);
    println!(
        "{count} events at one a second in {took:.1?}, {} requests",
        metrics.sum("attempts_total", &[])
    );
    assert_eq!(metrics.sum("events_dead_lettered_total", &[]), 0.0);
    // The law of the receiver; how much longer it takes depends on the machine.
    assert!(took >= SECOND * (count as u32 - 2), "{took:?}");
}
