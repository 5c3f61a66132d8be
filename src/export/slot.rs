//! One slot: takes, sends, concludes, until there has been nothing to do for a while or the
//! export's settings have changed.

use super::conclude::Flight;
use super::endpoint::EndpointName;
use super::{Export, SLOT_IDLE};
use crate::delivery::{Delivery, Moment, Outcome};
use crate::poison::FATAL;
use crate::retry::Reason;
use crate::sink::Sink;
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn run<S: Sink>(export: Arc<Export>, mut sink: S, generation: u64) {
    let mut flight = Flight::new(Arc::clone(&export), true);
    let mut outcomes = Vec::new();
    let batch = export.settings().width.batch;
    let stale = || export.generation.load(Ordering::Acquire) != generation;
    while export.board.take(&mut flight.taken, SLOT_IDLE, stale).await {
        if flight.taken.expired {
            export.bury_expired(&mut flight);
            continue;
        }
        if batch > 1 && !export.poison.watches() {
            export.board.take_more(&mut flight.taken, batch);
        }
        let started = Moment::now();
        for delivery in &mut flight.taken.deliveries {
            delivery.tries.first_at.get_or_insert(started);
        }
        match flight.taken.deliveries.first().map(|delivery| export.address(&sink, delivery)) {
            Some(Ok(Some(endpoint))) => {
                if !export.board.admit(&mut flight.taken, endpoint) {
                    continue;
                }
            }
            Some(Err(outcome)) => {
                export.board.attempt_cancelled();
                outcomes.push(outcome);
            }
            Some(Ok(None)) | None => {}
        }
        if outcomes.is_empty() {
            let deliveries = &flight.taken.deliveries;
            let id = deliveries.first().map_or("", |delivery| delivery.id.as_str());
            export.poison.watched(id, sink.send(deliveries, &mut outcomes)).await;
            if let Some(window) = export.board.attempt_ended() {
                export.store.save_limiter(&export.name, window);
            }
        }
        let ended = Timestamp::now();
        let well = matches!(outcomes.first(), Some(Outcome::Delivered(_)));
        while let Some(outcome) = outcomes.pop() {
            export.conclude(&mut flight, started, outcome, ended);
        }
        if well {
            export.metrics.last_delivery(ended);
        }
        export.endpoint_answered(&flight.taken, well);
        if let Some(wait) = sink.rest().filter(|_| well) {
            export.spare(&flight.taken.endpoint, wait);
        }
        flight.taken.probe = false;
    }
    if stale() {
        // Slots of the new settings take over.
        export.wake();
    }
}

impl Export {
    /// Where a delivery is to go, unless it has ended the process too often.
    fn address<S: Sink>(
        &self,
        sink: &S,
        delivery: &Delivery,
    ) -> Result<Option<EndpointName>, Outcome> {
        let id = delivery.id.as_str();
        if self.poison.is_poison(id) {
            let error = format!("postrider ended without warning {FATAL} times while it was sent");
            return Err(Outcome::Unsendable { reason: Reason::Poison, error });
        }
        let _watch = self.poison.watch(id);
        sink.endpoint(delivery)
    }

    /// Buries what waited longer than it may.
    fn bury_expired(self: &Arc<Self>, flight: &mut Flight) {
        for delivery in flight.taken.deliveries.drain(..) {
            let error = "it waited longer than queue.max_age".to_owned();
            self.bury(delivery, Reason::Expired, error);
        }
        flight.taken.expired = false;
    }
}
