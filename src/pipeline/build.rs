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
use crate::store::{Count, Selection, Store, StoreError, StoreFact};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Rows of a queue that are read at once at start.
const RESTORE_PAGE: usize = 64;

/// What is wrong with the store.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreTrouble(Arc<Mutex<Troubles>>);

#[derive(Debug, Default)]
struct Troubles {
    /// Why it failed last; nothing once it works again.
    failure: Option<String>,
    /// Whether it takes nothing in because the disk is full. A commit that frees room does not
    /// end that.
    full: bool,
    /// What a check found damaged.
    damage: Option<String>,
}

impl StoreTrouble {
    fn lock(&self) -> MutexGuard<'_, Troubles> {
        // It is changed in one step, so a panic elsewhere leaves nothing half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it can't take events in; nothing while it can.
    pub(super) fn get(&self) -> Option<String> {
        let troubles = self.lock();
        if troubles.full {
            return Some(StoreError::Full.to_string());
        }
        troubles.failure.clone()
    }

    /// What is damaged of it.
    pub(super) fn damage(&self) -> Option<String> {
        self.lock().damage.clone()
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
    let mut after = 0;
    loop {
        let page = store.restore(export.name(), after, RESTORE_PAGE).await?;
        let (now, instant) = (Timestamp::now(), Instant::now());
        let due = |due: Timestamp| {
            instant + Duration::try_from(due.duration_since(now)).unwrap_or_default()
        };
        let rows: Vec<_> =
            page.items.into_iter().map(|kept| (kept.delivery, kept.due.map(due))).collect();
        if !rows.is_empty() {
            info!(export = %export.name(), events = rows.len(), "taken up from an earlier run");
            export.restore(rows);
        }
        if page.skipped > 0 {
            error!(export = %export.name(), rows = page.skipped, "rows of the queue could not be read; they stay in the store");
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
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
            trouble.lock().failure = None;
        }
        StoreFact::Failed { op, error } => {
            metrics.store_error(op);
            trouble.lock().failure = Some(error.to_string());
        }
        StoreFact::Room { full } => {
            // Where nothing waits to be written, no commit says that it works again.
            let mut troubles = trouble.lock();
            troubles.full = full;
            troubles.failure = None;
        }
        StoreFact::Checked { damage } => {
            match &damage {
                Some(damage) => error!(
                    %damage,
                    "the store is damaged: the next start saves what can be read of it"
                ),
                None => info!("the store was looked through after an unclean stop: it is whole"),
            }
            trouble.lock().damage = damage;
        }
        StoreFact::Total { export, count: Count { letters, bytes, .. } } => {
            metrics.dead_letters(
                export.unwrap_or_default(),
                letters.max(0) as u64,
                bytes.max(0) as u64,
            );
        }
        StoreFact::Removed { export, how, count } => {
            metrics.dead_letters_removed(export.unwrap_or_default(), how.as_str(), count);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_trouble_until_it_has_room_again() {
        let trouble = StoreTrouble::default();
        let tell = observer(Metrics::new("hash"), trouble.clone());
        let committed =
            StoreFact::Committed { rows: 1, took: Duration::ZERO, synced: Duration::ZERO };
        tell(StoreFact::Failed { op: "commit", error: &StoreError::Busy("sqlite3".to_owned()) });
        assert!(trouble.get().is_some_and(|trouble| trouble.contains("sqlite3")));
        tell(committed.clone());
        assert_eq!(trouble.get(), None);
        tell(StoreFact::Failed { op: "commit", error: &StoreError::Full });
        tell(StoreFact::Room { full: true });
        tell(committed);
        let full = StoreError::Full.to_string();
        assert_eq!(trouble.get(), Some(full), "what frees room does not end it");
        tell(StoreFact::Room { full: false });
        assert_eq!(trouble.get(), None);
        tell(StoreFact::Checked { damage: Some("a page".to_owned()) });
        assert_eq!((trouble.get(), trouble.damage()), (None, Some("a page".to_owned())));
    }
}
