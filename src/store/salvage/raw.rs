//! Copying what SQLite can't reach any more: the pages of a table are found by the map, or by what
//! stands in them, and their records read one by one.

use super::btree::{self, Cell, Kind};
use super::chunks::{self, QUEUE, Row, Strays, WAITING};
use super::map::{Map, Owner};
use super::pages::Pages;
use super::tables::{Column, Table};
use crate::event::Text;
use crate::store::{StoreError, database::PAGE_BYTES, page};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The pages of a store, and the rows that go from them into a fresh one.
pub(super) struct Rescue<'a> {
    pages: Pages,
    map: Map,
    /// The tables by their topmost pages.
    roots: HashMap<u32, &'a Table>,
    /// Those of which something could not be read otherwise.
    wanted: Vec<&'a Table>,
    fresh: &'a Connection,
    /// How many rows were written of each.
    written: HashMap<&'a str, u64>,
}

impl<'a> Rescue<'a> {
    /// `path`: the file that `old` reads, which may be a copy.
    pub(super) fn new(
        path: &Path,
        old: &Connection,
        fresh: &'a Connection,
        tables: &'a [Table],
        wanted: &HashSet<String>,
    ) -> Result<Self, StoreError> {
        let pages = Pages::open(path).map_err(|error| StoreError::path(path, &error))?;
        let map = Map::read(&pages);
        let mut roots = HashMap::new();
        // Where the old store does not say where its tables are: they are there in each.
        for conn in [fresh, old] {
            for (name, root) in topmost(conn).unwrap_or_default() {
                if let Some(table) = tables.iter().find(|table| table.name == name) {
                    roots.retain(|_, known: &mut &Table| known.name != name);
                    roots.insert(root, table);
                }
            }
        }
        let wanted = tables.iter().filter(|table| wanted.contains(&table.name)).collect();
        Ok(Rescue { pages, map, roots, wanted, fresh, written: HashMap::new() })
    }

    /// Writes all that is found; returns how many rows of each table that is.
    pub(super) fn run(mut self, names: &[String]) -> Result<HashMap<&'a str, u64>, StoreError> {
        for number in 1..=self.pages.count {
            let owner = self.map.owner(number);
            let of_none = match owner {
                Owner::Root(root) => !self.is_wanted(root),
                Owner::Nothing => true,
                Owner::Unknown => false,
            };
            if of_none {
                continue;
            }
            let Some(page) = self.pages.read(number) else { continue };
            // The first page has the file's head before its own; none of the tables stands there.
            for cell in btree::cells(&*page).into_iter().filter(|_| number > 1) {
                self.cell(number, &cell, owner, btree::kind(&*page))?;
            }
        }
        if self.wanted.iter().any(|table| table.name == QUEUE || table.name == WAITING) {
            self.strays(names)?;
        }
        Ok(self.written)
    }

    fn is_wanted(&self, root: u32) -> bool {
        let table = self.roots.get(&root);
        table.is_some_and(|table| self.wanted.iter().any(|wanted| wanted.name == table.name))
    }

    fn cell(
        &mut self,
        number: u32,
        cell: &Cell<'_>,
        owner: Owner,
        kind: Option<Kind>,
    ) -> Result<(), StoreError> {
        if cell.len > self.pages.count as usize * PAGE_BYTES {
            return Ok(());
        }
        let Some(table) = self.table(cell, owner, kind) else { return Ok(()) };
        let (mut bytes, mut intact) = (cell.local.to_vec(), cell.len);
        if let Some(first) = cell.overflow {
            let rest = cell.len - bytes.len();
            let (rest, known) = self.map.chain(&self.pages, first, number, rest);
            intact = bytes.len() + known;
            bytes.extend(rest);
        }
        let Some(values) = values(table, cell, &bytes) else { return Ok(()) };
        let written = match &*table.name {
            QUEUE => {
                let Some(row) = Row::of(&table.columns, &values) else { return Ok(()) };
                let before = bytes.len().saturating_sub(row.chunk.len());
                match intact == bytes.len() && row.is_whole() {
                    true => self.insert(table, values)?,
                    false => row.put_remains(self.fresh, intact.saturating_sub(before))? > 0,
                }
            }
            WAITING => {
                chunks::is_whole_retry(&table.columns, &values) && self.insert(table, values)?
            }
            _ => intact == bytes.len() && is_sound(table, &values) && self.insert(table, values)?,
        };
        *self.written.entry(&table.name).or_default() += u64::from(written);
        Ok(())
    }

    /// The table that a cell is a row of, as far as its beginning tells.
    fn table(&self, cell: &Cell<'_>, owner: Owner, kind: Option<Kind>) -> Option<&'a Table> {
        let fits = |table: &&&'a Table| {
            table.has_rowid == (kind == Some(Kind::Rows))
                && values(table, cell, cell.local).is_some()
        };
        match owner {
            Owner::Root(root) => self.roots.get(&root).filter(fits).copied(),
            Owner::Unknown => {
                let mut found = self.roots.values().filter(fits);
                let table = found.next().filter(|_| found.next().is_none())?;
                self.wanted.iter().find(|wanted| wanted.name == table.name).copied()
            }
            Owner::Nothing => None,
        }
    }

    fn insert(&self, table: &Table, values: Vec<Value>) -> Result<bool, StoreError> {
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({places})",
            table.name,
            table.columns.join(", ")
        );
        match self.fresh.prepare_cached(&sql)?.execute(params_from_iter(values)) {
            Ok(rows) => Ok(rows > 0),
            Err(error) if page::is_of_row(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Events in chains whose rows are lost.
    fn strays(&mut self, names: &[String]) -> Result<(), StoreError> {
        let mut strays = Strays::default();
        for (first, owner) in self.map.unread_chains() {
            let table = match owner {
                Owner::Root(root) => self.roots.get(&root).map(|table| &*table.name),
                Owner::Unknown => Some(QUEUE),
                Owner::Nothing => None,
            };
            if table.is_some_and(|table| table == QUEUE || table == WAITING) {
                strays.add(&self.map.headless(&self.pages, first), names);
            }
        }
        *self.written.entry(QUEUE).or_default() += strays.put(self.fresh)? as u64;
        Ok(())
    }
}

/// The topmost pages of tables.
fn topmost(conn: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut tables =
        conn.prepare("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'")?;
    tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The values of a row in the order of its table's columns; `None` where they are not what these
/// may hold. `bytes` may be only its beginning, where that has all but a part of a BLOB at its end.
fn values(table: &Table, cell: &Cell<'_>, bytes: &[u8]) -> Option<Vec<Value>> {
    let stored = btree::record(bytes)?;
    if stored.len() != table.columns.len() {
        return None;
    }
    let mut values = vec![Value::Null; stored.len()];
    // Without row ids, the key's columns stand first.
    let first = if table.has_rowid { &[][..] } else { &table.keys[..] };
    let rest = table.columns.iter().filter(|column| !first.contains(column));
    for (name, value) in first.iter().chain(rest).zip(stored) {
        let at = table.columns.iter().position(|column| column == name)?;
        let is_rowid = table.has_rowid && table.keys.contains(name);
        let value = if is_rowid { Value::Integer(cell.rowid?) } else { value };
        fits(&table.kinds[at], &value).then(|| values[at] = value)?;
    }
    Some(values)
}

fn fits(column: &Column, value: &Value) -> bool {
    match value {
        Value::Null => !column.not_null,
        Value::Integer(_) => column.kind == "INTEGER",
        Value::Text(_) => column.kind == "TEXT",
        Value::Blob(_) => column.kind == "BLOB",
        Value::Real(_) => false,
    }
}

/// Whether a dead letter's event is one; of other rows nothing is known.
pub(super) fn is_sound(table: &Table, values: &[Value]) -> bool {
    if table.name != "dead_letters" {
        return true;
    }
    let value = |name: &str| {
        table.columns.iter().position(|column| column == name).and_then(|at| values.get(at))
    };
    match (value("audit_id"), value("text")) {
        // Not an event: a line as it came.
        (Some(Value::Null), Some(Value::Blob(_))) => true,
        (Some(_), Some(Value::Blob(text))) => {
            String::from_utf8(text.clone()).is_ok_and(|text| Text::check(text).is_ok())
        }
        _ => false,
    }
}
