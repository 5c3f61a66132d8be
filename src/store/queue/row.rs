//! One row of the FIFO without its chunk: which numbers it has, and which of them are settled.

use super::super::chunk;
use rusqlite::Row;

/// Which events a row has.
#[derive(Debug)]
pub(super) struct FifoRow {
    /// Number of the first one.
    pub(super) seq: i64,
    /// How many.
    pub(super) events: i64,
    settled: Bitmap,
}

impl FifoRow {
    /// The row in the columns seq, events, settled. A damaged count or bitmap does not keep its
    /// events from being read: an event may be repeated, none is left out.
    pub(super) fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        let seq = row.get(0)?;
        let events = row.get_ref(1)?.as_i64().unwrap_or(1).clamp(1, chunk::MAX_EVENTS as i64);
        let settled = row.get_ref(2)?.as_blob_or_null().ok().flatten().unwrap_or_default();
        Ok(FifoRow { seq, events, settled: Bitmap::new(settled, events) })
    }

    /// The number behind its last one.
    pub(super) fn end(&self) -> i64 {
        self.seq.saturating_add(self.events)
    }

    pub(super) fn is_settled(&self, number: i64) -> bool {
        self.settled.get(number - self.seq)
    }

    /// Marks an event; whether it was not yet settled.
    pub(super) fn settle(&mut self, number: i64) -> bool {
        self.settled.set(number - self.seq)
    }

    /// How many of its events are not settled.
    pub(super) fn unsettled(&self) -> i64 {
        self.events - self.settled.count()
    }

    /// The settled ones as bits.
    pub(super) fn bits(&self) -> &[u8] {
        &self.settled.0
    }
}

/// The bits of a row none of whose events is settled. Written from the start: a row whose size
/// stays the same is changed in place, and its chunk is not written again.
pub(super) fn no_bits(events: usize) -> Vec<u8> {
    vec![0; events.div_ceil(8)]
}

/// A bit for each event of a row that is settled.
#[derive(Debug)]
struct Bitmap(Vec<u8>);

impl Bitmap {
    fn new(stored: &[u8], events: i64) -> Self {
        let events = usize::try_from(events).unwrap_or_default();
        let mut bits = stored.to_vec();
        bits.resize(events.div_ceil(8), 0);
        // Bits of events that there are not must not count.
        if let (Some(last), rest @ 1..) = (bits.last_mut(), events % 8) {
            *last &= (1 << rest) - 1;
        }
        Bitmap(bits)
    }

    fn set(&mut self, index: i64) -> bool {
        let Ok(index) = usize::try_from(index) else { return false };
        let Some(byte) = self.0.get_mut(index / 8) else { return false };
        let bit = 1 << (index % 8);
        let fresh = *byte & bit == 0;
        *byte |= bit;
        fresh
    }

    fn get(&self, index: i64) -> bool {
        let Ok(index) = usize::try_from(index) else { return false };
        self.0.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn count(&self) -> i64 {
        self.0.iter().map(|byte| i64::from(byte.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_set_once_and_only_where_there_is_an_event() {
        let mut bits = Bitmap::new(&[0, 0xff], 11);
        assert_eq!(bits.count(), 3, "bits behind the last event do not count");
        assert!(bits.set(3) && !bits.set(3) && !bits.set(9));
        assert!(!bits.set(-1) && !bits.set(16) && !bits.set(i64::MAX) && !bits.get(-1));
        assert!(bits.get(3) && bits.get(8) && !bits.get(4));
        assert_eq!((bits.count(), &bits.0[..]), (4, &[8, 7][..]));
        assert_eq!(Bitmap::new(&[], 256).0, no_bits(256));
    }
}
