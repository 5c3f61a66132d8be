//! Writes that nobody waits for. They lie here until the next commit takes them along; losing them
//! in a crash repeats events and loses none.

use super::StoreError;
use super::files::FileState;
use super::queue::QueueChange;
use super::transaction::Tx;
use super::{limiter, outbox};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the next commit takes along.
#[derive(Debug, Default)]
pub(super) struct Riders {
    /// Where files stand, by their id: only the newest counts.
    pub(super) checkpoints: HashMap<i64, FileState>,
    /// What becomes of events of queues, in the order in which it was decided.
    pub(super) queues: BTreeMap<Arc<str>, Vec<QueueChange>>,
    /// When requests ended that count against rate limits: only the newest counts.
    pub(super) limiters: BTreeMap<Arc<str>, Vec<Timestamp>>,
    /// Dead letters that were replayed.
    pub(super) replayed: Vec<i64>,
    /// Own events that are settled.
    pub(super) outbox: Vec<i64>,
}

impl Riders {
    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// How many rows they change at most.
    pub(super) fn rows(&self) -> usize {
        let queues: usize = self.queues.values().map(Vec::len).sum();
        self.checkpoints.len()
            + queues
            + self.limiters.len()
            + self.replayed.len()
            + self.outbox.len()
    }

    pub(super) fn change_queue(&mut self, export: &Arc<str>, change: QueueChange) {
        match self.queues.get_mut(export) {
            Some(changes) => changes.push(change),
            None => drop(self.queues.insert(Arc::clone(export), vec![change])),
        }
    }

    /// Takes out about so many rows, the oldest of each kind.
    pub(super) fn take_some(&mut self, rows: usize) -> Riders {
        let mut some = Riders {
            checkpoints: std::mem::take(&mut self.checkpoints),
            limiters: std::mem::take(&mut self.limiters),
            ..Riders::default()
        };
        let first = |list: &mut Vec<i64>| list.drain(..list.len().min(rows)).collect();
        (some.replayed, some.outbox) = (first(&mut self.replayed), first(&mut self.outbox));
        let mut left = rows;
        for (export, changes) in &mut self.queues {
            let count = changes.len().min(left);
            left -= count;
            if count > 0 {
                some.queues.insert(Arc::clone(export), changes.drain(..count).collect());
            }
        }
        some
    }

    /// Takes back what a failed commit did not take along.
    pub(super) fn put_back(&mut self, older: Riders) {
        for (id, state) in older.checkpoints {
            self.checkpoints.entry(id).or_insert(state);
        }
        for (export, mut changes) in older.queues {
            let newer = self.queues.entry(export).or_default();
            changes.append(newer);
            *newer = changes;
        }
        for (export, ended) in older.limiters {
            self.limiters.entry(export).or_insert(ended);
        }
        self.replayed.extend(older.replayed);
        self.outbox.extend(older.outbox);
    }

    /// Writes them.
    pub(super) fn apply(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for (export, changes) in &self.queues {
            tx.change_queue(export, changes)?;
        }
        for (export, ended) in &self.limiters {
            limiter::save(tx.conn, export, ended)?;
        }
        for id in &self.replayed {
            tx.replayed(*id)?;
        }
        for (id, state) in &self.checkpoints {
            tx.save_checkpoint(*id, state)?;
        }
        outbox::delete(tx.conn, &self.outbox)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Settled;
    use crate::delivery::RowId;
    use crate::store::testing;

    #[test]
    fn some_of_them_are_the_oldest_and_the_rest_stays() {
        let mut all = Riders { replayed: (0..5).collect(), ..Riders::default() };
        for (export, number) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
            let settled = QueueChange::Settled(RowId { number, due_ms: None });
            all.change_queue(&export.into(), settled);
        }
        let mut seen = Vec::new();
        while !all.is_empty() {
            let some = all.take_some(2);
            assert!((1..=4).contains(&some.rows()), "{some:?}");
            seen.extend(some.queues.values().flatten().map(|change| match change {
                QueueChange::Settled(row) => row.number,
                QueueChange::Moved(_) => panic!("{change:?}"),
            }));
        }
        assert_eq!(seen, [1, 3, 2, 4]);
    }

    #[test]
    fn what_is_put_back_never_undoes_what_is_newer() {
        let state = |watermark| FileState {
            path: "a".into(),
            device: 1,
            inode: 2,
            head_len: 0,
            head_hash: [0; 32],
            settled: Settled { watermark, ranges: vec![] },
            size: 9,
            done: false,
        };
        let riders = |watermark, number| {
            let mut riders = Riders {
                checkpoints: HashMap::from([(1, state(watermark))]),
                limiters: BTreeMap::from([("a".into(), vec![testing::time(number)])]),
                ..Riders::default()
            };
            let settled = QueueChange::Settled(RowId { number, due_ms: None });
            riders.change_queue(&"a".into(), settled);
            riders
        };
        let mut newer = riders(7, 2);
        newer.put_back(riders(5, 1));
        assert_eq!(newer.checkpoints[&1].settled.watermark, 7);
        assert_eq!(newer.limiters["a"], [testing::time(2)]);
        let order = newer.queues["a"].iter().map(|change| match change {
            QueueChange::Settled(row) => row.number,
            QueueChange::Moved(_) => panic!("{change:?}"),
        });
        assert_eq!(order.collect::<Vec<_>>(), [1, 2], "what was decided first comes first");
    }
}
