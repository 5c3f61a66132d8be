//! Reading a file at an offset: what the kernel has in memory at once, or all of it with a wait for
//! the disk.

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;

/// Reads into the room, from an offset on; returns how many bytes, 0 at the file's end.
pub(super) type ReadAt = fn(&File, &mut [u8], u64) -> io::Result<usize>;

/// Reads, and waits for the disk where it has to.
pub(super) fn waiting(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(room, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Reads what is in memory, at least a byte: fewer than there are where the rest is not.
///
/// # Errors
/// [`ErrorKind::WouldBlock`] where a read that waits may say otherwise: nothing is in memory; the
/// file system cannot tell, as those cannot that have their files over a network; the call is
/// forbidden or fails; it seems to be the file's end, which Linux 5.9 and 5.10 say anywhere
/// (preadv2(2), BUGS).
pub(super) fn at_once(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match preadv2(file, &mut [IoSliceMut::new(room)], offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return Err(ErrorKind::WouldBlock.into()),
            Ok(read) => return Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn both_read_the_same_of_a_file_that_was_just_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, "0123456789").unwrap();
        let file = File::open(&path).unwrap();
        for read in [waiting, at_once] {
            let mut room = [0; 6];
            assert_eq!(read(&file, &mut room, 0).unwrap(), 6);
            assert_eq!(&room, b"012345");
            assert_eq!(read(&file, &mut room, 6).unwrap(), 4);
            assert_eq!(&room[..4], b"6789");
        }
        assert_eq!(waiting(&file, &mut [0; 6], 10).unwrap(), 0);
    }

    #[test]
    fn ends_and_errors_are_left_to_the_read_that_waits() {
        let empty = tempfile::tempfile().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        for file in [empty, File::from(OwnedFd::from(socket))] {
            let error = at_once(&file, &mut [0; 6], 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }
}
