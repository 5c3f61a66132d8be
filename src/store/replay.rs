//! Replaying and purging: the changes of a dead letter's state.
//!
//! | from | by | to |
//! |---|---|---|
//! | dead | mark | replaying: it stays so over restarts until it is settled |
//! | replaying | delivered | replayed |
//! | replaying | buried again | dead, once more replayed in vain |
//! | replaying | unmark | dead |
//! | any | purge | gone |

use super::letter::{self, StoredLetter};
use super::sweep::{Picked, Sweep};
use super::totals::Count;
use super::transaction::Tx;
use super::{LetterState, Page, Removal, Selection, Store, StoreError, database, page};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where dead letters may be replayed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayScope {
    /// The exports that exist: each letter goes back on its own.
    pub exports: Vec<Arc<str>>,
    /// The export to put letters on whose own no longer exists, and only these.
    pub orphans_to: Option<Arc<str>>,
}

/// What a replay took up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// Dead letters put back, by the export that they will go out on.
    pub by_export: BTreeMap<Arc<str>, u64>,
    /// Letters named by id that can't be replayed: not dead, not an event, or of an export that
    /// is not in the scope.
    pub refused: u64,
}

impl Marked {
    /// How many dead letters were put back.
    pub fn letters(&self) -> u64 {
        self.by_export.values().sum()
    }
}

impl ReplayScope {
    /// Where a replay looks: at what can be replayed, and at what is named by id even if it can't
    /// be, to say so. `None` where that is nothing.
    fn narrow(&self, selection: &Selection, buried: &[Arc<str>]) -> Option<Selection> {
        if !selection.ids.is_empty() {
            return Some(selection.clone());
        }
        let replayable = self.replayable(selection, buried);
        (!replayable.exports.is_empty()).then_some(replayable)
    }

    /// The selection without what can't be replayed; `buried` are the exports that have dead
    /// letters. Where it names no export there is nothing to replay.
    pub(super) fn replayable(&self, selection: &Selection, buried: &[Arc<str>]) -> Selection {
        let asked = |export: &str| {
            selection.exports.is_empty() || selection.exports.iter().any(|name| name == export)
        };
        let fits = |export: &&Arc<str>| self.goes_to(Some(export)).is_some() && asked(export);
        Selection {
            exports: buried.iter().filter(fits).map(|export| export.to_string()).collect(),
            states: vec![LetterState::Dead],
            ..selection.clone()
        }
    }

    /// The export that a dead letter of `export` goes out on.
    fn goes_to(&self, export: Option<&Arc<str>>) -> Option<Arc<str>> {
        let export = export.filter(|export| !export.is_empty())?;
        let exists = self.exports.contains(export);
        match &self.orphans_to {
            None => exists.then(|| Arc::clone(export)),
            Some(to) => (!exists).then(|| Arc::clone(to)),
        }
    }
}

impl Store {
    /// Puts dead letters back on their exports; they stay `replaying` over restarts until they are
    /// settled. Takes the oldest first where the selection has a limit.
    ///
    /// # Errors
    /// When a commit fails; what earlier commits marked stays so.
    pub async fn mark_replaying(
        &self,
        selection: &Selection,
        scope: &ReplayScope,
    ) -> Result<Marked, StoreError> {
        let mut marked = Marked::default();
        let Some(narrowed) = scope.narrow(selection, &self.0.totals.exports()) else {
            return Ok(marked);
        };
        let mut sweep = Sweep::new(&narrowed);
        while !sweep.is_done() {
            let scope = scope.clone();
            let (next, step) = self
                .write_freeing((1024, 0), move |tx| {
                    let mut here = sweep.clone();
                    let step = tx.mark(&mut here, &scope)?;
                    Ok((here, step))
                })
                .await?;
            sweep = next;
            marked.refused += step.refused;
            for (export, letters) in step.by_export {
                *marked.by_export.entry(export).or_default() += letters;
            }
        }
        Ok(marked)
    }

    /// Takes back what [`Store::mark_replaying`] did; the selection's `states` do not count.
    /// Returns how many letters are dead again. Not for letters that an export works on.
    ///
    /// # Errors
    /// When a commit fails.
    pub async fn unmark_replaying(&self, selection: &Selection) -> Result<u64, StoreError> {
        let states = vec![LetterState::Replaying];
        self.sweep(&Selection { states, ..selection.clone() }, |tx, sweep| tx.unmark(sweep)).await
    }

    /// The letters that an export is to replay, at most `limit`, behind the id `after` (0: from
    /// the first).
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn next_replaying(
        &self,
        export: &str,
        after: i64,
        limit: usize,
    ) -> Result<Page<StoredLetter>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| next(conn, &export, after, limit)).await
    }

    /// Says that a replayed letter was delivered; written with the next commit.
    pub fn replayed(&self, id: i64) {
        self.ride(|riders| riders.replayed.push(id));
    }

    /// Deletes dead letters and gives their room back to the disk. Returns how many.
    ///
    /// # Errors
    /// When a commit fails; what earlier commits deleted stays so.
    pub async fn purge(&self, selection: &Selection) -> Result<u64, StoreError> {
        let purged = self.sweep(selection, |tx, sweep| tx.purge(sweep)).await?;
        if purged > 0 {
            self.0.shared.forget_without_room();
        }
        // They are gone; where their room can't be given back now, the writer tries it again later.
        let give_back = |conn: &Connection| match database::give_back(conn) {
            Err(StoreError::Full | StoreError::Busy(_)) => Ok(false),
            done => done,
        };
        while purged > 0 && self.between("vacuum", give_back).await? {}
        Ok(purged)
    }

    async fn sweep(
        &self,
        selection: &Selection,
        change: fn(&mut Tx<'_>, &mut Sweep) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut sweep = Sweep::new(selection);
        let mut sum = 0;
        while !sweep.is_done() {
            let (next, count) = self
                .write_freeing((1024, 0), move |tx| {
                    let mut here = sweep.clone();
                    let count = change(tx, &mut here)?;
                    Ok((here, count))
                })
                .await?;
            sweep = next;
            sum += count;
        }
        Ok(sum)
    }
}

impl Tx<'_> {
    /// Puts the dead letters of the sweep's next step back on their exports.
    pub(super) fn mark(
        &mut self,
        sweep: &mut Sweep,
        scope: &ReplayScope,
    ) -> Result<Marked, StoreError> {
        let mut marked = Marked::default();
        for letter in sweep.step(self)? {
            let to = scope.goes_to(letter.export.as_ref());
            match to.filter(|_| letter.state == LetterState::Dead) {
                None => marked.refused += 1,
                Some(to) => {
                    self.move_letter(&letter, LetterState::Replaying, &to)?;
                    *marked.by_export.entry(to).or_default() += 1;
                }
            }
        }
        Ok(marked)
    }

    /// Takes replaying letters of the sweep's next step back; returns how many.
    pub(super) fn unmark(&mut self, sweep: &mut Sweep) -> Result<u64, StoreError> {
        let mut count = 0;
        for letter in sweep.step(self)? {
            if let Some(export) = &letter.export {
                self.move_letter(&letter, LetterState::Dead, export)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// A replayed letter was delivered.
    pub(super) fn replayed(&mut self, id: i64) -> Result<(), StoreError> {
        let Some(letter) = self.pick(id)? else { return Ok(()) };
        let Some(export) = &letter.export else { return Ok(()) };
        if letter.state != LetterState::Replayed {
            self.move_letter(&letter, LetterState::Replayed, export)?;
            self.removed(&letter, Removal::Replayed);
        }
        Ok(())
    }

    fn move_letter(
        &mut self,
        letter: &Picked,
        state: LetterState,
        export: &Arc<str>,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE dead_letters SET state = ?2, export = ?3, updated_at = ?4 WHERE id = ?1",
            )?
            .execute(params![letter.id, state, export, self.now])?;
        let old = Count::one(letter.state, letter.bytes);
        self.state.totals.remove(letter.export.as_deref(), &letter.source, old);
        let new = Count::one(state, letter.bytes);
        self.state.totals.add(Some(export), &letter.source, new);
        Ok(())
    }

    /// Deletes the letters of the sweep's next step; returns how many.
    pub(super) fn purge(&mut self, sweep: &mut Sweep) -> Result<u64, StoreError> {
        let picked = sweep.step(self)?;
        for letter in &picked {
            self.take_out(letter, Removal::Purged)?;
        }
        Ok(picked.len() as u64)
    }

    /// Deletes a letter.
    pub(super) fn take_out(&mut self, letter: &Picked, how: Removal) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?.execute([letter.id])?;
        let count = Count::one(letter.state, letter.bytes);
        self.state.totals.remove(letter.export.as_deref(), &letter.source, count);
        // A replayed one was counted as removed when it was delivered.
        if letter.state != LetterState::Replayed {
            self.removed(letter, how);
        }
        Ok(())
    }

    fn removed(&mut self, letter: &Picked, how: Removal) {
        let export = letter.export.as_deref().unwrap_or_default().to_owned();
        *self.state.removed.entry((export, how)).or_default() += 1;
    }
}

/// The letters that an export is to replay, behind the id `after`.
pub(super) fn next(
    conn: &Connection,
    export: &str,
    after: i64,
    limit: usize,
) -> Result<Page<StoredLetter>, StoreError> {
    let columns = letter::COLUMNS;
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {columns} FROM dead_letters
         WHERE export = ?1 AND state = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
    ))?;
    let values = params![export, LetterState::Replaying, after, page::sql_limit(limit)];
    page::read(statement.query(values)?, limit, letter::from_row)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::super::{Reader, Replaces};
    use super::*;

    fn scope(exports: &[&str], to: Option<&str>) -> ReplayScope {
        ReplayScope {
            exports: exports.iter().map(|name| Arc::from(*name)).collect(),
            orphans_to: to.map(Arc::from),
        }
    }

    async fn fill(store: &Store, exports: &[&str]) -> Vec<i64> {
        let letters = exports.iter().zip(0..).map(|(export, n)| match *export {
            "" => testing::malformed("app", n),
            export => testing::letter(export, n),
        });
        let buried = letters.map(|letter| store.bury(letter, Replaces::Nothing, None));
        let buried = futures::future::try_join_all(buried).await.unwrap();
        buried.into_iter().map(|buried| buried.id).collect()
    }

    fn states(bench: &Bench, ids: &[i64]) -> Vec<LetterState> {
        let reader = Reader::open(bench.path()).unwrap();
        ids.iter().map(|id| reader.letter(*id).unwrap().unwrap().state).collect()
    }

    use LetterState::{Dead, Replayed, Replaying};

    #[tokio::test]
    async fn a_replay_can_be_killed_at_any_point() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = fill(&store, &["a", "a", "a", "b"]).await;
        let scope = scope(&["a", "b"], None);
        let only_a =
            Selection { exports: vec!["a".into()], limit: Some(2), ..Selection::default() };
        let marked = store.mark_replaying(&only_a, &scope).await.unwrap();
        assert_eq!((marked.letters(), marked.by_export["a"], marked.refused), (2, 2, 0));
        let bench = bench.crashed();
        let store = bench.open();
        assert_eq!(states(&bench, &ids), [Replaying, Replaying, Dead, Dead]);
        let page = store.next_replaying("a", 0, 1).await.unwrap();
        assert_eq!((page.items[0].id, page.next), (ids[0], Some(ids[0])));
        let page = store.next_replaying("a", ids[0], 9).await.unwrap();
        assert_eq!((page.items[0].id, page.next), (ids[1], None));
        store.replayed(ids[0]);
        store.replayed(ids[0]);
        store.replayed(ids[1] + 999);
        store.close().await.unwrap();
        let store = bench.open();
        assert_eq!(states(&bench, &ids), [Replayed, Replaying, Dead, Dead]);
        assert_eq!(store.total("a").letters, 2);
        assert_eq!(store.total("a").replayed, 1);
        assert_eq!(store.unmark_replaying(&Selection::default()).await, Ok(1));
        assert_eq!(states(&bench, &ids), [Replayed, Dead, Dead, Dead]);
        let removed = r#"Removed { export: Some("a"), how: Replayed, count: 1 }"#;
        assert!(bench.facts.lock().unwrap().iter().any(|fact| fact == removed));
    }

    #[tokio::test]
    async fn only_what_can_be_replayed_is_marked() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = fill(&store, &["a", "gone", ""]).await;
        let all = Selection::default();
        let named = Selection { ids: ids.clone(), ..Selection::default() };
        let gone = Selection { exports: vec!["gone".into()], ..Selection::default() };
        let marked = store.mark_replaying(&gone, &scope(&["a"], None)).await.unwrap();
        assert_eq!(marked, Marked::default());
        let marked = store.mark_replaying(&all, &scope(&["a"], None)).await.unwrap();
        assert_eq!((marked.letters(), marked.refused), (1, 0));
        let marked = store.mark_replaying(&named, &scope(&["a"], None)).await.unwrap();
        assert_eq!((marked.letters(), marked.refused), (0, 3), "what is named is answered for");
        let marked = store.mark_replaying(&all, &scope(&["a"], Some("a"))).await.unwrap();
        assert_eq!(marked.by_export, [(Arc::from("a"), 1)].into());
        assert_eq!(states(&bench, &ids), [Replaying, Replaying, Dead]);
        let moved = store.next_replaying("a", ids[0], 9).await.unwrap().items;
        assert_eq!(moved[0].delivery_id, testing::letter("gone", 1).delivery_id);
        assert_eq!((store.total("gone").letters, store.total("a").letters), (0, 2));
    }

    #[tokio::test]
    async fn what_is_purged_frees_its_room() {
        let bench = Bench::new();
        let store = bench.open();
        let mut letters: Vec<_> = (0..2500).map(|n| testing::letter("a", n)).collect();
        letters.iter_mut().for_each(|letter| letter.text = vec![b'x'; 2000]);
        letters[2400] = testing::letter("b", 2400);
        let buried = letters.into_iter().map(|letter| store.bury(letter, Replaces::Nothing, None));
        futures::future::try_join_all(buried).await.unwrap();
        store.flush_folds().await.unwrap();
        let size = || std::fs::metadata(super::super::path(bench.path())).unwrap().len();
        let rare = Selection { kinds: vec!["none".into()], ..Selection::default() };
        assert_eq!(store.purge(&rare).await, Ok(0));
        let only_a = Selection { exports: vec!["a".into()], ..Selection::default() };
        assert_eq!(store.purge(&only_a).await, Ok(2499));
        assert!(size() < 200_000, "{} bytes are left", size());
        assert_eq!((store.total("a").letters, store.total("a").bytes), (0, 0));
        assert_eq!(store.total("b").letters, 1);
        let removed = bench.facts.lock().unwrap();
        assert!(removed.iter().any(|fact| fact.contains("how: Purged")), "{removed:?}");
    }
}
