//! `postrider demo`: the main job with nothing else installed. Runs this very program as a user
//! would, against a receiver of its own that fails now and then, and checks the sums at the end.

use super::failure::Failure;
use super::{Exit, block_on};
use crate::delivery::MAX_EXCERPT;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The demo's configuration; it is printed as it stands.
const CONFIGURATION: &str = include_str!("demo.yaml");

/// Events that are sent, with what the receiver makes of them.
const EVENTS: usize = 40;

/// The whole demo ends within this.
const TIME_LIMIT: Duration = Duration::from_secs(14);

/// How often the demo looks whether something is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn execute() -> Result<Exit, Failure> {
    block_on(async {
        let folder = std::env::temp_dir()
            .join(format!("postrider-demo-{}", crate::event::StreamId::random()));
        let result = timeout(TIME_LIMIT, demo(&folder)).await;
        drop(std::fs::remove_dir_all(&folder));
        result.map_err(|_| Failure::new("the demo did not end in time"))?
    })
}

async fn demo(folder: &Path) -> Result<Exit, Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::new)?;
    let file = folder.join("demo.yaml");
    std::fs::write(&file, CONFIGURATION).map_err(Failure::new)?;
    let receiver = Receiver::start().await?;
    let admin = free_port().await?;
    let program =
        Program { folder, receiver: format!("http://127.0.0.1:{}", receiver.port), admin };

    println!(
        "postrider demo: a receiver on {} fails now and then.\n\n{CONFIGURATION}",
        program.receiver
    );
    let mut running =
        program.command(&["run", "-q"]).stdin(Stdio::piped()).spawn().map_err(Failure::new)?;
    let mut input = running.stdin.take().ok_or_else(|| Failure::new("no standard input"))?;
    println!("$ … | postrider run       {EVENTS} events and one line that is not an event");
    input.write_all(events().as_bytes()).await.map_err(Failure::new)?;
    let sums = program.at_rest().await?;
    println!(
        "  delivered {}, retried {}, dead letters {}\n",
        sums.total("delivered"),
        receiver.failed(),
        sums.total("dead_lettered")
    );

    receiver.shared.recovered.store(true, Ordering::Relaxed);
    println!("The receiver has recovered.\n\n$ postrider dlq list");
    program.show(&["dlq", "list"]).await?;
    println!("$ postrider dlq replay --reason retries_exhausted");
    program.show(&["dlq", "replay", "--reason", "retries_exhausted"]).await?;
    let sums = program.at_rest().await?;

    drop(input);
    let ended = ended(&mut running).await?;
    let page = receiver.arrived();
    println!("$ curl …/metrics             the sums at rest\n");
    print!("{sums}");
    println!(
        "\narrived at the receiver: {page}\npostrider run ended with {} (3: dead letters were written)",
        code(ended)
    );
    match sums.broken() {
        None => {
            println!("every event is accounted for");
            Ok(Exit::Done)
        }
        Some(law) => Err(Failure::new(format!("the sums do not add up: {law}"))),
    }
}

/// The built-in events, one a line, and one line that is not an event.
fn events() -> String {
    let mut lines = String::new();
    for n in 0..EVENTS {
        let (kind, severity, agent) = match n % 5 {
            0 => ("login", "info", "ada"),
            1 => ("policy_block", "error", "support-bot"),
            2 => ("file_read", "notice", "grace"),
            3 => ("auth_fail", "critical", "eve"),
            _ => ("config_change", "warn", "ada"),
        };
        // What the receiver makes of an event stands in the event itself.
        let fate = match n {
            7 => "refuse",
            13 => "down",
            n if n % 4 == 2 => "flaky",
            _ => "take",
        };
        lines.push_str(&format!(
            "{{\"audit_id\":\"demo_{n:02}\",\"event_kind\":\"{kind}\",\"severity\":\"{severity}\",\"agent_id\":\"{agent}\",\
             \"policy\":{{\"rule\":\"no \\\"pii\\\" outside\"}},\"fate\":\"{fate}\"}}\n"
        ));
        if n == EVENTS / 2 {
            lines.push_str("this line is not an event\n");
        }
    }
    lines
}

async fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::new)?;
    Ok(listener.local_addr().map_err(Failure::new)?.port())
}

async fn ended(running: &mut Child) -> Result<ExitStatus, Failure> {
    running.wait().await.map_err(Failure::new)
}

fn code(status: ExitStatus) -> String {
    status.code().map_or("a signal".to_owned(), |code| format!("exit code {code}"))
}

/// This program, run with the demo's configuration.
struct Program<'a> {
    folder: &'a Path,
    receiver: String,
    admin: u16,
}

impl Program<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| "postrider".into());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["-c", "demo.yaml", "--set", &format!("admin.listen=127.0.0.1:{}", self.admin)])
            .env("RECEIVER", &self.receiver)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn show(&self, arguments: &[&str]) -> Result<(), Failure> {
        let output = self.command(arguments).output().await.map_err(Failure::new)?;
        println!("{}", String::from_utf8_lossy(&output.stdout));
        if output.status.success() {
            Ok(())
        } else {
            Err(Failure::new(String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// Waits until everything is settled; returns the sums.
    async fn at_rest(&self) -> Result<Sums, Failure> {
        let mut last = String::new();
        loop {
            let sums = match metrics(self.admin).await {
                Ok(page) => Sums::read(&page),
                // It may not listen yet.
                Err(_) => Sums::default(),
            };
            let all = sums.to_string();
            // At rest, two looks see the same: own events may still be on their way before that.
            if sums.received() > EVENTS as i64 && sums.total("pending") == 0 && all == last {
                return Ok(sums);
            }
            last = all;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn metrics(port: u16) -> Result<String, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request =
        hyper::Request::get("/metrics").header("host", "127.0.0.1").body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body();
    let body = Limited::new(body, 1024 * MAX_EXCERPT)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}

/// The event counters of the metrics page, by name and export or source.
#[derive(Debug, Default)]
struct Sums(BTreeMap<String, BTreeMap<String, i64>>);

impl Sums {
    fn read(page: &str) -> Sums {
        let mut sums = Sums::default();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, rest)) =
                line.strip_prefix("postrider_events_").and_then(|line| line.split_once('{'))
            else {
                continue;
            };
            let Some((labels, value)) = rest.split_once("} ") else { continue };
            let who = labels.split('"').nth(1).unwrap_or_default();
            let sum = sums
                .0
                .entry(name.trim_end_matches("_total").to_owned())
                .or_default()
                .entry(who.to_owned())
                .or_default();
            *sum += value.parse::<f64>().unwrap_or_default() as i64;
        }
        sums
    }

    fn of(&self, name: &str, who: &str) -> i64 {
        self.0.get(name).and_then(|sums| sums.get(who)).copied().unwrap_or_default()
    }

    fn total(&self, name: &str) -> i64 {
        self.0.get(name).map(|sums| sums.values().sum()).unwrap_or_default()
    }

    fn received(&self) -> i64 {
        self.total("received")
    }

    /// The conservation law that does not hold, if there is one.
    fn broken(&self) -> Option<String> {
        let accepted = self.received() - self.total("malformed");
        let exports: Vec<&String> =
            self.0.get("routed").map(|routed| routed.keys().collect()).unwrap_or_default();
        for export in exports {
            let of = |name| self.of(name, export);
            if accepted != of("filtered") + of("routed") {
                return Some(format!(
                    "{export}: {accepted} accepted, but {} filtered and {} routed",
                    of("filtered"),
                    of("routed")
                ));
            }
            let came = of("routed") + of("restored") + of("replayed");
            let went = of("delivered") + of("dead_lettered") + of("dropped") + of("pending");
            if came != went {
                return Some(format!("{export}: {came} came, but {went} went"));
            }
        }
        None
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "received {} = malformed {} + accepted {}",
            self.received(),
            self.total("malformed"),
            self.received() - self.total("malformed")
        )?;
        for export in self.0.get("routed").into_iter().flat_map(BTreeMap::keys) {
            let of = |name| self.of(name, export);
            writeln!(
                f,
                "{export:<7} filtered {} + routed {}; routed {} + replayed {} = delivered {} + dead letters {} + pending {}",
                of("filtered"),
                of("routed"),
                of("routed"),
                of("replayed"),
                of("delivered"),
                of("dead_lettered"),
                of("pending"),
            )?;
        }
        Ok(())
    }
}

/// The demo's receiver.
struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    recovered: AtomicBool,
    /// Requests by path and audit_id.
    requests: Mutex<HashMap<(String, String), u32>>,
    /// Events that were taken, by path.
    taken: Mutex<BTreeMap<String, u32>>,
    failed: std::sync::atomic::AtomicU32,
}

impl Receiver {
    async fn start() -> Result<Receiver, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::new)?;
        let port = listener.local_addr().map_err(Failure::new)?.port();
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Receiver { port, shared })
    }

    fn failed(&self) -> u32 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    fn arrived(&self) -> String {
        let taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken
            .iter()
            .map(|(path, events)| format!("{events} at {path}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Answers as the event says, until the receiver has recovered.
async fn receive(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8_lossy(&body);
    let id = headers
        .get("x-postrider-event-id")
        .map_or(String::new(), |id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let attempt = {
        let mut requests = shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = requests.entry((uri.path().to_owned(), id)).or_default();
        *attempt += 1;
        *attempt
    };
    let status = match () {
        () if body.contains("\"fate\":\"refuse\"") && uri.path() == "/siem" => {
            StatusCode::BAD_REQUEST
        }
        () if shared.recovered.load(Ordering::Relaxed) => StatusCode::OK,
        () if body.contains("\"fate\":\"down\"") => StatusCode::SERVICE_UNAVAILABLE,
        () if body.contains("\"fate\":\"flaky\"") && attempt == 1 => StatusCode::BAD_GATEWAY,
        () => StatusCode::OK,
    };
    if status.is_success() {
        *shared
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(uri.path().to_owned())
            .or_default() += 1;
    } else if status.is_server_error() {
        shared.failed.fetch_add(1, Ordering::Relaxed);
    }
    status
}
