//! Building the parts: an export with its sink, what an earlier run left of it, and the ear that
//! hears what the store does. What belongs to no configured export is looked after in `orphans`.

use super::StartError;
use crate::config::{self, Config, Destination};
use crate::event::SpentEvents;
use crate::export::{Export, Settings, Width};
use crate::metrics::Metrics;
use crate::poison::Poison;
use crate::sink::Tls;
use crate::sink::console::{self, Console};
use crate::sink::file::{self, FileSink};
use crate::sink::webhook::{Webhook, WebhookSlot};
use crate::store::{Count, DlqBounds, Store, StoreError, StoreFact, WhenFull};
use futures::future::select_all;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, info};

/// The store is checked after this time though nothing was settled.
const CHECK_AFTER: Duration = Duration::from_secs(10);

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

/// What an export is built from, made anew when its configuration changes.
pub(super) struct Built {
    address: String,
    settings: Settings,
}

/// Builds an export's settings with the sink that its destination names.
pub(super) fn settings(config: &config::Export, tls: &Tls) -> Result<Built, StartError> {
    let name = Arc::clone(&config.name);
    Ok(match &config.destination {
        Destination::Webhook(webhook) => {
            let problem = |problem| StartError::Export { export: name.to_string(), problem };
            let batch = config.batch.as_ref();
            let events = batch.map_or(1, |batch| batch.bounds.max_events);
            let width = Width { slots: webhook.concurrency.get(), batch: events };
            let address = webhook.url.masked();
            let webhook = Webhook::new(webhook, &config.body).map_err(problem)?;
            let webhook = Arc::new(webhook.redacting(config.redaction.as_ref()).batched(batch));
            let tls = tls.clone();
            let settings = Settings::new(config, width, move || {
                WebhookSlot::new(Arc::clone(&webhook), Arc::clone(&name), tls.clone())
            });
            Built { address, settings }
        }
        Destination::Console(stream) => {
            let (stream, format) = (*stream, config.format);
            let width = Width { slots: 1, batch: console::BATCH };
            let settings = Settings::new(config, width, move || Console::new(stream, format));
            Built { address: "console".to_owned(), settings }
        }
        Destination::File(output) => {
            let (output, format) = (output.clone(), config.format);
            let width = Width { slots: 1, batch: file::BATCH };
            let settings = Settings::new(config, width, move || {
                FileSink::new(output.clone(), Arc::clone(&name), format)
            });
            Built { address: "file".to_owned(), settings }
        }
    })
}

impl Built {
    /// An export that did not exist.
    pub(super) fn export(
        self,
        config: &config::Export,
        store: &Store,
        poison: &Arc<Poison>,
        spent: &Arc<SpentEvents>,
        metrics: &Metrics,
    ) -> Arc<Export> {
        let (store, poison, spent) = (store.clone(), Arc::clone(poison), Arc::clone(spent));
        Export::new(config, self.address, self.settings, store, poison, spent, metrics)
    }

    /// Changes an export that is at work.
    pub(super) fn configure(self, config: &config::Export, export: &Arc<Export>) {
        export.configure(config, self.address, self.settings);
    }
}

/// What dead letters may take up.
pub(super) fn dlq_bounds(dlq: &config::Dlq) -> DlqBounds {
    DlqBounds {
        max_bytes: dlq.max_bytes,
        max_age: dlq.max_age,
        when_full: if dlq.drop_oldest { WhenFull::DropOldest } else { WhenFull::Block },
    }
}

/// After an unclean stop the store is checked, beside the pipeline: once something is settled, or
/// nothing is for a while.
pub(super) fn check_store(store: &Store, exports: &[Arc<Export>]) {
    if !store.stopped_uncleanly() {
        return;
    }
    let (store, exports) = (store.clone(), exports.to_vec());
    tokio::spawn(async move {
        let settled: Vec<_> = exports.iter().map(|export| Box::pin(export.on_settled())).collect();
        if !settled.is_empty() {
            let _ = timeout(CHECK_AFTER, select_all(settled)).await;
        }
        if let Err(trouble) = store.start_check() {
            error!(error = %trouble, "the store could not be checked");
        }
    });
}

/// Takes up what was left of an export, under its name or a former one: by an earlier run, or in
/// this one, whose metrics know of it.
pub(super) async fn restore(
    export: &Arc<Export>,
    config: &config::Export,
    store: &Store,
    counted: bool,
) -> Result<(), StoreError> {
    for former in &config.former_names {
        let carried = store.rename_export(former, &config.name).await?;
        if carried > 0 {
            info!(export = %config.name, from = %former, rows = carried, "carried over from a former name");
        }
    }
    let events = export.restore(counted).await?;
    if events > 0 {
        info!(export = %export.name(), events, "taken up from the store");
    }
    Ok(())
}

/// Tells every export which one gets the events of its dead letters.
pub(super) fn fall_back(config: &Config, exports: &[Arc<Export>]) {
    for export in &config.exports {
        let find = |name: &str| exports.iter().find(|export| &**export.name() == name);
        if let Some(from) = find(&export.name) {
            from.fall_back_to(export.fallback.as_deref().and_then(find));
        }
    }
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
            // Damage that reading or tidying up meets keeps nothing from being stored. Who could
            // not read tells of it.
            if op != "commit" && matches!(error, StoreError::Corrupt(_)) {
                return;
            }
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
                    "the store is damaged: restart postrider, it saves what can be read"
                ),
                None => info!("the store was looked through after an unclean stop: it is whole"),
            }
            let mut troubles = trouble.lock();
            troubles.damage = troubles.damage.take().or(damage);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_trouble_until_it_has_room_again() {
        let trouble = StoreTrouble::default();
        let tell = observer(Metrics::new("hash"), trouble.clone());
        let committed = StoreFact::Committed { rows: 1, took: Duration::ZERO };
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
        let error = StoreError::Corrupt("a page".to_owned());
        tell(StoreFact::Failed { op: "read", error: &error });
        assert_eq!(trouble.get(), None, "what can't be read keeps nothing out");
    }
}
