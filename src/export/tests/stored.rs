//! What is written to disk when everything stops, when it is larger than its bound, and when it has
//! waited too long.

use super::overflow::{deliveries, ids, small, until_empty};
use super::*;
use crate::config::QueueMode;
use crate::store::Kept;
use std::collections::VecDeque;

#[tokio::test(start_paused = true)]
async fn what_stops_in_memory_before_what_is_on_disk_comes_back_before_it() {
    let hangs = Duration::from_secs(1_000_000);
    let bench = Bench::new(1, hangs, small(|_| ()), |_, _| Outcome::Delivered(None));
    bench.export.pause();
    let mut all = VecDeque::from(deliveries(&bench, 0, 6));
    // As after something on disk was read back while later events found room: 1 and 3 have rows.
    for place in [1, 3] {
        let kept = Kept::of(&all[place], None).unwrap();
        let rows = bench.store.keep("a", vec![kept]).await.unwrap();
        all[place].claim = Claim::Row(rows[0]);
    }
    bench.export.board.with_queue(|queue| all.into_iter().for_each(|one| queue.push(one)));
    let left = bench.export.stop().await;
    let moved = left.iter().take_while(|left| left.before_disk).count();
    assert_eq!((left.len(), moved), (6, 3), "all up to the last line before the last row");
    assert!(left.iter().skip(moved).all(|left| !left.before_disk));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_when_everything_stops_is_not_written_twice() {
    let bench = Bench::new(1, NOW, small(|_| ()), |_, _| Outcome::Delivered(None));
    let mut waiting = VecDeque::from(deliveries(&bench, 0, 10));
    let board = &bench.export.board;
    board.with_queue(|queue| queue.spill(&mut waiting, 0));
    board.stop();
    assert!(board.next_write().is_none(), "who takes all off writes these too");
    assert!(board.burying().is_none());
    assert_eq!(board.relieve(&Waiting::Source("s".into())).len(), 0);
    assert_eq!(board.take_all().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn in_the_mode_disk_a_push_returns_with_its_events_on_disk_also_when_bounds_are_lifted() {
    let hangs = Duration::from_secs(1_000_000);
    let durable = small(|queue| queue.mode = QueueMode::Disk);
    let bench = Bench::new(1, hangs, durable, |_, _| Outcome::Delivered(None));
    bench.export.lift_bounds();
    bench.push_from(deliveries(&bench, 0, 100), true, false).await;
    assert_eq!(bench.store.queue_total("a").events, 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_the_bound_on_disk_goes_there_alone() {
    let durable = small(|queue| {
        queue.mode = QueueMode::Disk;
        queue.disk_bytes = 1;
        queue.when_full = QueueFull::Block;
    });
    let bench = Bench::new(1, NOW, durable, |_, _| Outcome::Delivered(None));
    bench.push_from(deliveries(&bench, 0, 3), true, false).await;
    until_empty(&bench.export).await;
    assert_eq!(bench.order(), ids(0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_from_disk_too_late_expires_at_once() {
    let old = |config: &mut config::Export| config.queue.max_age = Some(Duration::ZERO);
    let bench = Bench::new(1, NOW, old, |_, _| Outcome::Delivered(None));
    let (board, mut taken) = (&bench.export.board, board::Taken::default());
    for n in 0..2 {
        board.loaded(deliveries(&bench, n, n + 1), 1, 0);
        assert!(board.take(&mut taken, NOW, || false).await && taken.expired);
    }
    let look = bench.script.start.elapsed();
    assert_eq!(look, NOW, "not a second later");
}
