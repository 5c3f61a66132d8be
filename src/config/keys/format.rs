//! The keys that say what the lines of a source are.

use crate::schema::NAMES;
use serde::de::{Deserialize, Deserializer, Error};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum FormatKey {
    Json,
    Raw,
    Cef,
    Syslog,
    Auditd,
}

/// What events stand in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum FramingKey {
    #[default]
    Lines,
    Document,
}

/// How a CloudEvent is sent.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CloudEventsKeys {
    /// `structured`: all in the body; `binary`: the event as it came is the body, and the
    /// attributes are `ce-` headers. Default: `structured`.
    pub(in crate::config) mode: CloudEventsMode,
}

/// A mode of CloudEvents.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum CloudEventsMode {
    #[default]
    Structured,
    Binary,
}

/// The name of a built-in mapping.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct SchemaKey(pub(in crate::config) &'static str);

impl<'de> Deserialize<'de> for SchemaKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = NAMES.iter().find(|name| **name == text);
        known.map(|name| SchemaKey(name)).ok_or_else(|| D::Error::unknown_variant(&text, &NAMES))
    }
}
