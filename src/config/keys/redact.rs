//! The keys of what an export must not carry.

use serde::Deserialize;

/// What of an event is replaced before anything else of this export: what it sends, what waits for
/// it on disk and its dead letters hold the redacted text. Filters see the event as it came.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RedactKeys {
    /// Paths of fields whose values are replaced, whatever they hold: `a.b`, or a JSON pointer
    /// `/a/b`.
    pub(in crate::config) fields: Option<Vec<String>>,
    /// What is searched for inside all strings: `secrets` (passwords, tokens and keys by their
    /// usual shapes, and the values of keys such as `password` or `api_key`), `pii.email`,
    /// `pii.phone`, `pii.financial` (numbers of cards and bank accounts). Answers and errors of the
    /// receiver are searched too.
    pub(in crate::config) categories: Option<Vec<CategoryKey>>,
    /// What becomes of it. `mask`: `***`. `remove`: a field goes with its key, an element of a list
    /// becomes null, a part of a text becomes nothing. `hash`: `sha256:` and 16 digits, so that
    /// equal values can be told to be equal; who can guess a value can check the guess. Default:
    /// `mask`.
    pub(in crate::config) strategy: StrategyKey,
}

/// What is searched for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
pub(in crate::config) enum CategoryKey {
    #[serde(rename = "secrets")]
    Secrets,
    #[serde(rename = "pii.email")]
    Email,
    #[serde(rename = "pii.phone")]
    Phone,
    #[serde(rename = "pii.financial")]
    Financial,
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum StrategyKey {
    #[default]
    Mask,
    Remove,
    Hash,
}
