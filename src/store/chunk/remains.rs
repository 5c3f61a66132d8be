//! What is whole of a chunk that is not: its events before the damage, and behind it those that a
//! checksum shows to be what was written. Nothing else is ever taken for an event.

use super::{
    CHECKSUM, FORM, NOWHERE, OLD_FORM, Restored, UNCHECKED_FORM, checked, read_body, read_event,
};
use crate::store::codec::Decoder;

/// Digits of a delivery's id, with which every event begins.
const ID_DIGITS: u8 = 32;

/// A whole event of a damaged chunk.
#[derive(Debug)]
pub(in crate::store) struct Whole {
    /// Which one it is.
    pub(in crate::store) place: Place,
    /// Its body and flags.
    pub(in crate::store) event: Vec<u8>,
    /// The same, read. It stands in no row.
    pub(in crate::store) restored: Restored,
}

/// Which event of its chunk one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// Counted from the first one, which is 0.
    FromStart(usize),
    /// Counted from behind the last one, which is 1.
    FromEnd(usize),
    /// There is damage on both sides.
    Unknown,
}

/// The whole events of these bytes, in order. Only the first `intact` bytes are known to be in
/// their place: of a form without checksums no others count. Bytes without the form's number in
/// front are those of a chunk whose beginning is gone where `intact` is 0.
pub(in crate::store) fn of(bytes: &[u8], intact: usize) -> Vec<Whole> {
    let form = bytes.first().copied().filter(|_| intact > 0);
    match form {
        Some(OLD_FORM | UNCHECKED_FORM) => {
            let bytes = bytes.get(1..intact.min(bytes.len())).unwrap_or_default();
            unchecked(bytes, form == Some(OLD_FORM))
        }
        Some(FORM) => of_checked(bytes, 1, Some(0)),
        // The form may be what is damaged.
        _ => of_checked(bytes, 0, None),
    }
}

fn unchecked(bytes: &[u8], old: bool) -> Vec<Whole> {
    let (mut from, mut found, mut index) = (Decoder::new(bytes), Vec::new(), 0);
    loop {
        let before = from.rest();
        let (event, restored) = if old {
            let Some(restored) = read_body(&mut from, NOWHERE) else { return found };
            let body = before.len() - from.rest().len();
            let flags: &[u8] = &[0];
            ([before.get(..body).unwrap_or_default(), flags].concat(), Some(restored))
        } else {
            let Some(event) = from.bytes() else { return found };
            (event.to_vec(), read_event(event, NOWHERE))
        };
        let place = Place::FromStart(index);
        found.extend(restored.map(|restored| Whole { place, event, restored }));
        index += 1;
    }
}

/// The events that checksums show, from `at` on; `index`: which event begins there, if any does.
fn of_checked(bytes: &[u8], mut at: usize, mut index: Option<usize>) -> Vec<Whole> {
    let mut found: Vec<Whole> = Vec::new();
    // Where the last stretch without a break begins in `found`.
    let mut stretch = 0;
    while at < bytes.len() {
        if let Some((whole, end)) = event_at(bytes, at, index) {
            found.push(whole);
            at = end;
            index = index.map(|index| index + 1);
            continue;
        }
        // Behind one that is damaged, but knows its length, the next one's place is known: unless
        // that length is damaged too, and leads past others.
        let begins = |at: usize| event_at(bytes, at, None).is_some();
        let next = end_of(bytes, at)
            .filter(|_| index.is_some())
            .filter(|end| begins(*end) && !(at + 1..*end).any(begins));
        match (next, index) {
            (Some(next), Some(known)) => {
                at = next;
                index = Some(known + 1);
            }
            _ => {
                at += 1;
                index = None;
            }
        }
        stretch = found.len();
    }
    // What goes on to the end is counted from there, where the bytes end with an event.
    let last = found.len();
    for (index, whole) in found.iter_mut().enumerate().skip(stretch) {
        if whole.place == Place::Unknown {
            whole.place = Place::FromEnd(last - index);
        }
    }
    found
}

/// Where what begins here with its length ends.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    let mut from = Decoder::new(bytes.get(at..)?);
    from.bytes()?;
    Some(bytes.len() - from.rest().len())
}

fn event_at(bytes: &[u8], at: usize, index: Option<usize>) -> Option<(Whole, usize)> {
    let mut from = Decoder::new(bytes.get(at..)?);
    let framed = from.bytes()?;
    // Cheap to see, and rare by chance.
    if framed.get(CHECKSUM) != Some(&ID_DIGITS) {
        return None;
    }
    let event = checked(framed)?;
    let restored = read_event(event, NOWHERE)?;
    let place = index.map_or(Place::Unknown, Place::FromStart);
    let end = bytes.len() - from.rest().len();
    Some((Whole { place, event: event.to_vec(), restored }, end))
}
