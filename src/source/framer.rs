//! How a source's stream is taken apart: lines, syslog messages or JSON documents, behind one
//! interface for whoever reads bytes.

use super::{Documents, Lines, Messages, Stretch};
use crate::config::Framing;

/// Takes a stream apart.
#[derive(Debug)]
pub enum Framer {
    /// Into lines.
    Lines(Lines),
    /// Into syslog messages.
    Messages(Messages),
    /// Into the events of JSON documents.
    Documents(Box<Documents>),
}

/// Calls the same method of whichever it is.
macro_rules! each {
    ($framer:expr, $inner:ident => $call:expr) => {
        match $framer {
            Framer::Lines($inner) => $call,
            Framer::Messages($inner) => $call,
            Framer::Documents($inner) => $call,
        }
    };
}

impl Framer {
    /// Takes a stream apart that begins at `start`, the last part that was taken out of it before.
    /// Of what is longer than `max` bytes it lets go.
    pub fn new(framing: &Framing, start: u64, max: usize) -> Self {
        match framing {
            Framing::Lines => Framer::Lines(Lines::new(start, max)),
            Framing::Messages => Framer::Messages(Messages::new(start, max)),
            Framing::Documents(shape) => {
                Framer::Documents(Box::new(Documents::new(shape.clone(), start, max)))
            }
        }
    }

    /// Whether it takes a stream apart so.
    pub fn is_of(&self, framing: &Framing) -> bool {
        match (self, framing) {
            (Framer::Lines(_), Framing::Lines) | (Framer::Messages(_), Framing::Messages) => true,
            (Framer::Documents(documents), Framing::Documents(shape)) => documents.is_of(shape),
            _ => false,
        }
    }

    /// The same stream, begun anew right behind what was taken out.
    pub fn anew(&self) -> Self {
        match self {
            Framer::Lines(lines) => Framer::Lines(lines.anew()),
            Framer::Messages(messages) => Framer::Messages(messages.anew()),
            Framer::Documents(documents) => Framer::Documents(Box::new(documents.anew())),
        }
    }

    /// Lets go of what is longer than this from now on.
    pub fn limit(&mut self, max: usize) {
        each!(self, inner => inner.limit(max));
    }

    /// Room for `size` bytes to read into. What was read there is added with [`Framer::added`].
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        each!(self, inner => inner.room(size))
    }

    /// Adds the first `length` bytes of the room.
    pub fn added(&mut self, length: usize) {
        each!(self, inner => inner.added(length));
    }

    /// Offset behind the last byte that was added.
    pub fn end(&self) -> u64 {
        each!(self, inner => inner.end())
    }

    /// Offset behind the last byte that was taken out.
    pub fn taken(&self) -> u64 {
        each!(self, inner => inner.taken())
    }

    /// Reads on into a buffer that was taken out before, where that is of use.
    pub fn reuse(&mut self, spare: Vec<u8>) {
        if let Framer::Lines(lines) = self {
            lines.reuse(spare);
        }
    }

    /// Lets go of all room: nothing may come for long.
    pub fn shrink(&mut self) {
        each!(self, inner => inner.shrink());
    }

    /// Takes out what is complete; call until `None`.
    pub fn whole(&mut self) -> Option<Stretch> {
        match self {
            Framer::Lines(lines) => lines.whole(),
            Framer::Messages(messages) => messages.whole().map(Stretch::Records),
            Framer::Documents(documents) => documents.whole().map(Stretch::Records),
        }
    }

    /// The rest at the end of the stream.
    pub fn finish(&mut self) -> Option<Stretch> {
        match self {
            Framer::Lines(lines) => lines.finish(),
            Framer::Messages(messages) => messages.finish().map(Stretch::Records),
            Framer::Documents(documents) => documents.finish().map(Stretch::Records),
        }
    }
}

impl From<Lines> for Framer {
    fn from(lines: Lines) -> Self {
        Framer::Lines(lines)
    }
}
