//! A receiver of HTTP/2 that follows a script against all rules: frames by hand over TLS, one
//! thread a connection.

use super::Identity;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One thing that it does about a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frame {
    /// The head of an answer; the flag ends the stream with it.
    Head(u16, bool),
    /// So many bytes of body.
    Data(usize),
    /// Body without end, as fast as it is read.
    Endless,
    /// The stream is reset for this reason.
    Reset(u32),
    /// The connection takes no more than the streams below; true: below and this one.
    GoAway(bool, u32),
    /// Nothing until the other side closes.
    Hang,
    /// The connection ends; true: with a reset.
    Close(bool),
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: usize = 24;

type Stream = StreamOwned<ServerConnection, TcpStream>;
type Script = Arc<dyn Fn(usize) -> Vec<Frame> + Send + Sync>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Http2Receiver {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Http2Receiver {
    /// The script says what follows the request of that number, from 0, once it came whole. All of
    /// it is written at once, as far as it can be.
    pub(crate) fn new(
        identity: &Identity,
        script: impl Fn(usize) -> Vec<Frame> + Send + Sync + 'static,
    ) -> Http2Receiver {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(identity.key_der()).into();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![identity.der()], key)
            .expect("a fitting key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let script: Script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                let (counted, script) = (Arc::clone(&counted), Arc::clone(&script));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).expect("a connection");
                    // However it ends, the numbers tell the story.
                    let _ = serve(StreamOwned::new(connection, stream), &counted, &script);
                });
            }
        });
        Http2Receiver { port, requests }
    }

    /// `https://localhost:<port>/in`
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/in", self.port)
    }

    /// How many requests came whole.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn serve(mut stream: Stream, requests: &AtomicUsize, script: &Script) -> Result<()> {
    stream.read_exact(&mut [0; PREFACE])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload))?,
            HEADERS | DATA if flags & END_STREAM != 0 => {
                let number = requests.fetch_add(1, Ordering::SeqCst);
                if !follow(&mut stream, id, &script(number))? {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

/// Whether the connection goes on.
fn follow(stream: &mut Stream, id: u32, script: &[Frame]) -> Result<bool> {
    let mut bytes = Vec::new();
    for step in script {
        match *step {
            Frame::Head(status, ends) => {
                // `:status` is the eighth name of HPACK's table; the value follows as it is.
                let block = [&[8, 3], status.to_string().as_bytes()].concat();
                let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
                bytes.extend(frame(HEADERS, flags, id, &block));
            }
            Frame::Data(length) => bytes.extend(frame(DATA, 0, id, &vec![b'x'; length])),
            Frame::Reset(reason) => bytes.extend(frame(RST_STREAM, 0, id, &reason.to_be_bytes())),
            Frame::GoAway(with_this, reason) => {
                let last = if with_this { id } else { id - 1 };
                let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
                bytes.extend(frame(GOAWAY, 0, 0, &payload));
            }
            Frame::Endless => {
                stream.write_all(&bytes)?;
                loop {
                    stream.write_all(&frame(DATA, 0, id, &[b'x'; 16_000]))?;
                }
            }
            Frame::Hang => {
                stream.write_all(&std::mem::take(&mut bytes))?;
                stream.flush()?;
                std::io::copy(stream, &mut std::io::sink())?;
                return Ok(false);
            }
            Frame::Close(reset) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
                if reset {
                    let none = Some(std::time::Duration::ZERO);
                    rustix::net::sockopt::set_socket_linger(&stream.sock, none)?;
                }
                return Ok(false);
            }
        }
    }
    stream.write_all(&bytes)?;
    stream.flush()?;
    Ok(true)
}
