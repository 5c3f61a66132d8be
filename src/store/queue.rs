//! The rows of an export's queue: keeping events when the program stops, giving them back in order
//! at the next start, settling them one by one. The bytes of a row live in `chunk`.
//!
//! A row holds 1 to 256 events, numbered from its key on, so that an event's number alone leads to
//! its row and its place there. What is settled is marked in the row; the last one deletes it.

use super::chunk::{self, ChunkWriter, Kept, Restored};
use super::transaction::Tx;
use super::{Page, Store, StoreError, page};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

impl Store {
    /// Writes events behind those that an export's queue has, in this order.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn keep(&self, export: &str, events: Vec<Kept>) -> Result<(), StoreError> {
        let export = export.to_owned();
        let bytes = events.iter().map(|kept| kept.event.text.bytes().len() + 256).sum();
        self.write((events.len(), bytes), move |tx| tx.keep(&export, &events)).await
    }

    /// The exports whose queues have events.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn queued_exports(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.between("read", exports).await
    }

    /// The events of an export's queue in order, those of at most `limit` rows behind the cursor
    /// `after` (0: from the first). They stay in the store until they are settled.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn restore(
        &self,
        export: &str,
        after: i64,
        limit: usize,
    ) -> Result<Page<Restored>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| restore(conn, &export, after, limit)).await
    }

    /// Settles the event of that number; written with the next commit.
    pub fn settle_row(&self, export: &Arc<str>, number: i64) {
        self.ride(|riders| match riders.settled.get_mut(export) {
            Some(numbers) => numbers.push(number),
            None => drop(riders.settled.insert(Arc::clone(export), vec![number])),
        });
    }
}

impl Tx<'_> {
    /// Writes events behind those that the export's queue has.
    pub(super) fn keep(&mut self, export: &str, events: &[Kept]) -> Result<(), StoreError> {
        let mut replaced: Vec<_> = events.iter().filter_map(|event| event.replaces).collect();
        replaced.sort_unstable();
        self.settle_queued(export, &replaced)?;
        let mut open = ChunkWriter::new();
        for event in events {
            if let Some(due) = event.due {
                // In order: what came before it gets the lower number.
                self.write_chunk(export, &mut open, None)?;
                open.push(event);
                self.write_chunk(export, &mut open, Some(due))?;
                continue;
            }
            open.push(event);
            if open.is_full() {
                self.write_chunk(export, &mut open, None)?;
            }
        }
        self.write_chunk(export, &mut open, None)
    }

    fn write_chunk(
        &mut self,
        export: &str,
        open: &mut ChunkWriter,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let chunk = std::mem::replace(open, ChunkWriter::new());
        if chunk.events == 0 {
            return Ok(());
        }
        let events = chunk.events;
        let seq = self.state.ids.queue.take(events);
        self.conn.prepare_cached("INSERT INTO queue VALUES (?1, ?2, ?3, ?4, NULL, ?5)")?.execute(
            params![export, seq, events as i64, due.map(Timestamp::as_millisecond), chunk.finish()],
        )?;
        Ok(())
    }

    /// Settles events of an export's queue, by their numbers in rising order. Numbers that the
    /// queue does not have are settled already.
    pub(super) fn settle_queued(
        &mut self,
        export: &str,
        mut numbers: &[i64],
    ) -> Result<(), StoreError> {
        while let Some(&first) = numbers.first() {
            let Some(mut row) = self.queue_row(export, first)? else {
                numbers = &numbers[1..];
                continue;
            };
            let inside = numbers.partition_point(|number| *number < row.end());
            let (here, rest) = numbers.split_at(inside.max(1));
            numbers = rest;
            here.iter().for_each(|number| row.settled.set(number - row.seq));
            if row.settled.count() >= row.events {
                self.conn
                    .prepare_cached("DELETE FROM queue WHERE export = ?1 AND seq = ?2")?
                    .execute(params![export, row.seq])?;
            } else {
                self.conn
                    .prepare_cached("UPDATE queue SET settled = ?3 WHERE export = ?1 AND seq = ?2")?
                    .execute(params![export, row.seq, row.settled.0])?;
            }
        }
        Ok(())
    }

    /// The row that holds the event of that number.
    fn queue_row(&self, export: &str, number: i64) -> Result<Option<QueueRow>, StoreError> {
        let row = self
            .conn
            .prepare_cached(
                "SELECT seq, events, settled FROM queue WHERE export = ?1 AND seq <= ?2
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(params![export, number], |row| {
                let (seq, events): (i64, i64) = (row.get(0)?, row.get(1)?);
                let settled = Bitmap::new(row.get(2)?, events);
                Ok(QueueRow { seq, events: settled.size(events), settled })
            })
            .optional()?;
        Ok(row.filter(|row| number < row.end()))
    }
}

struct QueueRow {
    seq: i64,
    events: i64,
    settled: Bitmap,
}

impl QueueRow {
    /// The number behind its last one.
    fn end(&self) -> i64 {
        self.seq.saturating_add(self.events)
    }
}

/// A bit for each event of a row that is settled.
struct Bitmap(Vec<u8>);

impl Bitmap {
    fn new(stored: Option<Vec<u8>>, events: i64) -> Self {
        let mut bits = stored.unwrap_or_default();
        // What a foreign row says must not make this large; nor does a chunk hold more.
        bits.resize(
            events.clamp(1, chunk::MAX_EVENTS as i64).unsigned_abs().div_ceil(8) as usize,
            0,
        );
        Bitmap(bits)
    }

    fn size(&self, events: i64) -> i64 {
        events.clamp(1, self.0.len() as i64 * 8)
    }

    fn set(&mut self, index: i64) {
        let Ok(index) = usize::try_from(index) else { return };
        if let Some(byte) = self.0.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    fn get(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    fn count(&self) -> i64 {
        self.0.iter().map(|byte| i64::from(byte.count_ones())).sum()
    }
}

/// The events of an export's queue in order, of at most `limit` rows behind the cursor `after`.
pub(super) fn restore(
    conn: &Connection,
    export: &str,
    after: i64,
    limit: usize,
) -> Result<Page<Restored>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, events, due_at, settled, chunk FROM queue
         WHERE export = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query(params![export, after, page::sql_limit(limit)])?;
    let page = page::read(rows, limit, |row| {
        let first = row.get(0)?;
        let settled = Bitmap::new(row.get(3)?, row.get(1)?);
        let due = super::times::get_option(row, 2)?;
        let bytes = row.get_ref(4)?.as_blob()?;
        chunk::read(bytes, first, due, |index| settled.get(index))
            .ok_or_else(|| page::foreign(4, "not a chunk"))
    })?;
    Ok(Page {
        items: page.items.into_iter().flatten().collect(),
        skipped: page.skipped,
        next: page.next,
    })
}

/// The exports that have events in the queue, without reading each row.
pub(super) fn exports(conn: &Connection) -> Result<Vec<Arc<str>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT MIN(export) FROM queue WHERE export > ?1")?;
    let mut exports: Vec<Arc<str>> = Vec::new();
    loop {
        let after = exports.last().map_or("", |export| export);
        let next: Option<Arc<str>> = statement.query_row([after], |row| row.get(0))?;
        match next {
            Some(export) => exports.push(export),
            None => return Ok(exports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::*;
    use crate::delivery::{Claim, DeliveryId};

    fn kept(n: u64) -> Kept {
        let event = testing::event(n, "policy_block");
        Kept {
            id: DeliveryId::new("alerts", &event.origin.position),
            event,
            tries: Default::default(),
            due: None,
            rendered_at: None,
            replaces: None,
        }
    }

    fn waiting(n: u64, due_ms: i64) -> Kept {
        Kept { due: Some(testing::time(due_ms)), ..kept(n) }
    }

    async fn all(store: &Store, export: &str) -> Vec<Restored> {
        let (mut restored, mut after) = (Vec::new(), 0);
        loop {
            let page = store.restore(export, after, 2).await.unwrap();
            restored.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return restored,
            }
        }
    }

    fn offsets(restored: &[Restored]) -> Vec<u64> {
        restored.iter().map(|one| one.delivery.event.origin.position.offset).collect()
    }

    fn number(restored: &Restored) -> i64 {
        match restored.delivery.claim {
            Claim::Row(number) => number,
            ref claim => panic!("{claim:?}"),
        }
    }

    #[tokio::test]
    async fn events_come_back_in_order_after_a_restart() {
        let bench = Bench::new();
        let store = bench.open();
        let due = START_MS + 5000;
        let mut events: Vec<_> = (0..700).map(kept).collect();
        events.insert(3, waiting(1000, due));
        events.push(waiting(1001, due + 1));
        store.keep("alerts", events).await.unwrap();
        store.keep("other", vec![kept(1)]).await.unwrap();
        store.keep("alerts", vec![kept(2000)]).await.unwrap();
        assert_eq!(bench.number("SELECT COUNT(*) FROM queue WHERE export = 'alerts'"), 7);
        let store = bench.crashed();
        let store = store.open();
        assert_eq!(store.queued_exports().await.unwrap(), ["alerts".into(), "other".into()]);
        let restored = all(&store, "alerts").await;
        let expected = (0..3).chain([1000]).chain(3..700).chain([1001, 2000]).collect::<Vec<_>>();
        assert_eq!(offsets(&restored), expected);
        assert_eq!(restored[3].due, Some(testing::time(due)));
        assert_eq!(restored.iter().filter(|one| one.due.is_some()).count(), 2);
        assert!(restored.is_sorted_by_key(number));
        assert_eq!(all(&store, "none").await.len(), 0);
    }

    #[tokio::test]
    async fn what_is_settled_does_not_come_back_and_the_last_one_ends_its_row() {
        let bench = Bench::new();
        let store = bench.open();
        let export: Arc<str> = "alerts".into();
        store.keep("alerts", (0..300).map(kept).collect()).await.unwrap();
        let numbers: Vec<_> = all(&store, "alerts").await.iter().map(number).collect();
        let odd = || numbers.iter().skip(1).step_by(2);
        odd().rev().for_each(|number| store.settle_row(&export, *number));
        // Numbers that are settled, or that no row has, do no harm.
        [numbers[1], numbers[299] + 1, 0, -1, i64::MAX, i64::MIN]
            .into_iter()
            .for_each(|number| store.settle_row(&export, number));
        store.settle_row(&"none".into(), numbers[0]);
        store.close().await.unwrap();
        let store = bench.open();
        let left = all(&store, "alerts").await;
        assert_eq!(offsets(&left), (0..300).step_by(2).collect::<Vec<_>>());
        assert_eq!(
            left.iter().map(number).collect::<Vec<_>>(),
            numbers.iter().copied().step_by(2).collect::<Vec<_>>()
        );
        left.iter().for_each(|one| store.settle_row(&export, number(one)));
        store.close().await.unwrap();
        assert_eq!(bench.number("SELECT COUNT(*) FROM queue"), 0);
    }

    #[tokio::test]
    async fn what_is_kept_again_takes_the_place_of_what_was_restored() {
        let bench = Bench::new();
        let store = bench.open();
        store.keep("alerts", (0..3).map(kept).collect()).await.unwrap();
        let restored = all(&store, "alerts").await;
        let due = testing::time(START_MS + 9000);
        let again = Kept::of(&restored[1].delivery, Some(due), None).unwrap();
        store.keep("alerts", vec![again]).await.unwrap();
        let now = all(&store, "alerts").await;
        assert_eq!(offsets(&now), [0, 2, 1]);
        assert_eq!(now[2].due, Some(due));
        assert!(number(&now[2]) > number(&restored[2]));
    }

    #[tokio::test]
    async fn a_damaged_row_is_left_out_and_counted() {
        let bench = Bench::new();
        let store = bench.open();
        store.keep("alerts", vec![waiting(1, START_MS), waiting(2, START_MS)]).await.unwrap();
        for damage in
            ["chunk = x'01ff'", "chunk = 'text'", "events = 'many'", "due_at = 9223372036854775807"]
        {
            let sql = bench.sql();
            sql.execute_batch(&format!(
                "CREATE TEMP TABLE whole AS SELECT * FROM queue;
                 UPDATE queue SET {damage} WHERE seq = (SELECT MIN(seq) FROM queue)"
            ))
            .unwrap();
            let page = store.restore("alerts", 0, 9).await.unwrap();
            assert_eq!((offsets(&page.items), page.skipped), (vec![2], 1), "{damage}");
            sql.execute_batch("DELETE FROM queue; INSERT INTO queue SELECT * FROM whole").unwrap();
        }
        assert_eq!(all(&store, "alerts").await.len(), 2);
    }
}
