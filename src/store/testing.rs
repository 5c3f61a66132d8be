//! What the tests of the store share: a store in a directory of its own with a clock that is set
//! by hand, and dead letters to bury.

use super::{DlqBounds, Kept, Restored, Store, StoreError, StoreFact, StoreOptions};
use crate::delivery::{DeadLetter, DeliveryId};
use crate::event::{Event, Origin, Position, Severity, StreamId, Text};
use crate::retry::Reason;
use jiff::Timestamp;
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// When the clock of a [`Bench`] stands at first: 2025-11-20T20:20:00Z.
pub(super) const START_MS: i64 = 1_763_670_000_000;

impl Store {
    /// Lets the file grow no further, as on a full disk: what adds is refused, or given back.
    pub(crate) async fn fill(&self, full: bool) {
        let pages = if full { 1 } else { i64::from(u32::MAX) - 1 };
        let set = self.between("read", move |conn| {
            conn.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        });
        set.await.unwrap();
    }
}

/// What the thread answers, or that the store is closed. A paused clock stands still until then:
/// it leaps to the next timer where nothing of the runtime is at work, which the thread is not of.
pub(super) async fn answered<T: Send + 'static>(
    answer: oneshot::Receiver<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::task::spawn_blocking(|| answer.blocking_recv());
    answer.await.unwrap().unwrap_or(Err(StoreError::Closed))
}

/// A store to try out.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    now_ms: Arc<AtomicI64>,
    pub(super) commits: Arc<AtomicUsize>,
    pub(super) facts: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench {
            dir: tempfile::tempdir().unwrap(),
            now_ms: Arc::new(AtomicI64::new(START_MS)),
            commits: Arc::default(),
            facts: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn options(&self) -> StoreOptions {
        let (now_ms, commits, facts) =
            (Arc::clone(&self.now_ms), Arc::clone(&self.commits), Arc::clone(&self.facts));
        StoreOptions {
            emit_dlq_events: true,
            // A small reserve, too: a store is made in every test.
            dlq: DlqBounds { max_bytes: 100_000_000, ..DlqBounds::default() },
            clock: Box::new(move || time(now_ms.load(Ordering::SeqCst))),
            observer: Box::new(move |fact| match fact {
                StoreFact::Committed { .. } => {
                    commits.fetch_add(1, Ordering::SeqCst);
                }
                fact => facts.lock().unwrap().push(format!("{fact:?}")),
            }),
        }
    }

    pub(super) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(self.path(), self.options())
    }

    pub(super) fn advance_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// The store as it would be found after a crash at this moment, in a directory of its own.
    pub(super) fn crashed(&self) -> Bench {
        let found = Bench::new();
        for name in ["postrider.db", "postrider.db-wal"] {
            std::fs::copy(self.path().join(name), found.path().join(name)).unwrap();
        }
        found
    }

    /// The file itself, to look at what no method shows or to damage it.
    pub(super) fn sql(&self) -> Connection {
        Connection::open(super::path(self.path())).unwrap()
    }

    pub(super) fn number(&self, sql: &str) -> i64 {
        self.sql().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

pub(super) fn event(n: u64, kind: &str) -> Arc<Event> {
    Arc::new(Event {
        text: Text::check(format!(r#"{{"n":{n}}}"#)).unwrap(),
        audit_id: format!("ae_{n}").into(),
        timestamp: "2025-11-20T20:19:59.000Z".into(),
        event_kind: kind.into(),
        severity: Severity::Error,
        agent_id: "support-bot".into(),
        origin: Origin {
            source: "app-audit".into(),
            position: Position { stream: StreamId::from_bytes([7; 16]), offset: n, index: 0 },
            accepted_at: time(START_MS - 1000),
        },
        about: None,
    })
}

pub(super) fn letter_of(export: &str, event: &Arc<Event>) -> DeadLetter {
    DeadLetter {
        export: Some(export.into()),
        source: Arc::clone(&event.origin.source),
        delivery_id: DeliveryId::new(export, &event.origin.position),
        text: event.text.as_str().into(),
        event: Some(Arc::clone(event)),
        position: event.origin.position,
        accepted_at: event.origin.accepted_at,
        reason: Reason::RetriesExhausted,
        attempts: 5,
        first_attempt_at: Some(time(START_MS - 900)),
        last_attempt_at: Some(time(START_MS - 100)),
        last_status: Some(503),
        last_error: "HTTP 503".to_owned(),
        response: Some("try later".to_owned()),
    }
}

pub(crate) fn letter(export: &str, n: u64) -> DeadLetter {
    letter_of(export, &event(n, "policy_block"))
}

/// An event to keep in the queue of `alerts`.
pub(super) fn kept(n: u64) -> Kept {
    let event = event(n, "policy_block");
    Kept {
        id: DeliveryId::new("alerts", &event.origin.position),
        event,
        tries: Default::default(),
        due: None,
        replaces: None,
        fallback: false,
    }
}

/// The FIFO of an export and then its waiting retries, read in small pages.
pub(super) async fn queued(store: &Store, export: &str) -> Vec<Restored> {
    let mut waiting = Vec::new();
    let mut after = None;
    loop {
        let page = store.waiting_page(export, after, 3, 1024).await.unwrap();
        waiting.extend(page.events);
        after = page.next;
        if page.next_due.is_none() {
            break;
        }
    }
    let (mut queued, mut after) = (Vec::new(), 0);
    loop {
        let page = store.queue_page(export, after, i64::MAX, 100, 100_000).await.unwrap();
        queued.extend(page.events);
        after = page.next;
        if page.done {
            queued.append(&mut waiting);
            return queued;
        }
    }
}

/// A line that is not an event.
pub(super) fn malformed(source: &str, n: u64) -> DeadLetter {
    DeadLetter {
        export: None,
        source: source.into(),
        text: b"not json \xff".to_vec(),
        event: None,
        reason: Reason::Malformed,
        attempts: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        last_status: None,
        last_error: "a string where an object is due".to_owned(),
        response: None,
        ..letter("", n)
    }
}

/// The `audit_id` of an own event.
pub(super) fn audit_id(text: &str) -> String {
    Text::check(text.to_owned()).unwrap().json().get("audit_id").unwrap().as_str().unwrap().into()
}
