//! Another configuration of a file source that runs: other globs are looked for, and files that are
//! no longer asked for are read to their present ends and let go. They are known until the source
//! ends, so that one that is asked for again is read on where it was left.

use super::discover::Discover;
use super::reader::Reader;
use super::resume::Opened;
use super::roster::{Tail, TailId};
use super::{FileSource, Files};
use crate::config::{self, FileInput};
use crate::source::SourceHandle;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::PoisonError;
use tokio::sync::oneshot;
use tracing::info;

/// Another configuration of a file source, with its globs read.
#[derive(Debug)]
pub(in crate::source) struct FileChange {
    input: FileInput,
    discover: Discover,
    /// Told when the source goes by it.
    in_force: Option<oneshot::Sender<()>>,
}

/// A file that was let go: who it is and how far it was read, without a handle.
#[derive(Debug)]
pub(super) struct Parked {
    tail: Tail,
    reader: Box<Reader>,
}

impl FileChange {
    /// Reads the globs.
    ///
    /// # Errors
    /// When one is not valid; says which.
    pub(in crate::source) fn prepare(wanted: &FileInput) -> Result<Self, String> {
        let discover = Discover::new(&wanted.paths, &wanted.exclude)?.without_own(&wanted.data_dir);
        Ok(FileChange { input: wanted.clone(), discover, in_force: None })
    }

    /// What is told when the source goes by it, or has ended.
    pub(in crate::source) fn tell(&mut self) -> oneshot::Receiver<()> {
        let (in_force, told) = oneshot::channel();
        self.in_force = Some(in_force);
        told
    }
}

impl FileSource {
    /// What reconfigures it while it runs; `config` is what it was made of.
    pub fn handle(&self, config: &config::Source) -> SourceHandle {
        SourceHandle::file(&self.intake, config, self.changer.clone())
    }
}

impl Files {
    /// Goes on with another configuration.
    pub(super) async fn reconfigure(&mut self, change: FileChange) {
        let FileChange { input, discover, in_force } = change;
        self.read_from = input.read_from;
        self.follow = input.follow;
        self.roster.set_ends(!input.follow);
        self.roster.let_go(|path| discover.matches(path));
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).look_for(discover, input.follow);
        self.look_due = true;
        self.look(false).await;
        if let Some(in_force) = in_force {
            // Who no longer waits has lost nothing.
            let _ = in_force.send(());
        }
    }

    /// Leaves a file as far as it was read.
    pub(super) fn park(&mut self, id: TailId) {
        let Some((tail, mut reader)) = self.roster.remove(id) else { return };
        info!(source = %self.name, path = %tail.path.display(), "a file is no longer asked for: it was read to its end and is let go");
        reader.close();
        reader.forget_rest();
        self.book.has_size(tail.row, reader.position());
        self.parked.insert(tail.key, Parked { tail, reader });
    }

    /// Reads those of the opened files on that were let go before; returns the others.
    pub(super) fn take_back(
        &mut self,
        opened: Vec<Opened>,
        held: &HashMap<PathBuf, TailId>,
    ) -> Vec<Opened> {
        let mut others = Vec::new();
        for opened in opened {
            let Some(Parked { mut tail, mut reader }) = self.parked.remove(&opened.found.key)
            else {
                others.push(opened);
                continue;
            };
            let Opened { found, head, .. } = &opened;
            let shrunk = opened.text.is_none() && found.size < reader.position();
            if !reader.head().may_become(head) || shrunk {
                // What stands there now is another one.
                self.book.leave_out(tail.row);
                self.forgotten.push(tail.row);
                others.push(opened);
                continue;
            }
            self.book.renamed(tail.row, &found.path);
            self.book.has_size(tail.row, opened.size().max(reader.position()));
            if let Some(file) = opened.file {
                reader.reopen(file);
            }
            tail.comes_back(opened.found, reader);
            let before = held.get(&tail.path).copied();
            self.roster.add(tail, before);
        }
        others
    }
}
