//! One HTTP connection, kept alive, that belongs to one slot. Redirects are never followed,
//! compressed answers never unpacked.

use super::alert::Alert;
use super::body::Body;
use super::dial::{Dialer, Stream};
use super::error::ClientError;
use super::form;
use super::status::{Note, Noting};
use super::timer::Timer;
use super::tls::Tls;
use crate::trouble::Trouble;
use futures::future::FusedFuture;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most that is read of an answer's body, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The most that is buffered of what a receiver sends, in bytes; so also the longest head that is
/// read. Whatever it sends, a connection costs little more than this.
const MAX_BUFFER: usize = 64 * 1024;

/// How long the body of a 2xx answer may take before its connection is given up, and how long a
/// kept connection may take to be ready for the next request. Only the connection is at stake.
const PATIENCE: Duration = Duration::from_millis(250);

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
    dialer: Arc<Dialer>,
    tls: Tls,
    connection: Option<Connection>,
    timer: Timer,
}

struct Connection {
    sender: Sender,
    /// Moves bytes while it is polled, which is only while an attempt is under way. (Those of
    /// HTTP/2 are moved by a task of their own; this hands requests to it.)
    driver: Driver,
    note: Note,
    alert: Alert,
    /// Ends the tasks of HTTP/2, which a receiver that reads nothing could keep forever.
    _tasks: Option<DropGuard>,
}

/// Where the tasks of one HTTP/2 connection are started.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(future));
    }
}

type Driver = futures::future::Fuse<BoxFuture<'static, ()>>;

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Client {
    pub(super) fn new(dialer: Arc<Dialer>, tls: Tls) -> Self {
        Client { dialer, tls, connection: None, timer: Timer::default() }
    }

    /// Sends a request and reads its answer, all before `deadline`. The status is what counts: of
    /// a 2xx answer, the body may be late, endless, cut or badly framed, and the rest of the head
    /// may be what no HTTP reader takes. `needs_body` tells of which 2xx the body is read all the
    /// same.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Body>,
        deadline: Instant,
        needs_body: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<Answer, ClientError> {
        loop {
            let (mut connection, reused) = match self.connection.take() {
                Some(connection) => (connection, true),
                None => (self.connect(deadline).await?, false),
            };
            let exchange = self.timer.before(deadline, connection.exchange(request)).await;
            let timed_out = || ClientError::new(Trouble::Timeout, "no answer in time");
            match exchange.ok_or_else(timed_out)? {
                Exchanged::Answer(response) => {
                    let (answer, reusable) =
                        connection.finish(response, deadline, needs_body, &mut self.timer).await?;
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
                    let error = ClientError::new(Trouble::Closed, "connection closed at once");
                    return Err(connection.alert.explain(error));
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
        match self.dialer.dial(&self.tls, deadline).await? {
            Stream::Plain(stream) => Connection::http1(stream, Alert::default()).await,
            Stream::Tls { stream, alert, http2: false } => Connection::http1(stream, alert).await,
            Stream::Tls { stream, alert, http2: true } => Connection::http2(stream, alert).await,
        }
    }
}

enum Exchanged {
    Answer(Response<Incoming>),
    /// An answer of which nothing but the status can be read.
    Status(StatusCode),
    /// The connection was closed and nothing of the request was written.
    Unsent(Request<Body>),
    Failed(ClientError),
}

impl Connection {
    async fn http1(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        alert: Alert,
    ) -> Result<Self, ClientError> {
        let note = Note::default();
        let stream = TokioIo::new(Noting::new(stream, note.clone()));
        // At most 100 headers, hyper's default: any other limit costs an allocation an answer.
        let handshake = http1::Builder::new().max_buf_size(MAX_BUFFER).handshake(stream).await;
        let (sender, driver) = handshake.map_err(|error| ClientError::of_hyper(&error))?;
        // How the connection ends is told by the request that it ends.
        let driver = driver.map(|_| ()).boxed().fuse();
        Ok(Connection { sender: Sender::Http1(sender), driver, note, alert, _tasks: None })
    }

    async fn http2(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        alert: Alert,
    ) -> Result<Self, ClientError> {
        let tasks = CancellationToken::new();
        let handshake = http2::Builder::new(Tasks(tasks.clone()))
            .initial_stream_window_size(MAX_BUFFER as u32)
            .initial_connection_window_size(MAX_BUFFER as u32)
            .max_header_list_size(MAX_BUFFER as u32)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, driver) = handshake.map_err(|_| alert.explain(ClientError::of_http2()))?;
        let driver = driver.map(|_| ()).boxed().fuse();
        let (note, tasks) = (Note::default(), Some(tasks.drop_guard()));
        Ok(Connection { sender: Sender::Http2(sender), driver, note, alert, _tasks: tasks })
    }

    /// Polls the connection beside a future: nothing else moves its bytes.
    async fn drive<T>(driver: &mut Driver, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            if !driver.is_terminated() {
                let _ = driver.poll_unpin(context);
            }
            future.as_mut().poll(context)
        })
        .await
    }

    async fn exchange(&mut self, request: Request<Body>) -> Exchanged {
        // A look at the connection first: one that was closed while it was idle shows it here.
        if !self.ready().await {
            return Exchanged::Unsent(request);
        }
        match &mut self.sender {
            Sender::Http1(sender) => {
                self.note.expect_answer();
                let sent = sender.try_send_request(request);
                match Self::drive(&mut self.driver, sent).await {
                    Ok(response) => Exchanged::Answer(response),
                    Err(mut error) => match error.take_message() {
                        Some(request) => Exchanged::Unsent(request),
                        None => match self.note.status() {
                            Some(status) if error.error().is_parse() => Exchanged::Status(status),
                            _ => self.failed(ClientError::of_hyper(error.error())),
                        },
                    },
                }
            }
            Sender::Http2(sender) => {
                let sent = sender.try_send_request(form::http2(request));
                match Self::drive(&mut self.driver, sent).await {
                    Ok(response) => Exchanged::Answer(response),
                    Err(mut error) => match error.take_message() {
                        Some(request) => Exchanged::Unsent(form::http1(request)),
                        None => self.failed(ClientError::of_http2()),
                    },
                }
            }
        }
    }

    fn failed(&self, error: ClientError) -> Exchanged {
        Exchanged::Failed(self.alert.explain(error))
    }

    /// Whether it takes a request. One that is still busy with the last one's body, which the
    /// receiver answered early and reads no further, gets no more than a moment.
    async fn ready(&mut self) -> bool {
        let sender = &mut self.sender;
        let ready = async {
            match sender {
                Sender::Http1(sender) => sender.ready().await,
                Sender::Http2(sender) => sender.ready().await,
            }
        };
        let mut ready = pin!(Self::drive(&mut self.driver, ready));
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
        timer: &mut Timer,
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
        let read = Self::drive(&mut self.driver, read);
        let whole = timer.before(until, read).await.unwrap_or(false);
        answer.whole = whole;
        Ok((answer, whole))
    }
}
