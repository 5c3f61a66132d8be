//! Bytes to the events of JSON documents: a buffer that gives out whole events, each with its own
//! beginning and end in the stream, and holds no more than one of them. What an event means is not
//! known here.

mod grammar;
mod scan;
#[cfg(test)]
mod tests;

use super::OVERLONG_HEAD;
use super::buffer::Buffer;
use crate::config;
use grammar::{Grammar, Mark};
use std::ops::Range;

/// Finds events in a stream of bytes.
#[derive(Debug)]
pub struct Documents {
    shape: config::Documents,
    max_event: usize,
    grammar: Grammar,
    /// What is not passed yet, and before it the open event.
    buffer: Buffer,
    /// Offset of the buffer's first byte in the stream.
    base: u64,
    /// How much of the buffer is passed.
    passed: usize,
    /// Offset behind what was given out.
    taken: u64,
    /// Offset behind the last piece.
    last: u64,
    /// Offset of the open event's first byte.
    event: Option<u64>,
    /// Where the document begins; where it was taken up in the middle, that place.
    document: u64,
    /// Why the rest of a document is passed over.
    broken: Option<String>,
    /// Whether the last byte that was passed ended a line.
    line_start: bool,
    head: Head,
}

/// The first bytes behind the last piece, or of the open event: what is kept of it if it cannot be
/// given out.
#[derive(Debug)]
struct Head {
    /// Offset behind which it begins.
    from: u64,
    /// Offset of the first byte that is no blank.
    start: Option<u64>,
    bytes: Vec<u8>,
}

impl Head {
    fn behind(from: u64) -> Self {
        Head { from, start: None, bytes: Vec::new() }
    }
}

/// A stretch of the stream, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset behind its last byte.
    pub end: u64,
    /// The bytes that the pieces are in.
    pub bytes: Vec<u8>,
    /// What is in it, in order.
    pub pieces: Vec<Piece>,
}

/// An event, or what stands in the place of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset behind the piece before it: what lies between belongs to it.
    pub from: u64,
    /// Offset of its first byte.
    pub offset: u64,
    /// Offset behind its last byte.
    pub end: u64,
    /// What it is.
    pub what: What,
}

/// What a piece is.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// An event, at this place of the stretch's bytes.
    Whole(Range<usize>),
    /// An event that is too long; its first bytes, at most [`OVERLONG_HEAD`].
    TooLong(Vec<u8>),
    /// A message that is too long by the length that came before it, of which the stream's end cut
    /// off the rest; its first bytes, at most [`OVERLONG_HEAD`], and that length.
    CutOff(Vec<u8>, u64),
    /// What cannot be read; its first bytes, at most [`OVERLONG_HEAD`], and what is wrong.
    Broken(Vec<u8>, String),
}

impl Documents {
    /// The documents of a stream that begins at `start`, at 0 or where an earlier one was
    /// [`Documents::taken`]; longer events than `max_event` bytes are let go of.
    pub fn new(shape: config::Documents, start: u64, max_event: usize) -> Self {
        Documents {
            grammar: Grammar::new(&shape.unwrap, shape.lines, start > 0),
            shape,
            max_event,
            buffer: Buffer::default(),
            base: start,
            passed: 0,
            taken: start,
            last: start,
            event: None,
            document: start,
            broken: None,
            line_start: true,
            head: Head::behind(start),
        }
    }

    /// Whether the documents are of this shape.
    pub fn is_of(&self, shape: &config::Documents) -> bool {
        self.shape == *shape
    }

    /// The same stream, begun anew right behind what was taken out.
    pub fn anew(&self) -> Self {
        Documents::new(self.shape.clone(), self.taken, self.max_event)
    }

    /// Lets go of events that are longer than this from now on.
    pub fn limit(&mut self, max_event: usize) {
        self.max_event = max_event;
    }

    /// Room for `size` bytes to read into. What was read there is added with
    /// [`Documents::added`].
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        self.buffer.room(size)
    }

    /// Adds the first `length` bytes of the room.
    pub fn added(&mut self, length: usize) {
        self.buffer.added(length);
    }

    /// Offset behind the last byte that was added.
    pub fn end(&self) -> u64 {
        self.base + self.buffer.filled as u64
    }

    /// Offset behind the last byte that was taken out.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Lets go of all room: nothing may come for long.
    pub fn shrink(&mut self) {
        self.buffer.shrink();
    }

    /// Takes out what is complete; call until `None`.
    pub fn whole(&mut self) -> Option<Records> {
        let mut pieces = Vec::new();
        self.pass(&mut pieces);
        self.give_out(pieces)
    }

    /// The rest at the end of the stream.
    pub fn finish(&mut self) -> Option<Records> {
        let mut pieces = Vec::new();
        self.pass(&mut pieces);
        let error = match self.broken.take() {
            None if self.grammar.is_closed() => None,
            None if self.grammar.is_unlisted() => Some(self.no_list()),
            None => Some("the document ends in the middle".to_owned()),
            broken => broken,
        };
        match error {
            Some(error) => self.break_off(error, &mut pieces),
            None => self.move_on(),
        }
        self.grammar.start_over();
        self.give_out(pieces)
    }

    fn here(&self) -> u64 {
        self.base + self.passed as u64
    }

    /// Where the document gets too long.
    fn bound(&self) -> u64 {
        self.document.saturating_add(self.shape.max_bytes)
    }

    fn pass(&mut self, pieces: &mut Vec<Piece>) {
        while self.passed < self.buffer.filled {
            if self.broken.is_some() {
                self.skip(pieces);
                continue;
            }
            let mut until = self.buffer.filled;
            if self.grammar.is_inside() {
                let left = self.bound().saturating_sub(self.base);
                until = until.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            if until <= self.passed {
                let max = self.shape.max_bytes;
                self.broken = Some(format!("the document is longer than max_document_bytes {max}"));
                continue;
            }
            let (more, mark) = self.grammar.advance(&self.buffer.bytes[self.passed..until]);
            if more > 0 {
                self.passed += more;
                self.line_start = self.buffer.bytes[self.passed - 1] == b'\n';
            }
            self.come_upon(mark, pieces);
        }
    }

    fn come_upon(&mut self, mark: Mark, pieces: &mut Vec<Piece>) {
        match mark {
            Mark::More => {}
            Mark::Document => {
                self.document = self.here() - 1;
                self.head = Head::behind(self.document);
            }
            Mark::Event => {
                self.event = Some(self.here());
                self.head = Head::behind(self.here());
            }
            Mark::EventEnd => {
                let Some(offset) = self.event.take() else { return };
                let what = match usize::try_from(self.here() - offset) {
                    Ok(length) if length <= self.max_event && offset >= self.base => {
                        What::Whole((offset - self.base) as usize..self.passed)
                    }
                    _ => What::TooLong(self.take_head()),
                };
                self.piece(offset, what, pieces);
            }
            Mark::DocumentEnd => self.head = Head::behind(self.here()),
            Mark::NoList => self.break_off(self.no_list(), pieces),
            Mark::Broken(what) => self.broken = Some(format!("{what} at byte {}", self.here())),
        }
    }

    fn no_list(&self) -> String {
        format!("the document has no list `{}`", self.shape.unwrap.join("."))
    }

    /// Passes over the rest of a broken document.
    fn skip(&mut self, pieces: &mut Vec<Piece>) {
        let rest = &self.buffer.bytes[self.passed..self.buffer.filled];
        if !self.shape.lines && self.line_start && matches!(rest[0], b'{' | b'[') {
            return self.recover(pieces);
        }
        let end = memchr::memchr(b'\n', rest);
        self.passed += end.map_or(rest.len(), |at| at + 1);
        self.line_start = end.is_some();
        if self.shape.lines && self.line_start {
            self.recover(pieces);
        }
    }

    fn recover(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(error) = self.broken.take() {
            self.break_off(error, pieces);
            self.grammar.start_over();
        }
    }

    /// All behind the last piece is one that cannot be read; what follows is a new document.
    fn break_off(&mut self, error: String, pieces: &mut Vec<Piece>) {
        self.event = None;
        let head = self.take_head();
        let offset = self.head.start.unwrap_or(self.last);
        self.piece(offset, What::Broken(head, error), pieces);
    }

    fn piece(&mut self, offset: u64, what: What, pieces: &mut Vec<Piece>) {
        let (from, end) = (self.last, self.here());
        pieces.push(Piece { from, offset, end, what });
        self.move_on();
    }

    /// All up to here is dealt with.
    fn move_on(&mut self) {
        self.last = self.here();
        self.head = Head::behind(self.last);
    }

    /// The first bytes behind the last piece, up to here.
    fn take_head(&mut self) -> Vec<u8> {
        self.keep_head();
        std::mem::take(&mut self.head.bytes)
    }

    /// Keeps what is needed of the bytes up to here.
    fn keep_head(&mut self) {
        let skipped = self.head.start.unwrap_or(self.head.from) + self.head.bytes.len() as u64;
        let Some(known) =
            self.buffer.bytes.get(skipped.saturating_sub(self.base) as usize..self.passed)
        else {
            return;
        };
        let mut more = known;
        if self.head.start.is_none() {
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
            let Some(first) = known.iter().position(|byte| !blank(byte)) else { return };
            more = &known[first..];
            self.head.start = Some(self.here() - more.len() as u64);
        }
        let room = OVERLONG_HEAD - self.head.bytes.len().min(OVERLONG_HEAD);
        self.head.bytes.extend(&more[..more.len().min(room)]);
    }

    /// Gives the pieces out, and keeps of the buffer what is still needed.
    fn give_out(&mut self, pieces: Vec<Piece>) -> Option<Records> {
        if self.broken.is_none() && self.event.is_none() && self.grammar.can_resume() {
            self.move_on();
        }
        self.keep_head();
        let open = self
            .event
            .filter(|event| *event >= self.base && self.here() - event <= self.max_event as u64);
        let kept = open.map_or(self.passed, |event| (event - self.base) as usize);
        let start = std::mem::replace(&mut self.taken, self.last);
        // What breaks off right behind an event has no bytes of its own, and is told all the same.
        if start == self.last && pieces.is_empty() {
            if kept == 0 {
                // Else an event that comes byte by byte would be moved with each of them.
                return None;
            }
            self.buffer.bytes.copy_within(kept..self.buffer.filled, 0);
            self.forget(kept);
            return None;
        }
        let rest = self.buffer.bytes[kept..self.buffer.filled].to_vec();
        let mut bytes = std::mem::replace(&mut self.buffer.bytes, rest);
        bytes.truncate(kept);
        self.forget(kept);
        Some(Records { start, end: self.last, bytes, pieces })
    }

    fn forget(&mut self, length: usize) {
        self.base += length as u64;
        self.buffer.filled -= length;
        self.passed -= length;
    }
}
