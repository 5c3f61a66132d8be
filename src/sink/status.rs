//! The status of an answer, noted from its bytes as they pass. A head that the HTTP reader refuses
//! (two lengths, too many headers, megabytes) still tells by its first line whether the receiver
//! took the event. What is read here decides only where the HTTP reader gave up.

use hyper::StatusCode;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `HTTP/1.x NNN` and the byte that ends the status.
const KEPT: usize = 13;

/// What both ends of a stream know: in the upper half the number of the request, in the lower
/// half the status of its answer, 0 while it is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Note(Arc<AtomicU32>);

impl Note {
    /// From now on the bytes are the answer to another request.
    pub(super) fn expect_answer(&self) {
        // Both ends are polled by one task: nothing needs an order.
        let number = self.0.load(Ordering::Relaxed) >> 16;
        self.0.store(number.wrapping_add(1) << 16, Ordering::Relaxed);
    }

    /// The status of the answer, if its status line has come whole.
    pub(super) fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.load(Ordering::Relaxed) as u16).ok()
    }
}

/// A stream whose answers' statuses are noted.
#[derive(Debug)]
pub(super) struct Noting<S> {
    stream: S,
    note: Note,
    /// The request whose answer `line` is of.
    number: u32,
    line: StatusLine,
}

impl<S> Noting<S> {
    pub(super) fn new(stream: S, note: Note) -> Self {
        Noting { stream, note, number: 0, line: StatusLine::default() }
    }

    fn look(&mut self, bytes: &[u8]) {
        let known = self.note.0.load(Ordering::Relaxed);
        if known as u16 != 0 {
            return;
        }
        if known >> 16 != self.number {
            self.number = known >> 16;
            self.line = StatusLine::default();
        }
        if let Some(status) = self.line.read(bytes) {
            self.note.0.store(known | u32::from(status), Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.look(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Reads the status line of an answer in whatever pieces it comes.
#[derive(Debug, Default)]
struct StatusLine {
    place: Place,
    kept: [u8; KEPT],
    length: usize,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Line,
    /// In the head of an interim answer, and whether the line is empty so far.
    Interim { empty: bool },
    /// These bytes are no HTTP/1.
    Foreign,
}

impl StatusLine {
    /// The status, once: with the piece that ends its line.
    fn read(&mut self, bytes: &[u8]) -> Option<u16> {
        for &byte in bytes {
            match (&mut self.place, byte) {
                (Place::Foreign, _) => return None,
                (Place::Interim { empty: true }, b'\n') => {
                    (self.place, self.length) = (Place::Line, 0);
                }
                (Place::Interim { empty }, b'\n') => *empty = true,
                (Place::Interim { empty: true }, b'\r') => {}
                (Place::Interim { empty }, _) => *empty = false,
                // The HTTP reader skips empty lines here, too.
                (Place::Line, b'\r' | b'\n') if self.length == 0 => {}
                (Place::Line, _) => {
                    if self.length < KEPT {
                        self.kept[self.length] = byte;
                        self.length += 1;
                    }
                    if byte != b'\n' {
                        continue;
                    }
                    match self.status() {
                        // After 101 no other answer comes.
                        Some(100 | 102..=199) => self.place = Place::Interim { empty: true },
                        Some(status) => return Some(status),
                        None => self.place = Place::Foreign,
                    }
                }
            }
        }
        None
    }

    fn status(&self) -> Option<u16> {
        let rest = self.kept.strip_prefix(b"HTTP/1.")?;
        match rest {
            [b'0'..=b'9', b' ', digits @ .., b' ' | b'\r' | b'\n']
                if digits.iter().all(u8::is_ascii_digit) =>
            {
                std::str::from_utf8(digits).ok()?.parse().ok().filter(|status| *status >= 100)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::Request;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// The status of an answer that comes in pieces of this length.
    fn status(text: &str, piece: usize) -> Option<u16> {
        let mut line = StatusLine::default();
        text.as_bytes().chunks(piece).find_map(|piece| line.read(piece))
    }

    #[test]
    fn the_status_is_that_of_the_first_answer_that_is_not_interim() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 204\r\n", Some(204)),
            ("HTTP/1.1 503\n", Some(503)),
            ("\r\n\r\nHTTP/1.1 201 Created\r\n", Some(201)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\n", Some(202)),
            (
                "HTTP/1.1 103 Hints\r\nLink: </a>\r\nX: HTTP/1.1 200\r\n\r\nHTTP/1.1 500 No\r\n",
                Some(500),
            ),
            ("HTTP/1.1 100 A\n\nHTTP/1.1 102 B\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\n", Some(101)),
            ("HTTP/1.1 100 Continue\r\nHTTP/1.1 200 OK\r\n", None),
            // Not whole: the line could go on as anything.
            ("HTTP/1.1 200 OK", None),
            ("HTTP/1.1 20", None),
            ("", None),
            // Not HTTP/1.
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/1.1 20\r\nHTTP/1.1 200 OK\r\n", None),
            ("HTTP/1.1 2x0 OK\r\n", None),
            ("HTTP/1.1  200 OK\r\n", None),
            ("HTTP/1.1 000 OK\r\n", None),
            ("HTTP/2.0 200 OK\r\n", None),
            ("http/1.1 200 OK\r\n", None),
            (" HTTP/1.1 200 OK\r\n", None),
            ("SSH-2.0-OpenSSH_9.6\r\nHTTP/1.1 200 OK\r\n", None),
        ] {
            for piece in 1..=text.len().max(1) {
                assert_eq!(status(text, piece), expected, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[tokio::test]
    async fn each_request_has_its_own_answer() {
        let note = Note::default();
        let (first, second) = (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 404 No\r\n\r\n");
        let stream = tokio::io::join(first.chain(&second[..]), tokio::io::sink());
        let mut noting = Noting::new(stream, note.clone());
        let mut buffer = [0; 19];
        for expected in [200, 404] {
            note.expect_answer();
            assert_eq!(note.status(), None);
            noting.read_exact(&mut buffer).await.unwrap();
            assert_eq!(note.status().map(|status| status.as_u16()), Some(expected));
        }
    }

    #[tokio::test]
    async fn what_follows_the_status_line_changes_nothing() {
        let note = Note::default();
        let bytes = b"HTTP/1.1 500 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let mut noting = Noting::new(tokio::io::join(&bytes[..], tokio::io::sink()), note.clone());
        note.expect_answer();
        noting.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(note.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    }

    /// What hyper takes for the status of these bytes, and what is noted of them.
    async fn both(answer: &str) -> (Option<StatusCode>, Option<StatusCode>) {
        let (mut receiver, stream) = tokio::io::duplex(4096);
        let note = Note::default();
        let stream = TokioIo::new(Noting::new(stream, note.clone()));
        let (mut sender, driver) = http1::handshake(stream).await.unwrap();
        note.expect_answer();
        let exchange = async move {
            // Dropped with its body: nobody reads that.
            let response = sender.send_request(Request::new(Empty::<Bytes>::new())).await;
            response.ok().map(|response| response.status())
        };
        let answering = async move {
            receiver.read_u8().await.unwrap();
            // The other side may have seen enough before.
            let _ = receiver.write_all(answer.as_bytes()).await;
            drop(receiver);
        };
        // The end of the connection is the end of a wait for more of an answer.
        let (response, _, _) = tokio::join!(exchange, driver, answering);
        (response, note.status())
    }

    /// Text that is nearly an answer.
    fn nearly_an_answer() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "HTTP/1.1 ",
            "HTTP/1.0 ",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 103 Hints\r\n",
            "200",
            "100",
            "101",
            "503",
            "099",
            " OK",
            "\r\n",
            "\n",
            "\r",
            "\r\n\r\n",
            " ",
            "9",
            "X: y\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 404 No\r\n\r\n",
            "é",
            "\0",
            "HTTP/2.0 ",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Where the HTTP reader gets as far as a status, it is the noted one.
        #[test]
        fn the_status_is_that_of_the_http_reader(answer in nearly_an_answer()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (read, noted) = runtime.block_on(both(&answer));
            if read.is_some() {
                prop_assert_eq!(noted, read, "{:?}", answer);
            }
        }
    }
}
