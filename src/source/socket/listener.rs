//! What a socket source listens on: one of four kinds, which give out clients or datagrams.

use super::bind::{self, SocketFile};
use crate::config::SocketAddress;
use std::io;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A connection.
pub(super) type Client = Either<TcpStream, UnixStream>;

/// What a socket source listens on.
#[derive(Debug)]
pub(super) struct Listener {
    bound: Bound,
    /// Removed with it.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram),
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on; says what to do.
    pub(super) fn bind(address: &SocketAddress) -> Result<Self, String> {
        let (bound, file) = match address {
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
        Ok(Listener { bound, file })
    }

    /// Where it listens, with the port that the system chose; `None` for a Unix socket.
    #[cfg(test)]
    pub(super) fn local_address(&self) -> Option<std::net::SocketAddr> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Udp(socket) => socket.local_addr().ok(),
            Bound::Unix(_) | Bound::UnixDatagram(_) => None,
        }
    }

    /// Whether it gives out datagrams; else clients.
    pub(super) fn has_datagrams(&self) -> bool {
        matches!(self.bound, Bound::Udp(_) | Bound::UnixDatagram(_))
    }

    /// Closes it. Returns the clients that had connected and were not given out yet: they may have
    /// sent already.
    pub(super) fn close(self) -> Vec<(Client, String)> {
        // First: who comes from here on finds nobody.
        drop(self.file);
        match self.bound {
            Bound::Tcp(listener) => listener.into_std().map_or_else(
                |_| Vec::new(),
                |listener| {
                    let clients = std::iter::from_fn(|| listener.accept().ok());
                    clients.filter_map(|(stream, _)| tcp_client(stream).ok()).collect()
                },
            ),
            Bound::Unix(listener) => listener.into_std().map_or_else(
                |_| Vec::new(),
                |listener| {
                    let clients = std::iter::from_fn(|| listener.accept().ok());
                    clients.filter_map(|(stream, _)| unix_client(stream).ok()).collect()
                },
            ),
            Bound::Udp(_) | Bound::UnixDatagram(_) => Vec::new(),
        }
    }
}

fn tcp_client(stream: std::net::TcpStream) -> io::Result<(Client, String)> {
    stream.set_nonblocking(true)?;
    let peer = stream.peer_addr()?.to_string();
    Ok((Either::Left(TcpStream::from_std(stream)?), peer))
}

fn unix_client(stream: std::os::unix::net::UnixStream) -> io::Result<(Client, String)> {
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let peer = unix_peer(&stream);
    Ok((Either::Right(stream), peer))
}

fn unix_peer(stream: &UnixStream) -> String {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    peer.map_or_else(String::new, |pid| format!("pid {pid}"))
}

impl Listener {
    /// The next client, and who it is.
    pub(super) async fn accept(&self) -> io::Result<(Client, String)> {
        match &self.bound {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Either::Left(stream), peer.to_string()))
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = unix_peer(&stream);
                Ok((Either::Right(stream), peer))
            }
            Bound::Udp(_) | Bound::UnixDatagram(_) => std::future::pending().await,
        }
    }

    /// Waits for a datagram and appends it.
    pub(super) async fn receive(&self, bytes: &mut Vec<u8>, room: usize) -> io::Result<()> {
        bytes.reserve(room);
        match &self.bound {
            Bound::Udp(socket) => socket.recv_buf_from(bytes).await.map(|_| ())?,
            Bound::UnixDatagram(socket) => socket.recv_buf_from(bytes).await.map(|_| ())?,
            Bound::Tcp(_) | Bound::Unix(_) => std::future::pending().await,
        }
        end_line(bytes);
        Ok(())
    }

    /// Appends a datagram that has arrived already. Returns whether there was one.
    pub(super) fn receive_more(&self, bytes: &mut Vec<u8>, room: usize) -> io::Result<bool> {
        bytes.reserve(room);
        let received = match &self.bound {
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
