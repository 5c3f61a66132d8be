//! What of a file source could not be looked at or read: told once, with what to do.

use crate::trouble::is_out_of_files;
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// Troubles that were told and last.
#[derive(Debug)]
pub(super) struct Complaints {
    source: Arc<str>,
    /// One for each folder and kind.
    told: HashSet<(PathBuf, ErrorKind)>,
}

impl Complaints {
    pub(super) fn new(source: &Arc<str>) -> Self {
        Complaints { source: Arc::clone(source), told: HashSet::new() }
    }

    /// Tells the troubles of a look that the one before did not have.
    pub(super) fn tell(&mut self, troubles: &[(PathBuf, io::Error)]) {
        let mut last = HashSet::new();
        for (path, error) in troubles {
            let folder = path.parent().unwrap_or(path).to_owned();
            let cause = (folder, error.kind());
            if !self.told.contains(&cause) && !last.contains(&cause) {
                self.warn(path, error);
            }
            last.insert(cause);
        }
        self.told = last;
    }

    /// Tells one trouble.
    pub(super) fn warn(&self, path: &Path, error: &io::Error) {
        warn!(
            source = %self.source, path = %path.display(), %error, fix = fix(error),
            "a file cannot be read; the others go on, and it is tried again"
        );
    }
}

/// What to do about it.
fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "let the user that postrider runs as read the file and enter its folders, as by a group or `setfacl`"
        }
        _ if is_out_of_files(error) => {
            "let the process open more files: LimitNOFILE= of its unit, or `ulimit -n`"
        }
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
            "check it with `gzip -t`; the text before that place was taken in"
        }
        _ => "look after the disk or file system; narrower globs leave the file out",
    }
}
