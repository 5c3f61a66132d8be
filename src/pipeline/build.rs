//! Building the parts: an export with its sink, what an earlier run left of it, and the ear that
//! hears what the store does.

use super::StartError;
use crate::config::{self, Config, Destination};
use crate::export::{Export, Width};
use crate::metrics::Metrics;
use crate::sink::Tls;
use crate::sink::console::{self, Console};
use crate::sink::file::{self, FileSink};
use crate::sink::webhook::{Webhook, WebhookSlot};
use crate::store::{Count, Restored, Selection, Store, StoreError, StoreFact};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Events of a queue that are read at once at start …
const RESTORE_PAGE: usize = 4_096;

/// … and bytes.
const RESTORE_BYTES: usize = 4 * 1024 * 1024;

/// Why the store failed last; nothing while it works.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreTrouble(Arc<Mutex<Option<String>>>);

impl StoreTrouble {
    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Builds an export with the sink that its destination names.
pub(super) fn export(
    config: &config::Export,
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
pub(super) async fn restore(export: &Arc<Export>, store: &Store) -> Result<(), StoreError> {
    let (mut after, mut damaged) = (0, 0);
    loop {
        let page =
            store.queue_page(export.name(), after, i64::MAX, RESTORE_PAGE, RESTORE_BYTES).await?;
        take_up(export, page.events);
        damaged += page.damaged;
        after = page.next;
        if page.done {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = store.waiting_page(export.name(), after, RESTORE_PAGE, RESTORE_BYTES).await?;
        take_up(export, page.events);
        damaged += page.damaged;
        after = page.next;
        if page.next_due.is_none() {
            break;
        }
    }
    if damaged > 0 {
        error!(export = %export.name(), events = damaged, "events of the queue could not be read; they stay in the store");
    }
    Ok(())
}

fn take_up(export: &Arc<Export>, events: Vec<Restored>) {
    if events.is_empty() {
        return;
    }
    let (now, instant) = (Timestamp::now(), Instant::now());
    let due =
        |due: Timestamp| instant + Duration::try_from(due.duration_since(now)).unwrap_or_default();
    let rows: Vec<_> = events.into_iter().map(|kept| (kept.delivery, kept.due.map(due))).collect();
    info!(export = %export.name(), events = rows.len(), "taken up from an earlier run");
    export.restore(rows);
}

/// What the store holds of exports that are no longer configured: dead letters that were being
/// replayed are dead again, so that `dlq replay --to` can take them; queued events stay and are
/// told of.
pub(super) async fn look_after_orphans(config: &Config, store: &Store) -> Result<(), StoreError> {
    let configured = |name: &str| config.exports.iter().any(|export| &*export.name == name);
    for export in store.totals().into_iter().filter_map(|total| total.export) {
        if !configured(&export) {
            let exports = vec![export.to_string()];
            store.unmark_replaying(&Selection { exports, ..Selection::default() }).await?;
        }
    }
    for export in store.queued_exports().await? {
        if !configured(&export) {
            warn!(
                export = %export,
                "events of an earlier run wait in the store for this export, which is not configured: \
                 configure it again to deliver them"
            );
        }
    }
    Ok(())
}

/// Tells the metrics what the store does, and remembers whether it works.
pub(super) fn observer(
    metrics: Arc<Metrics>,
    trouble: StoreTrouble,
) -> Box<dyn Fn(StoreFact<'_>) + Send> {
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
        StoreFact::Unreadable { export, events } => {
            error!(%export, events, "queued events of an export that is no longer configured could not be read; they stay in the store");
        }
        StoreFact::Removed { export, how, count } => {
            metrics.dead_letters_removed(export.unwrap_or_default(), how.as_str(), count);
        }
    })
}
