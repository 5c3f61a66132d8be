//! The file sink: appends one line an event, on disk before it counts as delivered, and opens the
//! file anew after it was rotated away.

use super::{Sink, line};
use crate::config::{BodyFormat, FileOutput};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::folder;
use crate::retry::{Reason, Reply};
use crate::template::{Escape, RenderContext};
use crate::trouble::{Trouble, is_out_of_files};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lines that are written, and synced, at once.
pub const BATCH: usize = 256;

/// Files that are kept open between attempts; a path template can name any number.
const MAX_OPEN: usize = 64;

/// One slot of a file export; there is only one.
#[derive(Debug)]
pub struct FileSink {
    config: FileOutput,
    export: Arc<str>,
    format: BodyFormat,
    /// With the thread that writes; what a write took along that was never heard of again is
    /// opened anew.
    files: Option<Files>,
}

impl FileSink {
    /// A sink that has no file open yet.
    pub fn new(config: FileOutput, export: Arc<str>, format: BodyFormat) -> Self {
        FileSink { config, export, format, files: None }
    }

    fn path(&self, delivery: &Delivery) -> Result<PathBuf, String> {
        let context = RenderContext {
            export: &self.export,
            delivery_id: delivery.id.as_str(),
            attempt: delivery.tries.sent + 1,
            now: delivery.tries.first_at.map_or_else(Timestamp::now, |first| first.wall),
            mask_variables: false,
        };
        if let Some(path) = self.config.path.as_constant() {
            return Ok(self.config.base.join(path));
        }
        let mut path = Vec::new();
        let template = &self.config.path;
        // Percent-encoded, a value stays within the segment that it stands in.
        template
            .render(&delivery.event, &context, Escape::Url, &mut path)
            .map_err(|error| format!("path: {error}"))?;
        let path = String::from_utf8(path).map_err(|_| "path: not UTF-8".to_owned())?;
        // Nor may it be `..`: an event must not choose a place outside of what the template says.
        let climbs = Path::new(&path)
            .components()
            .any(|part| matches!(part, std::path::Component::ParentDir));
        if climbs || path.contains('\0') || path.is_empty() {
            return Err("path: an event may not lead out of the template's folder".to_owned());
        }
        Ok(self.config.base.join(path))
    }

    /// Appends to each file its lines, and says how that went; nothing where it panicked.
    async fn write(
        &mut self,
        lines: BTreeMap<PathBuf, Vec<u8>>,
    ) -> BTreeMap<PathBuf, io::Result<()>> {
        let mut files = self.files.take().unwrap_or_else(|| Files::new(&self.config));
        let write = move || {
            let append = |(path, lines): (PathBuf, Vec<u8>)| {
                let written = files.append(&path, &lines);
                (path, written)
            };
            (lines.into_iter().map(append).collect(), files)
        };
        let Ok((written, files)) = tokio::task::spawn_blocking(write).await else {
            return BTreeMap::new();
        };
        self.files = Some(files);
        written
    }
}

/// The files that are open, and how they are written; used where a thread may wait for the disk.
#[derive(Debug)]
struct Files {
    fsync: bool,
    mode: u32,
    open: BTreeMap<PathBuf, Opened>,
}

/// A file, and the folders that do not hold on disk yet what was made in them for it.
#[derive(Debug)]
struct Opened {
    file: File,
    unsynced: Vec<PathBuf>,
}

impl Files {
    fn new(config: &FileOutput) -> Self {
        Files { fsync: config.fsync, mode: config.mode, open: BTreeMap::new() }
    }

    /// Appends lines whole or not at all: what a full disk cut off is taken back, so that the retry
    /// does not stand behind half a line.
    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let fsync = self.fsync;
        let Opened { file, unsynced } = self.file(path)?;
        while fsync && let Some(made_in) = unsynced.last() {
            folder::sync(made_in)?;
            unsynced.pop();
        }
        let (written, end) = write(file, lines);
        let end = end.and_then(|()| if fsync { file.sync_data() } else { Ok(()) });
        if end.is_err() {
            // What cannot be taken back, as out of a pipe, stays; what failed is the write.
            let _ = take_back(file, written);
        }
        end
    }

    /// The file at this path as it is now: opened anew where it was renamed or removed.
    fn file(&mut self, path: &Path) -> io::Result<&mut Opened> {
        let same = |there: &fs::Metadata, open: &fs::Metadata| {
            (there.dev(), there.ino()) == (open.dev(), open.ino())
        };
        let is_open = self.open.get(path).is_some_and(|opened| {
            match (fs::metadata(path), opened.file.metadata()) {
                (Ok(there), Ok(open)) => same(&there, &open),
                _ => false,
            }
        });
        if !is_open {
            self.open.remove(path);
            if self.open.len() >= MAX_OPEN {
                self.open.pop_first();
            }
            self.open.insert(path.to_owned(), open(path, self.mode)?);
        }
        self.open.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Writes as much as it can, and tells where the last of it stands in the file: all of it, where
/// nobody wrote between.
fn write(file: &mut File, bytes: &[u8]) -> (Option<Range<u64>>, io::Result<()>) {
    let (mut written, mut place): (_, Option<Range<u64>>) = (0, None);
    while written < bytes.len() {
        let more = match file.write(&bytes[written..]) {
            Ok(0) => return (place, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return (place, Err(error)),
        };
        written += more;
        place = file.stream_position().ok().map(|end| {
            let start = end.saturating_sub(more as u64);
            let before = place.take().filter(|before| before.end == start);
            before.map_or(start, |before| before.start)..end
        });
    }
    (place, Ok(()))
}

/// Cuts off what was written last, unless somebody else has written behind it: another export may
/// append to the same file, and what it wrote is delivered.
fn take_back(file: &mut File, written: Option<Range<u64>>) -> io::Result<()> {
    match written {
        Some(last) if file.metadata()?.len() == last.end => file.set_len(last.start),
        _ => Ok(()),
    }
}

/// Opens a file, making it and its folder where they are missing.
fn open(path: &Path, mode: u32) -> io::Result<Opened> {
    match OpenOptions::new().append(true).open(path) {
        Ok(file) => return Ok(Opened { file, unsynced: Vec::new() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let unsynced = folder::holders(path);
    if let Some(folder) = unsynced.first() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(mode).open(path)?;
    Ok(Opened { file, unsynced })
}

impl Sink for FileSink {
    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        let paths: Vec<_> = deliveries.iter().map(|delivery| self.path(delivery)).collect();
        let mut lines: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        for (path, delivery) in paths.iter().zip(deliveries) {
            if let Ok(path) = path {
                line(&delivery.event, self.format, lines.entry(path.clone()).or_default());
            }
        }
        let written = self.write(lines).await;
        outcomes.extend(paths.iter().map(|path| match path {
            Err(error) => Outcome::Unsendable { reason: Reason::Render, error: error.clone() },
            Ok(path) => match written.get(path) {
                Some(Ok(())) => Outcome::Delivered(None),
                // A name that no try makes shorter.
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidFilename => {
                    Outcome::Unsendable { reason: Reason::Render, error: format!("path: {error}") }
                }
                Some(Err(error)) if is_out_of_files(error) => {
                    failed(Trouble::OutOfFiles, error.to_string())
                }
                Some(Err(error)) => failed(Trouble::Write, error.to_string()),
                None => failed(Trouble::Write, "a defect in postrider ended the write".to_owned()),
            },
        }));
    }
}

fn failed(trouble: Trouble, error: String) -> Outcome {
    let reply = Reply::None;
    Outcome::Failed(Box::new(Failure { reply, trouble, error, response: None, took: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Template, TemplateText};

    fn output(path: &Path, fsync: bool) -> FileOutput {
        let text = TemplateText { text: path.to_str().unwrap().to_owned(), ..Default::default() };
        FileOutput {
            path: Template::compile(&text).unwrap(),
            base: PathBuf::new(),
            fsync,
            mode: 0o640,
        }
    }

    #[test]
    fn a_file_that_was_rotated_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/out.jsonl");
        let mut files = Files::new(&output(&path, true));
        files.append(&path, b"1\n").unwrap();
        fs::rename(&path, path.with_extension("1")).unwrap();
        files.append(&path, b"2\n").unwrap();
        fs::remove_file(&path).unwrap();
        files.append(&path, b"3\n").unwrap();
        files.append(&path, b"4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n4\n");
        assert_eq!(fs::read_to_string(path.with_extension("1")).unwrap(), "1\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_was_written_by_half_is_taken_back_unless_another_one_wrote_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "before\n").unwrap();
        let appends = || open(&path, 0o640).unwrap().file;
        let (mut ours, mut theirs) = (appends(), appends());
        let (written, _) = write(&mut ours, b"half");
        assert_eq!(written, Some(7..11));
        take_back(&mut ours, written).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n");
        let (written, _) = write(&mut ours, b"half");
        assert_eq!(write(&mut theirs, b"\nwhole\n").0, Some(11..18));
        take_back(&mut ours, written).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nhalf\nwhole\n");
    }

    #[test]
    fn the_folders_of_a_new_file_are_synced_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/out.jsonl");
        let mut files = Files::new(&output(&path, true));
        let unsynced = &files.file(&path).unwrap().unsynced;
        let made_in = ["a/b", "a", ""].map(|made_in| folder.path().join(made_in));
        assert!(unsynced.iter().eq(&made_in), "{unsynced:?}");
        files.append(&path, b"1\n").unwrap();
        assert!(files.open[&path].unsynced.is_empty());
        let mut again = Files::new(&output(&path, true));
        assert!(again.file(&path).unwrap().unsynced.is_empty(), "it was there");
        again.append(&path.with_extension("1"), b"1\n").unwrap();
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        // What cannot be synced counts as not delivered, now and when it is tried again.
        let next = files.file(&path).unwrap();
        next.unsynced.push(folder.path().join("gone"));
        for _ in 0..2 {
            assert!(files.append(&path, b"2\n").is_err());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[tokio::test]
    async fn a_file_that_takes_long_to_open_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let mut sink = FileSink::new(output(&path, false), "a".into(), BodyFormat::Json);
        let letter = crate::store::testing::letter("a", 1);
        let (event, claim) = (letter.event.unwrap(), crate::delivery::Claim::Replay(1));
        let deliveries = [Delivery::held(letter.delivery_id, event, Default::default(), claim)];
        // The pipe opens once somebody reads from it.
        let (go_on, told) = std::sync::mpsc::channel();
        let reads = path.clone();
        let reader = std::thread::spawn(move || {
            let in_time = told.recv_timeout(std::time::Duration::from_secs(10)).is_ok();
            (in_time, fs::read_to_string(reads).unwrap())
        });
        let mut outcomes = Vec::new();
        tokio::join!(sink.send(&deliveries, &mut outcomes), async { go_on.send(()).unwrap() });
        assert!(matches!(outcomes[..], [Outcome::Delivered(None)]), "{outcomes:?}");
        drop(sink);
        let (in_time, read) = reader.join().unwrap();
        assert!(in_time, "the other one had to wait");
        assert_eq!(read, "{\"n\":1}\n");
    }
}
