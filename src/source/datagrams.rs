//! Datagrams as a stretch of a stream: each stands for itself, whatever its end looks like.

use super::{Documents, Piece, Records, Stretch, What};
use crate::config::Framing;

/// Datagrams that arrived one behind the other from `start` on; `ends` are where each of them ends
/// in `bytes`.
pub(super) fn stretch(
    framing: &Framing,
    start: u64,
    bytes: Vec<u8>,
    ends: &[usize],
    max: usize,
) -> Stretch {
    if *framing == Framing::Lines {
        return Stretch::Lines { start, bytes };
    }
    let (mut from, mut pieces) = (0, Vec::new());
    for &end in ends {
        let datagram = bytes.get(from..end).unwrap_or_default();
        match framing {
            Framing::Documents(shape) => {
                // As if it were a stream of its own.
                let mut documents = Documents::new(shape.clone(), 0, max);
                documents.room(datagram.len()).copy_from_slice(datagram);
                documents.added(datagram.len());
                let whole = documents.whole();
                let records = whole.into_iter().chain(documents.finish());
                pieces.extend(
                    records
                        .flat_map(|records| records.pieces)
                        .map(|piece| moved(piece, from, start)),
                );
            }
            _ => {
                let offset = start + from as u64;
                let what = What::Whole(from..end);
                pieces.push(Piece { from: offset, offset, end: start + end as u64, what });
            }
        }
        from = end;
    }
    let end = start + bytes.len() as u64;
    Stretch::Records(Records { start, end, bytes, pieces })
}

/// A piece of the datagram that begins at `by` of a chunk that begins at `start`.
fn moved(piece: Piece, by: usize, start: u64) -> Piece {
    let Piece { from, offset, end, what } = piece;
    let what = match what {
        // Its place in the datagram is its offset there.
        What::Whole(_) => What::Whole(by + offset as usize..by + end as usize),
        other => other,
    };
    let start = start + by as u64;
    Piece { from: start + from, offset: start + offset, end: start + end, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn texts(stretch: &Stretch) -> Vec<(u64, &str)> {
        let Stretch::Records(records) = stretch else { panic!("no lines") };
        let text = |piece: &Piece| match &piece.what {
            What::Whole(range) => {
                assert_eq!(range.len() as u64, piece.end - piece.offset);
                (piece.offset, std::str::from_utf8(&records.bytes[range.clone()]).unwrap())
            }
            _ => (piece.offset, "!"),
        };
        records.pieces.iter().map(text).collect()
    }

    #[test]
    fn each_datagram_stands_for_itself() {
        let bytes = b"<1>a\nb\n<2>c\n".to_vec();
        let found = stretch(&Framing::Messages, 100, bytes, &[7, 12], 50);
        assert_eq!(texts(&found), [(100, "<1>a\nb\n"), (107, "<2>c\n")]);
        let path = "a".parse().unwrap();
        let shape = config::Documents::new(false, Some(&path), 1000);
        let bytes = b"{\"a\":[{},{}]}\n{\"a\":[{}\n{\"a\":[7]}\n".to_vec();
        let found = stretch(&Framing::Documents(shape), 100, bytes, &[14, 23, 33], 50);
        assert_eq!(texts(&found), [(106, "{}"), (109, "{}"), (120, "{}"), (122, "!"), (129, "7")]);
    }
}
