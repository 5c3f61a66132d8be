//! What the configuration says of an export at work.

use super::{Export, slot};
use crate::config;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::filter::Filter;
use crate::redact::Redaction;
use crate::retry::Policy;
use crate::sink::Sink;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What the configuration says of an export; swapped as a whole between two attempts.
pub struct Settings {
    /// What it takes.
    pub filter: Filter,
    /// What of an event it must not carry.
    redaction: Option<Arc<Redaction>>,
    /// Changes with every key.
    pub digest: config::Digest,
    pub(super) target: config::Digest,
    pub(super) policy: Policy,
    pub(super) width: Width,
    pub(super) start_slot: StartSlot,
}

/// Starts a slot with its own sink, for as long as the settings are of this generation.
pub(super) type StartSlot = Box<dyn Fn(Arc<Export>, u64) -> BoxFuture<'static, ()> + Send + Sync>;

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({:?})", self.digest)
    }
}

/// How many attempts may be under way at once, and how many deliveries one of them may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Attempts at once.
    pub slots: usize,
    /// Deliveries in one.
    pub batch: usize,
}

impl Settings {
    /// Settings whose slots send through the sinks that `open` makes.
    pub fn new<S: Sink>(
        config: &config::Export,
        width: Width,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Settings {
        Settings {
            filter: config.filter.clone(),
            redaction: config.redaction.clone(),
            digest: config.digest,
            target: config.target,
            policy: config.retry.clone(),
            width,
            start_slot: Box::new(move |export, generation| {
                Box::pin(slot::run(export, open(), generation))
            }),
        }
    }
}

impl Settings {
    /// An event as this export may carry it.
    pub fn redacted(&self, event: &Arc<Event>) -> Arc<Event> {
        match &self.redaction {
            Some(redaction) => redaction.event(event),
            None => Arc::clone(event),
        }
    }

    /// Redacts what comes back from the store: it may have been written before the export was told
    /// what not to carry, or by another one. What was redacted before stays as it is.
    pub(super) fn redact(&self, delivery: &mut Delivery) {
        if let Some(redaction) = &self.redaction {
            delivery.replace_event(redaction.event(&delivery.event));
        }
    }
}
