//! The way out of a webhook: TLS settings with the certificates they name, and the proxy.

use super::{Digest, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// How a webhook's TLS differs from that of all others.
#[derive(Clone)]
pub struct TlsSettings {
    /// The only authorities that are trusted; `None` trusts those of the system.
    pub roots: Option<Arc<RootCertStore>>,
    /// What postrider shows for itself.
    pub client: Option<Arc<CertifiedKey>>,
    /// The name that the receiver's certificate must have, and that is asked for, instead of the
    /// URL's host.
    pub server_name: Option<ServerName<'static>>,
    /// Whether the receiver's certificate is looked at.
    pub verify: bool,
    /// Changes with everything above, the files' contents included.
    pub digest: Digest,
}

impl fmt::Debug for TlsSettings {
    /// Without certificates and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("own_roots", &self.roots.is_some())
            .field("client", &self.client.is_some())
            .field("server_name", &self.server_name)
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

/// A proxy that opens ways by `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: url::Host<String>,
    /// Its port.
    pub port: u16,
    /// User name and password.
    pub credentials: Option<Credentials>,
}

/// User name and password of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Secret,
    password: Secret,
    header: Secret,
}

impl Credentials {
    /// Credentials as they are written into a header.
    pub fn new(user: String, password: String) -> Self {
        let header =
            Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Credentials { user: Secret::new(user), password: Secret::new(password), header }
    }

    /// The value of `Proxy-Authorization`.
    pub fn header(&self) -> &str {
        self.header.expose()
    }

    /// Every text that tells them.
    pub fn secrets(&self) -> [&str; 3] {
        let header = self.header.expose();
        let encoded = header.strip_prefix("Basic ").unwrap_or(header);
        [self.user.expose(), self.password.expose(), encoded]
    }
}
