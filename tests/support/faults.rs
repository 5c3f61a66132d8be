//! What receivers do wrong, ready to be put into a script; and a receiver for what begins before
//! the request is whole.

use super::{Answer, Step};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// These bytes one by one, with this pause after each.
pub(crate) fn slowly(text: &str, pause: Duration) -> Answer {
    Answer::raw(text.bytes().flat_map(|byte| [Step::Write(vec![byte]), Step::Pause(pause)]))
}

/// These bytes, then this.
pub(crate) fn wire(text: &str, then: Step) -> Answer {
    Answer::raw([Step::Write(text.as_bytes().to_vec()), then])
}

/// An answer whose body of 1 MB would unpack to a gigabyte.
pub(crate) fn gzip_bomb(status: u16) -> Answer {
    // 64 KiB of zeros, flushed so that the block can be repeated.
    const ZEROS: &[u8] = b"\xec\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\x0a\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x6a\0\0\0\xff\xff";
    let mut body = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    body.extend(ZEROS.repeat(16_000));
    body.extend(b"\x03\0");
    Answer::status(status).header("Content-Encoding", "gzip").body(body)
}

/// An answer that goes on for ever, as fast as it is read.
pub(crate) fn endless_body(status: u16) -> Answer {
    Answer::status(status).until_close().then(Step::Drip(vec![b'x'; 64 * 1024], Duration::ZERO))
}

/// A head that goes on for ever, as fast as it is read.
pub(crate) fn endless_head(status: u16) -> Answer {
    let line = format!("HTTP/1.1 {status} X\r\n").into_bytes();
    let header = b"X-Filler: 0123456789\r\n".repeat(3000);
    Answer::raw([Step::Write(line), Step::Drip(header, Duration::ZERO)])
}

/// A receiver that is handed its connections as they are, one thread each.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// `serve` gets the number of the connection, from 0.
    pub(crate) fn new(serve: impl Fn(usize, &TcpStream) + Send + Sync + 'static) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = Arc::clone(&serve);
                let number = counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(number, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Wire { address, connections }
    }

    /// `http://127.0.0.1:<port>/`
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads up to the end of a request's head; what came of its body is thrown away. `None` at the
/// end of the connection.
pub(crate) fn read_head(mut stream: &TcpStream) -> Option<Head> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let lines = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = lines.map_or(0, |length| length.parse().expect("a length"));
            return Some(Head { body_length: length, body_read: bytes.len() - end - 4 });
        }
    }
}

/// What is known after a request's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) body_length: usize,
    pub(crate) body_read: usize,
}

impl Head {
    /// Reads what is missing of the body.
    pub(crate) fn read_body(self, stream: &TcpStream) {
        let missing = (self.body_length - self.body_read) as u64;
        let _ = std::io::copy(&mut stream.take(missing), &mut std::io::sink());
    }
}

/// Answers with this status and no body.
pub(crate) fn write_status(mut stream: &TcpStream, status: u16) {
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
}
