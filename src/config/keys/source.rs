//! The keys of a source.

use super::format::{FormatKey, FramingKey, SchemaKey};
use super::{Count, Size};
use crate::event::{Severity, SeverityScale};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A place where events come in.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SourceKeys {
    /// Its unique name, the label of its metrics: letters, digits, `_`, `-` and `.`. `internal`
    /// is the name of postrider's own source.
    pub(in crate::config) name: String,
    /// Names that it had before: what is stored under one of them goes on under the new name.
    /// Default: none.
    #[serde(default)]
    pub(in crate::config) former_names: Vec<String>,
    /// What it reads: `stdin`, `file` or `socket`.
    #[serde(rename = "type")]
    pub(in crate::config) kind: SourceType,
    /// Type `file`: globs of the files to read, written as in `filters`; new files that match are
    /// found while running. No wildcard takes a `/`, but `**` in place of a name is any number of
    /// folders.
    #[serde(default)]
    pub(in crate::config) paths: Vec<String>,
    /// Type `file`: globs of files to leave out; postrider's own in `data_dir` always are. Default:
    /// none.
    #[serde(default)]
    pub(in crate::config) exclude: Vec<String>,
    /// Type `file`: where the files present at the first start are read from, `beginning` or
    /// `end`; a file that appears later is read from its beginning. Default: `beginning`.
    #[serde(default)]
    pub(in crate::config) read_from: ReadFromKey,
    /// Type `file`: whether to wait for more at the end; `false` reads to the end and finishes,
    /// and reads `*.gz` files too. Default: `true`.
    #[serde(default = "yes")]
    pub(in crate::config) follow: bool,
    /// Type `socket`: `tcp`, `udp`, `unix` or `unix_datagram`.
    pub(in crate::config) mode: Option<SocketMode>,
    /// Type `socket`: where it listens, such as `127.0.0.1:9514`, or the path of a unix socket.
    pub(in crate::config) address: Option<String>,
    /// Type `socket`: connections at once; more are refused. Default: 1024.
    #[serde(default = "max_connections")]
    pub(in crate::config) max_connections: Count,
    /// Type `socket`: required where the address is not loopback; `{type: none}` lets anyone send
    /// who reaches it.
    pub(in crate::config) authentication: Option<AuthenticationKeys>,
    /// What a line is: `json`; `raw` for any text, which becomes `{"message": line}`; `cef`,
    /// `syslog` or `auditd`, each of which becomes an event of the shape in `formats.md`. Default:
    /// what the schema is about, mostly `json`.
    pub(in crate::config) format: Option<FormatKey>,
    /// The built-in mapping that says where the envelope's fields stand; in `postrider` those are
    /// `audit_id`, `timestamp`, `event_kind`, `severity` and `agent_id`. Default: the one named as
    /// the format, else `postrider`.
    pub(in crate::config) schema: Option<SchemaKey>,
    /// What JSON stands in: `lines`, each a document, or `document`: documents of any layout one
    /// behind the other, also as the elements of an array. Default: `lines`.
    #[serde(default)]
    pub(in crate::config) framing: FramingKey,
    /// The list inside a document that holds the events, such as `Records`, or lists in lists, such
    /// as `resourceLogs.scopeLogs.logRecords`; what stands beside it is dropped. `none`: the
    /// document is the event. Default: what the schema says, mostly `none`.
    pub(in crate::config) unwrap: Option<String>,
    /// With `unwrap`: of a longer document what follows is malformed. Default: `64MB`.
    #[serde(default = "max_document_bytes")]
    pub(in crate::config) max_document_bytes: Size,
    /// Single fields of the envelope that stand elsewhere than `schema` says. A path is `a.b` or,
    /// beginning with `/`, a JSON pointer.
    #[serde(default)]
    pub(in crate::config) event: EventKeys,
    /// Fields with a fixed text that each event gets at its end, such as `{cluster: prod-eu}`; one
    /// that it has already stays as it is. Default: none.
    #[serde(default)]
    pub(in crate::config) add_fields: BTreeMap<String, String>,
    /// What a line that does not parse becomes: `dead_letter`, `wrap` (an event
    /// `{"message": line}`) or `drop` (only counted). Default: `dead_letter`.
    #[serde(default)]
    pub(in crate::config) malformed: MalformedKey,
    /// A longer line is a dead letter with its head, never split; with `unwrap` or `framing:
    /// document` the bound of one event. Default: `1MiB`.
    #[serde(default = "max_line_bytes")]
    pub(in crate::config) max_line_bytes: Size,
    /// The zone of times that name none, such as `Europe/Berlin`. Default: `UTC`.
    #[serde(default = "timezone")]
    pub(in crate::config) timezone: String,
}

fn yes() -> bool {
    true
}

fn max_connections() -> Count {
    Count(1024)
}

fn max_line_bytes() -> Size {
    Size(1 << 20)
}

fn max_document_bytes() -> Size {
    Size(64_000_000)
}

fn timezone() -> String {
    "UTC".to_owned()
}

/// What a source reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum SourceType {
    Stdin,
    File,
    Socket,
}

/// Where reading of a file begins.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ReadFromKey {
    #[default]
    Beginning,
    End,
}

/// The kind of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SocketMode {
    Tcp,
    Udp,
    Unix,
    UnixDatagram,
}

/// Who may send to a socket.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AuthenticationKeys {
    /// `none`: anyone who reaches the socket.
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "its only value says that none is meant")]
    pub(in crate::config) kind: AuthenticationType,
}

/// How senders show who they are.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AuthenticationType {
    None,
}

/// What a line that does not parse becomes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum MalformedKey {
    #[default]
    DeadLetter,
    Wrap,
    Drop,
}

/// Where the fields of the envelope stand.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EventKeys {
    /// Path of the event's id.
    pub(in crate::config) id: Option<String>,
    /// Path of its time: RFC 3339, or a number of s, ms, µs or ns since 1970, told by its size.
    pub(in crate::config) timestamp: Option<String>,
    /// Path of what happened.
    pub(in crate::config) kind: Option<String>,
    /// Path of who did it.
    pub(in crate::config) agent: Option<String>,
    /// How its severity is found: the first rule that holds, else the field, else the default.
    pub(in crate::config) severity: SeverityKeys,
}

/// How an event's severity is found.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SeverityKeys {
    /// Rules over other fields, in order; the first that holds decides. Default: those of the
    /// schema.
    pub(in crate::config) rules: Vec<SeverityRuleKeys>,
    /// Path of the field with a word or number.
    pub(in crate::config) from: Option<String>,
    /// Words of that field and the severity they stand for, looked up before the usual spellings.
    pub(in crate::config) map: BTreeMap<String, Severity>,
    /// The severity of an event without that field. Default: `info`.
    pub(in crate::config) default: Option<Severity>,
    /// What numbers mean: `syslog` (0 worst), `otel` or `ocsf`. Default: `syslog`, or as the schema
    /// has it.
    pub(in crate::config) scale: Option<SeverityScale>,
}

/// A severity rule.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SeverityRuleKeys {
    /// Paths of fields, each with globs of which one must match.
    pub(in crate::config) when: BTreeMap<String, Vec<String>>,
    /// The severity where all of them match.
    pub(in crate::config) is: Severity,
}
