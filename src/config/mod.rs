//! The whole configuration, checked and parsed: what the rest of the program works from.
//!
//! Its way: [`load()`] reads files into trees that know their positions (`tree`), lays them over
//! each other with the environment and `--set` (`layers`, `edit`), gives variables their values
//! (`variables`), fills exports from `defaults`, reads what users write (`keys`) with every fault
//! at once (`de`, `decode`) and makes of it what stands here (`check`).

mod check;
mod de;
mod decode;
mod defaults;
mod digest;
mod edit;
mod keys;
mod layers;
mod load;
mod place;
mod problem;
mod queue;
pub mod reference;
mod report;
mod tree;
mod variables;

#[cfg(test)]
mod tests;

pub use load::{LoadOptions, Loaded, load, load_data_dir, load_export_names};
pub use problem::{Problem, Problems, nearest};
pub use queue::{Breaker, Queue, QueueFull, QueueMode};

use crate::filter::Filter;
use crate::retry::Policy;
use crate::schema::Schema;
use crate::template::Template;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of the store, the lock and the control socket.
    pub data_dir: PathBuf,
    /// How the program logs.
    pub log: Log,
    /// How long stopping may take.
    pub shutdown_grace: Duration,
    /// The admin listener; `None` turns it off.
    pub admin: Option<Admin>,
    /// Where events come in.
    pub sources: Vec<Source>,
    /// Where events go out, those with `enabled: false` left out.
    pub exports: Vec<Export>,
    /// The dead-letter queue.
    pub dlq: Dlq,
}

/// The dead-letter queue. Its bound holds for each export, and for the malformed lines of each
/// source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dlq {
    /// Bytes of the texts of dead letters.
    pub max_bytes: u64,
    /// Older dead letters are deleted.
    pub max_age: Option<Duration>,
    /// Whether older dead letters make room for new ones; else a new one waits for room.
    pub drop_oldest: bool,
    /// Whether a dead letter raises a `webhook.dlq` event.
    pub emit_events: bool,
}

/// How the program logs, to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least level shown.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults that need somebody.
    Error,
    /// What may become a fault.
    Warn,
    /// What happens seldom.
    Info,
    /// One line a delivery.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Whether the user named the address; a busy default is only a warning.
    pub configured: bool,
    /// Names that a `Host` header may carry beside the address and localhost.
    pub hosts: Vec<String>,
    /// Who may ask.
    pub tokens: Vec<AdminToken>,
    /// Whether `/metrics` needs no token.
    pub metrics_open: bool,
}

/// A token of the admin listener.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// Name of its holder.
    pub name: String,
    /// The token.
    pub token: Secret,
    /// What it allows.
    pub role: Role,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Looking.
    Read,
    /// Looking and changing.
    Manage,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

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
    /// Where the envelope's fields are found.
    pub schema: Schema,
    /// What a line that does not parse becomes.
    pub malformed: Malformed,
    /// Longer lines are dead letters.
    pub max_line_bytes: usize,
}

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
    /// Where the files present at the first start are read from.
    pub read_from: ReadFrom,
    /// Whether to wait for more at the end.
    pub follow: bool,
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

/// What a line of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// One JSON object.
    Json,
    /// Any text; becomes `{"message": line}`.
    Raw,
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

/// A named route out.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its unique name.
    pub name: Arc<str>,
    /// Where it leads.
    pub destination: Destination,
    /// The body; `None` sends the event as it came.
    pub body: Option<Template>,
    /// What it takes.
    pub filter: Filter,
    /// When it tries again.
    pub retry: Policy,
    /// How many requests it may send.
    pub rate_limit: Option<RateLimit>,
    /// What waits for it.
    pub queue: Queue,
    /// Whether events go one at a time, in order of acceptance.
    pub strict: bool,
    /// When first attempts are held back.
    pub breaker: Option<Breaker>,
    /// Another export, which gets the event of a dead letter once.
    pub fallback: Option<Arc<str>>,
    /// Names it had before.
    pub former_names: Vec<Arc<str>>,
    /// Changes with every key of it, variables and template files included.
    pub digest: Digest,
    /// Changes with what decides whether its receiver takes events: URL and credentials.
    pub target: Digest,
}

/// A fingerprint of a part of the configuration; tells nothing of what it was made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

/// Where an export leads.
#[derive(Debug, Clone)]
pub enum Destination {
    /// HTTP requests.
    Webhook(Box<Webhook>),
    /// Lines on standard output or standard error.
    Console(ConsoleStream),
    /// Lines in a file.
    File(FileOutput),
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where it sends.
    pub url: WebhookUrl,
    /// The request's method, such as `POST`.
    pub method: hyper::Method,
    /// Headers of the configuration, names in lower case; `None` leaves a standard header out.
    pub headers: Vec<(hyper::header::HeaderName, Option<Template>)>,
    /// Whether the body is JSON: its content type says so.
    pub json: bool,
    /// The whole attempt: connect, TLS, head, body.
    pub timeout: Duration,
    /// Resolving, connecting and the TLS handshake.
    pub connect_timeout: Duration,
    /// Requests in flight at once.
    pub concurrency: NonZeroUsize,
    /// A longer body is a dead letter `too_large`.
    pub max_body_bytes: usize,
}

/// A webhook's URL: scheme, host and port are fixed, path and query may be a template.
#[derive(Debug, Clone)]
pub struct WebhookUrl {
    /// Whether it is https.
    pub https: bool,
    /// The host, normalised.
    pub host: url::Host<String>,
    /// The port, the scheme's own where none is written.
    pub port: u16,
    /// The whole URL.
    pub template: Template,
}

impl WebhookUrl {
    /// The URL as logs may show it: the host, and that there is more.
    pub fn masked(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let default = if self.https { 443 } else { 80 };
        if self.port == default {
            format!("{scheme}://{}/…", self.host)
        } else {
            format!("{scheme}://{}:{}/…", self.host, self.port)
        }
    }
}

/// Which stream a console export writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A file that an export appends to.
#[derive(Debug, Clone)]
pub struct FileOutput {
    /// Its path, a template.
    pub path: Template,
    /// Directory that a relative path counts from.
    pub base: PathBuf,
    /// Whether lines are on disk before they count as delivered.
    pub fsync: bool,
    /// Permissions of a file that is created.
    pub mode: u32,
}

/// At most `requests` attempts within any `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many attempts.
    pub requests: NonZeroU32,
    /// Within which time; an attempt counts until this long after it ended.
    pub per: Duration,
}
