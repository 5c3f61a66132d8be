//! How a socket comes to listen: addresses that are taken, and the files that Unix sockets leave
//! behind when their program is killed.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram as StdDatagram, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};

/// Who may write to a Unix socket: its owner and its group.
const MODE: u32 = 0o660;

/// The file of a Unix socket; removed with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another program may have put its own there by now.
        let own = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| own(&metadata)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens for TCP connections.
pub(super) fn tcp(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = std::net::TcpListener::bind(address);
    ready(listener, |listener| listener.set_nonblocking(true), TcpListener::from_std)
        .map_err(|error| problem(&address.to_string(), &error))
}

/// Listens for UDP datagrams.
pub(super) fn udp(address: SocketAddr) -> Result<UdpSocket, String> {
    let socket = std::net::UdpSocket::bind(address);
    ready(socket, |socket| socket.set_nonblocking(true), UdpSocket::from_std)
        .map_err(|error| problem(&address.to_string(), &error))
}

/// Listens for connections to a path.
pub(super) fn unix(path: &Path) -> Result<(UnixListener, SocketFile), String> {
    clear(path)?;
    let listener = StdListener::bind(path);
    let listener =
        ready(listener, |listener| listener.set_nonblocking(true), UnixListener::from_std);
    with_file(path, listener)
}

/// Listens for datagrams to a path.
pub(super) fn unix_datagram(path: &Path) -> Result<(UnixDatagram, SocketFile), String> {
    clear(path)?;
    let socket = StdDatagram::bind(path);
    let socket = ready(socket, |socket| socket.set_nonblocking(true), UnixDatagram::from_std);
    with_file(path, socket)
}

fn ready<S, T>(
    bound: io::Result<S>,
    set_nonblocking: impl FnOnce(&S) -> io::Result<()>,
    make: impl FnOnce(S) -> io::Result<T>,
) -> io::Result<T> {
    let socket = bound?;
    set_nonblocking(&socket)?;
    make(socket)
}

fn with_file<T>(path: &Path, bound: io::Result<T>) -> Result<(T, SocketFile), String> {
    let file = || -> io::Result<SocketFile> {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        let metadata = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), inode: (metadata.dev(), metadata.ino()) })
    };
    bound
        .and_then(|socket| Ok((socket, file()?)))
        .map_err(|error| problem(&path.display().to_string(), &error))
}

/// Removes the socket that a killed program left at a path; no other file, and none that a program
/// listens on.
fn clear(path: &Path) -> Result<(), String> {
    let place = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(problem(&place.to_string(), &error)),
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            return Err(format!(
                "{place} is there and is no socket: remove it, or choose another path"
            ));
        }
    }
    if is_live(path) {
        return Err(format!("another program listens on {place}: stop it, or choose another path"));
    }
    fs::remove_file(path).map_err(|error| problem(&place.to_string(), &error))
}

/// Whether some program listens on a socket's file. Asked with a datagram socket: it is answered at
/// once by a socket of any kind, and by that of a killed program with a refusal.
fn is_live(path: &Path) -> bool {
    let connected = StdDatagram::unbound().and_then(|socket| socket.connect(path));
    !matches!(connected, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

fn problem(place: &str, error: &io::Error) -> String {
    let fix = match error.kind() {
        ErrorKind::AddrInUse => "stop the other program, or choose another address",
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose one of its own",
        ErrorKind::PermissionDenied => {
            "the user that postrider runs as may not listen there: choose another address, such as a port above 1023"
        }
        ErrorKind::NotFound => "create the folder, or choose another path",
        _ => "choose another address",
    };
    format!("cannot listen on {place}: {error}: {fix}")
}
