//! Another configuration while running. Everything that can fail is built first; then the parts are
//! swapped: what did not change stays as it is, what changed keeps what it holds, and what is gone
//! leaves its events in the store.

use super::build::{Built, dlq_bounds, fall_back, restore, settings};
use super::{AtWork, Handle, Pipeline, Running, StartError, file_sources};
use crate::config::{self, Config};
use crate::export::{Export, Waiting};
use crate::route::Router;
use crate::source::file::Checkpoints;
use crate::source::{InForce, Prepared};
use crate::store::{STORE_RETRY, Store};
use futures::future::join_all;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// A wish to go on with another configuration, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) config: Box<Config>,
    pub(super) answer: oneshot::Sender<Result<(), ReloadError>>,
}

/// Why a configuration cannot be put to work while running; the one before stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A part of it cannot be built.
    #[error(transparent)]
    Part(#[from] StartError),
    /// The data directory cannot change.
    #[error("data_dir is {0} now: restart postrider to use another one")]
    DataDir(PathBuf),
    /// The program stops, or has not started yet.
    #[error("postrider is not running: it takes no other configuration")]
    NotRunning,
}

/// How long the answer to a reload waits for sources to come to their new configuration.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);

/// How long attempts of an export that goes may take to end.
const REST: Duration = Duration::from_secs(5);

/// How often what a removed source waits for is written to disk.
const RELIEVE_EVERY: Duration = Duration::from_millis(200);

/// Waits until a removed source has ended and all is settled that it has read; what waits for long,
/// or keeps its last lines from being queued, is written to disk.
async fn settle_removed(
    router: Arc<Router>,
    name: Arc<str>,
    ended: CancellationToken,
    checkpoints: Vec<Checkpoints>,
) {
    while timeout(RELIEVE_EVERY, ended.cancelled()).await.is_err() {
        router.relieve(&Waiting::Source(Arc::clone(&name))).await;
    }
    for checkpoints in checkpoints {
        while timeout(RELIEVE_EVERY, checkpoints.settled()).await.is_err() {
            router.relieve(&Waiting::Source(Arc::clone(&name))).await;
        }
        checkpoints.hand_over().await;
    }
}

/// Takes up what the store holds of a new export, however long the store fails; whether it was done
/// before `stop`.
async fn restore_in_the_end(
    export: &Arc<Export>,
    config: &config::Export,
    store: &Store,
    stop: &CancellationToken,
) -> bool {
    // What the store holds of any name was counted when it came, or as this run started.
    while let Err(trouble) = restore(export, config, store, true).await {
        error!(export = %config.name, error = %trouble, "what the store holds of a new export could not be read; it gets no events before that");
        if timeout(STORE_RETRY, stop.cancelled()).await.is_ok() {
            return false;
        }
    }
    true
}

/// Waits for the end of something that takes exports' events to the store; after `stop` it no
/// longer waits for room there.
async fn unless_cut_off<T>(
    ending: impl Future<Output = T>,
    exports: &[&Arc<Export>],
    stop: &CancellationToken,
) -> T {
    tokio::pin!(ending);
    tokio::select! {
        ended = &mut ending => ended,
        () = stop.cancelled() => {
            exports.iter().for_each(|export| export.cut_off());
            ending.await
        }
    }
}

impl Request {
    /// Answers when every source goes by its new configuration. The pipeline runs on meanwhile: a
    /// file system may not answer for long.
    pub(super) fn answer(self, reloaded: Result<Vec<InForce>, ReloadError>) {
        let answer = self.answer;
        let sources = match reloaded {
            Ok(sources) => sources,
            // Who no longer waits has lost nothing.
            Err(trouble) => return drop(answer.send(Err(trouble))),
        };
        tokio::spawn(async move {
            let all = join_all(sources.into_iter().map(InForce::wait));
            if timeout(IN_FORCE_WITHIN, all).await.is_err() {
                warn!(
                    "a source has not come to its new configuration yet: its file system does not answer, or the store does not"
                );
            }
            let _ = answer.send(Ok(()));
        });
    }
}

/// What becomes of a configured export.
enum ExportChange<'a> {
    Stays(Arc<Export>),
    Changes(Arc<Export>, &'a config::Export, Built),
    Comes(&'a config::Export, Built),
}

impl Pipeline {
    /// Goes on with another configuration; returns what the sources tell once they have come to it.
    pub(super) async fn reload(
        &mut self,
        config: &Config,
        stop: &CancellationToken,
    ) -> Result<Vec<InForce>, ReloadError> {
        if config.data_dir != self.data_dir {
            return Err(ReloadError::DataDir(self.data_dir.clone()));
        }
        let changes = self.export_changes(config)?;
        let prepared = self.prepare_sources(config)?;
        let before = self.open_files.share_among(file_sources(config));
        let started = self.open_sources(config).await.inspect_err(|_| {
            self.open_files.share_among(before);
        })?;
        // From here on nothing is given up half-way.
        self.shutdown_grace = config.shutdown_grace;
        let store = self.handle.store.clone();
        store.set_dlq_bounds(dlq_bounds(&config.dlq));
        store.set_emit_dlq_events(config.dlq.emit_events);
        self.change_exports(config, changes, stop).await;
        let mut in_force = Vec::new();
        for (name, prepared) in prepared {
            if let Some(source) = self.at_work.iter().find(|source| *source.handle.name() == name) {
                in_force.push(source.handle.apply(prepared));
            }
        }
        started.into_iter().for_each(|source| drop(self.sources.spawn(source)));
        self.end_removed_sources(config);
        self.start_renamed_sources(config, stop).await;
        Ok(in_force)
    }

    fn export_changes<'a>(&self, config: &'a Config) -> Result<Vec<ExportChange<'a>>, StartError> {
        let now = self.handle.router.exports();
        let change = |export: &'a config::Export| {
            let old = now.iter().find(|old| *old.name() == export.name).map(Arc::clone);
            Ok(match old {
                Some(_) if self.merges(config, export) => {
                    ExportChange::Comes(export, settings(export, &self.tls)?)
                }
                Some(old) if old.settings().digest == export.digest => ExportChange::Stays(old),
                Some(old) => ExportChange::Changes(old, export, settings(export, &self.tls)?),
                None => ExportChange::Comes(export, settings(export, &self.tls)?),
            })
        };
        config.exports.iter().map(change).collect()
    }

    /// Whether an export has to take up what is left under a former name: it starts anew then.
    fn merges(&self, config: &Config, export: &config::Export) -> bool {
        let Handle { router, store, .. } = &self.handle;
        let holds = |former: &str| {
            store.queue_total(former).all() > 0
                || store.total(former).letters > 0
                || router.exports().iter().any(|export| &**export.name() == former)
        };
        let configured = |name: &str| config.exports.iter().any(|export| &*export.name == name);
        export.former_names.iter().any(|former| !configured(former) && holds(former))
    }

    async fn change_exports(
        &mut self,
        config: &Config,
        changes: Vec<ExportChange<'_>>,
        stop: &CancellationToken,
    ) {
        // Nothing comes to these any more.
        self.retired.retain(|gone| Arc::strong_count(gone) > 1);
        let now = self.handle.router.exports();
        let configured = |name: &str| config.exports.iter().any(|export| &*export.name == name);
        let (store, metrics) = (self.handle.store.clone(), Arc::clone(&self.handle.metrics));
        let poison = Arc::clone(&self.poison);
        let spent = Arc::clone(self.handle.router.spent());
        let mut exports = Vec::new();
        let mut coming = Vec::new();
        for change in changes {
            exports.push(match change {
                ExportChange::Stays(export) => export,
                ExportChange::Changes(export, config, built) => {
                    built.configure(config, &export);
                    export
                }
                ExportChange::Comes(config, built) => {
                    let export = built.export(config, &store, &poison, &spent, &metrics);
                    export.await_restore();
                    coming.push((config, Arc::clone(&export)));
                    export
                }
            });
        }
        fall_back(config, &exports);
        // At one moment: an event between the old set and the new one would go nowhere. What comes
        // to a new export waits there for what is left under its former name.
        let removed: Vec<_> = now
            .iter()
            .filter(|old| !exports.iter().any(|export| Arc::ptr_eq(old, export)))
            .collect();
        // Before that: what comes meanwhile is queued where it is, and nothing waits.
        let rest =
            join_all(removed.iter().map(|export| export.rest(config.shutdown_grace.min(REST))));
        tokio::select! {
            _ = rest => {}
            () = stop.cancelled() => {}
        }
        self.handle.router.set(exports.clone());
        for export in &removed {
            self.handle.replays.forget(export);
            let replays = unless_cut_off(export.retire(), &[export], stop).await;
            metrics.replays_given_up(export.name(), replays);
        }
        self.retired.extend(removed.iter().map(|export| Arc::clone(export)));
        for (config, export) in coming {
            self.take_up(config, &export, configured, stop).await;
        }
        self.handle.replays.set(&exports);
        let former = |name: &Arc<str>| {
            config.exports.iter().any(|export| export.former_names.iter().any(|f| **f == **name))
        };
        let removed = removed.iter().map(|export| Arc::clone(export.name()));
        let removed: Vec<_> = removed.filter(|name| !former(name)).collect();
        let grace = config.shutdown_grace;
        let looked_after = self.handle.orphans.look_after(configured, &removed, grace).await;
        if let Err(trouble) = looked_after {
            error!(error = %trouble, "what the store holds of removed exports stays there until the next reload or start");
        }
    }

    /// Gives an export that comes what was left under its name and its former ones.
    async fn take_up(
        &mut self,
        config: &config::Export,
        export: &Arc<Export>,
        configured: impl Fn(&str) -> bool,
        stop: &CancellationToken,
    ) {
        let Handle { orphans, metrics, store, .. } = &self.handle;
        let former = || config.former_names.iter().filter(|former| !configured(former));
        let left = |gone: &Arc<Export>| {
            *gone.name() == config.name || former().any(|former| **former == **gone.name())
        };
        // Chunks may still be on their way to these.
        let gone: Vec<_> = self.retired.iter().filter(|gone| left(gone)).collect();
        let estates = join_all(gone.iter().map(|gone| gone.inherit()));
        let estates = unless_cut_off(estates, &gone, stop).await;
        orphans.reclaim(&config.name).await;
        for former in former() {
            orphans.reclaim(former).await;
            metrics.renamed(former, &config.name);
        }
        let taken_up = restore_in_the_end(export, config, store, stop).await;
        for mut heir in estates {
            *heir = taken_up.then(|| Arc::clone(export));
        }
    }

    /// Makes ready what the sources that stay are to become.
    fn prepare_sources(&self, config: &Config) -> Result<Vec<(Arc<str>, Prepared)>, StartError> {
        let mut prepared = Vec::new();
        for source in &config.sources {
            let at_work = self.at_work.iter().map(|source| &source.handle);
            let Some(handle) = at_work.into_iter().find(|handle| handle.can_become(source)) else {
                continue;
            };
            let problem =
                |problem| StartError::Source { source_name: source.name.to_string(), problem };
            prepared.push((Arc::clone(&source.name), handle.prepare(source).map_err(problem)?));
        }
        Ok(prepared)
    }

    /// Opens the sources that are new; they take nothing in yet. Where one cannot be opened, the
    /// others are closed again.
    async fn open_sources(&mut self, config: &Config) -> Result<Vec<Running>, StartError> {
        let (at_work, checkpoints) = (self.at_work.len(), self.checkpoints.len());
        let new: Vec<_> =
            self.new_sources(config).filter(|source| !self.takes_over(source)).collect();
        let mut opened = Vec::new();
        for source in new {
            match self.source(source).await {
                Ok(running) => opened.push(running),
                Err(trouble) => {
                    self.at_work.truncate(at_work);
                    self.checkpoints.truncate(checkpoints);
                    return Err(trouble);
                }
            }
        }
        Ok(opened)
    }

    fn new_sources<'a>(
        &self,
        config: &'a Config,
    ) -> impl Iterator<Item = &'a config::Source> + use<'a> {
        let known: Vec<_> = config
            .sources
            .iter()
            .map(|source| self.at_work.iter().any(|other| other.handle.can_become(source)))
            .collect();
        config.sources.iter().zip(known).filter(|(_, known)| !known).map(|(source, _)| source)
    }

    /// Whether a source comes in the place of one that runs: that one must end first.
    fn takes_over(&self, source: &config::Source) -> bool {
        self.at_work.iter().any(|AtWork { handle, .. }| {
            handle.name() == &source.name || source.former_names.contains(handle.name())
        })
    }

    fn end_removed_sources(&mut self, config: &Config) {
        self.settling.retain(|(_, settling)| !settling.is_finished());
        self.at_work.retain(|AtWork { handle, stop, ended }| {
            let stays = config.sources.iter().any(|source| handle.can_become(source));
            if !stays {
                info!(source = %handle.name(), "source ends: it is no longer configured, or is started anew");
                stop.cancel();
                let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.checkpoints)
                    .into_iter()
                    .partition(|(name, _)| name == handle.name());
                self.checkpoints = left;
                let gone = gone.into_iter().map(|(_, checkpoints)| checkpoints).collect();
                let (name, router) = (Arc::clone(handle.name()), Arc::clone(&self.handle.router));
                let settling = settle_removed(router, Arc::clone(&name), ended.clone(), gone);
                self.settling.push((name, tokio::spawn(settling)));
            }
            stays
        });
    }

    /// Starts sources in the place of others, once those have ended.
    async fn start_renamed_sources(&mut self, config: &Config, stop: &CancellationToken) {
        let waiting: Vec<_> = self.new_sources(config).cloned().collect();
        let deadline = Instant::now() + self.shutdown_grace;
        for source in waiting {
            for (name, settling) in &mut self.settling {
                if *name == source.name || source.former_names.contains(name) {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        // What it reopens before is read again, not lost.
                        _ = timeout_at(deadline, settling) => {}
                    }
                }
            }
            self.settling.retain(|(_, settling)| !settling.is_finished());
            match self.source(&source).await {
                Ok(running) => drop(self.sources.spawn(running)),
                Err(trouble) => {
                    error!(error = %trouble, "a source could not be started; correct it and reload");
                }
            }
        }
    }
}
