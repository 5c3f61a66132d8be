//! Standard input with `queue: {mode: disk}`: what was counted as received is on disk, whatever
//! happens to the process then.

use super::kills::{assert_one_delivery_id_each, buried, export, missing};
use super::size;
use crate::support::{Dice, Faults, Oracle, Place, event};
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn what_was_received_into_a_queue_on_disk_is_not_missing_after_kills() {
    let (share, kills) = (size(1_000, 5_000), size(8, 100));
    let mut dice = Dice::new("kills of a queue on disk");
    let faults = Faults { refuse: 200, hang: 1, reset: 10 };
    let oracle = Oracle::new(1, faults, &mut dice);
    let config = export(&oracle.url(0)) + "  queue: {mode: disk}\n";
    let place = Place::new(&config);
    let mut counted = Vec::new();
    let started = Instant::now();
    for kill in 0..kills {
        let first = kill * share;
        let lines: String =
            (first..first + share).map(|number| event(&format!("e{number}"))).collect();
        let mut running = place.run().start();
        let mut input = running.take_input();
        let writer = std::thread::spawn(move || {
            // It is killed in the middle, mostly.
            let _ = input.write_all(lines.as_bytes());
            input
        });
        let running = running.ready();
        let until = Instant::now() + Duration::from_millis(dice.below(300) as u64);
        let mut received = 0;
        while Instant::now() < until {
            received = running.metrics().received() as usize;
        }
        running.kill();
        drop(writer.join());
        counted.push(first..first + received);
    }
    let last = place.run().finish();
    assert!(matches!(last.status.code(), Some(0 | 3)), "{:?}", last.status);
    let (lane, buried) = (oracle.lane(0), buried(&place));
    let received: usize = counted.iter().map(ExactSizeIterator::len).sum();
    let missing = missing(counted.into_iter().flatten(), &lane, &buried);
    println!(
        "{received} events counted at {kills} kills in {:.1?}: {} taken, {} dead letters, {} missing",
        started.elapsed(),
        oracle.distinct(0),
        buried.len(),
        missing.len(),
    );
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_one_delivery_id_each(&lane);
}
