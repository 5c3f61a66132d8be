//! The admin listener: metrics and health. All routes stand on this screen; the control socket has
//! its own.

pub mod control;
mod guard;

use crate::config::Admin;
use crate::pipeline::Handle;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use guard::Guard;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::SetOnce;

/// Serves the admin listener for as long as the process lives; until there is a handle, postrider
/// is starting.
///
/// # Errors
/// When the listener fails.
pub async fn serve_admin(
    listener: TcpListener,
    admin: &Admin,
    handle: Arc<SetOnce<Handle>>,
) -> std::io::Result<()> {
    let guard = Arc::new(Guard::new(admin, listener.local_addr()?));
    let router = Router::new()
        .route("/metrics", get(metrics).layer(guard.layer(admin.metrics_open)))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .with_state(handle);
    axum::serve(listener, router).await
}

/// What there is to count is known once everything has started: until then the answer waits.
async fn metrics(State(handle): State<Arc<SetOnce<Handle>>>) -> Response {
    let handle = handle.wait().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.metrics_page())
        .into_response()
}

async fn live() -> impl IntoResponse {
    Json(json!({ "status": "live" }))
}

async fn ready(State(handle): State<Arc<SetOnce<Handle>>>) -> Response {
    let Some(handle) = handle.get() else {
        let body = json!({ "status": "not_ready", "reason": "starting", "warnings": [] });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    };
    let (status, body) = match handle.not_ready() {
        None => (StatusCode::OK, json!({ "status": "ready", "warnings": handle.warnings() })),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "not_ready", "reason": reason, "warnings": handle.warnings() }),
        ),
    };
    (status, Json(body)).into_response()
}
