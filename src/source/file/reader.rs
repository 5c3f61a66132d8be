//! One file's bytes: reads the next chunk, and sees when what was read is no longer what stands
//! there. When it is a file's turn, and what becomes of its lines, is not known here. What is not
//! said to happen at once blocks.

use super::gzip::Text;
use super::identity::{FileKey, Head};
use super::read::{self, ReadAt};
use crate::source::{Framer, Intake, READ_SIZE, Stretch};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file and how far it was read.
#[derive(Debug)]
pub(super) struct Reader {
    key: FileKey,
    /// Closed where too many files are open; opened again when it is read.
    content: Content,
    head: Head,
    lines: Framer,
}

/// What is read: a file as it is, or the text of a compressed one.
#[derive(Debug)]
enum Content {
    Plain(Option<File>),
    Compressed(Option<Box<Text>>),
}

/// What one turn brought.
#[derive(Debug)]
pub(super) enum Turn {
    /// The file was read on.
    Read(Progress),
    /// What was read is no longer what stands there: the file was cut off or written anew.
    Truncated,
    /// The path leads to another file by now, and this one was closed.
    Gone,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What is whole.
    pub(super) stretches: Vec<Stretch>,
    /// Whether there was anything new.
    pub(super) grown: bool,
    /// Whether there is nothing more now.
    pub(super) at_end: bool,
    /// Whether the rest without a line end was taken too.
    pub(super) finished: bool,
    /// The file's length in bytes.
    pub(super) size: u64,
}

impl Reader {
    /// Reads on where `lines` begin. `head` is the file's head as it is now.
    pub(super) fn new(file: Option<File>, key: FileKey, head: Head, lines: Framer) -> Self {
        Reader { key, content: Content::Plain(file), head, lines }
    }

    /// Reads the text of a compressed file on, where `lines` begin.
    pub(super) fn compressed(key: FileKey, head: Head, lines: Framer) -> Self {
        Reader { key, content: Content::Compressed(None), head, lines }
    }

    /// Whether it reads the text of a compressed file.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.content, Content::Compressed(_))
    }

    /// Offset behind the last byte that was read.
    pub(super) fn position(&self) -> u64 {
        self.lines.end()
    }

    /// Offset behind the last byte that was given out.
    pub(super) fn taken(&self) -> u64 {
        self.lines.taken()
    }

    /// The file's head as it was seen last.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn is_open(&self) -> bool {
        match &self.content {
            Content::Plain(file) => file.is_some(),
            Content::Compressed(text) => text.is_some(),
        }
    }

    /// Whether its open file has a name somewhere.
    pub(super) fn has_name(&self) -> bool {
        let Content::Plain(Some(file)) = &self.content else { return false };
        file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    /// Gives the handle away. What was read and not taken is read again from its offset.
    pub(super) fn close(&mut self) -> Option<File> {
        match &mut self.content {
            Content::Plain(file) => file.take(),
            Content::Compressed(text) => {
                *text = None;
                None
            }
        }
    }

    /// Goes on with a handle of the same file.
    pub(super) fn reopen(&mut self, file: File) {
        if let Content::Plain(own) = &mut self.content {
            *own = Some(file);
        }
    }

    /// Reads as the source's configuration says by now.
    pub(super) fn follow(&mut self, intake: &Intake) {
        if intake.fit(&mut self.lines) && self.is_compressed() {
            // Its text cannot be read backwards.
            self.close();
        }
    }

    /// Forgets what was read and not given out: it is read again from its offset.
    pub(super) fn forget_rest(&mut self) {
        self.lines = self.lines.anew();
    }

    /// Reads at most [`READ_SIZE`] bytes, into `buffer` where it is of use. Where `finish` is set
    /// and there is nothing new, the rest without a line end is taken too. May wait for the disk.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub(super) fn turn(&mut self, path: &Path, buffer: Vec<u8>, finish: bool) -> io::Result<Turn> {
        let file = match &mut self.content {
            Content::Plain(file) => open(file, path, self.key)?,
            Content::Compressed(_) => return self.text_turn(path, buffer, finish),
        };
        if file.is_none() {
            return Ok(Turn::Gone);
        }
        self.lines.reuse(buffer);
        self.plain_turn(read::waiting, finish)
    }

    /// Like [`Reader::turn`] where that waits for no disk: what it would read is in memory. Else
    /// nothing has happened, and a turn that may wait is to have the buffer that comes back. That
    /// one alone tells of trouble, and that a file was cut off.
    pub(super) fn turn_at_once(&mut self, buffer: Vec<u8>, finish: bool) -> Result<Turn, Vec<u8>> {
        if !matches!(self.content, Content::Plain(Some(_))) {
            return Err(buffer);
        }
        self.lines.reuse(buffer);
        match self.plain_turn(read::at_once, finish) {
            Ok(turn @ Turn::Read(_)) => Ok(turn),
            // The lines have the buffer.
            Ok(Turn::Truncated | Turn::Gone) | Err(_) => Err(Vec::new()),
        }
    }

    /// A turn of a file that is open.
    fn plain_turn(&mut self, read_at: ReadAt, finish: bool) -> io::Result<Turn> {
        let Content::Plain(Some(file)) = &self.content else { return Ok(Turn::Gone) };
        // First, as it fails where the file system cannot say what would wait.
        let head = Head::read_by(read_at, file)?;
        let size = file.metadata()?.len();
        let position = self.lines.end();
        if size < position || !self.head.may_become(&head) {
            return Ok(Turn::Truncated);
        }
        let mut progress = Progress { size, at_end: true, ..Progress::default() };
        if size > position {
            let length = read_at(file, self.lines.room(READ_SIZE), position)?;
            self.lines.added(length);
            progress.grown = length > 0;
            // Also where only a part was in memory, something is left to read.
            let short = length < READ_SIZE && position + length as u64 >= size;
            progress.at_end = length == 0 || short;
        }
        if head.len() > self.head.len() {
            self.head = head;
        }
        self.give_out(&mut progress, finish);
        Ok(Turn::Read(progress))
    }

    /// A turn of a compressed file: its text can only be read from its beginning.
    fn text_turn(&mut self, path: &Path, buffer: Vec<u8>, finish: bool) -> io::Result<Turn> {
        let Content::Compressed(text) = &mut self.content else { return Ok(Turn::Gone) };
        if text.is_none() {
            let mut file = None;
            open(&mut file, path, self.key)?;
            *text = file.map(|file| Box::new(Text::new(file)));
        }
        let Some(text) = text else { return Ok(Turn::Gone) };
        let position = self.lines.end();
        if text.skip_to(position)? {
            // What was settled is not in it.
            return Ok(Turn::Truncated);
        }
        let mut progress = Progress { size: position, grown: true, ..Progress::default() };
        if text.position() == position {
            self.lines.reuse(buffer);
            let length = text.read(self.lines.room(READ_SIZE))?;
            self.lines.added(length);
            progress.size += length as u64;
            progress.grown = length > 0;
            progress.at_end = length == 0;
            self.give_out(&mut progress, finish);
        }
        if progress.finished {
            self.close();
        }
        Ok(Turn::Read(progress))
    }

    /// Gives out what is whole, and in the end the rest.
    fn give_out(&mut self, progress: &mut Progress, finish: bool) {
        while let Some(stretch) = self.lines.whole() {
            progress.stretches.push(stretch);
        }
        if finish && !progress.grown {
            progress.finished = true;
            progress.stretches.extend(self.lines.finish());
        }
        if progress.at_end {
            self.lines.shrink();
        }
    }

    /// What was read and is not whole: taken as it is where the file cannot be read any more.
    pub(super) fn rest(&mut self) -> Option<Stretch> {
        self.lines.finish()
    }
}

/// The open file; `None` where its path leads to another one by now.
fn open<'a>(file: &'a mut Option<File>, path: &Path, key: FileKey) -> io::Result<Option<&'a File>> {
    if file.is_none() {
        match File::open(path) {
            Ok(opened) if FileKey::of(&opened.metadata()?) == key => *file = Some(opened),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(file.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Lines;
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;

    struct Bench {
        _dir: tempfile::TempDir,
        path: PathBuf,
        reader: Reader,
        /// Whether its turns may wait for the disk from the start.
        waits: bool,
    }

    impl Bench {
        fn new(text: &str, start: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.log");
            fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            let key = FileKey::of(&file.metadata().unwrap());
            let head = Head::read(&file).unwrap();
            Bench {
                _dir: dir,
                path,
                reader: Reader::new(
                    Some(file),
                    key,
                    head,
                    Framer::from(Lines::new(start, 1 << 20)),
                ),
                waits: false,
            }
        }

        /// The same file, read in both ways.
        fn both(text: &str, start: u64) -> [Bench; 2] {
            [false, true].map(|waits| Bench { waits, ..Bench::new(text, start) })
        }

        fn append(&self, text: &str) {
            let mut file = fs::OpenOptions::new().append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn turn(&mut self, finish: bool) -> String {
            let at_once = match self.waits {
                true => Err(Vec::new()),
                false => self.reader.turn_at_once(Vec::new(), finish),
            };
            let turn = at_once.or_else(|buffer| self.reader.turn(&self.path, buffer, finish));
            told(turn)
        }
    }

    fn told(turn: io::Result<Turn>) -> String {
        match turn.unwrap() {
            Turn::Truncated => "truncated".to_owned(),
            Turn::Gone => "gone".to_owned(),
            Turn::Read(progress) => {
                let text = |stretch: &Stretch| match stretch {
                    Stretch::Lines { start, bytes } => {
                        format!("{start}:{}", String::from_utf8_lossy(bytes))
                    }
                    Stretch::Overlong(line) => format!("{}:long {}", line.start, line.length),
                    Stretch::Records(records) => format!("{records:?}"),
                };
                progress.stretches.iter().map(text).collect()
            }
        }
    }

    #[test]
    fn only_whole_lines_are_taken() {
        for mut bench in Bench::both("a\nb\nc", 2) {
            assert_eq!(bench.turn(true), "2:b\n");
            assert_eq!(bench.turn(false), "");
            bench.append("c\n");
            assert_eq!(bench.turn(false), "4:cc\n");
            bench.append("d");
            assert_eq!(bench.turn(true), "");
            assert_eq!(bench.turn(true), "7:d");
            assert_eq!(bench.reader.position(), 8);
        }
    }

    #[test]
    fn a_file_that_was_cut_off_is_noticed() {
        for mut bench in Bench::both("a\nb\n", 0) {
            assert_eq!(bench.turn(false), "0:a\nb\n");
            fs::write(&bench.path, "c\n").unwrap();
            assert_eq!(bench.turn(false), "truncated");
            fs::write(&bench.path, "c\nd\ne\n").unwrap();
            assert_eq!(bench.turn(false), "truncated", "longer than before, with another head");
        }
    }

    #[test]
    fn a_turn_that_would_wait_for_the_disk_has_done_nothing() {
        let mut bench = Bench::new("a\nb\n", 0);
        let head_alone: ReadAt = |file, room, offset| match room.len() {
            READ_SIZE => Err(io::ErrorKind::WouldBlock.into()),
            _ => read::waiting(file, room, offset),
        };
        let waits = bench.reader.plain_turn(head_alone, true);
        assert_eq!(waits.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(bench.turn(true), "0:a\nb\n");
    }

    #[test]
    fn a_file_of_which_a_part_is_in_memory_is_not_at_its_end() {
        let mut bench = Bench::new("a\nb\n", 0);
        let three: ReadAt = |file, room, offset| match room.len() {
            READ_SIZE => read::waiting(file, &mut room[..3], offset),
            _ => read::waiting(file, room, offset),
        };
        let part = bench.reader.plain_turn(three, true).unwrap();
        assert!(matches!(&part, Turn::Read(read) if !read.at_end && !read.finished), "{part:?}");
        assert_eq!(told(Ok(part)), "0:a\n");
        let rest = bench.reader.plain_turn(three, true).unwrap();
        assert!(matches!(&rest, Turn::Read(read) if read.at_end), "{rest:?}");
        assert_eq!(told(Ok(rest)), "2:b\n");
    }

    #[test]
    fn a_closed_file_is_opened_again() {
        let mut bench = Bench::new("a\n", 0);
        assert_eq!(bench.turn(false), "0:a\n");
        bench.reader.close();
        bench.append("b\n");
        assert_eq!(bench.turn(false), "2:b\n");
        let old = bench.reader.close();
        fs::rename(&bench.path, bench.path.with_extension("1")).unwrap();
        assert_eq!(bench.turn(false), "gone");
        fs::write(&bench.path, "c\n").unwrap();
        assert_eq!(bench.turn(false), "gone");
        bench.reader.reopen(old.unwrap());
        assert_eq!(bench.turn(false), "");
    }

    #[test]
    fn a_renamed_or_deleted_file_is_read_on() {
        let mut bench = Bench::new("a\n", 0);
        assert_eq!(bench.turn(false), "0:a\n");
        bench.append("b\n");
        fs::remove_file(&bench.path).unwrap();
        assert_eq!(bench.turn(false), "2:b\n");
    }
}
