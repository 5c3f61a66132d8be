//! Bytes of a stream that wait to be taken apart, and room behind them to read into. Where a line, a
//! message or a document ends is not known here.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// What was read, and behind it room that only saves clearing it again.
    pub(super) bytes: Vec<u8>,
    /// How much of the bytes was read.
    pub(super) filled: usize,
}

impl Buffer {
    /// Room for `size` bytes to read into. What was read there is added with [`Buffer::added`].
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        let end = self.filled + size;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end]
    }

    /// Adds the first `length` bytes of the room.
    pub(super) fn added(&mut self, length: usize) {
        self.filled = (self.filled + length).min(self.bytes.len());
    }

    /// Lets go of all room: nothing may come for long.
    pub(super) fn shrink(&mut self) {
        self.bytes.truncate(self.filled);
        self.bytes.shrink_to_fit();
    }
}
