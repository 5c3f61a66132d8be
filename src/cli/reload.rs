//! Reading the configuration again while `run` works: on SIGHUP, and with `--watch` whenever one of
//! its files changes.

use crate::config::{self, LoadOptions, Loaded};
use crate::pipeline::Handle;
use notify::{RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

/// An editor writes a file in several steps; they are over after this long.
const WATCH_SETTLES: Duration = Duration::from_millis(200);

/// What a reload cannot change.
const NEEDS_RESTART: &str =
    "changes of data_dir, log and admin take effect when postrider is started again";

/// Reloads whenever it is asked to, until the program ends.
pub(super) async fn run(options: LoadOptions, files: Vec<PathBuf>, watch: bool, handle: Handle) {
    let asked = Arc::new(Notify::new());
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        error!("SIGHUP cannot be received: a reload needs a restart");
        return;
    };
    let mut watched = watch.then(|| Watch::start(&files, &asked)).flatten();
    loop {
        tokio::select! {
            Some(()) = hangups.recv() => {}
            () = asked.notified() => {
                sleep(WATCH_SETTLES).await;
            }
        }
        let files = reload(&options, &handle).await;
        if let (Some(watched), Some(files)) = (&mut watched, files) {
            watched.follow(&files);
        }
    }
}

/// Reads the configuration and puts it to work; returns the files it was read from.
async fn reload(options: &LoadOptions, handle: &Handle) -> Option<Vec<PathBuf>> {
    let Loaded { config, warnings, hash, files } = match config::load(options) {
        Ok(loaded) => loaded,
        Err(problems) => {
            handle.reload_refused();
            error!("the configuration has problems; the one before stays in force\n{problems}");
            return None;
        }
    };
    for warning in warnings {
        warn!("{warning}");
    }
    match handle.reload(config, &hash).await {
        Ok(()) => info!(hash, note = NEEDS_RESTART, "configuration reloaded"),
        Err(trouble) => {
            error!(error = %trouble, "the configuration cannot be put to work; the one before stays in force");
        }
    }
    Some(files)
}

/// Watches the folders of the configuration's files: an editor replaces a file rather than write
/// into it.
struct Watch {
    watcher: notify::RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    fn start(files: &[PathBuf], asked: &Arc<Notify>) -> Option<Watch> {
        let asked = Arc::clone(asked);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let changes = event.is_ok_and(|event| {
                event.kind.is_create() || event.kind.is_modify() || event.kind.is_remove()
            });
            if changes {
                asked.notify_one();
            }
        });
        match watcher {
            Ok(watcher) => {
                let mut watch = Watch { watcher, folders: BTreeSet::new() };
                watch.follow(files);
                Some(watch)
            }
            Err(trouble) => {
                error!(error = %trouble, "the configuration cannot be watched: send SIGHUP to reload it");
                None
            }
        }
    }

    fn follow(&mut self, files: &[PathBuf]) {
        for file in files {
            let Some(folder) = file.parent() else { continue };
            let folder = if folder.as_os_str().is_empty() { ".".into() } else { folder.to_owned() };
            if self.folders.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                Err(trouble) => {
                    error!(folder = %folder.display(), error = %trouble, "this folder cannot be watched");
                }
            }
        }
    }
}
