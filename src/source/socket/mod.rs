//! Socket sources: listens, and takes in what clients send, one or more lines at a time.
//!
//! A client of a stream socket that is too fast is not read for a while. Datagrams cannot be held
//! back: while the queues have no room they wait in the socket's own buffer, and what the system
//! finds no room for there is lost. Where lines begin and end, and what a line becomes, is not
//! known here.

mod bind;
mod listener;
#[cfg(test)]
mod tests;

use super::stdin::read_to_end;
use super::{Intake, READ_SIZE, Records, Source, SourceHandle, Stream, Stretch};
use crate::config::{self, SocketAddress, SocketInput};
use crate::repeats::Repeats;
use listener::{Client, Listener};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// After a failed accept or receive, how long until the next: without file handles it fails at
/// once, again and again.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// How much of a connection is read at once at first, in bytes: there may be many, most of them
/// idle.
const FIRST_READ: usize = 8 * 1024;

/// The least room for a datagram, in bytes: UDP knows no longer ones.
const DATAGRAM: usize = 64 * 1024;

/// How many chunks of datagrams may follow a stop, or another address.
const LATE_CHUNKS: u32 = 64;

/// How long a receive that follows a stop may take.
const LATE_RECEIVE: Duration = Duration::from_millis(5);

/// A socket source, listening.
#[derive(Debug)]
pub struct Socket {
    intake: Arc<Intake>,
    listener: Listener,
    max_connections: usize,
    connections: JoinSet<()>,
    changes: UnboundedReceiver<SocketChange>,
    changer: UnboundedSender<SocketChange>,
    repeats: Repeats,
}

/// Another configuration of a socket source, with its listener bound already.
#[derive(Debug)]
pub(super) struct SocketChange {
    /// `None` where it listens as before.
    listener: Option<Listener>,
    max_connections: usize,
}

impl SocketChange {
    /// Binds what is to be listened on and was not before.
    ///
    /// # Errors
    /// When the address cannot be listened on; says what to do.
    pub(super) fn prepare(now: &SocketInput, wanted: &SocketInput) -> Result<Self, String> {
        let listener = if now.address == wanted.address {
            None
        } else {
            let bound = Listener::bind(&wanted.address);
            Some(bound.map_err(|problem| match (port(&now.address), port(&wanted.address)) {
                (Some(port), Some(other)) if port == other => {
                    format!(
                        "{problem}; this source itself has port {port} until postrider is restarted"
                    )
                }
                _ => problem,
            })?)
        };
        Ok(SocketChange { listener, max_connections: wanted.max_connections })
    }
}

fn port(address: &SocketAddress) -> Option<u16> {
    match address {
        SocketAddress::Tcp(address) | SocketAddress::Udp(address) => Some(address.port()),
        SocketAddress::Unix(_) | SocketAddress::UnixDatagram(_) => None,
    }
}

impl Socket {
    /// Listens; what clients send is taken in when the source is run.
    ///
    /// # Errors
    /// When the address cannot be listened on; says what to do.
    pub fn bind(intake: Arc<Intake>, input: &SocketInput) -> Result<Self, String> {
        let (changer, changes) = mpsc::unbounded_channel();
        Ok(Socket {
            intake,
            listener: Listener::bind(&input.address)?,
            max_connections: input.max_connections,
            connections: JoinSet::new(),
            changes,
            changer,
            repeats: Repeats::default(),
        })
    }

    /// What reconfigures it while it runs; `config` is what it was made of.
    pub fn handle(&self, config: &config::Source) -> SourceHandle {
        SourceHandle::socket(&self.intake, config, self.changer.clone())
    }

    /// Where it listens, with the port that the system chose; `None` for a Unix socket.
    #[cfg(test)]
    fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.listener.local_address()
    }

    /// Takes in what each client sends, until `stop`, or until it is to listen elsewhere.
    async fn streams(&mut self, stop: &CancellationToken) -> Option<Listener> {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return None,
                Some(change) = self.changes.recv() => match self.change(change) {
                    Some(next) => return Some(next),
                    None => continue,
                },
                accepted = self.listener.accept() => accepted,
                Some(_) = self.connections.join_next() => continue,
            };
            match accepted {
                Ok(client) => self.take(client, stop),
                Err(error) => self.failed("accept", &error).await,
            }
        }
    }

    /// Reads a client to its end, beside the others.
    fn take(&mut self, (mut stream, peer): (Client, String), stop: &CancellationToken) {
        if self.connections.len() >= self.max_connections {
            if let Some(suppressed) = self.repeats.allow("refused", "") {
                warn!(source = %self.intake.name(), suppressed, "a connection is closed at once: there are `max_connections` {} already", self.max_connections);
            }
            return;
        }
        let (intake, stop) = (Arc::clone(&self.intake), stop.clone());
        self.connections.spawn(async move {
            let ended = read_to_end(&intake, &mut stream, &peer, FIRST_READ, &stop).await;
            if let Err(error) = ended {
                debug!(source = %intake.name(), peer, %error, "a connection broke");
            }
        });
    }

    /// Takes over another configuration. Returns what it is to listen on, if that is new.
    fn change(&mut self, change: SocketChange) -> Option<Listener> {
        self.max_connections = change.max_connections;
        change.listener
    }

    /// Takes in datagrams, until `stop`, or until it is to listen elsewhere: all as one stream, as
    /// if each ended with a line end.
    async fn datagrams(&mut self, stop: &CancellationToken) -> Option<Listener> {
        let stream = Stream::fresh("");
        let (mut start, mut late_chunks) = (0, 0);
        let mut next = None;
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        loop {
            let room = DATAGRAM.max(self.intake.max_line() + 1);
            let received = if next.is_some() || stop.is_cancelled() {
                late_chunks += 1;
                // Not a mere try: of what arrived just now the runtime may not know yet.
                let late = timeout(LATE_RECEIVE, self.listener.receive(&mut bytes, room));
                if late_chunks > LATE_CHUNKS {
                    Ok(false)
                } else {
                    late.await.map_or(Ok(false), |received| received.map(|()| true))
                }
            } else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => continue,
                    Some(change) = self.changes.recv() => {
                        next = self.change(change);
                        continue;
                    }
                    Some(_) = self.connections.join_next() => continue,
                    received = self.listener.receive(&mut bytes, room) => received.map(|()| true),
                }
            };
            match received {
                Ok(true) => {}
                Ok(false) => return next,
                Err(error) => {
                    self.failed("receive", &error).await;
                    continue;
                }
            }
            ends.push(bytes.len());
            // What else has arrived makes one chunk with it.
            while bytes.len() < READ_SIZE
                && matches!(self.listener.receive_more(&mut bytes, room), Ok(true))
            {
                ends.push(bytes.len());
            }
            let length = bytes.len() as u64;
            let stretch = self.intake.datagrams(start, bytes, &ends);
            self.intake.accept(&stretch, &stream).await;
            start += length;
            ends.clear();
            bytes = match stretch {
                Stretch::Lines { bytes, .. } | Stretch::Records(Records { bytes, .. }) => bytes,
                Stretch::Overlong(_) => Vec::new(),
            };
            bytes.clear();
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
    async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        loop {
            let next = if self.listener.has_datagrams() {
                self.datagrams(&stop).await
            } else {
                self.streams(&stop).await
            };
            let Some(next) = next else { break };
            info!(source = %self.intake.name(), "the source listens on another address");
            let before = std::mem::replace(&mut self.listener, next);
            before.close().into_iter().for_each(|client| self.take(client, &stop));
        }
        while self.connections.join_next().await.is_some() {}
        Ok(())
    }
}
