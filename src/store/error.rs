//! What can go wrong with the store, in words that say what to do.

use super::Owner;
use rusqlite::ffi;
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait before a store that failed is asked again.
pub const STORE_RETRY: Duration = Duration::from_secs(1);

/// Why the store did not do what it was asked. One failed commit is told to everyone whose writes
/// were in it, so the error can be cloned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The data directory or a file in it can't be made or opened.
    #[error("{path}: {error}: check that the path is right and that this user may write there")]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// There is no store in the data directory.
    #[error("no store at {0}: check `data_dir` (--data-dir); `postrider run` makes a store")]
    Missing(PathBuf),
    /// The store was written by a newer program.
    #[error(
        "the store {path} is of version {found}, this postrider knows up to {known}: \
         run the newer postrider, or use another `data_dir`"
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The store was written by an older program and only looked at.
    #[error(
        "the store {path} is of version {found}, this postrider needs {known}: \
         start `postrider run` once, it brings the store up to date"
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// The file is some other program's database.
    #[error("{0} is not a postrider store: use another `data_dir`, or move the file away")]
    Foreign(PathBuf),
    /// The disk is full.
    #[error("no room left on the disk of the store: free some space there")]
    Full,
    /// The dead letters of an export, or the malformed lines of a source, are as many bytes as
    /// they may be. Nothing else is affected.
    #[error(
        "no room for more dead letters of {0}: replay or purge some, raise `dlq.max_bytes`, or set \
         `dlq.when_full: drop_oldest`"
    )]
    NoRoom(Owner),
    /// The file is damaged.
    #[error(
        "the store is damaged ({0}): start `postrider run`, it sets the file aside and saves what \
         can be read of it"
    )]
    Corrupt(String),
    /// The disk failed.
    #[error("the disk of the store failed ({0}): check the disk and the system's log")]
    Disk(String),
    /// Another program holds the store.
    #[error("another program holds the store ({0}): close it, then try again")]
    Busy(String),
    /// SQLite refused for another reason.
    #[error("the store refused: {0}: please report this")]
    Sqlite(String),
    /// The store was closed, or its writer has ended.
    #[error("the store is closed: restart postrider")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let text = error.to_string();
        // Beside the file itself, the log's index needs room when it is made.
        let no_index = error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::SystemIoFailure) if no_index => StoreError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                StoreError::Disk(text)
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(text),
            _ => StoreError::Sqlite(text),
        }
    }
}

impl StoreError {
    pub(super) fn path(path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        StoreError::Path { path: path.into(), error: error.to_string() }
    }
}
