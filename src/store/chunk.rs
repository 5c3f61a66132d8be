//! The chunk of a queue row: one to 256 events as bytes, each with all that its delivery needs to
//! go on where it stood.
//!
//! ```text
//! chunk   = 1 (the form's version), event, …
//! event   = delivery id, source, stream (16 bytes), offset, index, accepted at,
//!           audit_id, timestamp, event_kind, severity, agent_id, about?, text,
//!           attempts used, requests sent, first attempt at?, last attempt at?, failure?, rendered at?
//! failure = status?, error, response?
//! ```
//!
//! Numbers, texts and optional values (`?`) are written as `codec` says, times as signed Unix
//! milliseconds. When an event is due stands in its row, not here: a waiting retry has a row of
//! its own.

use super::codec::{Decoder, Encoder};
use crate::delivery::{Claim, Delivery, DeliveryId, Failure, Moment, Tries};
use crate::event::{Event, Origin, Position, Severity, StreamId, Text};
use crate::retry::Reply;
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::sync::Arc;

/// The most events of one chunk.
pub(super) const MAX_EVENTS: usize = 256;

/// A chunk that has as many bytes takes no further event.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const FORM: u8 = 1;

/// A delivery to keep in the queue until the next start.
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
    /// The time that its body was rendered with, so that it is rendered alike again.
    pub rendered_at: Option<Timestamp>,
    /// The number of the queue's event that this one takes the place of.
    pub replaces: Option<i64>,
}

impl Kept {
    /// What to keep of a delivery; `None` for one that is replayed, which its dead letter keeps.
    pub fn of(
        delivery: &Delivery,
        due: Option<Timestamp>,
        rendered_at: Option<Timestamp>,
    ) -> Option<Kept> {
        let replaces = match delivery.claim {
            Claim::Line { .. } => None,
            Claim::Row(number) => Some(number),
            Claim::Replay(_) => return None,
        };
        Some(Kept {
            id: delivery.id.clone(),
            event: Arc::clone(&delivery.event),
            tries: delivery.tries.clone(),
            due,
            rendered_at,
            replaces,
        })
    }
}

/// A delivery that an earlier run kept.
#[derive(Debug)]
pub struct Restored {
    /// The delivery; its claim is its number in the queue.
    pub delivery: Delivery,
    /// When the next attempt is due; `None`: at once.
    pub due: Option<Timestamp>,
    /// The time that its body was rendered with.
    pub rendered_at: Option<Timestamp>,
}

/// A chunk that is being written.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    encoder: Encoder,
    pub(super) events: usize,
}

impl ChunkWriter {
    pub(super) fn new() -> Self {
        let mut encoder = Encoder::default();
        encoder.raw(&[FORM]);
        ChunkWriter { encoder, events: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events >= MAX_EVENTS || self.encoder.len() >= MAX_BYTES
    }

    pub(super) fn push(&mut self, kept: &Kept) {
        self.events += 1;
        let (out, event) = (&mut self.encoder, &*kept.event);
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
        out.bytes(event.text.bytes());
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
        out.option(kept.rendered_at, time);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.encoder.finish()
    }
}

/// The deliveries of a chunk whose first event has the number `first`, those `settled` left out;
/// `None` where the bytes are not a chunk.
pub(super) fn read(
    bytes: &[u8],
    first: i64,
    due: Option<Timestamp>,
    settled: impl Fn(usize) -> bool,
) -> Option<Vec<Restored>> {
    let mut decoder = Decoder::new(bytes);
    if decoder.array() != Some([FORM]) {
        return None;
    }
    let mut restored = Vec::new();
    for index in 0.. {
        if decoder.is_empty() {
            break;
        }
        let number = first.checked_add(index)?;
        let event = read_event(&mut decoder, number, due)?;
        if !settled(usize::try_from(index).ok()?) {
            restored.push(event);
        }
    }
    Some(restored)
}

fn read_event(from: &mut Decoder<'_>, number: i64, due: Option<Timestamp>) -> Option<Restored> {
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
        last: from.option(failure)?,
    };
    let rendered_at = from.option(time)?;
    let delivery = Delivery { id, event: Arc::new(event), tries, claim: Claim::Row(number) };
    Some(Restored { delivery, due, rendered_at })
}

fn time(from: &mut Decoder<'_>) -> Option<Timestamp> {
    Timestamp::from_millisecond(from.signed()?).ok()
}

fn failure(from: &mut Decoder<'_>) -> Option<Failure> {
    let status = from.option(|from| from.number()?.try_into().ok())?;
    Some(Failure {
        reply: status.map_or(Reply::None, |code| Reply::Status { code, retry_after: None }),
        // Without a status the kind of trouble is not kept: its error says it in words.
        trouble: status.map_or(Trouble::Closed, Trouble::of_status),
        error: from.text()?.to_owned(),
        response: from.option(Decoder::text)?.map(str::to_owned),
    })
}

/// The severity of the word that [`Severity::as_str`] gives.
pub(super) fn severity(word: &str) -> Option<Severity> {
    match word {
        "unknown" => Some(Severity::Unknown),
        _ => Severity::from_word(word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    fn kept() -> impl Strategy<Value = Kept> {
        let time = || (0i64..4_000_000_000_000).prop_map(testing::time);
        let option = |text: &'static str| prop::option::of(text);
        let tries =
            (any::<(u32, u32)>(), prop::option::of(time()), option(".*"), any::<Option<u16>>());
        let names = (".{0,20}", option("[a-z]{1,9}"), prop::sample::select(&Severity::LEVELS[..]));
        (any::<(u64, u32)>(), names, tries, prop::option::of(time())).prop_map(
            |(
                (offset, index),
                (name, about, severity),
                (sent, at, response, status),
                rendered_at,
            )| {
                let mut event = Event::clone(&testing::event(offset, &name));
                event.origin.position.index = index;
                event.severity = severity;
                event.about = about.map(Arc::from);
                let failure = Failure {
                    reply: status
                        .map_or(Reply::None, |code| Reply::Status { code, retry_after: None }),
                    trouble: status.map_or(Trouble::Closed, Trouble::of_status),
                    error: name,
                    response,
                };
                let tries = Tries {
                    used: sent.0,
                    sent: sent.1,
                    first_at: at.map(Moment::past),
                    last_at: at,
                    last: at.map(|_| failure),
                };
                let id = DeliveryId::new("alerts", &event.origin.position);
                Kept { id, event: Arc::new(event), tries, due: None, rendered_at, replaces: None }
            },
        )
    }

    fn write(events: &[Kept]) -> Vec<u8> {
        let mut writer = ChunkWriter::new();
        events.iter().for_each(|event| writer.push(event));
        writer.finish()
    }

    fn shown(event: &Event, tries: &Tries, rendered_at: Option<Timestamp>) -> String {
        let first_at = tries.first_at.map(|at| at.wall);
        let Tries { used, sent, last_at, last, .. } = tries;
        format!("{event:?} {used} {sent} {first_at:?} {last_at:?} {last:?} {rendered_at:?}")
    }

    proptest! {
        #[test]
        fn deliveries_read_back(events in prop::collection::vec(kept(), 1..5), settled in 0usize..5) {
            let due = Some(testing::time(5));
            let read = read(&write(&events), 100, due, |index| index == settled).unwrap();
            let open = events.iter().enumerate().filter(|(index, _)| *index != settled);
            prop_assert_eq!(read.len(), open.clone().count());
            for (one, (index, event)) in read.iter().zip(open) {
                let delivery = &one.delivery;
                prop_assert_eq!(&delivery.id, &event.id);
                prop_assert!(matches!(delivery.claim, Claim::Row(number) if number == 100 + index as i64));
                prop_assert_eq!(
                    shown(&delivery.event, &delivery.tries, one.rendered_at),
                    shown(&event.event, &event.tries, event.rendered_at)
                );
                prop_assert_eq!(one.due, due);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(event in kept(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut bytes = write(&[event]);
            *at.get_mut(&mut bytes) = byte;
            read(&bytes, 0, None, |_| false);
            bytes.truncate(cut.index(bytes.len()));
            read(&bytes, i64::MAX, None, |_| false);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            read(&bytes, 0, None, |_| false);
        }
    }

    #[test]
    fn what_is_replayed_stays_with_its_dead_letter() {
        let event = testing::event(1, "a");
        let id = DeliveryId::new("alerts", &event.origin.position);
        let delivery = |claim| Delivery {
            id: id.clone(),
            event: Arc::clone(&event),
            tries: Tries::default(),
            claim,
        };
        assert!(Kept::of(&delivery(Claim::Replay(1)), None, None).is_none());
        assert_eq!(Kept::of(&delivery(Claim::Row(7)), None, None).unwrap().replaces, Some(7));
    }
}
