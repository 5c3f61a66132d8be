//! One event on its way through one export, and what came of an attempt to send it.

use crate::ack::Ack;
use crate::event::{Event, Position, ShortHash};
use crate::retry::{Reason, Reply};
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest excerpt of a receiver's answer that is kept, in bytes.
pub const MAX_EXCERPT: usize = 1024;

/// What a receiver can drop duplicates by: a hash of export and position, stable over retries,
/// restarts and replays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(ShortHash);

impl DeliveryId {
    /// The id of the event at `position` on its way through `export`.
    pub fn new(export: &str, position: &Position) -> Self {
        DeliveryId(position.hash(export))
    }

    /// The id that was stored as this text.
    pub fn stored(text: &str) -> Self {
        DeliveryId(ShortHash::read(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event on its way through one export.
#[derive(Debug)]
pub struct Delivery {
    /// Its stable id.
    pub id: DeliveryId,
    /// The event.
    pub event: Arc<Event>,
    /// What of its memory counts against the queue's bound. Here, so that counting looks at none of
    /// the events: of a large batch each would have to be fetched from memory for it.
    pub bytes: usize,
    /// What was tried so far.
    pub tries: Tries,
    /// What settling it means.
    pub claim: Claim,
    /// Whether it came here as another export's dead letter; it never falls back again.
    pub fallback: bool,
    /// How often handling it has panicked in this run.
    pub panics: u8,
}

/// Where an event stands in its export's queue on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Ascending within the export, never repeated.
    pub number: i64,
    /// Unix milliseconds at which a waiting retry is due; `None`: it stands in the FIFO.
    pub due_ms: Option<i64>,
}

/// Where a delivery came from, and so what settling it means.
#[derive(Debug)]
pub enum Claim {
    /// A line of a source of this run.
    Line {
        /// Settled when the delivery is.
        ack: Ack,
        /// Whether the source can give the line again after a restart. What it can't is written
        /// to the store when the program stops.
        repeatable: bool,
    },
    /// An event of the store's queue; deleted when settled.
    Row(RowId),
    /// A dead letter that is replayed: the row's id.
    Replay(i64),
}

/// What was tried so far with one delivery.
#[derive(Debug, Clone, Default)]
pub struct Tries {
    /// Attempts that counted against `max_attempts`.
    pub used: u32,
    /// Requests sent, those that were answered with a hold included; numbers the next one.
    pub sent: u32,
    /// When the first attempt started; the time that templates see.
    pub first_at: Option<Moment>,
    /// When the last attempt ended.
    pub last_at: Option<Timestamp>,
    /// What came of the last one, where it was not a success. Apart, as most have none: deliveries
    /// move from place to place.
    pub last: Option<Box<Failure>>,
}

/// A moment by the wall clock, for records, and by the monotonic one, for waits.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For records.
    pub wall: Timestamp,
    /// For waits.
    pub instant: Instant,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Moment { wall: Timestamp::now(), instant: Instant::now() }
    }

    /// A moment of an earlier run.
    pub fn past(wall: Timestamp) -> Self {
        let ago = Duration::try_from(Timestamp::now().duration_since(wall)).unwrap_or_default();
        let now = Instant::now();
        Moment { wall, instant: now.checked_sub(ago).unwrap_or(now) }
    }
}

/// What came of one attempt for one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived: the status of a 2xx answer, none for a sink without statuses.
    Delivered(Option<u16>),
    /// It did not.
    Failed(Box<Failure>),
    /// It can never arrive and was not sent.
    Unsendable {
        /// The dead letter's reason.
        reason: Reason,
        /// Why; holds nothing of the event and no secret.
        error: String,
    },
}

/// Why an attempt failed. Holds no secret: neither URL nor headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What came back.
    pub reply: Reply,
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// What went wrong, such as `HTTP 503` or `connection refused`.
    pub error: String,
    /// The beginning of the answer's body, at most [`MAX_EXCERPT`] bytes.
    pub response: Option<String>,
    /// How long the attempt took, where it was made in this run.
    pub took: Option<Duration>,
}

impl Failure {
    /// The answer's status.
    pub fn status(&self) -> Option<u16> {
        match self.reply {
            Reply::Status { code, .. } => Some(code),
            Reply::None => None,
        }
    }
}

/// A delivery that failed for good, on its way into the store.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The export; `None` for a line that is not an event.
    pub export: Option<Arc<str>>,
    /// The source.
    pub source: Arc<str>,
    /// The delivery's id.
    pub delivery_id: DeliveryId,
    /// The event's text, or the head of a line that is not one.
    pub text: Vec<u8>,
    /// Its envelope, where there is one.
    pub event: Option<Arc<Event>>,
    /// Where it stood.
    pub position: Position,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Why it is dead.
    pub reason: Reason,
    /// Attempts made.
    pub attempts: u32,
    /// When the first attempt started; the time that templates see.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<Timestamp>,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// What went wrong at last.
    pub last_error: String,
    /// The beginning of the last answer's body.
    pub response: Option<String>,
}

impl Delivery {
    /// It stands in the store from now on, in this row: settling it means that row. Returns what its
    /// source may be told.
    pub fn written(&mut self, row: RowId) -> Option<Ack> {
        match std::mem::replace(&mut self.claim, Claim::Row(row)) {
            Claim::Line { ack, .. } => Some(ack),
            Claim::Row(_) | Claim::Replay(_) => None,
        }
    }

    /// A delivery of an event that an export has just taken.
    pub fn new(export: &str, event: Arc<Event>, ack: Ack, repeatable: bool) -> Self {
        let id = DeliveryId::new(export, &event.origin.position);
        Self::held(id, event, Tries::default(), Claim::Line { ack, repeatable })
    }

    /// A delivery that has been on its way before.
    pub fn held(id: DeliveryId, event: Arc<Event>, tries: Tries, claim: Claim) -> Self {
        let bytes = event.text.as_str().len();
        Delivery { id, event, bytes, tries, claim, fallback: false, panics: 0 }
    }

    /// Takes this event in place of its own.
    pub fn replace_event(&mut self, event: Arc<Event>) {
        self.bytes = event.text.as_str().len();
        self.event = event;
    }

    /// The delivery as a dead letter.
    pub fn dead_letter(&self, export: &Arc<str>, reason: Reason, error: &str) -> DeadLetter {
        let last = self.tries.last.as_deref();
        DeadLetter {
            export: Some(Arc::clone(export)),
            source: Arc::clone(&self.event.origin.source),
            delivery_id: self.id,
            text: self.event.text.as_str().into(),
            event: Some(Arc::clone(&self.event)),
            position: self.event.origin.position,
            accepted_at: self.event.origin.accepted_at,
            reason,
            attempts: self.tries.sent,
            first_attempt_at: self.tries.first_at.filter(|_| self.tries.sent > 0).map(|at| at.wall),
            last_attempt_at: self.tries.last_at,
            last_status: last.and_then(Failure::status),
            last_error: error.to_owned(),
            response: last.and_then(|last| last.response.clone()),
        }
    }
}
