//! Going through dead letters to change them, in steps that hold up the writer for milliseconds
//! only: each looks at a bounded number of rows, however few of them are meant.

use super::selection::{Condition, Selection};
use super::transaction::Tx;
use super::{LetterState, StoreError, page};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use std::sync::Arc;

/// How many rows a step looks at.
const STEP_ROWS: usize = 1_024;

/// The same while the disk is full: a step must fit into what the reserve gave.
const SMALL_STEP_ROWS: usize = 128;

/// What changing a dead letter needs to know of it.
#[derive(Debug, Clone)]
pub(super) struct Picked {
    pub(super) id: i64,
    pub(super) export: Option<Arc<str>>,
    pub(super) source: Arc<str>,
    pub(super) state: LetterState,
    /// Of its text.
    pub(super) bytes: i64,
}

/// The columns that [`picked`] reads, in its order.
pub(super) const PICKED: &str = "id, export, source, state, length(text)";

/// Reads a row of [`PICKED`].
pub(super) fn picked(row: &Row<'_>) -> rusqlite::Result<Picked> {
    Ok(Picked {
        id: row.get(0)?,
        export: row.get(1)?,
        source: row.get(2)?,
        state: row.get(3)?,
        bytes: row.get(4)?,
    })
}

/// A stretch of the table that an index leads to, in order of id.
#[derive(Debug, Clone, PartialEq)]
enum Stretch {
    Ids(Vec<i64>),
    Export { export: String, state: LetterState },
    All,
}

impl Stretch {
    /// The stretches that hold all of a selection.
    fn of(selection: &Selection) -> Vec<Stretch> {
        if !selection.ids.is_empty() {
            let mut ids = selection.ids.clone();
            ids.sort_unstable();
            ids.dedup();
            return ids.chunks(STEP_ROWS).map(|ids| Stretch::Ids(ids.to_vec())).collect();
        }
        if selection.exports.is_empty() {
            return vec![Stretch::All];
        }
        let states =
            if selection.states.is_empty() { &LetterState::ALL[..] } else { &selection.states };
        let of_export = |export: &String| {
            let of_state = |state| Stretch::Export { export: export.clone(), state };
            states.iter().copied().map(of_state).collect::<Vec<_>>()
        };
        selection.exports.iter().flat_map(of_export).collect()
    }

    fn sql(&self) -> (&'static str, Vec<Value>) {
        match self {
            Stretch::Ids(ids) => {
                let json = serde_json::to_string(ids).unwrap_or_else(|_| "[]".to_owned());
                ("id IN (SELECT value FROM json_each(?))", vec![Value::Text(json)])
            }
            Stretch::Export { export, state } if export.is_empty() => {
                ("export IS NULL AND state = ?", vec![Value::Integer(*state as i64)])
            }
            Stretch::Export { export, state } => (
                "export = ? AND state = ?",
                vec![Value::Text(export.clone()), Value::Integer(*state as i64)],
            ),
            Stretch::All => ("TRUE", Vec::new()),
        }
    }
}

/// How far a sweep has come.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    /// The stretches to go through, the last one first.
    stretches: Vec<Stretch>,
    condition: Condition,
    after: i64,
    /// How many more dead letters may be picked.
    room: u64,
}

impl Sweep {
    pub(super) fn new(selection: &Selection) -> Self {
        let mut stretches = Stretch::of(selection);
        stretches.reverse();
        // The ids are in the stretches.
        let rest = Selection { ids: Vec::new(), ..selection.clone() };
        Sweep {
            stretches,
            condition: rest.condition(),
            after: i64::MIN,
            room: selection.limit.unwrap_or(u64::MAX),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stretches.is_empty() || self.room == 0
    }

    /// The dead letters of the next step that are meant.
    pub(super) fn step(&mut self, tx: &Tx<'_>) -> Result<Vec<Picked>, StoreError> {
        let Some(stretch) = self.stretches.last() else { return Ok(Vec::new()) };
        let (place, place_values) = stretch.sql();
        let step_rows = if tx.state.disk_full { SMALL_STEP_ROWS } else { STEP_ROWS };
        let mut statement = tx.conn.prepare_cached(&format!(
            "SELECT {PICKED}, ({}) FROM dead_letters WHERE {place} AND id > ? ORDER BY id LIMIT ?",
            self.condition.sql
        ))?;
        let cursor = [Value::Integer(self.after), Value::Integer(step_rows as i64)];
        let values = self.condition.values.iter().chain(&place_values).chain(&cursor);
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            looked_at += 1;
            self.after = row.get(0)?;
            if row.get::<_, Option<bool>>(5)? != Some(true) {
                continue;
            }
            // A damaged row is left where it is.
            let Some(letter) = page::known(picked(row))? else { continue };
            found.push(letter);
            self.room -= 1;
            if self.room == 0 {
                return Ok(found);
            }
        }
        if looked_at < step_rows {
            self.stretches.pop();
            self.after = i64::MIN;
        }
        Ok(found)
    }
}

impl Tx<'_> {
    /// The dead letter of that id; `None` where it is gone, or damaged: that must not fail every
    /// commit from now on.
    pub(super) fn pick(&self, id: i64) -> Result<Option<Picked>, StoreError> {
        let sql = format!("SELECT {PICKED} FROM dead_letters WHERE id = ?1");
        let found = self.conn.prepare_cached(&sql)?.query_row([id], picked).optional();
        Ok(page::known(found)?.flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_looked_for_where_an_index_leads() {
        let of_export = |export: &str, state| Stretch::Export { export: export.to_owned(), state };
        let exports = vec!["a".to_owned()];
        for (selection, stretches) in [
            (Selection::default(), vec![Stretch::All]),
            (
                Selection { ids: vec![5, 3, 5], exports: exports.clone(), ..Selection::default() },
                vec![Stretch::Ids(vec![3, 5])],
            ),
            (
                Selection { exports: exports.clone(), ..Selection::default() },
                LetterState::ALL.map(|state| of_export("a", state)).to_vec(),
            ),
            (
                Selection { exports, states: vec![LetterState::Dead], ..Selection::default() },
                vec![of_export("a", LetterState::Dead)],
            ),
        ] {
            assert_eq!(Stretch::of(&selection), stretches, "{selection:?}");
        }
    }
}
