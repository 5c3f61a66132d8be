//! Whether the files of the configuration have changed: what they hold counts, not that somebody
//! touched them or something beside them. Watching them is the business of `cli::reload`.

use super::load::{MAX_FILE_BYTES, files_of};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// So many links may lead from one to the next.
const MAX_LINKS: usize = 8;

/// What files hold, as hashes; of a folder, which files of it belong to the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, [u8; 32]>);

impl Contents {
    /// What they hold now.
    pub fn of(files: &[PathBuf]) -> Contents {
        Contents(files.iter().map(|file| (file.clone(), hash(file))).collect())
    }

    /// What the same files hold now.
    pub fn anew(&self) -> Contents {
        Contents(self.0.keys().map(|file| (file.clone(), hash(file))).collect())
    }

    /// What was looked at before these files were read: for those known here what stands here, so
    /// that a change in between is seen; for others what they hold now.
    pub fn with(&self, files: &[PathBuf]) -> Contents {
        let known = |file: &PathBuf| self.0.get(file).copied().unwrap_or_else(|| hash(file));
        Contents(files.iter().map(|file| (file.clone(), known(file))).collect())
    }

    /// The folders in which something happens when one of them changes, be it a link on the way to
    /// it.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for file in self.0.keys() {
            if file.is_dir() {
                found.insert(file.clone());
            }
            let mut way = file.clone();
            for _ in 0..MAX_LINKS {
                folders_on(&way, &mut found);
                let Ok(target) = fs::read_link(&way) else { break };
                way = folder_of(&way).join(target);
            }
            if let Ok(end) = file.canonicalize() {
                found.insert(folder_of(&end).to_owned());
            }
        }
        found
    }
}

/// The folder that a path stands in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Adds the folder of a path, or what there is of it, and of every link among its folders.
fn folders_on(path: &Path, found: &mut BTreeSet<PathBuf>) {
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir());
    found.insert(there.map_or_else(|| PathBuf::from("."), Path::to_owned));
    let links = path.ancestors().skip(1).filter(|folder| folder.is_symlink());
    found.extend(links.map(|link| folder_of(link).to_owned()));
}

/// What tells two contents apart. What cannot be read, or is no file, holds nothing.
fn hash(path: &Path) -> [u8; 32] {
    let mut hash = Sha256::new();
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            for file in files_of(path, path).unwrap_or_default() {
                hash.update(file.as_os_str().as_encoded_bytes());
                hash.update([0]);
            }
        }
        // To read a pipe would take from whoever else reads it.
        Ok(about) if about.is_file() => {
            let mut bytes = Vec::new();
            let read = File::open(path)
                .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
            hash.update([u8::from(read.is_ok())]);
            hash.update(&bytes);
        }
        _ => {}
    }
    hash.finalize().into()
}
