//! Compressed files, and whose text they hold: a file that was rotated and then compressed has
//! another inode, and is known by the head of its text. Wrong, this would lose events, so what is
//! not clear is read as a new file.

use super::Files;
use super::discover::Found;
use super::gzip;
use super::look::Entrant;
use super::resume::{self, Fate, Opened};
use crate::store::StoredFile;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use tracing::{info, warn};

impl Files {
    /// Files that are followed are not compressed ones: they are whole when they appear, and were
    /// read before.
    pub(super) fn leave_compressed(&mut self, files: &mut Vec<Found>) {
        if !self.follow {
            return;
        }
        let count = files.len();
        files.retain(|found| !gzip::is_compressed(&found.path));
        if files.len() < count && !std::mem::replace(&mut self.told_compressed, true) {
            warn!(
                source = %self.name, files = count - files.len(),
                fix = "leave them out with `exclude: [\"*.gz\"]`, or read them with a source that has `follow: false`",
                "compressed files are not read while files are followed"
            );
        }
    }

    /// Leaves out a compressed file whose plain one is there too, of the same head and length.
    pub(super) fn without_copies(&self, opened: Vec<Opened>) -> Vec<Opened> {
        let plain: HashMap<_, _> = opened
            .iter()
            .filter(|opened| opened.text.is_none())
            .map(|plain| (&plain.found.path, (plain.found.size, &plain.head)))
            .collect();
        let is_copy = |opened: &Opened| {
            let Some(length) = opened.text else { return false };
            let plain = plain.get(&opened.found.path.with_extension(""));
            plain.is_some_and(|(size, head)| *size as u32 == length && **head == opened.head)
        };
        let copies: Vec<_> = opened.iter().map(is_copy).collect();
        let mut others = Vec::new();
        for (opened, copy) in opened.into_iter().zip(copies) {
            if copy {
                info!(source = %self.name, path = %opened.found.path.display(), "a compressed file is left: its plain one is read");
            } else {
                others.push(opened);
            }
        }
        others
    }

    /// Reads compressed files on where an earlier run left those that they were made of.
    pub(super) async fn find_heirs(&mut self, entrants: &mut Vec<Entrant>) {
        let (found, others): (Vec<_>, Vec<_>) = std::mem::take(entrants)
            .into_iter()
            .partition(|entrant| entrant.opened.text.is_some() && entrant.row.is_none());
        *entrants = others;
        if found.is_empty() {
            return;
        }
        let (found, lost) = (found, self.unclaimed.take_all());
        let look = move || {
            let heirs = heirs(&found, &lost);
            (found, lost, heirs)
        };
        let Ok((found, lost, heirs)) = tokio::task::spawn_blocking(look).await else { return };
        let mut lost: Vec<_> = lost.into_iter().map(Some).collect();
        for (index, entrant) in found.into_iter().enumerate() {
            let stored = heirs.get(&index).and_then(|of| lost[*of].take());
            entrants.push(match stored {
                Some(stored) => {
                    info!(source = %self.name, path = %stored.state.path.display(), now = %entrant.opened.found.path.display(), "a file was compressed while nobody looked, and is read on");
                    Entrant::resumed(entrant.opened, stored)
                }
                None => entrant,
            });
        }
        lost.into_iter().flatten().for_each(|stored| self.unclaimed.put_back(stored));
    }
}

/// Which of the found files is which of the stored ones that are nowhere any more: where only one
/// can be, first by the whole length too.
fn heirs(found: &[Entrant], lost: &[StoredFile]) -> HashMap<usize, usize> {
    let mut candidates = candidates(found, lost);
    let asked: HashSet<usize> = candidates.iter().map(|(_, of)| *of).collect();
    let now = Timestamp::now();
    let gone = |of: &usize| matches!(resume::fate(&lost[*of], now), Fate::Gone);
    let gone: HashSet<usize> = asked.into_iter().filter(gone).collect();
    candidates.retain(|(_, of)| gone.contains(of));
    let same_length = |&(index, of): &(usize, usize)| {
        found[index].opened.text == Some(lost[of].state.size as u32)
    };
    let mut heirs = clear(candidates.iter().copied().filter(same_length).collect());
    let known: HashSet<usize> = heirs.values().copied().collect();
    candidates.retain(|(index, of)| !heirs.contains_key(index) && !known.contains(of));
    heirs.extend(clear(candidates));
    heirs
}

/// The pairs of which neither is in another one.
fn clear(pairs: Vec<(usize, usize)>) -> HashMap<usize, usize> {
    let (mut indices, mut ofs): (HashMap<usize, u32>, HashMap<usize, u32>) = Default::default();
    for (index, of) in &pairs {
        *indices.entry(*index).or_default() += 1;
        *ofs.entry(*of).or_default() += 1;
    }
    pairs.into_iter().filter(|(index, of)| indices[index] == 1 && ofs[of] == 1).collect()
}

/// Found files with the stored ones of the same folder and head.
fn candidates(found: &[Entrant], lost: &[StoredFile]) -> Vec<(usize, usize)> {
    let mut by_head: HashMap<(u64, [u8; 32]), Vec<usize>> = HashMap::new();
    let lengths: HashSet<u64> = lost.iter().map(|stored| stored.state.head_len).collect();
    for length in lengths.into_iter().filter(|length| *length > 0) {
        for (index, entrant) in found.iter().enumerate() {
            let size = usize::try_from(length).unwrap_or(usize::MAX);
            if let Some(hash) = entrant.opened.head.hash(size) {
                by_head.entry((length, hash)).or_default().push(index);
            }
        }
    }
    let mut pairs = Vec::new();
    for (of, StoredFile { state, .. }) in lost.iter().enumerate() {
        for index in by_head.get(&(state.head_len, state.head_hash)).into_iter().flatten() {
            if found[*index].opened.found.path.parent() == state.path.parent() {
                pairs.push((*index, of));
            }
        }
    }
    pairs
}
