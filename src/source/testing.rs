//! What the tests of sources share: a real store in a folder of its own, a router to one export,
//! and a sink that writes down what it gets and answers as it is told.

use super::{Intake, Source};
use crate::config::{self, Input};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::event::{Position, SpentEvents};
use crate::export::{Export, Settings, Width};
use crate::filter::Filter;
use crate::metrics::Metrics;
use crate::poison::Poison;
use crate::retry::{OnGone, Policy, Reply, RetrySchedule, StatusSet};
use crate::route::Router;
use crate::sink::Sink;
use crate::store::{Order, Reader, Selection, Store, StoreOptions};
use crate::trouble::Trouble;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// By the wall clock, for time itself may be paused.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the source, and of the export.
pub(crate) const NAME: &str = "under-test";

/// A place to try a source out; outlives its runs.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) got: Got,
}

/// What the export got so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Got(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<(Position, String)>>,
    arrived: Notify,
}

/// One run of a source, from a start to a stop.
pub(crate) struct Run {
    pub(super) metrics: Arc<Metrics>,
    pub(crate) store: Store,
    poison: Arc<Poison>,
    pub(crate) export: Arc<Export>,
    pub(super) router: Arc<Router>,
    pub(super) stop: CancellationToken,
    task: Option<JoinHandle<Result<(), String>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().unwrap(), got: Got::default() };
        std::fs::create_dir(bench.path("")).unwrap();
        bench
    }

    /// A path for the source's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    /// Opens the store and builds an export; events whose text has `hold` in it are not settled.
    pub(crate) fn open(&self) -> Run {
        let store = Store::open(&self.dir.path().join("data"), StoreOptions::default()).unwrap();
        let metrics = Metrics::new("");
        let got = self.got.clone();
        let width = Width { slots: 1, batch: 256 };
        let config = export();
        let settings = Settings::new(&config, width, move || Script(got.clone()));
        let poison = Arc::new(Poison::open(&self.dir.path().join("data")).unwrap());
        let address = "a test".to_owned();
        let watch = Arc::clone(&poison);
        let spent = Arc::<SpentEvents>::default();
        let left = Arc::clone(&spent);
        let export = Export::new(&config, address, settings, store.clone(), watch, left, &metrics);
        let router = Router::new(vec![Arc::clone(&export)], spent, Arc::clone(&metrics));
        Run { metrics, store, poison, export, router, stop: CancellationToken::new(), task: None }
    }
}

impl Got {
    /// The texts that arrived, sorted.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<_> =
            self.0.lines.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
        texts.sort();
        texts
    }

    /// What arrived since the last call, in order.
    pub(super) fn take(&self) -> Vec<(Position, String)> {
        std::mem::take(&mut self.0.lines.lock().unwrap())
    }

    /// Waits until as many events have arrived.
    pub(crate) async fn count(&self, count: usize) {
        wait_until(
            || self.0.lines.lock().unwrap().len() >= count,
            self.0.arrived.notified(),
            || format!("{count} events, of these: {:?}", self.texts()),
        )
        .await;
    }
}

/// Waits until a condition holds, looking again at least every 5 ms.
#[allow(clippy::disallowed_types, reason = "paused time passes at once: patience is real time")]
pub(super) async fn wait_until(
    condition: impl Fn() -> bool,
    hint: impl Future<Output = ()>,
    what: impl Fn() -> String,
) {
    let started = std::time::Instant::now();
    let mut hint = std::pin::pin!(futures::FutureExt::fuse(hint));
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "still waiting for {}", what());
        tokio::select! {
            () = &mut hint => {}
            () = tokio::time::sleep(Duration::from_millis(5)) => std::thread::yield_now(),
        }
    }
}

impl Run {
    /// What the source does with its lines.
    pub(super) fn intake(&self, config: &config::Source) -> Arc<Intake> {
        let metrics = self.metrics.source(&config.name);
        Intake::new(
            config,
            Arc::clone(&self.router),
            self.store.clone(),
            Arc::clone(&self.poison),
            metrics,
        )
    }

    pub(super) fn start(&mut self, source: impl Source) {
        self.task = Some(tokio::spawn(source.run(self.stop.clone())));
    }

    /// Waits for the source to end by itself.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        self.task.take().unwrap().await.unwrap()
    }

    /// Stops the source and the export; the store is still open.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.export.lift_bounds();
        if let Some(task) = self.task.take() {
            task.await.unwrap().unwrap();
        }
        self.export.stop().await;
    }

    /// The value of a metric of the source.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let page = self.metrics.render();
        let line = format!("postrider_{name}{{source=\"{NAME}\"}} ");
        let value = page.lines().find_map(|row| row.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    }

    /// The dead letters: reason, text and error.
    pub(super) async fn dead_letters(&self, data: &Bench) -> Vec<(String, String, String)> {
        let reader = Reader::open(&data.dir.path().join("data")).unwrap();
        let page = reader.letters(&Selection::default(), Order::OldestFirst, None, 100).unwrap();
        page.items
            .into_iter()
            .map(|letter| {
                let text = String::from_utf8_lossy(&letter.text).into_owned();
                (letter.reason.as_str().to_owned(), text, letter.last_error)
            })
            .collect()
    }
}

/// A source of the configuration that takes any JSON object.
pub(super) fn source(input: Input) -> config::Source {
    config::Source::plain(NAME, input)
}

fn export() -> config::Export {
    config::Export {
        name: NAME.into(),
        destination: config::Destination::Console(config::ConsoleStream::Stdout),
        body: Default::default(),
        batch: None,
        format: config::BodyFormat::Json,
        filter: Filter::default(),
        redaction: None,
        retry: Policy {
            max_attempts: NonZeroU32::MAX,
            schedule: RetrySchedule::new(vec![Duration::from_secs(1_000_000)], 0.0).unwrap(),
            retry_on: StatusSet::default(),
            max_retry_after: Duration::MAX,
            max_elapsed: None,
            on_gone: OnGone::Pause,
        },
        rate_limit: None,
        queue: config::Queue::default(),
        strict: false,
        breaker: None,
        fallback: None,
        former_names: Vec::new(),
        digest: config::Digest::default(),
        target: config::Digest::default(),
    }
}

/// Writes down what it gets.
struct Script(Got);

impl Sink for Script {
    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        for delivery in deliveries {
            let text = delivery.event.text.as_str().to_owned();
            outcomes.push(if text.contains("hold") { failed() } else { Outcome::Delivered(None) });
            self.0.0.lines.lock().unwrap().push((delivery.event.origin.position, text));
        }
        self.0.0.arrived.notify_one();
    }
}

fn failed() -> Outcome {
    Outcome::Failed(Box::new(Failure {
        reply: Reply::None,
        trouble: Trouble::Write,
        error: "held".to_owned(),
        response: None,
        took: None,
    }))
}

/// Appends to a file that may not exist.
pub(super) fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
