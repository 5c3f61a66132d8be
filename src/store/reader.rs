//! Looking into the store beside its writer, for commands and surfaces. Everything here blocks for
//! as long as the disk takes and holds the store only while one call lasts.

use super::letter::{self, StoredLetter};
use super::selection::Condition;
use super::{LetterState, Page, Selection, StoreError, database, page, times};
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
