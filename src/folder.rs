//! Folders, made so that they outlive a loss of power.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The folders in which something has to be made so that there can be something at `path`: the
/// nearest first, up to the first one that exists.
pub(crate) fn holders(path: &Path) -> Vec<PathBuf> {
    let mut holders = Vec::new();
    for folder in path.ancestors().skip(1) {
        // Of a bare name: the folder that it counts from.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        holders.push(folder.to_owned());
        if folder.is_dir() {
            break;
        }
    }
    holders
}

/// Brings on disk what was made in a folder. Where that cannot be asked for, it is the system's
/// business: this user may not read the folder, or the file system syncs none.
///
/// # Errors
/// What the system says.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}
