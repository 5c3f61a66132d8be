//! Building the parts: an export with its sink, what an earlier run left of it, and the ear that
//! hears what the store does. What belongs to no configured export is looked after in `orphans`.

use super::StartError;
use crate::config::{self, Config, Destination};
use crate::export::{Export, Settings, Width};
use crate::metrics::Metrics;
use crate::sink::Tls;
use crate::sink::console::{self, Console};
use crate::sink::file::{self, FileSink};
use crate::sink::webhook::{Webhook, WebhookSlot};
use crate::store::{Count, Store, StoreError, StoreFact};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{error, info};

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
            let width = Width { slots: webhook.concurrency.get(), batch: 1 };
            let address = webhook.url.masked();
            let webhook = Arc::new(Webhook::new(webhook, config.body.as_ref()).map_err(problem)?);
            let tls = tls.clone();
            let settings = Settings::new(config, width, move || {
                WebhookSlot::new(Arc::clone(&webhook), Arc::clone(&name), tls.clone())
            });
            Built { address, settings }
        }
        Destination::Console(stream) => {
            let (stream, width) = (*stream, Width { slots: 1, batch: console::BATCH });
            let settings = Settings::new(config, width, move || Console::new(stream));
            Built { address: "console".to_owned(), settings }
        }
        Destination::File(output) => {
            let (output, width) = (output.clone(), Width { slots: 1, batch: file::BATCH });
            let settings = Settings::new(config, width, move || {
                FileSink::new(output.clone(), Arc::clone(&name))
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
        metrics: &Metrics,
    ) -> Arc<Export> {
        Export::new(config, self.address, self.settings, store.clone(), metrics)
    }

    /// Changes an export that is at work.
    pub(super) fn configure(self, config: &config::Export, export: &Arc<Export>) {
        export.configure(config, self.address, self.settings);
    }
}

/// Takes up what an earlier run left of an export, under its name or a former one.
pub(super) async fn restore(
    export: &Arc<Export>,
    config: &config::Export,
    store: &Store,
) -> Result<(), StoreError> {
    for former in &config.former_names {
        let carried = store.rename_export(former, &config.name).await?;
        if carried > 0 {
            info!(export = %config.name, from = %former, rows = carried, "carried over from a former name");
        }
    }
    let events = export.restore().await?;
    if events > 0 {
        info!(export = %export.name(), events, "taken up from an earlier run");
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
