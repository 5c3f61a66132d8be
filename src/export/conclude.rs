//! What the end of a delivery takes: a wait that is kept on disk, a dead letter that is written, and
//! what a task holds going back if it never comes to that. What an attempt leads to stands in
//! `request`.

use super::board::{Settlement, Taken};
use super::{Export, overflow};
use crate::delivery::{Claim, Delivery, DeliveryId};
use crate::retry::Reason;
use crate::store::{Fallback, Kept, Replaces, STORE_RETRY, StoreError};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A shorter wait is not written to disk: it is over before a restart is.
const KEEP_WAITS_FROM: Duration = Duration::from_secs(1);

/// So many dead letters that wait for room ask for it each [`STORE_RETRY`].
const ASK_AT_ONCE: u32 = 256;

/// After so many panics an event is poison.
const MAX_PANICS: u8 = 3;

impl Export {
    /// An endpoint took a delivery and asked to be left alone for this long.
    pub(super) fn spare(&self, endpoint: &str, wait: Duration) {
        self.metrics.retry_after_wait();
        self.board.spare(endpoint, wait.min(self.settings().policy.max_retry_after));
    }

    /// What stands on disk keeps its wait there, so that it outlives the process.
    pub(super) fn keep_wait(&self, delivery: &mut Delivery, wait: Duration, ended: Timestamp) {
        let Claim::Row(old) = delivery.claim else { return };
        // In strict order it keeps its place before the others: the time of its wait would not.
        if wait < KEEP_WAITS_FROM || self.board.is_strict() {
            return;
        }
        // A place of its own takes room: on a full disk it stays in the row that it has.
        if old.due_ms.is_none() && self.store.is_full() {
            return;
        }
        let due = ended.checked_add(wait).ok();
        let Some(kept) = Kept::of(delivery, due) else { return };
        // Before anyone can read it there: it keeps its number.
        self.board.reschedule(old);
        if let Some(row) = self.store.reschedule(&self.name, kept) {
            delivery.claim = Claim::Row(row);
        }
    }

    /// Writes a dead letter down, and settles only then. Holds no slot meanwhile.
    pub(super) fn bury(self: &Arc<Self>, delivery: Delivery, reason: Reason, error: String) {
        self.bury_with(delivery, reason, error, None);
    }

    /// Like [`Export::bury`]; gives the permit back when it is done.
    pub(super) fn bury_with(
        self: &Arc<Self>,
        delivery: Delivery,
        reason: Reason,
        error: String,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let mut flight = Flight::new(Arc::clone(self), false);
        flight.taken.deliveries.push(delivery);
        self.spawn(async move {
            let _permit = permit;
            bury_in_the_end(flight, reason, &error).await;
        });
    }

    /// Puts a delivery that was taken off the board back on it.
    pub(super) fn give_back(self: &Arc<Self>, delivery: Delivery) {
        let mut flight = Flight::new(Arc::clone(self), false);
        flight.taken.deliveries.push(delivery);
    }

    /// Where the event of a dead letter goes too: once, and not if it was replayed in vain.
    fn fallback(&self, delivery: &Delivery) -> Option<(Arc<Export>, Fallback)> {
        if delivery.fallback || matches!(delivery.claim, Claim::Replay(_)) {
            return None;
        }
        let to = self.fallback.read().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        let event = to.settings().redacted(&delivery.event);
        if event.about.as_ref() == Some(&to.name) {
            return None;
        }
        let kept = Kept {
            id: DeliveryId::new(&to.name, &event.origin.position),
            event,
            tries: Default::default(),
            due: Some(Timestamp::now()),
            replaces: None,
            fallback: true,
        };
        let export = Arc::clone(&to.name);
        Some((to, Fallback { export, kept }))
    }

    /// Another export's dead letter was written to this one's queue.
    fn fallen_back(self: &Arc<Self>) {
        self.metrics.replayed(1);
        self.board.fallen_back();
        self.work_on_disk();
    }
}

/// Writes the dead letter of what was taken, however long that takes.
async fn bury_in_the_end(mut flight: Flight, reason: Reason, error: &str) {
    let export = Arc::clone(&flight.export);
    let mut place = None;
    while let Some(delivery) = flight.taken.deliveries.last_mut() {
        let letter = delivery.dead_letter(&export.name, reason, error);
        let replaces = Replaces::of(&export.name, &delivery.claim);
        let fallback = export.fallback(delivery);
        let to = fallback.as_ref().map(|(to, _)| Arc::clone(to));
        let kept = fallback.map(|(_, fallback)| fallback);
        let Some(burying) = export.board.burying() else { return };
        let buried = export.store.bury(letter, replaces, kept).await;
        drop(burying);
        match buried {
            Ok(buried) => {
                if let (Some(to), Some(_)) = (to, buried.fallback_row) {
                    to.fallen_back();
                }
                drop(place.take());
                flight.buried(buried.id, reason, error);
            }
            Err(trouble) => {
                export.log.store_trouble(&trouble);
                if let StoreError::NoRoom(_) = trouble {
                    overflow::write_aside(&export, delivery).await;
                    place = place.or_else(|| export.board.step_aside(delivery));
                }
                // The more of them wait, the less often each of them asks.
                let others = u32::try_from(export.board.aside()).unwrap_or(u32::MAX);
                tokio::time::sleep(STORE_RETRY * (1 + others / ASK_AT_ONCE)).await;
            }
        }
    }
}

/// What a task has taken off the board. Dropped before it is settled, as by a panic, it goes back:
/// it counts as not delivered.
pub(super) struct Flight {
    export: Arc<Export>,
    pub(super) taken: Taken,
    /// What its endpoint keeps back, or is to be sent in parts.
    pub(super) again: Vec<Delivery>,
    /// What is tried again, and when.
    pub(super) waiting: Vec<(Instant, Delivery)>,
    /// What is settled and still to be told of.
    pub(super) settled: Settlement,
    /// Whether the task is a slot.
    slot: bool,
    /// Whether the deliveries stand the other way round.
    turned: bool,
}

impl Flight {
    pub(super) fn new(export: Arc<Export>, slot: bool) -> Self {
        Flight {
            export,
            taken: Taken::default(),
            again: Vec::new(),
            waiting: Vec::new(),
            settled: Settlement::default(),
            slot,
            turned: false,
        }
    }

    /// Turns the order of what was taken round, so that the first one can be popped.
    pub(super) fn turn_round(&mut self) {
        self.taken.deliveries.reverse();
        self.turned = !self.turned;
    }

    fn buried(&mut self, id: i64, reason: Reason, error: &str) {
        let Some(delivery) = self.taken.deliveries.pop() else { return };
        self.export.log.dead_letter(&delivery, id, reason, error);
        self.export.metrics.dead_lettered(reason);
        self.export.poison.forget(delivery.id.as_str());
        if let Claim::Replay(id) = &delivery.claim {
            self.export.replay_ended(*id, &delivery);
        }
        self.settled.add(delivery);
        self.export.settle_all(&mut self.settled);
    }

    /// What has panicked too often is buried, the rest goes on. Which of many it was only shows when
    /// they go apart.
    fn set_poison_aside(&mut self) {
        let deliveries = &mut self.taken.deliveries;
        if deliveries.len() > 1 {
            return self.export.board.halve(deliveries, self.taken.uniform);
        }
        for delivery in &mut self.taken.deliveries {
            delivery.panics = delivery.panics.saturating_add(1);
        }
        let poison: Vec<_> = self
            .taken
            .deliveries
            .extract_if(.., |delivery| delivery.panics >= MAX_PANICS)
            .collect();
        for delivery in poison {
            let error = "handling it failed three times by a defect in postrider".to_owned();
            self.export.bury(delivery, Reason::Poison, error);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.turned {
            self.turn_round();
        }
        self.export.settle_all(&mut self.settled);
        self.export.board.retry(&mut self.waiting);
        if !self.again.is_empty() {
            self.export.board.form(vec![std::mem::take(&mut self.again)], true);
        }
        if self.slot && std::thread::panicking() {
            self.export.board.slot_lost();
            self.set_poison_aside();
        }
        if !self.taken.deliveries.is_empty() {
            self.export.board.give_back(&mut self.taken);
        }
        if self.slot && std::thread::panicking() {
            self.export.wake();
        }
    }
}

/// A number from 0 up to 1, for the jitter.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random bytes the wait is just not spread.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
