//! What becomes of the lines of one source: events on their way to the exports, dead letters, or
//! nothing. How bytes come in, and where a line ends, is not known here; what a single line is,
//! stands in `walk`.

use super::burials::Burials;
use super::walk::{BadLine, Walk};
use super::{Stream, Stretch};
use crate::config::{self, Framing, Malformed, SourceFormat};
use crate::export::{Promise, Waiting};
use crate::metrics::SourceMetrics;
use crate::poison::Poison;
use crate::queue::{Entrant, SPILL_AFTER};
use crate::route::Router;
use crate::schema::Schema;
use crate::store::Store;
use futures::future::{join, join_all};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// About how many bytes are taken in at once while a queue on disk is full.
const PIECE_BYTES: usize = 8 * 1024;

/// What becomes of the lines of one source.
#[derive(Debug)]
pub struct Intake {
    name: Arc<str>,
    repeatable: bool,
    /// Swapped as a whole while the source runs; a chunk is taken in by one of them.
    settings: RwLock<Arc<Settings>>,
    pub(super) router: Arc<Router>,
    store: Store,
    pub(super) poison: Arc<Poison>,
    metrics: SourceMetrics,
    burials: Arc<Burials>,
}

/// What of a source's configuration says what its lines are.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) format: SourceFormat,
    pub(super) framing: Framing,
    pub(super) schema: Schema,
    pub(super) add_fields: Vec<(String, String)>,
    pub(super) malformed: Malformed,
    pub(super) max_line: usize,
    can_wait: bool,
}

impl Settings {
    fn of(config: &config::Source) -> Arc<Self> {
        Arc::new(Settings {
            format: config.format,
            framing: config.framing.clone(),
            schema: config.schema.clone(),
            add_fields: config.add_fields.clone(),
            malformed: config.malformed,
            max_line: config.max_line_bytes,
            can_wait: config.input.can_wait(),
        })
    }
}

impl Intake {
    /// What a source of the configuration does with its lines.
    pub fn new(
        config: &config::Source,
        router: Arc<Router>,
        store: Store,
        poison: Arc<Poison>,
        metrics: SourceMetrics,
    ) -> Arc<Self> {
        let repeatable = config.input.can_repeat();
        let burials = Burials::new(
            &config.name,
            repeatable,
            store.clone(),
            Arc::clone(&poison),
            metrics.clone(),
        );
        Arc::new(Intake {
            name: Arc::clone(&config.name),
            repeatable,
            settings: RwLock::new(Settings::of(config)),
            router,
            store,
            poison,
            metrics,
            burials,
        })
    }

    /// Takes lines in as another configuration of the same source says, from the next chunk on.
    pub fn configure(&self, config: &config::Source) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Settings::of(config);
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether an export has events on disk before they count as received.
    pub(super) fn waits_for_disk(&self) -> bool {
        self.router.exports().iter().any(|export| export.is_durable())
    }

    /// Whether the store may have no room for what is taken in now.
    pub(super) fn is_short(&self) -> bool {
        self.store.is_short()
    }

    /// The source's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the source counts.
    pub fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    /// How long a line may be, its end excluded, in bytes.
    pub fn max_line(&self) -> usize {
        self.settings().max_line
    }

    /// Sees to it that a framer follows the configuration. Where it becomes another one, it goes on
    /// behind what the old one gave out: returns whether that has to be read again.
    pub(super) fn fit(&self, framer: &mut super::Framer) -> bool {
        let settings = self.settings();
        framer.limit(settings.max_line);
        let other = !framer.is_of(&settings.framing);
        if other {
            *framer = super::Framer::new(&settings.framing, framer.taken(), settings.max_line);
        }
        other
    }

    /// Whether each line of the source stands for itself.
    pub(super) fn has_lines(&self) -> bool {
        self.settings().framing == Framing::Lines
    }

    /// What became of datagrams that arrived one behind the other from `start` on; `ends` are where
    /// each of them ends in `bytes`.
    pub(super) fn datagrams(&self, start: u64, bytes: Vec<u8>, ends: &[usize]) -> Stretch {
        let settings = self.settings();
        super::datagrams::stretch(&settings.framing, start, bytes, ends, settings.max_line)
    }

    /// What takes a stream of this source apart that begins at `start`.
    pub fn framer(&self, start: u64) -> super::Framer {
        let settings = self.settings();
        super::Framer::new(&settings.framing, start, settings.max_line)
    }

    /// Takes in what a stream has whole: returns when all of it is queued, and what is no event is
    /// written down, or waits for room among the dead letters. Waits while the stream's ledger or a
    /// queue has no room.
    pub async fn accept(&self, stretch: &Stretch, stream: &Stream) {
        self.room(stream).await;
        let settings = self.settings();
        let mut walk = Walk::new(self, &settings, stream);
        let range = walk.stretch(stretch);
        let promises = if settings.can_wait { walk.routing.room() } else { Some(Vec::new()) };
        match (promises, stretch) {
            (Some(promises), _) => self.take_in(walk, range, promises).await,
            // What a full disk still has room for goes there, and what has none is not begun.
            (None, Stretch::Lines { start, bytes }) => {
                for (start, piece) in pieces(*start, bytes) {
                    self.accept_piece(start, piece, stream).await;
                }
            }
            (None, Stretch::Records(_)) => {
                let promises = walk.routing.await_room(&self.name).await;
                self.take_in(walk, range, promises).await;
            }
            (None, Stretch::Overlong(_)) => self.take_in(walk, range, Vec::new()).await,
        }
    }

    /// Takes in some whole lines when there is room for all of them where they must be on disk.
    async fn accept_piece(&self, start: u64, bytes: &[u8], stream: &Stream) {
        self.room(stream).await;
        let settings = self.settings();
        let mut walk = Walk::new(self, &settings, stream);
        let range = walk.lines(start, bytes);
        let promises = walk.routing.await_room(&self.name).await;
        self.take_in(walk, range, promises).await;
    }

    /// Counts and queues what was walked through; `promises` are kept until it is on disk. What is
    /// no event counts when it is written down.
    async fn take_in(&self, walk: Walk<'_>, range: (u64, u64), promises: Vec<Promise>) {
        let Walk { routing, mut count, bad, now, stream, settings, .. } = walk;
        bad.iter().for_each(|bad| count.leave_out(bad.count));
        let entrant = Entrant::Source { can_wait: settings.can_wait };
        let mut entered = self.router.enter(routing, &stream.tracker, range, self.repeatable);
        entered.secure(&self.name, entrant, &promises).await;
        drop(promises);
        self.metrics.took_in(count, now);
        entered.count();
        let bury = |bad: BadLine| self.burials.bury(bad.letter, bad.count, entered.ack(bad.line));
        let burials = join_all(bad.into_iter().map(bury).collect::<Vec<_>>());
        join(entered.queue(&self.name, entrant), burials).await;
    }

    /// Waits until all that is no event is written down, at the end of the source. After `stop`
    /// what can be read again is left to that.
    pub async fn buried(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.burials.ended() => {}
            () = stop.cancelled(), if self.repeatable => {}
        }
    }

    /// Waits until the stream's ledger has room. What fills it for long is written to the exports'
    /// queues on disk.
    pub(super) async fn room(&self, stream: &Stream) {
        while timeout(SPILL_AFTER, stream.tracker.room()).await.is_err() {
            self.router.relieve(&Waiting::Stream(stream.id)).await;
        }
    }
}

/// Lines in pieces of about [`PIECE_BYTES`], each with where it starts.
fn pieces(start: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = &bytes[from..];
        let least = rest.len().min(PIECE_BYTES).saturating_sub(1);
        let end = memchr::memchr(b'\n', &rest[least..]).map_or(rest.len(), |at| least + at + 1);
        let piece = (!rest.is_empty()).then(|| (start + from as u64, &rest[..end]));
        from += end;
        piece
    })
}
