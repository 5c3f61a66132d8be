//! One export at work. Slots take deliveries from the board, send them and settle them; what fails
//! for good is written down as a dead letter before it is settled.
//!
//! Slots are started when there is work for them and end when there is none for a while, so an
//! idle export is data: no task, no timer, no connection. What an attempt leads to stands in
//! `request` and `conclude`, what goes to disk and comes back in `overflow`, what becomes of an endpoint in
//! `standing`, how it comes to its end in `ending`.

mod board;
mod conclude;
mod ending;
mod endpoint;
mod limiter;
mod log;
mod overflow;
mod replaying;
mod request;
mod room;
mod settings;
mod slot;
mod standing;
pub mod stored;
#[cfg(test)]
mod tests;

use crate::config::{self, QueueFull, QueueMode};
use crate::delivery::Delivery;
use crate::event::SpentEvents;
use crate::metrics::{ExportMetrics, ExportState, Metrics};
use crate::poison::Poison;
use crate::queue::Entrant;
use crate::retry::Reason;
use crate::store::{Store, StoreError};
use board::Board;
use ending::Heir;
use endpoint::BarrierKind;
use jiff::Timestamp;
use log::ExportLog;
use replaying::Replaying;
use standing::Changes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::futures::Notified;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use board::{Left, Waiting};
pub use endpoint::EndpointName;
pub use room::Promise;
pub use settings::{Settings, Width};

/// How long a slot without work keeps its connection.
const SLOT_IDLE: Duration = Duration::from_secs(30);

/// Deliveries that found no room and are being written down at once.
const REFUSED_AT_ONCE: usize = 1_024;

/// How often the rate limit's window is saved.
const SAVE_LIMITER_EVERY: Duration = Duration::from_millis(50);

/// One export at work.
pub struct Export {
    name: Arc<str>,
    settings: RwLock<Arc<Settings>>,
    /// Changes with the settings; slots of an older one end.
    generation: AtomicU64,
    board: Board,
    metrics: ExportMetrics,
    store: Store,
    poison: Arc<Poison>,
    /// Where events are left that it is done with.
    spent: Arc<SpentEvents>,
    log: ExportLog,
    /// The export that gets the events of dead letters.
    fallback: RwLock<Weak<Export>>,
    changes: Changes,
    tasks: Mutex<JoinSet<()>>,
    /// Bounds the dead letters of deliveries that found no room.
    refusing: Arc<Semaphore>,
    replaying: Replaying,
    /// It is no longer configured.
    retired: AtomicBool,
    /// Cancelled when nothing waits for the store any more.
    cut_off: CancellationToken,
    /// What found no room there by then.
    left: Mutex<Vec<Left>>,
    /// Who has taken up what it left.
    heir: Heir,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({})", self.name)
    }
}

/// How an export stands, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its state as metrics show it.
    pub state: ExportState,
    /// Whether somebody paused it by hand.
    pub by_hand: bool,
    /// Endpoints that are shut.
    pub shut: usize,
    /// Events that wait, in memory and on disk.
    pub pending: u64,
    /// Of them on disk alone.
    pub on_disk: u64,
}

impl Export {
    /// An export with these settings. `address` is where it leads, as logs may show it.
    pub fn new(
        config: &config::Export,
        address: String,
        settings: Settings,
        store: Store,
        poison: Arc<Poison>,
        spent: Arc<SpentEvents>,
        metrics: &Metrics,
    ) -> Arc<Export> {
        Arc::new(Export {
            name: Arc::clone(&config.name),
            settings: RwLock::new(Arc::new(settings)),
            generation: AtomicU64::new(0),
            board: Board::new(config),
            metrics: metrics.export(&config.name, config.queue.memory_bytes),
            store,
            poison,
            spent,
            log: ExportLog::new(&config.name, address),
            fallback: RwLock::default(),
            changes: Changes::default(),
            tasks: Mutex::default(),
            refusing: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            replaying: Replaying::default(),
            retired: AtomicBool::new(false),
            cut_off: CancellationToken::new(),
            left: Mutex::default(),
            heir: Heir::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the configuration says of it now.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it counts.
    pub fn metrics(&self) -> &ExportMetrics {
        &self.metrics
    }

    /// Takes up a changed configuration between two attempts: what is queued, waits or is held
    /// stays as it is. If URL or credentials changed, what its endpoints were is forgotten: the new
    /// ones have asked for nothing.
    pub fn configure(
        self: &Arc<Self>,
        config: &config::Export,
        address: String,
        settings: Settings,
    ) {
        let new_target = settings.target != self.settings().target;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.generation.fetch_add(1, Ordering::Release);
        self.metrics.queue_limit(config.queue.memory_bytes);
        self.log.lead_to(address);
        self.board.configure(config);
        if new_target {
            self.board.forget_endpoints();
            self.tell_forgotten();
        }
        self.wake();
    }

    /// Names the export that gets the events of dead letters.
    pub fn fall_back_to(&self, other: Option<&Arc<Export>>) {
        let other = other.map(Arc::downgrade).unwrap_or_default();
        *self.fallback.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    /// Queues routed deliveries, waiting for room as long as it takes; `others_wait` tells whether
    /// another export of the same source has room and is kept waiting. In the mode `disk` it
    /// returns when they are on disk.
    pub async fn push(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        entrant: Entrant,
        others_wait: impl Fn() -> bool,
    ) {
        if self.is_retired() {
            return self.pass_on(deliveries, entrant.unpromised()).await;
        }
        let on_disk = || self.store.queue_total(&self.name).bytes;
        let pushed = self
            .board
            .push(deliveries, entrant, on_disk, others_wait, || {
                self.work_on_disk();
                self.wake();
            })
            .await;
        if !pushed.blocked.is_zero() {
            self.metrics.blocked(pushed.blocked);
        }
        if !pushed.refused.is_empty() {
            self.refuse(pushed.refused).await;
        }
        if self.is_retired() && self.board.is_left() {
            // It went while the chunk was on its way in.
            let left = self.board.take_all().into_iter().map(|left| left.delivery).collect();
            self.pass_on(left, entrant.unpromised()).await;
        }
    }

    /// Whether an event must be on disk before it counts as received.
    pub fn is_durable(&self) -> bool {
        self.board.bounds().mode == QueueMode::Disk
    }

    /// Whether a source would find room.
    pub fn has_room(&self) -> bool {
        self.board.has_room()
    }

    /// Deliveries that found no room on disk become dead letters or are dropped. Waits while too
    /// many of them are being written.
    async fn refuse(self: &Arc<Self>, refused: Vec<Delivery>) {
        let reason = Reason::QueueFull;
        for delivery in refused {
            match self.board.bounds().when_full {
                QueueFull::DropNewest => {
                    self.log.dropped(&delivery, reason);
                    self.metrics.dropped();
                    self.settle(delivery);
                }
                QueueFull::DeadLetter | QueueFull::Block => {
                    let error = "no room was left in the export's queue on disk".to_owned();
                    let permit = Arc::clone(&self.refusing).acquire_owned().await.ok();
                    if permit.is_none() {
                        // Everything stops: they go back on the board, from which all is kept.
                        self.give_back(delivery);
                        continue;
                    }
                    self.bury_with(delivery, reason, error, permit);
                }
            }
        }
    }

    /// Lets nothing in before [`Export::restore`].
    pub fn await_restore(&self) {
        self.board.await_restore();
    }

    /// Takes up what an earlier run left: queued events, waiting retries, shut endpoints, the
    /// window of the rate limit. `counted`: its events were counted before, in this run.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn restore(self: &Arc<Self>, counted: bool) -> Result<u64, StoreError> {
        let last = self.store.last_number(&self.name).await?;
        let window = self.store.limiter(&self.name).await?;
        self.restore_endpoints().await?;
        // Last: from here on events come in, which pauses and limits must hold back.
        self.board.restore_limiter(&window);
        let total = self.store.queue_total(&self.name);
        let restored = total.all();
        self.board.restore(total.events, total.waiting, last);
        // Only now: after a failure it may be asked for again.
        self.metrics.restored(if counted { 0 } else { restored });
        self.work_on_disk();
        Ok(restored)
    }

    /// Writes to disk what a ledger waits for, so that it can move on.
    pub async fn relieve(self: &Arc<Self>, waiting: &Waiting) {
        if self.board.bounds().mode != QueueMode::Memory {
            overflow::relieve(self, waiting).await;
        }
    }

    /// Lets everything in that still waits for room: the program stops, and its sources cannot
    /// take back what they have read. Reads nothing more from disk.
    pub fn lift_bounds(self: &Arc<Self>) {
        self.board.lift_bounds();
        self.wake();
    }

    /// No source brings anything any more: breaker and pause hold nothing back.
    pub fn lift_barriers(self: &Arc<Self>) {
        self.board.lift_barriers();
        self.wake();
    }

    /// What is wrong with it, for people; `None` where nothing is.
    pub fn warning(&self) -> Option<String> {
        let Standing { state, by_hand, pending, .. } = self.standing();
        let name = &self.name;
        let what = match state {
            ExportState::Paused if by_hand => "was paused by hand".to_owned(),
            ExportState::Paused => "is paused: its receiver says that it is gone".to_owned(),
            ExportState::Open | ExportState::Probing => "is down: its receiver fails".to_owned(),
            ExportState::Up => {
                let retry = self.board.pending(Timestamp::now()).retry;
                return (retry > 0)
                    .then(|| format!("export `{name}`: {retry} events wait for a retry"));
            }
        };
        Some(format!("export `{name}` {what}; {pending} events wait"))
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let pending = self.board.pending(Timestamp::now());
        let held = pending.memory + pending.disk + pending.retry + pending.flight;
        let shut = self.board.shut();
        let by_hand = self.board.is_paused();
        let of = |wanted| shut.iter().any(|(_, kind, _)| *kind == wanted);
        let state = if by_hand || of(BarrierKind::Paused) {
            ExportState::Paused
        } else if !of(BarrierKind::Down) {
            ExportState::Up
        } else if shut.iter().any(|(_, _, probing)| *probing) {
            ExportState::Probing
        } else {
            ExportState::Open
        };
        let (pending, on_disk) = (held as u64, pending.disk as u64);
        Standing { state, by_hand, shut: shut.len(), pending, on_disk }
    }

    /// Waits until something is settled.
    pub fn on_settled(&self) -> Notified<'_> {
        self.board.on_settled()
    }

    /// Whether it holds nothing that could still be sent in this run.
    pub fn is_empty(&self) -> bool {
        self.board.is_empty()
    }

    /// Whether something of it can still change before `deadline`.
    pub fn is_busy_before(&self, deadline: Instant) -> bool {
        self.board.is_busy_before(deadline)
    }

    /// Brings the gauges up to date.
    pub fn observe(&self) {
        self.metrics.pending(self.board.pending(Timestamp::now()));
        self.metrics.rate_limited(self.board.rate_limited());
        self.metrics.state(self.standing().state);
    }

    /// Starts slots for what is ready.
    fn wake(self: &Arc<Self>) {
        let settings = self.settings();
        let generation = self.generation.load(Ordering::Acquire);
        for _ in 0..self.board.missing_slots(settings.width.slots) {
            self.spawn((settings.start_slot)(Arc::clone(self), generation));
        }
    }

    /// Starts the tasks that write to disk and read from it, where they have something to do.
    fn work_on_disk(self: &Arc<Self>) {
        if self.board.needs_writer() {
            self.spawn(overflow::write(Arc::clone(self)));
        }
        if self.board.needs_reader() {
            self.spawn(overflow::read(Arc::clone(self)));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}
