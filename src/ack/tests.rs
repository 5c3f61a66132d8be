//! The ledger against tables and a model.

use super::*;
use proptest::prelude::*;

fn taken(lines: &[(u64, u64)]) -> Vec<TakenLine> {
    lines.iter().map(|&(start, end)| TakenLine { start, end, takers: 1 }).collect()
}

fn ledger(settled: &Settled) -> Arc<AckTracker> {
    AckTracker::new(settled, Arc::default())
}

#[test]
fn a_line_is_settled_when_every_taker_settled_it() {
    let tracker = ledger(&Settled::default());
    let chunk = tracker.enter(0, 30, &[TakenLine { start: 10, end: 20, takers: 2 }]);
    let open = Settled { watermark: 10, ranges: vec![(20, 30)] };
    assert_eq!(tracker.settled(), open);
    chunk.ack(0).settle();
    assert_eq!(tracker.settled(), open);
    chunk.ack(0).settle();
    assert_eq!(tracker.settled(), Settled { watermark: 30, ranges: vec![] });
}

#[test]
fn a_dropped_ack_leaves_its_line_open() {
    let tracker = ledger(&Settled::default());
    let chunk = tracker.enter(0, 10, &taken(&[(0, 10)]));
    drop(chunk.ack(0));
    assert_eq!(tracker.settled().watermark, 0);
    assert_eq!(tracker.open_lines(), 1);
}

#[tokio::test]
async fn a_full_ledger_holds_its_source_back() {
    let tracker = ledger(&Settled::default());
    let lines: Vec<_> = (0..MAX_LEDGER_LINES as u64).map(|n| (n, n + 1)).collect();
    let chunk = tracker.enter(0, lines.len() as u64, &taken(&lines));
    let mut room = polled(tracker.room());
    assert!(room.is_pending());
    (0..lines.len() as u32).for_each(|line| chunk.ack(line).settle());
    assert!(room.is_ready());
}

#[tokio::test]
async fn too_many_settled_ranges_hold_the_source_back() {
    let tracker = ledger(&Settled::default());
    let lines: Vec<_> = (0..2 * MAX_SETTLED_RANGES as u64).map(|n| (3 * n, 3 * n + 1)).collect();
    let chunk = tracker.enter(0, 3 * lines.len() as u64, &taken(&lines));
    let mut room = polled(tracker.room());
    assert!(room.is_pending());
    (0..MAX_SETTLED_RANGES as u32 + 1).for_each(|line| chunk.ack(line).settle());
    assert!(room.is_ready());
}

/// A future that is polled by hand.
struct Polled<'a>(std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>);

fn polled<'a>(future: impl Future<Output = ()> + 'a) -> Polled<'a> {
    Polled(Box::pin(future))
}

impl Polled<'_> {
    fn is_ready(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.0.as_mut().poll(&mut context).is_ready()
    }

    fn is_pending(&mut self) -> bool {
        !self.is_ready()
    }
}

proptest! {
    /// Lines of ten bytes, in chunks, settled in any order, with a restart in between: the
    /// ledger always tells exactly the set of settled lines.
    #[test]
    fn the_ledger_tells_what_is_settled(
        chunks in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..6), 1..8),
        order in any::<prop::sample::Index>(),
        settle in prop::collection::vec(any::<bool>(), 48),
        again in 1u64..6,
        at_once in 0usize..9,
    ) {
        let total: u64 = chunks.iter().map(|lines| lines.len() as u64).sum();
        let mut settled_lines = vec![false; total as usize];
        let tracker = ledger(&Settled::default());
        let mut acks = Vec::new();
        let mut line = 0u64;
        for lines in &chunks {
            let start = line;
            let mut taken = Vec::new();
            for take in lines {
                if *take {
                    taken.push(TakenLine { start: line * 10, end: line * 10 + 10, takers: 1 });
                } else {
                    settled_lines[line as usize] = true;
                }
                line += 1;
            }
            let chunk = tracker.enter(start * 10, line * 10, &taken);
            acks.extend(taken.iter().enumerate().map(|(n, line)| (line.start / 10, chunk.ack(n as u32))));
        }
        if !acks.is_empty() {
            let shift = order.index(acks.len());
            acks.rotate_left(shift);
        }
        let mut together = Vec::new();
        for ((line, ack), settle) in acks.into_iter().zip(settle) {
            if settle {
                together.push(ack);
                settled_lines[line as usize] = true;
            }
            if together.len() > at_once {
                Ack::settle_all(together.drain(..));
            }
        }
        Ack::settle_all(together);
        let open = tracker.open_lines();
        let (settled, most) = {
            let state = tracker.state();
            (state.settled(), state.gaps() + state.ledger_lines - open)
        };
        prop_assert!(settled.ranges.len() <= most, "{:?}, at most {}", settled, most);
        prop_assert_eq!(&settled, &tracker.settled());
        let told = |settled: &Settled, line: u64| {
            settled.watermark > line * 10
                || settled.ranges.iter().any(|(start, end)| (*start..*end).contains(&(line * 10)))
        };
        for line in 0..total {
            prop_assert_eq!(told(&settled, line), settled_lines[line as usize], "line {} of {:?}", line, settled);
        }
        let apart = settled.ranges.iter().scan(settled.watermark, |last, (start, end)| {
            let apart = start > last && end > start;
            *last = *end;
            Some(apart)
        });
        prop_assert!(apart.into_iter().all(|apart| apart), "{:?}", settled);

        // A restart takes up there: what was settled is not taken again, nor forgotten.
        let tracker = ledger(&settled);
        prop_assert_eq!(tracker.settled(), settled.clone());
        let mut line = settled.watermark / 10;
        while line < total {
            let end = (line + again).min(total);
            let open: Vec<_> = (line..end).filter(|line| !tracker.is_settled(line * 10)).collect();
            let lines: Vec<_> = open.iter().map(|line| (line * 10, line * 10 + 10)).collect();
            for line in line..end {
                prop_assert_eq!(!open.contains(&line), settled_lines[line as usize]);
            }
            let chunk = tracker.enter(line * 10, end * 10, &taken(&lines));
            (0..open.len() as u32).for_each(|n| std::mem::forget(chunk.ack(n)));
            line = end;
        }
        prop_assert_eq!(tracker.settled(), settled);
    }
}
