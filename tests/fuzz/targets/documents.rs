//! Bytes to the events of documents: however they are cut, the same events at the same places, in
//! order, and nothing of the stream unaccounted for; taken up anywhere, nothing breaks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider::config;
use postrider::source::{Documents, What};

/// Where pieces are, and whether each is an event.
fn read(shape: &config::Documents, stream: &[u8], start: usize, cut: usize) -> Vec<(u64, u64, bool)> {
    let mut documents = Documents::new(shape.clone(), start as u64, 64);
    let (mut found, mut last) = (Vec::new(), start as u64);
    let mut collect = |records: postrider::source::Records| {
        assert_eq!(records.start, last);
        for piece in records.pieces {
            assert!(last <= piece.from && piece.from <= piece.offset && piece.offset <= piece.end);
            last = piece.end;
            found.push((piece.offset, piece.end, matches!(piece.what, What::Whole(_))));
        }
        assert!(last <= records.end);
        last = records.end;
    };
    for piece in stream[start..].chunks(cut) {
        documents.room(piece.len())[..piece.len()].copy_from_slice(piece);
        documents.added(piece.len());
        while let Some(records) = documents.whole() {
            collect(records);
        }
    }
    if let Some(records) = documents.finish() {
        collect(records);
    }
    assert_eq!(documents.taken(), stream.len() as u64);
    found
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, cut], stream)) = bytes.split_first_chunk::<2>() else { return };
    let path = ["a", "a.b"].get(usize::from(mode >> 1 & 3)).map(|path| path.parse().expect("a path"));
    let shape = config::Documents::new(mode & 1 == 1, path.as_ref(), 256);
    let whole = read(&shape, stream, 0, usize::MAX);
    assert_eq!(whole, read(&shape, stream, 0, usize::from(cut).max(1)));
    for (_, end, _) in whole {
        read(&shape, stream, end as usize, 7);
    }
});
