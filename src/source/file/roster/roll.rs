//! The roll call: what a look found, compared with the files of the roster.

use super::{Leaving, Roster, Tail, TailId};
use crate::source::file::discover::Found;
use crate::source::file::identity::FileKey;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// What became of the known files at a look.
#[derive(Debug, Default)]
pub(in crate::source::file) struct Roll {
    /// Files with another path: their row, and the path.
    pub(in crate::source::file) renamed: Vec<(i64, PathBuf)>,
    /// Files with another length: their row, and the length.
    pub(in crate::source::file) resized: Vec<(i64, u64)>,
    /// Whether events miss what happens to a file.
    pub(in crate::source::file) deaf: bool,
    /// Files that are on no path any more and not open.
    pub(in crate::source::file) vanished: Vec<TailId>,
    /// Files that are not known.
    pub(in crate::source::file) new: Vec<Found>,
    /// Their other names.
    pub(in crate::source::file) aliases: Vec<Found>,
    /// Who had which path before.
    pub(in crate::source::file) held: HashMap<PathBuf, TailId>,
}

impl Roster {
    /// Compares the known files with what a look found. What it could not look at, or into, is where
    /// it was. `announced` says that events should have told of every change before.
    pub(in crate::source::file) fn call_the_roll(
        &mut self,
        files: Vec<Found>,
        unseen: &[&Path],
        announced: bool,
    ) -> Roll {
        let mut roll = Roll { held: std::mem::take(&mut self.by_path), ..Roll::default() };
        let mut names: HashMap<TailId, Vec<Found>> = HashMap::new();
        let mut new: BTreeSet<FileKey> = BTreeSet::new();
        for found in files {
            match self.by_key.get(&found.key) {
                Some(id) => names.entry(*id).or_default().push(found),
                None if new.insert(found.key) => roll.new.push(found),
                None => roll.aliases.push(found),
            }
        }
        let mut ready = Vec::new();
        for (id, tail) in &mut self.tails {
            let Some(names) = names.remove(id) else {
                if tail.let_go.is_some() || unseen.iter().any(|place| tail.path.starts_with(place))
                {
                    self.by_path.insert(tail.path.clone(), *id);
                    continue;
                }
                // Also one that left before and could not be opened then.
                let closed = tail.reader.is_some() && !tail.is_open();
                roll.vanished.extend(closed.then_some(*id));
                if tail.leaving.is_none() {
                    ready.push(*id);
                    let now = Instant::now();
                    tail.leaving = Some(Leaving { quiet_since: now, next_look: now });
                    self.leaving.insert(*id);
                }
                continue;
            };
            tail.let_go = None;
            if tail.leaving.take().is_some() {
                self.leaving.remove(id);
            }
            let index = names.iter().position(|found| found.path == tail.path).unwrap_or(0);
            for found in &names {
                self.by_path.insert(found.path.clone(), *id);
                self.by_path.extend(found.target.clone().map(|target| (target, *id)));
            }
            if tail.answers(&names[index], announced, &mut roll) {
                ready.push(*id);
            }
        }
        ready.into_iter().for_each(|id| self.queue(id));
        // Not all of them may find room: those first that found it least often.
        roll.vanished.sort_by_key(|id| self.tails.get(id).map(|tail| tail.reopened));
        roll
    }
}

impl Tail {
    /// Takes in what a look found of it. Returns whether it is to have a turn.
    fn answers(&mut self, found: &Found, announced: bool, roll: &mut Roll) -> bool {
        if found.path != self.path {
            found.path.clone_into(&mut self.path);
            self.stream.label = found.path.to_string_lossy().into();
            roll.renamed.push((self.row, found.path.clone()));
        }
        self.target.clone_from(&found.target);
        let resized = !self.compressed && found.size != self.position;
        let touched = std::mem::replace(&mut self.modified, found.modified) != found.modified;
        if resized {
            roll.resized.push((self.row, found.size));
            if announced && self.at_end && !self.queued && touched {
                self.unannounced += 1;
                roll.deaf |= self.unannounced > 1;
            }
        }
        resized || (touched && !self.is_open()) || self.failed.is_some()
    }
}
