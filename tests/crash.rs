//! Killed at any moment, postrider loses nothing it had accepted for good, and what comes twice
//! carries the same delivery id.

use crate::support::{Answer, Place, Receiver, Request, Step, events, until};
use std::collections::BTreeMap;

/// Each event's delivery ids, over all its arrivals.
fn by_event(requests: &[Request]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in requests {
        let ids = found.entry(request.audit_id()).or_default();
        if !ids.iter().any(|id| id == request.delivery_id()) {
            ids.push(request.delivery_id().to_owned());
        }
    }
    found
}

#[track_caller]
fn assert_complete(requests: &[Request], count: usize) {
    let found = by_event(requests);
    let missing: Vec<_> = (0..count)
        .map(|number| format!("e{number}"))
        .filter(|id| !found.contains_key(id))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(found.len(), count);
    for (event, ids) in found {
        assert_eq!(ids.len(), 1, "{event} came with different delivery ids: {ids:?}");
    }
}

/// Moments that differ from run to run, in numbers of requests.
fn random(below: usize) -> usize {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    hash as usize % below
}

#[test]
fn rows_of_an_earlier_run_survive_kills() {
    const EVENTS: usize = 600;
    let receiver = Receiver::always(Answer::hang());
    let place = Place::new(&format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\nshutdown_grace: 0\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(EVENTS));
    running.shows("all received", |metrics| metrics.received() == EVENTS as f64);
    running.terminate();
    running.wait().code(0);
    let tried = receiver.requests().len();
    // Slow enough to be met in the middle.
    receiver
        .rewrite(|_| Answer::status(200).first(Step::Pause(std::time::Duration::from_millis(5))));
    for _ in 0..4 {
        let seen = receiver.requests().len();
        let running = place.run().start().ready();
        // All may have arrived before the last kill.
        let until_then = (seen + random(150)).min(tried + EVENTS);
        until("some deliveries", || (receiver.requests().len() >= until_then).then_some(()));
        running.kill();
    }
    let running = place.run().start();
    running.settled(0);
    running.end().code(0);
    assert_complete(&receiver.requests()[tried..], EVENTS);
}

#[test]
fn a_dead_letter_is_told_of_even_if_it_was_killed_in_between() {
    let receiver = Receiver::always(Answer::status(400));
    let news = Receiver::always(Answer::hang());
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}, filters: {{exclude_event_kinds: ['webhook.*']}}}}\n\
         - {{name: news, destination: webhook, webhook: {{url: '{}'}}, filters: {{event_kinds: [webhook.dlq]}}}}\n",
        receiver.url("/"),
        news.url("/")
    ));
    let mut running = place.run().start();
    running.feed(events(30));
    let all = [("export", "a")];
    running.shows("all dead", |metrics| metrics.sum("events_dead_lettered_total", &all) == 30.0);
    running.kill();
    assert_eq!(place.dead_letters().len(), 30);
    let before = news.requests().len();
    news.rewrite(|_| Answer::status(200));
    place.run().finish().code(0);
    let told: Vec<_> = news.requests()[before..].iter().map(|request| request.json()).collect();
    let singles = told.iter().filter(|event| event.get("count").is_none()).count() as u64;
    let folded: u64 = told.iter().filter_map(|event| event["count"].as_u64()).sum();
    assert_eq!(singles + folded, 30, "each letter is told of once: {told:?}");
}

#[test]
fn a_file_source_loses_no_line_however_often_it_is_killed() {
    const EVENTS: usize = 3000;
    let receiver = Receiver::ok();
    let place = Place::new(&format!(
        "sources:\n- {{name: in, type: file, paths: [in.jsonl]}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02]}}\n",
        receiver.url("/")
    ));
    // A tenth of the answers asks for another attempt, so that settled ranges have gaps.
    receiver.rewrite(|request| Answer::status(if request.number % 10 == 3 { 503 } else { 200 }));
    let lines: Vec<String> = events(EVENTS).lines().map(|line| format!("{line}\n")).collect();
    for chunk in lines.chunks(EVENTS / 6) {
        place.append("in.jsonl", &chunk.concat());
        let seen = receiver.requests().len();
        let running = place.run().start().ready();
        let until_then = seen + random(EVENTS / 6);
        let arrived = || by_event(&receiver.requests()).len();
        let so_far = lines.len().min(arrived() + EVENTS / 6);
        until("some deliveries", || {
            (receiver.requests().len() >= until_then || arrived() >= so_far).then_some(())
        });
        running.kill();
    }
    let running = place.run().start().ready();
    until("all lines", || (by_event(&receiver.requests()).len() == EVENTS).then_some(()));
    running.shows("rest", |metrics| metrics.sum("events_pending", &[]) == 0.0);
    let received = running.metrics().received() as usize;
    running.settled(received);
    running.terminate();
    running.wait().code(0);
    assert_complete(&receiver.requests(), EVENTS);
}
