//! What one request leads to for the deliveries that it carried: each is settled, tried again,
//! held, paused or buried by itself; what concerns the request or its endpoint is counted once.

use super::Export;
use super::board::Settlement;
use super::conclude::{Flight, random};
use crate::ack::Ack;
use crate::delivery::{Claim, Delivery, Failure, Moment, Outcome};
use crate::metrics::AttemptOutcome;
use crate::retry::{Reason, Reply, Tries, Verdict, is_refusal};
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What all deliveries of one request share.
struct Answered {
    started: Moment,
    took: Duration,
    ended: Timestamp,
    /// The same moment, for waits.
    at: Instant,
    /// Drawn when it is needed, and the same for all: what failed together is due together.
    random: Option<f64>,
    /// Whether the queue's mode is `disk`.
    durable: bool,
    /// Whether the deliveries went in one request, or each is counted as one.
    whole: bool,
    /// Whether the request has been counted.
    counted: bool,
    /// Whether its failure has.
    failed: bool,
    /// Refusals in a row, this one counted.
    refusals: Option<u32>,
    /// What becomes of those that wait for their endpoint.
    waits: Option<Waits>,
}

/// What deliveries wait for that their endpoint keeps back.
enum Waits {
    /// The time that the receiver asked for.
    Hold(Duration),
    /// That a probe succeeds.
    Pause,
}

impl Answered {
    /// Whether this is the first of its request.
    fn is_first(&mut self) -> bool {
        !std::mem::replace(&mut self.counted, self.whole)
    }
}

/// Whether a receiver that says this may mean a single event of many.
fn blames_one(outcome: &Outcome) -> bool {
    let Outcome::Failed(failure) = outcome else { return false };
    matches!(failure.reply, Reply::Status { code: 400 | 413 | 422, .. })
}

impl Export {
    /// Ends one attempt for all deliveries that it was made with, as the policy says; `whole` says
    /// that they went in one request. What was not in it goes next. Returns whether the endpoint
    /// took anything.
    pub(super) fn conclude(
        self: &Arc<Self>,
        flight: &mut Flight,
        started: Moment,
        outcomes: &mut Vec<Outcome>,
        whole: bool,
    ) -> bool {
        let (ended, at) = (Timestamp::now(), Instant::now());
        let took = at.saturating_duration_since(started.instant);
        if outcomes.len() < flight.taken.deliveries.len() {
            let rest = flight.taken.deliveries.split_off(outcomes.len());
            self.board.form(vec![rest], true);
        }
        let well = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_)));
        if well {
            self.metrics.last_delivery(ended);
        }
        let mut answered = Answered {
            started,
            took,
            ended,
            at,
            random: None,
            durable: self.is_durable(),
            whole,
            counted: false,
            failed: false,
            refusals: None,
            waits: None,
        };
        let halved = whole && outcomes.iter().filter(|outcome| blames_one(outcome)).count() > 1;
        self.arrived(&flight.taken.deliveries, outcomes, &answered);
        // Taken from the end: turned round, the first is the first again.
        flight.turn_round();
        outcomes.reverse();
        while let Some(outcome) = outcomes.pop() {
            let Some(mut delivery) = flight.taken.deliveries.pop() else { break };
            if !matches!(outcome, Outcome::Unsendable { .. }) {
                delivery.tries.sent += 1;
                delivery.tries.used += u32::from(!(halved && blames_one(&outcome)));
                delivery.tries.last_at = Some(ended);
            }
            match outcome {
                Outcome::Delivered(status) => {
                    if answered.is_first() {
                        self.metrics.attempted(AttemptOutcome::Delivered, status, took);
                    }
                    self.log.delivered(&delivery, status, took);
                    self.settle_with(delivery, &mut flight.settled);
                }
                Outcome::Failed(failure) if halved => {
                    if answered.is_first() {
                        self.metrics.attempted(AttemptOutcome::Retry, failure.status(), took);
                    }
                    delivery.tries.last = Some(failure);
                    flight.again.push(delivery);
                }
                Outcome::Failed(failure) => {
                    self.failed(flight, &mut answered, delivery, failure);
                }
                Outcome::Unsendable { reason, error } => self.bury(delivery, reason, error),
            }
        }
        outcomes.clear();
        flight.turn_round();
        self.settle_all(&mut flight.settled);
        self.board.retry(&mut flight.waiting);
        if halved {
            self.log.halved(flight.again.len(), flight.again.last());
            self.board.halve(&mut flight.again, true);
        }
        self.await_endpoint(flight, answered);
        well
    }

    /// Counts what arrived. Events of a chunk were accepted at the same time; to learn it each has
    /// to be fetched from memory, which is done for many at once where nothing else happens between.
    fn arrived(&self, deliveries: &[Delivery], outcomes: &[Outcome], answered: &Answered) {
        let arrived = deliveries.iter().zip(outcomes);
        let arrived = arrived.filter(|(_, outcome)| matches!(outcome, Outcome::Delivered(_)));
        let mut accepted = arrived.map(|(delivery, _)| delivery.event.origin.accepted_at);
        let Some(mut at) = accepted.next() else { return };
        let mut events = 1;
        for next in accepted {
            if next != at {
                self.arrived_together(events, at, answered);
                (at, events) = (next, 0);
            }
            events += 1;
        }
        self.arrived_together(events, at, answered);
    }

    /// Counts events that were accepted at the same time.
    fn arrived_together(&self, events: usize, accepted_at: Timestamp, answered: &Answered) {
        let latency = answered.ended.duration_since(accepted_at);
        self.metrics.delivered(events, Duration::try_from(latency).unwrap_or_default());
        if answered.durable {
            self.board.delivered();
        }
    }

    fn failed(
        self: &Arc<Self>,
        flight: &mut Flight,
        answered: &mut Answered,
        mut delivery: Delivery,
        mut failure: Box<Failure>,
    ) {
        let endpoint = &flight.taken.endpoint;
        // Neither the event nor its receiver is to blame for what this process lacks.
        let ours = failure.trouble == Trouble::OutOfFiles;
        failure.took = Some(answered.took);
        delivery.tries.used -= u32::from(ours);
        let verdict = self.verdict(&delivery, failure.reply, endpoint, answered);
        let first = answered.is_first();
        if first {
            let outcome = match verdict {
                Verdict::Delivered => AttemptOutcome::Delivered,
                Verdict::Retry(_) | Verdict::Hold(_) | Verdict::Pause => AttemptOutcome::Retry,
                Verdict::Dead(Reason::Rejected) => AttemptOutcome::Rejected,
                Verdict::Dead(_) => AttemptOutcome::Error,
            };
            self.metrics.attempted(outcome, failure.status(), answered.took);
            if let Verdict::Retry(wait) | Verdict::Hold(wait) = verdict {
                self.log.retry(&delivery, &failure, wait);
            }
        }
        let error = failure.error.clone();
        delivery.tries.last = Some(failure);
        match verdict {
            Verdict::Delivered => {
                self.arrived_together(1, delivery.event.origin.accepted_at, answered);
                self.settle(delivery);
            }
            Verdict::Retry(wait) => {
                self.keep_wait(&mut delivery, wait, answered.ended);
                if !ours {
                    self.endpoint_failed(endpoint, answered, &delivery);
                }
                flight.waiting.push((answered.at + wait, delivery));
            }
            Verdict::Hold(wait) => {
                delivery.tries.used -= 1;
                if first {
                    self.metrics.retry_after_wait();
                }
                self.keep_wait(&mut delivery, wait, answered.ended);
                answered.waits = Some(Waits::Hold(wait));
                flight.again.push(delivery);
            }
            Verdict::Pause => {
                delivery.tries.used -= 1;
                answered.waits = Some(Waits::Pause);
                flight.again.push(delivery);
            }
            Verdict::Dead(reason) => {
                if reason == Reason::RetriesExhausted && !ours {
                    self.endpoint_failed(endpoint, answered, &delivery);
                }
                self.bury(delivery, reason, error);
            }
        }
    }

    /// Counts a request that failed without any event being to blame.
    fn endpoint_failed(
        self: &Arc<Self>,
        endpoint: &str,
        answered: &mut Answered,
        delivery: &Delivery,
    ) {
        if !std::mem::replace(&mut answered.failed, answered.whole) {
            let change = self.board.failed(endpoint);
            self.changed(endpoint, change, delivery.tries.last.as_deref());
        }
    }

    /// Lets what its endpoint keeps back wait there.
    fn await_endpoint(self: &Arc<Self>, flight: &mut Flight, answered: Answered) {
        let Flight { taken, again, .. } = flight;
        match answered.waits {
            Some(Waits::Hold(wait)) => self.board.hold(again, &taken.endpoint, answered.at + wait),
            Some(Waits::Pause) => {
                let last = again.last().and_then(|delivery| delivery.tries.last.clone());
                let change = self.board.pause(again, &taken.endpoint);
                self.changed(&taken.endpoint, change, last.as_deref());
            }
            None => {}
        }
    }

    fn verdict(
        &self,
        delivery: &Delivery,
        reply: Reply,
        endpoint: &str,
        answered: &mut Answered,
    ) -> Verdict {
        let first_at = delivery.tries.first_at.unwrap_or(answered.started);
        let elapsed = answered.at.saturating_duration_since(first_at.instant);
        let refusals = match reply {
            Reply::Status { code, told: None, .. } if is_refusal(code) => {
                let known = answered.refusals.filter(|_| answered.whole);
                let refusals = known.unwrap_or_else(|| self.board.refused(endpoint));
                answered.refusals = Some(refusals);
                refusals
            }
            Reply::Status { .. } | Reply::None => 0,
        };
        let tries = Tries { used: delivery.tries.used, elapsed, refusals };
        let random = *answered.random.get_or_insert_with(random);
        match self.settings().policy.decide(tries, reply, random) {
            // Nobody is left to wait for.
            Verdict::Pause if self.board.is_lifted() => Verdict::Dead(Reason::EndpointGone),
            verdict => verdict,
        }
    }

    /// Ends a delivery's way: it arrived, or was given up on purpose.
    pub(super) fn settle(&self, delivery: Delivery) {
        let mut settled = Settlement::default();
        self.settle_with(delivery, &mut settled);
        self.settle_all(&mut settled);
    }

    /// Ends a delivery's way, with others that [`Export::settle_all`] is told of.
    fn settle_with(&self, delivery: Delivery, settled: &mut Settlement) {
        self.poison.forget(delivery.id.as_str());
        match &delivery.claim {
            Claim::Line { .. } => {}
            Claim::Row(row) => self.store.settle_row(&self.name, *row),
            Claim::Replay(id) => {
                self.store.replayed(*id);
                self.replay_ended(*id, &delivery);
            }
        }
        settled.add(delivery);
    }

    pub(super) fn settle_all(&self, settled: &mut Settlement) {
        self.board.settled(settled);
        Ack::settle_all(settled.acks.drain(..));
        self.spent.keep(&mut settled.spent);
    }
}
