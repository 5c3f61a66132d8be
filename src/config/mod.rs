//! The whole configuration, checked and parsed: what the rest of the program works from.
//!
//! Its way: [`load()`] reads files into trees that know their positions (`tree`), lays them over
//! each other with the environment and `--set` (`layers`, `edit`), gives variables their values
//! (`variables`), fills exports from `defaults`, reads what users write (`keys`) with every fault
//! at once (`de`, `decode`) and makes of it what stands here (`check`).

mod authentication;
mod batch;
mod body;
mod check;
mod contents;
mod de;
mod decode;
mod defaults;
mod digest;
mod edit;
mod egress;
mod format;
mod keys;
mod layers;
mod load;
mod place;
mod platform;
mod problem;
mod queue;
pub mod reference;
mod report;
mod source;
mod tree;
mod variables;
mod webhook;

#[cfg(test)]
mod tests;

pub use crate::format::{BodyFormat, SourceFormat};
pub use authentication::{Authentication, Credential};
pub use batch::{Batch, BatchBounds, Encoding};
pub use body::Body;
pub use contents::Contents;
pub use egress::{Credentials, Proxy, TlsSettings};
pub use format::{Documents, Framing};
pub use load::{
    LoadOptions, Loaded, NamedExport, load, load_data_dir, load_exports, load_noting, load_text,
};
pub use platform::Platform;
pub use problem::{Problem, Problems, nearest};
pub use queue::{Breaker, Queue, QueueFull, QueueMode};
pub use source::{
    FileInput, INTERNAL_SOURCE, Input, Malformed, ReadFrom, SocketAddress, SocketInput, Source,
};
pub use webhook::{Compression, Webhook, WebhookUrl, is_json_type};

use crate::filter::Filter;
use crate::redact::Redaction;
use crate::retry::Policy;
use crate::template::Template;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
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
    /// The names of those that were left out.
    pub off: Vec<String>,
    /// The dead-letter queue.
    pub dlq: Dlq,
}

/// The socket in a data directory that commands reach a running postrider by.
pub fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
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

/// A named route out.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its unique name.
    pub name: Arc<str>,
    /// Where it leads.
    pub destination: Destination,
    /// The bodies of its requests.
    pub body: Body,
    /// How many events go in one request; `None`: one.
    pub batch: Option<Batch>,
    /// What an event goes out as where there is no `body`.
    pub format: BodyFormat,
    /// What it takes.
    pub filter: Filter,
    /// What of an event it must not carry.
    pub redaction: Option<Arc<Redaction>>,
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
