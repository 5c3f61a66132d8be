//! Where file sources stand: one row per file, found again by the file's identity.

use super::codec::{decode_ranges, encode_ranges};
use super::transaction::Tx;
use super::{Store, StoreError, page, times};
use crate::ack::Settled;
use crate::event::StreamId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What is known of a file: who it is, and what of it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Where it was seen last.
    pub path: PathBuf,
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// How many bytes of its head are hashed.
    pub head_len: u64,
    /// SHA-256 of its head.
    pub head_hash: [u8; 32],
    /// What of it is settled.
    pub settled: Settled,
    /// How long it was when this was saved, in bytes.
    pub size: u64,
    /// Whether it was read to its end and is not read again.
    pub done: bool,
}

/// A file to enter, before its first line is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its random uid, the stream of its events.
    pub uid: StreamId,
    /// What is known of it.
    pub state: FileState,
}

/// A file as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its row, for checkpoints.
    pub id: i64,
    /// Its uid, the stream of its events.
    pub uid: StreamId,
    /// What is known of it.
    pub state: FileState,
    /// When it was saved last.
    pub updated_at: Timestamp,
}

/// The files of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFiles {
    /// When the source first started; `None`: never, so `read_from: end` holds for what is there
    /// now.
    pub started_at: Option<Timestamp>,
    /// Its files.
    pub files: Vec<StoredFile>,
    /// Rows that could not be understood; their files count as new.
    pub skipped: usize,
}

impl Store {
    /// The files of a source, and when it started first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn files(&self, source: &str) -> Result<StoredFiles, StoreError> {
        let source = source.to_owned();
        self.between("read", move |conn| load(conn, &source)).await
    }

    /// Enters files of a source, and that it has started, also where there is no file yet. On disk
    /// when this returns. Returns the files' ids in order.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn add_files(
        &self,
        source: &str,
        files: Vec<NewFile>,
    ) -> Result<Vec<i64>, StoreError> {
        let source = source.to_owned();
        let rows = files.len() + 1;
        self.write((rows, rows * 256), move |tx| tx.add_files(&source, &files)).await
    }

    /// Saves where files stand, by their ids; written with the next commit, and of several saves
    /// of a file only the last.
    pub fn save_checkpoints(&self, checkpoints: impl IntoIterator<Item = (i64, FileState)>) {
        self.ride(|riders| riders.checkpoints.extend(checkpoints));
    }

    /// Forgets files that are gone.
    ///
    /// # Errors
    /// When the commit fails.
    pub async fn forget_files(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        self.write_freeing((ids.len(), 0), move |tx| tx.forget_files(&ids)).await
    }
}

impl Tx<'_> {
    /// Enters files of a source, and that it has started; returns their ids in order.
    pub(super) fn add_files(
        &mut self,
        source: &str,
        files: &[NewFile],
    ) -> Result<Vec<i64>, StoreError> {
        self.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO file_sources (source, started_at) VALUES (?1, ?2)",
            )?
            .execute(params![source, self.now])?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO files (source, uid, path, device, inode, head_len, head_hash, watermark,
                size, done, updated_at, settled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        let mut ids = Vec::with_capacity(files.len());
        for NewFile { uid, state } in files {
            insert.execute(params![
                source,
                uid.as_bytes(),
                state.path.as_os_str().as_bytes(),
                state.device as i64,
                state.inode as i64,
                state.head_len as i64,
                state.head_hash,
                state.settled.watermark as i64,
                state.size as i64,
                state.done,
                self.now,
                encode_ranges(&state.settled),
            ])?;
            ids.push(self.conn.last_insert_rowid());
        }
        Ok(ids)
    }

    /// Saves where a file stands; one that was forgotten stays so.
    pub(super) fn save_checkpoint(&mut self, id: i64, state: &FileState) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE files SET path = ?2, device = ?3, inode = ?4, head_len = ?5, head_hash = ?6,
                    watermark = ?7, size = ?8, done = ?9, updated_at = ?10, settled = ?11
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                state.path.as_os_str().as_bytes(),
                state.device as i64,
                state.inode as i64,
                state.head_len as i64,
                state.head_hash,
                state.settled.watermark as i64,
                state.size as i64,
                state.done,
                self.now,
                encode_ranges(&state.settled),
            ])?;
        Ok(())
    }

    /// Deletes the rows of files that are gone.
    pub(super) fn forget_files(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let mut delete = self.conn.prepare_cached("DELETE FROM files WHERE id = ?1")?;
        for id in ids {
            delete.execute([id])?;
        }
        Ok(())
    }
}

/// The files of a source.
pub(super) fn load(conn: &Connection, source: &str) -> Result<StoredFiles, StoreError> {
    let started_at = conn
        .prepare_cached("SELECT started_at FROM file_sources WHERE source = ?1")?
        .query_row([source], |row| times::get(row, 0))
        .optional()?;
    let mut statement = conn.prepare_cached(
        "SELECT id, uid, path, device, inode, head_len, head_hash, watermark, size, done,
            updated_at, settled
         FROM files WHERE source = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([source])?;
    let mut stored = StoredFiles { started_at, files: Vec::new(), skipped: 0 };
    while let Some(row) = rows.next()? {
        match file(row) {
            Ok(file) => stored.files.push(file),
            Err(error) if page::is_foreign(&error) => stored.skipped += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(stored)
}

fn file(row: &Row<'_>) -> rusqlite::Result<StoredFile> {
    let unsigned = |column| row.get::<_, i64>(column).map(|number| number as u64);
    let watermark = unsigned(7)?;
    let ranges = decode_ranges(watermark, row.get_ref(11)?.as_blob()?);
    Ok(StoredFile {
        id: row.get(0)?,
        uid: StreamId::from_bytes(row.get(1)?),
        state: FileState {
            path: PathBuf::from(OsString::from_vec(row.get(2)?)),
            device: unsigned(3)?,
            inode: unsigned(4)?,
            head_len: unsigned(5)?,
            head_hash: row.get(6)?,
            settled: Settled {
                watermark,
                // Without its ranges a file repeats events and loses none.
                ranges: ranges.unwrap_or_default(),
            },
            size: unsigned(8)?,
            done: row.get(9)?,
        },
        updated_at: times::get(row, 10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, START_MS, time};
    use super::*;

    fn state(watermark: u64) -> FileState {
        FileState {
            path: OsString::from_vec(b"/var/log/\xff.jsonl".to_vec()).into(),
            device: u64::MAX,
            inode: 1 << 63,
            head_len: 1024,
            head_hash: [9; 32],
            settled: Settled { watermark, ranges: vec![(watermark + 1, watermark + 5)] },
            size: watermark + 10,
            done: true,
        }
    }

    fn new(watermark: u64) -> NewFile {
        NewFile { uid: StreamId::random(), state: state(watermark) }
    }

    #[tokio::test]
    async fn files_are_found_again_after_a_crash() {
        let bench = Bench::new();
        let store = bench.open();
        let (one, two) = (new(0), new(u64::MAX / 2));
        let ids = store.add_files("app", vec![one.clone(), two.clone()]).await.unwrap();
        let bench = bench.crashed();
        let store = bench.open();
        let stored = store.files("app").await.unwrap();
        assert_eq!((stored.started_at, stored.skipped), (Some(time(START_MS)), 0));
        for ((file, new), id) in stored.files.iter().zip([one, two]).zip(ids) {
            assert_eq!((file.id, file.uid, &file.state), (id, new.uid, &new.state));
        }
        assert_eq!(store.files("other").await.unwrap().files, []);
    }

    #[tokio::test]
    async fn a_source_that_found_nothing_has_still_started() {
        let bench = Bench::new();
        let store = bench.open();
        assert_eq!(store.files("app").await.unwrap().started_at, None);
        store.add_files("app", vec![]).await.unwrap();
        bench.advance_ms(5000);
        store.add_files("app", vec![]).await.unwrap();
        assert_eq!(store.files("app").await.unwrap().started_at, Some(time(START_MS)));
    }

    #[tokio::test]
    async fn the_last_checkpoint_of_a_file_counts() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = store.add_files("app", vec![new(0), new(0)]).await.unwrap();
        bench.advance_ms(1000);
        store.save_checkpoints((1..=9).map(|watermark| (ids[0], state(watermark))));
        store.close().await.unwrap();
        let files = bench.open().files("app").await.unwrap().files;
        assert_eq!((&files[0].state, files[0].updated_at), (&state(9), time(START_MS + 1000)));
        assert_eq!(files[1].state, state(0));
    }

    #[tokio::test]
    async fn a_late_checkpoint_of_a_forgotten_file_meets_no_other_one() {
        let bench = Bench::new();
        let store = bench.open();
        let old = store.add_files("app", vec![new(0)]).await.unwrap();
        store.forget_files(old.clone()).await.unwrap();
        let fresh = store.add_files("app", vec![new(1)]).await.unwrap();
        assert_ne!(old, fresh);
        store.save_checkpoints([(old[0], state(500))]);
        store.close().await.unwrap();
        let files = bench.open().files("app").await.unwrap().files;
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].state, state(1));
    }

    #[tokio::test]
    async fn damaged_rows_are_left_out_or_lose_their_ranges() {
        let bench = Bench::new();
        let store = bench.open();
        store.add_files("app", vec![new(1), new(2), new(3)]).await.unwrap();
        bench
            .sql()
            .execute_batch(
                "UPDATE files SET uid = x'00' WHERE watermark = 1;
                 UPDATE files SET settled = x'ff' WHERE watermark = 2",
            )
            .unwrap();
        let stored = store.files("app").await.unwrap();
        assert_eq!((stored.files.len(), stored.skipped), (2, 1));
        assert_eq!(stored.files[0].state.settled, Settled { watermark: 2, ranges: vec![] });
    }
}
