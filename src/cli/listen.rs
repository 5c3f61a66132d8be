//! `postrider listen`: a receiver for trying things out. Prints what arrives.

use super::failure::Failure;
use super::{Exit, block_on};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use clap::Args;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Options of `postrider listen`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Status to answer with
    #[arg(long, default_value_t = 200, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// Answer the first requests with 503
    #[arg(long, default_value_t = 0, value_name = "N")]
    fail_first: u64,
}

#[derive(Debug)]
struct Receiver {
    status: StatusCode,
    fail_first: u64,
    requests: AtomicU64,
}

pub(super) fn execute(options: &Options) -> Result<Exit, Failure> {
    let receiver = Arc::new(Receiver {
        status: StatusCode::from_u16(options.status).map_err(Failure::new)?,
        fail_first: options.fail_first,
        requests: AtomicU64::new(0),
    });
    let port = options.port;
    block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let listener =
            listener.map_err(|error| Failure::new(format!("127.0.0.1:{port}: {error}")))?;
        println!("listening on http://{}/", listener.local_addr().map_err(Failure::new)?);
        let router = Router::new().fallback(receive).with_state(receiver);
        axum::serve(listener, router).await.map_err(Failure::new)?;
        Ok(Exit::Done)
    })
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let number = receiver.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let failing = number <= receiver.fail_first;
    let status = if failing { StatusCode::SERVICE_UNAVAILABLE } else { receiver.status };
    let mut out = format!("#{number} {method} {uri} → {status}\n");
    for (name, value) in &headers {
        let _ = writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = writeln!(out, "\n{}\n", String::from_utf8_lossy(&body));
    let mut stdout = std::io::stdout().lock();
    // Whoever closed the pipe still wants the answers.
    let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    status
}
