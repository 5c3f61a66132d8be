//! The pages of a damaged store as the last commit left them: from its file and from the log beside
//! it. Only reading; what stands in a page is told by `btree` and `map`.

use crate::store::database::{self, PAGE_BYTES};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The log's beginning, and that of each of its frames.
const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;

/// A page's bytes.
pub(super) type Page = Box<[u8; PAGE_BYTES]>;

#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    log: Option<File>,
    /// Where in the log the last committed form of a page is.
    logged: HashMap<u32, u64>,
    /// How many there are.
    pub(super) count: u32,
}

impl Pages {
    /// The pages of the store in this file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let in_file = u32::try_from(file.metadata()?.len() / PAGE_BYTES as u64).unwrap_or(u32::MAX);
        let mut pages = Pages { file, log: None, logged: HashMap::new(), count: in_file };
        if let Ok(log) = File::open(database::beside(path, "-wal")) {
            let count = pages.read_log(&log)?;
            // Behind the file's end stand only pages that the log has.
            pages.count = count.unwrap_or(in_file);
            pages.log = Some(log);
        }
        Ok(pages)
    }

    /// Finds the pages of all commits that the log has; returns how many pages the last one left.
    fn read_log(&mut self, log: &File) -> io::Result<Option<u32>> {
        let mut head = [0; LOG_HEAD];
        if log.read_exact_at(&mut head, 0).is_err() {
            return Ok(None);
        }
        let little = match number(&head, 0) {
            0x377f_0682 => true,
            0x377f_0683 => false,
            _ => return Ok(None),
        };
        let mut sums = add([0, 0], &head[..24], little);
        if sums != [number(&head, 24), number(&head, 28)] || number(&head, 8) != PAGE_BYTES as u32 {
            return Ok(None);
        }
        let mut frame = vec![0; FRAME_HEAD + PAGE_BYTES];
        let (mut at, mut count, mut open) = (LOG_HEAD as u64, None, Vec::new());
        while log.read_exact_at(&mut frame, at).is_ok() {
            sums = add(sums, &frame[..8], little);
            sums = add(sums, &frame[FRAME_HEAD..], little);
            let salted = frame[8..16] == head[16..24];
            if !salted || sums != [number(&frame, 16), number(&frame, 20)] {
                break;
            }
            open.push((number(&frame, 0), at + FRAME_HEAD as u64));
            let pages = number(&frame, 4);
            if pages > 0 {
                count = Some(pages);
                self.logged.extend(open.drain(..));
            }
            at += frame.len() as u64;
        }
        Ok(count)
    }

    /// A page; `None` where there is none. The first one has the number 1.
    pub(super) fn read(&self, page: u32) -> Option<Page> {
        if page == 0 || page > self.count {
            return None;
        }
        let mut bytes = Box::new([0; PAGE_BYTES]);
        let read = match (self.logged.get(&page), &self.log) {
            (Some(at), Some(log)) => log.read_exact_at(&mut *bytes, *at),
            _ => self.file.read_exact_at(&mut *bytes, u64::from(page - 1) * PAGE_BYTES as u64),
        };
        read.ok().map(|()| bytes)
    }
}

/// The number that stands there; 0 where there is nothing.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The log's checksum over further bytes.
fn add([mut one, mut two]: [u32; 2], bytes: &[u8], little: bool) -> [u32; 2] {
    let word = |at: usize| match little {
        true => number(bytes, at).swap_bytes(),
        false => number(bytes, at),
    };
    for at in (0..bytes.len()).step_by(8) {
        one = one.wrapping_add(word(at)).wrapping_add(two);
        two = two.wrapping_add(word(at + 4)).wrapping_add(one);
    }
    [one, two]
}
