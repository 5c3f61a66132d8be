//! The file sink: appends one line an event, on disk before it counts as delivered, and opens the
//! file anew after it was rotated away.

use super::{Sink, line};
use crate::config::{BodyFormat, FileOutput};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::retry::{Reason, Reply};
use crate::template::{Escape, RenderContext};
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
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
    open: BTreeMap<PathBuf, File>,
}

impl FileSink {
    /// A sink that has no file open yet.
    pub fn new(config: FileOutput, export: Arc<str>, format: BodyFormat) -> Self {
        FileSink { config, export, format, open: BTreeMap::new() }
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

    /// The file at this path as it is now: opened anew where it was renamed or removed.
    fn file(&mut self, path: &Path) -> io::Result<File> {
        if let Some(file) = self.open.get(path) {
            let same = |there: &fs::Metadata, open: &fs::Metadata| {
                (there.dev(), there.ino()) == (open.dev(), open.ino())
            };
            match (fs::metadata(path), file.metadata()) {
                (Ok(there), Ok(open)) if same(&there, &open) => return file.try_clone(),
                _ => self.open.remove(path),
            };
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file =
            OpenOptions::new().append(true).create(true).mode(self.config.mode).open(path)?;
        if self.open.len() >= MAX_OPEN {
            self.open.pop_first();
        }
        self.open.insert(path.to_owned(), file.try_clone()?);
        Ok(file)
    }
}

/// Appends lines whole or not at all: what a full disk cut off is taken back, so that the retry
/// does not stand behind half a line.
fn append(mut file: File, lines: &[u8], fsync: bool) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written =
        file.write_all(lines).and_then(|()| if fsync { file.sync_data() } else { Ok(()) });
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}

impl Sink for FileSink {
    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        let paths: Vec<_> = deliveries.iter().map(|delivery| self.path(delivery)).collect();
        let mut lines: BTreeMap<&PathBuf, Vec<u8>> = BTreeMap::new();
        for (path, delivery) in paths.iter().zip(deliveries) {
            if let Ok(path) = path {
                line(&delivery.event, self.format, lines.entry(path).or_default());
            }
        }
        let mut written = BTreeMap::new();
        for (path, lines) in lines {
            let fsync = self.config.fsync;
            let result = match self.file(path) {
                Ok(file) => tokio::task::spawn_blocking(move || append(file, &lines, fsync))
                    .await
                    .unwrap_or_else(|_| {
                        Err(io::Error::other("a defect in postrider ended the write"))
                    }),
                Err(error) => Err(error),
            };
            written.insert(path, result);
        }
        outcomes.extend(paths.iter().map(|path| match path {
            Err(error) => Outcome::Unsendable { reason: Reason::Render, error: error.clone() },
            Ok(path) => match written.get(path) {
                Some(Ok(())) => Outcome::Delivered(None),
                // A name that no try makes shorter.
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidFilename => {
                    Outcome::Unsendable { reason: Reason::Render, error: format!("path: {error}") }
                }
                Some(Err(error)) => failed(error.to_string()),
                None => failed("not written".to_owned()),
            },
        }));
    }
}

fn failed(error: String) -> Outcome {
    Outcome::Failed(Failure { reply: Reply::None, trouble: Trouble::Write, error, response: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_rotated_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/out.jsonl");
        let config = FileOutput {
            path: crate::template::Template::compile(&Default::default()).unwrap(),
            base: PathBuf::new(),
            fsync: true,
            mode: 0o640,
        };
        let mut sink = FileSink::new(config, "a".into(), BodyFormat::Json);
        append(sink.file(&path).unwrap(), b"1\n", true).unwrap();
        fs::rename(&path, path.with_extension("1")).unwrap();
        append(sink.file(&path).unwrap(), b"2\n", true).unwrap();
        fs::remove_file(&path).unwrap();
        append(sink.file(&path).unwrap(), b"3\n", true).unwrap();
        append(sink.file(&path).unwrap(), b"4\n", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n4\n");
        assert_eq!(fs::read_to_string(path.with_extension("1")).unwrap(), "1\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }
}
