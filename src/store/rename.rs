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

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::super::testing::{kept, queued};
    use super::super::{EndpointChange, EndpointRow, EndpointState, FileState, Kept, NewFile};
    use super::super::{Replaces, Restored, Store, Total};
    use crate::ack::Settled;
    use crate::delivery::{Claim, RowId};
    use crate::event::StreamId;

    fn file(path: &str) -> NewFile {
        let state = FileState {
            path: path.into(),
            device: 1,
            inode: 2,
            head_len: 0,
            head_hash: [0; 32],
            settled: Settled::default(),
            size: 9,
            done: false,
        };
        NewFile { uid: StreamId::random(), state }
    }

    #[tokio::test]
    async fn a_source_takes_its_files_and_letters_along() {
        let bench = Bench::new();
        let store = bench.open();
        store.add_files("old", vec![file("a"), file("b")]).await.unwrap();
        bench.advance_ms(60_000);
        store.add_files("new", vec![file("c")]).await.unwrap();
        for source in ["old", "new", "old"] {
            let letter = testing::malformed(source, 1);
            store.bury(letter, Replaces::Nothing, None).await.unwrap();
        }
        let mut letter = testing::letter("alerts", 1);
        letter.source = "old".into();
        store.bury(letter.clone(), Replaces::Nothing, None).await.unwrap();
        assert_eq!(store.rename_source("new", "new").await, Ok(0));
        // Started, two files, two malformed lines, one letter.
        assert_eq!(store.rename_source("old", "new").await, Ok(6));
        assert_eq!(store.rename_source("old", "new").await, Ok(0));
        let files = store.files("new").await.unwrap();
        assert_eq!(files.files.len(), 3);
        assert_eq!(files.started_at, Some(testing::time(START_MS)), "the earlier start counts");
        assert_eq!(store.files("old").await.unwrap().started_at, None);
        assert_eq!(bench.number("SELECT COUNT(*) FROM dead_letters WHERE source = 'old'"), 0);
        let malformed = |source: &str| {
            let of = |total: &Total| total.source.as_deref() == Some(source);
            store.totals().into_iter().find(of).map_or(0, |total| total.count.letters)
        };
        assert_eq!((malformed("old"), malformed("new")), (0, 3));
        // Back to the earlier name, and on again: all that was done before is done anew.
        store.rename_source("new", "old").await.unwrap();
        store.rename_source("old", "new").await.unwrap();
        assert_eq!(bench.number("SELECT COUNT(*) FROM dead_letters WHERE source = 'new'"), 4);
        store.close().await.unwrap();
        assert_eq!(bench.open().totals().iter().map(|total| total.count.letters).sum::<i64>(), 4);
    }

    async fn offsets(store: &Store) -> Vec<u64> {
        let queued = queued(store, "new").await;
        queued.iter().map(|one| one.delivery.event.origin.position.offset).collect()
    }

    fn waiting(n: u64, due_ms: i64) -> Kept {
        Kept { due: Some(testing::time(due_ms)), ..kept(n) }
    }

    fn row(restored: &Restored) -> RowId {
        match restored.delivery.claim {
            Claim::Row(row) => row,
            ref claim => panic!("{claim:?}"),
        }
    }

    #[tokio::test]
    async fn two_names_become_one() {
        let bench = Bench::new();
        let store = bench.open();
        for (n, export) in [(0, "old"), (1, "new"), (2, "old")] {
            store.keep(export, vec![kept(n), waiting(n + 10, START_MS - n as i64)]).await.unwrap();
            let letter = testing::letter(export, n);
            store.bury(letter, Replaces::Nothing, None).await.unwrap();
        }
        store.save_limiter(&"old".into(), vec![testing::time(START_MS)]);
        let endpoint = |export: &str, endpoint: &str| EndpointChange {
            export: export.into(),
            endpoint: endpoint.to_owned(),
            row: Some(EndpointRow {
                state: EndpointState::Down,
                reason: String::new(),
                last_status: None,
                since: testing::time(START_MS),
                probes: 0,
                fingerprint: export.to_owned(),
            }),
            event: None,
        };
        for change in [endpoint("old", "a"), endpoint("old", "b"), endpoint("new", "b")] {
            store.endpoint_changed(change).await.unwrap();
        }
        assert!(store.rename_export("old", "new").await.unwrap() > 0);
        for store in [store.clone(), bench.crashed().open()] {
            assert_eq!(offsets(&store).await, [0, 1, 2, 12, 11, 10]);
            assert_eq!(queued(&store, "old").await.len(), 0);
            let total = store.queue_total("new");
            assert_eq!((total.events, total.waiting), (3, 3));
            assert_eq!((store.total("new").letters, store.total("old").letters), (3, 0));
            assert_eq!(store.limiter("new").await.unwrap(), [testing::time(START_MS)]);
            let endpoints = store.endpoints("new").await.unwrap();
            let whose: Vec<_> = endpoints.iter().map(|(_, row)| &*row.fingerprint).collect();
            assert_eq!(whose, ["old", "new"], "its own counts");
            assert_eq!(store.endpoints("old").await.unwrap(), []);
            let outbox = store.outbox_after(0, 9).await.unwrap().items;
            assert!(outbox.iter().all(|event| event.about.as_deref() == Some("new")));
        }
        let rows = queued(&store, "new").await;
        rows.iter().for_each(|one| store.settle_row(&"new".into(), row(one)));
        assert_eq!(store.rename_export("old", "new").await, Ok(0));
        assert_eq!(store.queue_totals(), []);
        assert_eq!(store.rename_export("new", "new").await, Ok(0));
        assert_eq!(store.total("new").letters, 3);
    }
}
