//! Lines that are no events on their way to becoming dead letters. Where the dead-letter queue has
//! no room for them, some wait aside, so that the events beside them go on.

use crate::ack::Ack;
use crate::delivery::DeadLetter;
use crate::metrics::{SourceMetrics, TakenIn};
use crate::poison::Poison;
use crate::repeats::Repeats;
use crate::store::{Replaces, STORE_RETRY, Store, StoreError};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::{error, warn};

/// How many bytes of letters of one source may wait aside. Its other lines wait with the next one.
const ASIDE_BYTES: u32 = 1024 * 1024;

/// What a letter counts at least: no more than 1,024 wait aside.
const LETTER_BYTES: u32 = 1024;

/// Writes down what of a source's lines is no event.
#[derive(Debug)]
pub(super) struct Burials {
    source: Arc<str>,
    /// What each letter takes the place of.
    replaces: Replaces,
    store: Store,
    poison: Arc<Poison>,
    metrics: SourceMetrics,
    repeats: Repeats,
    aside: Arc<Semaphore>,
}

impl Burials {
    /// Of a source that can, or cannot, give a line again after a restart.
    pub(super) fn new(
        source: &Arc<str>,
        repeatable: bool,
        store: Store,
        poison: Arc<Poison>,
        metrics: SourceMetrics,
    ) -> Arc<Self> {
        Arc::new(Burials {
            source: Arc::clone(source),
            replaces: if repeatable { Replaces::Nothing } else { Replaces::OnlyCopy },
            store,
            poison,
            metrics,
            repeats: Repeats::default(),
            aside: Arc::new(Semaphore::new(ASIDE_BYTES as usize)),
        })
    }

    /// Writes a bad line down, and settles it only then. Returns when that is done, or when it
    /// waits aside for room.
    pub(super) async fn bury(self: &Arc<Self>, letter: DeadLetter, count: TakenIn, ack: Ack) {
        let Err(trouble) = self.write(&letter).await else {
            return self.buried(&letter, count, ack);
        };
        let place = match trouble {
            StoreError::NoRoom(_) => self.place_aside(&letter),
            _ => None,
        };
        let is_aside = place.is_some();
        let insisting = Arc::clone(self).insist(letter, count, ack, place);
        if is_aside {
            tokio::spawn(insisting);
        } else {
            insisting.await;
        }
    }

    /// Waits until nothing waits aside any more.
    pub(super) async fn ended(&self) {
        // It is never closed.
        drop(self.aside.acquire_many(ASIDE_BYTES).await);
    }

    fn place_aside(&self, letter: &DeadLetter) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(letter.text.len()).unwrap_or(ASIDE_BYTES);
        let bytes = bytes.clamp(LETTER_BYTES, ASIDE_BYTES);
        Arc::clone(&self.aside).try_acquire_many_owned(bytes).ok()
    }

    async fn insist(
        self: Arc<Self>,
        letter: DeadLetter,
        count: TakenIn,
        ack: Ack,
        _place: Option<OwnedSemaphorePermit>,
    ) {
        loop {
            sleep(STORE_RETRY).await;
            if self.write(&letter).await.is_ok() {
                return self.buried(&letter, count, ack);
            }
        }
    }

    async fn write(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let written = self.store.bury(letter.clone(), self.replaces.clone(), None).await;
        if let Err(trouble) = &written
            && let Some(suppressed) = self.repeats.allow("store", "")
        {
            let source = &*self.source;
            error!(source, error = %trouble, suppressed, "a bad line could not be stored and waits");
        }
        written.map(|_| ())
    }

    fn buried(&self, letter: &DeadLetter, count: TakenIn, ack: Ack) {
        self.poison.forget(letter.delivery_id.as_str());
        if let Some(suppressed) = self.repeats.allow(letter.reason.as_str(), "") {
            let (source, reason) = (&*self.source, letter.reason.as_str());
            warn!(source, reason, error = letter.last_error, suppressed, "dead_letter");
        }
        self.metrics.took_in(count, letter.accepted_at);
        self.metrics.dead_lettered(letter.reason);
        ack.settle();
    }
}
