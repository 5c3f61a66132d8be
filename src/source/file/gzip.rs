//! The text of a gzip file, read from its beginning in bounded memory: one member after another, as
//! the programs that rotate files write them. Positions are those of the text. Everything here
//! blocks.

use super::identity::HEAD_SIZE;
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much text is passed over at once at most, in bytes: a stop does not wait for more.
const MAX_SKIP: u64 = 8 * 1024 * 1024;

/// The first byte of each member.
const MAGIC: u8 = 0x1f;

/// Whether a file at this path is taken as compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The text of a gzip file.
#[derive(Debug)]
pub(super) struct Text {
    place: Place,
    position: u64,
    /// Whether a member was read whole: zeros may follow it.
    begun: bool,
    /// Why nothing more can be read.
    failed: Option<io::Error>,
}

#[derive(Debug)]
enum Place {
    Between(BufReader<File>),
    Within(Box<GzDecoder<BufReader<File>>>),
    End,
}

impl Text {
    /// The text of a file that was just opened.
    pub(super) fn new(file: File) -> Self {
        Text {
            place: Place::Between(BufReader::new(file)),
            position: 0,
            begun: false,
            failed: None,
        }
    }

    /// Offset behind the last byte that was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads until the room is full or the text ends. What is readable before a damaged place is
    /// given out first.
    ///
    /// # Errors
    /// When the file cannot be read; `UnexpectedEof` where it is cut off, `InvalidData` where it is
    /// damaged.
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < room.len() && self.failed.is_none() {
            match self.read_some(&mut room[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The decoder tells it once, and then that all was well.
                Err(error) => self.failed = Some(error),
            }
        }
        self.position += filled as u64;
        match &self.failed {
            Some(error) if filled == 0 => Err(self.explained(error)),
            _ => Ok(filled),
        }
    }

    /// Passes over text up to an offset, or a good deal of it. Returns whether it ends before.
    ///
    /// # Errors
    /// As [`Text::read`].
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        let until = offset.min(self.position + MAX_SKIP);
        let mut scratch = [0; 16 * 1024];
        while self.position < until {
            let size = usize::try_from(until - self.position).unwrap_or(usize::MAX);
            let size = size.min(scratch.len());
            if self.read(&mut scratch[..size])? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_some(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.place {
                Place::End => return Ok(0),
                Place::Between(input) => {
                    let next = input.fill_buf()?;
                    let zeros = next.iter().take_while(|byte| **byte == 0).count();
                    if next.is_empty() {
                        self.place = Place::End;
                    } else if self.begun && zeros > 0 {
                        input.consume(zeros);
                    } else if next[0] != MAGIC {
                        let error = "what follows is no gzip";
                        return Err(io::Error::new(ErrorKind::InvalidData, error));
                    } else if let Place::Between(input) =
                        std::mem::replace(&mut self.place, Place::End)
                    {
                        self.place = Place::Within(Box::new(GzDecoder::new(input)));
                    }
                }
                Place::Within(decoder) => match decoder.read(room)? {
                    0 => {
                        self.begun = true;
                        if let Place::Within(decoder) =
                            std::mem::replace(&mut self.place, Place::End)
                        {
                            self.place = Place::Between(decoder.into_inner());
                        }
                    }
                    length => return Ok(length),
                },
            }
        }
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        let position = self.position;
        match error.kind() {
            ErrorKind::UnexpectedEof => io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("its gzip data are cut off behind {position} bytes of text"),
            ),
            ErrorKind::InvalidData | ErrorKind::InvalidInput => io::Error::new(
                ErrorKind::InvalidData,
                format!("its gzip data are damaged behind {position} bytes of text: {error}"),
            ),
            kind => io::Error::new(kind, error.to_string()),
        }
    }
}

/// The first bytes of a text; fewer where it is cut off.
pub(super) fn head(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD_SIZE];
    let length = match Text::new(file).read(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
        read => read?,
    };
    bytes.truncate(length);
    Ok(bytes)
}

/// How long a text is; reads all of it.
pub(super) fn length(file: File) -> io::Result<u64> {
    let mut text = Text::new(file);
    while !text.skip_to(u64::MAX)? {}
    Ok(text.position())
}

/// What the file's last bytes say: the length of its text, modulo 2³², where it has one member.
pub(super) fn told_length(file: &File, size: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, size.saturating_sub(4))?;
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// A text as one member.
    pub(in crate::source::file) fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text(bytes: &[u8]) -> Text {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, bytes).unwrap();
        Text::new(File::open(&path).unwrap())
    }

    /// What can be read, and how it ends.
    fn all(bytes: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
        let mut text = text(bytes);
        let (mut found, mut room) = (Vec::new(), [0; 7]);
        loop {
            match text.read(&mut room) {
                Ok(0) => return (found, None),
                Ok(length) => found.extend(&room[..length]),
                Err(error) => return (found, Some(error.kind())),
            }
        }
    }

    #[test]
    fn all_members_are_read_and_zeros_behind_them_are_nothing() {
        for parts in [&[&b""[..]][..], &[b"one"], &[b"one\n", b"", b"two\n", b"three"]] {
            let mut bytes: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            assert_eq!(all(&bytes), (parts.concat(), None));
            bytes.extend([0; 20_000]);
            assert_eq!(all(&bytes), (parts.concat(), None));
        }
        assert_eq!(all(b""), (vec![], None), "an empty file");
    }

    #[test]
    fn what_is_readable_is_read_and_then_the_damage_told() {
        // Not to be compressed much, so that there is something to damage.
        let plain: Vec<u8> =
            (0..20_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_769)).to_le_bytes()).collect();
        let whole = gzip(&plain);
        for cut in [1, 12, whole.len() / 2, whole.len() - 1] {
            let (read, end) = all(&whole[..cut]);
            assert!(plain.starts_with(&read));
            assert!(cut < 1_000 || read.len() > 1_000, "{}", read.len());
            assert_eq!(end, Some(ErrorKind::UnexpectedEof), "cut at {cut}");
        }
        let mut wrong_sum = whole.clone();
        *wrong_sum.iter_mut().rev().nth(6).unwrap() ^= 1;
        let (read, end) = all(&wrong_sum);
        assert_eq!((read.len(), end), (plain.len(), Some(ErrorKind::InvalidData)));
        let behind = [whole, b"no gzip".to_vec()].concat();
        let (read, end) = all(&behind);
        assert_eq!((read.len(), end), (plain.len(), Some(ErrorKind::InvalidData)));
        assert_eq!(all(b"plain text").1, Some(ErrorKind::InvalidData));
    }

    #[test]
    fn text_is_passed_over_in_bounded_steps() {
        let bytes = gzip(&vec![b'x'; 20 << 20]);
        let mut text = text(&bytes);
        assert!(!text.skip_to(17 << 20).unwrap());
        assert_eq!(text.position(), MAX_SKIP);
        while text.position() < 17 << 20 {
            assert!(!text.skip_to(17 << 20).unwrap());
        }
        assert_eq!(text.position(), 17 << 20);
        while !text.skip_to(21 << 20).unwrap() {}
        assert_eq!(text.position(), 20 << 20);
    }
}
