//! The queue on disk, in and out again, with every commit synced: `keep` in groups, pages read
//! back, all of it settled. Prints how long the disk takes for one sync beside it.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use postrider::delivery::{Claim, DeliveryId, RowId, Tries};
use postrider::event::{Event, Origin, Position, Severity, StreamId, Text};
use postrider::store::{Kept, Store, StoreOptions};
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Events of one `keep`.
const GROUP: usize = 4_096;

/// Groups of one round.
const GROUPS: usize = 16;

/// Bytes of a page, far more than its events have.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

fn kept(n: usize) -> Kept {
    let text = format!(r#"{{"audit_id":"ae_{n:010}","message":"{:x<410}"}}"#, "");
    let origin = Origin {
        source: "bench".into(),
        position: Position {
            stream: StreamId::from_bytes([7; 16]),
            offset: n as u64 * 450,
            index: 0,
        },
        accepted_at: Timestamp::UNIX_EPOCH,
    };
    let id = DeliveryId::new("bench", &origin.position);
    let event = Event {
        text: Text::check(text).expect("an object"),
        audit_id: format!("ae_{n:010}").into(),
        timestamp: "2026-04-17T10:15:03.042Z".into(),
        event_kind: "policy_block".into(),
        severity: Severity::Error,
        agent_id: "support-bot".into(),
        origin,
        about: None,
    };
    Kept {
        id,
        event: Arc::new(event),
        tries: Tries::default(),
        due: None,
        replaces: None,
        fallback: false,
    }
}

fn group() -> Vec<Kept> {
    (0..GROUP).map(kept).collect()
}

fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, StoreOptions::default()).expect("a store")
}

/// Reads and settles a FIFO, page by page.
async fn drain(store: &Store, export: &Arc<str>, page_events: usize) -> usize {
    let (mut after, mut events) = (0, 0);
    loop {
        let page = store.queue_page(export, after, i64::MAX, page_events, PAGE_BYTES).await;
        let page = page.expect("a page");
        events += page.events.len();
        for event in black_box(&page.events) {
            if let Claim::Row(row) = event.delivery.claim {
                store.settle_row(export, row);
            }
        }
        after = page.next;
        if page.done {
            return events;
        }
    }
}

fn in_and_out(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let export: Arc<str> = "bench".into();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut benches = criterion.benchmark_group("queue");
    benches.sample_size(10).throughput(Throughput::Elements((GROUP * GROUPS) as u64));
    for page_events in [256, 1_024, 4_096] {
        let store = open(dir.path());
        let id = BenchmarkId::new("keep, page, settle", page_events);
        benches.bench_function(id, |bencher| {
            let groups = || vec![group(); GROUPS];
            bencher.iter_batched(
                groups,
                |groups| {
                    runtime.block_on(async {
                        for group in groups {
                            store.keep(&export, group).await.expect("a commit");
                        }
                        let events = drain(&store, &export, page_events).await;
                        assert_eq!(events, GROUP * GROUPS);
                        // Behind what rode along.
                        store.flush_folds().await.expect("a commit");
                        assert_eq!(store.queue_total(&export).events, 0);
                    });
                },
                criterion::BatchSize::PerIteration,
            );
        });
        runtime.block_on(store.close()).expect("closed");
    }
    benches.bench_function("reschedule all", |bencher| {
        let store = open(dir.path());
        bencher.iter_batched(
            || {
                let rows = runtime.block_on(async {
                    let mut rows = Vec::new();
                    for _ in 0..GROUPS {
                        rows.extend(store.keep(&export, group()).await.expect("a commit"));
                    }
                    rows
                });
                rows.into_iter().zip(group().into_iter().cycle()).collect::<Vec<_>>()
            },
            |rows| {
                let due = Timestamp::now();
                let moved: Vec<RowId> = rows
                    .into_iter()
                    .filter_map(|(row, kept)| {
                        let kept = Kept { due: Some(due), replaces: Some(row), ..kept };
                        store.reschedule(&export, kept)
                    })
                    .collect();
                runtime.block_on(store.flush_folds()).expect("a commit");
                assert_eq!(store.queue_total(&export).waiting, (GROUP * GROUPS) as u64);
                moved.into_iter().for_each(|row| store.settle_row(&export, row));
                runtime.block_on(store.flush_folds()).expect("a commit");
            },
            criterion::BatchSize::PerIteration,
        );
        runtime.block_on(store.close()).expect("closed");
    });
    benches.finish();
}

fn start(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let store = open(dir.path());
    let group = group();
    runtime.block_on(async {
        for _ in 0..1_000_000_usize.div_ceil(GROUP) {
            store.keep("bench", group.clone()).await.expect("a commit");
        }
        store.close().await.expect("closed");
    });
    let mut benches = criterion.benchmark_group("a million queued events");
    benches.sample_size(10);
    benches.bench_function("open and read the first page", |bencher| {
        bencher.iter_custom(|times| {
            let mut took = std::time::Duration::ZERO;
            for _ in 0..times {
                let started = Instant::now();
                let store = open(dir.path());
                let page = store.queue_page("bench", 0, i64::MAX, 1_024, PAGE_BYTES);
                let page = runtime.block_on(page).expect("a page");
                took += started.elapsed();
                assert_eq!(page.events.len(), 1_024);
                runtime.block_on(store.close()).expect("closed");
            }
            took
        });
    });
    benches.finish();
}

/// One sync of 4 KiB, the price of the smallest commit.
fn sync(criterion: &mut Criterion) {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    criterion.bench_function("fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all(&[1; 4096]).expect("written");
            file.sync_data().expect("synced");
        });
    });
}

criterion_group!(store, sync, in_and_out, start);
criterion_main!(store);
