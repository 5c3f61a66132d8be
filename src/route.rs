//! From a chunk of accepted lines to the queues: asks every export's filter, makes one owned event
//! for each line that anyone takes, enters the chunk in its stream's ledger, and queues.

use crate::ack::{Ack, AckTracker, Chunk, TakenLine};
use crate::delivery::Delivery;
use crate::event::{Event, Record, SpentEvents, Stock};
use crate::export::{Export, Promise, Settings, Waiting};
use crate::filter::{Decision, Filter, Refusal};
use crate::metrics::Metrics;
use crate::queue::{Entrant, ROW_BYTES};
use futures::future::join_all;
use std::sync::{Arc, PoisonError, RwLock};

/// The exports that are at work now: one snapshot, swapped as a whole when the set changes.
#[derive(Debug)]
pub struct Router {
    exports: RwLock<Arc<[Arc<Export>]>>,
    spent: Arc<SpentEvents>,
    metrics: Arc<Metrics>,
}

/// One chunk on its way through the filters.
#[derive(Debug)]
pub struct Routing {
    exports: Arc<[Arc<Export>]>,
    /// What each of them takes now.
    settings: Vec<Arc<Settings>>,
    /// For each export, what it takes.
    taken: Vec<Vec<Taken>>,
    /// For each export, how many events that is, and on how many its expression failed.
    counts: Vec<(u64, u64)>,
    lines: Vec<TakenLine>,
    stock: Stock,
    accepted: u64,
    unmatched: u64,
}

/// An event that an export takes.
#[derive(Debug)]
struct Taken {
    event: Arc<Event>,
    /// The index of its line.
    line: u32,
    /// Whether it is taken because the filter failed on it.
    unevaluated: bool,
}

/// How far a chunk had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    lines: usize,
    accepted: u64,
    unmatched: u64,
}

/// A line of a chunk that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineIndex(pub u32);

impl Router {
    /// A router to these exports, which leave behind what is `spent`.
    pub fn new(
        exports: Vec<Arc<Export>>,
        spent: Arc<SpentEvents>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Router { exports: RwLock::new(exports.into()), spent, metrics })
    }

    /// Where its exports leave events that they are done with.
    pub fn spent(&self) -> &Arc<SpentEvents> {
        &self.spent
    }

    /// The exports that are at work now.
    pub fn exports(&self) -> Arc<[Arc<Export>]> {
        Arc::clone(&self.exports.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts a chunk.
    pub fn begin(&self) -> Routing {
        let exports = self.exports();
        Routing {
            settings: exports.iter().map(|export| export.settings()).collect(),
            taken: exports.iter().map(|_| Vec::new()).collect(),
            counts: Vec::new(),
            exports,
            lines: Vec::new(),
            stock: Stock::of(&self.spent),
            accepted: 0,
            unmatched: 0,
        }
    }

    /// Swaps the set of exports; a chunk that is on its way goes to those it was started with.
    pub fn set(&self, exports: Vec<Arc<Export>>) {
        *self.exports.write().unwrap_or_else(PoisonError::into_inner) = exports.into();
    }

    /// Writes to disk what a ledger waits for, so that it can move on.
    pub async fn relieve(&self, waiting: &Waiting) {
        join_all(self.exports().iter().map(|export| export.relieve(waiting))).await;
    }

    /// Ends a chunk: enters it in the ledger of its stream, from `start` to `end`. `repeatable`
    /// says whether the source can give its lines again after a restart.
    pub fn enter(
        &self,
        mut routing: Routing,
        tracker: &Arc<AckTracker>,
        (start, end): (u64, u64),
        repeatable: bool,
    ) -> Entered {
        let chunk = tracker.enter(start, end, &routing.lines);
        let mut pushes = Vec::new();
        for (export, taken) in routing.exports.iter().zip(&mut routing.taken) {
            let errors = taken.iter().filter(|taken| taken.unevaluated).count() as u64;
            routing.counts.push((taken.len() as u64, errors));
            let delivery = |Taken { event, line, .. }: Taken| {
                Delivery::new(export.name(), event, chunk.ack(line), repeatable)
            };
            if !taken.is_empty() {
                let deliveries = std::mem::take(taken).into_iter().map(delivery).collect();
                pushes.push((Arc::clone(export), deliveries));
            }
        }
        Entered { chunk, pushes, routing, metrics: Arc::clone(&self.metrics) }
    }
}

/// A chunk that stands in its ledger and is not queued yet.
#[derive(Debug)]
pub struct Entered {
    chunk: Arc<Chunk>,
    pushes: Vec<(Arc<Export>, Vec<Delivery>)>,
    routing: Routing,
    metrics: Arc<Metrics>,
}

impl Entered {
    /// The duty to settle a line that was [`Routing::keep`]-ed.
    pub fn ack(&self, line: LineIndex) -> Ack {
        self.chunk.ack(line.0)
    }

    /// Writes to disk what must be there before it counts as received; `promises` is the room that
    /// there is for it.
    pub async fn secure(&mut self, source: &str, entrant: Entrant, promises: &[Promise]) {
        let durable = |(export, _): &(Arc<Export>, Vec<Delivery>)| {
            entrant != Entrant::Internal && export.is_durable()
        };
        if self.pushes.iter().any(durable) {
            let (now, later) =
                std::mem::take(&mut self.pushes).into_iter().partition(|push| durable(push));
            self.pushes = later;
            self.push(now, source, entrant, promises).await;
        }
    }

    /// Counts what the exports took and left.
    pub fn count(&self) {
        let Routing { exports, counts, accepted, unmatched, .. } = &self.routing;
        self.metrics.unmatched(*unmatched);
        for (export, (taken, errors)) in exports.iter().zip(counts) {
            export.metrics().routed(accepted - taken, *taken);
            export.metrics().filter_error(*errors);
        }
    }

    /// Queues what was taken, waiting for room as long as it takes. An export that has none does
    /// not keep this chunk from the others.
    pub async fn queue(mut self, source: &str, entrant: Entrant) {
        let pushes = std::mem::take(&mut self.pushes);
        self.push(pushes, source, entrant, &[]).await;
    }

    async fn push(
        &self,
        pushes: Vec<(Arc<Export>, Vec<Delivery>)>,
        source: &str,
        entrant: Entrant,
        promises: &[Promise],
    ) {
        let push = |(export, deliveries): (Arc<Export>, _)| async move {
            let others_wait = || self.routing.others_wait(&export, source);
            let promised = promises.iter().any(|promise| promise.is_of(&export));
            let entrant = if promised { Entrant::Promised } else { entrant };
            export.push(deliveries, entrant, others_wait).await;
        };
        join_all(pushes.into_iter().map(push)).await;
    }
}

impl Routing {
    /// Asks every export's filter about an event; `start` and `end` are its line's offsets.
    pub fn accept(&mut self, record: &Record<'_>, start: u64, end: u64) {
        self.accepted += 1;
        let line = self.lines.len() as u32;
        let mut takers = 0;
        for unmatched in [false, true] {
            for (index, export) in self.exports.iter().enumerate() {
                let filter = &self.settings[index].filter;
                if filter.unmatched != unmatched || (unmatched && takers > 0) {
                    continue;
                }
                let unevaluated = match decide(export.name(), filter, record) {
                    Decision::Leave(_) => continue,
                    Decision::Take => false,
                    Decision::TakeUnevaluated => true,
                };
                takers += 1;
                // Before everything else of this export; filters saw the original.
                let event = self.settings[index].redacted(record.event_in(&mut self.stock));
                self.taken[index].push(Taken { event, line, unevaluated });
            }
        }
        #[cfg(test)]
        assert!(!record.event().text.as_str().starts_with(tests::DEFECT), "as asked for");
        if takers == 0 {
            self.unmatched += 1;
        } else {
            self.lines.push(TakenLine { start, end, takers });
        }
    }

    /// How far it has come: [`Routing::rewind`] leads back here.
    pub fn mark(&self) -> Mark {
        Mark { lines: self.lines.len(), accepted: self.accepted, unmatched: self.unmatched }
    }

    /// Forgets everything since a mark, also what a line left behind whose handling broke off.
    pub fn rewind(&mut self, mark: Mark) {
        self.lines.truncate(mark.lines);
        self.accepted = mark.accepted;
        self.unmatched = mark.unmatched;
        for taken in &mut self.taken {
            let stays = taken.partition_point(|taken| (taken.line as usize) < mark.lines);
            taken.truncate(stays);
        }
    }

    /// Promises room on disk for all that must be there before it counts as received; `None` where
    /// an export has none now.
    pub fn room(&self) -> Option<Vec<Promise>> {
        self.durable().map(|(index, bytes)| self.exports[index].promise(bytes)).collect()
    }

    /// Waits until there is room on disk for what must be there before it counts as received, as
    /// long as full queues hold their sources back.
    pub async fn await_room(&self, source: &str) -> Vec<Promise> {
        let mut promises = Vec::new();
        for (index, bytes) in self.durable() {
            let export = &self.exports[index];
            let others_wait = || self.others_wait(export, source);
            promises.push(export.await_room(bytes, others_wait).await);
        }
        promises
    }

    /// The exports that write what they take to disk before it counts, and about how many bytes.
    fn durable(&self) -> impl Iterator<Item = (usize, usize)> {
        let bytes = |taken: &Taken| taken.event.text.as_str().len() + ROW_BYTES;
        let taken = self.taken.iter().enumerate();
        taken
            .filter(|(index, taken)| !taken.is_empty() && self.exports[*index].is_durable())
            .map(move |(index, taken)| (index, taken.iter().map(bytes).sum()))
    }

    /// Whether another export than this one has room for what the source gives.
    fn others_wait(&self, export: &Arc<Export>, source: &str) -> bool {
        let others = self.exports.iter().zip(&self.settings);
        others
            .filter(|(other, _)| !Arc::ptr_eq(other, export))
            .any(|(other, has)| has.filter.may_take_from(source) && other.has_room())
    }

    /// Keeps a line open that is no event, until it was written down as a dead letter.
    pub fn keep(&mut self, start: u64, end: u64) -> LineIndex {
        self.lines.push(TakenLine { start, end, takers: 1 });
        LineIndex(self.lines.len() as u32 - 1)
    }
}

/// What an export with this filter says of an event.
pub fn decide(export: &Arc<str>, filter: &Filter, record: &Record<'_>) -> Decision {
    if record.about.as_ref() == Some(export) {
        return Decision::Leave(Refusal::About);
    }
    filter.decide(record)
}

#[cfg(test)]
pub(crate) mod tests {
    /// An event that begins like this breaks its own routing, when exports have taken it already.
    pub(crate) const DEFECT: &str = "{\"defect\":";
}
