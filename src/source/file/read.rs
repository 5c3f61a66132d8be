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

/// Reads what is in memory: fewer bytes than there are where the rest is not.
///
/// # Errors
/// [`ErrorKind::WouldBlock`] where nothing of it is, and where the file system cannot tell, as
/// those cannot that have their files over a network.
pub(super) fn at_once(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match preadv2(file, &mut [IoSliceMut::new(room)], offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(ErrorKind::WouldBlock.into()),
            read => return Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert_eq!(read(&file, &mut room, 10).unwrap(), 0);
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let (socket, _peer) = UnixStream::pair().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(socket));
        for read in [waiting, at_once] {
            let error = read(&file, &mut [0; 6], 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::SPIPE.raw_os_error()));
        }
    }
}
