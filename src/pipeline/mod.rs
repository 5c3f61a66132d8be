//! Wiring: builds exports, router and sources from a configuration, runs them, and brings them to
//! rest. What a part does is known to the part alone.

mod replay;

use crate::config::{Config, Destination, Input};
use crate::delivery::{Claim, Delivery};
use crate::export::{Export, Width};
use crate::metrics::{INTERNAL_SOURCE, Metrics};
use crate::route::Router;
use crate::sink::Tls;
use crate::sink::console::{self, Console};
use crate::sink::file::{self, FileSink};
use crate::sink::webhook::{Webhook, WebhookSlot};
use crate::source::file::{Checkpoints, FileSource};
use crate::source::internal::Internal;
use crate::source::socket::Socket;
use crate::source::stdin::Stdin;
use crate::source::{Intake, Source};
use crate::store::{Count, Kept, Marked, Store, StoreError, StoreFact, StoreOptions};
use futures::FutureExt;
use futures::future::{BoxFuture, select_all};
use jiff::Timestamp;
use replay::Replays;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use replay::ReplayRequest;

/// Rows of a queue that are read at once at start.
const RESTORE_PAGE: usize = 64;

/// While coming to rest, how often to look whether waiting still brings something.
const SETTLE_LOOK: Duration = Duration::from_millis(100);

/// A pipeline at work.
#[derive(Debug)]
pub struct Pipeline {
    handle: Handle,
    sources: JoinSet<Result<(), String>>,
    /// What file sources have settled; saved until nothing settles any more.
    checkpoints: Vec<Checkpoints>,
    /// Ends the sources of the configuration.
    stop_sources: CancellationToken,
    internal: Internal,
    shutdown_grace: Duration,
}

/// A source that is ready to run.
type Running = BoxFuture<'static, Result<(), String>>;

/// What the surfaces see of a pipeline.
#[derive(Debug, Clone)]
pub struct Handle {
    router: Arc<Router>,
    metrics: Arc<Metrics>,
    store: Store,
    replays: Replays,
    trouble: StoreTrouble,
    phase: Arc<AtomicU8>,
}

/// Where a pipeline stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not everything is at work yet.
    Starting,
    /// At work.
    Running,
    /// Taking nothing in any more, bringing out what is left.
    Draining,
}

/// How a pipeline came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Dead letters written in this run.
    pub buried: u64,
    /// Events that wait in the store for the next start.
    pub kept: u64,
    /// Events that could not be stored and are lost.
    pub lost: u64,
    /// Whether a source ended with an error.
    pub failed: bool,
    /// Whether it was asked to stop.
    pub stopped: bool,
}

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An export cannot be built.
    #[error("export `{export}`: {problem}")]
    Export {
        /// Its name.
        export: String,
        /// What is wrong.
        problem: String,
    },
    /// A source cannot be built.
    #[error("source `{source_name}`: {problem}")]
    Source {
        /// Its name.
        source_name: String,
        /// What is wrong.
        problem: String,
    },
}

/// Which part of a configuration is put to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// The exports alone, to replay dead letters.
    Exports,
}

/// Why the store failed last; nothing while it works.
#[derive(Debug, Clone, Default)]
struct StoreTrouble(Arc<Mutex<Option<String>>>);

impl StoreTrouble {
    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pipeline {
    /// Opens the store, builds a configuration's exports, takes up what an earlier run left, and
    /// only then starts the sources. The caller holds the lock of the data directory.
    ///
    /// # Errors
    /// When the store fails, or a source or export cannot be built.
    pub async fn start(
        config: &Config,
        scope: Scope,
        metrics: Arc<Metrics>,
    ) -> Result<Pipeline, StartError> {
        let trouble = StoreTrouble::default();
        let options = StoreOptions {
            emit_dlq_events: config.emit_dlq_events,
            observer: observer(Arc::clone(&metrics), trouble.clone()),
            ..StoreOptions::default()
        };
        let store = Store::open(&config.data_dir, options)?;
        let tls = Tls::default();
        let build = |config| export(config, &store, &metrics, &tls);
        let exports = config.exports.iter().map(build).collect::<Result<Vec<_>, _>>()?;
        for export in &exports {
            restore(export, &store).await?;
        }
        let router = Router::new(exports, Arc::clone(&metrics));
        let handle = Handle {
            replays: Replays::start(&router.exports(), &store),
            router,
            metrics,
            store,
            trouble,
            phase: Arc::new(AtomicU8::new(Phase::Starting as u8)),
        };
        let mut pipeline = Pipeline {
            internal: Internal::new(
                INTERNAL_SOURCE,
                &handle.router,
                &handle.store,
                handle.metrics.source(INTERNAL_SOURCE),
            ),
            handle,
            sources: JoinSet::new(),
            checkpoints: Vec::new(),
            stop_sources: CancellationToken::new(),
            shutdown_grace: config.shutdown_grace,
        };
        if scope == Scope::Whole {
            let mut sources = Vec::new();
            for source in &config.sources {
                sources.push(pipeline.source(source).await?);
            }
            // Only now: what cannot start at all must not have taken anything in.
            pipeline.internal.start();
            sources.into_iter().for_each(|source| drop(pipeline.sources.spawn(source)));
        }
        pipeline.handle.enter(Phase::Running);
        Ok(pipeline)
    }

    /// Builds a source; it takes in nothing before what this returns is run.
    async fn source(&mut self, config: &crate::config::Source) -> Result<Running, StartError> {
        let Handle { router, metrics, store, .. } = &self.handle;
        let repeatable = matches!(config.input, Input::File(_));
        let metrics = metrics.source(&config.name);
        let intake = Intake::new(config, repeatable, Arc::clone(router), store.clone(), metrics);
        let stop = self.stop_sources.clone();
        let problem =
            |problem| StartError::Source { source_name: config.name.to_string(), problem };
        Ok(match &config.input {
            Input::Stdin => Stdin::new(intake, tokio::io::stdin()).run(stop).boxed(),
            Input::File(input) => {
                let opened = FileSource::open(intake, input, store).await;
                let (source, checkpoints) = opened.map_err(problem)?;
                self.checkpoints.push(checkpoints);
                source.run(stop).boxed()
            }
            Input::Socket(input) => Socket::bind(intake, input).map_err(problem)?.run(stop).boxed(),
        })
    }

    /// What the surfaces see of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until all sources have ended and everything is settled, or until `stop`: then for at
    /// most the configured grace. What is left by then is kept in the store.
    pub async fn run(mut self, stop: CancellationToken) -> Ending {
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                ended = self.sources.join_next() => match ended {
                    None => break,
                    Some(ended) => failed |= ended_badly(ended),
                },
            }
        }
        self.handle.enter(Phase::Draining);
        if !stop.is_cancelled() {
            // Nothing more comes in: what is left gets its attempts, however long they take.
            tokio::select! {
                settled = self.settle(None) => failed |= settled.is_err(),
                () = stop.cancelled() => {}
            }
        }
        if stop.is_cancelled() {
            let deadline = Instant::now() + self.shutdown_grace;
            failed |= self.end_sources(deadline).await;
            let _ = timeout_at(deadline, self.settle(Some(deadline))).await;
        }
        let (kept, lost) = self.keep().await;
        for checkpoints in self.checkpoints {
            checkpoints.finish().await;
        }
        if let Err(trouble) = self.handle.store.close().await {
            error!(error = %trouble, "the store could not be closed");
            failed = true;
        }
        Ending {
            buried: self.handle.metrics.buried(),
            kept,
            lost,
            failed,
            stopped: stop.is_cancelled(),
        }
    }

    /// Ends the sources. What they have read and not queued yet is queued, whatever the bounds: it
    /// cannot be given back.
    async fn end_sources(&mut self, deadline: Instant) -> bool {
        self.stop_sources.cancel();
        let exports = self.handle.router.exports();
        exports.iter().for_each(|export| export.lift_bounds());
        let mut failed = false;
        while let Ok(Some(ended)) = timeout_at(deadline, self.sources.join_next()).await {
            failed |= ended_badly(ended);
        }
        failed
    }

    /// Waits until everything is settled, postrider's own events too; with a deadline, until
    /// nothing can settle before it.
    async fn settle(&self, deadline: Option<Instant>) -> Result<(), StoreError> {
        let exports = self.handle.router.exports();
        let busy = |export: &Arc<Export>| match deadline {
            Some(deadline) => export.is_busy_before(deadline),
            None => !export.is_empty(),
        };
        loop {
            let settled: Vec<_> =
                exports.iter().map(|export| Box::pin(export.on_settled())).collect();
            if exports.iter().any(busy) {
                // Looked at again after each settled event, and when the next retry is due.
                let _ = timeout(SETTLE_LOOK, select_all(settled)).await;
                continue;
            }
            self.handle.store.flush_folds().await?;
            if self.internal.is_idle().await? && !exports.iter().any(busy) {
                return Ok(());
            }
            let _ = timeout(SETTLE_LOOK, self.internal.progress()).await;
        }
    }

    /// Stops the exports and keeps in the store what no source can give again. Returns how many
    /// events were kept, and how many could not be.
    async fn keep(&mut self) -> (u64, u64) {
        self.internal.stop().await;
        self.handle.replays.stop().await;
        let (mut kept, mut lost) = (0, 0);
        for export in self.handle.router.exports().iter() {
            let left = export.stop().await;
            let cannot_repeat = |delivery: &Delivery| {
                matches!(delivery.claim, Claim::Line { repeatable: false, .. })
            };
            let left: Vec<_> = left
                .iter()
                .filter(|(delivery, _)| cannot_repeat(delivery))
                .filter_map(kept_delivery)
                .collect();
            let count = left.len() as u64;
            if count == 0 {
                continue;
            }
            match self.handle.store.keep(export.name(), left).await {
                Ok(()) => {
                    kept += count;
                    info!(export = %export.name(), events = count, "unsettled events wait in the store for the next start");
                }
                Err(trouble) => {
                    lost += count;
                    error!(export = %export.name(), events = count, error = %trouble, "unsettled events could not be stored and are lost");
                }
            }
        }
        (kept, lost)
    }
}

fn ended_badly(ended: Result<Result<(), String>, tokio::task::JoinError>) -> bool {
    let problem = match ended {
        Ok(Ok(())) => return false,
        Ok(Err(problem)) => problem,
        Err(panic) => format!("a defect in postrider ended it: {panic}"),
    };
    error!(error = %problem, "a source ended");
    true
}

impl Handle {
    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Where the pipeline stands.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// The metrics page, every gauge brought up to date.
    pub fn metrics_page(&self) -> String {
        self.observe();
        self.metrics.render()
    }

    fn observe(&self) {
        self.router.exports().iter().for_each(|export| export.observe());
        self.metrics.ready(self.not_ready().is_none());
    }

    /// Why events cannot be accepted and stored now; `None` when they can.
    pub fn not_ready(&self) -> Option<String> {
        match self.phase() {
            Phase::Starting => Some("starting".to_owned()),
            Phase::Draining => Some("draining".to_owned()),
            Phase::Running => {
                self.trouble.get().map(|trouble| format!("the store fails: {trouble}"))
            }
        }
    }

    /// Troubles that do not keep events out, for people.
    pub fn warnings(&self) -> Vec<String> {
        let exports = self.router.exports();
        exports.iter().filter_map(|export| export.warning()).collect()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Puts dead letters back on their exports. Returns which.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn replay(&self, request: ReplayRequest) -> Result<Marked, StoreError> {
        self.replays.request(request).await
    }
}

/// Builds an export with the sink that its destination names.
fn export(
    config: &crate::config::Export,
    store: &Store,
    metrics: &Metrics,
    tls: &Tls,
) -> Result<Arc<Export>, StartError> {
    let name = Arc::clone(&config.name);
    let store = store.clone();
    Ok(match &config.destination {
        Destination::Webhook(webhook) => {
            let problem = |problem| StartError::Export { export: name.to_string(), problem };
            let width = Width { slots: webhook.concurrency.get(), batch: 1 };
            let address = webhook.url.masked();
            let webhook = Arc::new(Webhook::new(webhook, config.body.as_ref()).map_err(problem)?);
            let tls = tls.clone();
            Export::new(config, address, width, store, metrics, move || {
                WebhookSlot::new(Arc::clone(&webhook), Arc::clone(&name), tls.clone())
            })
        }
        Destination::Console(stream) => {
            let (stream, width) = (*stream, Width { slots: 1, batch: console::BATCH });
            Export::new(config, "console".to_owned(), width, store, metrics, move || {
                Console::new(stream)
            })
        }
        Destination::File(output) => {
            let (output, width) = (output.clone(), Width { slots: 1, batch: file::BATCH });
            Export::new(config, "file".to_owned(), width, store, metrics, move || {
                FileSink::new(output.clone(), Arc::clone(&name))
            })
        }
    })
}

/// Takes up what an earlier run left of an export.
async fn restore(export: &Arc<Export>, store: &Store) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = store.restore(export.name(), after, RESTORE_PAGE).await?;
        let (now, instant) = (Timestamp::now(), Instant::now());
        let due = |due: Timestamp| {
            instant + Duration::try_from(due.duration_since(now)).unwrap_or_default()
        };
        let rows: Vec<_> =
            page.items.into_iter().map(|kept| (kept.delivery, kept.due.map(due))).collect();
        if !rows.is_empty() {
            info!(export = %export.name(), events = rows.len(), "taken up from an earlier run");
            export.restore(rows);
        }
        if page.skipped > 0 {
            error!(export = %export.name(), rows = page.skipped, "rows of the queue could not be read; they stay in the store");
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// A delivery with the time it is due, as the store keeps it.
fn kept_delivery((delivery, due): &(Delivery, Option<Instant>)) -> Option<Kept> {
    let (now, instant) = (Timestamp::now(), Instant::now());
    let due = due.and_then(|due| now.checked_add(due.saturating_duration_since(instant)).ok());
    let rendered_at = delivery.tries.first_at.map(|first| first.wall);
    Kept::of(delivery, due, rendered_at)
}

/// Tells the metrics what the store does, and remembers whether it works.
fn observer(metrics: Arc<Metrics>, trouble: StoreTrouble) -> Box<dyn Fn(StoreFact<'_>) + Send> {
    Box::new(move |fact| match fact {
        StoreFact::Committed { took, .. } => {
            metrics.store().committed(took);
            trouble.set(None);
        }
        StoreFact::Failed { op, error } => {
            metrics.store_error(op);
            trouble.set(Some(error.to_string()));
        }
        StoreFact::Total { export, count: Count { letters, bytes, .. } } => {
            metrics.dead_letters(
                export.unwrap_or_default(),
                letters.max(0) as u64,
                bytes.max(0) as u64,
            );
        }
        StoreFact::Removed { export, how, count } => {
            metrics.dead_letters_removed(export.unwrap_or_default(), how.as_str(), count);
        }
    })
}
