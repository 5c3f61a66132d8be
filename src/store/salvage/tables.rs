//! The tables of a store that is salvaged: what they are, and bringing those that count others into
//! agreement with what was saved.

use crate::store::StoreError;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// A table and its columns, those of its key in the key's order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) keys: Vec<String>,
    pub(super) columns: Vec<String>,
    /// What they may hold.
    pub(super) kinds: Vec<Column>,
    /// Whether its rows have numbers of their own.
    pub(super) has_rowid: bool,
}

/// What a column may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) kind: String,
    pub(super) not_null: bool,
}

/// The tables of a store, in the order in which they were made.
pub(super) fn tables(conn: &Connection) -> Result<Vec<Table>, StoreError> {
    let mut names = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let names = names.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let table = |name: String| {
        let mut info = conn.prepare(
            "SELECT name, pk, type, \"notnull\" FROM pragma_table_info(?1) ORDER BY cid",
        )?;
        let columns = info
            .query_map([&name], |row| {
                let kind = Column { kind: row.get(2)?, not_null: row.get(3)? };
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, kind))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<_> = columns.iter().filter(|(_, place, _)| *place > 0).collect();
        keys.sort_by_key(|(_, place, _)| *place);
        let keys = keys.into_iter().map(|(name, ..)| name.clone()).collect();
        let without = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1";
        let without: bool = conn.query_row(without, [&name], |row| row.get(0))?;
        let kinds = columns.iter().map(|(.., kind)| kind.clone()).collect();
        let columns = columns.into_iter().map(|(name, ..)| name).collect();
        Ok(Table { name, keys, columns, kinds, has_rowid: !without })
    };
    names.into_iter().map(table).collect()
}

/// How many dead letters there were, as their totals say.
pub(super) fn letters_there(old: &Connection) -> Option<u64> {
    let sql = "SELECT SUM(letters + replayed) FROM dead_letter_totals";
    let sum: Option<i64> = old.query_row(sql, [], |row| row.get(0)).ok()?;
    Some(sum.unwrap_or(0).max(0) as u64)
}

/// How many events queues had, as their totals say.
pub(super) fn queued_there(conn: &Connection) -> Option<u64> {
    let sql = "SELECT SUM(events + waiting) FROM queue_totals";
    let sum: Option<i64> = conn.query_row(sql, [], |row| row.get(0)).ok()?;
    Some(sum.unwrap_or(0).max(0) as u64)
}

/// The exports of which something is queued or buried in a store.
pub(super) fn exports(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT export FROM queue UNION SELECT export FROM waiting
        UNION SELECT export FROM dead_letters WHERE export IS NOT NULL";
    let mut names = conn.prepare(sql)?;
    Ok(names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// The exports that totals or dead letters name, in order.
pub(super) fn names(old: &Connection) -> Vec<String> {
    let named = |sql: &str| -> rusqlite::Result<Vec<String>> {
        old.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let totals = named("SELECT export FROM dead_letter_totals").unwrap_or_default();
    let queues = named("SELECT export FROM queue_totals").unwrap_or_default();
    let mut names: Vec<_> = totals.into_iter().chain(queues).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Brings what must agree with the rows into agreement.
pub(super) fn mend(
    fresh: &Connection,
    tables: &[Table],
    uid: &[u8],
    now: i64,
) -> Result<(), StoreError> {
    fresh.execute("DELETE FROM meta WHERE key = 'open'", [])?;
    fresh.execute(
        "UPDATE meta SET value = ?1 WHERE key = 'uid' AND (typeof(value), length(value)) != ('blob', 16)",
        [uid],
    )?;
    // A damaged number far ahead of all time would be the last one.
    fresh.execute("UPDATE counters SET value = ?1 WHERE value > 2 * ?1 OR value < 0", [now])?;
    for (counter, table, last) in [
        ("dead_letters", "dead_letters", "id"),
        ("outbox", "outbox", "id"),
        ("queue", "queue", "seq + events"),
        ("queue", "waiting", "number"),
    ] {
        if tables.iter().any(|there| there.name == table) {
            let sql = format!(
                "UPDATE counters SET value = MAX(value, IFNULL((SELECT MAX({last}) FROM {table}), 0))
                 WHERE name = ?1"
            );
            fresh.execute(&sql, [counter])?;
        }
    }
    fresh.execute(
        "INSERT INTO dead_letter_totals SELECT IFNULL(export, ''), IIF(export IS NULL, source, ''),
            SUM(state < 2), SUM(IIF(state < 2, length(text), 0)), SUM(state = 2),
            SUM(IIF(state = 2, length(text), 0))
         FROM dead_letters GROUP BY 1, 2",
        [],
    )?;
    if tables.iter().any(|table| table.name == "queue_totals") {
        count_queues(fresh)?;
    }
    Ok(())
}

/// Counts what is unsettled in each export's queue.
fn count_queues(fresh: &Connection) -> Result<(), StoreError> {
    let mut totals: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    let mut rows = fresh.prepare("SELECT export, events, settled, length(chunk) FROM queue")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let settled: Option<Vec<u8>> = row.get(2)?;
        let settled: i64 = settled.iter().flatten().map(|byte| i64::from(byte.count_ones())).sum();
        let total = totals.entry(row.get(0)?).or_default();
        total.0 += row.get::<_, i64>(1)? - settled;
        total.2 += row.get::<_, i64>(3)?;
    }
    let mut rows = fresh
        .prepare("SELECT export, COUNT(*), SUM(length(chunk)) FROM waiting GROUP BY export")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let total = totals.entry(row.get(0)?).or_default();
        total.1 += row.get::<_, i64>(1)?;
        total.2 += row.get::<_, i64>(2)?;
    }
    let mut insert = fresh.prepare(
        "INSERT INTO queue_totals (export, events, waiting, bytes) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (export, (events, waiting, bytes)) in totals {
        insert.execute(params![export, events, waiting, bytes])?;
    }
    Ok(())
}
