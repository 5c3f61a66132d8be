//! Which lines of a stream are settled: a watermark, and the settled ranges above it.
//!
//! A chunk of lines has one ledger, made once when the chunk was routed. An [`Ack`] that is
//! dropped unsettled leaves its line open for good, so no checkpoint ever passes it: losing one by
//! mistake repeats an event and never loses it. Saving checkpoints does not live here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many lines of a source the ledgers of open chunks may hold.
pub const MAX_LEDGER_LINES: usize = 65_536;

/// How many settled ranges a checkpoint may hold above its watermark.
pub const MAX_SETTLED_RANGES: usize = 1_024;

/// The ledger of one stream.
#[derive(Debug)]
pub struct AckTracker {
    state: Mutex<State>,
    /// Lines that are routed and not settled.
    open_lines: AtomicUsize,
    /// For the source that waits for room.
    room: Notify,
    /// Whether something more may be settled than [`AckTracker::take_changed`] knew of last.
    moved: AtomicBool,
    /// For the one who saves checkpoints; shared by the streams of a source.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// From the watermark to the head without a gap.
    spans: VecDeque<Span>,
    /// Where the next chunk starts.
    head: u64,
    /// What an earlier run settled above the head, ascending.
    ahead: VecDeque<(u64, u64)>,
    /// Lines in the ledgers of open chunks.
    ledger_lines: usize,
}

/// A stretch of the stream above the watermark.
#[derive(Debug)]
enum Span {
    Settled { start: u64, end: u64 },
    Open(Arc<Chunk>),
}

/// The ledger of one chunk.
#[derive(Debug)]
pub struct Chunk {
    start: u64,
    end: u64,
    lines: Box<[Line]>,
    open: AtomicUsize,
    tracker: Arc<AckTracker>,
}

#[derive(Debug)]
struct Line {
    start: u64,
    end: u64,
    open: AtomicU32,
}

/// A line that at least one export took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenLine {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset behind its last byte, line end included.
    pub end: u64,
    /// How many exports took it.
    pub takers: u32,
}

/// The duty to settle one line for one export.
#[derive(Debug)]
#[must_use = "an ack that is dropped leaves its line open"]
pub struct Ack {
    chunk: Arc<Chunk>,
    line: u32,
}

/// What is settled of a stream: everything below the watermark, and these ranges above it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Offset below which everything is settled.
    pub watermark: u64,
    /// Settled ranges above it, ascending, apart from each other: first offset, and the one behind
    /// the last.
    pub ranges: Vec<(u64, u64)>,
}

impl AckTracker {
    /// A ledger that takes up where `settled` left off. Lines inside its ranges must not be
    /// routed again: [`AckTracker::is_settled`] tells. `changed` is told whenever more may be
    /// settled; several streams may share it, [`AckTracker::take_changed`] tells which of them it
    /// was.
    pub fn new(settled: &Settled, changed: Arc<Notify>) -> Arc<Self> {
        let ahead = settled.ranges.iter().copied().collect();
        let state =
            State { spans: VecDeque::new(), head: settled.watermark, ahead, ledger_lines: 0 };
        Arc::new(AckTracker {
            state: Mutex::new(state),
            open_lines: AtomicUsize::new(0),
            room: Notify::new(),
            moved: AtomicBool::new(false),
            changed,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the ledger has room for another chunk; for one caller. As nothing spills yet, a full ledger
    /// holds its source back.
    pub async fn room(&self) {
        while !self.has_room() {
            self.room.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let mut state = self.state();
        state.compact();
        if state.ledger_lines >= MAX_LEDGER_LINES {
            return false;
        }
        // Each open line can part two ranges, so few open lines need no count.
        self.open_lines.load(Ordering::Relaxed) < MAX_SETTLED_RANGES
            || state.settled().ranges.len() < MAX_SETTLED_RANGES
    }

    /// Enters a chunk of the stream, from `start` to `end`, whose taken lines are `taken`, in
    /// order; all others are settled. Each chunk starts where the last one ended.
    pub fn enter(self: &Arc<Self>, start: u64, end: u64, taken: &[TakenLine]) -> Arc<Chunk> {
        let line = |line: &TakenLine| Line {
            start: line.start,
            end: line.end,
            open: AtomicU32::new(line.takers),
        };
        let chunk = Arc::new(Chunk {
            start,
            end,
            lines: taken.iter().map(line).collect(),
            open: AtomicUsize::new(taken.len()),
            tracker: Arc::clone(self),
        });
        self.open_lines.fetch_add(taken.len(), Ordering::Relaxed);
        self.state().enter(Arc::clone(&chunk));
        // What nobody took is settled at once.
        self.tell_change();
        chunk
    }

    fn tell_change(&self) {
        // Who finds it set already will be looked at by the one whom its setter told.
        if !self.moved.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    /// What is settled now.
    pub fn settled(&self) -> Settled {
        let mut state = self.state();
        state.compact();
        state.settled()
    }

    /// Waits until [`AckTracker::take_changed`] is true, and takes it; for one caller, where the
    /// stream shares its notice with no other.
    pub async fn changed(&self) {
        while !self.take_changed() {
            self.changed.notified().await;
        }
    }

    /// Whether something more may be settled than at the last call.
    pub fn take_changed(&self) -> bool {
        self.moved.swap(false, Ordering::AcqRel)
    }

    /// Whether a line that starts at `offset` was settled before this ledger took up. Asked only
    /// for lines at or above the head, where nothing is open yet.
    pub fn is_settled(&self, offset: u64) -> bool {
        let state = self.state();
        state.ahead.iter().any(|&(start, end)| (start..end).contains(&offset))
    }

    /// Lines that were taken and are not settled.
    pub fn open_lines(&self) -> usize {
        self.open_lines.load(Ordering::Relaxed)
    }
}

impl State {
    fn enter(&mut self, chunk: Arc<Chunk>) {
        debug_assert_eq!(chunk.start, self.head, "chunks follow one another");
        self.head = chunk.end;
        self.ledger_lines += chunk.lines.len();
        self.spans.push_back(Span::Open(chunk));
        // What an earlier run settled inside the chunk was not taken again, so the chunk's own
        // ledger tells the same from here on.
        while let Some((start, end)) = self.ahead.pop_front() {
            if end > self.head {
                self.ahead.push_front((start.max(self.head), end));
                break;
            }
        }
    }

    /// Turns settled chunks into ranges, joins ranges that touch, and drops their ledgers.
    fn compact(&mut self) {
        let mut kept: VecDeque<Span> = VecDeque::with_capacity(self.spans.len().min(64));
        for span in self.spans.drain(..) {
            let (start, end) = match span {
                Span::Open(chunk) if chunk.open.load(Ordering::Acquire) > 0 => {
                    kept.push_back(Span::Open(chunk));
                    continue;
                }
                Span::Open(chunk) => {
                    self.ledger_lines -= chunk.lines.len();
                    (chunk.start, chunk.end)
                }
                Span::Settled { start, end } => (start, end),
            };
            match kept.back_mut() {
                Some(Span::Settled { end: last, .. }) if *last == start => *last = end,
                _ => kept.push_back(Span::Settled { start, end }),
            }
        }
        self.spans = kept;
    }

    fn settled(&self) -> Settled {
        let mut settled = Settled {
            watermark: self.spans.front().map_or(self.head, Span::start),
            ranges: Vec::new(),
        };
        for span in &self.spans {
            match span {
                Span::Settled { start, end } => settled.add(*start, *end),
                Span::Open(chunk) => {
                    let mut from = chunk.start;
                    for line in
                        chunk.lines.iter().filter(|line| line.open.load(Ordering::Acquire) > 0)
                    {
                        settled.add(from, line.start);
                        from = line.end;
                    }
                    settled.add(from, chunk.end);
                }
            }
        }
        self.ahead.iter().for_each(|&(start, end)| settled.add(start, end));
        settled
    }
}

impl Span {
    fn start(&self) -> u64 {
        match self {
            Span::Settled { start, .. } => *start,
            Span::Open(chunk) => chunk.start,
        }
    }
}

impl Settled {
    fn add(&mut self, start: u64, end: u64) {
        match self.ranges.last_mut() {
            _ if start == end => {}
            Some((_, last)) if *last == start => *last = end,
            None if self.watermark == start => self.watermark = end,
            _ => self.ranges.push((start, end)),
        }
    }
}

impl Chunk {
    /// The duty to settle the taken line of that index, for one of its takers.
    pub fn ack(self: &Arc<Self>, line: u32) -> Ack {
        Ack { chunk: Arc::clone(self), line }
    }
}

impl Ack {
    /// Says that this export is done with the line: delivered, or durably written down.
    pub fn settle(self) {
        let line = &self.chunk.lines[self.line as usize];
        if line.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.chunk.open.fetch_sub(1, Ordering::AcqRel);
            let tracker = &self.chunk.tracker;
            tracker.open_lines.fetch_sub(1, Ordering::Relaxed);
            tracker.room.notify_one();
            tracker.tell_change();
        }
    }
}

#[cfg(test)]
mod tests {
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
        let lines: Vec<_> =
            (0..2 * MAX_SETTLED_RANGES as u64).map(|n| (3 * n, 3 * n + 1)).collect();
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
            for ((line, ack), settle) in acks.into_iter().zip(settle) {
                if settle {
                    ack.settle();
                    settled_lines[line as usize] = true;
                }
            }
            let settled = tracker.settled();
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
}
