//! Tests with a short form for every run and a long one for figures:
//! `POSTRIDER_LONG=1 cargo test --release --test tests long:: -- --nocapture --test-threads 1`
//! `POSTRIDER_SEED=<number>` repeats the moments and faults of an earlier run. How fast anything
//! is, is printed, and asserted only where the machine is known to do nothing else.

mod held;
mod isolation;
mod kills;
mod overflow;
mod queued;
mod reloads;

use crate::support::{Dice, long};
use std::thread;
use std::time::{Duration, Instant};

/// A size in the short form, and in the long one.
fn size(short: usize, in_long: usize) -> usize {
    if long() { in_long } else { short }
}

/// Waits for a moment: when this is so, but no longer than this.
fn moment(longest: Duration, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + longest;
    while !reached() && Instant::now() < until {
        thread::sleep(Duration::from_micros(200));
    }
}

/// A moment by chance: after some of `count()`, mostly; now and then after some time.
fn random_moment(dice: &mut Dice, events: usize, count: impl Fn() -> usize) {
    let seen = count();
    if dice.chance(250) {
        moment(Duration::from_millis(dice.below(400) as u64), || false);
    } else {
        let target = seen + dice.below(events);
        moment(Duration::from_secs(3), || count() >= target);
    }
}
