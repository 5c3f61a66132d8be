//! The endpoints of one export that are in trouble: held because they asked for it, down because
//! they keep failing, paused because they are gone. Pure, told the time: who may send to them, who
//! waits for them, and what changes with an answer.

use crate::config::Breaker;
use crate::delivery::{Claim, Delivery};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Troubled endpoints that an export remembers; of more, the least recently used is forgotten.
pub(super) const MAX_ENDPOINTS: usize = 1_024;

/// How often a paused endpoint is probed where the breaker says nothing else.
const PROBE_PAUSED_AFTER: Duration = Duration::from_secs(300);

/// A name for what one rendered URL addresses: scheme, host, port and path. It holds no secret, as a
/// path can be one. An export whose URL is fixed has one endpoint, with an empty name.
pub type EndpointName = Box<str>;

/// Endpoints that are in trouble. One that is well has no entry.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    troubled: HashMap<EndpointName, Endpoint>,
    breaker: Option<Breaker>,
    uses: u64,
    /// Barriers hold nothing back any more: no source will bring anything.
    lifted: bool,
    /// What was forgotten and what shut it, until somebody tells that it is shut no more.
    forgotten: Vec<(EndpointName, Option<BarrierKind>)>,
}

#[derive(Debug, Default)]
struct Endpoint {
    /// Failed attempts in a row.
    failures: u32,
    /// Refusals in a row, see [`crate::retry::is_refusal`].
    refusals: u32,
    /// Nothing is sent before this time, as the receiver asked; then one request.
    held_until: Option<Instant>,
    barrier: Option<Barrier>,
    /// One request is on its way, and all others wait for what comes of it.
    probing: bool,
    parked: VecDeque<Delivery>,
    last_use: u64,
}

/// What postrider itself holds back from an endpoint.
#[derive(Debug, Clone, Copy)]
struct Barrier {
    kind: BarrierKind,
    next_probe: Instant,
    probes: u32,
}

/// Why postrider leaves an endpoint alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BarrierKind {
    /// It keeps failing: first attempts wait.
    Down,
    /// It is gone: everything waits.
    Paused,
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

/// What an endpoint's answer changed, for the log, the metrics and postrider's own events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is left alone from now on, with so many probes behind it.
    Shut(BarrierKind),
    /// A probe failed, the so-many-th.
    ProbeFailed(BarrierKind, u32),
    /// It is well again.
    Opened(BarrierKind),
}

impl Endpoints {
    pub(super) fn new(breaker: Option<Breaker>) -> Self {
        Endpoints { breaker, ..Endpoints::default() }
    }

    /// Takes another breaker; what is shut stays so until its next probe.
    pub(super) fn configure(&mut self, breaker: Option<Breaker>) {
        self.breaker = breaker;
    }

    /// Whether something may be sent to this endpoint now; nothing is changed. `first` says
    /// whether it would be the event's first attempt.
    pub(super) fn look(&self, name: &str, first: bool, now: Instant) -> Admission {
        let Some(endpoint) = self.troubled.get(name) else { return Admission::Open };
        let barrier = endpoint
            .barrier
            .filter(|barrier| !self.lifted && (first || barrier.kind == BarrierKind::Paused));
        let until = barrier.map(|barrier| barrier.next_probe).max(endpoint.held_until);
        match until {
            None => Admission::Open,
            Some(_) if endpoint.probing => Admission::Probing,
            Some(until) if until > now => Admission::HeldUntil(until),
            Some(_) => Admission::Probe,
        }
    }

    /// The probe that [`Self::look`] allowed is on its way.
    pub(super) fn probe(&mut self, name: &str) {
        if let Some(endpoint) = self.troubled.get_mut(name) {
            endpoint.probing = true;
        }
    }

    /// Lets a delivery wait for its endpoint; gives it back where that holds nothing back.
    pub(super) fn park(&mut self, name: &str, delivery: Delivery) -> Option<Delivery> {
        match self.troubled.get_mut(name) {
            Some(endpoint) if endpoint.holds() => {
                endpoint.parked.push_back(delivery);
                None
            }
            _ => Some(delivery),
        }
    }

    /// Holds an endpoint until a time; an earlier answer's later time stands. Returns what waited
    /// for an endpoint that was forgotten to make room.
    pub(super) fn hold(&mut self, name: &str, until: Instant) -> VecDeque<Delivery> {
        let (endpoint, forgotten) = self.entry(name);
        endpoint.held_until = endpoint.held_until.max(Some(until));
        endpoint.probing = false;
        forgotten
    }

    /// An answer was a refusal, see [`crate::retry::is_refusal`]; tells how many in a row that
    /// makes.
    pub(super) fn refused(&mut self, name: &str) -> (u32, VecDeque<Delivery>) {
        let (endpoint, forgotten) = self.entry(name);
        endpoint.refusals = endpoint.refusals.saturating_add(1);
        (endpoint.refusals, forgotten)
    }

    /// An attempt failed and the event is not to blame.
    pub(super) fn failed(
        &mut self,
        name: &str,
        now: Instant,
    ) -> (Option<Change>, VecDeque<Delivery>) {
        let Some(breaker) = self.breaker.clone() else { return (None, VecDeque::new()) };
        let (endpoint, forgotten) = self.entry(name);
        endpoint.failures = endpoint.failures.saturating_add(1);
        if endpoint.barrier.is_some() || endpoint.failures < breaker.failures.get() {
            return (None, forgotten);
        }
        let next_probe = now + wait(&breaker.probe_after, 0);
        endpoint.barrier = Some(Barrier { kind: BarrierKind::Down, next_probe, probes: 0 });
        (Some(Change::Shut(BarrierKind::Down)), forgotten)
    }

    /// The endpoint is gone: nothing is sent but probes.
    pub(super) fn pause(
        &mut self,
        name: &str,
        now: Instant,
    ) -> (Option<Change>, VecDeque<Delivery>) {
        let next_probe = now + self.pause_wait();
        let (endpoint, forgotten) = self.entry(name);
        if endpoint.barrier.is_some_and(|barrier| barrier.kind == BarrierKind::Paused) {
            return (None, forgotten);
        }
        let probes = 0;
        endpoint.barrier = Some(Barrier { kind: BarrierKind::Paused, next_probe, probes });
        (Some(Change::Shut(BarrierKind::Paused)), forgotten)
    }

    /// Shuts an endpoint that an earlier run had shut. Returns what waited for one that was
    /// forgotten to make room.
    pub(super) fn restore(
        &mut self,
        name: &str,
        kind: BarrierKind,
        probes: u32,
        now: Instant,
    ) -> VecDeque<Delivery> {
        let next_probe = now + self.probe_wait(kind, probes);
        let (endpoint, forgotten) = self.entry(name);
        endpoint.barrier = Some(Barrier { kind, next_probe, probes });
        forgotten
    }

    /// Forgets an endpoint; returns what waited for it.
    pub(super) fn forget(&mut self, name: &str) -> VecDeque<Delivery> {
        let Some((name, endpoint)) = self.troubled.remove_entry(name) else {
            return VecDeque::new();
        };
        self.forgotten.push((name, endpoint.barrier.map(|barrier| barrier.kind)));
        endpoint.parked
    }

    /// Forgets every endpoint; returns what waited for them.
    pub(super) fn forget_all(&mut self) -> VecDeque<Delivery> {
        let names: Vec<_> = self.troubled.keys().cloned().collect();
        names.iter().flat_map(|name| self.forget(name)).collect()
    }

    /// What was forgotten since the last call, and what had shut it.
    pub(super) fn take_forgotten(&mut self) -> Vec<(EndpointName, Option<BarrierKind>)> {
        std::mem::take(&mut self.forgotten)
    }

    /// The endpoint took a delivery: it is well, and what waited for it may go.
    pub(super) fn recovered(
        &mut self,
        name: &str,
        probe: bool,
    ) -> (Option<Change>, VecDeque<Delivery>) {
        if self.troubled.is_empty() {
            return (None, VecDeque::new());
        }
        let held = |endpoint: &Endpoint| endpoint.held_until.is_some() && !probe;
        if let Some(endpoint) = self.troubled.get_mut(name).filter(|endpoint| held(endpoint)) {
            // What was under way before the hold says nothing of it.
            (endpoint.failures, endpoint.refusals) = (0, 0);
            return (None, VecDeque::new());
        }
        let Some(endpoint) = self.troubled.remove(name) else { return (None, VecDeque::new()) };
        let change = endpoint.barrier.map(|barrier| Change::Opened(barrier.kind));
        (change, endpoint.parked)
    }

    /// The probe failed without a new hold. A hold is over then: the next probe may go at once, one
    /// at a time. A barrier waits for its next probe.
    pub(super) fn probe_failed(&mut self, name: &str, now: Instant) -> Option<Change> {
        let wait_for = |barrier: &Barrier, endpoints: &Endpoints| {
            endpoints.probe_wait(barrier.kind, barrier.probes.saturating_add(1))
        };
        let barrier = self.troubled.get(name)?.barrier;
        let wait = barrier.map(|barrier| wait_for(&barrier, self));
        let endpoint = self.troubled.get_mut(name).filter(|endpoint| endpoint.probing)?;
        endpoint.probing = false;
        let (barrier, wait) = (endpoint.barrier.as_mut()?, wait?);
        barrier.probes = barrier.probes.saturating_add(1);
        barrier.next_probe = now + wait;
        Some(Change::ProbeFailed(barrier.kind, barrier.probes))
    }

    /// A delivery that waited for an endpoint, as its probe.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<(EndpointName, Delivery)> {
        let lifted = self.lifted;
        let due = |endpoint: &Endpoint| endpoint.due(lifted).is_some_and(|until| until <= now);
        let (name, endpoint) = self.troubled.iter_mut().find(|(_, endpoint)| due(endpoint))?;
        let delivery = endpoint.parked.pop_front()?;
        endpoint.probing = true;
        Some((name.clone(), delivery))
    }

    /// When something that waits for its endpoint may go.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.troubled.values().filter_map(|endpoint| endpoint.due(self.lifted)).min()
    }

    /// Opens what postrider itself has shut, on request. Returns what was shut and what waited.
    pub(super) fn open_all(&mut self) -> (Vec<(EndpointName, BarrierKind)>, VecDeque<Delivery>) {
        let (mut opened, mut parked) = (Vec::new(), VecDeque::new());
        for (name, endpoint) in &mut self.troubled {
            if let Some(barrier) = endpoint.barrier.take() {
                opened.push((name.clone(), barrier.kind));
                (endpoint.failures, endpoint.refusals, endpoint.probing) = (0, 0, false);
                if endpoint.held_until.is_none() {
                    parked.append(&mut endpoint.parked);
                }
            }
        }
        self.troubled.retain(|_, endpoint| endpoint.holds() || endpoint.failures > 0);
        (opened, parked)
    }

    /// Barriers hold nothing back from now on; returns what waited behind them.
    pub(super) fn lift(&mut self) -> VecDeque<Delivery> {
        self.lifted = true;
        let shut = |endpoint: &&mut Endpoint| endpoint.held_until.is_none();
        let endpoints = self.troubled.values_mut().filter(shut);
        endpoints.flat_map(|endpoint| endpoint.parked.drain(..)).collect()
    }

    /// Whether no endpoint is in trouble, and nothing is to be told of one that was.
    pub(super) fn is_empty(&self) -> bool {
        self.troubled.is_empty() && self.forgotten.is_empty()
    }

    /// Whether barriers hold nothing back any more.
    pub(super) fn is_lifted(&self) -> bool {
        self.lifted
    }

    /// What is shut, and whether a probe of it is on its way.
    pub(super) fn shut(&self) -> impl Iterator<Item = (&str, BarrierKind, bool)> {
        self.troubled.iter().filter_map(|(name, endpoint)| {
            Some((&**name, endpoint.barrier?.kind, endpoint.probing))
        })
    }

    /// Deliveries that wait for an endpoint.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Delivery> {
        self.troubled.values().flat_map(|endpoint| &endpoint.parked)
    }

    /// Those that wait for one endpoint.
    pub(super) fn parked_at(&mut self, name: &str) -> Option<&mut VecDeque<Delivery>> {
        self.troubled.get_mut(name).map(|endpoint| &mut endpoint.parked)
    }

    /// The queues of those that wait for an endpoint.
    pub(super) fn parked_mut(&mut self) -> impl Iterator<Item = (&str, &mut VecDeque<Delivery>)> {
        self.troubled.iter_mut().map(|(name, endpoint)| (&**name, &mut endpoint.parked))
    }

    /// Whether anything waits for an endpoint that is left alone for longer than until then.
    pub(super) fn has_parked_beyond(&self, horizon: Instant) -> bool {
        let beyond = |endpoint: &Endpoint| {
            endpoint.probing || endpoint.due(self.lifted).is_some_and(|due| due > horizon)
        };
        self.troubled.values().any(|endpoint| !endpoint.parked.is_empty() && beyond(endpoint))
    }

    /// Takes out the later half of what waits for endpoints that are left alone for longer than
    /// until `horizon`, each with when that ends; where nobody knows, that is `unknown`. Replays stay.
    pub(super) fn take_parked_beyond(
        &mut self,
        horizon: Instant,
        unknown: Instant,
    ) -> Vec<(Instant, Delivery)> {
        let mut taken = Vec::new();
        for endpoint in self.troubled.values_mut() {
            let due = endpoint.due(self.lifted).unwrap_or(unknown);
            if due > horizon {
                let later = endpoint.parked.split_off(endpoint.parked.len() / 2);
                let is_replay = |waits: &Delivery| matches!(waits.claim, Claim::Replay(_));
                let (replays, others): (Vec<_>, Vec<_>) = later.into_iter().partition(is_replay);
                endpoint.parked.extend(replays);
                taken.extend(others.into_iter().map(|delivery| (due, delivery)));
            }
        }
        taken
    }

    /// Takes out every delivery that waits for an endpoint.
    pub(super) fn take_parked(&mut self) -> Vec<Delivery> {
        self.troubled.values_mut().flat_map(|endpoint| endpoint.parked.drain(..)).collect()
    }

    /// An endpoint's entry, made where there is none; and what waited for one that was forgotten
    /// to make room.
    fn entry(&mut self, name: &str) -> (&mut Endpoint, VecDeque<Delivery>) {
        let mut forgotten = VecDeque::new();
        if !self.troubled.contains_key(name) && self.troubled.len() >= MAX_ENDPOINTS {
            // What waits for one would be tried at once, whatever its receiver has asked for: there
            // are no more of these than deliveries in memory.
            let idle = |endpoint: &Endpoint| endpoint.parked.is_empty() && !endpoint.probing;
            let idle = self.troubled.iter().filter(|(_, endpoint)| idle(endpoint));
            let oldest = idle.min_by_key(|(_, endpoint)| endpoint.last_use);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                forgotten = self.forget(&oldest);
            }
        }
        self.uses += 1;
        let endpoint = self.troubled.entry(name.into()).or_default();
        endpoint.last_use = self.uses;
        (endpoint, forgotten)
    }

    fn pause_wait(&self) -> Duration {
        let last = self.breaker.as_ref().and_then(|breaker| breaker.probe_after.last());
        last.copied().unwrap_or(PROBE_PAUSED_AFTER)
    }

    fn probe_wait(&self, kind: BarrierKind, probes: u32) -> Duration {
        match (kind, &self.breaker) {
            (BarrierKind::Down, Some(breaker)) => wait(&breaker.probe_after, probes),
            _ => self.pause_wait(),
        }
    }
}

impl Endpoint {
    fn holds(&self) -> bool {
        self.held_until.is_some() || self.barrier.is_some() || self.probing
    }

    /// When the first of those that wait may go; `None` where none waits or a probe is on its way.
    fn due(&self, lifted: bool) -> Option<Instant> {
        if self.parked.is_empty() || self.probing {
            return None;
        }
        let barrier = self.barrier.filter(|_| !lifted).map(|barrier| barrier.next_probe);
        barrier.max(self.held_until)
    }
}

/// The wait before the probe after so many; the last one repeats.
fn wait(probe_after: &[Duration], probes: u32) -> Duration {
    let index = (probes as usize).min(probe_after.len().saturating_sub(1));
    probe_after.get(index).copied().unwrap_or(PROBE_PAUSED_AFTER)
}
