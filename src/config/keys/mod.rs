//! What users write: every key with its meaning, unit and default. These comments are the
//! reference: `docs/configuration.md` and the JSON Schema are printed from them. What the keys
//! mean together is the business of `check`.

mod authentication;
mod batch;
#[cfg(test)]
mod described;
mod egress;
mod export;
mod format;
mod platform;
mod redact;
mod source;
mod template;
mod values;
mod webhook;

pub(super) use authentication::*;
pub(super) use batch::*;
pub(super) use egress::*;
pub(super) use export::*;
pub(super) use format::*;
pub(super) use platform::*;
pub(super) use redact::*;
pub(super) use source::*;
pub(super) use template::*;
pub(super) use values::*;
pub(super) use webhook::*;

use serde::Deserialize;
use std::fmt;

/// The whole configuration. Top-level keys that begin with `x-` are ignored: a place for YAML
/// anchors.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigKeys {
    /// Directory of the store `postrider.db`, the lock and the control socket; created with mode
    /// 0700. Its whole path has at most 94 bytes, since that of a socket is bounded. Default:
    /// `$STATE_DIRECTORY`, else `./postrider-data` in the working directory.
    pub(super) data_dir: Option<String>,
    /// How postrider logs, to standard error.
    pub(super) log: LogKeys,
    /// How long stopping may take until what is unsettled goes to the store. Default: `10s`.
    pub(super) shutdown_grace: Option<Span>,
    /// The listener of `/metrics`, `/live` and `/ready`; `false` turns it off.
    pub(super) admin: AdminSetting,
    /// Where events come in, each with a unique `name`. Default: one source `stdin` of type
    /// `stdin`.
    pub(super) sources: Option<Vec<SourceKeys>>,
    /// Where events go out, each with a unique `name`.
    pub(super) exports: Vec<ExportKeys>,
    /// The dead-letter queue.
    pub(super) dlq: DlqKeys,
    /// Keys of an export that hold for every export which does not name them itself, key by key.
    pub(super) defaults: Option<Box<ExportKeys>>,
}

/// How postrider logs.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogKeys {
    /// The least level shown: `error`, `warn`, `info`, `debug` or `trace`. Default: `info`.
    pub(super) level: LevelKey,
    /// The form of a line: `text` or `json`. Default: `text`.
    pub(super) format: LogFormatKey,
}

/// A log level.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum LevelKey {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormatKey {
    #[default]
    Text,
    Json,
}

/// The admin listener, or `false`.
#[derive(Debug)]
pub(super) enum AdminSetting {
    Off,
    On(AdminKeys),
}

impl Default for AdminSetting {
    fn default() -> Self {
        AdminSetting::On(AdminKeys::default())
    }
}

impl<'de> Deserialize<'de> for AdminSetting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Setting;

        impl<'de> serde::de::Visitor<'de> for Setting {
            type Value = AdminSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`false` or a map of keys: write `admin: false`, or its keys below it")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<AdminSetting, E> {
                Ok(if on { AdminSetting::default() } else { AdminSetting::Off })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<AdminSetting, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                AdminKeys::deserialize(map).map(AdminSetting::On)
            }
        }

        // No fields: the tree hands over whatever stands there.
        deserializer.deserialize_struct("admin", &[], Setting)
    }
}

/// The admin listener.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminKeys {
    /// Address and port to listen on. A busy default is a warning, a busy configured one an
    /// error. Beyond loopback a token is required. Default: `127.0.0.1:9077`.
    pub(super) listen: Option<String>,
    /// Names that a request's `Host` may carry beside the address and `localhost`. Default: none.
    pub(super) hosts: Vec<String>,
    /// Who may ask, each with a unique `name`. Default: none; then anyone who reaches a loopback
    /// address.
    pub(super) tokens: Vec<TokenKeys>,
    /// Whether `/metrics` needs no token. Default: `false`.
    pub(super) metrics_open: bool,
}

/// A token of the admin listener.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TokenKeys {
    /// Name of its holder.
    pub(super) name: String,
    /// The token, best written as `${VARIABLE}` or `${file:/path}`.
    pub(super) token: String,
    /// What it allows: `read` is looking, `manage` is looking and changing.
    pub(super) role: RoleKey,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleKey {
    Read,
    Manage,
}

/// The dead-letter queue. Its bound holds for each export, and for the malformed lines of each
/// source.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct DlqKeys {
    /// Bytes of the texts of dead letters; replayed ones do not count and go first. Default:
    /// `1GB`.
    pub(super) max_bytes: Size,
    /// Older dead letters are deleted; or `none`. Default: `none`.
    pub(super) max_age: SpanOrNone,
    /// What becomes of a delivery whose dead letter finds no room: `block` (it waits, and nothing
    /// else does) or `drop_oldest` (older dead letters make room). Default: `block`.
    pub(super) when_full: DlqFullKey,
    /// Whether a dead letter raises an event `webhook.dlq` at the source `internal`. Default:
    /// `true`.
    pub(super) emit_events: bool,
}

impl Default for DlqKeys {
    fn default() -> Self {
        DlqKeys {
            max_bytes: Size(1_000_000_000),
            max_age: SpanOrNone(None),
            when_full: DlqFullKey::Block,
            emit_events: true,
        }
    }
}

/// What becomes of a dead letter that finds no room.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum DlqFullKey {
    Block,
    DropOldest,
}
