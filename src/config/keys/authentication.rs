//! The keys of an authentication: one flat map whose `type` says which of them belong to it. Which
//! do is the business of `check`.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One authentication, or a list of them.
#[derive(Debug, Default)]
pub(in crate::config) struct AuthenticationSetting {
    pub(in crate::config) entries: Vec<CredentialKeys>,
    /// Whether they were written as a list.
    pub(in crate::config) list: bool,
}

impl<'de> Deserialize<'de> for AuthenticationSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Setting;

        impl<'de> Visitor<'de> for Setting {
            type Value = AuthenticationSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of keys or a list of maps: write `{type: bearer, token: …}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let keys = CredentialKeys::deserialize(map)?;
                Ok(AuthenticationSetting { entries: vec![keys], list: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                let list = serde::de::value::SeqAccessDeserializer::new(list);
                let entries = Vec::deserialize(list)?;
                Ok(AuthenticationSetting { entries, list: true })
            }
        }

        // No fields: the tree hands over whatever stands there.
        deserializer.deserialize_struct("authentication", &[], Setting)
    }
}

/// What proves to the receiver who sends. Secrets are best written as `${VARIABLE}` or
/// `${file:/path}`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CredentialKeys {
    /// `none`; `bearer` (`token`); `basic` (`username`, `password`); `api_key` (a header of its
    /// own); `hmac` (a signature in a header of any form); `standard_webhooks` (`webhook-id`,
    /// `webhook-timestamp`, `webhook-signature`); and ready forms of `hmac`: `rampart`
    /// (`X-Rampart-Signature`, bare digits), `ruleforge` (`X-RuleForge-Signature: sha256=…`) and
    /// `github` (`X-Hub-Signature-256: sha256=…`).
    #[serde(rename = "type")]
    pub(in crate::config) kind: CredentialType,
    /// Type `bearer`: what follows the scheme in `Authorization`.
    pub(in crate::config) token: Option<String>,
    /// Type `bearer`: the scheme before the token. Default: `Bearer`.
    pub(in crate::config) scheme: Option<String>,
    /// Type `basic`: the user name.
    pub(in crate::config) username: Option<String>,
    /// Type `basic`: the password.
    pub(in crate::config) password: Option<String>,
    /// Type `api_key`: the key.
    pub(in crate::config) api_key: Option<String>,
    /// Type `api_key`: the header that carries the key. Default: `X-API-Key`.
    pub(in crate::config) api_key_header: Option<String>,
    /// Types `hmac`, `rampart`, `ruleforge` and `github`: the secret.
    pub(in crate::config) hmac_secret: Option<String>,
    /// Instead of `hmac_secret`: several, while one is rotated. Each signs, one header line each
    /// in their order; a receiver that reads one value usually finds that of the first.
    pub(in crate::config) hmac_secrets: Option<Vec<String>>,
    /// Type `hmac`: `sha256`, `sha512` or `sha1`. Default: `sha256`.
    pub(in crate::config) hmac_algorithm: Option<AlgorithmKey>,
    /// Type `hmac`: the header that carries the signature. Default: `X-Signature`.
    pub(in crate::config) hmac_header: Option<String>,
    /// Type `hmac`: the header's value. Its tokens are `{hex}` or `{base64}` (the signature),
    /// `{algorithm}`, `{timestamp}` (Unix seconds of this attempt) and `{id}` (the delivery's id,
    /// of a batch the `Idempotency-Key`). Default: `{algorithm}={hex}`.
    pub(in crate::config) hmac_format: Option<String>,
    /// Type `hmac`: what is signed. Its tokens are `{body}` (the bytes as they are sent,
    /// compressed where `compression` says so), `{timestamp}`, `{id}` and `{algorithm}`. Default:
    /// `{body}`.
    pub(in crate::config) hmac_content: Option<String>,
    /// Type `hmac`: a header that carries `{timestamp}`, where `hmac_content` signs it and
    /// `hmac_format` does not carry it.
    pub(in crate::config) hmac_timestamp_header: Option<String>,
    /// Type `standard_webhooks`: one or several secrets, each `whsec_` and the base64 of 24 to 64
    /// random bytes. Each signs; all signatures stand in one header.
    pub(in crate::config) secrets: Option<Vec<String>>,
}

/// The type of an authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CredentialType {
    None,
    Bearer,
    Basic,
    ApiKey,
    Hmac,
    StandardWebhooks,
    Rampart,
    #[serde(rename = "ruleforge")]
    RuleForge,
    #[serde(rename = "github")]
    GitHub,
}

impl CredentialType {
    /// The word that users write.
    pub(in crate::config) fn word(self) -> &'static str {
        match self {
            CredentialType::None => "none",
            CredentialType::Bearer => "bearer",
            CredentialType::Basic => "basic",
            CredentialType::ApiKey => "api_key",
            CredentialType::Hmac => "hmac",
            CredentialType::StandardWebhooks => "standard_webhooks",
            CredentialType::Rampart => "rampart",
            CredentialType::RuleForge => "ruleforge",
            CredentialType::GitHub => "github",
        }
    }
}

/// A hash function under HMAC.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AlgorithmKey {
    Sha256,
    Sha512,
    Sha1,
}
