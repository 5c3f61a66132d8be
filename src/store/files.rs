//! Where file sources stand: one row per file, found again by the file's identity.

use super::codec::{decode_ranges, encode_ranges};
use super::transaction::Tx;
use super::{StoreError, page, times};
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
