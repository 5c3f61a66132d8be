//! Running, and coming to rest: all sources ended, everything settled, or kept in the store.

use super::reload::ReloadError;
use super::{Ending, Phase, Pipeline};
use crate::export::Export;
use crate::store::StoreError;
use futures::future::{join_all, select_all};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// While coming to rest, how often to look whether waiting still brings something.
const SETTLE_LOOK: Duration = Duration::from_millis(100);

/// Sources have at least so long to queue what they have read, unless there is no room for it.
const SOURCES_GRACE: Duration = Duration::from_secs(2);

/// They have so long to hand over what they hold when everything stops.
const LET_GO: Duration = Duration::from_millis(500);

impl Pipeline {
    /// Runs until all sources have ended and everything is settled, or until `stop`: then for at
    /// most the configured grace. What is left by then is kept in the store.
    pub async fn run(mut self, stop: CancellationToken) -> Ending {
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = self.requests.recv() => {
                    let reloaded = self.reload(&request.config, &stop).await;
                    request.answer(reloaded);
                }
                ended = self.sources.join_next() => match ended {
                    None => break,
                    Some(ended) => failed |= ended_badly(ended),
                },
            }
        }
        self.handle.enter(Phase::Draining);
        self.refuse_reloads();
        if !stop.is_cancelled() {
            // Nothing more comes in: what is left gets its attempts, however long they take.
            let exports = self.handle.router.exports();
            exports.iter().for_each(|export| export.lift_barriers());
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
        for (_, checkpoints) in self.checkpoints {
            checkpoints.finish().await;
        }
        self.settling.iter().for_each(|(_, settling)| settling.abort());
        if let Err(trouble) = self.handle.store.close().await {
            error!(error = %trouble, "the store could not be closed");
            failed = true;
        }
        if let Err(trouble) = self.poison.close() {
            error!(error = %trouble, "the next start takes this end for an unclean one");
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

    /// Answers those who ask for another configuration: from now on nobody hears them.
    fn refuse_reloads(&mut self) {
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            request.answer(Err(ReloadError::NotRunning));
        }
    }

    /// Ends the sources. What they have read and not queued yet is queued, whatever the bounds: it
    /// cannot be given back.
    async fn end_sources(&mut self, deadline: Instant) -> bool {
        self.stop_sources.cancel();
        self.handle.replays.stop().await;
        let exports = self.handle.router.exports();
        // They cannot wait for room any more, nor spare any.
        self.handle.store.stopping();
        exports.iter().for_each(|export| export.lift_bounds());
        let mut failed = false;
        let mut deadline = deadline.max(Instant::now() + SOURCES_GRACE);
        if self.handle.store.is_full() {
            deadline = deadline.min(Instant::now() + self.shutdown_grace);
        }
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
        self.handle.orphans.stop().await;
        self.handle.store.stopping();
        let at_work = self.handle.router.exports();
        // Chunks may be on their way to those that were removed, or wait there for room on disk.
        let exports = || at_work.iter().chain(&self.retired);
        // All at once: nobody waits for room any more, so that sources let go of what they have.
        exports().for_each(|export| export.cut_off());
        let let_go = async { while self.sources.join_next().await.is_some() {} };
        let _ = timeout(LET_GO, let_go).await;
        let lost = join_all(exports().map(|export| export.keep())).await;
        let lost: HashSet<_> = lost.into_iter().flatten().collect();
        let waiting = at_work.iter().map(|export| self.waiting(export)).sum();
        if !lost.is_empty() {
            error!(
                events = lost.len(),
                "events are lost, each counted once: an export neither delivered nor stored them, \
                 and their source cannot give them again"
            );
        }
        (waiting, lost.len() as u64)
    }

    /// Events of an export that wait in the store for the next start.
    fn waiting(&self, export: &Arc<Export>) -> u64 {
        let events = self.handle.store.queue_total(export.name()).all();
        if events > 0 {
            info!(export = %export.name(), events, "unsettled events wait in the store for the next start");
        }
        events
    }
}

pub(super) fn ended_badly(ended: Result<Result<(), String>, tokio::task::JoinError>) -> bool {
    let problem = match ended {
        Ok(Ok(())) => return false,
        Ok(Err(problem)) => problem,
        // Its message may hold part of a line; where it was, the log says.
        Err(_) => "a defect in postrider ended it".to_owned(),
    };
    error!(error = %problem, "a source ended");
    true
}
