//! A stretch of a stream, line by line: what each line is, and what is counted of it. Where the
//! lines come from, and how they are queued and stored, is not known here.

use super::intake::Settings;
use super::{Intake, OVERLONG_HEAD, Overlong, Piece, Records, Stream, Stretch, What};
use crate::config::{Malformed, SourceFormat};
use crate::delivery::{DeadLetter, DeliveryId};
use crate::event::json::JsonError;
use crate::event::{Origin, Position, Record};
use crate::format::{with_fields, wrap};
use crate::metrics;
use crate::poison::FATAL;
use crate::retry::Reason;
use crate::route::{LineIndex, Routing};
use jiff::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How often a line is tried whose handling panics.
const MAX_TRIES: u32 = 3;

/// One stretch of a stream as it is taken in.
pub(super) struct Walk<'a> {
    intake: &'a Intake,
    pub(super) settings: &'a Settings,
    pub(super) stream: &'a Stream,
    pub(super) now: Timestamp,
    pub(super) routing: Routing,
    pub(super) count: metrics::TakenIn,
    pub(super) bad: Vec<BadLine>,
}

/// A line that is not an event.
pub(super) struct BadLine {
    pub(super) letter: DeadLetter,
    pub(super) line: LineIndex,
    /// What it adds to what came in.
    pub(super) count: metrics::TakenIn,
}

impl<'a> Walk<'a> {
    pub(super) fn new(intake: &'a Intake, settings: &'a Settings, stream: &'a Stream) -> Self {
        let routing = intake.router.begin();
        Walk {
            intake,
            settings,
            stream,
            now: Timestamp::now(),
            routing,
            count: metrics::TakenIn::default(),
            bad: Vec::new(),
        }
    }

    /// Takes in a stretch; returns where it starts and ends.
    pub(super) fn stretch(&mut self, stretch: &Stretch) -> (u64, u64) {
        match stretch {
            Stretch::Lines { start, bytes } => self.lines(*start, bytes),
            Stretch::Overlong(line) => self.overlong(line),
            Stretch::Records(records) => self.records(records),
        }
    }

    /// Takes in whole lines; returns where they start and end.
    pub(super) fn lines(&mut self, start: u64, bytes: &[u8]) -> (u64, u64) {
        let mut from = 0;
        // A last line may lack its end.
        let ends = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]);
        for to in ends {
            let place = Place::of_line(start + from as u64, start + to as u64);
            if to > from && !self.stream.was_settled(place.from) {
                self.watched(&bytes[from..to], place);
            }
            from = to;
        }
        (start, start + bytes.len() as u64)
    }

    /// Takes in events with their places; returns where they start and end.
    fn records(&mut self, records: &Records) -> (u64, u64) {
        for piece in &records.pieces {
            let Piece { from, offset, end, what } = piece;
            let place = Place { from: *from, offset: *offset, end: *end };
            if self.stream.was_settled(*from) {
                continue;
            }
            match what {
                What::Whole(range) => self.watched(&records.bytes[range.clone()], place),
                What::TooLong(head) => {
                    self.received(place);
                    self.too_large(head, end - offset, None, place);
                }
                What::CutOff(head, announced) => {
                    self.received(place);
                    self.too_large(head, end - offset, Some(*announced), place);
                }
                What::Broken(head, error) => {
                    self.received(place);
                    self.malformed(head.trim_ascii(), error, place);
                }
            }
        }
        (records.start, records.end)
    }

    fn received(&mut self, place: Place) {
        self.count.events += 1;
        self.count.bytes += place.end - place.from;
    }

    /// Takes in a line whose handling may end the process: one that did too often is kept as it is.
    fn watched(&mut self, line: &[u8], place: Place) {
        let poison = &self.intake.poison;
        if !poison.watches_lines() {
            return self.guarded(line, place);
        }
        let id = DeliveryId::new("", &self.origin(place).position);
        if poison.is_poison(id.as_str()) {
            let error =
                format!("postrider ended without warning {FATAL} times while it took this line in");
            return self.poison(line, &error, place);
        }
        let watch = poison.watch_line(id.as_str());
        self.guarded(line, place);
        drop(watch);
        poison.forget(id.as_str());
    }

    /// Takes in a line whose handling may fail by a defect of postrider's own: it is tried again
    /// with what it left behind taken back, and in the end kept as it is. The rest goes on.
    fn guarded(&mut self, line: &[u8], place: Place) {
        let (count, mark, bad) = (self.count, self.routing.mark(), self.bad.len());
        for _ in 0..MAX_TRIES {
            if catch_unwind(AssertUnwindSafe(|| self.line(line, place))).is_ok() {
                return;
            }
            self.count = count;
            self.routing.rewind(mark);
            self.bad.truncate(bad);
        }
        let error = format!("handling this line failed {MAX_TRIES} times");
        self.poison(line, &error, place);
    }

    fn poison(&mut self, line: &[u8], error: &str, place: Place) {
        self.received(place);
        self.count.malformed += 1;
        let error = format!("{error}: a defect in postrider, please report it");
        self.bad(trim(line), Reason::Poison, &error, place);
    }

    fn line(&mut self, line: &[u8], place: Place) {
        let text = trim(line);
        if text.is_empty() {
            return;
        }
        self.received(place);
        if text.len() > self.settings.max_line {
            let head = &text[..text.len().min(OVERLONG_HEAD)];
            return self.too_large(head, text.len() as u64, None, place);
        }
        if self.settings.format == SourceFormat::Raw {
            return self.wrapped(text, place);
        }
        if let Err(error) = self.read(text, place) {
            self.malformed(text, &error, place);
        }
    }

    /// Takes in a line as an event, if it is one.
    fn read(&mut self, line: &[u8], place: Place) -> Result<(), String> {
        let Settings { format, schema, .. } = self.settings;
        let text = format.event(line, &schema.mapping().timezone, self.now)?;
        self.accept(&text, place)
    }

    /// Takes in the JSON text of an event, with the fields that each gets, if it is one.
    fn accept(&mut self, text: &str, place: Place) -> Result<(), String> {
        let Settings { schema, add_fields, .. } = self.settings;
        let (json, envelope) = schema.read(text).map_err(not_an_object)?;
        if !add_fields.is_empty()
            && let Some(more) = with_fields(json, add_fields)
        {
            // An object with further fields is one too.
            let read = schema.read(&more).map_err(|error| error.to_string())?;
            self.event(&Record::new(read.0, read.1, self.origin(place)), place);
            return Ok(());
        }
        let record = Record::new(json, envelope, self.origin(place));
        self.event(&record, place);
        Ok(())
    }

    fn malformed(&mut self, text: &[u8], error: &str, place: Place) {
        match self.settings.malformed {
            Malformed::Wrap => return self.wrapped(text, place),
            Malformed::DeadLetter => self.bad(text, Reason::Malformed, error, place),
            Malformed::Drop => {}
        }
        self.count.malformed += 1;
    }

    /// Takes in a line that is too long; returns where it starts and ends.
    fn overlong(&mut self, line: &Overlong) -> (u64, u64) {
        let place = Place::of_line(line.start, line.start + line.length);
        if !self.stream.was_settled(line.start) {
            self.received(place);
            self.too_large(&line.head, line.length, None, place);
        }
        (place.from, place.end)
    }

    /// What is too long, `length` bytes of it. `announced` is what it would have had, where it was
    /// cut off.
    fn too_large(&mut self, head: &[u8], length: u64, announced: Option<u64>, place: Place) {
        self.count.malformed += 1;
        if self.settings.malformed != Malformed::Drop {
            let (max, kept) = (self.settings.max_line, head.len());
            let what = match announced {
                None => format!("a line of {length} bytes"),
                Some(announced) => format!(
                    "a message cut off after {length} bytes, announced with a length of {announced}"
                ),
            };
            let error =
                format!("{what}, more than max_line_bytes {max}; its first {kept} are kept");
            self.bad(head, Reason::TooLarge, &error, place);
        }
    }

    fn wrapped(&mut self, text: &[u8], place: Place) {
        // It was just written as an object, so reading it back cannot fail.
        let _ = self.accept(&wrap(text), place);
    }

    fn event(&mut self, record: &Record<'_>, place: Place) {
        self.count.severity(record.envelope.severity);
        self.routing.accept(record, place.from, place.end);
    }

    fn origin(&self, place: Place) -> Origin<&'a Arc<str>> {
        let position = Position { stream: self.stream.id, offset: place.offset, index: 0 };
        Origin { source: self.intake.name(), position, accepted_at: self.now }
    }

    fn bad(&mut self, text: &[u8], reason: Reason, error: &str, place: Place) {
        let Origin { source, position, accepted_at } = self.origin(place);
        let label = &self.stream.label;
        let at = if label.is_empty() { String::new() } else { format!("{label} ") };
        let letter = DeadLetter {
            export: None,
            source: Arc::clone(source),
            delivery_id: DeliveryId::new("", &position),
            text: text.to_vec(),
            event: None,
            position,
            accepted_at,
            reason,
            attempts: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_status: None,
            last_error: format!("{at}offset {}: {error}", place.offset),
            response: None,
        };
        let line = self.routing.keep(place.from, place.end);
        let count = metrics::TakenIn::malformed(place.end - place.from);
        self.bad.push(BadLine { letter, line, count });
    }
}

/// Where a line or event stands in its stream.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Offset from which on all is settled with it.
    from: u64,
    /// Offset of its first byte, by which it is known.
    offset: u64,
    /// Offset behind its last byte, line end included.
    end: u64,
}

impl Place {
    fn of_line(start: u64, end: u64) -> Self {
        Place { from: start, offset: start, end }
    }
}

/// What is wrong with a text that should be an event.
pub fn not_an_object(error: JsonError) -> String {
    format!("not a JSON object: {error}")
}

/// A line without its end, the blanks around it and a byte order mark before it.
pub fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Input;
    use crate::poison::Poison;
    use crate::source::stdin::Stdin;
    use crate::source::testing::{self, Bench};

    #[test]
    fn what_stands_around_a_line_is_taken_off() {
        for (line, text) in [
            (&b"\xef\xbb\xbf{}\r\n"[..], &b"{}"[..]),
            (b"  {} \n", b"{}"),
            (b"\r\n", b""),
            (b"\xef\xbb\xbf", b""),
        ] {
            assert_eq!(trim(line), text, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_line_that_breaks_its_handling_is_kept_and_the_rest_goes_on() {
        let bench = Bench::new();
        let mut run = bench.open();
        let config = testing::source(Input::Stdin);
        let text = &b"{\"n\":1}\nnonsense\n{\"defect\":1}\n{\"n\":2}\n{\"defect\":2}"[..];
        run.start(Stdin::new(run.intake(&config), text));
        assert_eq!(run.ended().await, Ok(()));
        bench.got.count(2).await;
        run.stop().await;
        let texts = bench.got.texts();
        assert_eq!(texts, ["{\"n\":1}", "{\"n\":2}"], "nothing of the tries that failed is left");
        let letters = run.dead_letters(&bench).await;
        let letters: Vec<_> =
            letters.iter().map(|(reason, text, _)| (&**reason, &**text)).collect();
        let expected =
            [("malformed", "nonsense"), ("poison", "{\"defect\":1}"), ("poison", "{\"defect\":2}")];
        assert_eq!(letters, expected);
        assert_eq!(run.metric("events_received_total"), 5.0);
        assert_eq!(run.metric("events_malformed_total"), 3.0);
        run.store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_line_that_ends_the_process_is_kept_and_the_rest_goes_on() {
        let bench = Bench::new();
        let data = bench.path("../data");
        std::fs::create_dir(&data).unwrap();
        let stream = Stream::fresh("");
        let position = Position { stream: stream.id, offset: 8, index: 0 };
        let id = DeliveryId::new("", &position);
        // Before the first death nothing is noted.
        for _ in 0..=FATAL {
            let poison = Poison::open(&data).unwrap();
            assert!(!poison.is_poison(id.as_str()));
            std::mem::forget(poison.watch_line(id.as_str()));
        }
        let mut run = bench.open();
        let intake = run.intake(&testing::source(Input::Stdin));
        let bytes = b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n".to_vec();
        intake.accept(&Stretch::Lines { start: 0, bytes }, &stream).await;
        bench.got.count(2).await;
        run.stop().await;
        assert_eq!(bench.got.texts(), ["{\"n\":1}", "{\"n\":3}"]);
        let letters = run.dead_letters(&bench).await;
        let told: Vec<_> = letters.iter().map(|(reason, text, _)| (&**reason, &**text)).collect();
        assert_eq!(told, [("poison", "{\"n\":2}")]);
        run.store.close().await.unwrap();
        assert!(!Poison::open(&data).unwrap().is_poison(id.as_str()), "it was dealt with");
    }
}
