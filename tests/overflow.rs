//! What an export has no room for goes to disk: nobody else waits for it, and nothing is lost.

use crate::support::{
    Answer, Metrics, Place, Receiver, Request, Running, conservation, events, free_port, until,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::UdpSocket;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const DISK: [(&str, &str); 2] = [("export", "slow"), ("where", "disk")];

/// A receiver that refuses everything until it recovers, and knows what it took.
struct Fragile {
    receiver: Receiver,
    well: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl Fragile {
    fn new() -> Fragile {
        let (well, taken) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (is_well, takes) = (Arc::clone(&well), Arc::clone(&taken));
        let receiver = Receiver::new(move |request| {
            if !is_well.load(Ordering::SeqCst) {
                return Answer::status(503);
            }
            takes.lock().unwrap().push(request.clone());
            Answer::status(200)
        });
        Fragile { receiver, well, taken }
    }

    fn recover(&self) {
        self.well.store(true, Ordering::SeqCst);
    }

    /// Asserts that it took `e0`, `e1`, … once each, under as many delivery ids.
    #[track_caller]
    fn took(&self, count: usize, in_order: bool) {
        let taken = self.taken.lock().unwrap();
        let mut numbers: Vec<usize> =
            taken.iter().map(|request| request.audit_id()[1..].parse().unwrap()).collect();
        if !in_order {
            numbers.sort_unstable();
        }
        let wrong = numbers.iter().enumerate().find(|(place, number)| place != *number);
        assert_eq!(wrong, None, "the first that is not in its place");
        assert_eq!(numbers.len(), count);
        let ids: BTreeSet<_> = taken.iter().map(Request::delivery_id).collect();
        assert_eq!(ids.len(), count);
    }

    /// An export `slow` to it that tries often and never gives up.
    fn export(&self, more: &str) -> String {
        format!(
            "- name: slow\n  destination: webhook\n  webhook: {{url: '{}', concurrency: 1}}\n  \
             retry: {{max_attempts: 1000000, backoff_seconds: [0.02]}}\n  \
             breaker: {{failures: 10, probe_after: [0.05]}}\n  \
             filters: {{exclude_event_kinds: ['webhook.*']}}\n{more}",
            self.receiver.url("/")
        )
    }
}

/// An export `quick` to this receiver.
fn quick(receiver: &Receiver) -> String {
    format!(
        "- name: quick\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\n",
        receiver.url("/")
    )
}

/// Waits until the page shows this and obeys the law of conservation.
fn lawful(running: &Running, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
    until(what, || conservation(&running.get("/metrics", "").1).ok().filter(&condition))
}

fn of_slow(metrics: &Metrics, name: &str) -> f64 {
    metrics.sum(name, &[("export", "slow")])
}

fn terminate(running: Running) {
    running.terminate();
    running.wait().code(0);
}

/// Writes events to its input, as far as it reads them; the input stays open until this is joined.
fn write_aside(running: &mut Running, count: usize) -> std::thread::JoinHandle<ChildStdin> {
    let mut input = running.take_input();
    std::thread::spawn(move || {
        input.write_all(events(count).as_bytes()).unwrap();
        input
    })
}

/// Starts again with a receiver that is well, and ends when everything has arrived.
fn deliver_the_rest(place: &Place, fragile: &Fragile, restored: usize) {
    fragile.recover();
    let running = place.run().start();
    let metrics = lawful(&running, "all delivered", |metrics| {
        of_slow(metrics, "events_restored_total") > 0.0 && of_slow(metrics, "events_pending") == 0.0
    });
    assert_eq!(of_slow(&metrics, "events_restored_total"), restored as f64);
    running.end().code(0);
}

#[test]
fn what_others_took_of_a_file_does_not_come_again_after_a_stop() {
    const COUNT: usize = 300;
    for order in ["", "  order: strict\n"] {
        let (fragile, receiver) = (Fragile::new(), Receiver::ok());
        let place = Place::new(&format!(
            "shutdown_grace: 0\nsources: [{{name: log, type: file, paths: [a.log]}}]\nexports:\n{}{}",
            quick(&receiver),
            fragile.export(order)
        ));
        place.write("a.log", events(COUNT));
        for _ in 0..2 {
            let running = place.run().start();
            lawful(&running, "everything at the other one", |metrics| {
                receiver.requests().len() >= COUNT
                    && of_slow(metrics, "events_pending") == COUNT as f64
            });
            terminate(running);
        }
        fragile.recover();
        let running = place.run().start();
        lawful(&running, "all delivered", |metrics| of_slow(metrics, "events_pending") == 0.0);
        terminate(running);
        fragile.took(COUNT, !order.is_empty());
        receiver.exactly(COUNT);
    }
}

#[test]
fn what_a_dead_export_has_no_room_for_waits_on_disk_and_keeps_nobody() {
    const COUNT: usize = 5_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = Place::new(&format!(
        "shutdown_grace: 0\nexports:\n{}{}",
        quick(&receiver),
        fragile.export("  order: strict\n")
    ));
    let mut running = place.run().start();
    running.feed(events(COUNT));
    let metrics = lawful(&running, "everything at the other one", |metrics| {
        let quick = metrics.sum("events_delivered_total", &[("export", "quick")]);
        quick == COUNT as f64 && of_slow(metrics, "events_pending") == COUNT as f64
    });
    assert!(metrics.one("events_pending", &DISK) > 3_000.0);
    terminate(running);
    receiver.exactly(COUNT);
    // Nothing was taken; all of it stands in the store, over another stop too.
    let running = place.run().start();
    lawful(&running, "all taken up", |metrics| of_slow(metrics, "events_pending") == COUNT as f64);
    terminate(running);
    deliver_the_rest(&place, &fragile, COUNT);
    fragile.took(COUNT, true);
    receiver.exactly(COUNT);
}

#[test]
fn what_was_counted_into_a_queue_on_disk_outlives_kills() {
    const COUNT: usize = 3_000;
    let fragile = Fragile::new();
    let place = Place::new(&format!(
        "exports:\n{}",
        fragile.export("  queue: {mode: disk}\n  order: strict\n")
    ));
    let mut running = place.run().start();
    running.feed(events(COUNT));
    lawful(&running, "all received", |metrics| {
        metrics.received() == COUNT as f64 && of_slow(metrics, "events_pending") == COUNT as f64
    });
    running.kill();
    for _ in 0..2 {
        let running = place.run().start();
        lawful(&running, "all taken up", |metrics| {
            of_slow(metrics, "events_pending") == COUNT as f64
        });
        running.kill();
    }
    deliver_the_rest(&place, &fragile, COUNT);
    fragile.took(COUNT, true);
}

#[test]
fn what_of_a_file_overflowed_outlives_a_kill_with_the_rest() {
    const COUNT: usize = 4_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = Place::new(&format!(
        "sources:\n- {{name: in, type: file, paths: [in.jsonl], follow: false}}\n\
         shutdown_grace: 0\nexports:\n{}{}",
        quick(&receiver),
        fragile.export("")
    ));
    place.write("in.jsonl", events(COUNT));
    let running = place.run().start();
    lawful(&running, "most of it on disk", |metrics| {
        let quick = metrics.sum("events_delivered_total", &[("export", "quick")]);
        quick == COUNT as f64 && metrics.one("events_pending", &DISK) > 2_000.0
    });
    running.kill();
    fragile.recover();
    place.run().start().wait().code(0);
    // What was on disk may be read again where the file's checkpoint was not, under the same id.
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in fragile.taken.lock().unwrap().iter() {
        ids.entry(request.audit_id()).or_default().insert(request.delivery_id().to_owned());
    }
    assert_eq!(ids.len(), COUNT);
    assert!(ids.values().all(|ids| ids.len() == 1));
}

#[test]
fn what_came_over_udp_is_not_lost_while_its_receiver_is_down() {
    const COUNT: usize = 3_000;
    let fragile = Fragile::new();
    let port = free_port();
    let place = Place::new(&format!(
        "sources:\n- {{name: in, type: socket, mode: udp, address: '127.0.0.1:{port}'}}\n\
         shutdown_grace: 0\nexports:\n{}",
        fragile.export("  queue: {memory_events: 100}\n")
    ));
    let running = place.run().start().ready();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lines = events(COUNT);
    let lines: Vec<_> = lines.lines().collect();
    for (sent, lines) in lines.chunks(100).enumerate() {
        for line in lines {
            socket.send_to(line.as_bytes(), ("127.0.0.1", port)).unwrap();
        }
        // No more than the system's buffer holds.
        let count = ((sent + 1) * 100) as f64;
        running.shows("all received", |metrics| metrics.received() == count);
    }
    lawful(&running, "most of it on disk", |metrics| {
        metrics.one("events_pending", &DISK) > 2_800.0
    });
    fragile.recover();
    running.settled(COUNT);
    terminate(running);
    fragile.took(COUNT, false);
}

/// An export `slow` whose queue holds few events, and a healthy one beside it.
fn tight(fragile: &Fragile, receiver: &Receiver, when_full: &str) -> Place {
    let queue =
        format!("  queue: {{memory_events: 50, disk_bytes: 64KB, when_full: {when_full}}}\n");
    Place::new(&format!(
        "shutdown_grace: 0\ndlq: {{emit_events: false}}\nexports:\n{}{}",
        quick(receiver),
        fragile.export(&queue)
    ))
}

#[test]
fn what_finds_no_room_on_disk_is_a_dead_letter() {
    const COUNT: usize = 2_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = tight(&fragile, &receiver, "dead_letter");
    let mut running = place.run().start();
    running.feed(events(COUNT));
    let full = [("export", "slow"), ("reason", "queue_full")];
    lawful(&running, "some are on disk, some are dead letters", |metrics| {
        metrics.sum("events_dead_lettered_total", &full) > 1_000.0
            && metrics.one("events_pending", &DISK) > 0.0
    });
    fragile.recover();
    let metrics = running.settled(COUNT);
    let dead = metrics.one("events_dead_lettered_total", &full);
    running.end();
    receiver.exactly(COUNT);
    let buried: BTreeSet<_> = place
        .dead_letters()
        .iter()
        .map(|letter| letter["audit_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(buried.len(), dead as usize);
    let taken = fragile.taken.lock().unwrap();
    assert_eq!(taken.len() + buried.len(), COUNT);
    assert!(taken.iter().all(|request| !buried.contains(&request.audit_id())));
}

#[test]
fn a_full_disk_that_blocks_holds_its_source_back() {
    const COUNT: usize = 6_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = tight(&fragile, &receiver, "block");
    let mut running = place.run().start();
    let input = write_aside(&mut running, COUNT);
    let held = |metrics: &Metrics| of_slow(metrics, "events_pending") > 100.0;
    lawful(&running, "the queue is full", held);
    let received = running.metrics().received();
    assert!(received < COUNT as f64, "{received}");
    fragile.recover();
    running.settled(COUNT);
    drop(input.join());
    running.wait().code(0);
    fragile.took(COUNT, false);
    receiver.exactly(COUNT);
}

#[test]
fn a_full_disk_in_the_mode_disk_counts_nothing_by_half() {
    const COUNT: usize = 6_000;
    let fragile = Fragile::new();
    let queue = "  queue: {mode: disk, memory_events: 50, disk_bytes: 64KB, when_full: block}\n";
    let place = Place::new(&format!("shutdown_grace: 0\nexports:\n{}", fragile.export(queue)));
    let mut running = place.run().start();
    let input = write_aside(&mut running, COUNT);
    // It stays as it is: the law holds in this state, not only before and after it.
    let mut seen = (0.0, 0);
    let metrics = until("a source held back, and the law", || {
        let metrics = conservation(&running.get("/metrics", "").1).ok()?;
        seen = if metrics.received() == seen.0 {
            (seen.0, seen.1 + 1)
        } else {
            (metrics.received(), 0)
        };
        (seen.0 > 100.0 && seen.1 > 50).then_some(metrics)
    });
    let received = metrics.received() as usize;
    assert!(received < COUNT / 2, "{received}");
    assert_eq!(of_slow(&metrics, "events_pending"), received as f64);
    let found = running.kill();
    assert_eq!(found.status.code(), None);
    drop(input.join());
    deliver_the_rest(&place, &fragile, received);
    fragile.took(received, false);
}

#[test]
fn a_burst_larger_than_its_disk_waits_while_the_receiver_takes_events() {
    const COUNT: usize = 4_000;
    for when_full in ["dead_letter", "drop_newest"] {
        let fragile = Fragile::new();
        fragile.recover();
        let queue = format!("  queue: {{mode: disk, disk_bytes: 64KB, when_full: {when_full}}}\n");
        let place = Place::new(&format!("exports:\n{}", fragile.export(&queue)));
        let (metrics, ended) = place.carry(&events(COUNT));
        assert_eq!(of_slow(&metrics, "events_delivered_total"), COUNT as f64, "{when_full}");
        ended.code(0);
        fragile.took(COUNT, true);
    }
}

#[test]
fn a_burst_larger_than_its_disk_does_not_wait_for_a_receiver_that_takes_nothing() {
    const COUNT: usize = 4_000;
    let fragile = Fragile::new();
    let queue = "  queue: {mode: disk, disk_bytes: 64KB}\n";
    let place = Place::new(&format!(
        "shutdown_grace: 0\ndlq: {{emit_events: false}}\nexports:\n{}",
        fragile.export(queue)
    ));
    let mut running = place.run().start();
    running.feed(events(COUNT));
    let full = [("export", "slow"), ("reason", "queue_full")];
    lawful(&running, "all told apart", |metrics| {
        let dead = metrics.sum("events_dead_lettered_total", &full);
        metrics.received() == COUNT as f64 && dead > 3_000.0
    });
    terminate(running);
}

#[test]
fn what_is_dropped_is_counted() {
    const COUNT: usize = 2_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = tight(&fragile, &receiver, "drop_newest");
    let mut running = place.run().start();
    running.feed(events(COUNT));
    lawful(&running, "all told apart", |metrics| {
        let all = of_slow(metrics, "events_pending") + of_slow(metrics, "events_dropped_total");
        all == COUNT as f64
    });
    fragile.recover();
    let metrics = running.settled(COUNT);
    let dropped = of_slow(&metrics, "events_dropped_total");
    assert!(dropped > 1_000.0, "{dropped}");
    running.end();
    assert_eq!(fragile.taken.lock().unwrap().len() + dropped as usize, COUNT);
    receiver.exactly(COUNT);
    assert_eq!(place.dead_letters().len(), 0);
}

#[test]
fn what_waited_too_long_on_disk_is_a_dead_letter() {
    const COUNT: usize = 3_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = Place::new(&format!(
        "shutdown_grace: 0\ndlq: {{emit_events: false}}\nexports:\n{}{}",
        quick(&receiver),
        fragile.export("  queue: {memory_events: 100, max_age: 1s}\n")
    ));
    let mut running = place.run().start();
    running.feed(events(COUNT));
    let metrics = running.settled(COUNT);
    let expired = [("export", "slow"), ("reason", "expired")];
    assert_eq!(metrics.one("events_dead_lettered_total", &expired), COUNT as f64);
    running.end();
    receiver.exactly(COUNT);
}

#[test]
fn a_queue_in_memory_holds_its_source_back_and_writes_nothing() {
    const COUNT: usize = 6_000;
    let (fragile, receiver) = (Fragile::new(), Receiver::ok());
    let place = Place::new(&format!(
        "shutdown_grace: 0\nexports:\n{}{}",
        quick(&receiver),
        fragile.export("  queue: {mode: memory, memory_events: 100}\n")
    ));
    let mut running = place.run().start();
    let input = write_aside(&mut running, COUNT);
    let full = |metrics: &Metrics| metrics.sum("events_pending", &[("export", "slow")]) > 90.0;
    lawful(&running, "the queue is full", full);
    let metrics = running.metrics();
    assert!(metrics.received() < COUNT as f64 && metrics.one("events_pending", &DISK) == 0.0);
    fragile.recover();
    running.settled(COUNT);
    drop(input.join());
    running.wait().code(0);
    fragile.took(COUNT, false);
    receiver.exactly(COUNT);
}
