//! Bytes to lines: a buffer that gives out whole lines and lets go of one that is too long. What a
//! line means is not known here.

use super::buffer::Buffer;

/// How much of a line that is too long is kept, in bytes.
pub const OVERLONG_HEAD: usize = 4 * 1024;

/// How much is read at once, in bytes; at most, where it is seldom that much.
pub const READ_SIZE: usize = 128 * 1024;

/// Finds line ends in a stream of bytes.
#[derive(Debug)]
pub struct Lines {
    /// What waits for its end.
    buffer: Buffer,
    /// Offset of the buffer's first byte in the stream.
    start: u64,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    max_line: usize,
    overlong: Option<Overlong>,
}

/// A line that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlong {
    /// Offset of its first byte.
    pub start: u64,
    /// Its first bytes, at most [`OVERLONG_HEAD`].
    pub head: Vec<u8>,
    /// Its length in bytes, line end included.
    pub length: u64,
}

/// A stretch of the stream; of lines, it ends with a line end.
#[derive(Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Whole lines.
    Lines {
        /// Offset of the first byte.
        start: u64,
        /// The lines, the last one with its end, but at the end of the stream.
        bytes: Vec<u8>,
    },
    /// One line that is too long.
    Overlong(Overlong),
    /// Events with their places, where they are no lines.
    Records(super::Records),
}

impl Lines {
    /// Lines of a stream that begins at `start`; longer ones than `max_line` bytes, line end
    /// excluded, are let go of.
    pub fn new(start: u64, max_line: usize) -> Self {
        Lines { buffer: Buffer::default(), start, searched: 0, max_line, overlong: None }
    }

    /// Lines of the same stream, begun anew right behind what was taken out.
    pub fn anew(&self) -> Self {
        Lines::new(self.taken(), self.max_line)
    }

    /// Lets go of lines that are longer than this from now on.
    pub fn limit(&mut self, max_line: usize) {
        self.max_line = max_line;
    }

    /// Room for `size` bytes to read into. What was read there is added with [`Lines::added`].
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
        self.overlong.as_ref().map_or(self.start, |overlong| overlong.start)
    }

    /// Whether bytes wait for their line end.
    pub fn has_rest(&self) -> bool {
        self.overlong.is_some() || self.buffer.filled > 0
    }

    /// Reads on into the buffer of lines that were taken in, where it is larger than the own one.
    pub fn reuse(&mut self, mut spare: Vec<u8>) {
        if spare.capacity() > self.buffer.bytes.capacity() {
            if spare.len() < self.buffer.filled {
                spare.resize(self.buffer.filled, 0);
            }
            spare[..self.buffer.filled].copy_from_slice(&self.buffer.bytes[..self.buffer.filled]);
            self.buffer.bytes = spare;
        }
    }

    /// Lets go of all room: nothing may come for long.
    pub fn shrink(&mut self) {
        self.buffer.shrink();
    }

    /// Takes out what is complete; call until `None`.
    pub fn whole(&mut self) -> Option<Stretch> {
        if self.overlong.is_some() {
            return match memchr::memchr(b'\n', &self.buffer.bytes[..self.buffer.filled]) {
                Some(at) => self.overlong_ends(at + 1),
                None => {
                    self.skip_all();
                    None
                }
            };
        }
        match memchr::memrchr(b'\n', &self.buffer.bytes[self.searched..self.buffer.filled]) {
            Some(at) => Some(self.take(self.searched + at + 1)),
            None => {
                self.searched = self.buffer.filled;
                if self.buffer.filled > self.max_line {
                    let head = self.buffer.bytes[..self.buffer.filled.min(OVERLONG_HEAD)].to_vec();
                    self.overlong = Some(Overlong { start: self.start, head, length: 0 });
                    self.skip_all();
                }
                None
            }
        }
    }

    /// The rest at the end of the stream: a last line without its end.
    pub fn finish(&mut self) -> Option<Stretch> {
        if self.overlong.is_some() {
            return self.overlong_ends(self.buffer.filled);
        }
        (self.buffer.filled > 0).then(|| self.take(self.buffer.filled))
    }

    fn take(&mut self, length: usize) -> Stretch {
        let start = self.start;
        let rest = self.buffer.bytes[length..self.buffer.filled].to_vec();
        self.start += length as u64;
        self.buffer.filled = rest.len();
        self.searched = 0;
        let mut bytes = std::mem::replace(&mut self.buffer.bytes, rest);
        bytes.truncate(length);
        Stretch::Lines { start, bytes }
    }

    fn skip_all(&mut self) {
        if let Some(overlong) = &mut self.overlong {
            overlong.length += self.buffer.filled as u64;
        }
        self.start += self.buffer.filled as u64;
        self.buffer.filled = 0;
        self.searched = 0;
        // What a giant line made of it is not kept either.
        if self.buffer.bytes.len() > 2 * READ_SIZE {
            self.buffer.bytes = Vec::new();
        }
    }

    fn overlong_ends(&mut self, length: usize) -> Option<Stretch> {
        let mut overlong = self.overlong.take()?;
        overlong.length += length as u64;
        self.buffer.bytes.copy_within(length..self.buffer.filled, 0);
        self.start += length as u64;
        self.buffer.filled -= length;
        self.searched = 0;
        Some(Stretch::Overlong(overlong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(lines: &mut Lines, bytes: &[u8]) {
        lines.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        lines.added(bytes.len());
    }

    proptest! {
        /// However a stream is cut into pieces, each line comes out once, whole, at its offset,
        /// and those that are too long come out as such.
        #[test]
        fn lines_come_out_whole(
            lines in prop::collection::vec((0usize..40, any::<bool>()), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..60),
            max_line in 1usize..30,
            terminated: bool,
            reuse: bool,
        ) {
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for (index, (length, _)) in lines.iter().enumerate() {
                let start = stream.len() as u64;
                stream.extend(std::iter::repeat_n(b'a' + (index % 26) as u8, *length));
                let last = index + 1 == lines.len();
                if terminated || !last {
                    stream.push(b'\n');
                }
                expected.push((start, stream[start as usize..].to_vec()));
            }
            expected.retain(|(_, line)| !line.is_empty());

            let mut found = Vec::new();
            let mut spare = Vec::new();
            let collect = |stretch: Stretch, found: &mut Vec<(u64, Vec<u8>)>, spare: &mut Vec<u8>| match stretch {
                Stretch::Lines { mut start, bytes } => {
                    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                        found.push((start, line.to_vec()));
                        start += line.len() as u64;
                    }
                    *spare = bytes;
                }
                Stretch::Overlong(overlong) => {
                    let at = overlong.start as usize;
                    assert!(overlong.length > max_line as u64);
                    assert!(stream[at..].starts_with(&overlong.head));
                    found.push((overlong.start, stream[at..at + overlong.length as usize].to_vec()));
                }
                Stretch::Records(_) => panic!("these are lines"),
            };
            let mut splitter = Lines::new(0, max_line);
            let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                if reuse {
                    splitter.reuse(std::mem::take(&mut spare));
                } else {
                    splitter.shrink();
                }
                feed(&mut splitter, piece);
                rest = after;
                while let Some(stretch) = splitter.whole() {
                    collect(stretch, &mut found, &mut spare);
                }
                prop_assert_eq!(splitter.end() as usize, stream.len() - rest.len());
                prop_assert!(splitter.buffer.filled <= max_line + 30);
            }
            if let Some(stretch) = splitter.finish() {
                collect(stretch, &mut found, &mut spare);
            }
            prop_assert!(!splitter.has_rest());
            prop_assert_eq!(found, expected);
        }
    }
}
