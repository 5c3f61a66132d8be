//! The lock of a data directory: one program at a time works on the store in it.
//!
//! It is held through the open file `data_dir/lock`, so it ends with the process however that
//! ends. The process id inside is for people only. Looking at the store needs no lock.

use super::database;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// The file's name in the data directory.
pub(super) const FILE_NAME: &str = "lock";

/// How often a lock that another holds is tried again.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// The lock of a data directory; dropping it gives the directory free.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another program holds it.
    #[error(
        "{data_dir} is in use by {}: stop that one, or give this one another `data_dir`",
        holder.map_or("another postrider".to_owned(), |pid| format!("postrider with process id {pid}"))
    )]
    Held {
        /// The directory.
        data_dir: PathBuf,
        /// The holder, where it said so.
        holder: Option<u32>,
    },
    /// The directory or the file can't be made or opened.
    #[error("{path}: {error}: check that the path is right and that this user may write there")]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl DataDirLock {
    /// Takes the lock, making the directory where it is missing and waiting at most `wait` for
    /// another holder to give it up.
    ///
    /// # Errors
    /// When the holder keeps it for longer, or the file can't be opened.
    pub async fn take(data_dir: &Path, wait: Duration) -> Result<Self, LockError> {
        let failed = |path: &Path, error| LockError::Path { path: path.to_owned(), error };
        database::create_dir(data_dir).map_err(|error| failed(data_dir, error))?;
        let path = data_dir.join(FILE_NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        let until = Instant::now() + wait;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    if !std::mem::replace(&mut said, true) {
                        let holder = holder(&mut file);
                        info!(data_dir = %data_dir.display(), holder, "waiting for another postrider to end");
                    }
                    tokio::time::sleep(TRY_EVERY.min(until - Instant::now())).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held {
                        data_dir: data_dir.to_owned(),
                        holder: holder(&mut file),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
            }
        }
        // The lock holds without the id, so a full disk is no reason to refuse it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DataDirLock { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_holder_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDirLock::take(dir.path(), Duration::ZERO).await.unwrap();
        let refused = DataDirLock::take(dir.path(), Duration::from_secs(15)).await.unwrap_err();
        let pid = std::process::id();
        assert!(refused.to_string().contains(&format!("process id {pid}:")), "{refused}");
        drop(held);
        DataDirLock::take(dir.path(), Duration::ZERO).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_given_up_in_time_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDirLock::take(dir.path(), Duration::ZERO).await.unwrap();
        let waiting = DataDirLock::take(dir.path(), Duration::from_secs(15));
        let give_up = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(held);
        };
        assert!(tokio::join!(waiting, give_up).0.is_ok());
    }

    #[tokio::test]
    async fn what_a_crashed_holder_left_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "not a number, and longer than a process id")
            .unwrap();
        let _lock = DataDirLock::take(dir.path(), Duration::ZERO).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("lock")).unwrap(),
            format!("{}\n", std::process::id())
        );
    }

    #[tokio::test]
    async fn a_path_that_is_no_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDirLock::take(&file, Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}
