//! Counters of exports that go on under another name: they count on there, and are gone from the
//! page under the old one. What the old one still counts, as an attempt that was under way ends,
//! follows with the next page.

use super::table::{Kind, TABLE};
use super::{METADATA, Metrics};
use metrics::{Key, Label, Recorder};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// More names than one export has had.
const MAX_ROUNDS: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// The names that exports go on under, by their old ones.
    heirs: BTreeMap<String, String>,
    /// What is added to a series before it is shown, by its name and labels.
    shifts: HashMap<String, f64>,
}

/// A line of the page that shows a value of an export.
struct Shown<'a> {
    /// Its name and labels.
    series: &'a str,
    value: f64,
}

impl<'a> Shown<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (series, value) = line.trim_end().rsplit_once(' ')?;
        Some(Shown { series, value: value.parse().ok()? }).filter(|_| !line.starts_with('#'))
    }

    fn name(&self) -> &'a str {
        self.series.split_once('{').map_or(self.series, |(name, _)| name)
    }

    /// Its labels; names and fixed words have neither quotes nor commas.
    fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let inside = self.series.split_once('{').map_or("", |(_, labels)| labels);
        let labels = inside.trim_end_matches('}').split(',');
        labels.filter_map(|label| {
            label.split_once('=').map(|(name, value)| (name, value.trim_matches('"')))
        })
    }

    fn is_of(&self, export: &str) -> bool {
        self.labels().any(|(name, value)| name == "export" && value == export)
    }
}

impl Carried {
    fn value(&self, shown: &Shown<'_>) -> f64 {
        shown.value + self.shifts.get(shown.series).copied().unwrap_or_default()
    }

    fn is_hidden(&self, shown: &Shown<'_>) -> bool {
        shown.labels().any(|(name, value)| name == "export" && self.heirs.contains_key(value))
    }
}

impl Metrics {
    fn carried(&self) -> MutexGuard<'_, Carried> {
        // A name is entered in one step, so a panic elsewhere leaves none half entered.
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The export `from` goes on as `to`, which counts on where it was. Its own series are no
    /// longer on the page.
    pub fn renamed(&self, from: &str, to: &str) {
        if from == to {
            return;
        }
        let mut carried = self.carried();
        carried.heirs.remove(to);
        carried.heirs.insert(from.to_owned(), to.to_owned());
        self.carry(&mut carried);
    }

    /// An export of that name is at work, whatever it was before.
    pub(super) fn is_named(&self, export: &str) {
        let mut carried = self.carried();
        if carried.heirs.contains_key(export) {
            self.carry(&mut carried);
            carried.heirs.remove(export);
        }
    }

    /// Replays that an export took up and did not bring to an end are dead letters as before.
    pub fn replays_given_up(&self, export: &str, letters: u64) {
        let series = format!("{}{{export=\"{export}\"}}", super::table::REPLAYED.name);
        *self.carried().shifts.entry(series).or_default() -= letters as f64;
    }

    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut carried = self.carried();
        let page = self.carry(&mut carried);
        if carried.heirs.is_empty() && carried.shifts.is_empty() {
            return page;
        }
        let mut shown = String::with_capacity(page.len());
        for line in page.split_inclusive('\n') {
            match Shown::read(line) {
                Some(series) if carried.is_hidden(&series) => {}
                Some(series) if carried.shifts.contains_key(series.series) => {
                    let _ = writeln!(shown, "{} {}", series.series, carried.value(&series));
                }
                _ => shown.push_str(line),
            }
        }
        shown
    }

    /// Carries over what exports counted under their old names; returns the page after that.
    fn carry(&self, carried: &mut Carried) -> String {
        let mut page = self.render_all();
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for shown in page.lines().filter_map(Shown::read) {
                let heir = carried.heirs.iter().find(|(from, _)| shown.is_of(from));
                let Some((from, to)) = heir.map(|(from, to)| (from.clone(), to.clone())) else {
                    continue;
                };
                let value = carried.value(&shown);
                if value != 0.0 && self.add(carried, &shown, &from, &to, value) {
                    *carried.shifts.entry(shown.series.to_owned()).or_default() -= value;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
            page = self.render_all();
        }
        page
    }

    /// Adds to a series under its new name; whether it is one that adds up.
    fn add(
        &self,
        carried: &mut Carried,
        shown: &Shown<'_>,
        from: &str,
        to: &str,
        value: f64,
    ) -> bool {
        let name = shown.name();
        let of = |metric: &&super::Metric| match metric.kind {
            Kind::Histogram(_) => {
                let part = name.strip_prefix(metric.name).unwrap_or("none");
                matches!(part, "_bucket" | "_sum" | "_count")
            }
            Kind::Counter | Kind::Gauge => metric.name == name,
        };
        let Some(metric) = TABLE.iter().find(of) else { return false };
        match metric.kind {
            Kind::Gauge => return false,
            Kind::Histogram(_) => {
                let old = format!("export=\"{from}\"");
                let series = shown.series.replace(&old, &format!("export=\"{to}\""));
                *carried.shifts.entry(series).or_default() += value;
            }
            Kind::Counter
                if [&super::table::RATE_LIMIT_WAIT, &super::table::BLOCKED]
                    .iter()
                    .any(|seconds| seconds.name == name) =>
            {
                // A Duration is never negative.
                self.seconds(metric, to).add(Duration::from_secs_f64(value.max(0.0)));
            }
            Kind::Counter => {
                let label = |(label, value): (&str, &str)| {
                    let value = if label == "export" { to } else { value };
                    Label::new(label.to_owned(), value.to_owned())
                };
                let labels: Vec<Label> = shown.labels().map(label).collect();
                let key = Key::from_parts(metric.name, labels);
                self.recorder.register_counter(&key, &METADATA).increment(value as u64);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::AttemptOutcome;
    use super::*;
    use crate::retry::Reason;

    fn shows(metrics: &Metrics, series: &str, value: f64) {
        let page = metrics.render();
        let line = page.lines().find(|line| line.starts_with(&format!("postrider_{series} ")));
        let found = line.and_then(Shown::read).map(|shown| shown.value);
        assert_eq!(found, Some(value), "{series}\n{page}");
    }

    #[test]
    fn counters_go_on_under_the_new_name() {
        let metrics = Metrics::new("");
        let old = metrics.export("old", 1);
        old.routed(2, 5);
        old.delivered(1, Duration::from_secs(1));
        old.dead_lettered(Reason::Rejected);
        old.attempted(AttemptOutcome::Delivered, Some(204), Duration::from_secs(1));
        old.blocked(Duration::from_millis(1500));
        let new = metrics.export("new", 1);
        new.routed(0, 1);
        metrics.renamed("old", "new");
        // What was under way.
        old.delivered(1, Duration::from_secs(1));
        new.delivered(1, Duration::from_secs(1));
        let all = [
            ("events_routed_total{export=\"new\"}", 6.0),
            ("events_filtered_total{export=\"new\"}", 2.0),
            ("events_delivered_total{export=\"new\"}", 3.0),
            ("events_dead_lettered_total{export=\"new\",reason=\"rejected\"}", 1.0),
            ("attempts_total{export=\"new\",outcome=\"delivered\",code=\"204\"}", 1.0),
            ("delivery_latency_seconds_count{export=\"new\"}", 3.0),
            ("delivery_latency_seconds_sum{export=\"new\"}", 3.0),
            ("blocked_seconds_total{export=\"new\"}", 1.5),
        ];
        for _ in 0..2 {
            all.iter().for_each(|(series, value)| shows(&metrics, series, *value));
            assert!(!metrics.render().contains("export=\"old\""), "{}", metrics.render());
        }
    }

    #[test]
    fn a_name_that_is_used_again_starts_at_0_and_comes_back_with_all() {
        let metrics = Metrics::new("");
        metrics.export("a", 1).routed(0, 5);
        metrics.export("b", 1).routed(0, 1);
        metrics.renamed("a", "b");
        let again = metrics.export("a", 1);
        shows(&metrics, "events_routed_total{export=\"a\"}", 0.0);
        again.routed(0, 2);
        shows(&metrics, "events_routed_total{export=\"a\"}", 2.0);
        shows(&metrics, "events_routed_total{export=\"b\"}", 6.0);
        metrics.renamed("b", "a");
        shows(&metrics, "events_routed_total{export=\"a\"}", 8.0);
        assert!(!metrics.render().contains("export=\"b\""));
        again.replayed(3);
        metrics.replays_given_up("a", 1);
        shows(&metrics, "events_replayed_total{export=\"a\"}", 2.0);
    }
}
