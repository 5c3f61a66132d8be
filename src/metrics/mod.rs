//! What is counted and measured: one method per fact, over the one table of names. Serving the
//! page does not live here.

mod carried;
mod export;
mod process;
mod source;
pub mod table;

use crate::retry::Reason;
pub use export::{AttemptOutcome, ExportMetrics, ExportState, Pending};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
pub use source::{SourceMetrics, TakenIn};
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use table::{Kind, Metric, TABLE};

/// How dead letters leave the queue.
const REMOVALS: [&str; 4] = ["replayed", "purged", "expired", "dropped"];

/// What the store is at when it fails.
const STORE_OPS: [&str; 5] = ["commit", "read", "checkpoint", "vacuum", "check"];

/// The recorder keeps every sample of a histogram until it is told to sort them into buckets. It is
/// told after this many, by whoever records, so memory stays flat whether or not anyone scrapes.
const SAMPLES_BEFORE_UPKEEP: u32 = 8_192;

const METADATA: Metadata<'static> = Metadata::new("postrider", Level::INFO, None);

/// Every metric of the process.
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    seconds: Mutex<Vec<(Metric, String, Seconds)>>,
    samples: Arc<Samples>,
    unmatched: Counter,
    ready: Gauge,
    buried: Arc<AtomicU64>,
    store: Arc<StoreMetrics>,
    /// Of the configuration in force. The recorder would keep the series of former ones.
    config_hash: Mutex<String>,
    /// Exports that go on under another name.
    carried: Mutex<carried::Carried>,
}

/// Counts samples, to have them sorted in time.
struct Samples {
    handle: PrometheusHandle,
    waiting: AtomicU32,
}

impl Samples {
    fn record(&self, histogram: &Histogram, value: f64) {
        self.record_many(histogram, value, 1);
    }

    fn record_many(&self, histogram: &Histogram, value: f64, count: usize) {
        histogram.record_many(value, count);
        let count = count.min(SAMPLES_BEFORE_UPKEEP as usize) as u32;
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count >= SAMPLES_BEFORE_UPKEEP {
            self.waiting.store(0, Ordering::Relaxed);
            self.handle.run_upkeep();
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

impl Metrics {
    /// A recorder with every metric of the table; `config_hash` tells configurations apart.
    pub fn new(config_hash: &str) -> Arc<Self> {
        let mut builder = PrometheusBuilder::new();
        for metric in TABLE {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                    .expect("the table's buckets are not empty");
            }
        }
        let recorder = Arc::new(builder.build_recorder());
        for metric in TABLE {
            let help = metric.help.into();
            match metric.kind {
                Kind::Counter => recorder.describe_counter(metric.name.into(), None, help),
                Kind::Gauge => recorder.describe_gauge(metric.name.into(), None, help),
                Kind::Histogram(_) => recorder.describe_histogram(metric.name.into(), None, help),
            }
        }
        let samples = Arc::new(Samples { handle: recorder.handle(), waiting: AtomicU32::new(0) });
        let store = StoreMetrics {
            commit: recorder.register_histogram(&key(&table::STORE_COMMIT, &[]), &METADATA),
            samples: Arc::clone(&samples),
        };
        let metrics = Metrics {
            unmatched: recorder.register_counter(&key(&table::UNMATCHED, &[]), &METADATA),
            ready: recorder.register_gauge(&key(&table::READY, &[]), &METADATA),
            store: Arc::new(store),
            buried: Arc::default(),
            seconds: Mutex::default(),
            config_hash: Mutex::default(),
            carried: Mutex::default(),
            samples,
            recorder,
        };
        for outcome in [ReloadOutcome::Applied, ReloadOutcome::Refused] {
            metrics.counter(&table::RELOADS, &[outcome.as_str()]).increment(0);
        }
        metrics.configured(config_hash);
        let commit = option_env!("POSTRIDER_COMMIT").unwrap_or("unknown");
        metrics.gauge(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), commit]).set(1.0);
        metrics.dead_letters("", 0, 0);
        metrics.none_removed("");
        for op in STORE_OPS {
            metrics.counter(&table::STORE_ERRORS, &[op]).increment(0);
        }
        for reason in [Reason::Malformed, Reason::TooLarge, Reason::Poison] {
            metrics.counter(&table::DEAD_LETTERED, &["", reason.as_str()]).increment(0);
        }
        Arc::new(metrics)
    }

    fn counter(&self, metric: &Metric, labels: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    fn gauge(&self, metric: &Metric, labels: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    fn histogram(&self, metric: &Metric, labels: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    /// The metrics of a source, all at 0.
    pub fn source(&self, name: &str) -> SourceMetrics {
        SourceMetrics {
            received: self.counter(&table::RECEIVED, &[name]),
            bytes: self.counter(&table::RECEIVED_BYTES, &[name]),
            malformed: self.counter(&table::MALFORMED, &[name]),
            unknown_severity: self.counter(&table::SEVERITY_UNKNOWN, &[name]),
            truncations: self.counter(&table::TRUNCATIONS, &[name]),
            last_event: self.gauge(&table::LAST_EVENT, &[name]),
            lag: self.gauge(&table::LAG, &[name]),
            buried: Arc::clone(&self.buried),
            dead_malformed: self.counter(&table::DEAD_LETTERED, &["", Reason::Malformed.as_str()]),
            dead_too_large: self.counter(&table::DEAD_LETTERED, &["", Reason::TooLarge.as_str()]),
            dead_poison: self.counter(&table::DEAD_LETTERED, &["", Reason::Poison.as_str()]),
        }
    }

    /// The metrics of an export, all at 0 but for its dead letters; `queue_limit` is its bound in
    /// bytes.
    pub fn export(&self, name: &str, queue_limit: usize) -> ExportMetrics {
        self.gauge(&table::QUEUE_LIMIT_BYTES, &[name]).set(queue_limit as f64);
        self.is_named(name);
        self.none_removed(name);
        for metric in [&table::DEAD_LETTERS, &table::DEAD_LETTER_BYTES] {
            // Not set: the store tells what it holds as it opens, which may be before this.
            self.gauge(metric, &[name]).increment(0.0);
        }
        let counter = |metric| self.counter(metric, &[name]);
        ExportMetrics {
            name: name.to_owned(),
            filtered: counter(&table::FILTERED),
            filter_errors: counter(&table::FILTER_ERRORS),
            routed: counter(&table::ROUTED),
            restored: counter(&table::RESTORED),
            replayed: counter(&table::REPLAYED),
            delivered: counter(&table::DELIVERED),
            dead: Reason::ALL
                .map(|reason| self.counter(&table::DEAD_LETTERED, &[name, reason.as_str()])),
            pending: ["memory", "disk", "retry", "flight"]
                .map(|place| self.gauge(&table::PENDING, &[name, place])),
            oldest: self.gauge(&table::OLDEST_PENDING, &[name]),
            dropped: self.counter(&table::DROPPED, &[name, Reason::QueueFull.as_str()]),
            states: ExportState::ALL
                .map(|state| self.gauge(&table::EXPORT_STATE, &[name, state.as_str()])),
            queue_limit: self.gauge(&table::QUEUE_LIMIT_BYTES, &[name]),
            queue_bytes: self.gauge(&table::QUEUE_BYTES, &[name]),
            attempt_duration: self.histogram(&table::ATTEMPT_DURATION, &[name]),
            latency: self.histogram(&table::LATENCY, &[name]),
            last_delivery: self.gauge(&table::LAST_DELIVERY, &[name]),
            retry_after_waits: counter(&table::RETRY_AFTER_WAITS),
            rate_limit_wait: self.seconds(&table::RATE_LIMIT_WAIT, name),
            blocked: self.seconds(&table::BLOCKED, name),
            attempts: Mutex::default(),
            buried: Arc::clone(&self.buried),
            recorder: Arc::clone(&self.recorder),
            samples: Arc::clone(&self.samples),
        }
    }

    /// The metrics of the store.
    pub fn store(&self) -> Arc<StoreMetrics> {
        Arc::clone(&self.store)
    }

    /// Dead letters that this run wrote.
    pub fn buried(&self) -> u64 {
        self.buried.load(Ordering::Relaxed)
    }

    /// Events that no export took.
    pub fn unmatched(&self, events: u64) {
        self.unmatched.increment(events);
    }

    /// Dead letters that an export has in the store.
    pub fn dead_letters(&self, export: &str, letters: u64, bytes: u64) {
        self.gauge(&table::DEAD_LETTERS, &[export]).set(letters as f64);
        self.gauge(&table::DEAD_LETTER_BYTES, &[export]).set(bytes as f64);
    }

    /// The series of dead letters that left the queue, there from the start.
    fn none_removed(&self, export: &str) {
        for how in REMOVALS {
            self.counter(&table::DEAD_LETTERS_REMOVED, &[export, how]).increment(0);
        }
    }

    /// Dead letters that left the queue, and how.
    pub fn dead_letters_removed(&self, export: &str, how: &'static str, letters: u64) {
        self.counter(&table::DEAD_LETTERS_REMOVED, &[export, how]).increment(letters);
    }

    /// An operation of the store that failed.
    pub fn store_error(&self, op: &'static str) {
        self.counter(&table::STORE_ERRORS, &[op]).increment(1);
    }

    /// The configuration with this hash is in force from now on.
    fn configured(&self, hash: &str) {
        hash.clone_into(&mut self.config_hash.lock().unwrap_or_else(PoisonError::into_inner));
        self.gauge(&table::RELOAD_SUCCESSFUL, &[]).set(1.0);
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
        self.gauge(&table::RELOAD_TIME, &[]).set(now);
    }

    /// The configuration was read again; it is now the one with this hash.
    pub fn reloaded(&self, hash: &str) {
        self.counter(&table::RELOADS, &[ReloadOutcome::Applied.as_str()]).increment(1);
        self.configured(hash);
    }

    /// The configuration was read again and could not be used: the one before stays in force.
    pub fn reload_refused(&self) {
        self.counter(&table::RELOADS, &[ReloadOutcome::Refused.as_str()]).increment(1);
        self.gauge(&table::RELOAD_SUCCESSFUL, &[]).set(0.0);
    }

    /// Whether events can be accepted and stored.
    pub fn ready(&self, ready: bool) {
        self.ready.set(f64::from(u8::from(ready)));
    }

    /// A counter of seconds. The recorder's counters are whole numbers, so these stand beside it.
    fn seconds(&self, metric: &Metric, export: &str) -> Seconds {
        let mut all = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., seconds)) =
            all.iter().find(|(known, name, _)| known == metric && name == export)
        {
            return seconds.clone();
        }
        let seconds = Seconds::default();
        all.push((*metric, export.to_owned(), seconds.clone()));
        seconds
    }

    fn render_all(&self) -> String {
        let mut page = self.samples.handle.render();
        let seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in [&table::RATE_LIMIT_WAIT, &table::BLOCKED] {
            let of_metric = seconds.iter().filter(|(known, ..)| known == metric);
            let rows: Vec<_> =
                of_metric.map(|(_, export, seconds)| (Some(&**export), seconds.get())).collect();
            write_metric(&mut page, metric, &rows);
        }
        let hash = self.config_hash.lock().unwrap_or_else(PoisonError::into_inner);
        write_metric(&mut page, &table::CONFIG_INFO, &[(Some(&**hash), 1.0)]);
        for (metric, value) in process::Process::read().metrics() {
            write_metric(&mut page, metric, &[(None, value)]);
        }
        page
    }
}

/// Writes a metric that does not go through the recorder.
fn write_metric(page: &mut String, metric: &Metric, rows: &[(Option<&str>, f64)]) {
    let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
    let _ = writeln!(page, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
    for (label, value) in rows {
        let _ = match (metric.labels.first(), label) {
            (Some(name), Some(label)) => {
                writeln!(page, "{}{{{name}=\"{}\"}} {value}", metric.name, label.escape_default())
            }
            _ => writeln!(page, "{} {value}", metric.name),
        };
    }
    page.push('\n');
}

/// What became of a reload.
#[derive(Debug, Clone, Copy)]
enum ReloadOutcome {
    Applied,
    Refused,
}

impl ReloadOutcome {
    fn as_str(self) -> &'static str {
        match self {
            ReloadOutcome::Applied => "applied",
            ReloadOutcome::Refused => "refused",
        }
    }
}

/// Seconds that only grow, kept as whole microseconds.
#[derive(Debug, Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Seconds {
    fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// What the store measures.
pub struct StoreMetrics {
    commit: Histogram,
    samples: Arc<Samples>,
}

impl std::fmt::Debug for StoreMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreMetrics")
    }
}

impl StoreMetrics {
    /// A commit took this long.
    pub fn committed(&self, took: Duration) {
        self.samples.record(&self.commit, took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_a_source_and_an_export_exists_from_the_start() {
        let metrics = Metrics::new("abc");
        let (_source, export) = (metrics.source("app"), metrics.export("alerts", 100));
        export.attempted(AttemptOutcome::Delivered, Some(200), Duration::from_millis(1));
        let page = metrics.render();
        for metric in TABLE.iter().filter(|metric| metric.name != table::DROPPED.name) {
            assert!(
                page.contains(&format!("# TYPE {} ", metric.name)),
                "{} is missing",
                metric.name
            );
        }
        assert!(page.contains(r#"postrider_events_received_total{source="app"} 0"#), "{page}");
        assert!(page.contains(
            r#"postrider_events_dead_lettered_total{export="alerts",reason="render"} 0"#
        ));
        assert!(
            page.contains(r#"postrider_delivery_latency_seconds_count{export="alerts"} 0"#),
            "{page}"
        );
        for how in ["replayed", "purged", "expired", "dropped"] {
            for export in ["alerts", ""] {
                let series = format!(
                    "postrider_dead_letters_removed_total{{export=\"{export}\",how=\"{how}\"}} 0"
                );
                assert!(page.contains(&series), "{series}\n{page}");
            }
        }
        assert!(page.contains(r#"postrider_store_errors_total{op="commit"} 0"#), "{page}");
    }

    #[test]
    fn codes_beyond_the_bound_are_counted_under_their_class() {
        let metrics = Metrics::new("");
        let export = metrics.export("a", 1);
        for status in 400..500 {
            export.attempted(AttemptOutcome::Rejected, Some(status), Duration::ZERO);
        }
        export.attempted(AttemptOutcome::Retry, None, Duration::ZERO);
        let page = metrics.render();
        assert!(page.contains(r#"outcome="rejected",code="463"} 1"#), "{page}");
        assert!(page.contains(r#"outcome="rejected",code="4xx"} 36"#), "{page}");
        assert!(page.contains(r#"outcome="retry",code="none"} 1"#), "{page}");
    }

    #[test]
    fn samples_do_not_pile_up() {
        let metrics = Metrics::new("");
        let export = metrics.export("a", 1);
        for _ in 0..3 * SAMPLES_BEFORE_UPKEEP {
            export.delivered(1, Duration::from_millis(3));
        }
        assert!(metrics.samples.waiting.load(Ordering::Relaxed) < SAMPLES_BEFORE_UPKEEP);
        assert!(metrics.render().contains(&format!(
            "_latency_seconds_count{{export=\"a\"}} {}",
            3 * SAMPLES_BEFORE_UPKEEP
        )));
    }
}
