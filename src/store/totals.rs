//! How many dead letters there are and how many bytes their texts have, per export: counters kept
//! as rows and in memory, so that nobody ever counts rows.

use super::{LetterState, Store, StoreError};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The dead letters of one export, or the malformed lines of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The export; `None` for malformed lines.
    pub export: Option<Arc<str>>,
    /// The source of malformed lines; `None` for an export's dead letters.
    pub source: Option<Arc<str>>,
    /// What there is.
    pub count: Count,
}

/// Dead letters and the bytes of their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Dead letters that are dead or replaying.
    pub letters: i64,
    /// Bytes of their texts.
    pub bytes: i64,
    /// Dead letters that were replayed with success.
    pub replayed: i64,
    /// Bytes of their texts.
    pub replayed_bytes: i64,
}

impl Count {
    /// What one letter counts.
    pub(super) fn one(state: LetterState, bytes: i64) -> Self {
        match state {
            LetterState::Dead | LetterState::Replaying => {
                Count { letters: 1, bytes, ..Count::default() }
            }
            LetterState::Replayed => {
                Count { replayed: 1, replayed_bytes: bytes, ..Count::default() }
            }
        }
    }

    fn add(&mut self, other: Count) {
        self.letters += other.letters;
        self.bytes += other.bytes;
        self.replayed += other.replayed;
        self.replayed_bytes += other.replayed_bytes;
    }

    fn negated(self) -> Count {
        Count {
            letters: -self.letters,
            bytes: -self.bytes,
            replayed: -self.replayed,
            replayed_bytes: -self.replayed_bytes,
        }
    }
}

/// The export, empty for malformed lines; then the source, empty for the others.
type Key = (Arc<str>, Arc<str>);

fn key(export: Option<&str>, source: &str) -> Key {
    match export {
        Some(export) => (export.into(), "".into()),
        None => ("".into(), source.into()),
    }
}

/// What is committed, for everyone who asks.
#[derive(Debug, Clone, Default)]
pub(super) struct CommittedTotals(Arc<Mutex<HashMap<Key, Count>>>);

impl CommittedTotals {
    fn map(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        // A count is changed in one step, so a panic elsewhere leaves none half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every total.
    pub(super) fn list(&self) -> Vec<Total> {
        let some = |name: &Arc<str>| (!name.is_empty()).then(|| Arc::clone(name));
        let total = |((export, source), count): (&Key, &Count)| Total {
            export: some(export),
            source: some(source),
            count: *count,
        };
        self.map().iter().map(total).collect()
    }

    /// The sum for an export; for the empty name of all malformed lines.
    pub(super) fn of(&self, export: &str) -> Count {
        let map = self.map();
        if !export.is_empty() {
            return map.get(&key(Some(export), "")).copied().unwrap_or_default();
        }
        let mut sum = Count::default();
        map.iter().filter(|(key, _)| key.0.is_empty()).for_each(|(_, count)| sum.add(*count));
        sum
    }

    /// The names that [`CommittedTotals::of`] knows.
    pub(super) fn exports(&self) -> Vec<Arc<str>> {
        let mut exports: Vec<_> = self.map().keys().map(|key| Arc::clone(&key.0)).collect();
        exports.sort_unstable();
        exports.dedup();
        exports
    }
}

impl Store {
    /// The dead letters of each export and the malformed lines of each source.
    pub fn totals(&self) -> Vec<Total> {
        self.0.totals.list()
    }

    /// The dead letters of an export; of all sources' malformed lines for the empty name.
    pub fn total(&self, export: &str) -> Count {
        self.0.totals.of(export)
    }
}

/// All totals: what is committed, and what the open transaction adds.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) committed: CommittedTotals,
    pending: HashMap<Key, Count>,
}

impl Totals {
    /// The totals as they are stored.
    pub(super) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut statement = conn.prepare(
            "SELECT export, source, letters, bytes, replayed, replayed_bytes FROM dead_letter_totals",
        )?;
        let rows = statement.query_map([], |row| {
            let count = Count {
                letters: row.get(2)?,
                bytes: row.get(3)?,
                replayed: row.get(4)?,
                replayed_bytes: row.get(5)?,
            };
            Ok(((row.get(0)?, row.get(1)?), count))
        })?;
        let totals = Totals::default();
        *totals.committed.map() = rows.collect::<Result<_, _>>()?;
        Ok(totals)
    }

    /// What there is, with what the open transaction adds.
    pub(super) fn current(&self, export: Option<&str>, source: &str) -> Count {
        let key = key(export, source);
        let mut sum = self.committed.map().get(&key).copied().unwrap_or_default();
        sum.add(self.pending.get(&key).copied().unwrap_or_default());
        sum
    }

    pub(super) fn add(&mut self, export: Option<&str>, source: &str, count: Count) {
        self.pending.entry(key(export, source)).or_default().add(count);
    }

    pub(super) fn remove(&mut self, export: Option<&str>, source: &str, count: Count) {
        self.add(export, source, count.negated());
    }

    /// What one export or source has goes over to another.
    pub(super) fn rename(&mut self, from: (Option<&str>, &str), to: (Option<&str>, &str)) {
        let old = key(from.0, from.1);
        let mut all = self.pending.get(&old).copied().unwrap_or_default();
        all.add(self.committed.map().get(&old).copied().unwrap_or_default());
        if all != Count::default() {
            self.add(to.0, to.1, all);
            self.remove(from.0, from.1, all);
        }
    }

    /// Writes what the transaction adds.
    pub(super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut statement = conn.prepare_cached(
            "INSERT INTO dead_letter_totals VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (export, source) DO UPDATE SET
                letters = letters + excluded.letters,
                bytes = bytes + excluded.bytes,
                replayed = replayed + excluded.replayed,
                replayed_bytes = replayed_bytes + excluded.replayed_bytes",
        )?;
        for ((export, source), count) in &self.pending {
            statement.execute(params![
                export,
                source,
                count.letters,
                count.bytes,
                count.replayed,
                count.replayed_bytes
            ])?;
        }
        Ok(())
    }

    /// The transaction is through; returns the exports whose totals changed.
    pub(super) fn commit(&mut self) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        let mut committed = self.committed.map();
        for (key, count) in self.pending.drain() {
            changed.push(Arc::clone(&key.0));
            committed.entry(key).or_default().add(count);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The transaction came to nothing.
    pub(super) fn roll_back(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::super::{Replaces, ReplayScope, Selection};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_was_committed_counts() {
        let mut totals = Totals::default();
        totals.add(Some("a"), "s", Count::one(LetterState::Dead, 10));
        totals.add(None, "s", Count::one(LetterState::Dead, 5));
        totals.add(None, "t", Count::one(LetterState::Replaying, 6));
        assert_eq!(totals.committed.of("a"), Count::default());
        assert_eq!(totals.commit(), [Arc::from(""), Arc::from("a")]);
        assert_eq!(totals.committed.of("a"), Count { letters: 1, bytes: 10, ..Count::default() });
        assert_eq!(totals.committed.of(""), Count { letters: 2, bytes: 11, ..Count::default() });
        totals.remove(Some("a"), "s", Count::one(LetterState::Dead, 10));
        totals.roll_back();
        assert_eq!(totals.committed.of("a").letters, 1);
        assert_eq!(totals.committed.list().len(), 3);
    }

    /// Something that changes dead letters; the numbers choose one of those there are.
    #[derive(Debug, Clone)]
    enum Step {
        Bury(&'static str),
        Mark(usize),
        MarkOrphans,
        Unmark(usize),
        Delivered(usize),
        BuriedAgain(usize),
        Purge(usize),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop::sample::select(&["a", "b", "gone", ""][..]).prop_map(Step::Bury),
            2 => any::<usize>().prop_map(Step::Mark),
            1 => Just(Step::MarkOrphans),
            1 => any::<usize>().prop_map(Step::Unmark),
            2 => any::<usize>().prop_map(Step::Delivered),
            2 => any::<usize>().prop_map(Step::BuriedAgain),
            1 => any::<usize>().prop_map(Step::Purge),
            1 => Just(Step::Reopen),
        ]
    }

    async fn take(bench: &Bench, store: &mut Store, ids: &mut Vec<i64>, step: Step) {
        let chosen = |ids: &[i64], n: usize| ids.get(n % ids.len().max(1)).copied().unwrap_or(7);
        let of = |id| Selection { ids: vec![id], ..Selection::default() };
        let scope = |orphans_to| ReplayScope { exports: vec!["a".into(), "b".into()], orphans_to };
        match step {
            Step::Bury(export) => {
                let letter = match export {
                    "" => testing::malformed("app", 1),
                    export => testing::letter(export, ids.len() as u64),
                };
                ids.push(store.bury(letter, Replaces::Nothing, None).await.unwrap().id);
            }
            Step::Mark(n) => {
                store.mark_replaying(&of(chosen(ids, n)), &scope(None)).await.unwrap();
            }
            Step::MarkOrphans => {
                let onto_b = scope(Some("b".into()));
                store.mark_replaying(&Selection::default(), &onto_b).await.unwrap();
            }
            Step::Unmark(n) => drop(store.unmark_replaying(&of(chosen(ids, n))).await.unwrap()),
            Step::Delivered(n) => store.replayed(chosen(ids, n)),
            Step::BuriedAgain(n) => {
                let replaces = Replaces::Letter(chosen(ids, n));
                let letter = testing::letter("a", n as u64);
                ids.push(store.bury(letter, replaces, None).await.unwrap().id);
            }
            Step::Purge(n) => drop(store.purge(&of(chosen(ids, n))).await.unwrap()),
            Step::Reopen => {
                store.close().await.unwrap();
                *store = bench.open();
            }
        }
    }

    /// The totals as the rows themselves say.
    fn counted(bench: &Bench) -> Vec<(String, String, i64, i64, i64, i64)> {
        let sql = bench.sql();
        let mut statement = sql
            .prepare(
                "SELECT IFNULL(export, ''), IIF(export IS NULL, source, ''), SUM(state < 2),
                    SUM(IIF(state < 2, length(text), 0)), SUM(state = 2),
                    SUM(IIF(state = 2, length(text), 0))
                 FROM dead_letters GROUP BY 1, 2 ORDER BY 1, 2",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn totals_are_what_counting_would_say(steps in prop::collection::vec(step(), 1..30)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let bench = Bench::new();
                let (mut store, mut ids) = (bench.open(), Vec::new());
                for step in steps {
                    take(&bench, &mut store, &mut ids, step).await;
                }
                store.close().await.unwrap();
                let mut totals: Vec<_> = bench
                    .open()
                    .totals()
                    .into_iter()
                    .filter(|total| total.count != Count::default())
                    .map(|Total { export, source, count: Count { letters, bytes, replayed, replayed_bytes } }| {
                        let name = |name: Option<Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
                        (name(export), name(source), letters, bytes, replayed, replayed_bytes)
                    })
                    .collect();
                totals.sort();
                prop_assert_eq!(totals, counted(&bench));
                Ok(())
            })?;
        }
    }
}
