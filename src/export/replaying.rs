//! Dead letters that an export replays now: how many it takes up, and which they are.

use super::Export;
use crate::delivery::{Claim, Delivery};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Replays that are taken up at once; the rest waits in the store.
const AT_ONCE: usize = 64;

/// Replays that are under way are at most this part of what the queue may hold in memory, events
/// and bytes, so that live events always find room beside them. It is not smaller because one that
/// failed keeps its place until it ends: few places would all be taken by those to one endpoint
/// that fails, and replays to any other would wait for its retries.
const SHARE: usize = 4;

/// Replays that are under way: they stand on the board, wait or are being sent.
#[derive(Debug, Default)]
pub(super) struct Replaying {
    ids: Mutex<HashSet<i64>>,
    /// Bytes of their texts.
    bytes: AtomicUsize,
}

impl Export {
    /// Takes up dead letters to replay; at most [`Self::replay_room`] at once.
    pub fn replay(self: &Arc<Self>, mut deliveries: Vec<Delivery>) {
        let settings = self.settings();
        deliveries.iter_mut().for_each(|delivery| settings.redact(delivery));
        for delivery in &deliveries {
            if let Claim::Replay(id) = delivery.claim
                && self.replaying().insert(id)
            {
                self.replaying.bytes.fetch_add(delivery.bytes, Ordering::Relaxed);
            }
        }
        self.metrics.replayed(deliveries.len() as u64);
        self.board.replay(deliveries);
        self.wake();
    }

    /// How many more replays it takes up now: none before there is room for many, so that each
    /// read of the store brings many.
    pub fn replay_room(&self) -> usize {
        let bounds = self.board.bounds();
        let most = (bounds.memory_events / SHARE).max(1);
        let many = AT_ONCE.min(most);
        let events = self.replaying().len() + many <= most;
        let bytes = self.replaying.bytes.load(Ordering::Relaxed) <= bounds.memory_bytes / SHARE;
        if events && bytes { many } else { 0 }
    }

    /// Ids of the dead letters that it replays now.
    pub fn replaying(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.replaying.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A replay has come to its end, whichever.
    pub(super) fn replay_ended(&self, id: i64, delivery: &Delivery) {
        if self.replaying().remove(&id) {
            self.replaying.bytes.fetch_sub(delivery.bytes, Ordering::Relaxed);
            self.board.replay_ended();
        }
    }
}
