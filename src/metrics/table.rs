//! The table of every metric: the only place where a name, its labels and its meaning stand. The
//! reference page `docs/metrics.md` is printed from it.

use std::fmt::Write;

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A count that only rises, from the start of the process.
    Counter,
    /// A value of now.
    Gauge,
    /// A distribution, in these buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Its labels; values come from the configuration or from fixed lists, never from data.
    pub labels: &'static [&'static str],
    /// What it means, with its unit.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), labels, help }
}

const SOURCE: &[&str] = &["source"];
const EXPORT: &[&str] = &["export"];

/// Seconds an attempt or a commit takes: from far below a disk's sync to the longest timeout.
const SHORT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Seconds from acceptance to delivery: 1 ms to 1 h.
const LONG: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0,
];

macro_rules! table {
    ($($id:ident = $metric:expr;)*) => {
        $(pub(super) const $id: Metric = $metric;)*

        /// Every metric, in the order of the reference page.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
}

table! {
    RECEIVED = counter("postrider_events_received_total", SOURCE, "Events that a source took in; a malformed one once it is written down.");
    RECEIVED_BYTES = counter("postrider_received_bytes_total", SOURCE, "Bytes of the lines that a source took in, line ends included.");
    MALFORMED = counter("postrider_events_malformed_total", SOURCE, "Lines that are not events, or too long: dead-lettered or dropped, as the source's `malformed` says.");
    SEVERITY_UNKNOWN = counter("postrider_severity_unknown_total", SOURCE, "Events whose severity no table knows; they pass every `min_severity`.");
    LAST_EVENT = gauge("postrider_source_last_event_timestamp_seconds", SOURCE, "When the source last took an event in, in seconds since 1970; 0 before the first.");
    LAG = gauge("postrider_source_lag_bytes", SOURCE, "Bytes of a file source's files that are not settled yet; 0 for other sources.");
    TRUNCATIONS = counter("postrider_file_truncations_total", SOURCE, "Files that became shorter than what was read of them (copytruncate): lines may be lost.");
    FILTERED = counter("postrider_events_filtered_total", EXPORT, "Events that the export's filters left.");
    UNMATCHED = counter("postrider_events_unmatched_total", &[], "Events that no export took.");
    FILTER_ERRORS = counter("postrider_filter_errors_total", EXPORT, "Events on which the export's `expr` failed; the export took them.");
    ROUTED = counter("postrider_events_routed_total", EXPORT, "Events that the export took.");
    RESTORED = counter("postrider_events_restored_total", EXPORT, "Events of an earlier run that were found in the store at start.");
    REPLAYED = counter("postrider_events_replayed_total", EXPORT, "Dead letters put back on the export, and those of other exports that it is the fallback of.");
    DELIVERED = counter("postrider_events_delivered_total", EXPORT, "Events that arrived.");
    DEAD_LETTERED = counter("postrider_events_dead_lettered_total", &["export", "reason"], "Events that became dead letters; `export` is empty for lines that are not events.");
    DROPPED = counter("postrider_events_dropped_total", &["export", "reason"], "Events given up without a dead letter.");
    PENDING = gauge("postrider_events_pending", &["export", "where"], "Events that are not settled: queued in `memory` or on `disk`, waiting for a `retry`, or in `flight`.");
    ATTEMPTS = counter("postrider_attempts_total", &["export", "outcome", "code"], "Requests, by what became of them (delivered, retry, rejected, error) and the answer's status (`none` without an answer).");
    ATTEMPT_DURATION = histogram("postrider_attempt_duration_seconds", SHORT, EXPORT, "Seconds from the start of an attempt to its verdict.");
    LATENCY = histogram("postrider_delivery_latency_seconds", LONG, EXPORT, "Seconds from an event's acceptance to its delivery.");
    OLDEST_PENDING = gauge("postrider_oldest_pending_age_seconds", EXPORT, "Age of the oldest unsettled event, in seconds since its acceptance; 0 without one.");
    LAST_DELIVERY = gauge("postrider_last_delivery_timestamp_seconds", EXPORT, "When the last event arrived, in seconds since 1970; 0 before the first.");
    RETRY_AFTER_WAITS = counter("postrider_retry_after_waits_total", EXPORT, "Answers that held an endpoint back by Retry-After.");
    RATE_LIMIT_WAIT = counter("postrider_rate_limit_wait_seconds_total", EXPORT, "Seconds in which events were ready and the rate limit let none go.");
    BLOCKED = counter("postrider_blocked_seconds_total", EXPORT, "Seconds in which the export's full queue held a source back.");
    EXPORT_STATE = gauge("postrider_export_state", &["export", "state"], "1 for the state of the export's worst endpoint, else 0: `up`, `open` (the breaker holds first attempts back), `probing` (one goes through to see), `paused`.");
    QUEUE_BYTES = gauge("postrider_queue_bytes", EXPORT, "Bytes of the texts of the export's unsettled events in memory.");
    QUEUE_LIMIT_BYTES = gauge("postrider_queue_limit_bytes", EXPORT, "The export's `queue.memory_bytes`.");
    DEAD_LETTERS = gauge("postrider_dead_letters", EXPORT, "Dead letters in the store that were not replayed; `export` is empty for lines that are not events.");
    DEAD_LETTER_BYTES = gauge("postrider_dead_letter_bytes", EXPORT, "Bytes of the texts of those dead letters.");
    DEAD_LETTERS_REMOVED = counter("postrider_dead_letters_removed_total", &["export", "how"], "Dead letters that left the queue: replayed, purged, expired or dropped.");
    STORE_COMMIT = histogram("postrider_store_commit_seconds", SHORT, &[], "Seconds that a commit of the store takes, its sync to disk included.");
    STORE_ERRORS = counter("postrider_store_errors_total", &["op"], "Operations of the store that failed.");
    RELOADS = counter("postrider_reloads_total", &["outcome"], "Reloads of the configuration: `applied` or `refused`.");
    RELOAD_SUCCESSFUL = gauge("postrider_config_last_reload_successful", &[], "1 when the last reload was applied, or there was none; else 0.");
    RELOAD_TIME = gauge("postrider_config_last_reload_success_timestamp_seconds", &[], "When the configuration in force was read, in seconds since 1970.");
    CONFIG_INFO = gauge("postrider_config_info", &["hash"], "1; `hash` is of the configuration in force as it is written, variables by name: the value of a variable and the content of a file do not change it.");
    READY = gauge("postrider_ready", &[], "1 while events can be accepted and stored, else 0; as /ready.");
    BUILD_INFO = gauge("postrider_build_info", &["version", "commit"], "1; the program's version and the commit it was built from.");
    PROCESS_CPU = counter("process_cpu_seconds_total", &[], "User and system CPU time of the process, in seconds.");
    PROCESS_RESIDENT = gauge("process_resident_memory_bytes", &[], "Resident memory of the process, in bytes.");
    PROCESS_VIRTUAL = gauge("process_virtual_memory_bytes", &[], "Virtual memory of the process, in bytes.");
    PROCESS_OPEN_FDS = gauge("process_open_fds", &[], "Open file descriptors.");
    PROCESS_MAX_FDS = gauge("process_max_fds", &[], "The limit of open file descriptors.");
    PROCESS_START = gauge("process_start_time_seconds", &[], "When the process started, in seconds since 1970.");
}

/// The reference page `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Printed by `postrider schema metrics --format markdown`; do not edit.\n\n\
         `GET /metrics` on the admin listener. Label values come from the configuration or from fixed lists, never\n\
         from data. Every series of a configured source and export exists from the start at 0, but for\n\
         `postrider_attempts_total`, whose codes are those that were answered.\n\n\
         **Conservation.** At rest: received = malformed + accepted; for each export accepted = filtered + routed,\n\
         and routed + restored + replayed = delivered + dead-lettered + dropped + pending.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in TABLE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels =
            metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    page
}

/// The table as JSON.
pub fn json() -> String {
    let rows: Vec<_> = TABLE
        .iter()
        .map(|metric| {
            let (kind, buckets) = match metric.kind {
                Kind::Counter => ("counter", None),
                Kind::Gauge => ("gauge", None),
                Kind::Histogram(buckets) => ("histogram", Some(buckets)),
            };
            serde_json::json!({
                "name": metric.name, "kind": kind, "labels": metric.labels, "buckets": buckets, "help": metric.help,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_the_rules() {
        let mut seen = HashSet::new();
        for metric in TABLE {
            let name = metric.name;
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.starts_with("postrider_") || name.starts_with("process_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}: counters end in _total"
            );
            assert!(metric.help.ends_with('.'), "{name}");
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(buckets.is_sorted() && name.ends_with("_seconds"), "{name}");
            }
        }
    }

    #[test]
    fn the_reference_page_is_current() {
        let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"))
            .unwrap_or_default();
        assert_eq!(
            file,
            markdown(),
            "run: cargo run -- schema metrics --format markdown > docs/metrics.md"
        );
    }
}
