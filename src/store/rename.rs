//! Exports and sources that go on under another name (`former_names`). Numbers and ids are unique
//! over all names, so that what two names had falls into place under one.

use super::transaction::Tx;
use super::{Store, StoreError};
use rusqlite::params;
use std::sync::Arc;

impl Store {
    /// Gives all that the store has of the export `from` to `to`: queue, waiting retries, dead
    /// letters, own events about it, endpoints and rate limit; of the last two what `to` has of
    /// its own counts. One transaction, before either export works. Returns how many rows changed.
    ///
    /// # Errors
    /// When the commit fails; nothing is changed then.
    pub async fn rename_export(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        let (from, to): (Arc<str>, Arc<str>) = (from.into(), to.into());
        self.write((1024, 0), move |tx| tx.rename_export(&from, &to)).await
    }

    /// Gives all that the store has of the source `from` to `to`: files, whether it has started
    /// (before `to`, where both have), and dead letters. One transaction, before either source
    /// works. Returns how many rows changed.
    ///
    /// # Errors
    /// When the commit fails; nothing is changed then.
    pub async fn rename_source(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        let (from, to): (Arc<str>, Arc<str>) = (from.into(), to.into());
        self.write((1024, 0), move |tx| tx.rename_source(&from, &to)).await
    }
}

impl Tx<'_> {
    fn rename_export(&mut self, from: &str, to: &str) -> Result<u64, StoreError> {
        // An empty export is a line that is no event.
        if from == to || from.is_empty() || to.is_empty() {
            return Ok(0);
        }
        // Told under the name that their letters had.
        self.tell_of_folds(None)?;
        let mut changed = 0;
        for table in ["queue", "waiting", "dead_letters"] {
            let sql = format!("UPDATE {table} SET export = ?2 WHERE export = ?1");
            changed += self.conn.execute(&sql, params![from, to])?;
        }
        let about = "UPDATE outbox SET about = ?2 WHERE about = ?1";
        changed += self.conn.execute(about, params![from, to])?;
        for table in ["endpoints", "limiters"] {
            let sql = format!("UPDATE OR IGNORE {table} SET export = ?2 WHERE export = ?1");
            changed += self.conn.execute(&sql, params![from, to])?;
            changed +=
                self.conn.execute(&format!("DELETE FROM {table} WHERE export = ?1"), [from])?;
        }
        self.state.queue_totals.rename(from, to);
        self.state.totals.rename((Some(from), ""), (Some(to), ""));
        Ok(changed as u64)
    }

    fn rename_source(&mut self, from: &str, to: &str) -> Result<u64, StoreError> {
        if from == to {
            return Ok(0);
        }
        let mut changed = self.conn.execute(
            "INSERT INTO file_sources (source, started_at)
             SELECT ?2, started_at FROM file_sources WHERE source = ?1
             ON CONFLICT (source) DO UPDATE SET started_at = MIN(started_at, excluded.started_at)",
            params![from, to],
        )?;
        self.conn.execute("DELETE FROM file_sources WHERE source = ?1", [from])?;
        changed += self
            .conn
            .execute("UPDATE files SET source = ?2 WHERE source = ?1", params![from, to])?;
        changed += self.rename_source_of_letters(from, to)?;
        self.state.totals.rename((None, from), (None, to));
        Ok(changed as u64)
    }

    /// Nothing leads from a source to its letters, so all are gone through, but only once: a
    /// former name stays in the configuration for a long time.
    fn rename_source_of_letters(&self, from: &str, to: &str) -> Result<usize, StoreError> {
        let done = self.conn.execute(
            "INSERT INTO meta (key, value) VALUES ('source ' || ?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
            params![from, to],
        )? == 0;
        // Who comes back to an earlier name is renamed anew.
        self.conn.execute("DELETE FROM meta WHERE key = 'source ' || ?1", [to])?;
        // Malformed lines are found by their export, which they do not have, and are counted by
        // their source.
        let which = if done { "export IS NULL AND source = ?1" } else { "source = ?1" };
        let sql = format!("UPDATE dead_letters SET source = ?2 WHERE {which}");
        Ok(self.conn.execute(&sql, params![from, to])?)
    }
}
