//! What becomes of an export's endpoints: paused, down, well again. Each change is written to the
//! store with postrider's own event about it, in order, and said in the log.

use super::Export;
use super::board::Taken;
use super::endpoint::{BarrierKind, Change};
use crate::delivery::Failure;
use crate::store::{
    EndpointChange, EndpointEvent, EndpointEventKind, EndpointRow, EndpointState, STORE_RETRY,
    StoreError,
};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Stands for all endpoints of an export that was paused by hand.
pub(super) const ALL_ENDPOINTS: &str = "*";

/// Changes that are not in the store yet, in order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    waiting: Mutex<VecDeque<EndpointChange>>,
    stored: Notify,
}

impl Changes {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<EndpointChange>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Export {
    /// The endpoint answered what was taken; `well` says that it took it.
    pub(super) fn endpoint_answered(self: &Arc<Self>, taken: &Taken, well: bool) {
        let tells = taken.probe || well && self.board.is_troubled();
        if !tells {
            return;
        }
        let change =
            if well { self.board.endpoint_well(taken) } else { self.board.probe_failed(taken) };
        let released = well && (taken.probe || change.is_some());
        self.changed(&taken.endpoint, change, None);
        if released {
            // Most slots have ended while there was nothing to do.
            self.wake();
        }
    }

    /// Says of endpoints that were forgotten that they are shut no more: nobody else ever would.
    pub(super) fn tell_forgotten(self: &Arc<Self>) {
        if !self.board.is_troubled() {
            return;
        }
        let forgotten = self.board.forgotten();
        if forgotten.is_empty() {
            return;
        }
        for (endpoint, kind) in forgotten {
            if let Some(kind) = kind {
                self.tell(&endpoint, Change::Opened(kind), None);
            }
        }
        self.wake();
    }

    /// Says and stores what changed of an endpoint; `last` is the attempt that led to it.
    pub(super) fn changed(
        self: &Arc<Self>,
        endpoint: &str,
        change: Option<Change>,
        last: Option<&Failure>,
    ) {
        let Some(change) = change else { return };
        // One of them may be the same endpoint, in trouble again.
        self.tell_forgotten();
        self.tell(endpoint, change, last);
    }

    fn tell(self: &Arc<Self>, endpoint: &str, change: Change, last: Option<&Failure>) {
        let last_status = last.and_then(Failure::status);
        let (kind, probes, event) = match change {
            Change::Shut(kind) => (kind, Some(0), Some(event_of(kind, true))),
            Change::ProbeFailed(kind, probes) => (kind, Some(probes), None),
            Change::Opened(kind) => (kind, None, Some(event_of(kind, false))),
        };
        let reason = match kind {
            BarrierKind::Down => "the receiver fails",
            BarrierKind::Paused => "the receiver is gone",
        };
        if let Some(event) = event {
            self.log.endpoint(event.as_str(), None, last);
        }
        let row = probes.map(|probes| EndpointRow {
            state: match kind {
                BarrierKind::Down => EndpointState::Down,
                BarrierKind::Paused => EndpointState::Paused,
            },
            reason: reason.to_owned(),
            last_status,
            since: Timestamp::now(),
            probes,
            fingerprint: self.fingerprint(),
        });
        let event =
            event.map(|kind| EndpointEvent { kind, reason: reason.to_owned(), last_status });
        self.store_change(endpoint, row, event);
    }

    /// Sends nothing until [`Export::resume`]; outlives a restart.
    pub fn pause(self: &Arc<Self>) {
        if self.board.is_paused() {
            return;
        }
        self.board.pause_all();
        let (row, event) = paused_by_hand();
        self.log.endpoint(event.kind.as_str(), Some(&event.reason), None);
        self.store_change(ALL_ENDPOINTS, Some(row), Some(event));
    }

    /// Sends again, to endpoints that are gone or failed too.
    pub fn resume(self: &Arc<Self>) {
        if self.board.is_paused() {
            let event = resumed_by_hand(EndpointState::Paused);
            self.log.endpoint(event.kind.as_str(), Some(&event.reason), None);
            self.store_change(ALL_ENDPOINTS, None, Some(event));
        }
        self.open_endpoints();
        self.wake();
    }

    /// Waits until a pause or a resumption so far is on disk.
    pub async fn standing_stored(&self) {
        loop {
            let stored = self.changes.stored.notified();
            if self.changes.waiting().is_empty() {
                return;
            }
            stored.await;
        }
    }

    /// Opens every endpoint that was shut.
    pub(super) fn open_endpoints(self: &Arc<Self>) {
        for (endpoint, kind) in self.board.resume() {
            self.changed(&endpoint, Some(Change::Opened(kind)), None);
        }
    }

    /// Shuts what an earlier run had shut, unless it leads elsewhere now.
    pub(super) async fn restore_endpoints(self: &Arc<Self>) -> Result<(), StoreError> {
        let fingerprint = self.fingerprint();
        for (endpoint, row) in self.store.endpoints(&self.name).await? {
            let kind = match row.state {
                EndpointState::Paused => BarrierKind::Paused,
                EndpointState::Down => BarrierKind::Down,
            };
            if endpoint == ALL_ENDPOINTS {
                self.board.pause_all();
            } else if row.fingerprint == fingerprint {
                self.board.restore_endpoint(&endpoint, kind, row.probes);
            } else {
                self.changed(&endpoint, Some(Change::Opened(kind)), None);
            }
        }
        self.tell_forgotten();
        Ok(())
    }

    /// Tells whether URL or credentials are others than when an endpoint was shut. Cut short, for it
    /// is stored: whoever has the store must not be able to guess a credential by it. That two
    /// differ and look alike costs no more than a probe later.
    fn fingerprint(&self) -> String {
        self.settings().target.0.iter().take(2).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stores a change behind the earlier ones.
    fn store_change(
        self: &Arc<Self>,
        endpoint: &str,
        row: Option<EndpointRow>,
        event: Option<EndpointEvent>,
    ) {
        let export = Arc::clone(&self.name);
        let change = EndpointChange { export, endpoint: endpoint.to_owned(), row, event };
        let mut waiting = self.changes.waiting();
        waiting.push_back(change);
        if waiting.len() > 1 {
            // The task that stores the one before goes on with this one.
            return;
        }
        drop(waiting);
        let export = Arc::clone(self);
        self.spawn(async move {
            loop {
                let Some(change) = export.changes.waiting().front().cloned() else { return };
                if let Err(trouble) = export.store.endpoint_changed(change).await {
                    export.log.store_trouble(&trouble);
                    sleep(STORE_RETRY).await;
                    continue;
                }
                let mut waiting = export.changes.waiting();
                waiting.pop_front();
                if waiting.is_empty() {
                    export.changes.stored.notify_waiters();
                    return;
                }
            }
        });
    }
}

/// What is stored of an export that somebody pauses, and what is told of it.
pub(super) fn paused_by_hand() -> (EndpointRow, EndpointEvent) {
    let reason = "paused by hand".to_owned();
    let row = EndpointRow {
        state: EndpointState::Paused,
        reason: reason.clone(),
        last_status: None,
        since: Timestamp::now(),
        probes: 0,
        fingerprint: String::new(),
    };
    (row, EndpointEvent { kind: EndpointEventKind::Paused, reason, last_status: None })
}

/// What is told when somebody opens what stood so.
pub(super) fn resumed_by_hand(state: EndpointState) -> EndpointEvent {
    let kind = match state {
        EndpointState::Paused => EndpointEventKind::Resumed,
        EndpointState::Down => EndpointEventKind::Up,
    };
    EndpointEvent { kind, reason: "resumed by hand".to_owned(), last_status: None }
}

fn event_of(kind: BarrierKind, shut: bool) -> EndpointEventKind {
    match (kind, shut) {
        (BarrierKind::Paused, true) => EndpointEventKind::Paused,
        (BarrierKind::Paused, false) => EndpointEventKind::Resumed,
        (BarrierKind::Down, true) => EndpointEventKind::Down,
        (BarrierKind::Down, false) => EndpointEventKind::Up,
    }
}
