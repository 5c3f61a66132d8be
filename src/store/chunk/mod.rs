//! The chunk of a queue row: one to 256 events as bytes, each with all that its delivery needs to
//! go on where it stood.
//!
//! ```text
//! chunk   = 3 (the form's version), event, …
//! event   = length in bytes of what follows, checksum (CRC-32 of what follows, 4 bytes, lowest
//!           first), body, flags (1: a fallback)
//! body    = delivery id, source, stream (16 bytes), offset, index, accepted at,
//!           audit_id, timestamp, event_kind, severity, agent_id, about?, text,
//!           attempts used, requests sent, first attempt at?, last attempt at?, failure?,
//!           first attempt at? (once more)
//! failure = status?, error, response?
//! ```
//!
//! The checksum is there so that bytes that a disk has changed are never delivered as an event, and
//! so that events are found behind bytes that are gone (`remains`). Form 2, which is still read, has
//! none; in form 1 an event is its body alone. Numbers, texts and optional values
//! (`?`) are written as `codec` says, times as signed Unix milliseconds. When an event is due
//! stands in its row, not here: a waiting retry has a row of its own.

pub(super) mod remains;
#[cfg(test)]
mod tests;

use super::codec::{Decoder, Encoder};
use crate::delivery::{Claim, Delivery, DeliveryId, Failure, Moment, RowId, Tries};
use crate::event::{Event, Origin, Position, Severity, StreamId, Text};
use crate::retry::Reply;
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::sync::Arc;

/// The most events of one chunk.
pub(super) const MAX_EVENTS: usize = 256;

/// A chunk that has as many bytes takes no further event.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const FORM: u8 = 3;

/// The form without checksums.
const UNCHECKED_FORM: u8 = 2;

/// The form of version 1 of the store, without lengths and flags.
const OLD_FORM: u8 = 1;

const FALLBACK: u64 = 1;

/// A delivery to keep in the queue on disk.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The event.
    pub event: Arc<Event>,
    /// What was tried so far.
    pub tries: Tries,
    /// When the next attempt is due; `None`: at once, in its place in the queue.
    pub due: Option<Timestamp>,
    /// The queue's event that this one takes the place of.
    pub replaces: Option<RowId>,
    /// Whether it came here as another export's dead letter.
    pub fallback: bool,
}

impl Kept {
    /// What to keep of a delivery; `None` for one that is replayed, which its dead letter keeps.
    pub fn of(delivery: &Delivery, due: Option<Timestamp>) -> Option<Kept> {
        let replaces = match delivery.claim {
            Claim::Line { .. } => None,
            Claim::Row(row) => Some(row),
            Claim::Replay(_) => return None,
        };
        Some(Kept {
            id: delivery.id,
            event: Arc::clone(&delivery.event),
            tries: delivery.tries.clone(),
            due,
            replaces,
            fallback: delivery.fallback,
        })
    }
}

/// A delivery that was kept.
#[derive(Debug)]
pub struct Restored {
    /// The delivery; its claim is its row in the queue.
    pub delivery: Delivery,
    /// When the next attempt is due; `None`: at once.
    pub due: Option<Timestamp>,
}

/// A chunk that is being written.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    chunk: Encoder,
    /// The event that is being written; its length comes before it.
    event: Encoder,
    pub(super) events: usize,
}

impl ChunkWriter {
    pub(super) fn new() -> Self {
        let mut chunk = Encoder::default();
        chunk.raw(&[FORM]);
        ChunkWriter { chunk, event: Encoder::default(), events: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events >= MAX_EVENTS || self.chunk.len() >= MAX_BYTES
    }

    pub(super) fn push(&mut self, kept: &Kept) {
        self.events += 1;
        self.event.clear();
        write_body(&mut self.event, kept);
        self.event.number(if kept.fallback { FALLBACK } else { 0 });
        self.push_written();
    }

    /// Takes an event over as it was written: its body and flags.
    pub(super) fn push_raw(&mut self, event: &[u8]) {
        self.events += 1;
        self.event.clear();
        self.event.raw(event);
        self.push_written();
    }

    fn push_written(&mut self) {
        let event = self.event.written();
        self.chunk.number((event.len() + CHECKSUM) as u64);
        self.chunk.raw(&checksum(event));
        self.chunk.raw(event);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.chunk.finish()
    }
}

fn write_body(out: &mut Encoder, kept: &Kept) {
    let event = &*kept.event;
    let text = |out: &mut Encoder, text: &str| out.bytes(text.as_bytes());
    let time = |out: &mut Encoder, at: Timestamp| out.signed(at.as_millisecond());
    let position = event.origin.position;
    text(out, kept.id.as_str());
    text(out, &event.origin.source);
    out.raw(position.stream.as_bytes());
    out.number(position.offset);
    out.number(position.index.into());
    time(out, event.origin.accepted_at);
    text(out, &event.audit_id);
    text(out, &event.timestamp);
    text(out, &event.event_kind);
    text(out, event.severity.as_str());
    text(out, &event.agent_id);
    out.option(event.about.as_deref(), text);
    out.bytes(event.text.as_str().as_bytes());
    let tries = &kept.tries;
    out.number(tries.used.into());
    out.number(tries.sent.into());
    out.option(tries.first_at.map(|at| at.wall), time);
    out.option(tries.last_at, time);
    out.option(tries.last.as_ref(), |out, failure| {
        out.option(failure.status(), |out, status| out.number(status.into()));
        text(out, &failure.error);
        out.option(failure.response.as_deref(), text);
    });
    out.option(tries.first_at.map(|at| at.wall), time);
}

/// Reads a chunk, event by event.
#[derive(Debug)]
pub(super) struct ChunkReader<'a> {
    from: Decoder<'a>,
    form: u8,
}

impl<'a> ChunkReader<'a> {
    /// The reader of these bytes; `None` where they are not a chunk.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Decoder::new(bytes);
        let [form] = from.array()?;
        matches!(form, OLD_FORM..=FORM).then_some(ChunkReader { from, form })
    }

    /// Passes over the next event; `None`: from here on nothing can be read.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.form {
            OLD_FORM => read_body(&mut self.from, NOWHERE).map(drop),
            _ => self.from.bytes().map(drop),
        }
    }

    /// The next event, which stands in that row: `Some(None)` where it is damaged, `None` where it
    /// and all behind it are.
    pub(super) fn next(&mut self, row: RowId) -> Option<Option<Restored>> {
        match self.form {
            OLD_FORM => read_body(&mut self.from, row).map(Some),
            UNCHECKED_FORM => Some(read_event(self.from.bytes()?, row)),
            _ => Some(checked(self.from.bytes()?).and_then(|event| read_event(event, row))),
        }
    }
}

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

fn checksum(event: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = flate2::Crc::new();
    crc.update(event);
    crc.sum().to_le_bytes()
}

/// What stands behind a checksum, where it is what was written.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, event) = bytes.split_first_chunk()?;
    (checksum(event) == *sum).then_some(event)
}

/// The row of an event that nobody asked for.
const NOWHERE: RowId = RowId { number: 0, due_ms: None };

fn read_event(bytes: &[u8], row: RowId) -> Option<Restored> {
    let mut from = Decoder::new(bytes);
    let mut restored = read_body(&mut from, row)?;
    restored.delivery.fallback = from.number()? & FALLBACK != 0;
    from.is_empty().then_some(restored)
}

fn read_body(from: &mut Decoder<'_>, row: RowId) -> Option<Restored> {
    let id = DeliveryId::stored(from.text()?);
    let origin = Origin {
        source: from.text()?.into(),
        position: Position {
            stream: StreamId::from_bytes(from.array()?),
            offset: from.number()?,
            index: from.number()?.try_into().ok()?,
        },
        accepted_at: time(from)?,
    };
    let event = Event {
        audit_id: from.text()?.into(),
        timestamp: from.text()?.into(),
        event_kind: from.text()?.into(),
        severity: severity(from.text()?)?,
        agent_id: from.text()?.into(),
        about: from.option(Decoder::text)?.map(Arc::from),
        text: Text::check(from.text()?.to_owned()).ok()?,
        origin,
    };
    let tries = Tries {
        used: from.number()?.try_into().ok()?,
        sent: from.number()?.try_into().ok()?,
        first_at: from.option(time)?.map(Moment::past),
        last_at: from.option(time)?,
        last: from.option(failure)?.map(Box::new),
    };
    // The first attempt once more, as its time stands twice.
    from.option(time)?;
    let due = match row.due_ms {
        Some(ms) => Some(Timestamp::from_millisecond(ms).ok()?),
        None => None,
    };
    let delivery = Delivery::held(id, Arc::new(event), tries, Claim::Row(row));
    Some(Restored { delivery, due })
}

fn time(from: &mut Decoder<'_>) -> Option<Timestamp> {
    Timestamp::from_millisecond(from.signed()?).ok()
}

fn failure(from: &mut Decoder<'_>) -> Option<Failure> {
    let status = from.option(|from| from.number()?.try_into().ok())?;
    Some(Failure {
        reply: status.map_or(Reply::None, |code| Reply::Status {
            code,
            retry_after: None,
            told: None,
        }),
        // Without a status the kind of trouble is not kept: its error says it in words.
        trouble: status.map_or(Trouble::Closed, Trouble::of_status),
        error: from.text()?.to_owned(),
        response: from.option(Decoder::text)?.map(str::to_owned),
        took: None,
    })
}

/// The severity of the word that [`Severity::as_str`] gives.
pub(super) fn severity(word: &str) -> Option<Severity> {
    match word {
        "unknown" => Some(Severity::Unknown),
        _ => Severity::from_word(word),
    }
}

/// The chunk as it was written before there were checksums.
#[cfg(test)]
pub(super) fn unchecked_form(events: &[Kept]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.raw(&[UNCHECKED_FORM]);
    for kept in events {
        let mut event = Encoder::default();
        write_body(&mut event, kept);
        event.number(if kept.fallback { FALLBACK } else { 0 });
        encoder.bytes(event.written());
    }
    encoder.finish()
}

/// The chunk as version 1 of the store wrote it.
#[cfg(test)]
pub(super) fn old_form(events: &[Kept]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.raw(&[OLD_FORM]);
    events.iter().for_each(|event| write_body(&mut encoder, event));
    encoder.finish()
}
