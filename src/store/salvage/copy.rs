//! Copying what can be read of a damaged store into a fresh one: each table by its key, so that
//! damaged indexes do not matter, and around the pages that can't be read.
//!
//! Behind a row that can't be read, reading goes on at the next key that can: steps that double
//! find one, halving them finds the first. What can't be reached like that is left to `raw`.

use super::chunks::{QUEUE, Row, WAITING, is_whole_retry};
use super::raw::{Rescue, is_sound};
use super::tables::{Table, exports, letters_there, mend, names, queued_there, tables};
use crate::store::{StoreError, page};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, params_from_iter};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::Path;

/// More stretches of a store are not read around.
const MAX_GAPS: u64 = 100_000;

/// Tables that are counted anew from the others.
const DERIVED: [&str; 2] = ["dead_letter_totals", "queue_totals"];

/// What of the store is not about events: copied, and not told of.
const OWN: [&str; 2] = ["meta", "counters"];

/// What was copied.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Copied {
    pub(super) rows: u64,
    /// About how many rows could not be; of queues, events.
    pub(super) lost: u64,
    /// Of these, events of queues; `None` where nothing says how many there were.
    pub(super) events: Option<u64>,
    /// Of these, dead letters; `None` where nothing says how many there were.
    pub(super) letters: Option<u64>,
    pub(super) gaps: u64,
}

/// Whether the tables of a store can be found.
pub(super) fn is_readable(conn: &Connection) -> Result<bool, StoreError> {
    // Cells that can't be where they are said to be are damage, too.
    let checked = conn.pragma_update(None, "cell_size_check", true);
    let found = checked.and_then(|()| conn.prepare("SELECT 1 FROM dead_letters LIMIT 0").map(drop));
    match found.map_err(StoreError::from) {
        Ok(()) => Ok(true),
        Err(error @ (StoreError::Disk(_) | StoreError::Busy(_))) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Copies what can be read of the store `old`, which is in the file `path`.
pub(super) fn copy(
    path: &Path,
    old: &Connection,
    fresh: &Connection,
    now: i64,
) -> Result<Copied, StoreError> {
    old.pragma_update(None, "cell_size_check", true)?;
    let uid: Vec<u8> =
        fresh.query_row("SELECT value FROM meta WHERE key = 'uid'", [], |row| row.get(0))?;
    let tables = tables(fresh)?;
    let mut names = names(old);
    let mut found = Vec::new();
    fresh.execute_batch("BEGIN")?;
    for table in tables.iter().filter(|table| !DERIVED.contains(&&*table.name)) {
        let mut copying = Copying { old, fresh, table, names: &names, copied: Copied::default() };
        copying.run()?;
        found.push((table, copying.copied));
    }
    let damaged = found.iter().filter(|(_, found)| found.gaps > 0);
    let damaged: HashSet<_> = damaged.map(|(table, _)| table.name.clone()).collect();
    if !damaged.is_empty() {
        // Of exports without totals something may have been found.
        if tables.iter().any(|table| table.name == WAITING) {
            names.extend(exports(fresh)?);
            names.sort_unstable();
            names.dedup();
        }
        let rescued = Rescue::new(path, old, fresh, &tables, &damaged)?.run(&names)?;
        for (table, found) in &mut found {
            let rows = rescued.get(&*table.name).copied().unwrap_or_default();
            found.rows += rows;
            found.lost = found.lost.saturating_sub(rows);
        }
    }
    mend(fresh, &tables, &uid, now)?;
    fresh.execute_batch("COMMIT")?;
    Ok(sum(old, fresh, &found))
}

/// What became of all tables.
fn sum(old: &Connection, fresh: &Connection, found: &[(&Table, Copied)]) -> Copied {
    let queued = (queued_there(old), queued_there(fresh));
    let lost_events = queued.0.zip(queued.1).map(|(there, here)| there.saturating_sub(here));
    let letters = (letters_there(old), letters_there(fresh));
    let lost_letters = letters.0.zip(letters.1).map(|(there, here)| there.saturating_sub(here));
    let mut all = Copied { events: lost_events, letters: lost_letters, ..Copied::default() };
    for (table, copied) in found {
        if !OWN.contains(&&*table.name) {
            all.rows += copied.rows;
        }
        all.gaps += copied.gaps;
        all.lost += match &*table.name {
            "dead_letters" => lost_letters.unwrap_or(copied.lost),
            QUEUE => lost_events.unwrap_or(copied.lost),
            WAITING if lost_events.is_some() => 0,
            _ => copied.lost,
        };
    }
    all
}

/// A place in a table: behind all rows whose key begins with these values or lower ones.
type Key = Vec<Value>;

/// What reading found.
enum Found {
    /// A row and its key; without values where they are not what a column may hold.
    Row(Key, Option<Vec<Value>>),
    /// No further row.
    End,
    /// Damage.
    Damage,
}

struct Copying<'a> {
    old: &'a Connection,
    fresh: &'a Connection,
    table: &'a Table,
    /// Exports that are known.
    names: &'a [String],
    copied: Copied,
}

impl Copying<'_> {
    fn run(&mut self) -> Result<(), StoreError> {
        let mut after: Key = Vec::new();
        while let Some(last) = self.stretch(after)? {
            self.copied.gaps += 1;
            if self.copied.gaps > MAX_GAPS {
                return Ok(());
            }
            let Some(next) = self.leap(&last)? else {
                self.copied.lost += 1;
                return Ok(());
            };
            after = next;
        }
        Ok(())
    }

    /// Copies rows behind a key; returns the last one where damage ended it.
    fn stretch(&mut self, after: Key) -> Result<Option<Key>, StoreError> {
        let Table { name, columns, .. } = self.table;
        let places = vec!["?"; columns.len()].join(", ");
        let names = columns.join(", ");
        let insert = match &**name {
            "meta" => format!("INSERT OR REPLACE INTO meta ({names}) VALUES ({places})"),
            "counters" => format!(
                "INSERT INTO counters ({names}) VALUES ({places})
                 ON CONFLICT (name) DO UPDATE SET value = MAX(value, excluded.value)"
            ),
            _ => format!("INSERT OR IGNORE INTO {name} ({names}) VALUES ({places})"),
        };
        let mut insert = self.fresh.prepare_cached(&insert)?;
        let mut last = after;
        let mut copied = self.copied;
        let damaged = self.read(&last.clone(), 0, None, |found| match found {
            Found::Row(key, values) => {
                if order(&key, &last) != Ordering::Greater {
                    return Ok(Next::Damaged);
                }
                last = key;
                let values = values.filter(|values| self.is_sound(values));
                let put = values.map_or(Ok(0), |values| insert.execute(params_from_iter(values)));
                match put.map_err(|error| (page::is_of_row(&error), StoreError::from(error))) {
                    Ok(0) | Err((true, _)) => copied.lost += 1,
                    Ok(_) => copied.rows += 1,
                    Err((false, error)) => return Err(error),
                }
                Ok(Next::More)
            }
            Found::End => Ok(Next::Ended),
            Found::Damage => Ok(Next::Damaged),
        })?;
        if copied.lost > self.copied.lost {
            copied.gaps += 1;
        }
        self.copied = copied;
        Ok(matches!(damaged, Next::Damaged).then_some(last))
    }

    /// Whether what a row holds is what was written, as far as that can be told.
    fn is_sound(&self, values: &[Value]) -> bool {
        let Table { name, columns, .. } = self.table;
        match &**name {
            QUEUE => Row::of(columns, values).is_some_and(|row| row.is_whole()),
            WAITING => is_whole_retry(columns, values),
            _ => is_sound(self.table, values),
        }
    }

    /// The place from which reading can go on behind damage that follows `last`.
    fn leap(&mut self, last: &[Value]) -> Result<Option<Key>, StoreError> {
        for level in (0..self.table.keys.len()).rev() {
            let prefix = &last[..level.min(last.len())];
            let found = match last.get(level) {
                None if level > 0 => None,
                None => match self.leap_text(prefix, "")? {
                    None => self.leap_number(prefix, None)?.map(|number| vec![number]),
                    found => found,
                },
                Some(Value::Integer(number)) => {
                    self.leap_number(prefix, Some(*number))?.map(|number| vec![number])
                }
                Some(Value::Text(text)) => self.leap_text(prefix, text)?,
                Some(_) => None,
            };
            if let Some(values) = found {
                return Ok(Some(prefix.iter().cloned().chain(values).collect()));
            }
        }
        Ok(None)
    }

    /// The lowest number behind `last` from which a row can be read.
    fn leap_number(
        &mut self,
        prefix: &[Value],
        last: Option<i64>,
    ) -> Result<Option<Value>, StoreError> {
        // No number that the store hands out is lower.
        let from = last.unwrap_or(0);
        let (mut step, mut bad) = (1_i64, from);
        let mut good = loop {
            let Some(at) = from.checked_add(step) else { return Ok(None) };
            if self.can_read(prefix, Value::Integer(at))?.is_some() {
                break at;
            }
            bad = at;
            let Some(next) = step.checked_mul(2) else { return Ok(None) };
            step = next;
        };
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if self.can_read(prefix, Value::Integer(middle))?.is_some() {
                good = middle;
            } else {
                bad = middle;
            }
        }
        // Ids are dense, so the numbers left out are about as many rows.
        self.copied.lost += last.map_or(1, |last| good.abs_diff(last));
        let more = self.can_read(prefix, Value::Integer(good))? == Some(true);
        Ok(more.then_some(Value::Integer(good)))
    }

    /// What stands behind the text `last` and can be read: a text, or one and a number.
    fn leap_text(&mut self, prefix: &[Value], last: &str) -> Result<Option<Key>, StoreError> {
        // Of an export whose first rows are damaged, the later ones are found by its name.
        if self.table.keys.len() > prefix.len() + 1 {
            for name in self.names.iter().filter(|name| name.as_str() > last) {
                let name = Value::Text(name.clone());
                let inside: Key = prefix.iter().cloned().chain([name.clone()]).collect();
                if let Some(number) = self.leap_number(&inside, None)? {
                    return Ok(Some(vec![name, number]));
                }
            }
        }
        // Names begin with letters and digits.
        let begins = (' '..='~').map(String::from).filter(|begin| begin.as_str() > last);
        for text in std::iter::once(last.to_owned()).chain(begins) {
            if self.can_read(prefix, Value::Text(text.clone()))? == Some(true) {
                return Ok(Some(vec![Value::Text(text)]));
            }
        }
        Ok(None)
    }

    /// Whether the row behind a place, among those that begin with `prefix`, can be read; `None`:
    /// it can't, `false`: there is none.
    fn can_read(&self, prefix: &[Value], value: Value) -> Result<Option<bool>, StoreError> {
        let after: Key = prefix.iter().cloned().chain([value]).collect();
        let mut found = None;
        self.read(&after, prefix.len(), Some(1), |row| {
            match row {
                Found::Row(..) => found = Some(true),
                Found::End if found.is_none() => found = Some(false),
                Found::End => {}
                Found::Damage => found = None,
            }
            Ok(if matches!(row, Found::Row(..)) { Next::More } else { Next::Ended })
        })?;
        Ok(found)
    }

    /// Reads rows behind a key, of which the first `fixed` values stay.
    fn read(
        &self,
        after: &[Value],
        fixed: usize,
        limit: Option<u32>,
        mut take: impl FnMut(Found) -> Result<Next, StoreError>,
    ) -> Result<Next, StoreError> {
        let Table { name, keys, columns, .. } = self.table;
        let condition = condition(keys, after.len(), fixed);
        let limit = limit.map(|rows| format!("LIMIT {rows}")).unwrap_or_default();
        // An index that is damaged must not lead the way.
        let sql = format!(
            "SELECT {}, {} FROM {name} NOT INDEXED WHERE {condition} ORDER BY {} {limit}",
            keys.join(", "),
            columns.join(", "),
            keys.join(", ")
        );
        let mut statement = match self.old.prepare_cached(&sql) {
            Ok(statement) => statement,
            Err(error) => return take(damage(error)?),
        };
        let mut rows = statement.query(params_from_iter(after))?;
        loop {
            let found = match rows.next() {
                Ok(None) => Found::End,
                Ok(Some(row)) => {
                    let value = |column| row.get_ref(column).ok().and_then(owned);
                    let key = (0..keys.len()).map(value).collect::<Option<Key>>();
                    let all = keys.len()..keys.len() + columns.len();
                    let values = all.map(value).collect::<Option<Vec<_>>>();
                    key.map_or(Found::Damage, |key| Found::Row(key, values))
                }
                Err(error) => damage(error)?,
            };
            let ends = !matches!(found, Found::Row(..));
            match take(found)? {
                Next::More if !ends => {}
                next => return Ok(next),
            }
        }
    }
}

/// How reading goes on.
enum Next {
    More,
    Ended,
    Damaged,
}

/// The value, where it is one that a column may hold.
fn owned(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(str::from_utf8(text).ok()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

/// In which order two places stand. Damage can make keys run in a circle.
fn order(one: &[Value], other: &[Value]) -> Ordering {
    let values = |(one, other): (&Value, &Value)| match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        // Numbers stand before texts; a key has no others.
        (Value::Integer(_), _) => Ordering::Less,
        _ => Ordering::Greater,
    };
    let differ = one.iter().zip(other).map(values).find(|order| order.is_ne());
    differ.unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// The condition on rows behind a place of so many values, of which the first `fixed` stay.
fn condition(keys: &[String], values: usize, fixed: usize) -> String {
    let stay = keys[..fixed].iter().map(|key| format!("{key} = ?"));
    let rest = &keys[fixed..values];
    let places = vec!["?"; rest.len()].join(", ");
    let behind = (!rest.is_empty()).then(|| format!("({}) > ({places})", rest.join(", ")));
    let all: Vec<_> = stay.chain(behind).collect();
    if all.is_empty() { "TRUE".to_owned() } else { all.join(" AND ") }
}

/// Damage; a disk that fails is something else.
fn damage(error: Error) -> Result<Found, StoreError> {
    match StoreError::from(error) {
        error @ (StoreError::Disk(_) | StoreError::Busy(_)) => Err(error),
        _ => Ok(Found::Damage),
    }
}
