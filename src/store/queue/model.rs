//! Random orders of keeping, rescheduling, settling, reading and crashing, held against a model:
//! no event is lost, none comes back after its end was committed, the order stays, and the totals
//! are what counting would say.

use super::super::chunk::Kept;
use super::super::testing::{self, Bench, START_MS, kept};
use super::super::{Fallback, Replaces, Store};
use super::*;
use crate::delivery::Claim;
use proptest::prelude::*;
use std::collections::BTreeMap;

const EXPORT: &str = "alerts";

/// Something that changes the queue; the numbers choose one of the events that there are.
#[derive(Debug, Clone)]
enum Step {
    /// So many events, of which each that is chosen by the second number is due at the third.
    Keep(usize, usize, i64),
    KeepAgain(usize, Option<i64>),
    Settle(usize),
    SettleMany(usize, usize),
    Reschedule(usize, i64),
    /// Of an event that has been settled.
    RescheduleLate(usize, i64),
    Bury(usize),
    FallBack,
    Read(usize, usize),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<usize>;
    let due = || 0i64..20;
    prop_oneof![
        4 => (1usize..600, 1usize..9, due()).prop_map(|(n, each, due)| Step::Keep(n, each, due)),
        2 => (n(), prop::option::of(due())).prop_map(|(n, due)| Step::KeepAgain(n, due)),
        4 => n().prop_map(Step::Settle),
        3 => (n(), 1usize..300).prop_map(|(n, many)| Step::SettleMany(n, many)),
        6 => (n(), due()).prop_map(|(n, due)| Step::Reschedule(n, due)),
        2 => (n(), due()).prop_map(|(n, due)| Step::RescheduleLate(n, due)),
        1 => n().prop_map(Step::Bury),
        1 => Just(Step::FallBack),
        2 => (1usize..300, 1usize..20_000).prop_map(|(events, bytes)| Step::Read(events, bytes)),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

/// The unsettled events: which one it is, and how often it was tried.
type Events = BTreeMap<RowId, (u64, u32)>;

struct Model {
    bench: Bench,
    store: Store,
    events: Events,
    /// As they were after each step since the last commit that was waited for.
    possible: Vec<Events>,
    ended: Vec<RowId>,
    next: u64,
}

impl Model {
    fn new() -> Self {
        let bench = Bench::new();
        let store = bench.open();
        let events = Events::new();
        Model { bench, store, events, possible: Vec::new(), ended: Vec::new(), next: 0 }
    }

    fn chosen(&self, n: usize) -> Option<RowId> {
        self.events.keys().nth(n % self.events.len().max(1)).copied()
    }

    fn kept(&self, row: RowId, due: Option<i64>) -> Kept {
        let (n, used) = self.events.get(&row).copied().unwrap_or((u64::MAX, 0));
        let due = due.map(|due| testing::time(START_MS + due));
        let mut kept = Kept { due, replaces: Some(row), ..kept(n) };
        kept.tries.used = used + 1;
        kept
    }

    /// An event goes on elsewhere, or is settled.
    fn end(&mut self, row: RowId, goes_to: Option<RowId>) {
        let (n, used) = self.events.remove(&row).unwrap();
        self.ended.push(row);
        if let Some(to) = goes_to {
            self.events.insert(to, (n, used + 1));
        }
    }

    async fn take(&mut self, step: &Step) {
        let export: Arc<str> = EXPORT.into();
        let mut waited = true;
        match *step {
            Step::Keep(count, each, due) => {
                let event = |index: usize| {
                    let is_due = index % each == 1;
                    let due = is_due.then(|| testing::time(START_MS + due));
                    Kept { due, ..kept(self.next + index as u64) }
                };
                let kept: Vec<_> = (0..count).map(event).collect();
                let rows = self.store.keep(EXPORT, kept).await.unwrap();
                self.events.extend(rows.into_iter().zip((self.next..).map(|n| (n, 0))));
                self.next += count as u64;
            }
            Step::KeepAgain(n, due) => {
                let Some(row) = self.chosen(n) else { return };
                let rows = self.store.keep(EXPORT, vec![self.kept(row, due)]).await.unwrap();
                self.end(row, Some(rows[0]));
            }
            Step::Settle(n) | Step::SettleMany(n, _) => {
                let many = if let Step::SettleMany(_, many) = step { *many } else { 1 };
                let rows: Vec<_> = self.events.keys().copied().collect();
                let first = n % rows.len().max(1);
                for row in rows.into_iter().skip(first).take(many) {
                    self.store.settle_row(&export, row);
                    self.end(row, None);
                    // A commit may take along the first of them and not the rest.
                    self.possible.push(self.events.clone());
                }
                waited = false;
            }
            Step::Reschedule(n, due) => {
                let Some(row) = self.chosen(n) else { return };
                let to = self.store.reschedule(&export, self.kept(row, Some(due))).unwrap();
                self.end(row, Some(to));
                waited = false;
            }
            Step::RescheduleLate(n, due) => {
                let Some(row) = self.ended.get(n % self.ended.len().max(1)).copied() else {
                    return;
                };
                if !self.events.contains_key(&row) {
                    self.store.reschedule(&export, self.kept(row, Some(due))).unwrap();
                }
                waited = false;
            }
            Step::Bury(n) => {
                let Some(row) = self.chosen(n) else { return };
                let replaces = Replaces::of(&export, &Claim::Row(row));
                self.store.bury(testing::letter(EXPORT, 0), replaces, None).await.unwrap();
                self.end(row, None);
            }
            Step::FallBack => {
                let fallback = Fallback { export, kept: kept(self.next) };
                let letter = testing::letter("first", self.next);
                let buried = self.store.bury(letter, Replaces::Nothing, Some(fallback)).await;
                self.events.insert(buried.unwrap().fallback_row.unwrap(), (self.next, 0));
                self.next += 1;
            }
            Step::Read(events, bytes) => self.check(events, bytes).await,
            Step::Reopen => {
                self.store.close().await.unwrap();
                self.store = self.bench.open();
            }
            Step::Crash => {
                self.bench = self.bench.crashed();
                self.store = self.bench.open();
                let found = self.read(1000, 100_000).await;
                let found: Events = found.into_iter().collect();
                self.possible.push(self.events.clone());
                assert!(self.possible.contains(&found), "no moment before the crash was like this");
                self.events = found;
                // A reschedule that the crash undid is no end.
                self.ended.retain(|row| !self.events.contains_key(row));
            }
        }
        if waited {
            self.possible.clear();
        }
        self.possible.push(self.events.clone());
    }

    /// What pages of that size give, in their order: the FIFO, then what waits.
    async fn read(&self, max_events: usize, max_bytes: usize) -> Vec<(RowId, (u64, u32))> {
        let (mut waiting, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.waiting_page(EXPORT, after, max_events, max_bytes).await.unwrap();
            assert!(page.events.len() <= max_events && page.damaged.is_empty());
            waiting.extend(page.events);
            after = page.next;
            if page.next_due.is_none() {
                break;
            }
        }
        let (mut found, mut after) = (Vec::new(), 0);
        let up_to = self.store.last_number(EXPORT).await.unwrap();
        loop {
            let page = self.store.queue_page(EXPORT, after, up_to, max_events, max_bytes).await;
            let page = page.unwrap();
            assert!(page.events.len() <= max_events && page.damaged == 0);
            assert!(page.done || page.next > after, "each page goes on");
            found.extend(page.events);
            after = page.next;
            if page.done {
                break;
            }
        }
        found.extend(waiting);
        found
            .iter()
            .map(|one| match one.delivery.claim {
                Claim::Row(row) => {
                    let offset = one.delivery.event.origin.position.offset;
                    (row, (offset, one.delivery.tries.used))
                }
                ref claim => panic!("{claim:?}"),
            })
            .collect()
    }

    async fn check(&self, max_events: usize, max_bytes: usize) {
        let found = self.read(max_events, max_bytes).await;
        let (waiting, fifo): (Vec<_>, Vec<_>) = self
            .events
            .iter()
            .map(|(row, event)| (*row, *event))
            .partition(|(row, _)| row.due_ms.is_some());
        let (events, waiting_events) = (fifo.len() as u64, waiting.len() as u64);
        let mut expected = fifo;
        let mut waiting = waiting;
        waiting.sort_by_key(|(row, _)| (row.due_ms, row.number));
        expected.append(&mut waiting);
        assert_eq!(found, expected);
        let total = self.store.queue_total(EXPORT);
        assert_eq!((total.events, total.waiting), (events, waiting_events));
        let bytes = self.bench.number(
            "SELECT SUM(octet_length(chunk)) FROM (SELECT x'' AS chunk
                UNION ALL SELECT chunk FROM queue UNION ALL SELECT chunk FROM waiting)",
        );
        assert_eq!(total.bytes, bytes.unsigned_abs());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_is_lost_and_nothing_comes_back(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for step in &steps {
                model.take(step).await;
            }
            model.check(100, 10_000).await;
            model.store.close().await.unwrap();
            model.store = model.bench.open();
            model.check(1000, 100_000).await;
            prop_assert_eq!(model.bench.number("SELECT COUNT(*) FROM queue WHERE octet_length(settled) = 0"), 0);
            Ok(())
        })?;
    }
}
