//! `postrider run`: carries events until it is stopped, or until all sources have ended.

use super::failure::Failure;
use super::{Exit, Global, block_on, logging, reload};
use crate::api;
use crate::config::{self, Config, Contents, Loaded};
use crate::metrics::Metrics;
use crate::pipeline::{Ending, Handle, Pipeline, Scope};
use crate::store::DataDirLock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::SignalStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How much longer than its grace another postrider may hold the lock.
const LOCK_MARGIN: Duration = Duration::from_secs(5);

/// What `run` can be told.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Reload when a file of the configuration changes, as on SIGHUP
    #[arg(long)]
    watch: bool,
}

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    carry(options, global).map(exit)
}

/// Carries events, and tells how that ended.
pub(super) fn carry(options: &Options, global: &Global) -> Result<Ending, Failure> {
    let load = global.load_options();
    let (loaded, files) = config::load_noting(&load);
    let Loaded { mut config, warnings, hash, .. } = loaded?;
    let watched = options.watch.then(|| Contents::of(&files));
    config.log.level = global.level(config.log.level);
    logging::start(config.log);
    for warning in warnings {
        warn!("{warning}");
    }
    open_many_files();
    block_on(run(config, &hash, |handle| reload::run(load, watched, handle)))
}

/// Lets the process open as many files as the system allows it: by default, of files that are
/// followed, of connections and clients, that is 1,024 together.
fn open_many_files() {
    let limits = getrlimit(Resource::Nofile);
    // Where that fails it gets along with fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
}

async fn run<R: Future<Output = ()> + Send + 'static>(
    config: Config,
    hash: &str,
    reloading: impl FnOnce(Handle) -> R,
) -> Result<Ending, Failure> {
    let stop = stop_on_signals()?;
    // From the first moment on a hangup must not end it.
    let _hangups = signal(SignalKind::hangup()).map_err(Failure::new)?;
    let _lock = tokio::select! {
        lock = DataDirLock::take(&config.data_dir, config.shutdown_grace + LOCK_MARGIN) => {
            lock.map_err(Failure::new)?
        }
        () = stop.cancelled() => return Ok(Ending { stopped: true, ..Ending::default() }),
    };
    // Only now: until then it may be that of the postrider that had the lock.
    let handle = Arc::new(SetOnce::new());
    let admin = serve_admin(&config, Arc::clone(&handle)).await?;
    let ending = carry_on(config, hash, &handle, stop, reloading).await;
    if let Some(admin) = admin {
        // Its address is free before the lock is.
        admin.abort();
        let _ = admin.await;
    }
    ending
}

/// Starts the pipeline, and runs it to its end.
async fn carry_on<R: Future<Output = ()> + Send + 'static>(
    config: Config,
    hash: &str,
    handle: &SetOnce<Handle>,
    stop: CancellationToken,
    reloading: impl FnOnce(Handle) -> R,
) -> Result<Ending, Failure> {
    // Before anything is taken in, which this may not keep from being carried.
    let control = api::control::bind(&config.data_dir)
        .map_err(|error| Failure::new(format!("control.sock: {error}")))?;
    let pipeline = Pipeline::start(&config, Scope::Whole, Metrics::new(hash)).await?;
    let _ = handle.set(pipeline.handle());
    serve_control(control, pipeline.handle());
    tokio::spawn(reloading(pipeline.handle()));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        exports = config.exports.len(),
        sources = config.sources.len(),
        "started"
    );
    let ending = pipeline.run(stop).await;
    info!(dead_letters = ending.buried, kept = ending.kept, lost = ending.lost, "ended");
    Ok(ending)
}

/// Opens the admin listener. A default address that is taken is no reason not to carry events.
async fn listen(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(admin) = &config.admin else { return Ok(None) };
    match TcpListener::bind(admin.listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if admin.configured => {
            Err(Failure::new(format!("admin.listen {}: {error}", admin.listen)))
        }
        Err(error) => {
            warn!(address = %admin.listen, %error, "no admin listener: set `admin.listen` to a free address, or `admin: false`");
            Ok(None)
        }
    }
}

/// Serves the admin listener, where there is one, from before the pipeline starts.
async fn serve_admin(
    config: &Config,
    handle: Arc<SetOnce<Handle>>,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let (Some(listener), Some(admin)) = (listen(config).await?, config.admin.clone()) else {
        return Ok(None);
    };
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = api::serve_admin(listener, &admin, handle).await {
            error!(%error, "the admin listener ended");
        }
    })))
}

fn serve_control(listener: UnixListener, handle: Handle) {
    tokio::spawn(async move {
        if let Err(error) = api::control::serve(listener, handle).await {
            error!(%error, "the control socket ended");
        }
    });
}

/// A token that the first SIGTERM or SIGINT cancels; the second ends the process at once.
fn stop_on_signals() -> Result<CancellationToken, Failure> {
    let stream = |kind| signal(kind).map(SignalStream::new).map_err(Failure::new);
    let mut signals = stream(SignalKind::terminate())?.merge(stream(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        if signals.next().await.is_some() {
            info!("stopping: a second signal ends at once");
            stopped.cancel();
        }
        if signals.next().await.is_some() {
            std::process::exit(Exit::Failed as i32);
        }
    });
    Ok(stop)
}

pub(super) fn exit(ending: Ending) -> Exit {
    let Ending { buried, kept, lost, failed, stopped } = ending;
    if lost > 0 || failed {
        Exit::Failed
    } else if (buried > 0 || kept > 0) && !stopped {
        Exit::LeftInStore
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_contract() {
        let done = Ending::default();
        for (ending, code) in [
            (done, Exit::Done),
            (Ending { buried: 1, ..done }, Exit::LeftInStore),
            (Ending { kept: 1, ..done }, Exit::LeftInStore),
            (Ending { buried: 1, stopped: true, ..done }, Exit::Done),
            (Ending { kept: 5, stopped: true, ..done }, Exit::Done),
            (Ending { kept: 5, ..done }, Exit::LeftInStore),
            (Ending { lost: 1, kept: 5, ..done }, Exit::Failed),
            (Ending { failed: true, ..done }, Exit::Failed),
        ] {
            assert_eq!(exit(ending), code, "{ending:?}");
        }
    }
}
