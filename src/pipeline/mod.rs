//! Wiring: builds exports, router and sources from a configuration, runs them, and brings them to
//! rest. What a part does is known to the part alone.

mod apart;
mod begun;
mod build;
mod orphans;
mod reload;
mod replay;
mod rest;

use crate::config::{self, Config, INTERNAL_SOURCE, Input};
use crate::export::Export;
use crate::metrics::Metrics;
use crate::poison::{Poison, PoisonError};
use crate::route::Router;
use crate::sink::Tls;
use crate::source::file::{Checkpoints, FileSource, OpenFiles};
use crate::source::internal::Internal;
use crate::source::socket::Socket;
use crate::source::stdin::Stdin;
use crate::source::{Intake, Source, SourceHandle};
use crate::store::{Marked, Owner, Salvage, Store, StoreError, StoreOptions, note_damage};
use apart::apart;
use begun::Begun;
use build::{StoreTrouble, check_store, dlq_bounds, fall_back, observer, restore, settings};
use futures::FutureExt;
use futures::future::BoxFuture;
use orphans::Orphans;
use replay::Replays;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use reload::ReloadError;
pub use replay::ReplayRequest;

/// A pipeline at work.
#[derive(Debug)]
pub struct Pipeline {
    handle: Handle,
    sources: JoinSet<Result<(), String>>,
    /// What file sources have settled; saved until nothing settles any more.
    checkpoints: Vec<(Arc<str>, Checkpoints)>,
    /// The same of sources that were removed, with what ends when all of it is settled.
    settling: Vec<(Arc<str>, JoinHandle<()>)>,
    /// Exports that were removed, while a chunk may be on its way to them.
    retired: Vec<Arc<Export>>,
    requests: mpsc::Receiver<reload::Request>,
    data_dir: PathBuf,
    poison: Arc<Poison>,
    open_files: Arc<OpenFiles>,
    tls: Tls,
    /// Ends the sources of the configuration; each has a child of it.
    stop_sources: CancellationToken,
    at_work: Vec<AtWork>,
    internal: Internal,
    shutdown_grace: Duration,
}

/// A source of the configuration.
#[derive(Debug)]
struct AtWork {
    handle: SourceHandle,
    /// Ends it.
    stop: CancellationToken,
    /// Cancelled once it has ended, by itself or not.
    ended: CancellationToken,
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
    orphans: Orphans,
    trouble: StoreTrouble,
    phase: Arc<AtomicU8>,
    requests: mpsc::Sender<reload::Request>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ending {
    /// Dead letters written in this run.
    pub buried: u64,
    /// Events that wait in the store for the next start.
    pub kept: u64,
    /// Events, each counted once, that an export neither delivered nor stored and that their source
    /// cannot give again.
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
    /// What an unclean end left cannot be read or written.
    #[error(transparent)]
    Poison(#[from] PoisonError),
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
        let poison = Arc::new(Poison::open(&config.data_dir)?);
        let mut again = false;
        loop {
            let mut begun = Begun::default();
            let started =
                Pipeline::put_to_work(config, scope, Arc::clone(&metrics), &poison, &mut begun);
            let trouble = match started.await {
                Ok(started) => return Ok(started),
                Err(trouble) => trouble,
            };
            let opened = begun.store.is_some();
            begun.end(config.shutdown_grace).await;
            match &trouble {
                // Damage that opening it did not meet: once more, from what can be read of it.
                StartError::Store(StoreError::Corrupt(damage)) if opened && !again => {
                    note_damage(&config.data_dir, damage);
                    again = true;
                }
                _ => {
                    // What refuses to start ends no process. Else the next start would only watch
                    // in vain.
                    let _ = poison.close();
                    return Err(trouble);
                }
            }
        }
    }

    async fn put_to_work(
        config: &Config,
        scope: Scope,
        metrics: Arc<Metrics>,
        poison: &Arc<Poison>,
        begun: &mut Begun,
    ) -> Result<Pipeline, StartError> {
        let trouble = StoreTrouble::default();
        let options = StoreOptions {
            emit_dlq_events: config.dlq.emit_events,
            dlq: dlq_bounds(&config.dlq),
            observer: observer(Arc::clone(&metrics), trouble.clone()),
            ..StoreOptions::default()
        };
        let store = begun.store.insert(Store::open(&config.data_dir, options)?).clone();
        let tls = Tls::default();
        let built = |export| Ok((settings(export, &tls)?, export));
        let built = config.exports.iter().map(built).collect::<Result<Vec<_>, StartError>>()?;
        let spent = Arc::default();
        for (built, config) in built {
            let export = built.export(config, &store, poison, &spent, &metrics);
            begun.exports.push(Arc::clone(&export));
            restore(&export, config, &store, false).await?;
        }
        let exports = begun.exports.clone();
        fall_back(config, &exports);
        let orphans = begun.orphans.insert(Orphans::new(&store, &metrics)).clone();
        let configured = |name: &str| config.exports.iter().any(|export| &*export.name == name);
        orphans.look_after(configured, &[], config.shutdown_grace).await?;
        let router = Router::new(exports, spent, Arc::clone(&metrics));
        let (sender, requests) = mpsc::channel(1);
        let replays = Replays::start(&router.exports(), &store);
        let handle = Handle {
            replays: begun.replays.insert(replays).clone(),
            orphans,
            router,
            metrics,
            store,
            trouble,
            phase: Arc::new(AtomicU8::new(Phase::Starting as u8)),
            requests: sender,
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
            settling: Vec::new(),
            retired: Vec::new(),
            requests,
            data_dir: config.data_dir.clone(),
            poison: Arc::clone(poison),
            open_files: OpenFiles::of_process(file_sources(config)),
            tls,
            stop_sources: CancellationToken::new(),
            at_work: Vec::new(),
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
        check_store(&pipeline.handle.store, &pipeline.handle.router.exports());
        Ok(pipeline)
    }

    /// Builds a source; it takes in nothing before what this returns is run.
    async fn source(&mut self, config: &config::Source) -> Result<Running, StartError> {
        let Handle { router, metrics, store, .. } = &self.handle;
        for former in &config.former_names {
            let carried = store.rename_source(former, &config.name).await?;
            if carried > 0 {
                info!(source = %config.name, from = %former, rows = carried, "carried over from a former name");
            }
        }
        let metrics = metrics.source(&config.name);
        let intake = Intake::new(
            config,
            Arc::clone(router),
            store.clone(),
            Arc::clone(&self.poison),
            metrics,
        );
        let taken_in = Arc::clone(&intake);
        let stop = self.stop_sources.child_token();
        let stopping = stop.clone();
        let problem =
            |problem| StartError::Source { source_name: config.name.to_string(), problem };
        let (handle, running) = match &config.input {
            Input::Stdin => {
                let source = Stdin::new(intake, tokio::io::stdin());
                (source.handle(), source.run(stop.clone()).boxed())
            }
            Input::File(input) => {
                let opened =
                    FileSource::open(intake, input, store, Arc::clone(&self.open_files)).await;
                let (source, checkpoints) = opened.map_err(problem)?;
                self.checkpoints.push((Arc::clone(&config.name), checkpoints));
                (source.handle(config), source.run(stop.clone()).boxed())
            }
            Input::Socket(input) => {
                let source = Socket::bind(intake, input).map_err(problem)?;
                (source.handle(config), source.run(stop.clone()).boxed())
            }
        };
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let name = Arc::clone(&config.name);
        self.at_work.push(AtWork { handle, stop, ended });
        Ok(async move {
            let _guard = guard;
            let ended = apart(&name, running).await;
            taken_in.buried(&stopping).await;
            ended
        }
        .boxed())
    }

    /// What the surfaces see of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// How many sources read files.
fn file_sources(config: &Config) -> usize {
    config.sources.iter().filter(|source| matches!(source.input, Input::File(_))).count()
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
        // An export that is gone leaves nothing to wait for.
        let at_work = |owner: &Owner| match owner {
            Owner::Export(name) => exports.iter().any(|export| export.name() == name),
            Owner::Source(_) => true,
        };
        let without_room: Vec<_> = self.store.without_room().into_iter().filter(at_work).collect();
        let store = without_room.into_iter().map(|owner| StoreError::NoRoom(owner).to_string());
        let damage = self.trouble.damage().map(|damage| {
            format!("the store is damaged ({damage}): restart postrider, it saves what can be read")
        });
        let salvage = self.store.salvage().and_then(Salvage::warning);
        let exports = exports.iter().filter_map(|export| export.warning());
        exports.chain(store).chain(damage).chain(salvage).collect()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Goes on with another configuration: what did not change stays as it is, what changed keeps
    /// what it holds. Returns when it is in force; `hash` is its fingerprint.
    ///
    /// # Errors
    /// When a part of it cannot be built: then everything stays as it was.
    pub async fn reload(&self, config: Config, hash: &str) -> Result<(), ReloadError> {
        let (answer, answered) = oneshot::channel();
        let request = reload::Request { config: Box::new(config), answer };
        let sent = self.requests.send(request).await;
        let reloaded = match sent {
            Ok(()) => answered.await.unwrap_or(Err(ReloadError::NotRunning)),
            Err(_) => Err(ReloadError::NotRunning),
        };
        match &reloaded {
            Ok(()) => self.metrics.reloaded(hash),
            Err(_) => self.metrics.reload_refused(),
        }
        reloaded
    }

    /// The configuration was read again and is wrong: the one before stays in force.
    pub fn reload_refused(&self) {
        self.metrics.reload_refused();
    }

    /// The exports at work.
    pub fn exports(&self) -> Arc<[Arc<Export>]> {
        self.router.exports()
    }

    /// Puts dead letters back on their exports. Returns which.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn replay(&self, request: ReplayRequest) -> Result<Marked, StoreError> {
        self.replays.request(request).await
    }
}
