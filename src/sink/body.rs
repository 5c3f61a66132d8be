//! What a request carries: bytes, or the texts of a batch's events, which are joined piece by piece
//! while they are sent. How bodies are joined stands here alone.

use crate::config::Encoding;
use crate::event::Event;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::borrow::Cow;
use std::convert::Infallible;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

/// How much is joined at a time, in bytes; about what a connection buffers. It stays in the
/// processor's cache on its way.
const PIECE: usize = 64 * 1024;

/// The body of a request.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes that are there.
    Whole(Bytes),
    /// Texts of events, of which no copy is made before they are sent: a large batch would take as
    /// much memory again.
    Texts(Texts),
}

/// Texts of events that are still to be sent.
#[derive(Debug, Clone)]
pub struct Texts {
    events: vec::IntoIter<Arc<Event>>,
    encoding: Encoding,
    first: bool,
    /// What of the body is still to be sent, in bytes.
    left: usize,
}

/// A body that grows by one event after another, up to a bound.
#[derive(Debug)]
pub(super) struct Joining {
    parts: Parts,
    encoding: Encoding,
    max_bytes: usize,
    /// Of the body, but for what ends it.
    length: usize,
    events: usize,
}

#[derive(Debug)]
enum Parts {
    Texts(Vec<Arc<Event>>),
    /// Joined: some of them are no event's text.
    Bytes(Vec<u8>),
}

impl Body {
    /// All of it.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Body::Whole(bytes) => bytes,
            Body::Texts(mut texts) => texts.piece(usize::MAX).into(),
        }
    }

    /// Its length in bytes, or that of what is still to be sent.
    fn left(&self) -> usize {
        match self {
            Body::Whole(bytes) => bytes.len(),
            Body::Texts(texts) => texts.left,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Bytes::new())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Body::Whole(bytes) => take(bytes),
            Body::Texts(texts) => texts.piece(PIECE).into(),
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left() as u64)
    }
}

impl Texts {
    /// Joins what comes next: one text, and others up to so many bytes in all.
    fn piece(&mut self, size: usize) -> Vec<u8> {
        let mut piece = Vec::with_capacity(size.min(self.left));
        while let Some(event) = self.events.as_slice().first() {
            let text = event.text.as_str().as_bytes();
            // With what may stand around it.
            if !piece.is_empty() && piece.len() + text.len() + 2 > size {
                break;
            }
            join(self.encoding, self.first, text, &mut piece);
            self.first = false;
            self.events.next();
        }
        if self.left > 0 && self.events.as_slice().is_empty() {
            piece.extend_from_slice(end(self.encoding));
        }
        self.left = self.left.saturating_sub(piece.len());
        piece
    }
}

impl Joining {
    /// Room for about so many events.
    pub(super) fn new(encoding: Encoding, max_bytes: usize, events: usize) -> Joining {
        let parts = Parts::Texts(Vec::with_capacity(events));
        Joining { parts, encoding, max_bytes, length: 0, events: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Adds an event's text, unless the whole would be too long; an error is the length it would
    /// have then.
    pub(super) fn add_text(&mut self, event: &Arc<Event>) -> Result<(), usize> {
        let text = event.text.as_str().as_bytes();
        self.count(self.encoding, text)?;
        match &mut self.parts {
            Parts::Texts(events) => events.push(Arc::clone(event)),
            Parts::Bytes(bytes) => join(self.encoding, self.events == 0, text, bytes),
        }
        self.events += 1;
        Ok(())
    }

    /// Adds what was made of an event, in the same way; it may be joined in a way of its own.
    pub(super) fn add(&mut self, encoding: Encoding, part: &[u8]) -> Result<(), usize> {
        let part = match encoding {
            // Blanks around it would end its line early.
            Encoding::Ndjson => part.trim_ascii(),
            Encoding::JsonArray | Encoding::Concat => part,
        };
        self.count(encoding, part)?;
        let mut bytes = take(&mut self.parts).into_bytes(self.encoding);
        join(encoding, self.events == 0, part, &mut bytes);
        self.parts = Parts::Bytes(bytes);
        self.events += 1;
        Ok(())
    }

    fn count(&mut self, encoding: Encoding, part: &[u8]) -> Result<(), usize> {
        let joint = match encoding {
            Encoding::Ndjson | Encoding::JsonArray => 1,
            Encoding::Concat => 0,
        };
        let length = self.length + part.len() + joint;
        let whole = length + end(encoding).len();
        if whole > self.max_bytes {
            return Err(whole);
        }
        self.length = length;
        Ok(())
    }

    pub(super) fn end(self) -> Body {
        let Joining { parts, encoding, length, events, .. } = self;
        match parts {
            _ if events == 0 => Body::default(),
            Parts::Bytes(mut bytes) => {
                bytes.extend_from_slice(end(encoding));
                Body::Whole(Bytes::from(bytes))
            }
            Parts::Texts(events) => {
                let left = length + end(encoding).len();
                Body::Texts(Texts { events: events.into_iter(), encoding, first: true, left })
            }
        }
    }
}

impl Default for Parts {
    fn default() -> Self {
        Parts::Bytes(Vec::new())
    }
}

impl Parts {
    fn into_bytes(self, encoding: Encoding) -> Vec<u8> {
        match self {
            Parts::Bytes(bytes) => bytes,
            Parts::Texts(events) => {
                let mut bytes = Vec::new();
                for (index, event) in events.iter().enumerate() {
                    join(encoding, index == 0, event.text.as_str().as_bytes(), &mut bytes);
                }
                bytes
            }
        }
    }
}

/// Adds an event's part, which has no blanks around it where it is to be a line.
fn join(encoding: Encoding, first: bool, part: &[u8], out: &mut Vec<u8>) {
    match encoding {
        Encoding::Ndjson => {
            out.extend_from_slice(&one_line(part));
            out.push(b'\n');
        }
        Encoding::JsonArray => {
            out.push(if first { b'[' } else { b',' });
            out.extend_from_slice(part);
        }
        Encoding::Concat => out.extend_from_slice(part),
    }
}

/// What stands behind the last part.
fn end(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::JsonArray => b"]",
        Encoding::Ndjson | Encoding::Concat => b"",
    }
}

/// A text without line breaks. In JSON they stand between values only, where a blank means the
/// same.
pub(super) fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.iter().map(|byte| if breaks(byte) { b' ' } else { *byte }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing;
    use hyper::body::Body as _;
    use proptest::prelude::*;
    use std::task::Waker;

    const ENCODINGS: [Encoding; 3] = [Encoding::Ndjson, Encoding::JsonArray, Encoding::Concat];

    fn joining(encoding: Encoding, max_bytes: usize) -> Joining {
        Joining::new(encoding, max_bytes, 0)
    }

    fn event(text: &str) -> Arc<Event> {
        Arc::new(testing::event(text))
    }

    fn joined(encoding: Encoding, max_bytes: usize, parts: &[&str]) -> (String, usize) {
        let mut body = joining(encoding, max_bytes);
        let fits = |part: &&&str| body.add(encoding, part.as_bytes()).is_ok();
        let taken = parts.iter().take_while(fits).count();
        (String::from_utf8(body.end().into_bytes().into()).unwrap(), taken)
    }

    #[test]
    fn bodies_are_joined() {
        let parts = ["{\"a\":1}", " {\"b\":\r\n2}\n", "{}"];
        for (encoding, max_bytes, whole, taken) in [
            (Encoding::Ndjson, 100, "{\"a\":1}\n{\"b\":  2}\n{}\n", 3),
            (Encoding::JsonArray, 100, "[{\"a\":1}, {\"b\":\r\n2}\n,{}]", 3),
            (Encoding::Concat, 100, "{\"a\":1} {\"b\":\r\n2}\n{}", 3),
            (Encoding::Ndjson, 18, "{\"a\":1}\n{\"b\":  2}\n", 2),
            (Encoding::Ndjson, 17, "{\"a\":1}\n", 1),
            (Encoding::JsonArray, 9, "[{\"a\":1}]", 1),
            (Encoding::JsonArray, 8, "", 0),
            (Encoding::Concat, 7, "{\"a\":1}", 1),
        ] {
            let (body, count) = joined(encoding, max_bytes, &parts);
            assert_eq!((body.as_str(), count), (whole, taken), "{encoding:?} {max_bytes}");
        }
    }

    /// All pieces of a body as a connection takes them.
    fn pieces(mut body: Body) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        loop {
            let left = body.size_hint().exact().unwrap();
            assert_eq!(body.is_end_stream(), left == 0);
            let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(frame) = frame else { panic!("nothing to wait for") };
            let Some(Ok(frame)) = frame else { break };
            pieces.push(frame.into_data().unwrap());
            let length = pieces.last().map_or(0, Bytes::len) as u64;
            assert_eq!(body.size_hint().exact(), Some(left - length));
        }
        assert!(body.is_end_stream());
        pieces
    }

    proptest! {
        /// No body is longer than its bound, and each one that could take more does.
        #[test]
        fn a_body_keeps_its_bound_and_fills_it(
            lengths in prop::collection::vec(1usize..20, 1..20),
            max_bytes in 1usize..100,
            encoding in prop::sample::select(&ENCODINGS),
        ) {
            let parts: Vec<_> = lengths.iter().map(|length| "1".repeat(*length)).collect();
            let parts: Vec<_> = parts.iter().map(String::as_str).collect();
            let (body, taken) = joined(encoding, max_bytes, &parts);
            prop_assert!(body.len() <= max_bytes);
            if taken < parts.len() {
                let (more, _) = joined(encoding, usize::MAX, &parts[..=taken]);
                prop_assert!(more.len() > max_bytes);
            }
        }

        /// Texts that are joined while they are sent make the same body as all at once, of the
        /// length that was told before; also where others stand between them.
        #[test]
        fn texts_are_sent_in_pieces(
            lengths in prop::collection::vec(prop_oneof![0usize..90, 20_000usize..140_000], 0..9),
            others in prop::collection::vec(any::<bool>(), 9),
            max_bytes in prop_oneof![Just(usize::MAX), 0usize..500_000],
            encoding in prop::sample::select(&ENCODINGS),
        ) {
            let text = |length: &usize| format!("{{\"a\":\r\n\"{}\"}}", "b".repeat(*length));
            let texts: Vec<_> = lengths.iter().map(text).collect();
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            let (expected, taken) = joined(encoding, max_bytes, &texts);

            let mut sent = joining(encoding, max_bytes);
            let fits = |text: &&&str| sent.add_text(&event(text)).is_ok();
            prop_assert_eq!(texts.iter().take_while(fits).count(), taken);
            let sent = pieces(sent.end());
            for piece in &sent {
                let alone = memchr::memmem::find_iter(piece, "\"a\"").count() == 1;
                prop_assert!(piece.len() <= PIECE || alone);
            }
            prop_assert_eq!(&sent.concat(), expected.as_bytes());

            let mut mixed = joining(encoding, max_bytes);
            for (text, other) in texts.iter().zip(others) {
                let added = match other {
                    true => mixed.add(encoding, text.as_bytes()),
                    false => mixed.add_text(&event(text)),
                };
                if added.is_err() {
                    break;
                }
            }
            prop_assert_eq!(&*mixed.end().into_bytes(), expected.as_bytes());
        }
    }
}
