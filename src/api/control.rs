//! The control socket: how the commands of this machine's owner reach a running postrider. HTTP
//! over a unix socket in the data directory that only its owner can open.

use crate::pipeline::{Handle, ReplayRequest};
use crate::store::{Selection, StoreError};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// What a replay took up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replaying {
    /// Dead letters put back, by export.
    pub by_export: BTreeMap<String, u64>,
    /// Letters named by id that cannot be replayed.
    pub refused: u64,
}

/// What a purge deleted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Purged {
    /// How many dead letters.
    pub letters: u64,
}

/// The socket of a data directory.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Opens the control socket. The caller holds the lock of the data directory, so a socket that is
/// there is a dead one.
///
/// # Errors
/// When the socket cannot be made.
pub fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = path(data_dir);
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
        .with_state(handle);
    axum::serve(listener, router).await
}

async fn replay(
    State(handle): State<Handle>,
    Json(request): Json<ReplayRequest>,
) -> Result<Json<Replaying>, Failed> {
    let marked = handle.replay(request).await?;
    let by_export =
        marked.by_export.iter().map(|(export, letters)| (export.to_string(), *letters)).collect();
    Ok(Json(Replaying { by_export, refused: marked.refused }))
}

async fn purge(
    State(handle): State<Handle>,
    Json(selection): Json<Selection>,
) -> Result<Json<Purged>, Failed> {
    Ok(Json(Purged { letters: handle.store().purge(&selection).await? }))
}

/// An operation of the store that failed.
struct Failed(StoreError);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
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
    let stream = match UnixStream::connect(path(data_dir)).await {
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
