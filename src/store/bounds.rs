//! What dead letters may take up: the bound of each export and of each source's malformed lines,
//! finding room under it, and how old a letter may get.
//!
//! The bytes are those that `totals` counts. Replayed letters count as nothing, and go first.

use super::message::{Change, Message};
use super::sweep::Picked;
use super::totals::Count;
use super::transaction::Tx;
use super::writer::Shared;
use super::{LetterState, Removal, Replaces, Store, StoreError, page, sweep};
use crate::delivery::DeadLetter;
use rusqlite::params;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How many rows one letter that needs room deletes at most beyond what it needs itself.
const EVICT_ROWS: usize = 1_024;

/// How many rows are read at once to find what goes.
const PAGE_ROWS: usize = 64;

/// How many rows one look for letters that are too old looks at.
const EXPIRE_ROWS: usize = 1_024;

/// How often letters that are too old are looked for.
const EXPIRE_EVERY_MS: i64 = 60_000;

/// What the dead letters of one export, or the malformed lines of one source, may take up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqBounds {
    /// Bytes of their texts.
    pub max_bytes: u64,
    /// How old they may get, counted from their first burial; `None`: any age.
    pub max_age: Option<Duration>,
    /// What happens to a letter that finds no room.
    pub when_full: WhenFull,
}

impl Default for DlqBounds {
    fn default() -> Self {
        DlqBounds { max_bytes: 1_000_000_000, max_age: None, when_full: WhenFull::Block }
    }
}

/// What happens to a dead letter that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It is refused with [`StoreError::NoRoom`].
    Block,
    /// The oldest dead letters of its export make room.
    DropOldest,
}

/// Whose dead letters share a bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// An export.
    Export(Arc<str>),
    /// A source, for its malformed lines.
    Source(Arc<str>),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Export(export) => write!(f, "export `{export}`"),
            Owner::Source(source) => write!(f, "source `{source}` (malformed lines)"),
        }
    }
}

impl Owner {
    fn of(letter: &DeadLetter) -> Owner {
        match &letter.export {
            Some(export) => Owner::Export(Arc::clone(export)),
            None => Owner::Source(Arc::clone(&letter.source)),
        }
    }
}

/// The bound, and how far the writer has come with what it asks for.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) bounds: DlqBounds,
    /// Whether the program stops: what nobody can give again is not refused then.
    pub(super) stopping: bool,
    /// When letters that are too old are looked for again, Unix milliseconds.
    expire_at_ms: i64,
    /// How far the current look has come.
    expired_to: i64,
    /// Malformed lines of a source up to this id are gone. No index leads to them, and they
    /// neither come back nor change their state.
    gone: HashMap<Arc<str>, i64>,
}

impl Bound {
    pub(super) fn new(bounds: DlqBounds) -> Self {
        Bound { bounds, expired_to: i64::MIN, ..Bound::default() }
    }

    /// From now on others hold.
    pub(super) fn change(&mut self, bounds: DlqBounds) {
        self.bounds = bounds;
        self.expire_at_ms = 0;
        self.expired_to = i64::MIN;
    }

    /// The transaction came to nothing.
    pub(super) fn roll_back(&mut self) {
        self.gone.clear();
        self.expired_to = i64::MIN;
    }

    /// When letters that are too old must be looked for, Unix milliseconds.
    pub(super) fn due_at(&self) -> Option<i64> {
        self.bounds.max_age.map(|_| self.expire_at_ms)
    }
}

impl Shared {
    /// Other bounds hold, or there is more room: who has none then is yet to be seen.
    pub(super) fn forget_without_room(&self) {
        self.without_room.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Notes whether an owner's last letter found room.
    fn found_room(&self, owner: &Owner, found: bool) {
        let mut without = self.without_room.lock().unwrap_or_else(PoisonError::into_inner);
        if found {
            without.remove(owner);
        } else {
            without.insert(owner.clone());
        }
    }
}

impl Store {
    /// Changes what dead letters may take up. What lies there beyond a lower bound stays until
    /// letters come that need room.
    pub fn set_dlq_bounds(&self, bounds: DlqBounds) {
        // After closing there is nothing left to bound.
        let _ = self.send(Message::Change(Change::Bounds(bounds)));
    }

    /// Changes whether dead letters raise `webhook.dlq` events.
    pub fn set_emit_dlq_events(&self, emit: bool) {
        let _ = self.send(Message::Change(Change::EmitDlqEvents(emit)));
    }

    /// Whose last dead letter found no room; one that finds room again is left out.
    pub fn without_room(&self) -> Vec<Owner> {
        let without: &BTreeSet<Owner> =
            &self.0.shared.without_room.lock().unwrap_or_else(PoisonError::into_inner);
        without.iter().cloned().collect()
    }
}

impl Tx<'_> {
    /// Finds room for a letter before anything of it is written.
    pub(super) fn find_room(
        &mut self,
        letter: &DeadLetter,
        replaces: &Replaces,
    ) -> Result<(), StoreError> {
        if let Replaces::Letter(id) = replaces
            && self.pick(*id)?.is_some()
        {
            // It stays in the row that it has.
            return Ok(());
        }
        let owner = Owner::of(letter);
        let there = self.state.totals.current(letter.export.as_deref(), &letter.source);
        let max = i64::try_from(self.state.bound.bounds.max_bytes).unwrap_or(i64::MAX);
        let bytes = letter.text.len() as i64;
        let dead_too_many = there.bytes.saturating_add(bytes) > max;
        let last_chance = *replaces == Replaces::OnlyCopy && self.state.bound.stopping;
        let blocks = self.state.bound.bounds.when_full == WhenFull::Block;
        // One that is larger than all room could never be stored if it had to fit.
        if dead_too_many && there.letters > 0 && blocks && !last_chance {
            self.shared.found_room(&owner, false);
            return Err(StoreError::NoRoom(owner));
        }
        let room = Room { max, bytes, deleted: 0, freed: 0 };
        let room = self.evict(&owner, LetterState::Replayed, room)?;
        if dead_too_many && !blocks {
            self.evict(&owner, LetterState::Dead, room)?;
        }
        self.shared.found_room(&owner, true);
        Ok(())
    }

    /// Deletes the oldest letters in a state until there is room, or none is left.
    fn evict(
        &mut self,
        owner: &Owner,
        state: LetterState,
        mut room: Room,
    ) -> Result<Room, StoreError> {
        let (export, source) = match owner {
            Owner::Export(export) => (Some(export), ""),
            Owner::Source(source) => (None, &**source),
        };
        let export = export.map(|export| &**export);
        let mut after = match owner {
            Owner::Source(source) => self.state.bound.gone.get(source).copied(),
            Owner::Export(_) => None,
        };
        loop {
            if room.is_found(self.state.totals.current(export, source)) {
                return Ok(room);
            }
            let (picked, next) = self.oldest(owner, state, after.unwrap_or(i64::MIN))?;
            for letter in &picked {
                if room.is_found(self.state.totals.current(export, source)) {
                    return Ok(room);
                }
                self.take_out(letter, Removal::Dropped)?;
                room.deleted += 1;
                room.freed += letter.bytes;
                if let Owner::Source(source) = owner {
                    self.state.bound.gone.insert(Arc::clone(source), letter.id);
                }
            }
            let Some(next) = next else { return Ok(room) };
            after = Some(next);
        }
    }

    /// Some of an owner's oldest letters in a state, behind the id `after`, and the id to go on
    /// from; none where there are no more.
    fn oldest(
        &self,
        owner: &Owner,
        state: LetterState,
        after: i64,
    ) -> Result<(Vec<Picked>, Option<i64>), StoreError> {
        let place = match owner {
            Owner::Export(_) => "export = ?1",
            Owner::Source(_) => "export IS NULL AND source = ?1",
        };
        let (Owner::Export(name) | Owner::Source(name)) = owner;
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {} FROM dead_letters WHERE {place} AND state = ?2 AND id > ?3
             ORDER BY id LIMIT ?4",
            sweep::PICKED
        ))?;
        let mut rows = statement.query(params![name, state, after, PAGE_ROWS as i64])?;
        let (mut picked, mut last, mut read) = (Vec::new(), None, 0);
        while let Some(row) = rows.next()? {
            read += 1;
            last = Some(row.get(0)?);
            // A damaged row is left where it is.
            picked.extend(page::known(sweep::picked(row))?);
        }
        Ok((picked, last.filter(|_| read == PAGE_ROWS)))
    }

    /// Deletes letters that are older than they may get, at most once a minute and some at a time.
    /// Those that are being replayed are left until they are dead again.
    pub(super) fn expire(&mut self) -> Result<(), StoreError> {
        let bound = &mut self.state.bound;
        let Some(max_age) = bound.bounds.max_age else { return Ok(()) };
        if self.now < bound.expire_at_ms && bound.expire_at_ms - self.now <= EXPIRE_EVERY_MS {
            return Ok(());
        }
        let age_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.now.saturating_sub(age_ms);
        let after = bound.expired_to;
        // Ids ascend with time, so the first that is young ends the look; but one that a clock
        // gone wrong dated into the future says nothing of those behind it.
        let (too_old, more) = self.look_for_old(after, oldest)?;
        for letter in &too_old {
            self.take_out(letter, Removal::Expired)?;
        }
        let bound = &mut self.state.bound;
        bound.expired_to = more.unwrap_or(i64::MIN);
        bound.expire_at_ms = if more.is_some() { self.now } else { self.now + EXPIRE_EVERY_MS };
        Ok(())
    }

    /// The letters of the next rows that were buried before `oldest`, and where the look goes on.
    fn look_for_old(
        &self,
        after: i64,
        oldest: i64,
    ) -> Result<(Vec<Picked>, Option<i64>), StoreError> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {}, created_at FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2",
            sweep::PICKED
        ))?;
        let mut rows = statement.query([after, EXPIRE_ROWS as i64])?;
        let (mut found, mut last, mut read) = (Vec::new(), None, 0);
        while let Some(row) = rows.next()? {
            read += 1;
            last = Some(row.get(0)?);
            // A damaged row must not fail every commit from now on.
            let known = sweep::picked(row).and_then(|letter| Ok((letter, row.get::<_, i64>(5)?)));
            let Some((letter, created_at)) = page::known(known)? else { continue };
            if (oldest..=self.now).contains(&created_at) {
                return Ok((found, None));
            }
            if created_at < oldest && letter.state != LetterState::Replaying {
                found.push(letter);
            }
        }
        Ok((found, last.filter(|_| read == EXPIRE_ROWS)))
    }
}

/// The room that a letter needs.
#[derive(Debug, Clone, Copy)]
struct Room {
    max: i64,
    /// Of the letter.
    bytes: i64,
    deleted: usize,
    freed: i64,
}

impl Room {
    /// Whether enough is gone: below the bound, or for now where a lower one was set and much more
    /// must go.
    fn is_found(&self, there: Count) -> bool {
        let all = there.bytes.saturating_add(there.replayed_bytes).saturating_add(self.bytes);
        all <= self.max || (self.deleted >= EVICT_ROWS && self.freed >= self.bytes)
    }
}

#[cfg(test)]
mod tests;
