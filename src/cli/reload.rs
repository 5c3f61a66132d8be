//! Reading the configuration again while `run` works: on SIGHUP, and with `--watch` whenever one of
//! its files changes.

use crate::config::{self, Contents, LoadOptions, Loaded, Problems};
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
const NEEDS_RESTART: &str = "changes of log and admin take effect when postrider is started again";

/// Reloads whenever it is asked to, until the program ends; with `watched`, which is what the files
/// of the configuration in force held, also when they hold something else.
pub(super) async fn run(options: LoadOptions, watched: Option<Contents>, handle: Handle) {
    let asked = Arc::new(Notify::new());
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        error!("SIGHUP cannot be received: a reload needs a restart");
        return;
    };
    let mut watch = watched.and_then(|contents| Watch::start(contents, &asked));
    let mut told = None;
    loop {
        tokio::select! {
            // Who asks is answered, whatever was told before.
            Some(()) = hangups.recv() => told = None,
            () = asked.notified() => {
                sleep(WATCH_SETTLES).await;
                if !watch.as_ref().is_some_and(Watch::sees_a_change) {
                    continue;
                }
            }
        }
        // Before the files are read: what changes meanwhile is a change.
        let before = watch.as_ref().map(|watch| watch.contents.anew());
        let files = reload(&options, &handle, &mut told).await;
        if let (Some(watch), Some(before)) = (&mut watch, before) {
            watch.follow(before.with(&files));
        }
    }
}

/// Reads the configuration and puts it to work; returns the files it was read from. Problems that
/// were told of are not told of again.
async fn reload(
    options: &LoadOptions,
    handle: &Handle,
    told: &mut Option<Problems>,
) -> Vec<PathBuf> {
    let (loaded, files) = config::load_noting(options);
    let Loaded { config, warnings, hash, .. } = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            handle.reload_refused();
            if told.as_ref() != Some(&problems) {
                error!("the configuration has problems; the one before stays in force\n{problems}");
                *told = Some(problems);
            }
            return files;
        }
    };
    *told = None;
    for warning in warnings {
        warn!("{warning}");
    }
    match handle.reload(config, &hash).await {
        Ok(()) => info!(hash, note = NEEDS_RESTART, "configuration reloaded"),
        Err(trouble) => {
            error!(error = %trouble, "the configuration cannot be put to work; the one before stays in force");
        }
    }
    files
}

/// Watches the folders of the configuration's files: an editor replaces a file rather than write
/// into it, and Kubernetes a link that leads to it. Others write there too, so that something
/// happened is only a reason to look.
struct Watch {
    watcher: notify::RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// What the files of the configuration held when they were last read.
    contents: Contents,
}

impl Watch {
    fn start(contents: Contents, asked: &Arc<Notify>) -> Option<Watch> {
        // Something may have changed since they were read.
        asked.notify_one();
        let asked = Arc::clone(asked);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| event.kind.is_access()) {
                asked.notify_one();
            }
        });
        match watcher {
            Ok(watcher) => {
                let folders = BTreeSet::new();
                let mut watch = Watch { watcher, folders, contents: Contents::default() };
                watch.follow(contents);
                Some(watch)
            }
            Err(trouble) => {
                error!(error = %trouble, "the configuration cannot be watched: send SIGHUP to reload it");
                None
            }
        }
    }

    fn sees_a_change(&self) -> bool {
        self.contents.anew() != self.contents
    }

    /// Watches these files from now on.
    fn follow(&mut self, contents: Contents) {
        let wanted = contents.folders();
        for folder in self.folders.difference(&wanted) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(folder);
        }
        self.folders.retain(|folder| wanted.contains(folder));
        for folder in wanted {
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
        self.contents = contents;
    }
}
