//! Bytes to syslog messages: each a line, or counted: its length in digits and a blank before it,
//! as RFC 6587 has it. Each message shows by itself which of the two it is.

use super::buffer::Buffer;
use super::documents::{Piece, Records, What};
use super::{OVERLONG_HEAD, READ_SIZE};

/// The most digits of a length.
const MAX_DIGITS: usize = 10;

/// Finds messages in a stream of bytes.
#[derive(Debug)]
pub struct Messages {
    /// What waits for its end.
    buffer: Buffer,
    /// Offset of the buffer's first byte in the stream.
    start: u64,
    /// How much of the buffer is known to hold no end of its first line.
    searched: usize,
    max: usize,
    /// A message that is too long, while it is passed over.
    long: Option<Long>,
}

#[derive(Debug)]
struct Long {
    start: u64,
    head: Vec<u8>,
    /// How much of it is still to come; else it ends with its line.
    left: Option<u64>,
    /// The length that came before it.
    announced: Option<u64>,
}

/// What a message begins as.
#[derive(Debug, PartialEq, Eq)]
enum Begins {
    /// It cannot be said yet.
    Open,
    /// With a count: how long the count is, blank included, and what it says.
    Counted(usize, u64),
    /// As a line.
    Line,
}

impl Messages {
    /// Messages of a stream that begins at `start`; longer ones than `max` bytes are let go of.
    pub fn new(start: u64, max: usize) -> Self {
        Messages { buffer: Buffer::default(), start, searched: 0, max, long: None }
    }

    /// Messages of the same stream, begun anew right behind what was taken out.
    pub fn anew(&self) -> Self {
        Messages::new(self.taken(), self.max)
    }

    /// Lets go of messages that are longer than this from now on.
    pub fn limit(&mut self, max: usize) {
        self.max = max;
    }

    /// Room for `size` bytes to read into. What was read there is added with [`Messages::added`].
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        self.buffer.room(size)
    }

    /// Adds the first `length` bytes of the room.
    pub fn added(&mut self, length: usize) {
        self.buffer.added(length);
    }

    /// Offset behind the last byte that was added.
    pub fn end(&self) -> u64 {
        self.start + self.buffer.filled as u64
    }

    /// Offset behind the last byte that was taken out.
    pub fn taken(&self) -> u64 {
        self.long.as_ref().map_or(self.start, |long| long.start)
    }

    /// Lets go of all room: nothing may come for long.
    pub fn shrink(&mut self) {
        self.buffer.shrink();
    }

    /// Takes out what is complete; call until `None`.
    pub fn whole(&mut self) -> Option<Records> {
        self.take(false)
    }

    /// The rest at the end of the stream.
    pub fn finish(&mut self) -> Option<Records> {
        self.take(true)
    }

    fn take(&mut self, ends: bool) -> Option<Records> {
        let first = self.taken();
        let (mut at, mut pieces) = (0, Vec::new());
        while at < self.buffer.filled || (ends && self.long.is_some()) {
            let Some(next) = self.next(at, ends, &mut pieces) else { break };
            at = next;
        }
        if at == 0 && pieces.is_empty() {
            // Else a message that comes byte by byte would be copied with each of them.
            return None;
        }
        self.start += at as u64;
        self.searched = self.searched.saturating_sub(at);
        let rest = self.buffer.bytes[at..self.buffer.filled].to_vec();
        self.buffer.filled = rest.len();
        let mut bytes = std::mem::replace(&mut self.buffer.bytes, rest);
        bytes.truncate(at);
        if self.buffer.bytes.capacity() > 2 * READ_SIZE && self.buffer.filled == 0 {
            self.buffer.bytes = Vec::new();
        }
        let end = self.taken();
        (end > first).then_some(Records { start: first, end, bytes, pieces })
    }

    /// Goes on behind `at`, by a message or by a part of one that is too long; `None` where more
    /// has to come first.
    fn next(&mut self, at: usize, ends: bool, pieces: &mut Vec<Piece>) -> Option<usize> {
        let bytes = &self.buffer.bytes[at..self.buffer.filled];
        let offset = self.start + at as u64;
        if let Some(long) = &mut self.long {
            let (passed, whole) = match &mut long.left {
                Some(left) => {
                    let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= passed as u64;
                    (passed, *left == 0)
                }
                None => match memchr::memchr(b'\n', bytes) {
                    Some(end) => (end + 1, true),
                    None => (bytes.len(), false),
                },
            };
            if ends || whole {
                let Long { start, head, announced, .. } = self.long.take()?;
                let end = offset + passed as u64;
                let what = match announced {
                    Some(announced) if !whole => What::CutOff(head, announced),
                    _ => What::TooLong(head),
                };
                pieces.push(Piece { from: start, offset: start, end, what });
            }
            return Some(at + passed).filter(|next| *next > at || ends);
        }
        let (header, length) = match begins(bytes) {
            Begins::Open if !ends => return None,
            Begins::Counted(header, length) => (header, Some(length)),
            _ => (0, None),
        };
        let message = &bytes[header..];
        let due = match length {
            Some(length) => usize::try_from(length).ok().filter(|due| *due <= message.len()),
            None => {
                let searched = self.searched.saturating_sub(at);
                let end = memchr::memchr(b'\n', &message[searched..]);
                if end.is_none() {
                    self.searched = self.buffer.filled;
                }
                end.map(|end| searched + end + 1)
            }
        };
        let known = length.unwrap_or(message.len() as u64).max(due.unwrap_or(0) as u64);
        let ended = due.or_else(|| ends.then_some(message.len()));
        let is_long = |length: usize| length > self.max + 2;
        match (ended, length) {
            (Some(had), Some(announced)) if due.is_none() && !is_long(had) => {
                let error = format!("cut off after {had} of {announced} bytes");
                let next = at + header + had;
                let end = self.start + next as u64;
                let what = What::Broken(message.to_vec(), error);
                pieces.push(Piece { from: offset, offset, end, what });
                Some(next)
            }
            (Some(length), _) if !is_long(length) => {
                let range = at + header..at + header + length;
                let end = self.start + range.end as u64;
                let next = range.end;
                pieces.push(Piece { from: offset, offset, end, what: What::Whole(range) });
                Some(next)
            }
            (None, _) if known <= self.max as u64 + 2 => None,
            _ => {
                let head = message[..message.len().min(OVERLONG_HEAD)].to_vec();
                self.long = Some(Long { start: offset, head, left: length, announced: length });
                Some(at + header)
            }
        }
    }
}

/// What a message begins as. A count is followed by `<`, or by the first letter of `CEF:`.
fn begins(bytes: &[u8]) -> Begins {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_DIGITS || bytes[0] == b'0' {
        return Begins::Line;
    }
    let count = std::str::from_utf8(&bytes[..digits]).ok().and_then(|count| count.parse().ok());
    match (bytes.get(digits), bytes.get(digits + 1), count) {
        (None, ..) | (Some(b' '), None, _) => Begins::Open,
        (Some(b' '), Some(b'<' | b'C'), Some(count)) => Begins::Counted(digits + 1, count),
        _ => Begins::Line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out: offset and text, or the length of what is too long.
    fn all(stream: &[u8], cuts: &[usize], max: usize) -> Vec<(u64, Result<Vec<u8>, u64>)> {
        let (mut messages, mut found) = (Messages::new(0, max), Vec::new());
        let (mut rest, mut cuts) = (stream, cuts.iter().cycle());
        let mut last = 0;
        let mut collect = |records: Records| {
            assert_eq!(records.start, last, "stretches follow one another");
            last = records.end;
            for piece in records.pieces {
                assert!(piece.from <= piece.offset && piece.offset < piece.end);
                found.push(match piece.what {
                    What::Whole(range) => (piece.offset, Ok(records.bytes[range].to_vec())),
                    What::TooLong(_) => (piece.offset, Err(piece.end - piece.offset)),
                    What::CutOff(_, announced) => (piece.offset, Err(announced)),
                    What::Broken(text, error) => {
                        assert!(error.starts_with("cut off after"), "{error}");
                        (piece.offset, Err(text.len() as u64))
                    }
                });
            }
        };
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            messages.room(piece.len())[..piece.len()].copy_from_slice(piece);
            messages.added(piece.len());
            rest = after;
            while let Some(records) = messages.whole() {
                collect(records);
            }
            assert!(messages.buffer.filled <= max + 64);
        }
        if let Some(records) = messages.finish() {
            collect(records);
        }
        assert_eq!(last, stream.len() as u64, "nothing is left");
        found
    }

    #[test]
    fn counts_and_lines_stand_side_by_side() {
        let stream = b"5 <1>a\n<2>b\n7 <3>c\nd\n12 x\n200 <4>cut";
        let expected: [(u64, &[u8]); 5] =
            [(0, b"<1>a\n"), (7, b"<2>b\n"), (12, b"<3>c\nd\n"), (21, b"12 x\n"), (26, b"<4>cut")];
        let found = all(stream, &[100], 100);
        let found: Vec<_> =
            found.iter().map(|(at, text)| (*at, text.as_deref().unwrap_or(b"long"))).collect();
        assert_eq!(found[..4], expected[..4]);
        assert_eq!(found[4], (26, &b"long"[..]), "a count that the end cuts off");
    }

    #[test]
    fn what_the_end_cuts_off_is_no_message() {
        for cuts in [1, 7, 100] {
            assert_eq!(all(b"20 <4>cut", &[cuts], 100), [(0, Err(6))]);
            let whole_and_cut = [(0, Ok(b"<1>a\n".to_vec())), (7, Err(1))];
            assert_eq!(all(b"5 <1>a\n6 <", &[cuts], 100), whole_and_cut);
        }
    }

    #[test]
    fn a_length_that_never_came_is_not_claimed() {
        for cuts in [1, 7, 100] {
            assert_eq!(all(b"200 <4>cut", &[cuts], 20), [(0, Err(200))]);
            assert_eq!(all(b"200 ", &[cuts], 20), [(0, Ok(b"200 ".to_vec()))]);
            let text = [&b"30 <"[..], &b"x".repeat(29)].concat();
            assert_eq!(all(&text, &[cuts], 20), [(0, Err(33))]);
        }
    }

    #[test]
    fn what_comes_byte_by_byte_is_neither_copied_nor_searched_again() {
        let mut messages = Messages::new(0, 100);
        for byte in *b"<1>a message that comes slowly" {
            messages.room(100)[0] = byte;
            messages.added(1);
            let before = messages.buffer.bytes.as_ptr();
            assert!(messages.whole().is_none());
            assert_eq!(messages.buffer.bytes.as_ptr(), before, "it stays where it is");
            assert_eq!(messages.searched, messages.buffer.filled);
        }
    }

    proptest! {
        /// However a stream is cut into pieces, each message comes out once.
        #[test]
        fn messages_come_out_whole(
            messages in prop::collection::vec((0usize..40, any::<bool>()), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..60),
            max in 3usize..30,
        ) {
            let (mut stream, mut expected) = (Vec::new(), Vec::new());
            for (length, counted) in messages {
                let at = stream.len() as u64;
                let text = [b"<1>".to_vec(), vec![b'x'; length], if counted { b"\ny".to_vec() } else { b"\n".to_vec() }].concat();
                if counted {
                    stream.extend(format!("{} ", text.len()).as_bytes());
                }
                stream.extend(&text);
                let size = stream.len() as u64 - at;
                expected.push((at, if text.len() > max + 2 { Err(size) } else { Ok(text) }));
            }
            prop_assert_eq!(all(&stream, &cuts, max), expected);
        }
    }
}
