//! The keys of a webhook that are about whose it is: the platform, its own keys, bodies by kind,
//! and what answers mean.

use super::{Statuses, TemplateKey};
use crate::presets::{self, Preset};
use crate::retry::Meaning;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;

/// Whose webhook it is: a platform's name, or `auto`.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::config) enum PlatformKey {
    #[default]
    Auto,
    Named(&'static Preset),
}

impl<'de> Deserialize<'de> for PlatformKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == presets::AUTO {
            return Ok(PlatformKey::Auto);
        }
        let unknown = || serde::de::Error::unknown_variant(&word, presets::names());
        presets::named(&word).map(PlatformKey::Named).ok_or_else(unknown)
    }
}

/// Messages to Slack.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SlackKeys {
    /// How messages look: `attachments` or `blocks`. Default: `attachments`.
    pub(in crate::config) style: SlackStyleKey,
}

/// How messages to Slack look.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum SlackStyleKey {
    #[default]
    Attachments,
    Blocks,
}

/// Messages to Discord.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DiscordKeys {
    /// The thread of the webhook's channel that messages go to. Default: the channel itself.
    pub(in crate::config) thread_id: Option<String>,
    /// The name that messages stand under, a template; a blank one is left out. Default: the
    /// webhook's own.
    pub(in crate::config) username: Option<TemplateKey>,
}

/// Events for PagerDuty.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PagerdutyKeys {
    /// The integration's key, best written as `${VARIABLE}`. Default: that of a header
    /// `Authorization: Token token=…`.
    pub(in crate::config) routing_key: Option<TemplateKey>,
    /// What makes two events the same incident, a template; a longer one than PagerDuty takes is
    /// hashed, and one that is blank is the event's `audit_id`. Default: `{{audit_id}}`.
    pub(in crate::config) dedup_key: Option<TemplateKey>,
    /// Globs of event kinds that resolve the incident of their `dedup_key` instead of raising one.
    /// Default: none.
    pub(in crate::config) resolve_kinds: Option<Vec<String>>,
}

/// What an answer means; every key that is present must hold.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AnswerKeys {
    /// The statuses it is about: `409`, `5xx`, `500-504`. Default: any.
    #[serde(default)]
    pub(in crate::config) status: Vec<Statuses>,
    /// Texts of which the answer's body holds one; case counts. Default: any body.
    #[serde(default)]
    pub(in crate::config) body: Vec<String>,
    /// What it means: `delivered`, `retry` (on the schedule), `rejected` (this event is a dead
    /// letter) or `gone` (as a 410).
    pub(in crate::config) is: MeaningKey,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum MeaningKey {
    Delivered,
    Retry,
    Rejected,
    Gone,
}

impl From<MeaningKey> for Meaning {
    fn from(key: MeaningKey) -> Meaning {
        match key {
            MeaningKey::Delivered => Meaning::Delivered,
            MeaningKey::Retry => Meaning::Retry,
            MeaningKey::Rejected => Meaning::Rejected,
            MeaningKey::Gone => Meaning::Gone,
        }
    }
}

/// Templates by event kind, in the order they are written in.
#[derive(Debug, Default)]
pub(in crate::config) struct BodyTemplatesKey(pub(in crate::config) Vec<(String, TemplateKey)>);

impl<'de> Deserialize<'de> for BodyTemplatesKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Templates;

        impl<'de> Visitor<'de> for Templates {
            type Value = Vec<(String, TemplateKey)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of event kinds and templates")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut templates = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    templates.push(entry);
                }
                Ok(templates)
            }
        }

        deserializer.deserialize_map(Templates).map(BodyTemplatesKey)
    }
}
