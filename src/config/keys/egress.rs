//! The keys of a webhook's TLS.

use serde::Deserialize;

/// TLS of a webhook. The files are read again with the configuration.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TlsKeys {
    /// A PEM file with the authorities that are trusted instead of the system's: these and no
    /// others.
    pub(in crate::config) ca_file: Option<String>,
    /// A PEM file with the certificate that postrider shows, and those between it and its
    /// authority; with `client_key_file`.
    pub(in crate::config) client_cert_file: Option<String>,
    /// A PEM file with the key of `client_cert_file`, not encrypted.
    pub(in crate::config) client_key_file: Option<String>,
    /// The name that is asked for, and that the receiver's certificate must have. Default: the
    /// host of `url`.
    pub(in crate::config) server_name: Option<String>,
    /// Whether the receiver's certificate is looked at. `false` sends events and secrets to
    /// whoever answers. Default: `true`.
    pub(in crate::config) verify: bool,
}

impl Default for TlsKeys {
    fn default() -> Self {
        TlsKeys {
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
            verify: true,
        }
    }
}
