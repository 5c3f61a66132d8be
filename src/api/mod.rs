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

/// Serves the admin listener for as long as the process lives.
///
/// # Errors
/// When the listener fails.
pub async fn serve_admin(
    listener: TcpListener,
    admin: &Admin,
    handle: Handle,
) -> std::io::Result<()> {
    let guard = Arc::new(Guard::new(admin, listener.local_addr()?));
    let router = Router::new()
        .route("/metrics", get(metrics).layer(guard.layer(admin.metrics_open)))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .with_state(handle);
    axum::serve(listener, router).await
}

async fn metrics(State(handle): State<Handle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.metrics_page())
}

async fn live() -> impl IntoResponse {
    Json(json!({ "status": "live" }))
}

async fn ready(State(handle): State<Handle>) -> Response {
    let (status, body) = match handle.not_ready() {
        None => (StatusCode::OK, json!({ "status": "ready", "warnings": handle.warnings() })),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "not_ready", "reason": reason, "warnings": handle.warnings() }),
        ),
    };
    (status, Json(body)).into_response()
}
