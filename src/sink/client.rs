//! One HTTP connection, kept alive, that belongs to one slot: dialled here, so that this is also
//! the place to ask whether an address may be dialled. Redirects are never followed, environment
//! proxies never asked, compressed answers never unpacked.

use super::status::{Note, Noting};
use crate::config::WebhookUrl;
use crate::trouble::Trouble;
use bytes::Bytes;
use futures::future::FusedFuture;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// The most that is read of an answer's body, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The most that is buffered of what a receiver sends, in bytes; so also the longest head that is
/// read. Whatever it sends, a connection costs little more than this.
const MAX_BUFFER: usize = 64 * 1024;

/// How long the body of a 2xx answer may take before its connection is given up, and how long a
/// kept connection may take to be ready for the next request. Only the connection is at stake.
const PATIENCE: Duration = Duration::from_millis(250);

/// The TLS settings of all https connections: the system's roots, read when they are first needed
/// (18 ms for 145 of them).
#[derive(Clone, Default)]
pub struct Tls(Arc<OnceCell<TlsConnector>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    async fn connector(&self) -> Result<&TlsConnector, ClientError> {
        let load = || async {
            let roots = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
            let loaded =
                roots.await.map_err(|error| ClientError::new(Trouble::Tls, error.to_string()))?;
            let mut store = rustls::RootCertStore::empty();
            store.add_parsable_certificates(loaded.certs);
            if store.is_empty() {
                let why =
                    loaded.errors.first().map_or("none were found".to_owned(), ToString::to_string);
                return Err(ClientError::new(
                    Trouble::Tls,
                    format!("no system root certificates: {why}"),
                ));
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| ClientError::new(Trouble::Tls, error.to_string()))?
                .with_root_certificates(store)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.0.get_or_try_init(load).await
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct ClientError {
    /// What kind of trouble.
    pub(super) trouble: Trouble,
    /// What went wrong; holds neither URL nor headers.
    pub(super) text: String,
}

impl ClientError {
    fn new(trouble: Trouble, text: impl Into<String>) -> Self {
        ClientError { trouble, text: text.into() }
    }

    fn of_io(error: &io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::ConnectionRefused => Trouble::Refused,
            io::ErrorKind::TimedOut => Trouble::ConnectTimeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Trouble::Closed,
            _ => Trouble::Unreachable,
        };
        ClientError::new(trouble, error.to_string())
    }

    fn of_hyper(error: &hyper::Error) -> Self {
        let source =
            std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_parse() {
            ClientError::new(Trouble::Protocol, "the answer is not HTTP/1.1")
        } else if error.is_incomplete_message() {
            ClientError::new(Trouble::Closed, "connection closed before the answer was complete")
        } else if let Some(source) = source {
            ClientError { trouble: Trouble::Closed, text: source.to_string() }
        } else {
            ClientError::new(Trouble::Closed, error.to_string())
        }
    }
}

/// What a receiver answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The beginning of the body; of a 2xx answer, nothing, unless it was asked for.
    pub(super) body: Vec<u8>,
    /// Whether the body came to its end within its bounds.
    pub(super) whole: bool,
}

/// One slot's connection to one host.
#[derive(Debug)]
pub(super) struct Client {
    https: bool,
    host: url::Host<String>,
    port: u16,
    connect_timeout: Duration,
    tls: Tls,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves bytes while it is polled, which is only while an attempt is under way.
    driver: futures::future::Fuse<BoxFuture<'static, ()>>,
    note: Note,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Client {
    pub(super) fn new(url: &WebhookUrl, connect_timeout: Duration, tls: Tls) -> Self {
        Client {
            https: url.https,
            host: url.host.clone(),
            port: url.port,
            connect_timeout,
            tls,
            connection: None,
        }
    }

    /// Sends a request and reads its answer, all before `deadline`. The status is what counts: of
    /// a 2xx answer, the body may be late, endless, cut or badly framed, and the rest of the head
    /// may be what no HTTP reader takes. `needs_body` tells of which 2xx the body is read all the
    /// same.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
        needs_body: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<Answer, ClientError> {
        loop {
            let (mut connection, reused) = match self.connection.take() {
                Some(connection) => (connection, true),
                None => (self.connect(deadline).await?, false),
            };
            let exchange = timeout_at(deadline, connection.exchange(request));
            let timed_out = |_| ClientError::new(Trouble::Timeout, "no answer in time");
            match exchange.await.map_err(timed_out)? {
                Exchanged::Answer(response) => {
                    let (answer, reusable) =
                        connection.finish(response, deadline, needs_body).await?;
                    if reusable {
                        self.connection = Some(connection);
                    }
                    return Ok(answer);
                }
                Exchanged::Status(status) => {
                    let (headers, body) = (HeaderMap::new(), Vec::new());
                    return Ok(Answer { status, headers, body, whole: false });
                }
                // The receiver had closed the idle connection and saw nothing of this request.
                Exchanged::Unsent(unsent) if reused => request = unsent,
                Exchanged::Unsent(_) => {
                    return Err(ClientError::new(Trouble::Closed, "connection closed at once"));
                }
                Exchanged::Failed(error) => return Err(error),
            }
        }
    }

    /// Connects, and closes the connection again.
    pub(super) async fn probe(&mut self, deadline: Instant) -> Result<(), ClientError> {
        self.connect(deadline).await.map(drop)
    }

    async fn connect(&mut self, deadline: Instant) -> Result<Connection, ClientError> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        let timed_out = |_| ClientError::new(Trouble::ConnectTimeout, "no connection in time");
        timeout_at(until, self.dial(until)).await.map_err(timed_out)?
    }

    async fn dial(&mut self, until: Instant) -> Result<Connection, ClientError> {
        let stream = self.tcp(until).await?;
        if !self.https {
            return Connection::new(stream).await;
        }
        let invalid =
            |_| ClientError::new(Trouble::Tls, "the host is not a name that TLS can check");
        let name = match &self.host {
            url::Host::Domain(name) => ServerName::try_from(name.clone()).map_err(invalid)?,
            url::Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            url::Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        let failed = |error: io::Error| ClientError::new(Trouble::Tls, format!("TLS: {error}"));
        let stream = self.tls.connector().await?.connect(name, stream).await.map_err(failed)?;
        Connection::new(stream).await
    }

    /// Connects to the first address that answers.
    async fn tcp(&mut self, until: Instant) -> Result<TcpStream, ClientError> {
        let addresses: Vec<SocketAddr> = match &self.host {
            url::Host::Ipv4(address) => vec![(*address, self.port).into()],
            url::Host::Ipv6(address) => vec![(*address, self.port).into()],
            url::Host::Domain(name) => {
                let unknown =
                    |error: io::Error| ClientError::new(Trouble::Dns, format!("DNS: {error}"));
                tokio::net::lookup_host((&**name, self.port)).await.map_err(unknown)?.collect()
            }
        };
        let mut last = ClientError::new(Trouble::Dns, "DNS: the host has no address");
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            // Each address gets its share of the time, so that a dead one leaves some for the next.
            let now = Instant::now();
            let share = now + until.saturating_duration_since(now) / left.max(1);
            left = left.saturating_sub(1);
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|error| ClientError::of_io(&error))?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = ClientError::of_io(&error),
                Err(_) => last = ClientError::new(Trouble::ConnectTimeout, "no connection in time"),
            }
        }
        Err(last)
    }
}

enum Exchanged {
    Answer(Response<Incoming>),
    /// An answer of which nothing but the status can be read.
    Status(StatusCode),
    /// The connection was closed and nothing of the request was written.
    Unsent(Request<Full<Bytes>>),
    Failed(ClientError),
}

impl Connection {
    async fn new(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, ClientError> {
        let note = Note::default();
        let stream = TokioIo::new(Noting::new(stream, note.clone()));
        // At most 100 headers, hyper's default: any other limit costs an allocation an answer.
        let handshake = http1::Builder::new().max_buf_size(MAX_BUFFER).handshake(stream).await;
        let (sender, driver) = handshake.map_err(|error| ClientError::of_hyper(&error))?;
        // How the connection ends is told by the request that it ends.
        let driver = driver.map(|_| ()).boxed().fuse();
        Ok(Connection { sender, driver, note })
    }

    /// Polls the connection beside a future: nothing else moves its bytes.
    async fn drive<T>(
        driver: &mut futures::future::Fuse<BoxFuture<'static, ()>>,
        future: impl Future<Output = T>,
    ) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            if !driver.is_terminated() {
                let _ = driver.poll_unpin(context);
            }
            future.as_mut().poll(context)
        })
        .await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Exchanged {
        // A look at the connection first: one that was closed while it was idle shows it here.
        if !self.ready().await {
            return Exchanged::Unsent(request);
        }
        self.note.expect_answer();
        let sent = self.sender.try_send_request(request);
        match Self::drive(&mut self.driver, sent).await {
            Ok(response) => Exchanged::Answer(response),
            Err(mut error) => match error.take_message() {
                Some(request) => Exchanged::Unsent(request),
                None => match self.note.status() {
                    Some(status) if error.error().is_parse() => Exchanged::Status(status),
                    _ => Exchanged::Failed(ClientError::of_hyper(error.error())),
                },
            },
        }
    }

    /// Whether it takes a request. One that is still busy with the last one's body, which the
    /// receiver answered early and reads no further, gets no more than a moment.
    async fn ready(&mut self) -> bool {
        let ready = Self::drive(&mut self.driver, self.sender.ready());
        let mut ready = pin!(ready);
        match (&mut ready).now_or_never() {
            Some(ready) => ready.is_ok(),
            None => timeout(PATIENCE, ready).await.is_ok_and(|ready| ready.is_ok()),
        }
    }

    /// Reads what of the body is wanted; tells whether the connection can be used again.
    async fn finish(
        &mut self,
        response: Response<Incoming>,
        deadline: Instant,
        needs_body: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<(Answer, bool), ClientError> {
        let (head, mut incoming) = response.into_parts();
        let (status, headers, body) = (head.status, head.headers, Vec::new());
        let mut answer = Answer { status, headers, body, whole: true };
        if incoming.is_end_stream() {
            return Ok((answer, true));
        }
        let success = status.is_success() && !needs_body(status.as_u16());
        let until = if success { deadline.min(Instant::now() + PATIENCE) } else { deadline };
        let mut length = 0;
        let read = async {
            while let Some(frame) = incoming.frame().await {
                let Ok(frame) = frame else { return false };
                let Some(data) = frame.data_ref() else { continue };
                length += data.len();
                if length > MAX_ANSWER {
                    return false;
                }
                if !success {
                    answer.body.extend_from_slice(data);
                }
            }
            true
        };
        let whole = timeout_at(until, Self::drive(&mut self.driver, read)).await.unwrap_or(false);
        answer.whole = whole;
        Ok((answer, whole))
    }
}
