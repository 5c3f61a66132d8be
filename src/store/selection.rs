//! Which dead letters a command means: the filters of `postrider dlq`, as SQL.

use super::LetterState;
use crate::event::Severity;
use crate::retry::Reason;
use jiff::Timestamp;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

/// Which dead letters are meant. Every filter must hold; an empty list or `None` takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Of these exports; the empty name means lines that are not events.
    pub exports: Vec<String>,
    /// Of events of these kinds: globs with `*` and `?`; a leading `!` excludes.
    pub kinds: Vec<String>,
    /// Of events of these severities.
    pub severities: Vec<Severity>,
    /// Of events at least as severe; an unknown severity is taken.
    pub min_severity: Option<Severity>,
    /// Dead for these reasons.
    pub reasons: Vec<Reason>,
    /// In these states.
    pub states: Vec<LetterState>,
    /// With a last HTTP status in one of these ranges, both ends included.
    pub last_status: Vec<(u16, u16)>,
    /// Buried at this time or later.
    pub since: Option<Timestamp>,
    /// Buried before this time.
    pub until: Option<Timestamp>,
    /// With these ids.
    pub ids: Vec<i64>,
    /// At most so many: the newest where they are listed, the oldest where they are changed.
    pub limit: Option<u64>,
}

/// A condition and the values of its `?`, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    fn and(&mut self, sql: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.push(value);
    }

    /// Adds a condition on a list, which travels as one JSON value: SQL stays the same, however
    /// long the list is.
    fn and_list<T: Serialize>(&mut self, sql: &str, list: &[T]) {
        if !list.is_empty() {
            // Numbers and strings are always JSON.
            let json = serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned());
            self.and(sql, Value::Text(json));
        }
    }
}

impl Selection {
    /// The condition on a row of `dead_letters`. `limit` is not in it.
    pub(super) fn condition(&self) -> Condition {
        let mut condition = Condition { sql: "TRUE".to_owned(), values: Vec::new() };
        condition.and_list("id IN (SELECT value FROM json_each(?))", &self.ids);
        condition.and_list("IFNULL(export, '') IN (SELECT value FROM json_each(?))", &self.exports);
        let (excluded, taken): (Vec<&str>, Vec<&str>) =
            self.kinds.iter().map(String::as_str).partition(|kind| kind.starts_with('!'));
        let taken: Vec<_> = taken.into_iter().map(glob).collect();
        let excluded: Vec<_> = excluded.iter().map(|kind| glob(&kind[1..])).collect();
        condition
            .and_list("EXISTS (SELECT 1 FROM json_each(?) WHERE event_kind GLOB value)", &taken);
        condition.and_list(
            "NOT EXISTS (SELECT 1 FROM json_each(?) WHERE IFNULL(event_kind, '') GLOB value)",
            &excluded,
        );
        let words = |list: &[Severity]| list.iter().map(|s| s.as_str()).collect::<Vec<_>>();
        condition
            .and_list("severity IN (SELECT value FROM json_each(?))", &words(&self.severities));
        if let Some(least) = self.min_severity {
            let all = Severity::LEVELS.into_iter().chain([Severity::Unknown]);
            let enough: Vec<_> = all.filter(|severity| *severity >= least).collect();
            condition.and_list("severity IN (SELECT value FROM json_each(?))", &words(&enough));
        }
        let reasons: Vec<_> = self.reasons.iter().map(|reason| reason.as_str()).collect();
        condition.and_list("reason IN (SELECT value FROM json_each(?))", &reasons);
        let states: Vec<_> = self.states.iter().map(|state| *state as i64).collect();
        condition.and_list("state IN (SELECT value FROM json_each(?))", &states);
        condition.and_list(
            "EXISTS (SELECT 1 FROM json_each(?) WHERE last_status BETWEEN value ->> 0 AND value ->> 1)",
            &self.last_status,
        );
        if let Some(since) = self.since {
            condition.and("created_at >= ?", Value::Integer(since.as_millisecond()));
        }
        if let Some(until) = self.until {
            condition.and("created_at < ?", Value::Integer(until.as_millisecond()));
        }
        condition
    }
}

/// The glob as SQLite reads it: there `[` has a meaning, here it has none.
fn glob(text: &str) -> String {
    text.replace('[', "[[]")
}
