//! Running, and coming to rest: all sources ended, everything settled, or kept in the store.

use super::{Ending, Phase, Pipeline};
use crate::delivery::Claim;
use crate::event::Position;
use crate::export::{Export, Left};
use crate::store::{Kept, Store, StoreError};
use futures::future::{join_all, select_all};
use jiff::Timestamp;
use std::collections::{HashSet, VecDeque};
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

/// About the bytes of the texts that are kept in one commit: on a full disk part of what is left
/// may still find room.
const KEEP_BYTES: usize = 512 * 1024;

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
        self.handle.orphans.stop();
        self.handle.store.stopping();
        let exports = self.handle.router.exports();
        // All at once: nobody waits for room any more, so that sources let go of what they have.
        exports.iter().for_each(|export| export.cut_off());
        let let_go = async { while self.sources.join_next().await.is_some() {} };
        let _ = timeout(LET_GO, let_go).await;
        let kept = exports.iter().map(|export| keep_export(export, &self.handle.store));
        let (mut waiting, mut lost) = (0, HashSet::new());
        for kept in join_all(kept).await {
            waiting += kept.waiting;
            lost.extend(kept.lost);
        }
        if !lost.is_empty() {
            error!(
                events = lost.len(),
                "events are lost, each counted once: an export neither delivered nor stored them, \
                 and their source cannot give them again"
            );
        }
        (waiting, lost.len() as u64)
    }
}

/// What became of an export's events when it stopped.
#[derive(Debug, Default)]
pub(super) struct KeptExport {
    /// Events that wait in the store for the next start.
    pub(super) waiting: u64,
    /// Events that could not be kept, and that no source can give again.
    lost: Vec<Position>,
}

/// Stops an export and keeps in the store what no source can give again, and what others would get
/// again with it: as much as there is room for, from the front.
pub(super) async fn keep_export(export: &Arc<Export>, store: &Store) -> KeptExport {
    let mut left = VecDeque::from(export.stop().await);
    // All of them up to the last one that is shared: given again, the others would come behind it.
    let mut shared = left.iter().rposition(is_shared).map_or(0, |last| last + 1);
    let (mut trouble, mut most) = (None, KEEP_BYTES);
    while !left.is_empty() && trouble.is_none() {
        let mut bytes = most;
        let fits = |left: &&Left| {
            let fits = bytes > 0;
            bytes = bytes.saturating_sub(left.delivery.bytes());
            fits
        };
        let count = left.iter().take_while(fits).count();
        let rows = left.iter().take(count).enumerate();
        let rows: Vec<_> = rows.filter_map(|(at, left)| kept_delivery(left, at < shared)).collect();
        if !rows.is_empty() {
            trouble = store.keep(export.name(), rows).await.err();
        }
        if trouble == Some(StoreError::Full) && count > 1 {
            (trouble, most) = (None, most / 4);
            continue;
        }
        if trouble.is_none() {
            for (at, left) in left.drain(..count).enumerate() {
                settle_kept(left, at < shared);
            }
            shared = shared.saturating_sub(count);
        }
    }
    // What came from a row still stands in it.
    let lost = left.iter().filter(|left| is_lost(&left.delivery.claim));
    let lost: Vec<_> = lost.map(|left| left.delivery.event.origin.position).collect();
    if let Some(trouble) = trouble {
        error!(export = %export.name(), events = lost.len(), error = %trouble, "unsettled events could not be stored");
    }
    let total = store.queue_total(export.name());
    let waiting = total.events + total.waiting;
    if waiting > 0 {
        info!(export = %export.name(), events = waiting, "unsettled events wait in the store for the next start");
    }
    KeptExport { waiting, lost }
}

fn settle_kept(left: Left, shared: bool) {
    if let (Claim::Line { ack, .. }, true) = (left.delivery.claim, left.before_disk || shared) {
        ack.settle();
    }
}

/// Whether another export is done with the event, and would get it again.
fn is_shared(left: &Left) -> bool {
    matches!(&left.delivery.claim, Claim::Line { ack, .. } if ack.is_shared())
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
/// `shared`: up to it there is one that another export would get again.
fn kept_delivery(left: &Left, shared: bool) -> Option<Kept> {
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
        Claim::Line { repeatable: true, .. } if *before_disk || shared => due,
        Claim::Line { repeatable: true, .. } | Claim::Replay(_) => return None,
    };
    Kept::of(delivery, due)
}
