//! File sources: reads the files that globs lead to, follows them through rotations, and takes
//! their lines in by turns, one chunk each.
//!
//! Here stands the loop that reads and the one that accepts, side by side: while a chunk waits for
//! room in the queues, new files are still found and opened, so that a rotation is not missed.
//! Which files there are is found in `discover`, who they are in `identity` and `resume`, whose
//! turn it is in `roster`, what of them is settled in `save`.

mod change;
mod complaints;
mod discover;
mod gzip;
mod handles;
mod heir;
mod identity;
mod look;
mod read;
mod reader;
mod resume;
mod roster;
mod save;
mod watch;

#[cfg(test)]
mod tests;

use super::{Intake, READ_SIZE, Source, Stream, Stretch};
use crate::config::{FileInput, ReadFrom};
use crate::repeats::Repeats;
use crate::store::{Store, StoreError};
pub(super) use change::FileChange;
use change::Parked;
use complaints::Complaints;
use discover::{Discover, Found};
use futures::future::{Either, Ready, ready};
pub use handles::OpenFiles;
use identity::FileKey;
use reader::{Reader, Turn};
use resume::Unclaimed;
use roster::{Called, Roster, TailId};
use save::Book;
pub use save::Checkpoints;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use watch::{Change, Pace, Watch};

/// Chunks between disk and queues: one that is accepted while the next one is read.
const CHUNKS: usize = 2;

/// A file source.
#[derive(Debug)]
pub struct FileSource {
    intake: Arc<Intake>,
    files: Files,
    changer: UnboundedSender<FileChange>,
}

/// The files of a source, as the reading loop has them.
#[derive(Debug)]
struct Files {
    name: Arc<str>,
    intake: Arc<Intake>,
    store: Store,
    follow: bool,
    read_from: ReadFrom,
    roster: Roster,
    open_files: Arc<OpenFiles>,
    book: Arc<Book>,
    watch: Arc<Mutex<Watch>>,
    pace: Pace,
    unclaimed: Unclaimed,
    /// Files that are no longer asked for.
    parked: HashMap<FileKey, Parked>,
    changes: UnboundedReceiver<FileChange>,
    /// The source never started before: what its first look finds was there at the start.
    first_start: bool,
    /// What a look finds is still to be entered: before the first, and after one that failed.
    look_due: bool,
    /// For `read_from: end`: how long files were at the first start that could not be opened then.
    present: HashMap<FileKey, u64>,
    /// Files that were renamed before a look found them, to be entered, and the path they had.
    renamed: Vec<(Found, PathBuf)>,
    /// Rows of files that are gone, to be deleted before new ones are entered.
    forgotten: Vec<i64>,
    /// Whether it was told that compressed files are left while files are followed.
    told_compressed: bool,
    complaints: Complaints,
    repeats: Repeats,
    /// Why the files that were not followed could not be read to their ends.
    failures: Vec<String>,
}

/// What one turn brought, on its way to the queues.
#[derive(Debug)]
struct Chunk {
    stream: Stream,
    stretches: Vec<Stretch>,
}

/// A turn that has ended.
type Ended = (TailId, Box<Reader>, io::Result<Turn>);

/// A turn: at once where nothing has to wait for the disk, else off the async threads.
type Reading = Either<Ready<Result<Ended, JoinError>>, JoinHandle<Ended>>;

impl FileSource {
    /// A source over these files, at work when it is run. Its checkpoints are saved apart from it:
    /// lines are settled when the last one was read long ago.
    ///
    /// # Errors
    /// When the store cannot be read, or a glob is not valid.
    pub async fn open(
        intake: Arc<Intake>,
        input: &FileInput,
        store: &Store,
        open_files: Arc<OpenFiles>,
    ) -> Result<(FileSource, Checkpoints), String> {
        let name = Arc::clone(intake.name());
        let store_trouble = |trouble: StoreError| trouble.to_string();
        let stored = store.files(&name).await.map_err(store_trouble)?;
        if stored.skipped > 0 {
            warn!(
                source = %name, files = stored.skipped,
                "the store holds records of files that cannot be read: these files count as new"
            );
        }
        let discover = Discover::new(&input.paths, &input.exclude)?.without_own(&input.data_dir);
        let (changer, changes) = mpsc::unbounded_channel();
        let (watch, pace) = Watch::new(&name, discover, input.follow);
        let book = Book::new(store.clone(), intake.metrics().clone());
        let checkpoints = Checkpoints::start(&book);
        let mut files = Files {
            complaints: Complaints::new(&name),
            told_compressed: false,
            repeats: Repeats::default(),
            name,
            intake: Arc::clone(&intake),
            store: store.clone(),
            follow: input.follow,
            read_from: input.read_from,
            roster: Roster::new(!input.follow, open_files.share()),
            open_files,
            book,
            watch: Arc::new(Mutex::new(watch)),
            pace,
            unclaimed: Unclaimed::new(stored.files),
            parked: HashMap::new(),
            changes,
            first_start: stored.started_at.is_none(),
            look_due: true,
            present: HashMap::new(),
            renamed: Vec::new(),
            forgotten: Vec::new(),
            failures: Vec::new(),
        };
        // The first look is part of the start: a file that appears once postrider is ready was not
        // there at its first start.
        files.change(Change::Names).await;
        Ok((FileSource { intake, files, changer }, checkpoints))
    }
}

impl Source for FileSource {
    async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let (chunks, arriving) = mpsc::channel(CHUNKS);
        let (spares, buffers) = mpsc::channel(CHUNKS);
        for _ in 0..CHUNKS {
            let _ = spares.try_send(Vec::new());
        }
        let reading = self.files.read(chunks, buffers, &stop);
        let accepting = accept(&self.intake, arriving, spares, &stop);
        tokio::join!(reading, accepting).0
    }
}

/// Takes in what arrives, until nothing more does, or until `stop`: what was not taken in by then
/// is read again at the next start.
async fn accept(
    intake: &Intake,
    mut arriving: mpsc::Receiver<Chunk>,
    spares: mpsc::Sender<Vec<u8>>,
    stop: &CancellationToken,
) {
    while let Some(Chunk { stream, stretches }) = arriving.recv().await {
        let mut spare = Vec::new();
        for stretch in stretches {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // For a while or for long: what fills the ledger goes to disk meanwhile.
                () = intake.room(&stream) => {}
            }
            intake.accept(&stretch, &stream).await;
            if let Stretch::Lines { bytes, .. } = stretch
                && bytes.capacity() <= 4 * READ_SIZE
            {
                spare = bytes;
            }
        }
        // As many buffers as the channel has room for are under way.
        let _ = spares.try_send(spare);
    }
}

impl Files {
    /// Reads by turns and sends what is whole. A turn needs a buffer, and there are few.
    async fn read(
        mut self,
        chunks: mpsc::Sender<Chunk>,
        mut buffers: mpsc::Receiver<Vec<u8>>,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let mut reading: Option<Reading> = None;
        let mut spare: Option<Vec<u8>> = None;
        while self.follow || self.look_due || reading.is_some() || !self.roster.is_finished() {
            if reading.is_none() && self.roster.is_ready() {
                reading = self.start_turn(&mut spare);
            }
            let needs_buffer = reading.is_none() && self.roster.is_ready();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(ended) = ended(&mut reading) => {
                    reading = None;
                    let (id, reader, turn) = ended?;
                    match self.end_turn(id, reader, turn).await {
                        // Never full: there are as many buffers as it has room.
                        Some(chunk) => drop(chunks.send(chunk).await),
                        None => spare = Some(Vec::new()),
                    }
                }
                buffer = buffers.recv(), if needs_buffer => match buffer {
                    Some(buffer) => spare = Some(buffer),
                    None => return Ok(()),
                },
                change = self.pace.change(), if self.follow || self.look_due => {
                    self.change(change).await;
                }
                Some(change) = self.changes.recv() => self.reconfigure(change).await,
                () = at(self.roster.next_look()) => self.roster.look_at_leaving(Instant::now()),
            }
        }
        self.failures()
    }

    /// Starts the next file's turn, where there is a buffer for it.
    fn start_turn(&mut self, spare: &mut Option<Vec<u8>>) -> Option<Reading> {
        let buffer = spare.take()?;
        let Some(called) = self.roster.call(Instant::now()) else {
            *spare = Some(buffer);
            return None;
        };
        self.roster.allow(self.open_files.share());
        let Called { id, mut reader, path, finish } = called;
        reader.follow(&self.intake);
        Some(match reader.turn_at_once(buffer, finish) {
            Ok(turn) => Either::Left(ready(Ok((id, reader, Ok(turn))))),
            Err(buffer) => Either::Right(tokio::task::spawn_blocking(move || {
                let turn = reader.turn(&path, buffer, finish);
                (id, reader, turn)
            })),
        })
    }
}

/// Waits for a turn to end; forever where none is under way.
async fn ended(reading: &mut Option<Reading>) -> Option<Result<Ended, String>> {
    let ended = reading.as_mut()?.await;
    // The panic's message may hold part of a line.
    Some(ended.map_err(|_| "a defect in postrider ended a read".to_owned()))
}

/// Waits for a moment; forever where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
