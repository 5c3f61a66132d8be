//! Events that every export is done with, from which the next ones are made.
//!
//! One thread makes events and others let go of them: an allocator shared by all would have them
//! wait for each other over every single one, which takes a fifth of the CPU time of an export
//! that sends large batches (docs/performance.md).

use super::Event;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events that are kept: what a large batch leaves behind.
const MAX_EVENTS: usize = 10_240;

/// The memory of a longer text is given back, in bytes.
const MAX_TEXT: usize = 1024;

/// How many are handed out in one go, about as many as lines are read in one go.
const STOCK: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct SpentEvents(Mutex<Vec<Arc<Event>>>);

impl SpentEvents {
    fn events(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        // Nothing under this lock can leave the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an event with a text of so many bytes is worth keeping.
    pub fn takes(bytes: usize) -> bool {
        bytes <= MAX_TEXT
    }

    /// Takes over events, as many as there is room for. Whether others hold them too is seen when
    /// they are to be used: they are far from this thread's cache, and have to be fetched then.
    pub fn keep(&self, events: &mut Vec<Arc<Event>>) {
        let mut kept = self.events();
        let room = MAX_EVENTS.saturating_sub(kept.len()).min(events.len());
        kept.extend(events.drain(..room));
        drop(kept);
        events.clear();
    }
}

/// Spent events at hand; what is left of them goes back.
#[derive(Debug)]
pub struct Stock {
    spent: Arc<SpentEvents>,
    at_hand: Vec<Arc<Event>>,
}

impl Stock {
    /// An empty stock that is filled up when something is asked for.
    pub fn of(spent: &Arc<SpentEvents>) -> Self {
        Stock { spent: Arc::clone(spent), at_hand: Vec::new() }
    }

    /// An event that nobody looks at any more.
    pub(super) fn next(&mut self) -> Option<Arc<Event>> {
        while self.at_hand.is_empty() {
            let mut kept = self.spent.events();
            if kept.is_empty() {
                return None;
            }
            let left = kept.len().saturating_sub(STOCK);
            self.at_hand.extend(kept.drain(left..));
            drop(kept);
            // All in one go: the processor fetches several at once.
            self.at_hand.retain(|event| Arc::strong_count(event) == 1);
        }
        self.at_hand.pop()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        if !self.at_hand.is_empty() {
            self.spent.keep(&mut self.at_hand);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, Origin, Position, Record, Severity, StreamId, json::Json};
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::prelude::*;

    /// An event as a source makes it.
    fn event(text: &str, stock: &mut Stock) -> Arc<Event> {
        let json = Json::check(text).unwrap();
        let envelope = Envelope {
            audit_id: json.get("id").and_then(Json::as_str),
            timestamp: None,
            event_kind: "k".into(),
            severity: Severity::Info,
            agent_id: "".into(),
        };
        let source = "app".into();
        let position = Position { stream: StreamId::from_bytes([1; 16]), offset: 0, index: 0 };
        let origin = Origin { source: &source, position, accepted_at: Timestamp::UNIX_EPOCH };
        Arc::clone(Record::new(json, envelope, origin).event_in(stock))
    }

    /// Leaves an event as an export does.
    fn keep(spent: &SpentEvents, event: Arc<Event>) {
        let mut events = vec![event];
        events.retain(|event| SpentEvents::takes(event.text.as_str().len()));
        spent.keep(&mut events);
    }

    fn kept(spent: &SpentEvents) -> usize {
        spent.events().len()
    }

    #[test]
    fn an_event_is_made_in_the_place_of_a_spent_one() {
        let spent = Arc::default();
        let first = event(r#"{"id":"first","text":"of it"}"#, &mut Stock::of(&spent));
        let (place, memory) = (Arc::as_ptr(&first), first.text.as_str().as_ptr());
        keep(&spent, first);
        let second = event(r#"{"id":"second"}"#, &mut Stock::of(&spent));
        assert_eq!((Arc::as_ptr(&second), second.text.as_str().as_ptr()), (place, memory));
        assert_eq!((&*second.audit_id, second.text.as_str()), ("second", r#"{"id":"second"}"#));
        assert_eq!(kept(&spent), 0);
    }

    #[test]
    fn what_somebody_still_holds_stays_as_it_is() {
        let spent = Arc::default();
        let first = event(r#"{"id":"first"}"#, &mut Stock::of(&spent));
        keep(&spent, Arc::clone(&first));
        let second = event(r#"{"id":"other"}"#, &mut Stock::of(&spent));
        assert!(!Arc::ptr_eq(&first, &second), "another export has it");
        let body = first.body();
        keep(&spent, first);
        let third = event(r#"{"id":"third"}"#, &mut Stock::of(&spent));
        assert_eq!(body, r#"{"id":"first"}"#, "it may be on its way to a receiver");
        assert_eq!(third.text.as_str(), r#"{"id":"third"}"#);
        assert_eq!(kept(&spent), 0);
    }

    #[test]
    fn what_two_exports_leave_is_used_once() {
        let spent: Arc<SpentEvents> = Arc::default();
        let first = event("{}", &mut Stock::of(&spent));
        let place = Arc::as_ptr(&first);
        keep(&spent, Arc::clone(&first));
        keep(&spent, first);
        let mut stock = Stock::of(&spent);
        assert_eq!(stock.next().map(|event| Arc::as_ptr(&event)), Some(place));
        assert!(stock.next().is_none());
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let spent: Arc<SpentEvents> = Arc::default();
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_TEXT));
        keep(&spent, event(&long, &mut Stock::of(&spent)));
        assert_eq!(kept(&spent), 0);
        let mut stock = Stock::of(&spent);
        let mut many: Vec<_> = (0..MAX_EVENTS + 9).map(|_| event("{}", &mut stock)).collect();
        spent.keep(&mut many);
        assert_eq!((kept(&spent), many.len()), (MAX_EVENTS, 0));
        assert!(stock.next().is_some());
        assert_eq!(kept(&spent), MAX_EVENTS - STOCK);
        drop(stock);
        assert_eq!(kept(&spent), MAX_EVENTS - 1, "what is left of a stock goes back");
    }

    proptest! {
        /// Whatever was there before, an event is what it would be without.
        #[test]
        fn nothing_of_a_spent_event_is_left(
            lengths in prop::collection::vec(0usize..200, 1..40),
            held in prop::collection::vec(any::<bool>(), 40),
        ) {
            let spent = Arc::default();
            let mut bodies: Vec<(Bytes, String)> = Vec::new();
            for (n, length) in lengths.into_iter().enumerate() {
                let text = format!(r#"{{"id":"{n}","text":"{}"}}"#, "y".repeat(length));
                let made = event(&text, &mut Stock::of(&spent));
                prop_assert_eq!(made.text.as_str(), &text);
                prop_assert_eq!(&*made.audit_id, n.to_string());
                if held[n] {
                    bodies.push((made.body(), text));
                }
                keep(&spent, made);
            }
            for (body, text) in bodies {
                prop_assert_eq!(body, text);
            }
        }
    }
}
