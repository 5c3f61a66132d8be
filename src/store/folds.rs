//! How many `webhook.dlq` events a minute may bring: of one export and reason the first ten are
//! told singly, the rest of that minute as one. What the events look like lives in `outbox`.

use super::StoreError;
use crate::retry::Reason;
use rusqlite::{Connection, params};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How many dead letters of one export and reason are told singly in a minute.
pub const SINGLE_EVENTS: u32 = 10;

const MINUTE_MS: i64 = 60_000;

/// The minute of a time, both since 1970.
pub(super) fn minute_of(ms: i64) -> i64 {
    ms.div_euclid(MINUTE_MS)
}

/// The export, none for malformed lines, and the reason.
pub(super) type Key = (Option<Arc<str>>, Reason);

/// Dead letters that wait to be told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fold {
    /// How many.
    pub(super) count: u64,
    /// The lowest of their ids.
    pub(super) first_id: i64,
    /// The highest of their ids.
    pub(super) last_id: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    minute: i64,
    singles: u32,
    fold: Option<Fold>,
}

/// The windows of the current minute.
#[derive(Debug, Default)]
pub(super) struct Folds {
    windows: HashMap<Key, Window>,
    /// What the open transaction has changed.
    changed: HashSet<Key>,
    /// The windows as they were before the open transaction, kept at its first change.
    before: Option<HashMap<Key, Window>>,
}

impl Folds {
    /// What an earlier run left to tell.
    pub(super) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut statement =
            conn.prepare("SELECT export, reason, minute, count, first_id, last_id FROM folds")?;
        let mut rows = statement.query([])?;
        let mut folds = Folds::default();
        while let Some(row) = rows.next()? {
            let (export, reason): (Arc<str>, String) = (row.get(0)?, row.get(1)?);
            let fold = Fold {
                count: row.get::<_, i64>(3)?.unsigned_abs(),
                first_id: row.get(4)?,
                last_id: row.get(5)?,
            };
            let window = Window { minute: row.get(2)?, singles: SINGLE_EVENTS, fold: Some(fold) };
            if let Some(reason) = Reason::parse(&reason) {
                folds.windows.insert(((!export.is_empty()).then_some(export), reason), window);
            }
        }
        Ok(folds)
    }

    /// Notes a dead letter; whether it is told singly.
    pub(super) fn note(&mut self, key: &Key, id: i64, minute: i64) -> bool {
        self.keep_before();
        let fresh = || Window { minute, singles: 0, fold: None };
        if !self.windows.contains_key(key) {
            self.windows.insert(key.clone(), fresh());
        }
        let Some(window) = self.windows.get_mut(key) else { return true };
        if window.fold.is_none() && window.minute != minute {
            *window = fresh();
        }
        if window.singles < SINGLE_EVENTS {
            window.singles += 1;
            return true;
        }
        let fold = window.fold.get_or_insert(Fold { count: 0, first_id: id, last_id: id });
        fold.count += 1;
        fold.first_id = fold.first_id.min(id);
        fold.last_id = fold.last_id.max(id);
        self.changed.insert(key.clone());
        false
    }

    /// Takes the folds to tell now: those whose minute is not `minute`, or with `None` all.
    pub(super) fn take(&mut self, minute: Option<i64>) -> Vec<(Key, Fold)> {
        if self.windows.values().all(|window| Some(window.minute) == minute) {
            return Vec::new();
        }
        self.keep_before();
        let mut taken = Vec::new();
        self.windows.retain(|key, window| {
            let over = Some(window.minute) != minute;
            if over && let Some(fold) = window.fold.take() {
                self.changed.insert(key.clone());
                taken.push((key.clone(), fold));
            }
            // A minute that goes on keeps its count of single ones.
            !over || minute.is_none()
        });
        taken.sort_by_key(|(_, fold)| fold.first_id);
        taken
    }

    /// When the next fold must be told, in Unix milliseconds.
    pub(super) fn due_at(&self) -> Option<i64> {
        let waiting = self.windows.values().filter(|window| window.fold.is_some());
        waiting.map(|window| (window.minute + 1) * MINUTE_MS).min()
    }

    fn keep_before(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.windows.clone());
        }
    }

    /// Writes what the transaction changed.
    pub(super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        for key @ (export, reason) in &self.changed {
            let export = export.as_deref().unwrap_or_default();
            let window = self.windows.get(key);
            match window.and_then(|window| Some((window.minute, window.fold?))) {
                Some((minute, fold)) => conn
                    .prepare_cached("INSERT OR REPLACE INTO folds VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute(params![
                        export,
                        reason.as_str(),
                        minute,
                        fold.count as i64,
                        fold.first_id,
                        fold.last_id
                    ])?,
                None => conn
                    .prepare_cached("DELETE FROM folds WHERE export = ?1 AND reason = ?2")?
                    .execute(params![export, reason.as_str()])?,
            };
        }
        Ok(())
    }

    /// The transaction is through.
    pub(super) fn commit(&mut self) {
        self.changed.clear();
        self.before = None;
    }

    /// The transaction came to nothing.
    pub(super) fn roll_back(&mut self) {
        self.changed.clear();
        if let Some(before) = self.before.take() {
            self.windows = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(export: &str) -> Key {
        (Some(export.into()), Reason::Rejected)
    }

    #[test]
    fn ten_a_minute_are_told_singly_and_the_rest_as_one() {
        let mut folds = Folds::default();
        let singles = (1..=25).filter(|id| folds.note(&key("a"), *id, 7)).count();
        assert_eq!(singles, 10);
        assert!(folds.note(&key("b"), 26, 7), "another export has its own ten");
        assert_eq!(folds.due_at(), Some(8 * MINUTE_MS));
        assert_eq!(folds.take(Some(7)), []);
        let told = folds.take(Some(8));
        assert_eq!(told, [(key("a"), Fold { count: 15, first_id: 11, last_id: 25 })]);
        assert_eq!(folds.due_at(), None);
        assert!(folds.note(&key("a"), 27, 8), "a new minute has its own ten");
    }

    #[test]
    fn a_flush_leaves_the_minute_its_count() {
        let mut folds = Folds::default();
        assert_eq!((1..=12).filter(|id| folds.note(&key("a"), *id, 7)).count(), 10);
        assert_eq!(folds.take(None).len(), 1);
        assert_eq!(folds.take(None), []);
        assert!(!folds.note(&key("a"), 13, 7));
    }

    #[test]
    fn minutes_without_a_fold_are_forgotten() {
        let mut folds = Folds::default();
        folds.note(&key("a"), 1, 7);
        assert_eq!(folds.due_at(), None, "nobody is woken for it");
        folds.take(Some(8));
        assert!(folds.windows.is_empty());
    }

    #[test]
    fn a_transaction_that_came_to_nothing_leaves_no_trace() {
        let mut folds = Folds::default();
        assert_eq!((1..=11).filter(|id| folds.note(&key("a"), *id, 7)).count(), 10);
        folds.commit();
        assert!((12..=20).all(|id| !folds.note(&key("a"), id, 7)));
        folds.roll_back();
        assert_eq!(folds.take(None), [(key("a"), Fold { count: 1, first_id: 11, last_id: 11 })]);
        folds.roll_back();
        assert_eq!(folds.take(Some(9)).len(), 1, "taken again");
    }
}
