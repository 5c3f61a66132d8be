//! What an export's rate limit remembers over a restart: when the last requests ended.

use super::codec::{Decoder, Encoder};
use super::{Store, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

impl Store {
    /// Saves when the requests ended that still count against an export's rate limit, to the
    /// microsecond; written with the next commit, and of several saves only the last.
    pub fn save_limiter(&self, export: &Arc<str>, ended: Vec<Timestamp>) {
        self.ride(|riders| drop(riders.limiters.insert(Arc::clone(export), ended)));
    }

    /// What [`Store::save_limiter`] saved last, in its order; empty where that is nothing or
    /// damaged.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn limiter(&self, export: &str) -> Result<Vec<Timestamp>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| load(conn, &export)).await
    }
}

pub(super) fn save(conn: &Connection, export: &str, ended: &[Timestamp]) -> Result<(), StoreError> {
    let mut encoder = Encoder::default();
    let mut before = 0;
    for at in ended {
        let at = at.as_microsecond();
        encoder.signed(at - before);
        before = at;
    }
    conn.prepare_cached("INSERT OR REPLACE INTO limiters (export, ended) VALUES (?1, ?2)")?
        .execute(params![export, encoder.finish()])?;
    Ok(())
}

fn load(conn: &Connection, export: &str) -> Result<Vec<Timestamp>, StoreError> {
    let ended = conn
        .prepare_cached("SELECT ended FROM limiters WHERE export = ?1")?
        .query_row([export], |row| {
            Ok(row.get_ref(0)?.as_blob().ok().and_then(decode).unwrap_or_default())
        })
        .optional()?;
    Ok(ended.unwrap_or_default())
}

fn decode(bytes: &[u8]) -> Option<Vec<Timestamp>> {
    let mut decoder = Decoder::new(bytes);
    let (mut ended, mut at) = (Vec::new(), 0i64);
    while !decoder.is_empty() {
        at = at.checked_add(decoder.signed()?)?;
        ended.push(Timestamp::from_microsecond(at).ok()?);
    }
    Some(ended)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, START_MS};
    use super::*;

    #[tokio::test]
    async fn the_last_save_is_read_back_after_a_restart() {
        let bench = Bench::new();
        let store = bench.open();
        let at = |us| Timestamp::from_microsecond(START_MS * 1000 + us).unwrap();
        let export: Arc<str> = "alerts".into();
        store.save_limiter(&export, vec![at(0)]);
        store.save_limiter(&export, vec![at(7), at(5), at(5_000_001)]);
        store.save_limiter(&"other".into(), vec![]);
        store.close().await.unwrap();
        let store = bench.open();
        assert_eq!(store.limiter("alerts").await.unwrap(), [at(7), at(5), at(5_000_001)]);
        assert_eq!(store.limiter("other").await.unwrap(), []);
        assert_eq!(store.limiter("none").await.unwrap(), []);
        for damage in ["x'80'", "'text'", "x'ffffffffffffffffff01'"] {
            bench.sql().execute_batch(&format!("UPDATE limiters SET ended = {damage}")).unwrap();
            assert_eq!(store.limiter("alerts").await.unwrap(), [], "{damage}");
        }
    }
}
