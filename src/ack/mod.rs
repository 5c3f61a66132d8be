//! Which lines of a stream are settled: a watermark, and the settled ranges above it.
//!
//! A chunk of lines has one ledger, made once when the chunk was routed. An [`Ack`] that is
//! dropped unsettled leaves its line open for good, so no checkpoint ever passes it: losing one by
//! mistake repeats an event and never loses it. Saving checkpoints does not live here.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// From so many lines in open chunks on, a stream waits; the last chunk may go beyond.
pub const MAX_LEDGER_LINES: usize = 65_536;

/// The same of settled ranges above the watermark, which a checkpoint holds.
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
    /// Stretches of open chunks that nobody took.
    ledger_gaps: usize,
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
    /// Stretches before, between and behind the lines.
    gaps: usize,
    open: AtomicUsize,
    tracker: Arc<AckTracker>,
}

#[derive(Debug)]
struct Line {
    start: u64,
    end: u64,
    open: AtomicU32,
    takers: u32,
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
        let state = State {
            spans: VecDeque::new(),
            head: settled.watermark,
            ahead,
            ledger_lines: 0,
            ledger_gaps: 0,
        };
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

    /// Waits until the ledger has room for another chunk; for one caller. What fills it for long is
    /// to be written to disk by whoever waits.
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
        // Each open line can part two ranges, and each range holds a settled line or a gap between
        // lines: where few of either are, nothing need be counted.
        let open_lines = self.open_lines.load(Ordering::Relaxed);
        let settled_lines = state.ledger_lines.saturating_sub(open_lines);
        open_lines < MAX_SETTLED_RANGES
            || state.gaps() + settled_lines < MAX_SETTLED_RANGES
            || state.settled().ranges.len() < MAX_SETTLED_RANGES
    }

    /// Enters a chunk of the stream, from `start` to `end`, whose taken lines are `taken`, in
    /// order; all others are settled. Each chunk starts where the last one ended.
    pub fn enter(self: &Arc<Self>, start: u64, end: u64, taken: &[TakenLine]) -> Arc<Chunk> {
        let line = |line: &TakenLine| Line {
            start: line.start,
            end: line.end,
            open: AtomicU32::new(line.takers),
            takers: line.takers,
        };
        let chunk = Arc::new(Chunk {
            start,
            end,
            lines: taken.iter().map(line).collect(),
            gaps: gaps(start, end, taken),
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
        self.ledger_gaps += chunk.gaps;
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

    /// As many settled ranges as there are at most besides those of settled lines.
    fn gaps(&self) -> usize {
        let settled = self.spans.iter().filter(|span| matches!(span, Span::Settled { .. }));
        settled.count() + self.ledger_gaps + self.ahead.len()
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
                    self.ledger_gaps -= chunk.gaps;
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

/// Stretches from `start` to `end` that are not among the lines.
fn gaps(start: u64, end: u64, lines: &[TakenLine]) -> usize {
    let from = std::iter::once(start).chain(lines.iter().map(|line| line.end));
    let to = lines.iter().map(|line| line.start).chain([end]);
    from.zip(to).filter(|(from, to)| from < to).count()
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

    /// So many of its lines are settled.
    fn settled(&self, lines: usize) {
        if lines > 0 {
            self.open.fetch_sub(lines, Ordering::AcqRel);
            self.tracker.open_lines.fetch_sub(lines, Ordering::Relaxed);
            self.tracker.room.notify_one();
            self.tracker.tell_change();
        }
    }
}

impl Ack {
    /// Whether another export is done with the line, and would get it again with this one.
    pub fn is_shared(&self) -> bool {
        let line = &self.chunk.lines[self.line as usize];
        line.open.load(Ordering::Acquire) < line.takers
    }

    /// Says that this export is done with the line: delivered, or durably written down.
    pub fn settle(self) {
        Ack::settle_all([self]);
    }

    /// The same for many lines. What a chunk and its stream are told of them is told once for all
    /// lines that stand side by side.
    pub fn settle_all(acks: impl IntoIterator<Item = Ack>) {
        let mut last: Option<(Arc<Chunk>, usize)> = None;
        for Ack { chunk, line } in acks {
            let open = &chunk.lines[line as usize].open;
            let settled = usize::from(open.fetch_sub(1, Ordering::AcqRel) == 1);
            match &mut last {
                Some((last, lines)) if Arc::ptr_eq(last, &chunk) => *lines += settled,
                _ => {
                    if let Some((chunk, lines)) = last.replace((chunk, settled)) {
                        chunk.settled(lines);
                    }
                }
            }
        }
        if let Some((chunk, lines)) = last {
            chunk.settled(lines);
        }
    }
}
