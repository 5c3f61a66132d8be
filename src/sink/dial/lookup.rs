//! Looking up names: few at once, for the system's own lookup cannot be ended. It goes on for as
//! long as its resolver lets it, in a thread of those that read and write files, too.

use super::ClientError;
use crate::trouble::{Trouble, is_out_of_files};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// How many lookups of a webhook are on their way at once, those that nobody waits for any more
/// among them.
pub(super) const AT_ONCE: usize = 8;

/// Asks for the addresses of a name; may take its time.
type Ask = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Knows the addresses of names.
pub(super) struct Lookups {
    ask: Arc<Ask>,
    room: Arc<Semaphore>,
}

impl Lookups {
    /// Asks the system.
    pub(super) fn system() -> Self {
        Lookups::asking(|name, port| Ok((name, port).to_socket_addrs()?.collect()))
    }

    pub(super) fn asking(
        ask: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Lookups { ask: Arc::new(ask), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The addresses of a host, of which there is at least one; until then, or never.
    pub(super) async fn addresses(
        &self,
        host: &url::Host<String>,
        port: u16,
        until: Instant,
    ) -> Result<Vec<SocketAddr>, ClientError> {
        let failed = |text: String| ClientError::new(Trouble::Dns, format!("DNS: {text}"));
        let name = match host {
            url::Host::Ipv4(address) => return Ok(vec![(*address, port).into()]),
            url::Host::Ipv6(address) => return Ok(vec![(*address, port).into()]),
            url::Host::Domain(name) => name.clone(),
        };
        let looked_up = timeout_at(until, self.look_up(name, port)).await;
        let looked_up = looked_up.map_err(|_| failed("no answer in time".to_owned()))?;
        let addresses = looked_up.map_err(|error| {
            let trouble = if is_out_of_files(&error) { Trouble::OutOfFiles } else { Trouble::Dns };
            ClientError { trouble, ..failed(error.to_string()) }
        })?;
        if addresses.is_empty() {
            return Err(failed("the host has no address".to_owned()));
        }
        Ok(addresses)
    }

    async fn look_up(&self, name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
        let ask = Arc::clone(&self.ask);
        let asked = spawn_blocking(move || {
            // Given back when the answer is there, not when nobody waits for it any more.
            let _room = room;
            ask(&name, port)
        });
        asked
            .await
            .unwrap_or_else(|_| Err(io::Error::other("a defect in postrider ended the lookup")))
    }
}
