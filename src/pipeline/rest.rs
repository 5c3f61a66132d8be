//! Running, and coming to rest: all sources ended, everything settled, or kept in the store.

use super::{Ending, Phase, Pipeline};
use crate::delivery::Claim;
use crate::export::{Export, Left};
use crate::store::{Kept, Store, StoreError};
use futures::future::select_all;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// While coming to rest, how often to look whether waiting still brings something.
const SETTLE_LOOK: Duration = Duration::from_millis(100);

/// Sources have at least so long to queue what they have read.
const SOURCES_GRACE: Duration = Duration::from_secs(2);

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

    /// Ends the sources. What they have read and not queued yet is queued, whatever the bounds: it
    /// cannot be given back.
    async fn end_sources(&mut self, deadline: Instant) -> bool {
        self.stop_sources.cancel();
        self.handle.replays.stop().await;
        let exports = self.handle.router.exports();
        exports.iter().for_each(|export| export.lift_bounds());
        let mut failed = false;
        let deadline = deadline.max(Instant::now() + SOURCES_GRACE);
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
        self.handle.orphans.stop();
        self.handle.store.stopping();
        let (mut kept, mut lost) = (0, 0);
        for export in self.handle.router.exports().iter() {
            let (stored, gone) = keep_export(export, &self.handle.store).await;
            kept += stored;
            lost += gone;
        }
        (kept, lost)
    }
}

/// Stops an export and keeps in the store what no source can give again. Returns how many events
/// wait there for the next start, and how many could not be kept.
pub(super) async fn keep_export(export: &Arc<Export>, store: &Store) -> (u64, u64) {
    let left = export.stop().await;
    let rows: Vec<_> = left.iter().filter_map(kept_delivery).collect();
    let count = left.iter().filter(|left| is_lost(&left.delivery.claim)).count() as u64;
    if !rows.is_empty()
        && let Err(trouble) = store.keep(export.name(), rows).await
    {
        // What came from a row still stands in it.
        error!(export = %export.name(), events = count, error = %trouble, "unsettled events could not be stored and are lost");
        return (0, count);
    }
    for Left { delivery, before_disk, .. } in left {
        if let (Claim::Line { ack, .. }, true) = (delivery.claim, before_disk) {
            ack.settle();
        }
    }
    let total = store.queue_total(export.name());
    let kept = total.events + total.waiting;
    if kept > 0 {
        info!(export = %export.name(), events = kept, "unsettled events wait in the store for the next start");
    }
    (kept, 0)
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

/// Whether an event is gone if it is not kept now.
fn is_lost(claim: &Claim) -> bool {
    matches!(claim, Claim::Line { repeatable: false, .. })
}

/// What is to be written of a delivery; `None` where its source or the store has it as it stands.
fn kept_delivery(left: &Left) -> Option<Kept> {
    let Left { delivery, due, before_disk } = left;
    let (now, instant) = (Timestamp::now(), Instant::now());
    let due = due.and_then(|due| now.checked_add(due.saturating_duration_since(instant)).ok());
    // What is due goes before what is not tried yet.
    let due = due.or(before_disk.then_some(now));
    let due = match &delivery.claim {
        Claim::Line { repeatable: false, .. } => due,
        // It stands in its place, and its wait with it.
        Claim::Row(row) if row.due_ms.is_some() => return None,
        Claim::Row(_) if delivery.tries.sent == 0 && !before_disk => return None,
        Claim::Row(_) => Some(due.unwrap_or(now)),
        // Given again, it would come behind those on disk.
        Claim::Line { repeatable: true, .. } if *before_disk => due,
        Claim::Line { repeatable: true, .. } | Claim::Replay(_) => return None,
    };
    let rendered_at = delivery.tries.first_at.map(|first| first.wall);
    Kept::of(delivery, due, rendered_at)
}
