//! The endpoints of one export that asked to be left alone. Pure, told the time: who may send to
//! them, and who waits for them.

use crate::delivery::Delivery;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// Troubled endpoints that an export remembers; of more, the least recently used is forgotten.
pub(super) const MAX_ENDPOINTS: usize = 1_024;

/// What one rendered URL addresses: scheme, host, port and path. An export whose URL is fixed has
/// one, with an empty name.
pub type EndpointName = Box<str>;

/// Endpoints that are held or being probed. One that is well has no entry.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    troubled: HashMap<EndpointName, Endpoint>,
    uses: u64,
}

#[derive(Debug)]
struct Endpoint {
    gate: Gate,
    parked: VecDeque<Delivery>,
    last_use: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Nothing is sent before this time; then one request.
    Held(Instant),
    /// That one request is on its way.
    Probing,
}

/// Whether something may be sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Go.
    Open,
    /// Go, and all others wait for what comes of it.
    Probe,
    /// Not before this time.
    HeldUntil(Instant),
    /// Not before the probe's outcome is known.
    Probing,
}

impl Endpoints {
    /// Whether something may be sent to this endpoint now; nothing is changed.
    pub(super) fn look(&self, name: &str, now: Instant) -> Admission {
        match self.troubled.get(name).map(|endpoint| endpoint.gate) {
            None => Admission::Open,
            Some(Gate::Held(until)) if until > now => Admission::HeldUntil(until),
            Some(Gate::Held(_)) => Admission::Probe,
            Some(Gate::Probing) => Admission::Probing,
        }
    }

    /// The probe that [`Self::look`] allowed is on its way.
    pub(super) fn probe(&mut self, name: &str) {
        if let Some(endpoint) = self.troubled.get_mut(name) {
            endpoint.gate = Gate::Probing;
        }
    }

    /// Lets a delivery wait for its endpoint; gives it back where that is well.
    pub(super) fn park(&mut self, name: &str, delivery: Delivery) -> Option<Delivery> {
        match self.troubled.get_mut(name) {
            Some(endpoint) => {
                endpoint.parked.push_back(delivery);
                None
            }
            None => Some(delivery),
        }
    }

    /// Holds an endpoint until a time; an earlier answer's later time stands. Returns what waited
    /// for an endpoint that was forgotten to make room.
    pub(super) fn hold(&mut self, name: &str, until: Instant) -> VecDeque<Delivery> {
        self.uses += 1;
        let last_use = self.uses;
        if let Some(endpoint) = self.troubled.get_mut(name) {
            endpoint.last_use = last_use;
            endpoint.gate = match endpoint.gate {
                Gate::Held(earlier) => Gate::Held(earlier.max(until)),
                Gate::Probing => Gate::Held(until),
            };
            return VecDeque::new();
        }
        let mut forgotten = VecDeque::new();
        if self.troubled.len() >= MAX_ENDPOINTS {
            let oldest = self.troubled.iter().min_by_key(|(_, endpoint)| endpoint.last_use);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                forgotten = self
                    .troubled
                    .remove(&oldest)
                    .map(|endpoint| endpoint.parked)
                    .unwrap_or_default();
            }
        }
        let endpoint = Endpoint { gate: Gate::Held(until), parked: VecDeque::new(), last_use };
        self.troubled.insert(name.into(), endpoint);
        forgotten
    }

    /// The probe succeeded: the endpoint is well, and what waited for it may go.
    pub(super) fn recovered(&mut self, name: &str) -> VecDeque<Delivery> {
        self.troubled.remove(name).map(|endpoint| endpoint.parked).unwrap_or_default()
    }

    /// The probe failed without a new hold: the next one may go at once, one at a time.
    pub(super) fn probe_failed(&mut self, name: &str, now: Instant) {
        if let Some(endpoint) =
            self.troubled.get_mut(name).filter(|endpoint| endpoint.gate == Gate::Probing)
        {
            endpoint.gate = Gate::Held(now);
        }
    }

    /// A delivery that waited for an endpoint whose hold is over, as its probe.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<(EndpointName, Delivery)> {
        let due = |endpoint: &Endpoint| matches!(endpoint.gate, Gate::Held(until) if until <= now);
        let (name, endpoint) = self
            .troubled
            .iter_mut()
            .find(|(_, endpoint)| due(endpoint) && !endpoint.parked.is_empty())?;
        let delivery = endpoint.parked.pop_front()?;
        endpoint.gate = Gate::Probing;
        Some((name.clone(), delivery))
    }

    /// When the first hold ends that something waits for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let until = |endpoint: &Endpoint| match endpoint.gate {
            Gate::Held(until) if !endpoint.parked.is_empty() => Some(until),
            _ => None,
        };
        self.troubled.values().filter_map(until).min()
    }

    /// Deliveries that wait for an endpoint.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Delivery> {
        self.troubled.values().flat_map(|endpoint| &endpoint.parked)
    }

    /// Takes out every delivery that waits for an endpoint.
    pub(super) fn take_parked(&mut self) -> Vec<Delivery> {
        self.troubled.values_mut().flat_map(|endpoint| endpoint.parked.drain(..)).collect()
    }
}
