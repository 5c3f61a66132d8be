//! The metrics page as a test reads it, and the law that it must obey.

use std::collections::{BTreeMap, BTreeSet};

/// A metrics page.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// By name, without `postrider_`. A page of many exports is searched often while a test waits.
    series: BTreeMap<String, Vec<Series>>,
}

#[derive(Debug, Clone)]
struct Series {
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads a page in the Prometheus text format.
    pub(crate) fn read(text: &str) -> Metrics {
        let mut series = BTreeMap::<String, Vec<Series>>::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, found) = Series::read(line);
            series.entry(name.to_owned()).or_default().push(found);
        }
        Metrics { series }
    }

    /// The sum of all series of that name (without `postrider_`) that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|series| series.value).sum()
    }

    /// The value of one series, which must be there and be the only one.
    pub(crate) fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.find(name, labels).collect();
        assert_eq!(found.len(), 1, "series {name} {labels:?}: {found:?}");
        found[0].value
    }

    /// The values of a label over all series of that name.
    pub(crate) fn label_values<'a>(&'a self, name: &'a str, label: &str) -> BTreeSet<&'a str> {
        self.find(name, &[]).filter_map(|series| Some(&**series.labels.get(label)?)).collect()
    }

    /// Events that sources of the configuration took in.
    pub(crate) fn received(&self) -> f64 {
        self.sum("events_received_total", &[])
            - self.sum("events_received_total", &[("source", "internal")])
    }

    fn find<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Series> {
        let fits = |series: &Series| {
            labels.iter().all(|(name, value)| series.labels.get(*name).is_some_and(|v| v == value))
        };
        self.series.get(name).into_iter().flatten().filter(move |series| fits(series))
    }
}

impl Series {
    /// A series and its name.
    fn read(line: &str) -> (&str, Series) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = name.strip_prefix("postrider_").unwrap_or(name);
        // Values come from the configuration, and no test's names hold quotes or commas.
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("label: {line}"));
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        (name, Series { labels: labels.collect(), value })
    }
}

/// The conservation law, from a metrics page alone. Says what does not add up.
///
/// received = malformed + accepted; for each export accepted = filtered + routed, and
/// routed + restored + replayed = delivered + dead-lettered + dropped + pending.
pub(crate) fn conservation(page: &str) -> Result<Metrics, String> {
    let metrics = flow(page)?;
    let sum = |name: &str| metrics.sum(name, &[]);
    let accepted = sum("events_received_total") - sum("events_malformed_total");
    for export in metrics.label_values("events_routed_total", "export") {
        let of = |name: &str| metrics.sum(name, &[("export", export)]);
        let (filtered, routed) = (of("events_filtered_total"), of("events_routed_total"));
        if accepted != filtered + routed {
            return Err(format!(
                "{export}: accepted {accepted} ≠ filtered {filtered} + routed {routed}"
            ));
        }
    }
    Ok(metrics)
}

/// The part of the law that holds for exports too that were not there from start to end: what came
/// in went out or waits.
pub(crate) fn flow(page: &str) -> Result<Metrics, String> {
    let metrics = Metrics::read(page);
    let exports = metrics.label_values("events_routed_total", "export");
    if exports.is_empty() {
        return Err("no export is on the page".to_owned());
    }
    for export in exports {
        let of = |name: &str| metrics.sum(name, &[("export", export)]);
        let routed = of("events_routed_total");
        let (restored, replayed) = (of("events_restored_total"), of("events_replayed_total"));
        let (delivered, dead) = (of("events_delivered_total"), of("events_dead_lettered_total"));
        let (dropped, pending) = (of("events_dropped_total"), of("events_pending"));
        if routed + restored + replayed != delivered + dead + dropped + pending {
            return Err(format!(
                "{export}: routed {routed} + restored {restored} + replayed {replayed} ≠ \
                 delivered {delivered} + dead-lettered {dead} + dropped {dropped} + pending {pending}"
            ));
        }
    }
    Ok(metrics)
}
