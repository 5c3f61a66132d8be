//! What becomes of the lines of one source: events on their way to the exports, dead letters, or
//! nothing. How bytes come in, and where a line ends, is not known here.

use super::{OVERLONG_HEAD, Overlong, Stream, Stretch};
use crate::ack::Ack;
use crate::config::{self, Malformed, SourceFormat};
use crate::delivery::{DeadLetter, DeliveryId};
use crate::event::{Origin, Position, Record};
use crate::metrics::{self, SourceMetrics};
use crate::queue::{Entrant, SPILL_AFTER};
use crate::repeats::Repeats;
use crate::retry::Reason;
use crate::route::{Batch, LineIndex, Router};
use crate::schema::Schema;
use crate::store::{Replaces, Store};
use futures::future::{join, join_all};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, warn};

/// How long to wait before the store is asked again to write a dead letter down.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What becomes of the lines of one source.
#[derive(Debug)]
pub struct Intake {
    name: Arc<str>,
    format: SourceFormat,
    schema: Schema,
    malformed: Malformed,
    max_line: usize,
    repeatable: bool,
    /// Whether the source can be held back.
    can_wait: bool,
    router: Arc<Router>,
    store: Store,
    metrics: SourceMetrics,
    repeats: Repeats,
}

impl Intake {
    /// What a source of the configuration does with its lines. `repeatable` says whether it can
    /// give them again after a restart.
    pub fn new(
        config: &config::Source,
        repeatable: bool,
        router: Arc<Router>,
        store: Store,
        metrics: SourceMetrics,
    ) -> Self {
        Intake {
            name: Arc::clone(&config.name),
            format: config.format,
            schema: config.schema.clone(),
            malformed: config.malformed,
            max_line: config.max_line_bytes,
            repeatable,
            can_wait: config.input.can_wait(),
            router,
            store,
            metrics,
            repeats: Repeats::default(),
        }
    }

    /// The source's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the source counts.
    pub fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    /// How long a line may be, its end excluded, in bytes.
    pub fn max_line(&self) -> usize {
        self.max_line
    }

    /// A splitter for a stream of this source that begins at `start`.
    pub fn lines(&self, start: u64) -> super::Lines {
        super::Lines::new(start, self.max_line)
    }

    /// Takes in what a stream has whole: returns when all of it is queued, and what is no event is
    /// written down. Waits while the stream's ledger or a queue has no room.
    pub async fn accept(&self, stretch: &Stretch, stream: &Stream) {
        self.room(stream).await;
        let mut walk = Walk::new(self, stream);
        let range = match stretch {
            Stretch::Lines { start, bytes } => walk.lines(*start, bytes),
            Stretch::Overlong(line) => walk.overlong(line),
        };
        let Walk { batch, count, bad, now, .. } = walk;
        let entrant = Entrant::Source { can_wait: self.can_wait };
        let mut entered = self.router.enter(batch, &stream.tracker, range, self.repeatable);
        entered.secure(&self.name, entrant).await;
        self.metrics.took_in(count, now);
        entered.count();
        let bury = |bad: BadLine| self.bury(bad.letter, entered.ack(bad.line));
        let burials = join_all(bad.into_iter().map(bury).collect::<Vec<_>>());
        join(entered.queue(&self.name, entrant), burials).await;
    }

    /// Waits until the stream's ledger has room. What fills it for long is written to the exports'
    /// queues on disk.
    async fn room(&self, stream: &Stream) {
        while timeout(SPILL_AFTER, stream.tracker.room()).await.is_err() {
            self.router.relieve(stream.id).await;
        }
    }

    /// Writes a bad line down, and settles it only then.
    async fn bury(&self, letter: DeadLetter, ack: Ack) {
        let reason = letter.reason;
        while let Err(trouble) = self.store.bury(letter.clone(), Replaces::Nothing, None).await {
            error!(source = %self.name, error = %trouble, "a bad line could not be stored and waits");
            tokio::time::sleep(STORE_RETRY).await;
        }
        if let Some(suppressed) = self.repeats.allow(reason.as_str(), "") {
            let (source, reason, error) = (&*self.name, reason.as_str(), &letter.last_error);
            warn!(source, reason, error, suppressed, "dead_letter");
        }
        self.metrics.dead_lettered(reason);
        ack.settle();
    }
}

/// One stretch of a stream as it is taken in.
struct Walk<'a> {
    intake: &'a Intake,
    stream: &'a Stream,
    now: Timestamp,
    batch: Batch,
    count: metrics::Intake,
    bad: Vec<BadLine>,
}

/// A line that is not an event.
struct BadLine {
    letter: DeadLetter,
    line: LineIndex,
}

impl<'a> Walk<'a> {
    fn new(intake: &'a Intake, stream: &'a Stream) -> Self {
        let batch = intake.router.batch();
        Walk {
            intake,
            stream,
            now: Timestamp::now(),
            batch,
            count: metrics::Intake::default(),
            bad: Vec::new(),
        }
    }

    /// Takes in whole lines; returns where they start and end.
    fn lines(&mut self, start: u64, bytes: &[u8]) -> (u64, u64) {
        let mut from = 0;
        // A last line may lack its end.
        let ends = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]);
        for to in ends {
            let (line_start, line_end) = (start + from as u64, start + to as u64);
            if to > from && !self.stream.was_settled(line_start) {
                self.line(&bytes[from..to], line_start, line_end);
            }
            from = to;
        }
        (start, start + bytes.len() as u64)
    }

    fn line(&mut self, line: &[u8], start: u64, end: u64) {
        let text = trim(line);
        if text.is_empty() {
            return;
        }
        self.count.events += 1;
        self.count.bytes += line.len() as u64;
        let intake = self.intake;
        if text.len() > intake.max_line {
            return self.too_large(
                &text[..text.len().min(OVERLONG_HEAD)],
                text.len() as u64,
                start,
                end,
            );
        }
        let read = match intake.format {
            SourceFormat::Raw => return self.wrapped(text, start, end),
            SourceFormat::Json => match std::str::from_utf8(text) {
                Ok(text) => {
                    intake.schema.read(text).map_err(|error| format!("not a JSON object: {error}"))
                }
                Err(error) => Err(format!("not UTF-8 at byte {}", error.valid_up_to() + 1)),
            },
        };
        match (read, intake.malformed) {
            (Ok((json, envelope)), _) => {
                let record = Record::new(json, envelope, self.origin(start));
                self.event(&record, start, end);
            }
            (Err(_), Malformed::Wrap) => self.wrapped(text, start, end),
            (Err(error), malformed) => {
                self.count.malformed += 1;
                if malformed == Malformed::DeadLetter {
                    self.bad(text, Reason::Malformed, &error, start, end);
                }
            }
        }
    }

    /// Takes in a line that is too long; returns where it starts and ends.
    fn overlong(&mut self, line: &Overlong) -> (u64, u64) {
        let end = line.start + line.length;
        if !self.stream.was_settled(line.start) {
            self.count.events += 1;
            self.count.bytes += line.length;
            self.too_large(&line.head, line.length, line.start, end);
        }
        (line.start, end)
    }

    fn too_large(&mut self, head: &[u8], length: u64, start: u64, end: u64) {
        self.count.malformed += 1;
        if self.intake.malformed != Malformed::Drop {
            let (max, kept) = (self.intake.max_line, head.len());
            let error = format!(
                "a line of {length} bytes, more than max_line_bytes {max}; its first {kept} are kept"
            );
            self.bad(head, Reason::TooLarge, &error, start, end);
        }
    }

    fn wrapped(&mut self, text: &[u8], start: u64, end: u64) {
        let wrapped = wrap(text);
        // It was just written as an object, so reading it back cannot fail.
        if let Ok((json, envelope)) = self.intake.schema.read(&wrapped) {
            let record = Record::new(json, envelope, self.origin(start));
            self.event(&record, start, end);
        }
    }

    fn event(&mut self, record: &Record<'_>, start: u64, end: u64) {
        self.count.severity(record.envelope.severity);
        self.batch.accept(record, start, end);
    }

    fn origin(&self, offset: u64) -> Origin {
        let position = Position { stream: self.stream.id, offset, index: 0 };
        Origin { source: Arc::clone(&self.intake.name), position, accepted_at: self.now }
    }

    fn bad(&mut self, text: &[u8], reason: Reason, error: &str, start: u64, end: u64) {
        let Origin { source, position, accepted_at } = self.origin(start);
        let label = &self.stream.label;
        let at = if label.is_empty() { String::new() } else { format!("{label} ") };
        let letter = DeadLetter {
            export: None,
            source,
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
            last_error: format!("{at}offset {start}: {error}"),
            response: None,
        };
        let line = self.batch.keep(start, end);
        self.bad.push(BadLine { letter, line });
    }
}

/// A line without its end, the blanks around it and a byte order mark before it.
fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

/// Any text as the event `{"message": text}`; bytes that are not UTF-8 become U+FFFD.
fn wrap(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    format!("{{\"message\":{}}}", serde_json::Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn any_text_can_be_wrapped() {
        assert_eq!(
            wrap(b"a \"b\" \\ \0 \xff"),
            "{\"message\":\"a \\\"b\\\" \\\\ \\u0000 \u{fffd}\"}"
        );
    }
}
