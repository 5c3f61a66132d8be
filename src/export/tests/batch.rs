//! When batches go, what goes together, and what of it goes together again. What goes apart stands
//! in `batch_parts`.

use super::*;
use crate::config::{Batch, BatchBounds, Encoding};
use crate::sink::Key;

/// What the receiver does with a request of these events, the so-many-th.
type Reactions = Box<dyn Fn(&[String], usize) -> u16 + Send + Sync>;

/// What a scripted batch sink does, and the requests it saw: when, with which events.
pub(super) struct Bundles {
    reacts: Reactions,
    takes: Duration,
    /// It never puts more into one request.
    pub(super) most: usize,
    seen: Mutex<Vec<(f64, Vec<String>)>>,
    start: Instant,
}

pub(super) struct BundleSink(Arc<Bundles>);

fn place(delivery: &Delivery) -> Option<&str> {
    delivery.event.audit_id.split_once('@').map(|(_, place)| place)
}

impl Sink for BundleSink {
    fn endpoint(&self, delivery: &Delivery) -> Result<Option<Box<str>>, Outcome> {
        Ok(place(delivery).map(Into::into))
    }

    fn key(&self, delivery: &Delivery) -> Result<Option<Key>, Outcome> {
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(place(delivery).unwrap_or_default().bytes()) {
            *to = from;
        }
        Ok(Some(key))
    }

    fn is_batch(&self) -> bool {
        true
    }

    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        let deliveries = &deliveries[..deliveries.len().min(self.0.most)];
        let ids: Vec<_> = deliveries.iter().map(|d| d.event.audit_id.to_string()).collect();
        let places: BTreeSet<_> = deliveries.iter().map(place).collect();
        assert_eq!(places.len(), 1, "they go to one place: {ids:?}");
        let number = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.push((self.0.start.elapsed().as_secs_f64(), ids.clone()));
            seen.len() - 1
        };
        tokio::time::sleep(self.0.takes).await;
        let outcome = match (self.0.reacts)(&ids, number) {
            200 => Outcome::Delivered(Some(200)),
            429 => status(429, Some(2)),
            code => status(code, None),
        };
        outcomes.extend(deliveries.iter().map(|_| outcome.clone()));
    }
}

/// An export with batches at work.
pub(super) struct BatchBench {
    pub(super) bench: Bench,
    pub(super) bundles: Arc<Bundles>,
    pub(super) config: config::Export,
}

pub(super) fn bounds(max_events: usize, max_wait: u64) -> BatchBounds {
    let max_wait = Duration::from_secs(max_wait);
    BatchBounds { max_events, max_bytes: 1 << 20, max_wait, sorted: false }
}

fn batch(bounds: BatchBounds) -> Option<Batch> {
    Some(Batch { bounds, encoding: Encoding::Ndjson, template: None })
}

impl BatchBench {
    pub(super) fn new(
        slots: usize,
        bounds: BatchBounds,
        change: impl FnOnce(&mut config::Export),
        reacts: impl Fn(&[String], usize) -> u16 + Send + Sync + 'static,
    ) -> BatchBench {
        BatchBench::with(slots, bounds, change, usize::MAX, NOW, reacts)
    }

    pub(super) fn with(
        slots: usize,
        bounds: BatchBounds,
        change: impl FnOnce(&mut config::Export),
        most: usize,
        takes: Duration,
        reacts: impl Fn(&[String], usize) -> u16 + Send + Sync + 'static,
    ) -> BatchBench {
        let mut config = config(change);
        config.batch = batch(bounds);
        let start = Instant::now();
        let (reacts, seen) = (Box::new(reacts), Mutex::default());
        let bundles = Arc::new(Bundles { reacts, takes, most, seen, start });
        let width = Width { slots, batch: bounds.max_events };
        let sink = Arc::clone(&bundles);
        let open = move || BundleSink(Arc::clone(&sink));
        let answers: Answers = Box::new(|_, _| Outcome::Delivered(None));
        let script = Script { answers, takes: NOW, seen: Mutex::default(), start };
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::at_work(folder, width, &config, Arc::new(script), open);
        BatchBench { bench, bundles, config }
    }

    /// What was seen so far: the second, and the events of each request.
    pub(super) fn seen(&self) -> Vec<(u64, String)> {
        let seen = self.bundles.seen.lock().unwrap();
        seen.iter().map(|(at, ids)| (at.round() as u64, ids.join(" "))).collect()
    }

    /// The same, and after it everything is settled.
    pub(super) async fn all(&self) -> Vec<(u64, String)> {
        self.bench.until_empty().await;
        assert_eq!(self.bench.tracker.open_lines(), 0);
        self.seen()
    }

    pub(super) async fn push(&self, ids: &str) {
        self.bench.push(&ids.split(' ').collect::<Vec<_>>()).await;
    }
}

fn rows(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(at, ids)| (*at, (*ids).to_owned())).collect()
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_has_waited_long_enough() {
    let by_count = BatchBench::new(4, bounds(3, 5), |_| (), |_, _| 200);
    by_count.push("a b c d e f g").await;
    assert_eq!(by_count.all().await, rows(&[(0, "a b c"), (0, "d e f"), (5, "g")]));

    // Texts of 16 bytes: two of them fit.
    let narrow = BatchBounds { max_bytes: 40, ..bounds(100, 5) };
    let by_bytes = BatchBench::new(4, narrow, |_| (), |_, _| 200);
    by_bytes.push("a b c d e").await;
    by_bytes.push("much-longer-than-a-batch").await;
    let expected = [(0, "a b"), (0, "c d"), (0, "e"), (5, "much-longer-than-a-batch")];
    assert_eq!(by_bytes.all().await, rows(&expected));
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_no_longer_though_a_slot_is_busy_and_others_come() {
    let takes = Duration::from_secs(60);
    let bench = BatchBench::with(3, bounds(3, 5), |_| (), usize::MAX, takes, |_, _| 200);
    bench.push("a b c").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.push("d").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    bench.push("e").await;
    assert_eq!(bench.all().await, rows(&[(0, "a b c"), (15, "d e")]));
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_no_longer_though_slots_have_found_nothing_before() {
    for slots in [1, 3] {
        let bench = BatchBench::new(slots, bounds(100, 5), |_| (), |_, _| 200);
        for at in [0, 10, 20] {
            bench.push(&format!("a{at}")).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(bench.all().await, rows(&[(5, "a0"), (15, "a10"), (25, "a20")]), "{slots}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_leaves_waits_no_longer_than_it_may() {
    let takes = Duration::from_secs(60);
    let bench = BatchBench::with(2, bounds(3, 5), |_| (), usize::MAX, takes, |_, _| 200);
    bench.push("a b c d").await;
    assert_eq!(bench.all().await, rows(&[(0, "a b c"), (5, "d")]));
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_what_cannot_come() {
    const LONG: u64 = 3600;
    // No more finds room: what there is goes.
    let few = |config: &mut config::Export| config.queue.memory_events = 4;
    let full = BatchBench::new(1, bounds(100, LONG), few, |_, _| 200);
    full.push("a b c d e f").await;
    assert_eq!(full.seen(), rows(&[(0, "a b c d")]));
    // Nothing comes any more: all goes.
    full.bench.export.lift_barriers();
    assert_eq!(full.all().await, rows(&[(0, "a b c d"), (0, "e f")]));

    let stopped = BatchBench::new(1, bounds(100, LONG), |_| (), |_, _| 200);
    stopped.push("a b").await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(stopped.seen(), []);
    stopped.bench.export.lift_bounds();
    assert_eq!(stopped.all().await, rows(&[(0, "a b")]));
}

#[tokio::test(start_paused = true)]
async fn what_failed_together_goes_together_again_and_alone() {
    for (code, again) in [(503, 1), (429, 2)] {
        let spread = |config: &mut config::Export| {
            config.retry.schedule = RetrySchedule::new(vec![Duration::from_secs(1)], 0.3).unwrap();
        };
        let answers = move |_: &[String], number| if number == 0 { code } else { 200 };
        let bench = BatchBench::new(1, bounds(4, 3), spread, answers);
        bench.push("a b c d").await;
        tokio::time::sleep(MOMENT).await;
        bench.push("e").await;
        assert_eq!(bench.all().await, rows(&[(0, "a b c d"), (again, "a b c d"), (3, "e")]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_counts_once_against_its_endpoint() {
    let breaker = config::Breaker {
        failures: NonZeroU32::new(2).unwrap(),
        probe_after: vec![Duration::from_secs(100)],
    };
    let bench = BatchBench::new(
        1,
        bounds(3, 0),
        |config| config.breaker = Some(breaker),
        |_, number| if number < 2 { 503 } else { 200 },
    );
    bench.push("a b c").await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(bench.bench.export.standing().state, ExportState::Up);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(bench.bench.export.standing().state, ExportState::Open);
    assert_eq!(bench.all().await, rows(&[(0, "a b c"), (1, "a b c"), (3, "a b c")]));
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_once_against_the_rate_limit() {
    let limit = RateLimit { requests: NonZeroU32::MIN, per: Duration::from_secs(10) };
    let limited = |config: &mut config::Export| config.rate_limit = Some(limit);
    let bench = BatchBench::new(4, bounds(2, 0), limited, |_, number| [200, 413][number % 2]);
    bench.push("a b c d").await;
    let expected = [(0, "a b"), (10, "c d"), (20, "c"), (30, "d")];
    assert_eq!(bench.all().await, rows(&expected));
    assert_eq!(bench.bench.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_one_request_cannot_hold_goes_in_the_next() {
    let bench = BatchBench::with(1, bounds(5, 0), |_| (), 2, NOW, |_, _| 200);
    bench.push("a b c d e").await;
    assert_eq!(bench.all().await, rows(&[(0, "a b"), (0, "c d"), (0, "e")]));
}

#[tokio::test(start_paused = true)]
async fn in_strict_order_nothing_overtakes_whatever_becomes_of_a_batch() {
    let strict = |config: &mut config::Export| {
        config.strict = true;
        config.retry.max_attempts = NonZeroU32::new(50).unwrap();
    };
    let answers = |ids: &[String], number: usize| match number {
        2 | 5 => 503,
        4 | 6..=18 => 429,
        _ if ids.contains(&"e".to_owned()) && ids.len() > 1 => 422,
        _ => 200,
    };
    let bench = BatchBench::new(4, bounds(4, 0), strict, answers);
    bench.push("a b c d e f g h i j k").await;
    bench.push("l m@x n@x o p@y q").await;
    let mut last = ' ';
    for (_, ids) in bench.all().await {
        let first = ids.chars().next().unwrap();
        assert!(first >= last, "{ids} after {last}: {:?}", bench.seen());
        let letters: Vec<_> = ids.split(' ').map(|id| &id[..1]).collect();
        assert!(letters.is_sorted(), "{ids}");
        last = first;
    }
    assert_eq!(last, 'q');
}

#[tokio::test(start_paused = true)]
async fn a_reload_without_batches_lets_go_what_was_put_together() {
    let apart = BatchBounds { sorted: true, ..bounds(10, 3600) };
    let bench = BatchBench::new(1, apart, |_| (), |_, _| 200);
    bench.push("a@1 b@2 c@1").await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(bench.seen(), []);
    let config = config::Export { batch: None, ..bench.config.clone() };
    let sink = Arc::clone(&bench.bundles);
    let settings =
        Settings::new(&config, Width { slots: 1, batch: 1 }, move || BundleSink(Arc::clone(&sink)));
    bench.bench.export.configure(&config, String::new(), settings);
    assert_eq!(bench.all().await, rows(&[(0, "a@1"), (0, "c@1"), (0, "b@2")]));
}

#[tokio::test(start_paused = true)]
async fn stopping_finds_what_fills_up_and_what_goes_in_parts() {
    let apart = BatchBounds { sorted: true, ..bounds(4, 3600) };
    let takes = Duration::from_secs(1);
    let bench = BatchBench::with(1, apart, |_| (), usize::MAX, takes, |_, _| 413);
    bench.push("a@1 b@1 c@1 d@1 e@2 f@3").await;
    tokio::time::sleep(takes + takes / 2).await;
    // One half is in flight, the other waits for its turn, two batches fill up.
    let pending = bench.bench.export.board.pending(Timestamp::now());
    assert_eq!((pending.flight, pending.memory), (2, 4));
    let left = bench.bench.export.stop().await;
    let ids: BTreeSet<_> = left.iter().map(|left| left.delivery.event.audit_id.clone()).collect();
    assert_eq!((left.len(), ids.len()), (6, 6));
    assert!(bench.bench.export.is_empty());
}
