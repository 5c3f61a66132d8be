//! `postrider dlq replay`: back on the same export, beside a running postrider and without one.

use crate::support::{Answer, Place, Receiver, Running, event, events};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An export that tries twice.
fn config(receiver: &Receiver) -> String {
    format!(
        "dlq: {{emit_events: false}}\nexports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n  retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 2}}\n",
        receiver.url("/")
    )
}

/// A place whose store holds this many dead letters of a receiver that refused everything.
fn dead(count: usize) -> (Place, Receiver) {
    let receiver = Receiver::always(Answer::status(503).body("down"));
    let place = Place::new(&config(&receiver));
    place.carry(&events(count)).1.code(3);
    assert_eq!(receiver.requests().len(), 2 * count);
    (place, receiver)
}

fn states(place: &Place) -> Vec<String> {
    place.dead_letters().iter().map(|l| l["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn replayed_alone_a_letter_arrives_with_the_id_it_had() {
    let (place, receiver) = dead(3);
    let first: BTreeSet<_> =
        receiver.requests().iter().map(|r| (r.audit_id(), r.delivery_id().to_owned())).collect();
    receiver.rewrite(|_| Answer::status(200));
    let dry = place.postrider(&["dlq", "replay", "--dry-run"]).finish().code(0);
    assert!(dry.stdout.contains('3'), "{}", dry.stdout);
    assert_eq!(receiver.requests().len(), 6, "a dry run sends nothing");
    let replay = place.postrider(&["dlq", "replay"]).finish().code(0);
    assert!(replay.stdout.contains("3 delivered, 0 dead again"), "{}", replay.stdout);
    let again: BTreeSet<_> = receiver.exactly(9)[6..]
        .iter()
        .map(|r| (r.audit_id(), r.delivery_id().to_owned()))
        .collect();
    assert_eq!(again, first);
    assert_eq!(states(&place), ["replayed"; 3]);
    let nothing = place.postrider(&["dlq", "replay"]).finish().code(0);
    assert!(nothing.stdout.contains("no dead letters"), "{}", nothing.stdout);
    receiver.exactly(9);
}

#[test]
fn what_cannot_be_replayed_is_told_and_not_counted() {
    let (place, receiver) = dead(2);
    place.run().stdin("nonsense\n").finish().code(3);
    let dry = |place: &Place, more: &[&str]| {
        let call = place.postrider(&["dlq", "replay", "--dry-run"]);
        more.iter().fold(call, |call, arg| call.arg(*arg)).finish().code(0)
    };
    let no_event = "1 dead letter cannot be replayed: it is a line that is no event";
    let said = dry(&place, &[]);
    assert_eq!(said.stdout, "2 dead letters would be replayed\n");
    assert!(said.stderr.contains(no_event), "{}", said.stderr);
    let said = dry(&place, &["--reason", "malformed"]);
    assert_eq!(said.stdout, "0 dead letters would be replayed\n");
    let replay = |place: &Place, more: &[&str]| {
        let call = place.postrider(&["dlq", "replay"]);
        more.iter().fold(call, |call, arg| call.arg(*arg)).finish().code(0)
    };
    let said = replay(&place, &["--reason", "malformed"]);
    assert!(said.stderr.contains(no_event), "{}", said.stderr);
    // Of an export that is gone, and of one that is off.
    let gone = "2 dead letters cannot be replayed: there is no export `a` now; `--to EXPORT` sends \
                them through another";
    for file in [
        "exports: [{name: b, destination: console}]\n",
        "exports: [{name: a, destination: \
        webhook, enabled: false, webhook: {url: 'http://127.0.0.1:9/'}}, {name: b, destination: console}]\n",
    ] {
        place.write("postrider.yaml", file);
        let said = dry(&place, &[]);
        assert_eq!(said.stdout, "0 dead letters would be replayed\n");
        assert!(said.stderr.contains(gone) && said.stderr.contains(no_event), "{}", said.stderr);
        let said = replay(&place, &[]);
        assert!(said.stderr.contains(gone), "{}", said.stderr);
        let said = dry(&place, &["--to", "b"]);
        assert_eq!(said.stdout, "2 dead letters would be replayed\n");
        assert!(!said.stderr.contains("no export"), "{}", said.stderr);
    }
    // Beside a running postrider its configuration counts.
    place.write("postrider.yaml", config(&receiver));
    let running = place.run().start().ready();
    place.write("postrider.yaml", "exports: [{name: b, destination: console}]\n");
    let said = dry(&place, &[]);
    assert_eq!(said.stdout, "2 dead letters would be replayed\n");
    let said = replay(&place, &["--reason", "malformed"]);
    assert!(said.stderr.contains(no_event), "{}", said.stderr);
    running.end().code(0);
}

#[test]
fn beside_a_running_postrider_it_does_the_work() {
    let (place, receiver) = dead(3);
    receiver.rewrite(|_| Answer::status(200));
    let running = place.run().start().ready();
    let gauge = |running: &Running| running.metrics().one("dead_letters", &[("export", "a")]);
    assert_eq!(gauge(&running), 3.0);
    let replay = place.postrider(&["dlq", "replay"]).finish().code(0);
    assert!(replay.stdout.contains("3 dead letters go back on a"), "{}", replay.stdout);
    receiver.wait_for(9);
    let removed = [("export", "a"), ("how", "replayed")];
    running.shows("removed", |metrics| metrics.sum("dead_letters_removed_total", &removed) == 3.0);
    let metrics = running.settled(0);
    assert_eq!(metrics.one("events_replayed_total", &[("export", "a")]), 3.0);
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 3.0);
    assert_eq!(gauge(&running), 0.0);
    running.end().code(0);
    assert_eq!(states(&place), ["replayed"; 3]);
}

#[test]
fn a_second_failure_returns_to_the_same_row_with_its_history() {
    let (place, receiver) = dead(1);
    let before = &place.dead_letters()[0];
    receiver.rewrite(|_| Answer::status(400).body("still no"));
    let failed = place.postrider(&["dlq", "replay"]).finish().code(3);
    assert!(failed.stdout.contains("0 delivered, 1 dead again"), "{}", failed.stdout);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1);
    let after = &letters[0];
    for field in
        ["id", "delivery_id", "export", "event", "created_at", "first_attempt_at", "audit_id"]
    {
        assert_eq!(after[field], before[field], "{field}");
    }
    for (field, value) in [
        ("state", json!("dead")),
        ("reason", json!("rejected")),
        ("attempts", json!(3)),
        ("replays", json!(1)),
        ("last_status", json!(400)),
        ("response", json!("still no")),
    ] {
        assert_eq!(after[field], value, "{field}");
    }
    receiver.rewrite(|_| Answer::status(200));
    place.postrider(&["dlq", "replay"]).finish().code(0);
    let requests = receiver.exactly(4);
    assert!(requests.iter().all(|request| request.delivery_id() == requests[0].delivery_id()));
}

#[test]
fn only_what_the_filters_choose_is_replayed() {
    let (place, receiver) = dead(4);
    receiver.rewrite(|_| Answer::status(200));
    let id = place.dead_letters()[2]["id"].to_string();
    place.postrider(&["dlq", "replay", "--id", &id]).finish().code(0);
    assert_eq!(receiver.exactly(9)[8].audit_id(), place.dead_letters()[2]["audit_id"]);
    let none = place.postrider(&["dlq", "replay", "--reason", "render"]).finish().code(0);
    assert!(none.stdout.contains("no dead letters"), "{}", none.stdout);
    place.postrider(&["dlq", "replay", "--limit", "2"]).finish().code(0);
    receiver.exactly(11);
    assert_eq!(states(&place).iter().filter(|state| *state == "dead").count(), 1);
}

#[test]
fn an_export_that_is_gone_needs_another() {
    let (place, receiver) = dead(2);
    let config = place.read("postrider.yaml").replace("name: a", "name: b");
    place.write("postrider.yaml", config);
    receiver.rewrite(|_| Answer::status(200));
    let id = place.dead_letters()[0]["id"].to_string();
    let refused = place.postrider(&["dlq", "replay", "--id", &id]).finish();
    assert!(refused.stderr.contains("--to"), "{}", refused.stderr);
    receiver.exactly(4);
    let alone = place.postrider(&["dlq", "replay", "--to", "c"]).finish().code(2);
    let running = place.run().start().ready();
    let beside = place.postrider(&["dlq", "replay", "--to", "bb"]).finish().code(2);
    for said in [alone.stderr, beside.stderr] {
        assert!(said.contains("there is no export") && said.contains("`b`"), "{said}");
    }
    running.end().code(0);
    assert_eq!(states(&place), ["dead"; 2]);
    place.postrider(&["dlq", "replay", "--to", "b"]).finish().code(0);
    receiver.exactly(6);
    assert_eq!(states(&place), ["replayed"; 2]);
}

#[test]
fn a_line_that_is_no_event_cannot_be_replayed() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver));
    place.carry("nonsense\n").1.code(3);
    let id = place.dead_letters()[0]["id"].to_string();
    let refused = place.postrider(&["dlq", "replay", "--id", &id]).finish();
    assert!(refused.stderr.contains("1 cannot be replayed"), "{}", refused.stderr);
    receiver.exactly(0);
    assert_eq!(states(&place), ["dead"]);
}

#[test]
fn a_replay_that_was_killed_goes_on_at_the_next_start() {
    let (place, receiver) = dead(200);
    let gate = crate::support::Gate::new();
    let held = gate.clone();
    receiver.rewrite(move |request| match request.number {
        ..420 => Answer::status(200),
        _ => Answer::status(200).first(crate::support::Step::Wait(held.clone())),
    });
    let replay = place.postrider(&["dlq", "replay"]).start();
    receiver.wait_for(421);
    replay.kill();
    gate.open();
    let left = states(&place);
    assert!(left.iter().any(|state| state == "replaying"), "{left:?}");
    // Nothing is asked again: what was marked stays so until it is settled.
    let running = place.run().start();
    running.shows("the rest", |metrics| metrics.sum("events_replayed_total", &[]) > 0.0);
    crate::support::until("all replayed", || {
        states(&place).iter().all(|state| state == "replayed").then_some(())
    });
    running.settled(0);
    running.end().code(0);
    let arrived: BTreeSet<_> =
        receiver.requests()[400..].iter().map(|r| r.delivery_id().to_owned()).collect();
    assert_eq!(arrived.len(), 200);
}

#[test]
fn replays_count_against_the_rate_they_are_given() {
    let (place, receiver) = dead(6);
    receiver.rewrite(|_| Answer::status(200));
    let started = std::time::Instant::now();
    place.postrider(&["dlq", "replay", "--rate", "10"]).finish().code(0);
    let took = started.elapsed();
    assert!(took >= std::time::Duration::from_millis(500), "six within {took:?}");
    receiver.exactly(18);
    place.postrider(&["dlq", "replay", "--rate", "0"]).finish().code(2);
}

#[test]
fn purging_beside_a_running_postrider_shows_in_its_metrics() {
    let (place, _receiver) = dead(3);
    let running = place.run().start().ready();
    place.postrider(&["dlq", "purge", "--limit", "2"]).finish().code(0);
    let purged = [("export", "a"), ("how", "purged")];
    running.shows("purged", |metrics| metrics.sum("dead_letters_removed_total", &purged) == 2.0);
    assert_eq!(running.metrics().one("dead_letters", &[("export", "a")]), 1.0);
    assert_eq!(states(&place).len(), 1);
    running.end().code(0);
}

#[test]
fn a_replay_fails_clearly_while_another_command_works_on_the_store() {
    let (place, receiver) = dead(1);
    receiver.rewrite(|_| Answer::hang());
    // The first replays alone: it holds the lock, and has no control socket.
    let first = place.postrider(&["dlq", "replay"]).start();
    receiver.wait_for(3);
    let second = place.postrider(&["dlq", "replay"]).finish().code(1);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    drop(first);
}

#[test]
fn the_configuration_is_needed_only_to_deliver() {
    let (place, receiver) = dead(1);
    receiver.rewrite(|_| Answer::status(200));
    place.write("broken.yaml", "exports: [{name: a, destination: nowhere}]");
    let failed =
        place.postrider(&["dlq", "replay", "-c", "broken.yaml", "--data-dir", "postrider-data"]);
    failed.finish().code(2);
    assert_eq!(states(&place), ["dead"]);
    let running = place.run().start().ready();
    let beside =
        place.postrider(&["dlq", "replay", "-c", "broken.yaml", "--data-dir", "postrider-data"]);
    beside.finish().code(0);
    receiver.wait_for(3);
    running.shows("delivered", |metrics| metrics.sum("events_delivered_total", &[]) == 1.0);
    running.settled(0);
    running.end().code(0);
}

#[test]
fn the_event_of_a_replay_that_failed_has_an_id_of_its_own() {
    let receiver = Receiver::always(Answer::status(400));
    let news = Receiver::ok();
    let place = Place::new(&format!(
        "{}  filters: {{exclude_event_kinds: ['webhook.*']}}\n- name: news\n  destination: webhook\n  \
         webhook: {{url: '{}'}}\n  filters: {{event_kinds: [webhook.dlq]}}\n",
        config(&receiver).replace("dlq: {emit_events: false}\n", ""),
        news.url("/")
    ));
    place.run().stdin(event("e")).finish().code(3);
    let running = place.run().start().ready();
    for told in [2, 3] {
        place.postrider(&["dlq", "replay"]).finish().code(0);
        news.wait_for(told);
    }
    running.settled(0);
    running.end().code(3);
    let id = place.dead_letters()[0]["id"].as_i64().unwrap();
    let told: Vec<Value> =
        news.exactly(3).iter().map(|request| request.json()["audit_id"].clone()).collect();
    assert_eq!(told, [format!("dlq_{id}"), format!("dlq_{id}_1"), format!("dlq_{id}_2")]);
}

#[test]
fn a_replay_that_fails_with_nobody_running_still_ends() {
    let receiver = Receiver::always(Answer::status(400));
    let place = Place::new(&format!(
        "admin: false\nexports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}, filters: {{sources: [stdin]}}}}\n",
        receiver.url("/")
    ));
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    let replayed = place.postrider(&["dlq", "replay"]).finish().code(3);
    assert!(replayed.stdout.contains("0 delivered, 1 dead again"), "{}", replayed.stdout);
    receiver.exactly(2);
}
