//! Where a layer of the configuration comes from, as problems name it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a layer comes from.
#[derive(Debug, Clone)]
pub(in crate::config) struct Origin {
    /// As problems name it: the file as it was given, the variable's name, `--set PATH`.
    pub(in crate::config) label: String,
    /// The text of a file, to point into it.
    pub(in crate::config) text: Option<Arc<str>>,
    /// What relative paths count from.
    pub(in crate::config) base: PathBuf,
}

impl Origin {
    pub(in crate::config) fn file(label: String, path: &Path, text: Arc<str>) -> Origin {
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Origin { label, text: Some(text), base }
    }

    pub(in crate::config) fn outside(label: impl Into<String>, working_dir: &Path) -> Origin {
        Origin { label: label.into(), text: None, base: working_dir.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}
