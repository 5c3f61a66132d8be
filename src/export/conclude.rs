//! What an attempt leads to: settled, tried again, held, paused, or buried.

use super::board::Taken;
use super::{Export, STORE_RETRY};
use crate::delivery::{Claim, Delivery, DeliveryId, Failure, Moment, Outcome};
use crate::metrics::AttemptOutcome;
use crate::retry::{Reason, Reply, Tries, Verdict, is_refusal};
use crate::store::{Fallback, Kept, Replaces};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A shorter wait is not written to disk: it is over before a restart is.
const KEEP_WAITS_FROM: Duration = Duration::from_secs(1);

/// After so many panics an event is poison.
const MAX_PANICS: u8 = 3;

impl Export {
    /// Ends one attempt for one delivery, as the policy says.
    pub(super) fn conclude(
        self: &Arc<Self>,
        flight: &mut Flight,
        started: Moment,
        outcome: Outcome,
        ended: Timestamp,
    ) {
        let Some(mut delivery) = flight.taken.deliveries.pop() else { return };
        let tries = &mut delivery.tries;
        if !matches!(outcome, Outcome::Unsendable { .. }) {
            tries.sent += 1;
            tries.used += 1;
            tries.last_at = Some(ended);
        }
        let took = started.instant.elapsed();
        match outcome {
            Outcome::Delivered(status) => {
                self.metrics.attempted(AttemptOutcome::Delivered, status, took);
                self.log.delivered(&delivery, status, took);
                self.delivered(delivery, ended);
            }
            Outcome::Failed(failure) => self.failed(flight, delivery, failure, took),
            Outcome::Unsendable { reason, error } => self.bury(delivery, reason, error),
        }
    }

    /// An endpoint took a delivery and asked to be left alone for this long.
    pub(super) fn spare(&self, endpoint: &str, wait: Duration) {
        self.metrics.retry_after_wait();
        self.board.spare(endpoint, wait.min(self.settings().policy.max_retry_after));
    }

    fn delivered(&self, delivery: Delivery, now: Timestamp) {
        let latency = Duration::try_from(now.duration_since(delivery.event.origin.accepted_at))
            .unwrap_or_default();
        self.metrics.delivered(latency);
        if self.is_durable() {
            self.board.delivered();
        }
        self.settle(delivery);
    }

    /// Ends a delivery's way: it arrived, or was given up on purpose.
    pub(super) fn settle(&self, delivery: Delivery) {
        self.poison.forget(delivery.id.as_str());
        let bytes = delivery.bytes();
        match &delivery.claim {
            Claim::Line { .. } => {}
            Claim::Row(row) => self.store.settle_row(&self.name, *row),
            Claim::Replay(id) => {
                self.store.replayed(*id);
                self.replaying().remove(id);
            }
        }
        self.board.settled(bytes, &delivery.claim);
        if let Claim::Line { ack, .. } = delivery.claim {
            ack.settle();
        }
    }

    fn failed(
        self: &Arc<Self>,
        flight: &Flight,
        mut delivery: Delivery,
        failure: Failure,
        took: Duration,
    ) {
        let endpoint = &flight.taken.endpoint;
        let verdict = self.verdict(&delivery, failure.reply, endpoint);
        let outcome = match verdict {
            Verdict::Delivered => AttemptOutcome::Delivered,
            Verdict::Retry(_) | Verdict::Hold(_) | Verdict::Pause => AttemptOutcome::Retry,
            Verdict::Dead(Reason::Rejected) => AttemptOutcome::Rejected,
            Verdict::Dead(_) => AttemptOutcome::Error,
        };
        self.metrics.attempted(outcome, failure.status(), took);
        let error = failure.error.clone();
        if let Verdict::Retry(wait) | Verdict::Hold(wait) = verdict {
            self.log.retry(&delivery, &failure, wait, took);
        }
        let last_status = failure.status();
        delivery.tries.last = Some(failure);
        match verdict {
            Verdict::Delivered => self.delivered(delivery, Timestamp::now()),
            Verdict::Retry(wait) => {
                self.keep_wait(&mut delivery, wait);
                let change = self.board.failed(endpoint);
                self.board.retry(delivery, wait);
                self.changed(endpoint, change, &error, last_status);
            }
            Verdict::Hold(wait) => {
                delivery.tries.used -= 1;
                self.metrics.retry_after_wait();
                self.keep_wait(&mut delivery, wait);
                self.board.hold(delivery, endpoint, wait);
            }
            Verdict::Pause => {
                delivery.tries.used -= 1;
                let change = self.board.pause(delivery, endpoint);
                self.changed(endpoint, change, &error, last_status);
            }
            Verdict::Dead(reason) => {
                if reason == Reason::RetriesExhausted {
                    let change = self.board.failed(endpoint);
                    self.changed(endpoint, change, &error, last_status);
                }
                self.bury(delivery, reason, error);
            }
        }
    }

    fn verdict(&self, delivery: &Delivery, reply: Reply, endpoint: &str) -> Verdict {
        let elapsed =
            delivery.tries.first_at.map_or(Duration::ZERO, |first| first.instant.elapsed());
        let refusals = match reply {
            Reply::Status { code, told: None, .. } if is_refusal(code) => {
                self.board.refused(endpoint)
            }
            Reply::Status { .. } | Reply::None => 0,
        };
        let tries = Tries { used: delivery.tries.used, elapsed, refusals };
        match self.settings().policy.decide(tries, reply, random()) {
            // Nobody is left to wait for.
            Verdict::Pause if self.board.is_lifted() => Verdict::Dead(Reason::EndpointGone),
            verdict => verdict,
        }
    }

    /// What stands on disk keeps its wait there, so that it outlives the process.
    fn keep_wait(&self, delivery: &mut Delivery, wait: Duration) {
        let Claim::Row(old) = delivery.claim else { return };
        if wait < KEEP_WAITS_FROM {
            return;
        }
        // A place of its own takes room: on a full disk it stays in the row that it has.
        if old.due_ms.is_none() && self.store.is_full() {
            return;
        }
        let due = Timestamp::now().checked_add(wait).ok();
        let rendered_at = delivery.tries.first_at.map(|first| first.wall);
        let Some(kept) = Kept::of(delivery, due, rendered_at) else { return };
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
            while let Some(delivery) = flight.taken.deliveries.last() {
                let export = &flight.export;
                let letter = delivery.dead_letter(&export.name, reason, &error);
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
                        flight.buried(buried.id, reason, &error);
                    }
                    Err(trouble) => {
                        export.log.store_trouble(&trouble);
                        tokio::time::sleep(STORE_RETRY).await;
                    }
                }
            }
        });
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
            rendered_at: None,
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

/// What a task has taken off the board. Dropped before it is settled, as by a panic, it goes back:
/// it counts as not delivered.
pub(super) struct Flight {
    export: Arc<Export>,
    pub(super) taken: Taken,
    /// Whether the task is a slot.
    slot: bool,
}

impl Flight {
    pub(super) fn new(export: Arc<Export>, slot: bool) -> Self {
        Flight { export, taken: Taken::default(), slot }
    }

    fn buried(&mut self, id: i64, reason: Reason, error: &str) {
        let Some(delivery) = self.taken.deliveries.pop() else { return };
        self.export.log.dead_letter(&delivery, id, reason, error);
        self.export.metrics.dead_lettered(reason);
        self.export.poison.forget(delivery.id.as_str());
        let bytes = delivery.bytes();
        if let Claim::Replay(id) = &delivery.claim {
            self.export.replaying().remove(id);
        }
        self.export.board.settled(bytes, &delivery.claim);
        if let Claim::Line { ack, .. } = delivery.claim {
            ack.settle();
        }
    }

    /// What has panicked too often is buried, the rest goes on.
    fn set_poison_aside(&mut self) {
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
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random bytes the wait is just not spread.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
