//! Exports at work, with a scripted sink, a real store, and time that is paused: it passes only
//! while everything waits.

mod batch;
mod batch_parts;
mod ending;
mod endpoints;
mod gather;
mod overflow;
mod poison;
mod rate;
mod replays;
mod room;
mod standing;
mod stored;
mod strict;

use super::*;
use crate::ack::{AckTracker, Settled, TakenLine};
use crate::config::{ConsoleStream, Destination, RateLimit};
use crate::delivery::{Claim, Failure, Outcome};
use crate::event::{Origin, Position, Record, StreamId};
use crate::filter::Filter;
use crate::retry::{OnGone, Policy, Reply, RetrySchedule, StatusSet};
use crate::schema::Schema;
use crate::sink::Sink;
use crate::store::{Order, Reader, Selection, StoreOptions};
use crate::trouble::Trouble;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use tempfile::TempDir;

type Answers = Box<dyn Fn(&str, u32) -> Outcome + Send + Sync>;

/// What a scripted sink does, and what it saw: when, which event, which attempt.
struct Script {
    answers: Answers,
    takes: Duration,
    seen: Mutex<Vec<(f64, String, u32)>>,
    start: Instant,
}

struct ScriptedSink(Arc<Script>);

impl Sink for ScriptedSink {
    fn endpoint(&self, delivery: &Delivery) -> Result<Option<Box<str>>, Outcome> {
        // `x@y` goes to endpoint y, anything else to the only one.
        Ok(delivery.event.audit_id.split_once('@').map(|(_, endpoint)| endpoint.into()))
    }

    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        for delivery in deliveries {
            let (id, attempt) = (delivery.event.audit_id.to_string(), delivery.tries.sent + 1);
            let at = self.0.start.elapsed().as_secs_f64();
            self.0.seen.lock().unwrap().push((at, id.clone(), attempt));
            tokio::time::sleep(self.0.takes).await;
            outcomes.push((self.0.answers)(&id, attempt));
        }
    }
}

struct Bench {
    export: Arc<Export>,
    script: Arc<Script>,
    store: Store,
    tracker: Arc<AckTracker>,
    folder: TempDir,
    next: std::cell::Cell<u64>,
}

fn status(code: u16, retry_after: Option<u64>) -> Outcome {
    Outcome::Failed(Box::new(Failure {
        reply: Reply::Status {
            code,
            retry_after: retry_after.map(Duration::from_secs),
            told: None,
        },
        trouble: Trouble::of_status(code),
        error: format!("HTTP {code}"),
        response: None,
        took: None,
    }))
}

fn config(change: impl FnOnce(&mut config::Export)) -> config::Export {
    let seconds = |list: &[u64]| list.iter().map(|s| Duration::from_secs(*s)).collect();
    let mut config = config::Export {
        name: "a".into(),
        destination: Destination::Console(ConsoleStream::Stdout),
        body: Default::default(),
        batch: None,
        format: config::BodyFormat::Json,
        filter: Filter::default(),
        redaction: None,
        retry: Policy {
            max_attempts: NonZeroU32::new(5).unwrap(),
            schedule: RetrySchedule::new(seconds(&[1, 2, 4, 8, 16]), 0.0).unwrap(),
            retry_on: StatusSet::parse(["429", "5xx"]).unwrap(),
            max_retry_after: Duration::from_secs(3600),
            max_elapsed: None,
            on_gone: OnGone::Pause,
        },
        rate_limit: None,
        queue: config::Queue { memory_bytes: 1 << 20, ..config::Queue::default() },
        strict: false,
        breaker: None,
        fallback: None,
        former_names: Vec::new(),
        digest: config::Digest::default(),
        target: config::Digest::default(),
    };
    change(&mut config);
    config
}

impl Bench {
    fn new(
        slots: usize,
        takes: Duration,
        change: impl FnOnce(&mut config::Export),
        answers: impl Fn(&str, u32) -> Outcome + Send + Sync + 'static,
    ) -> Bench {
        Bench::within(tempfile::tempdir().unwrap(), slots, takes, change, answers)
    }

    fn within(
        folder: TempDir,
        slots: usize,
        takes: Duration,
        change: impl FnOnce(&mut config::Export),
        answers: impl Fn(&str, u32) -> Outcome + Send + Sync + 'static,
    ) -> Bench {
        let script = Arc::new(Script {
            answers: Box::new(answers),
            takes,
            seen: Mutex::default(),
            start: Instant::now(),
        });
        let (sink, width) = (Arc::clone(&script), Width { slots, batch: 1 });
        Bench::at_work(folder, width, &config(change), script, move || {
            ScriptedSink(Arc::clone(&sink))
        })
    }

    fn at_work<S: Sink>(
        folder: TempDir,
        width: Width,
        config: &config::Export,
        script: Arc<Script>,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Bench {
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let metrics = Metrics::new("");
        let settings = Settings::new(config, width, open);
        let poison = Arc::new(Poison::open(folder.path()).unwrap());
        let (address, spent) = (String::new(), Arc::default());
        let export = Export::new(config, address, settings, store.clone(), poison, spent, &metrics);
        let tracker = AckTracker::new(&Settled::default(), Arc::default());
        Bench { export, script, store, tracker, folder, next: std::cell::Cell::new(0) }
    }

    /// An export of the same name and the same receiver, over the same store.
    fn heir(&self, change: impl FnOnce(&mut config::Export)) -> Arc<Export> {
        let config = config(change);
        let sink = Arc::clone(&self.script);
        let open = move || ScriptedSink(Arc::clone(&sink));
        let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, open);
        let poison = Arc::clone(&self.export.poison);
        let (store, spent, metrics) = (self.store.clone(), Arc::default(), Metrics::new(""));
        Export::new(&config, String::new(), settings, store, poison, spent, &metrics)
    }

    /// A delivery of an event with this id.
    fn delivery(&self, id: &str) -> Delivery {
        let line = format!("{{\"audit_id\":\"{id}\"}}");
        let (json, envelope) = Schema::default().read(&line).unwrap();
        let offset = self.next.replace(self.next.get() + 1);
        let position = Position { stream: StreamId::from_bytes([1; 16]), offset, index: 0 };
        let source = "s".into();
        let origin = Origin { source: &source, position, accepted_at: Timestamp::now() };
        let event = Arc::clone(Record::new(json, envelope, origin).event());
        let taken = [TakenLine { start: offset, end: offset + 1, takers: 1 }];
        Delivery::new("a", event, self.tracker.enter(offset, offset + 1, &taken).ack(0), false)
    }

    async fn push(&self, ids: &[&str]) {
        let deliveries = ids.iter().map(|id| self.delivery(id)).collect();
        self.push_from(deliveries, true, false).await;
    }

    /// Pushes deliveries of a source that can wait or not, while another export of the same source
    /// has room or not.
    async fn push_from(&self, deliveries: Vec<Delivery>, can_wait: bool, others_wait: bool) {
        self.export.push(deliveries, Entrant::Source { can_wait }, || others_wait).await;
    }

    async fn until_empty(&self) {
        loop {
            let settled = self.export.on_settled();
            if self.export.is_empty() {
                return;
            }
            settled.await;
        }
    }

    fn seen(&self) -> Vec<(f64, String, u32)> {
        let seen = self.script.seen.lock().unwrap();
        seen.iter()
            .map(|(at, id, attempt)| ((at * 1e3).round() / 1e3, id.clone(), *attempt))
            .collect()
    }

    fn order(&self) -> Vec<String> {
        self.seen().into_iter().map(|(_, id, _)| id).collect()
    }

    fn letters(&self) -> Vec<crate::store::StoredLetter> {
        let reader = Reader::open(self.folder.path()).unwrap();
        reader.letters(&Selection::default(), Order::OldestFirst, None, 100).unwrap().items
    }
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn attempts_follow_the_schedule_to_the_dead_letter() {
    let bench = Bench::new(8, NOW, |_| (), |_, _| status(503, None));
    bench.push(&["x"]).await;
    bench.until_empty().await;
    let times: Vec<_> = bench.seen().iter().map(|(at, _, attempt)| (*at, *attempt)).collect();
    assert_eq!(times, [(0.0, 1), (1.0, 2), (3.0, 3), (7.0, 4), (15.0, 5)]);
    let letters = bench.letters();
    assert_eq!((letters.len(), letters[0].attempts, letters[0].last_status), (1, 5, Some(503)));
    assert_eq!(letters[0].reason, Reason::RetriesExhausted);
    assert_eq!(bench.tracker.open_lines(), 0, "settled once it was written down");
    assert_eq!(bench.store.outbox_after(0, 9).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_holds_all_events_and_uses_up_no_attempt() {
    let bench = Bench::new(
        1,
        NOW,
        |_| (),
        |id, attempt| match (id, attempt) {
            ("a", 1) => status(429, Some(3)),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["a", "b", "c"]).await;
    bench.until_empty().await;
    let seen = bench.seen();
    assert_eq!(seen[0], (0.0, "a".to_owned(), 1));
    assert_eq!(seen[1], (3.0, "a".to_owned(), 2), "it goes first when the hold is over");
    assert!(seen[2..].iter().all(|(at, ..)| *at == 3.0), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_one_request_and_only_its_success_lets_the_others_go() {
    let takes = Duration::from_millis(100);
    let bench = Bench::new(
        4,
        takes,
        |_| (),
        |id, attempt| match (id, attempt) {
            ("a", 1) => status(503, Some(2)),
            ("a", 2) => status(429, Some(5)),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["a"]).await;
    while bench.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(takes * 2).await;
    bench.push(&["b", "c"]).await;
    bench.until_empty().await;
    let times: Vec<_> = bench.seen().into_iter().map(|(at, id, _)| (at, id)).collect();
    let expected = [(0.0, "a"), (2.1, "a"), (7.2, "a"), (7.3, "b"), (7.3, "c")];
    assert_eq!(times, expected.map(|(at, id)| (at, id.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_held_endpoint_leaves_the_others_alone() {
    let bench = Bench::new(
        2,
        NOW,
        |_| (),
        |id, attempt| match (id, attempt) {
            ("1@bad", 1) => status(429, Some(9)),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["1@bad", "2@good"]).await;
    bench.push(&["3@bad", "4@good", "5@bad", "6@good"]).await;
    bench.until_empty().await;
    let at = |second: f64| -> BTreeSet<String> {
        bench.seen().into_iter().filter(|(at, ..)| *at == second).map(|(_, id, _)| id).collect()
    };
    assert_eq!(at(9.0), ["1@bad", "3@bad", "5@bad"].map(str::to_owned).into());
    assert!(
        at(0.0).is_superset(&["2@good", "4@good", "6@good"].map(str::to_owned).into()),
        "{:?}",
        bench.seen()
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_retries_hold_no_slot() {
    let bench = Bench::new(
        1,
        NOW,
        |_| (),
        |id, attempt| match (id, attempt) {
            ("bad", 1..=3) => status(500, None),
            _ => Outcome::Delivered(Some(200)),
        },
    );
    bench.push(&["bad", "b", "c"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["bad", "b", "c", "bad", "bad", "bad"]);
    assert_eq!(bench.seen()[2].0, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_its_source_back() {
    let bounds =
        config::Queue { memory_events: 2, memory_bytes: 1 << 20, ..config::Queue::default() };
    let takes = Duration::from_secs(1);
    let bench =
        Bench::new(1, takes, |config| config.queue = bounds, |_, _| Outcome::Delivered(None));
    bench.push(&["a", "b", "c", "d"]).await;
    assert_eq!(
        bench.script.start.elapsed(),
        takes * 2,
        "the last went in when the second was settled"
    );
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_the_queue_still_goes() {
    let bounds = config::Queue { memory_events: 10, memory_bytes: 8, ..config::Queue::default() };
    let bench = Bench::new(2, NOW, |config| config.queue = bounds, |_, _| Outcome::Delivered(None));
    bench.push(&["large", "larger"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["large", "larger"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_panicking_slot_held_is_delivered_by_another() {
    let bench = Bench::new(
        1,
        NOW,
        |_| (),
        |id, attempt| {
            static PANICS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            if id == "a" && attempt == 1 && PANICS.fetch_add(1, Ordering::Relaxed) < 2 {
                panic!("scripted");
            }
            Outcome::Delivered(None)
        },
    );
    bench.push(&["a", "b"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "a", "a", "b"]);
    assert_eq!(bench.tracker.open_lines(), 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_returns_everything_unsettled_with_its_due_time() {
    let hangs = Duration::from_secs(1_000);
    let bench = Bench::new(2, NOW, |_| (), |_, _| status(503, None));
    bench.push(&["retry"]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let hanging = Bench::new(1, hangs, |_| (), |_, _| Outcome::Delivered(None));
    hanging.push(&["flight", "queued"]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let ids = |left: &[Left]| -> Vec<_> {
        left.iter()
            .map(|left| (left.delivery.event.audit_id.to_string(), left.due.is_some()))
            .collect()
    };
    assert_eq!(ids(&bench.export.stop().await), [("retry".to_owned(), true)]);
    assert_eq!(
        ids(&hanging.export.stop().await),
        [("flight".to_owned(), false), ("queued".to_owned(), false)]
    );
    assert!(hanging.export.is_empty());
}

#[tokio::test(start_paused = true)]
async fn replays_get_at_most_every_fourth_place_while_others_wait() {
    let bench = Bench::new(1, Duration::from_secs(1), |_| (), |_, _| Outcome::Delivered(None));
    let replay = |id| Delivery { claim: Claim::Replay(1), ..bench.delivery(id) };
    bench.push(&["x", "1", "2", "3", "4", "5", "6"]).await;
    bench.export.replay(vec![replay("r1"), replay("r2"), replay("r3")]);
    bench.until_empty().await;
    let order = bench.order();
    for places in order[..8].windows(4) {
        assert!(places.iter().filter(|id| id.starts_with('r')).count() <= 1, "{order:?}");
    }
    assert_eq!(order.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn retries_that_fail_fast_do_not_keep_the_queue_out() {
    let always_due = RetrySchedule::new(vec![NOW], 0.0).unwrap();
    let bench = Bench::new(
        1,
        Duration::from_millis(1),
        |config| {
            config.retry.schedule = always_due;
            config.retry.max_attempts = NonZeroU32::MAX;
        },
        |id, _| if id == "good" { Outcome::Delivered(None) } else { status(503, None) },
    );
    bench.push(&["1", "2", "good"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(bench.order().contains(&"good".to_owned()), "{:?}", bench.order());
}

#[tokio::test(start_paused = true)]
async fn an_idle_export_has_no_task() {
    let bench = Bench::new(8, NOW, |_| (), |_, _| Outcome::Delivered(None));
    let tasks = || {
        let mut tasks = bench.export.tasks.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        tasks.len()
    };
    assert_eq!(tasks(), 0);
    bench.push(&["a", "b"]).await;
    bench.until_empty().await;
    assert!(tasks() > 0);
    tokio::time::sleep(SLOT_IDLE * 2).await;
    assert_eq!(tasks(), 0);
    bench.push(&["c"]).await;
    bench.until_empty().await;
    assert_eq!(bench.order(), ["a", "b", "c"]);
}
