//! What the store holds of exports that are not configured: found at start, or left by one that a
//! reload has removed. It is kept for a while, in case the export comes back; then its queued
//! events become dead letters, which can be replayed elsewhere.

use crate::metrics::{ExportMetrics, Metrics};
use crate::retry::Reason;
use crate::store::{STORE_RETRY, Selection, Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Queued events are kept for so many times `shutdown_grace`.
const KEPT_FOR_GRACES: u32 = 6;

/// Events that are buried at once.
const BURY_AT_ONCE: usize = 1_024;

/// The queues of exports that are not configured, each with its burial.
#[derive(Debug, Clone)]
pub(super) struct Orphans(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    metrics: Arc<Metrics>,
    burials: Mutex<HashMap<Arc<str>, Burial>>,
}

/// The end of one queue that nobody claims. Its task ends by itself when it is told to, never in
/// the middle of what it buries at once: that is counted when it is done.
#[derive(Debug)]
struct Burial {
    called_off: CancellationToken,
    task: JoinHandle<()>,
}

impl Orphans {
    pub(super) fn new(store: &Store, metrics: &Arc<Metrics>) -> Self {
        let (store, metrics) = (store.clone(), Arc::clone(metrics));
        Orphans(Arc::new(Inner { store, metrics, burials: Mutex::default() }))
    }

    /// Looks after what belongs to none of the configured exports. `removed` were at work until
    /// now, so their metrics know of their events; those of others are counted as restored.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn look_after(
        &self,
        configured: impl Fn(&str) -> bool,
        removed: &[Arc<str>],
        grace: Duration,
    ) -> Result<(), StoreError> {
        let store = &self.0.store;
        for export in store.totals().into_iter().filter_map(|total| total.export) {
            if !configured(&export) {
                // Dead again, so that `dlq replay --to` can take them.
                let exports = vec![export.to_string()];
                store.unmark_replaying(&Selection { exports, ..Selection::default() }).await?;
            }
        }
        let mut exports = store.queued_exports().await?;
        // A chunk may still be on its way to what was removed.
        let late: Vec<_> = removed.iter().filter(|name| !exports.contains(name)).collect();
        exports.extend(late.into_iter().map(Arc::clone));
        for export in exports {
            if configured(&export) {
                continue;
            }
            let events = store.queue_total(&export).all();
            let metrics = self.0.metrics.export(&export, 0);
            let before = self.burials().get(&export).map(|burial| burial.task.is_finished());
            // Those that were looked after before were counted then.
            if !removed.contains(&export) && before.is_none() {
                metrics.restored(events);
            }
            metrics.on_disk(events);
            if before == Some(false) {
                // Another reload gives them no more time.
                continue;
            }
            let kept_for = grace * KEPT_FOR_GRACES;
            if events > 0 {
                warn!(
                    export = %export, events, kept_for_s = kept_for.as_secs_f64(),
                    "events wait in the store for an export that is not configured: configure it again, \
                     or name it in another one's `former_names`, else they become dead letters"
                );
            }
            let called_off = CancellationToken::new();
            let bury =
                bury(store.clone(), metrics, Arc::clone(&export), kept_for, called_off.clone());
            self.burials().insert(export, Burial { called_off, task: tokio::spawn(bury) });
        }
        Ok(())
    }

    /// An export is configured again, or goes on under another name: what waits is its own.
    pub(super) async fn reclaim(&self, export: &str) {
        let burial = self.burials().remove(export);
        let Some(Burial { called_off, task }) = burial else { return };
        called_off.cancel();
        // It ends with what it has begun to bury.
        let _ = task.await;
    }

    /// Ends the waiting, and with it what is being buried; what is in the store is found at the next
    /// start.
    pub(super) async fn stop(&self) {
        let burials = std::mem::take(&mut *self.burials());
        burials.values().for_each(|burial| burial.called_off.cancel());
        for burial in burials.into_values() {
            let _ = burial.task.await;
        }
    }

    fn burials(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Burial>> {
        self.0.burials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Buries the queue of an export after a while, some events at a time.
async fn bury(
    store: Store,
    metrics: ExportMetrics,
    export: Arc<str>,
    kept_for: Duration,
    called_off: CancellationToken,
) {
    let mut wait = kept_for;
    let mut buried = 0;
    while timeout(wait, called_off.cancelled()).await.is_err() {
        wait = Duration::ZERO;
        match store.bury_removed(&export, BURY_AT_ONCE).await {
            Ok(0) => break,
            Ok(count) => {
                buried += count;
                metrics.dead_lettered_many(Reason::ExportRemoved, count);
                metrics.on_disk(store.queue_total(&export).all());
            }
            Err(trouble) => {
                error!(export = %export, error = %trouble, "events of a removed export could not be buried and wait");
                wait = STORE_RETRY;
            }
        }
    }
    if buried > 0 {
        warn!(export = %export, dead_letters = buried, reason = "export_removed", "dead_letter");
    }
}
