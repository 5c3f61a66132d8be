//! The control socket: how the commands of this machine's owner reach a running postrider. HTTP
//! over a unix socket in the data directory that only its owner can open.

use crate::config::control_socket;
use crate::export::{Export, Standing};
use crate::pipeline::{Handle, ReplayRequest};
use crate::store::{Selection, Store, StoreError};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// How long a pause or a resumption may take to reach the disk.
const STORED_WITHIN: Duration = Duration::from_secs(5);

/// What is said when it takes longer.
const NOT_STORED: &str = "it is in force, but could not be written down yet: it would not outlive \
                          a restart; see the log";

/// What a replay took up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replaying {
    /// Dead letters put back, by export.
    pub by_export: BTreeMap<String, u64>,
    /// Letters named by id that cannot be replayed.
    pub refused: u64,
    /// Where the request named an export that does not exist: those that do. Nothing was put back.
    #[serde(default)]
    pub only: Option<Vec<String>>,
}

/// What a purge deleted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Purged {
    /// How many dead letters.
    pub letters: u64,
}

/// How an export stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRow {
    /// Its name.
    pub name: String,
    /// `up`, `open`, `probing` or `paused`.
    pub state: String,
    /// Whether somebody paused it by hand.
    pub by_hand: bool,
    /// Events that wait, in memory and on disk.
    pub pending: u64,
    /// Of them on disk alone.
    pub on_disk: u64,
    /// Its dead letters.
    pub dead_letters: u64,
}

impl ExportRow {
    /// What is shown of an export.
    pub fn new(name: &str, standing: &Standing, store: &Store) -> ExportRow {
        ExportRow {
            name: name.to_owned(),
            state: standing.state.as_str().to_owned(),
            by_hand: standing.by_hand,
            pending: standing.pending,
            on_disk: standing.on_disk,
            dead_letters: store.total(name).letters.unsigned_abs(),
        }
    }
}

/// Exports that are to be paused or resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    /// Their names.
    pub names: Vec<String>,
}

/// What came of a request about named exports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Names that no export has. Where there is one, nothing was done.
    pub unknown: Vec<String>,
    /// The names of all exports.
    pub known: Vec<String>,
}

impl Found {
    /// Looks for exports among those that there are.
    pub fn new(names: &[String], known: Vec<String>) -> Found {
        let unknown = names.iter().filter(|name| !known.contains(name)).cloned().collect();
        Found { unknown, known }
    }
}

/// Opens the control socket. The caller holds the lock of the data directory, so a socket that is
/// there is a dead one.
///
/// # Errors
/// When the socket cannot be made.
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = control_socket(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    // The directory is the owner's alone, so nobody came in before this.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the control socket for as long as the process lives.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: UnixListener, handle: Handle) -> io::Result<()> {
    let router = Router::new()
        .route("/v1/replay", post(replay))
        .route("/v1/purge", post(purge))
        .route("/v1/exports", post(exports))
        .route("/v1/exports/pause", post(pause))
        .route("/v1/exports/resume", post(resume))
        .with_state(handle);
    axum::serve(listener, router).await
}

async fn replay(
    State(handle): State<Handle>,
    Json(request): Json<ReplayRequest>,
) -> Result<Json<Replaying>, Failed> {
    let known: Vec<_> = handle.exports().iter().map(|export| export.name().to_string()).collect();
    if request.to.as_ref().is_some_and(|to| !known.contains(to)) {
        return Ok(Json(Replaying { only: Some(known), ..Replaying::default() }));
    }
    let marked = handle.replay(request).await?;
    let by_export =
        marked.by_export.iter().map(|(export, letters)| (export.to_string(), *letters)).collect();
    Ok(Json(Replaying { by_export, refused: marked.refused, only: None }))
}

async fn purge(
    State(handle): State<Handle>,
    Json(selection): Json<Selection>,
) -> Result<Json<Purged>, Failed> {
    Ok(Json(Purged { letters: handle.store().purge(&selection).await? }))
}

async fn exports(State(handle): State<Handle>) -> Json<Vec<ExportRow>> {
    let exports = handle.exports();
    let row =
        |export: &Arc<Export>| ExportRow::new(export.name(), &export.standing(), handle.store());
    Json(exports.iter().map(row).collect())
}

async fn pause(
    State(handle): State<Handle>,
    Json(named): Json<Named>,
) -> Result<Json<Found>, Failed> {
    change(&handle, &named, Export::pause).await
}

async fn resume(
    State(handle): State<Handle>,
    Json(named): Json<Named>,
) -> Result<Json<Found>, Failed> {
    change(&handle, &named, Export::resume).await
}

/// Changes exports; whoever asked is told when it is on disk.
async fn change(
    handle: &Handle,
    named: &Named,
    change: fn(&Arc<Export>),
) -> Result<Json<Found>, Failed> {
    let exports = handle.exports();
    let known = exports.iter().map(|export| export.name().to_string()).collect();
    let found = Found::new(&named.names, known);
    if found.unknown.is_empty() {
        let asked =
            |export: &&Arc<Export>| named.names.iter().any(|name| **name == **export.name());
        let named: Vec<_> = exports.iter().filter(asked).collect();
        named.iter().for_each(|export| change(export));
        let stored = join_all(named.iter().map(|export| export.standing_stored()));
        timeout(STORED_WITHIN, stored).await.map_err(|_| Failed(NOT_STORED.to_owned()))?;
    }
    Ok(Json(found))
}

/// An operation that failed, and why.
struct Failed(String);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0).into_response()
    }
}

/// Asks the postrider that runs on a data directory; `None` where none runs.
///
/// # Errors
/// When it does not answer, or answers with an error.
pub async fn ask<T: DeserializeOwned>(
    data_dir: &Path,
    route: &str,
    body: &impl Serialize,
) -> io::Result<Option<T>> {
    let stream = match UnixStream::connect(control_socket(data_dir)).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::post(route)
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::from(serde_json::to_vec(body)?)))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let body = limited.collect().await.map_err(io::Error::other)?.to_bytes();
    if !status.is_success() {
        return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()));
    }
    Ok(Some(serde_json::from_slice(&body)?))
}
