//! Bytes to lines: however a stream is cut into pieces, each line comes out once, whole, at its
//! offset; one that is too long comes out as such. The first bytes of the input say how.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider::source::{Lines, OVERLONG_HEAD, Stretch};

struct Found {
    lines: Vec<(u64, Vec<u8>)>,
    overlong: Vec<(u64, u64)>,
    spare: Vec<u8>,
}

impl Found {
    fn add(&mut self, stretch: Stretch, stream: &[u8], max_line: usize) {
        match stretch {
            Stretch::Lines { mut start, bytes } => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.lines.push((start, line.to_vec()));
                    start += line.len() as u64;
                }
                self.spare = bytes;
            }
            Stretch::Overlong(overlong) => {
                assert!(overlong.length > max_line as u64);
                assert!(overlong.head.len() <= OVERLONG_HEAD);
                assert!(stream[overlong.start as usize..].starts_with(&overlong.head));
                self.overlong.push((overlong.start, overlong.length));
            }
            Stretch::Records(_) => panic!("lines hold no documents"),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [max_line, piece, reuse, stream @ ..] = bytes else { return };
    // From tiny to beyond what a reader takes at once.
    let max_line = 1 + usize::from(*max_line) * 37;
    let piece = 1 + usize::from(*piece) * 11;
    let mut lines = Lines::new(0, max_line);
    let mut found = Found { lines: Vec::new(), overlong: Vec::new(), spare: Vec::new() };
    for (number, piece) in stream.chunks(piece).enumerate() {
        match (usize::from(*reuse) + number) % 3 {
            0 => lines.reuse(std::mem::take(&mut found.spare)),
            1 => lines.shrink(),
            _ => {}
        }
        // More room than is filled, as a reader has it.
        let room = lines.room(piece.len() + usize::from(*reuse));
        room[..piece.len()].copy_from_slice(piece);
        lines.added(piece.len());
        while let Some(stretch) = lines.whole() {
            found.add(stretch, stream, max_line);
        }
        assert!(lines.taken() <= lines.end());
    }
    if let Some(stretch) = lines.finish() {
        found.add(stretch, stream, max_line);
    }
    assert!(!lines.has_rest());
    assert_eq!(lines.end(), stream.len() as u64);
    let mut covered: Vec<(u64, u64)> =
        found.lines.iter().map(|(start, line)| (*start, line.len() as u64)).collect();
    covered.extend(&found.overlong);
    covered.sort();
    let mut expected = Vec::new();
    let mut start = 0;
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        expected.push((start, line.len() as u64));
        start += line.len() as u64;
    }
    assert_eq!(covered, expected);
    for (start, line) in &found.lines {
        assert!(stream[*start as usize..].starts_with(line));
    }
});
