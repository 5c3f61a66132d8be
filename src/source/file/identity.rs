//! Who a file is: device and inode while it exists, and the bytes it begins with, which tell a
//! file that took over the inode of a deleted one. Where a file stands is not known here.

use super::gzip;
use super::read::{self, ReadAt};
use crate::store::FileState;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How much of a file's beginning belongs to its identity, in bytes. A shorter file's head grows
/// with it.
pub(super) const HEAD_SIZE: usize = 1024;

/// What tells files apart that exist at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        FileKey { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The first bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Head(Vec<u8>);

impl Head {
    /// Reads the head that a file has now.
    pub(super) fn read(file: &File) -> io::Result<Head> {
        Head::read_by(read::waiting, file)
    }

    /// Like [`Head::read`], by that function.
    pub(super) fn read_by(read_at: ReadAt, file: &File) -> io::Result<Head> {
        let mut bytes = [0; HEAD_SIZE];
        let mut length = 0;
        while length < HEAD_SIZE {
            match read_at(file, &mut bytes[length..], length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                // As far as it is known at once.
                Err(error) if length > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Head(bytes[..length].to_vec()))
    }

    /// The head of a compressed file's text.
    pub(super) fn of_text(file: File) -> io::Result<Head> {
        gzip::head(file).map(Head)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the file that had this head may have that one now: it only ever grows.
    pub(super) fn may_become(&self, later: &Head) -> bool {
        later.0.starts_with(&self.0)
    }

    /// SHA-256 of its first `length` bytes; `None` where it has fewer.
    pub(super) fn hash(&self, length: usize) -> Option<[u8; 32]> {
        self.0.get(..length).map(|bytes| Sha256::digest(bytes).into())
    }
}

/// Whether the file found at `path` is the stored one. Its device number may have changed, as by a
/// reboot, where it kept its path.
pub(super) fn is_stored(stored: &FileState, path: &Path, key: FileKey, head: &Head) -> bool {
    stored.inode == key.inode
        && (stored.device == key.device || stored.path == path)
        && usize::try_from(stored.head_len).ok().and_then(|length| head.hash(length))
            == Some(stored.head_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Settled;
    use std::io::Write;

    fn head(bytes: &[u8]) -> Head {
        Head(bytes.to_vec())
    }

    fn stored(bytes: &[u8]) -> FileState {
        FileState {
            path: "/a".into(),
            device: 1,
            inode: 2,
            head_len: bytes.len() as u64,
            head_hash: head(bytes).hash(bytes.len()).unwrap(),
            settled: Settled::default(),
            size: 0,
            done: false,
        }
    }

    #[test]
    fn a_file_is_found_again() {
        for (was, path, device, inode, now, same) in [
            (&b"abc"[..], "/a", 1, 2, &b"abc"[..], true),
            (b"abc", "/a", 1, 2, b"abcdef", true),
            (b"abc", "/renamed", 1, 2, b"abc", true),
            (b"abc", "/a", 9, 2, b"abc", true),
            (b"", "/a", 1, 2, b"abc", true),
            (b"abc", "/renamed", 9, 2, b"abc", false),
            (b"abc", "/a", 1, 3, b"abc", false),
            (b"abc", "/a", 1, 2, b"ab", false),
            (b"abc", "/a", 1, 2, b"abX", false),
        ] {
            let key = FileKey { device, inode };
            assert_eq!(
                is_stored(&stored(was), Path::new(path), key, &head(now)),
                same,
                "{was:?} at {path} {key:?} with {now:?}"
            );
        }
    }

    #[test]
    fn a_head_is_bounded_and_only_grows() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(Head::read(&file).unwrap().len(), 0);
        file.write_all(b"abc").unwrap();
        let short = Head::read(&file).unwrap();
        file.write_all(&[b'x'; 2000]).unwrap();
        let long = Head::read(&file).unwrap();
        assert_eq!((short.len(), long.len()), (3, HEAD_SIZE));
        assert!(short.may_become(&long));
        assert!(!long.may_become(&short));
        assert_eq!(short.hash(3), long.hash(3));
        assert_eq!(short.hash(4), None);
    }
}
