//! Making connections of one webhook: names are looked up here, and what may be dialled is decided
//! on the very addresses that are. Environment proxies are never asked.

mod lookup;
#[cfg(test)]
mod tests;

use super::alert::{Alert, Alerted};
use super::error::ClientError;
use super::proxy;
use super::tls::Tls;
use crate::address::Guard;
use crate::config::{self, Proxy, TlsSettings};
use crate::trouble::Trouble;
use lookup::Lookups;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What all slots of a webhook dial by.
pub(super) struct Dialer {
    https: bool,
    host: url::Host<String>,
    port: u16,
    connect_timeout: Duration,
    guard: Option<Guard>,
    proxy: Option<Proxy>,
    settings: Option<Arc<TlsSettings>>,
    /// Made of `settings` when it is first needed.
    connector: OnceCell<TlsConnector>,
    lookups: Lookups,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dialer")
    }
}

/// A connection that is open.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls {
        stream: Box<Alerted<TlsStream<TcpStream>>>,
        alert: Alert,
        /// Whether both sides agreed on HTTP/2.
        http2: bool,
    },
}

impl Dialer {
    pub(super) fn new(config: &config::Webhook) -> Self {
        Dialer {
            https: config.url.https,
            host: config.url.host.clone(),
            port: config.url.port,
            connect_timeout: config.connect_timeout,
            guard: config.guard.clone(),
            proxy: config.proxy.clone(),
            settings: config.tls.clone(),
            connector: OnceCell::new(),
            lookups: Lookups::system(),
        }
    }

    /// Connects before `deadline`, and within `connect_timeout`.
    pub(super) async fn dial(&self, tls: &Tls, deadline: Instant) -> Result<Stream, ClientError> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        let timed_out = |_| match self.proxy {
            None => late(),
            Some(_) => {
                ClientError::new(Trouble::ConnectTimeout, "no connection through the proxy in time")
            }
        };
        timeout_at(until, self.stream(tls, until)).await.map_err(timed_out)?
    }

    async fn stream(&self, tls: &Tls, until: Instant) -> Result<Stream, ClientError> {
        let stream = match &self.proxy {
            None => connect(&self.allowed(until).await?, until).await?,
            Some(proxy) => self.through(proxy, until).await?,
        };
        if !self.https {
            return Ok(Stream::Plain(stream));
        }
        let connector = match self.settings.as_deref() {
            None => tls.usual().await?,
            settings => self.connector.get_or_try_init(|| tls.connector(settings)).await?,
        };
        let stream = connector.connect(self.server_name()?, stream).await;
        let stream = stream.map_err(ClientError::of_tls)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let alert = Alert::default();
        let stream = Box::new(Alerted::new(stream, alert.clone()));
        Ok(Stream::Tls { stream, alert, http2 })
    }

    fn server_name(&self) -> Result<ServerName<'static>, ClientError> {
        let settings = self.settings.as_deref();
        if let Some(name) = settings.and_then(|settings| settings.server_name.clone()) {
            return Ok(name);
        }
        let invalid =
            |_| ClientError::new(Trouble::Tls, "the host is not a name that TLS can check");
        match &self.host {
            url::Host::Domain(name) => ServerName::try_from(name.clone()).map_err(invalid),
            url::Host::Ipv4(address) => Ok(ServerName::from(IpAddr::from(*address))),
            url::Host::Ipv6(address) => Ok(ServerName::from(IpAddr::from(*address))),
        }
    }

    /// The receiver's addresses, all of which may be dialled.
    async fn allowed(&self, until: Instant) -> Result<Vec<SocketAddr>, ClientError> {
        let addresses = self.lookups.addresses(&self.host, self.port, until).await?;
        if let Some(guard) = &self.guard {
            guard.check(&self.host, &addresses)?;
        }
        Ok(addresses)
    }

    /// Connects through a proxy. It looks the name up itself, unless that decides on what may be
    /// dialled: then it is told the address that was found and checked.
    async fn through(&self, proxy: &Proxy, until: Instant) -> Result<TcpStream, ClientError> {
        let trusted = |guard: &Guard| guard.trusts(&self.host, self.port);
        let targets = if self.guard.as_ref().is_none_or(trusted) {
            vec![format!("{}:{}", self.host, self.port)]
        } else {
            self.allowed(until).await?.iter().map(ToString::to_string).collect()
        };
        let of_proxy = |error: ClientError| ClientError {
            trouble: Trouble::Proxy,
            text: format!("the proxy: {}", error.text),
        };
        let addresses = self.lookups.addresses(&proxy.host, proxy.port, until).await;
        let addresses = addresses.map_err(of_proxy)?;
        let mut last = late();
        for (target, share) in shares(&targets, until) {
            let attempt = async {
                let mut stream = connect(&addresses, share).await.map_err(of_proxy)?;
                let opened = proxy::open(&mut stream, target, proxy.credentials.as_ref()).await;
                Ok::<_, ClientError>(opened.map(|()| stream))
            };
            match timeout_at(share, attempt).await {
                Ok(Ok(Ok(stream))) => return Ok(stream),
                Ok(Ok(Err(refusal))) if refusal.of_this_address => last = refusal.error,
                Ok(Ok(Err(refusal))) => return Err(refusal.error),
                Ok(Err(error)) => return Err(error),
                Err(_) => last = late(),
            }
        }
        Err(last)
    }
}

fn late() -> ClientError {
    ClientError::new(Trouble::ConnectTimeout, "no connection in time")
}

/// Connects to the first address that answers.
async fn connect(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, ClientError> {
    let mut last = late();
    for (address, share) in shares(addresses, until) {
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| ClientError::of_io(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = ClientError::of_io(&error),
            Err(_) => last = late(),
        }
    }
    Err(last)
}

/// Each with the end of its share of the time, so that a dead one leaves some for the next.
fn shares<T>(all: &[T], until: Instant) -> impl Iterator<Item = (&T, Instant)> {
    all.iter().enumerate().map(move |(index, one)| {
        let left = u32::try_from(all.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        (one, now + until.saturating_duration_since(now) / left)
    })
}
