//! Looking into the store beside its writer, for commands and surfaces. Everything here blocks for
//! as long as the disk takes and holds the store only while one call lasts.

use super::letter::{self, StoredLetter};
use super::selection::Condition;
use super::totals::Totals;
use super::{LetterState, Page, ReplayScope, Selection, StoreError, database, page, times};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::path::Path;

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
}

/// In which order dead letters are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By falling id.
    NewestFirst,
    /// By rising id.
    OldestFirst,
}

/// Dead letters of one export, reason and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The export; `None` for lines that are not events.
    pub export: Option<String>,
    /// The word of the reason.
    pub reason: String,
    /// Where they stand.
    pub state: LetterState,
    /// How many.
    pub letters: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// When the first of them was buried.
    pub oldest: Timestamp,
    /// When the last of them was buried.
    pub newest: Timestamp,
}

impl Reader {
    /// Opens the store of a data directory; needs no lock.
    ///
    /// # Errors
    /// When there is none, or one of another version.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Ok(Reader { conn: database::open_to_read(data_dir)? })
    }

    /// A page of at most `limit` dead letters behind the id `after`. The selection's own `limit`
    /// bounds all pages together and so is the caller's to count down.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn letters(
        &self,
        selection: &Selection,
        order: Order,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<StoredLetter>, StoreError> {
        let Condition { sql, mut values } = selection.condition();
        let (compare, direction, start) = match order {
            Order::NewestFirst => ("<", "DESC", i64::MAX),
            Order::OldestFirst => (">", "ASC", i64::MIN),
        };
        values.push(Value::Integer(after.unwrap_or(start)));
        values.push(Value::Integer(page::sql_limit(limit)));
        // Ids first: where SQLite has to sort, it must not sort texts.
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {} FROM (SELECT id AS found FROM dead_letters
                WHERE {sql} AND id {compare} ? ORDER BY id {direction} LIMIT ?)
             CROSS JOIN dead_letters ON id = found",
            letter::COLUMNS
        ))?;
        page::read(statement.query(params_from_iter(values))?, limit, letter::from_row)
    }

    /// The dead letter of that id.
    ///
    /// # Errors
    /// When the store can't be read or the row is damaged.
    pub fn letter(&self, id: i64) -> Result<Option<StoredLetter>, StoreError> {
        Ok(letter::get(&self.conn, id)?)
    }

    /// How many dead letters are meant, at most the selection's limit.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn count(&self, selection: &Selection) -> Result<u64, StoreError> {
        let Condition { sql, values } = selection.condition();
        let count: i64 = self
            .conn
            .prepare_cached(&format!("SELECT COUNT(*) FROM dead_letters WHERE {sql}"))?
            .query_row(params_from_iter(values), |row| row.get(0))?;
        Ok(count.unsigned_abs().min(selection.limit.unwrap_or(u64::MAX)))
    }

    /// How many dead letters a replay would take up.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn count_replayable(
        &self,
        selection: &Selection,
        scope: &ReplayScope,
    ) -> Result<u64, StoreError> {
        let buried = Totals::load(&self.conn)?.committed.exports();
        let replayable = scope.replayable(selection, &buried);
        if replayable.exports.is_empty() { Ok(0) } else { self.count(&replayable) }
    }

    /// What there is, by export, reason and state.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stats(&self, selection: &Selection) -> Result<Vec<Stat>, StoreError> {
        let Condition { sql, values } = selection.condition();
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT export, reason, state, COUNT(*), SUM(length(text)), MIN(created_at),
                MAX(created_at)
             FROM dead_letters WHERE {sql} GROUP BY export, reason, state
             ORDER BY export, reason, state"
        ))?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(Stat {
                export: row.get(0)?,
                reason: row.get(1)?,
                state: row.get(2)?,
                letters: row.get::<_, i64>(3)?.unsigned_abs(),
                bytes: row.get::<_, i64>(4)?.unsigned_abs(),
                oldest: times::get(row, 5)?,
                newest: times::get(row, 6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::super::{Replaces, Store};
    use super::*;
    use crate::delivery::DeadLetter;
    use crate::event::{Event, Severity};
    use crate::retry::Reason;
    use std::sync::Arc;

    /// Six dead letters, a minute apart.
    async fn fill(bench: &Bench) -> (Store, Vec<i64>) {
        let store = bench.open();
        let of = |export: &str, kind: &str, severity| {
            let event = Event { severity, ..Event::clone(&testing::event(1, kind)) };
            testing::letter_of(export, &Arc::new(event))
        };
        let letters = [
            of("alerts", "policy_block", Severity::Error),
            of("alerts", "auth_fail", Severity::Info),
            DeadLetter { reason: Reason::Rejected, ..of("chat", "auth_[x]", Severity::Unknown) },
            testing::malformed("app-audit", 1),
            of("chat", "auth_fail", Severity::Emergency),
            of("alerts", "POLICY", Severity::Warn),
        ];
        let mut ids = Vec::new();
        for letter in letters {
            ids.push(store.bury(letter, Replaces::Nothing, None).await.unwrap().id);
            bench.advance_ms(60_000);
        }
        (store, ids)
    }

    #[tokio::test]
    async fn a_selection_means_what_it_says() {
        let bench = Bench::new();
        let (store, ids) = fill(&bench).await;
        let reader = Reader::open(bench.path()).unwrap();
        let all = Selection::default;
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let minute = |n: i64| Some(testing::time(START_MS + n * 60_000));
        for (selection, expected) in [
            (all(), &[0, 1, 2, 3, 4, 5][..]),
            (Selection { exports: names(&["alerts"]), ..all() }, &[0, 1, 5]),
            (Selection { exports: names(&["chat", ""]), ..all() }, &[2, 3, 4]),
            (Selection { kinds: names(&["auth_*"]), ..all() }, &[1, 2, 4]),
            (Selection { kinds: names(&["auth_[x]"]), ..all() }, &[2]),
            (Selection { kinds: names(&["*", "!auth_*"]), ..all() }, &[0, 5]),
            (Selection { kinds: names(&["!auth_*"]), ..all() }, &[0, 3, 5]),
            (Selection { severities: vec![Severity::Info], ..all() }, &[1]),
            (Selection { min_severity: Some(Severity::Error), ..all() }, &[0, 2, 4]),
            (Selection { reasons: vec![Reason::Rejected, Reason::Malformed], ..all() }, &[2, 3]),
            (Selection { states: vec![LetterState::Replayed], ..all() }, &[]),
            (Selection { since: minute(2), until: minute(4), ..all() }, &[2, 3]),
            (Selection { ids: vec![ids[5], ids[0], 1], ..all() }, &[0, 5]),
            (Selection { exports: names(&["'; DROP TABLE dead_letters"]), ..all() }, &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|index| ids[*index]).collect();
            let page = reader.letters(&selection, Order::OldestFirst, None, 99).unwrap();
            let found: Vec<_> = page.items.iter().map(|letter| letter.id).collect();
            assert_eq!(found, expected, "{selection:?}");
            assert_eq!(reader.count(&selection), Ok(expected.len() as u64), "{selection:?}");
        }
        assert_eq!(reader.count(&Selection { limit: Some(2), ..all() }), Ok(2));
        // The writer picks the same ones.
        let purged = Selection { kinds: names(&["auth_*"]), limit: Some(2), ..all() };
        assert_eq!(store.purge(&purged).await, Ok(2));
        assert_eq!(reader.count(&all()), Ok(4));
        assert!(reader.letter(ids[4]).unwrap().is_some(), "the oldest go first");
    }

    #[tokio::test]
    async fn pages_follow_one_another_in_both_orders() {
        let bench = Bench::new();
        let (_store, mut ids) = fill(&bench).await;
        let reader = Reader::open(bench.path()).unwrap();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = reader.letters(&Selection::default(), order, after, 4).unwrap();
                found.extend(page.items.iter().map(|letter| letter.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, ids, "{order:?}");
            ids.reverse();
        }
    }

    #[tokio::test]
    async fn stats_sum_up_by_export_reason_and_state() {
        let bench = Bench::new();
        let (store, _) = fill(&bench).await;
        let stats = Reader::open(bench.path()).unwrap().stats(&Selection::default()).unwrap();
        let shown: Vec<_> = stats
            .iter()
            .map(|stat| (stat.export.as_deref(), &*stat.reason, stat.letters))
            .collect();
        let expected = [
            (None, "malformed", 1),
            (Some("alerts"), "retries_exhausted", 3),
            (Some("chat"), "rejected", 1),
            (Some("chat"), "retries_exhausted", 1),
        ];
        assert_eq!(shown, expected);
        assert_eq!(stats[1].bytes, store.total("alerts").bytes as u64);
        assert_eq!(stats[1].oldest, testing::time(START_MS));
        assert_eq!(stats[1].newest, testing::time(START_MS + 300_000));
    }

    #[tokio::test]
    async fn a_damaged_row_is_left_out_and_counted() {
        let bench = Bench::new();
        let (_store, ids) = fill(&bench).await;
        for damage in [
            "reason = 'bad'",
            "stream = x'00'",
            "state = 7",
            "severity = 'bad'",
            "attempts = -1",
            "source = x'ff'",
            "accepted_at = 9223372036854775807",
        ] {
            let sql = bench.sql();
            sql.execute_batch(&format!(
                "BEGIN; UPDATE dead_letters SET {damage} WHERE id = {}; COMMIT",
                ids[0]
            ))
            .unwrap();
        }
        let reader = Reader::open(bench.path()).unwrap();
        let page = reader.letters(&Selection::default(), Order::OldestFirst, None, 9).unwrap();
        assert_eq!((page.items.len(), page.skipped), (5, 1));
        assert!(reader.letter(ids[0]).is_err());
    }
}
