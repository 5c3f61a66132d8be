//! Sources: what they read, and what a line of them is.

use super::format::Framing;
use crate::format::SourceFormat;
use crate::glob::PathGlob;
use crate::schema::Schema;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where events come in.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its unique name.
    pub name: Arc<str>,
    /// Names that it had before.
    pub former_names: Vec<Arc<str>>,
    /// What it reads.
    pub input: Input,
    /// What a line is.
    pub format: SourceFormat,
    /// How the stream is taken apart.
    pub framing: Framing,
    /// Where the envelope's fields are found.
    pub schema: Schema,
    /// Fields that each event gets.
    pub add_fields: Vec<(String, String)>,
    /// What a line that does not parse becomes.
    pub malformed: Malformed,
    /// Longer lines are dead letters.
    pub max_line_bytes: usize,
}

impl Source {
    /// A source with the default of each key but these.
    pub(crate) fn plain(name: &str, input: Input) -> Source {
        Source {
            name: name.into(),
            former_names: Vec::new(),
            input,
            format: SourceFormat::Json,
            framing: Framing::Lines,
            schema: Schema::default(),
            add_fields: Vec::new(),
            malformed: Malformed::DeadLetter,
            max_line_bytes: 1 << 20,
        }
    }
}

/// The name of the source of postrider's own events, which filters may ask for beside the others.
pub const INTERNAL_SOURCE: &str = "internal";

/// What a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// Files.
    File(FileInput),
    /// A socket.
    Socket(SocketInput),
}

impl Input {
    /// Whether what was taken in can be had again after a restart.
    pub fn can_repeat(&self) -> bool {
        matches!(self, Input::File(_))
    }

    /// Whether it can be held back: who cannot send waits, and nothing is lost meanwhile.
    pub fn can_wait(&self) -> bool {
        match self {
            Input::Stdin | Input::File(_) => true,
            Input::Socket(socket) => match socket.address {
                SocketAddress::Tcp(_) | SocketAddress::Unix(_) => true,
                SocketAddress::Udp(_) | SocketAddress::UnixDatagram(_) => false,
            },
        }
    }
}

/// Files to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInput {
    /// Globs of paths, absolute.
    pub paths: Vec<String>,
    /// Globs of paths to leave out, absolute.
    pub exclude: Vec<String>,
    /// Where files of postrider's own are, which are left out too.
    pub data_dir: PathBuf,
    /// Where the files present at the first start are read from.
    pub read_from: ReadFrom,
    /// Whether to wait for more at the end.
    pub follow: bool,
}

impl FileInput {
    /// Whether a file at this path, absolute, is one of them.
    pub(super) fn takes(&self, path: &Path) -> bool {
        let fits = |globs: &[String]| {
            let mut parsed = globs.iter().filter_map(|glob| PathGlob::parse(glob).ok());
            parsed.any(|globs| PathGlob::any_matches(&globs, path))
        };
        fits(&self.paths) && !fits(&self.exclude)
    }
}

/// Where reading of a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At its first byte.
    Beginning,
    /// At its end.
    End,
}

/// A socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInput {
    /// Where it listens.
    pub address: SocketAddress,
    /// Connections beyond this are refused; streams only.
    pub max_connections: usize,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// TCP, newline-framed.
    Tcp(SocketAddr),
    /// UDP, one or more lines a datagram.
    Udp(SocketAddr),
    /// Unix stream, newline-framed.
    Unix(PathBuf),
    /// Unix datagram, one or more lines a datagram.
    UnixDatagram(PathBuf),
}

/// What a line that does not parse becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A dead letter.
    DeadLetter,
    /// An event `{"message": line}`.
    Wrap,
    /// Nothing but a count.
    Drop,
}
