//! Which stored file a found one is, where its reading begins, and where a stored one went that is
//! not found. Looks at the file system and blocks; the store is not known here.

use super::discover::{self, Found};
use super::gzip;
use super::identity::{FileKey, Head, is_stored};
use crate::ack::Settled;
use crate::store::{FileState, StoredFile};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::Path;

/// A record whose file may come back, as on a disk that is not mounted now, is kept so long after
/// it changed last.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How far back the beginning of a last line is looked for, in bytes.
const LINE_LOOK_BACK: u64 = 1024 * 1024;

/// A file that was opened for the first time.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) found: Found,
    /// Closed where too many files are open.
    pub(super) file: Option<File>,
    pub(super) head: Head,
    /// Where its reading begins, if it is new.
    pub(super) start: u64,
    /// Of a compressed file, the length of its text modulo 2³² as its own end tells it.
    pub(super) text: Option<u32>,
}

/// Opens files, and keeps the handles of the first `room` of them. A length beside a file
/// says that everything up to it was there before: its reading begins there, where files are read
/// by `lines` at the beginning of the last line.
pub(super) fn open_all(
    files: Vec<(Option<u64>, Found)>,
    room: usize,
    lines: bool,
) -> (Vec<Opened>, Vec<(Found, io::Error)>) {
    let (mut opened, mut troubles) = (Vec::new(), Vec::new());
    for (end, found) in files {
        match open(&found) {
            Ok(Some(mut file)) => {
                match end.map_or(Ok(0), |end| file.start_at(end, lines)) {
                    Ok(start) => file.start = start,
                    Err(error) => {
                        troubles.push((found, error));
                        continue;
                    }
                }
                if opened.len() >= room {
                    file.file = None;
                }
                opened.push(file);
            }
            Ok(None) => {}
            Err(error) => troubles.push((found, error)),
        }
    }
    (opened, troubles)
}

/// Opens a file; `None` where it went away or is another one by now: the next look finds that.
fn open(found: &Found) -> io::Result<Option<Opened>> {
    let file = match File::open(&found.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if FileKey::of(&metadata) != found.key || !metadata.is_file() {
        return Ok(None);
    }
    let found = Found { size: metadata.len(), ..found.clone() };
    if gzip::is_compressed(&found.path) {
        let text = if found.size < 4 { 0 } else { gzip::told_length(&file, found.size)? };
        let head = Head::of_text(file)?;
        return Ok(Some(Opened { found, file: None, head, start: 0, text: Some(text) }));
    }
    let head = Head::read(&file)?;
    Ok(Some(Opened { found, file: Some(file), head, start: 0, text: None }))
}

impl Opened {
    /// What the store is to know of it.
    pub(super) fn state(&self) -> FileState {
        FileState {
            path: self.found.path.clone(),
            device: self.found.key.device,
            inode: self.found.key.inode,
            head_len: self.head.len() as u64,
            head_hash: self.head.hash(self.head.len()).unwrap_or_default(),
            settled: Settled { watermark: self.start, ranges: Vec::new() },
            size: self.size(),
            done: false,
        }
    }

    /// How much of it is known to be there, in bytes; of a compressed file nothing.
    pub(super) fn size(&self) -> u64 {
        if self.text.is_some() { 0 } else { self.found.size }
    }

    /// Whether it is compressed as that one was: else it only has its inode.
    fn is_of_a_kind(&self, state: &FileState) -> bool {
        self.text.is_some() == gzip::is_compressed(&state.path)
    }

    /// Whether it can hold all that is settled of a file; of a compressed one the reading tells.
    fn can_hold(&self, state: &FileState) -> bool {
        self.text.is_some() || reach(state) <= self.found.size
    }

    /// Where reading begins that is to begin at `end`.
    fn start_at(&self, end: u64, lines: bool) -> io::Result<u64> {
        if lines || self.text.is_some() {
            self.line_start(end)
        } else {
            Ok(end.min(self.found.size))
        }
    }

    /// Where the line begins of which `end` is the end so far: a line that is being written is not
    /// cut in two, unless it is very long.
    fn line_start(&self, end: u64) -> io::Result<u64> {
        if self.text.is_some() {
            return gzip::length(File::open(&self.found.path)?);
        }
        let offset = end.min(self.found.size);
        let Some(file) = &self.file else { return Ok(offset) };
        let from = offset.saturating_sub(LINE_LOOK_BACK);
        let mut bytes = vec![0; (offset - from) as usize];
        Ok(match file.read_exact_at(&mut bytes, from) {
            Ok(()) => match memchr::memrchr(b'\n', &bytes) {
                Some(at) => from + at as u64 + 1,
                None if from == 0 => 0,
                None => offset,
            },
            Err(_) => offset,
        })
    }
}

/// The stored files that no found one was yet.
#[derive(Debug, Default)]
pub(super) struct Unclaimed(HashMap<u64, Vec<StoredFile>>);

/// What a found file is.
#[derive(Debug, PartialEq)]
pub(super) enum Claim {
    /// One that was never seen.
    New,
    /// This one, to be read on.
    Resumed(StoredFile),
    /// This one, but shorter than what was settled of it.
    CutOff(StoredFile),
}

/// Where a stored file went that is on none of the found paths.
#[derive(Debug)]
pub(super) enum Fate {
    /// It has another name in its folder.
    Renamed(Opened),
    /// It may come back.
    Away,
    /// It is gone for good.
    Gone,
}

impl Unclaimed {
    pub(super) fn new(files: Vec<StoredFile>) -> Self {
        let mut unclaimed = Unclaimed::default();
        files.into_iter().for_each(|file| unclaimed.put_back(file));
        unclaimed
    }

    pub(super) fn put_back(&mut self, file: StoredFile) {
        self.0.entry(file.state.inode).or_default().push(file);
    }

    /// Takes all out, in the order in which they were entered.
    pub(super) fn take_all(&mut self) -> Vec<StoredFile> {
        let mut files: Vec<_> = self.0.drain().flat_map(|(_, files)| files).collect();
        files.sort_by_key(|file| file.id);
        files
    }

    /// Which of them a found file is. Of several with its inode and its head, the one of which
    /// most is known, and that it can hold.
    pub(super) fn claim(&mut self, opened: &Opened) -> Claim {
        let Found { path, key, .. } = &opened.found;
        let Some(files) = self.0.get_mut(&key.inode) else { return Claim::New };
        let same = |(_, file): &(usize, &StoredFile)| {
            opened.is_of_a_kind(&file.state) && is_stored(&file.state, path, *key, &opened.head)
        };
        let best =
            files.iter().enumerate().filter(same).max_by_key(|(_, file)| {
                (opened.can_hold(&file.state), file.state.head_len, file.id)
            });
        let Some((index, _)) = best else { return Claim::New };
        let file = files.swap_remove(index);
        if opened.can_hold(&file.state) { Claim::Resumed(file) } else { Claim::CutOff(file) }
    }
}

/// How long a file must be to hold all that is settled of it.
fn reach(state: &FileState) -> u64 {
    state.settled.ranges.last().map_or(0, |(_, end)| *end).max(state.settled.watermark)
}

/// Looks where a stored file went.
pub(super) fn fate(file: &StoredFile, now: Timestamp) -> Fate {
    let FileState { path, device, inode, .. } = &file.state;
    let away =
        if now.duration_since(file.updated_at) > FORGET_AFTER { Fate::Gone } else { Fate::Away };
    let is_it = |opened: &Opened| {
        opened.is_of_a_kind(&file.state)
            && is_stored(&file.state, path, opened.found.key, &opened.head)
            && opened.can_hold(&file.state)
    };
    match opened_at(path) {
        // Still there, and no longer asked for; or it cannot be said.
        Ok(Some(opened)) if is_it(&opened) => return away,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return away,
        _ => {}
    }
    let Some(folder) = path.parent() else { return Fate::Gone };
    // Of a folder on another device nothing can be said: its disk may not be mounted.
    if !fs::metadata(folder).is_ok_and(|metadata| metadata.dev() == *device) {
        return away;
    }
    let Ok(entries) = fs::read_dir(folder) else { return away };
    let mut fate = Fate::Gone;
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.ino() == *inode) {
        match opened_at(&entry.path()) {
            Ok(Some(opened)) if is_it(&opened) => return Fate::Renamed(opened),
            Ok(_) => {}
            Err(_) => fate = Fate::Away,
        }
    }
    fate
}

/// Looks for the file of that key in a folder: it was renamed there.
///
/// # Errors
/// Where it cannot be said whether it is there.
pub(super) fn sibling(path: &Path, key: FileKey) -> io::Result<Option<File>> {
    let Some(folder) = path.parent() else { return Ok(None) };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.ino() == key.inode
            && let Some(opened) = opened_at(&entry.path())?
            && opened.found.key == key
        {
            return Ok(opened.file);
        }
    }
    Ok(None)
}

fn opened_at(path: &Path) -> io::Result<Option<Opened>> {
    discover::find(path)?.map_or(Ok(None), |found| open(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StreamId;
    use std::path::PathBuf;

    struct Bench {
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            Bench { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> Opened {
            fs::write(self.path(name), text).unwrap();
            self.open(name)
        }

        fn open(&self, name: &str) -> Opened {
            opened_at(&self.path(name)).unwrap().unwrap()
        }
    }

    fn stored(id: i64, opened: &Opened, watermark: u64) -> StoredFile {
        let settled = Settled { watermark, ranges: vec![] };
        StoredFile {
            id,
            uid: StreamId::random(),
            state: FileState { settled, ..opened.state() },
            updated_at: Timestamp::now(),
        }
    }

    #[test]
    fn a_found_file_claims_its_record() {
        let bench = Bench::new();
        let was = bench.write("a", "one\ntwo\n");
        let record = stored(1, &was, 4);
        for (now, expected) in [
            ("one\ntwo\n", Claim::Resumed(record.clone())),
            ("one\ntwo\nthree\n", Claim::Resumed(record.clone())),
            ("one\n", Claim::New),
            ("other\nand more\n", Claim::New),
        ] {
            let mut unclaimed = Unclaimed::new(vec![record.clone()]);
            assert_eq!(unclaimed.claim(&bench.write("a", now)), expected, "{now:?}");
        }
    }

    #[test]
    fn a_file_shorter_than_what_was_settled_is_another() {
        let bench = Bench::new();
        let mut record = stored(1, &bench.write("a", "one\ntwo\n"), 8);
        record.state.head_len = 4;
        record.state.head_hash = bench.open("a").head.hash(4).unwrap();
        let mut unclaimed = Unclaimed::new(vec![record.clone()]);
        assert_eq!(unclaimed.claim(&bench.write("a", "one\n2")), Claim::CutOff(record));
    }

    #[test]
    fn of_two_records_the_one_that_knows_more_is_claimed() {
        let bench = Bench::new();
        let was = bench.write("a", "one\ntwo\n");
        let mut empty = stored(2, &was, 0);
        (empty.state.head_len, empty.state.head_hash) = (0, was.head.hash(0).unwrap());
        let whole = stored(1, &was, 8);
        let mut unclaimed = Unclaimed::new(vec![whole.clone(), empty.clone()]);
        assert_eq!(unclaimed.claim(&was), Claim::Resumed(whole));
        assert_eq!(unclaimed.take_all(), [empty]);
    }

    #[test]
    fn two_files_with_the_same_head_are_two() {
        let bench = Bench::new();
        let (a, b) = (bench.write("a", "one\n"), bench.write("b", "one\n"));
        let mut unclaimed = Unclaimed::new(vec![stored(1, &a, 4)]);
        assert_eq!(unclaimed.claim(&b), Claim::New);
    }

    #[test]
    fn a_renamed_file_is_found_among_its_siblings() {
        let bench = Bench::new();
        let record = stored(1, &bench.write("a", "one\n"), 4);
        let now = Timestamp::now();
        assert!(matches!(fate(&record, now), Fate::Away), "still there, and not asked for");
        assert!(matches!(fate(&record, now + FORGET_AFTER * 2), Fate::Gone));
        fs::rename(bench.path("a"), bench.path("a.1")).unwrap();
        bench.write("a", "two\n");
        match fate(&record, now) {
            Fate::Renamed(opened) => assert_eq!(opened.found.path, bench.path("a.1")),
            fate => panic!("{fate:?}"),
        }
        fs::remove_file(bench.path("a.1")).unwrap();
        assert!(matches!(fate(&record, now), Fate::Gone));
        std::os::unix::fs::symlink("b", bench.path("a.2")).unwrap();
        std::os::unix::fs::symlink("a.2", bench.path("b")).unwrap();
        let mut unreadable = record.clone();
        unreadable.state.path = bench.path("b");
        assert!(matches!(fate(&unreadable, now), Fate::Away), "it cannot be said what it is");
        let mut elsewhere = record.clone();
        elsewhere.state.device += 1;
        assert!(matches!(fate(&elsewhere, now), Fate::Away), "its disk may not be mounted");
    }

    #[test]
    fn reading_from_the_end_begins_at_a_line() {
        let bench = Bench::new();
        for (text, start) in [("a\nb\n", 4), ("a\nb", 2), ("abc", 0), ("", 0)] {
            let opened = bench.write("a", text);
            assert_eq!(opened.line_start(text.len() as u64).unwrap(), start, "{text:?}");
        }
        let opened = bench.write("a", &"x".repeat(LINE_LOOK_BACK as usize + 1));
        assert_eq!(opened.line_start(LINE_LOOK_BACK + 1).unwrap(), LINE_LOOK_BACK + 1);
    }
}
