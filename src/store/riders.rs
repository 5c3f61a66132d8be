//! Writes that nobody waits for. They lie here until the next commit takes them along; losing them
//! in a crash repeats events and loses none.

use super::StoreError;
use super::files::FileState;
use super::outbox;
use super::transaction::Tx;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the next commit takes along.
#[derive(Debug, Default)]
pub(super) struct Riders {
    /// Where files stand, by their id: only the newest counts.
    pub(super) checkpoints: HashMap<i64, FileState>,
    /// Settled events of queues.
    pub(super) settled: BTreeMap<Arc<str>, Vec<i64>>,
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
        let settled: usize = self.settled.values().map(Vec::len).sum();
        self.checkpoints.len() + settled + self.replayed.len() + self.outbox.len()
    }

    /// Takes back what a failed commit did not take along.
    pub(super) fn put_back(&mut self, older: Riders) {
        for (id, state) in older.checkpoints {
            self.checkpoints.entry(id).or_insert(state);
        }
        for (export, numbers) in older.settled {
            self.settled.entry(export).or_default().extend(numbers);
        }
        self.replayed.extend(older.replayed);
        self.outbox.extend(older.outbox);
    }

    /// Writes them.
    pub(super) fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for (export, numbers) in &mut self.settled {
            numbers.sort_unstable();
            tx.settle_queued(export, numbers)?;
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
        let riders = |watermark, number| Riders {
            checkpoints: HashMap::from([(1, state(watermark))]),
            settled: BTreeMap::from([("a".into(), vec![number])]),
            ..Riders::default()
        };
        let mut newer = riders(7, 2);
        newer.put_back(riders(5, 1));
        assert_eq!(newer.checkpoints[&1].settled.watermark, 7);
        assert_eq!(newer.settled["a"], [2, 1]);
    }
}
