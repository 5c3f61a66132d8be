//! Small writes to disk wait a moment for more: each costs a commit.

use super::*;

#[tokio::test(start_paused = true)]
async fn events_that_trickle_share_rows_on_disk() {
    let hangs = Duration::from_secs(1_000_000);
    let few = |config: &mut config::Export| config.queue.memory_events = 10;
    let bench = Bench::new(1, hangs, few, |_, _| Outcome::Delivered(None));
    for n in 0..100 {
        bench.push_from(vec![bench.delivery(&n.to_string())], false, false).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while bench.tracker.open_lines() > 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sql = rusqlite::Connection::open(bench.folder.path().join("postrider.db")).unwrap();
    let rows: i64 = sql.query_row("SELECT COUNT(*) FROM queue", [], |row| row.get(0)).unwrap();
    assert!((1..=5).contains(&rows), "{rows} rows of 90 events that came within 100 ms");
}
