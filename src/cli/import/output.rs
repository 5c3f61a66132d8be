//! The configuration that is printed: those keys of postrider that an import can need, in the order
//! in which people write them.

use crate::presets::{self, AUTO, Preset};
use serde::Serialize;
use serde_saphyr::LitString;
use std::collections::{BTreeMap, BTreeSet};

/// A whole configuration.
#[derive(Debug, Serialize)]
pub(super) struct Config {
    pub(super) sources: Vec<Source>,
    pub(super) exports: Vec<Export>,
}

/// Where the events come from.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) schema: &'static str,
}

/// Where they go.
#[derive(Debug, Serialize)]
pub(super) struct Export {
    pub(super) name: String,
    pub(super) destination: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enabled: Option<bool>,
    pub(super) webhook: Webhook,
    pub(super) filters: Filters,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redact: Option<Redact>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) limit_fields: BTreeMap<String, u64>,
    pub(super) retry: Retry,
}

/// The requests.
#[derive(Debug, Default, Serialize)]
pub(super) struct Webhook {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) footer: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) body_templates: BTreeMap<String, LitString>,
    pub(super) timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authentication: Option<BTreeMap<String, String>>,
}

/// Which events.
#[derive(Debug, Default, Serialize)]
pub(super) struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_kinds: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) when: BTreeMap<String, Vec<String>>,
}

/// What of an event stays at home.
#[derive(Debug, Serialize)]
pub(super) struct Redact {
    pub(super) fields: Vec<String>,
    pub(super) strategy: &'static str,
}

/// When it is tried again.
#[derive(Debug, Serialize)]
pub(super) struct Retry {
    pub(super) max_attempts: u64,
    pub(super) backoff_seconds: Vec<f64>,
    pub(super) jitter: u8,
}

/// Names of exports, made from their hosts, each once.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name for the export that leads there.
    pub(super) fn name(&mut self, url: &str) -> String {
        let host = host(url).unwrap_or_else(|| "webhook".to_owned());
        let plain: String = host
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let base = plain.trim_matches('-');
        let mut name = base.to_owned();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }
}

/// The host of a URL; `None` where a variable hides it.
pub(super) fn host(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.host_str().filter(|host| !host.contains('{')).map(str::to_owned)
}

/// Whose webhook it is, where its messages have a form of their own.
pub(super) fn platform(url: &str, named: Option<&str>) -> Option<&'static Preset> {
    let preset = match named {
        None | Some(AUTO) => presets::of_host(&host(url)?),
        Some(name) => presets::named(name),
    };
    preset.filter(|preset| preset.has_bodies())
}
