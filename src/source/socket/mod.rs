//! Socket sources: listens, and takes in what clients send, one or more lines at a time.
//!
//! A client of a stream socket that is too fast is not read for a while. Datagrams cannot be held
//! back: while the queues have no room they wait in the socket's own buffer, and what the system
//! finds no room for there is lost. Where lines begin and end, and what a line becomes, is not
//! known here.

mod bind;
#[cfg(test)]
mod tests;

use super::stdin::read_to_end;
use super::{Intake, READ_SIZE, Source, Stream, Stretch};
use crate::config::{SocketAddress, SocketInput};
use crate::repeats::Repeats;
use bind::SocketFile;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::task::JoinSet;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// After a failed accept or receive, how long until the next: without file handles it fails at
/// once, again and again.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// How much of a connection is read at once at first, in bytes: there may be many, most of them
/// idle.
const FIRST_READ: usize = 8 * 1024;

/// The least room for a datagram, in bytes: UDP knows no longer ones.
const DATAGRAM: usize = 64 * 1024;

/// How many chunks of datagrams may follow a stop.
const LATE_CHUNKS: u32 = 64;

/// A socket source, listening.
#[derive(Debug)]
pub struct Socket {
    intake: Arc<Intake>,
    socket: Bound,
    /// Removed when the source ends.
    _file: Option<SocketFile>,
    max_connections: usize,
    repeats: Repeats,
}

/// What it listens on.
#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram),
}

impl Socket {
    /// Listens; what clients send is taken in when the source is run.
    ///
    /// # Errors
    /// When the address cannot be listened on; says what to do.
    pub fn bind(intake: Arc<Intake>, input: &SocketInput) -> Result<Self, String> {
        let (socket, file) = match &input.address {
            SocketAddress::Tcp(address) => (Bound::Tcp(bind::tcp(*address)?), None),
            SocketAddress::Udp(address) => (Bound::Udp(bind::udp(*address)?), None),
            SocketAddress::Unix(path) => {
                let (listener, file) = bind::unix(path)?;
                (Bound::Unix(listener), Some(file))
            }
            SocketAddress::UnixDatagram(path) => {
                let (socket, file) = bind::unix_datagram(path)?;
                (Bound::UnixDatagram(socket), Some(file))
            }
        };
        Ok(Socket {
            intake,
            socket,
            _file: file,
            max_connections: input.max_connections,
            repeats: Repeats::default(),
        })
    }

    /// Where it listens, with the port that the system chose; `None` for a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Udp(socket) => socket.local_addr().ok(),
            Bound::Unix(_) | Bound::UnixDatagram(_) => None,
        }
    }

    /// Takes in what each client sends, until `stop`.
    async fn streams(&self, stop: &CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok(_) if connections.len() >= self.max_connections => {
                    if let Some(suppressed) = self.repeats.allow("refused", "") {
                        warn!(source = %self.intake.name(), suppressed, "a connection is closed at once: there are `max_connections` {} already", self.max_connections);
                    }
                }
                Ok((mut stream, peer)) => {
                    let (intake, stop) = (Arc::clone(&self.intake), stop.clone());
                    connections.spawn(async move {
                        let ended =
                            read_to_end(&intake, &mut stream, &peer, FIRST_READ, &stop).await;
                        if let Err(error) = ended {
                            debug!(source = %intake.name(), peer, %error, "a connection broke");
                        }
                    });
                }
                Err(error) => self.failed("accept", &error).await,
            }
        }
        while connections.join_next().await.is_some() {}
    }

    /// Takes in datagrams, until `stop`: all as one stream, as if each ended with a line end.
    async fn datagrams(&self, stop: &CancellationToken) {
        let stream = Stream::fresh("");
        let room = DATAGRAM.max(self.intake.max_line() + 1);
        let (mut start, mut late_chunks) = (0, 0);
        let mut bytes = Vec::new();
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    late_chunks += 1;
                    if late_chunks > LATE_CHUNKS { Ok(false) } else { self.socket.receive_more(&mut bytes, room) }
                }
                received = self.socket.receive(&mut bytes, room) => received.map(|()| true),
            };
            match received {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.failed("receive", &error).await;
                    continue;
                }
            }
            // What else has arrived makes one chunk with it.
            while bytes.len() < READ_SIZE
                && matches!(self.socket.receive_more(&mut bytes, room), Ok(true))
            {}
            let length = bytes.len() as u64;
            let stretch = Stretch::Lines { start, bytes };
            self.intake.accept(&stretch, &stream).await;
            start += length;
            bytes = match stretch {
                Stretch::Lines { mut bytes, .. } => {
                    bytes.clear();
                    bytes
                }
                Stretch::Overlong(_) => Vec::new(),
            };
        }
    }

    async fn failed(&self, what: &'static str, error: &io::Error) {
        if let Some(suppressed) = self.repeats.allow(what, &error.kind().to_string()) {
            error!(source = %self.intake.name(), %error, suppressed, "the socket cannot {what}, and tries again");
        }
        tokio::time::sleep(FAILURE_PAUSE).await;
    }
}

impl Source for Socket {
    async fn run(self, stop: CancellationToken) -> Result<(), String> {
        match &self.socket {
            Bound::Tcp(_) | Bound::Unix(_) => self.streams(&stop).await,
            Bound::Udp(_) | Bound::UnixDatagram(_) => self.datagrams(&stop).await,
        }
        Ok(())
    }
}

impl Bound {
    /// The next client, and who it is.
    async fn accept(
        &self,
    ) -> io::Result<(Either<tokio::net::TcpStream, tokio::net::UnixStream>, String)> {
        match self {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Either::Left(stream), peer.to_string()))
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
                Ok((
                    Either::Right(stream),
                    peer.map_or_else(String::new, |pid| format!("pid {pid}")),
                ))
            }
            Bound::Udp(_) | Bound::UnixDatagram(_) => std::future::pending().await,
        }
    }

    /// Waits for a datagram and appends it.
    async fn receive(&self, bytes: &mut Vec<u8>, room: usize) -> io::Result<()> {
        bytes.reserve(room);
        match self {
            Bound::Udp(socket) => socket.recv_buf_from(bytes).await.map(|_| ())?,
            Bound::UnixDatagram(socket) => socket.recv_buf_from(bytes).await.map(|_| ())?,
            Bound::Tcp(_) | Bound::Unix(_) => std::future::pending().await,
        }
        end_line(bytes);
        Ok(())
    }

    /// Appends a datagram that has arrived already. Returns whether there was one.
    fn receive_more(&self, bytes: &mut Vec<u8>, room: usize) -> io::Result<bool> {
        bytes.reserve(room);
        let received = match self {
            Bound::Udp(socket) => socket.try_recv_buf_from(bytes).map(|_| ()),
            Bound::UnixDatagram(socket) => socket.try_recv_buf_from(bytes).map(|_| ()),
            Bound::Tcp(_) | Bound::Unix(_) => return Ok(false),
        };
        match received {
            Ok(()) => {
                end_line(bytes);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The last line of a datagram may lack its end.
fn end_line(bytes: &mut Vec<u8>) {
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
}
