//! Files on their way out: those whose path is gone are looked at for a while, those that are no
//! longer asked for are read to their ends.

use super::{LEAVING_LOOK, Leaving, LetGo, Roster, TailId};
use crate::source::file::reader::Progress;
use std::collections::HashSet;
use std::path::Path;
use tokio::time::Instant;

impl Roster {
    /// A file has no path of the source any more.
    pub(in crate::source::file) fn leave(&mut self, id: TailId) {
        let now = Instant::now();
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if tail.leaving.is_none() {
            tail.leaving = Some(Leaving { quiet_since: now, next_look: now });
            self.leaving.insert(id);
        }
    }

    /// Makes room to open another file that is leaving, where these alone are as many as may be open:
    /// one that was read to its end and has a name somewhere can be found again. Returns whether
    /// there is room.
    pub(in crate::source::file) fn make_room(&mut self) -> bool {
        let held: Vec<_> =
            self.open.iter().filter(|(_, id)| self.leaving.contains(id)).copied().collect();
        if held.len() <= self.bound() {
            return true;
        }
        for (turn, id) in held {
            let Some(tail) = self.tails.get_mut(&id).filter(|tail| tail.at_end) else { continue };
            if let Some(reader) = tail.reader.as_mut().filter(|reader| reader.has_name()) {
                reader.close();
                self.open.remove(&(turn, id));
                return true;
            }
        }
        false
    }

    /// When a file that is leaving is to be looked at next.
    pub(in crate::source::file) fn next_look(&self) -> Option<Instant> {
        let tails = self.leaving.iter().filter_map(|id| self.tails.get(id));
        tails.filter_map(|tail| tail.leaving).map(|leaving| leaving.next_look).min()
    }

    /// Gives turns to the files that are leaving, as they are due.
    pub(in crate::source::file) fn look_at_leaving(&mut self, now: Instant) {
        let mut due = Vec::new();
        for id in &self.leaving {
            let Some(tail) = self.tails.get_mut(id) else { continue };
            let Some(leaving) = tail.leaving.as_mut().filter(|leaving| leaving.next_look <= now)
            else {
                continue;
            };
            let quiet = now.duration_since(leaving.quiet_since);
            leaving.next_look = now + (quiet / 8).clamp(LEAVING_LOOK.0, LEAVING_LOOK.1);
            due.push(*id);
        }
        due.into_iter().for_each(|id| self.queue(id));
    }

    /// Lets the files go that have no path any more that is asked for.
    pub(in crate::source::file) fn let_go(&mut self, is_asked_for: impl Fn(&Path) -> bool) {
        let asked = self.by_path.iter().filter(|(path, _)| is_asked_for(path));
        let asked: HashSet<TailId> = asked.map(|(_, id)| *id).collect();
        let mut ready = Vec::new();
        for (id, tail) in &mut self.tails {
            if tail.leaving.is_some() || asked.contains(id) {
                tail.let_go = None;
            } else if tail.let_go.is_none() {
                tail.let_go = Some(LetGo::default());
                ready.push(*id);
            }
        }
        ready.into_iter().for_each(|id| self.queue(id));
    }

    /// Whether a file that is let go was read as far as it is to be, by its last turn; without
    /// progress it cannot be read further.
    pub(in crate::source::file) fn is_read_out(
        &mut self,
        id: TailId,
        progress: Option<&Progress>,
    ) -> bool {
        let Some(tail) = self.tails.get_mut(&id) else { return false };
        let Some(let_go) = &mut tail.let_go else { return false };
        let Some(progress) = progress else { return true };
        let end = *let_go.end.get_or_insert(progress.size);
        progress.at_end || tail.position >= end
    }

    /// Says whether files end at their ends.
    pub(in crate::source::file) fn set_ends(&mut self, ends: bool) {
        if std::mem::replace(&mut self.ends, ends) == ends {
            return;
        }
        self.tails.values_mut().for_each(|tail| tail.finished &= ends);
        let all: Vec<_> = self.tails.keys().copied().collect();
        all.into_iter().for_each(|id| self.queue(id));
    }
}
