//! `postrider listen`: a receiver for trying things out. Prints what arrives, and checks who sent
//! it where it is told how.

use super::failure::Failure;
use super::{Exit, Global, block_on, sample};
use crate::config::{self, Authentication, Credential, Destination};
use crate::signature::{Algorithm, Form, Key, StandardSecret};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use clap::Args;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest body that is taken, and the most that is unpacked of one, in bytes.
const MAX_BODY: usize = 64 << 20;

/// Where the secret is when no file is named.
const SECRET: &str = "POSTRIDER_SECRET";

/// What `--verify` knows beside exports.
const FORMS: [&str; 5] = ["github", "rampart", "ruleforge", "standard_webhooks", "hmac"];

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
    /// Check who sent a request, and answer 401 to others: github, rampart, ruleforge,
    /// standard_webhooks, hmac (X-Signature: sha256=…), or export:NAME for what that export of the
    /// configuration sends
    #[arg(long, value_name = "FORM")]
    verify: Option<String>,
    /// File with the secret for --verify, several on a line each; by default it is
    /// $POSTRIDER_SECRET
    #[arg(long, value_name = "FILE", requires = "verify")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug)]
struct Receiver {
    status: StatusCode,
    fail_first: u64,
    expected: Option<Authentication>,
    requests: AtomicU64,
}

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    let expected = options.verify.as_deref();
    let receiver = Arc::new(Receiver {
        status: StatusCode::from_u16(options.status).map_err(Failure::new)?,
        fail_first: options.fail_first,
        expected: expected.map(|form| authentication(form, options, global)).transpose()?,
        requests: AtomicU64::new(0),
    });
    let port = options.port;
    block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let listener =
            listener.map_err(|error| Failure::new(format!("127.0.0.1:{port}: {error}")))?;
        println!("listening on http://{}/", listener.local_addr().map_err(Failure::new)?);
        let router = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(receiver);
        axum::serve(listener, router).await.map_err(Failure::new)?;
        Ok(Exit::Done)
    })
}

/// What requests must carry.
fn authentication(
    form: &str,
    options: &Options,
    global: &Global,
) -> Result<Authentication, Failure> {
    if let Some(name) = form.strip_prefix("export:") {
        let config = config::load(&global.load_options())?.config;
        let Destination::Webhook(webhook) = &sample::export(&config, name)?.destination else {
            return Err(Failure::usage(
                format!("the export `{name}` is no webhook"),
                "name one whose destination is `webhook`",
            ));
        };
        if webhook.authentication.headers().is_empty() {
            return Err(Failure::usage(
                format!("the export `{name}` has no `authentication`"),
                "name one that signs, or leave --verify out",
            ));
        }
        return Ok(webhook.authentication.clone());
    }
    if !FORMS.contains(&form) {
        return Err(Failure::usage(
            format!("--verify: there is no form `{form}`"),
            format!("one of {}, export:NAME", FORMS.join(", ")),
        ));
    }
    let secrets = secrets(options)?;
    let secrets: Vec<&str> = secrets.lines().filter(|line| !line.is_empty()).collect();
    if secrets.is_empty() {
        return Err(Failure::usage(
            "--verify: the secret is empty",
            format!("name a --secret-file that holds it, or set ${SECRET}"),
        ));
    }
    let keys = || {
        let key = |secret: &&str| Key::new(Algorithm::Sha256, secret.as_bytes());
        secrets.iter().filter_map(key).collect()
    };
    let form = match form {
        "github" => Form::github(keys()),
        "rampart" => Form::rampart(keys()),
        "ruleforge" => Form::ruleforge(keys()),
        "hmac" => Form::hmac(keys()),
        _ => {
            let parsed = secrets.iter().map(|secret| StandardSecret::parse(secret));
            let parsed: Result<Vec<_>, _> = parsed.collect();
            Form::Standard(parsed.map_err(|error| {
                let fix = "give the secret as the sender has it, `whsec_…`";
                Failure::usage(format!("--verify: the secret: {error}"), fix)
            })?)
        }
    };
    let mut authentication = Authentication::default();
    authentication.add(Credential::Signed(form), []);
    Ok(authentication)
}

fn secrets(options: &Options) -> Result<String, Failure> {
    match &options.secret_file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display()))),
        None => std::env::var(SECRET).map_err(|_| {
            Failure::usage(
                "--verify needs a secret",
                format!("name a --secret-file that holds it, or set ${SECRET}"),
            )
        }),
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let number = receiver.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let genuine = receiver
        .expected
        .as_ref()
        .map(|expected| expected.verify(&headers, &body, Timestamp::now()));
    let status = match genuine {
        Some(Err(_)) => StatusCode::UNAUTHORIZED,
        _ if number <= receiver.fail_first => StatusCode::SERVICE_UNAVAILABLE,
        _ => receiver.status,
    };
    let mut out = format!("#{number} {method} {uri} → {status}\n");
    let _ = match genuine {
        None => Ok(()),
        Some(Ok(())) => writeln!(out, "signature ok"),
        Some(Err(reason)) => writeln!(out, "signature wrong: {reason}"),
    };
    for (name, value) in &headers {
        let _ = writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = writeln!(out, "\n{}\n", String::from_utf8_lossy(&unpacked(&headers, &body)));
    let mut stdout = std::io::stdout().lock();
    // Whoever closed the pipe still wants the answers.
    let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    status
}

/// The body as people can read it; as it came where it cannot be unpacked.
fn unpacked(headers: &HeaderMap, body: &Bytes) -> Bytes {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let plain = match encoding {
        Some("gzip") => {
            let mut plain = Vec::new();
            let unpacker = flate2::read::GzDecoder::new(&body[..]);
            let read = unpacker.take(MAX_BODY as u64).read_to_end(&mut plain);
            read.ok().map(|_| plain)
        }
        Some("zstd") => zstd::bulk::decompress(body, MAX_BODY).ok(),
        _ => None,
    };
    plain.map_or_else(|| body.clone(), Bytes::from)
}
