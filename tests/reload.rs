//! Another configuration while running: exports change, come, go and are renamed, and nothing is
//! lost. What becomes of sources is shown in `reload_sources`.

use crate::support::{Answer, Metrics, Place, Receiver, event, event_with, events, until};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// An export of that name to this receiver, with further keys.
fn export(name: &str, receiver: &Receiver, keys: &str) -> String {
    let filters = match keys.contains("filters:") {
        true => "",
        false => "  filters: {exclude_event_kinds: ['webhook.*']}\n",
    };
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n{filters}{keys}",
        receiver.url("/")
    )
}

fn config(grace: &str, exports: &[String]) -> String {
    format!("shutdown_grace: {grace}\nexports:\n{}", exports.concat())
}

fn write(place: &Place, grace: &str, exports: &[String]) {
    place.write("postrider.yaml", config(grace, exports));
}

fn numbers(from: usize, to: usize) -> String {
    (from..to).map(|number| event(&format!("e{number}"))).collect()
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.audit_ids().into_iter().collect()
}

fn expected(from: usize, to: usize) -> BTreeSet<String> {
    (from..to).map(|number| format!("e{number}")).collect()
}

fn pending(export: &'static str, count: usize) -> impl Fn(&Metrics) -> bool {
    move |metrics| metrics.sum("events_pending", &[("export", export)]) == count as f64
}

#[test]
fn a_filter_and_a_template_change_from_one_event_to_the_next() {
    let (a, b) = (Receiver::ok(), Receiver::ok());
    let keys = |kind: &str, word: &str| {
        format!(
            "  filters: {{event_kinds: [{kind}]}}\n  webhook: {{url: '{}', \
             body_template: '{{\"{word}\": {{{{audit_id}}}}}}'}}\n",
            a.url("/")
        )
    };
    let of_a = |kind, word| format!("- name: a\n  destination: webhook\n{}", keys(kind, word));
    let place = Place::new(&config("1s", &[of_a("x", "old"), export("b", &b, "")]));
    let mut running = place.run().start().ready();
    let both = |id: &str| {
        let of = |kind: &str| event_with(&format!("{id}-{kind}"), json!({"event_kind": kind}));
        of("x") + &of("y")
    };
    running.feed(both("1"));
    running.settled(2);
    write(&place, "1s", &[of_a("y", "new"), export("b", &b, "")]);
    running.reload();
    running.feed(both("2"));
    running.settled(4);
    running.end().code(0);
    let bodies: Vec<_> = a.requests().iter().map(|request| request.json()).collect();
    assert_eq!(bodies, [json!({"old": "1-x"}), json!({"new": "2-y"})]);
    b.exactly(4);
    assert_eq!(b.connections(), b.requests().iter().map(|r| r.connection).max().unwrap() + 1);
}

#[test]
fn what_waits_for_a_retry_goes_to_the_new_address() {
    let (old, new) = (Receiver::always(Answer::status(503)), Receiver::ok());
    let keys = "  retry: {jitter: 0, backoff_seconds: [2]}\n";
    let place = Place::new(&config("1s", &[export("a", &old, keys)]));
    let mut running = place.run().start().ready();
    running.feed(events(20));
    running.shows("all wait for a retry", |metrics| {
        metrics.sum("events_pending", &[("export", "a"), ("where", "retry")]) == 20.0
    });
    write(&place, "1s", &[export("a", &new, keys)]);
    running.reload();
    running.settled(20);
    running.end().code(0);
    old.exactly(20);
    let requests = new.exactly(20);
    assert_eq!(ids(&new), expected(0, 20));
    assert!(requests.iter().all(|request| request.attempt() == 2));
    let first: BTreeSet<_> =
        old.requests().iter().map(|r| (r.audit_id(), r.delivery_id().to_owned())).collect();
    let second: BTreeSet<_> =
        requests.iter().map(|r| (r.audit_id(), r.delivery_id().to_owned())).collect();
    assert_eq!(first, second, "the same deliveries");
}

#[test]
fn a_schedule_changes_between_two_attempts() {
    let a = Receiver::always(Answer::status(503));
    let keys = |wait: &str, attempts: u32| {
        format!("  retry: {{jitter: 0, backoff_seconds: [{wait}], max_attempts: {attempts}}}\n")
    };
    let place = Place::new(&config("1s", &[export("a", &a, &keys("0.5", 50))]));
    let mut running = place.run().start().ready();
    running.feed(event("e"));
    a.wait_for(2);
    write(&place, "1s", &[export("a", &a, &keys("0.05", 4))]);
    running.reload();
    let metrics = running.settled(1);
    running.end().code(3);
    let requests = a.exactly(4);
    let gap = |n: usize| requests[n].arrived - requests[n - 1].arrived;
    assert!(gap(1) >= Duration::from_millis(500) && gap(3) < Duration::from_millis(400));
    let labels = [("export", "a"), ("reason", "retries_exhausted")];
    assert_eq!(metrics.one("events_dead_lettered_total", &labels), 1.0);
}

#[test]
fn a_new_address_ends_a_pause_and_another_key_does_not() {
    let (old, new, news) = (Receiver::always(Answer::status(410)), Receiver::ok(), Receiver::ok());
    let own = export("news", &news, "  filters: {event_kinds: ['webhook.*']}\n");
    let place = Place::new(&config("1s", &[export("a", &old, ""), own.clone()]));
    let mut running = place.run().start().ready();
    running.feed(events(3));
    news.wait_for(1);
    let tried = old.requests().len();
    let other = "  retry: {max_attempts: 3}\n";
    write(&place, "1s", &[export("a", &old, other), own.clone()]);
    running.reload();
    let labels = [("export", "a"), ("state", "paused")];
    assert_eq!(running.metrics().one("export_state", &labels), 1.0);
    old.exactly(tried);
    write(&place, "1s", &[export("a", &new, other), own]);
    running.reload();
    running.settled(3);
    news.wait_for(2);
    running.end().code(0);
    assert_eq!(ids(&new), expected(0, 3));
    let kinds: Vec<_> = news.requests().iter().map(|r| r.json()["event_kind"].clone()).collect();
    assert_eq!(kinds, ["webhook.paused", "webhook.resumed"]);
}

#[test]
fn an_export_that_comes_takes_what_comes_from_then_on() {
    let (a, b) = (Receiver::ok(), Receiver::ok());
    let place = Place::new(&config("1s", &[export("a", &a, "")]));
    let mut running = place.run().start().ready();
    running.feed(numbers(0, 50));
    running.settled(50);
    write(&place, "1s", &[export("a", &a, ""), export("b", &b, "")]);
    running.reload();
    running.feed(numbers(50, 100));
    until("all at b", || (b.requests().len() == 50).then_some(()));
    let metrics = running.at_rest();
    running.end().code(0);
    assert_eq!(ids(&a), expected(0, 100));
    assert_eq!(ids(&b), expected(50, 100));
    assert_eq!(metrics.one("events_routed_total", &[("export", "b")]), 50.0);
}

#[test]
fn what_a_removed_export_held_becomes_dead_letters() {
    let (gone, a) = (Receiver::always(Answer::hang()), Receiver::ok());
    let place = Place::new(&config("100ms", &[export("gone", &gone, ""), export("a", &a, "")]));
    let mut running = place.run().start().ready();
    running.feed(events(30));
    running.shows("all wait", pending("gone", 30));
    write(&place, "100ms", &[export("a", &a, "")]);
    running.reload();
    running.shows("dead letters", |metrics| {
        let labels = [("export", "gone"), ("reason", "export_removed")];
        metrics.sum("events_dead_lettered_total", &labels) == 30.0
    });
    running.feed(numbers(30, 40));
    a.wait_for(40);
    running.at_rest();
    running.says("events wait in the store for an export that is not configured");
    running.terminate();
    running.wait().code(0);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 30);
    for letter in &letters {
        assert_eq!(
            (&letter["export"], &letter["reason"]),
            (&json!("gone"), &json!("export_removed"))
        );
    }
    let found: BTreeSet<_> =
        letters.iter().map(|letter| letter["audit_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, expected(0, 30));
    place.postrider(&["dlq", "replay", "--export", "gone", "--to", "a"]).finish().code(0);
    assert_eq!(a.exactly(70).len(), 70);
}

#[test]
fn what_a_missing_export_left_is_counted_once_however_often_it_is_reloaded() {
    let (gone, a) = (Receiver::always(Answer::hang()), Receiver::ok());
    let place = Place::new(&config("10s", &[export("gone", &gone, ""), export("a", &a, "")]));
    let mut running = place.run().set("shutdown_grace=0s").start().ready();
    running.feed(events(30));
    running.shows("all wait", pending("gone", 30));
    running.terminate();
    running.wait().code(0);
    write(&place, "10s", &[export("a", &a, "")]);
    let running = place.run().start().ready();
    for _ in 0..3 {
        running.reload();
        let metrics = running.adds_up();
        assert_eq!(metrics.one("events_restored_total", &[("export", "gone")]), 30.0);
    }
}

#[test]
fn an_export_that_comes_back_in_time_has_all_that_it_held() {
    let (back, a) = (Receiver::always(Answer::hang()), Receiver::ok());
    let both = [export("back", &back, ""), export("a", &a, "")];
    let place = Place::new(&config("10s", &both));
    let mut running = place.run().start().ready();
    running.feed(numbers(0, 30));
    running.shows("all wait", pending("back", 30));
    write(&place, "10s", &both[1..]);
    running.reload();
    running.feed(numbers(30, 40));
    running.shows("what it missed", |metrics| metrics.received() == 40.0);
    assert!(pending("back", 30)(&running.metrics()), "{:?}", running.metrics());
    let tried = back.requests().len();
    back.rewrite(|_| Answer::status(200));
    write(&place, "10s", &both);
    running.reload();
    running.feed(numbers(40, 50));
    back.wait_for(tried + 40);
    running.at_rest();
    running.terminate();
    running.wait().code(0);
    back.exactly(tried + 40);
    let arrived: BTreeSet<_> = back.audit_ids().into_iter().skip(tried).collect();
    assert_eq!(arrived, &expected(0, 30) | &expected(40, 50));
    assert_eq!(ids(&a), expected(0, 50));
    assert_eq!(place.dead_letters().len(), 0);
}

#[test]
fn a_renamed_export_goes_on_with_what_it_held() {
    let a = Receiver::new(|request| match &*request.audit_id() {
        "dead" => Answer::status(400),
        _ => Answer::status(503),
    });
    let wait = "  retry: {jitter: 0, backoff_seconds: [0.3], max_attempts: 1000}\n";
    let place = Place::new(&config("10s", &[export("old", &a, wait)]));
    let mut running = place.run().start().ready();
    running.feed(event("dead") + &numbers(0, 30));
    running.shows("all but one wait", pending("old", 30));
    let keys = format!("{wait}  former_names: [old]\n");
    write(&place, "10s", &[export("new", &a, &keys)]);
    running.reload();
    a.rewrite(|_| Answer::status(200));
    running.feed(numbers(30, 40));
    let metrics = running.shows("all delivered", |metrics| {
        metrics.sum("events_delivered_total", &[("export", "new")]) == 40.0
    });
    assert_eq!(metrics.one("dead_letters", &[("export", "new")]), 1.0);
    let metrics = running.at_rest();
    assert!(!metrics.label_values("events_pending", "export").contains("old"));
    running.terminate();
    running.wait().code(0);
    assert_eq!(place.dead_letters()[0]["export"], "new");
    let taken: BTreeSet<_> = a
        .requests()
        .iter()
        .map(|r| (r.audit_id(), r.delivery_id().to_owned()))
        .filter(|(id, _)| id != "dead")
        .collect();
    assert_eq!(taken.len(), 40, "each under one delivery id");
}

#[test]
fn an_export_takes_over_what_another_one_held() {
    let (old, a) = (Receiver::always(Answer::hang()), Receiver::ok());
    let place = Place::new(&config("10s", &[export("old", &old, ""), export("a", &a, "")]));
    let mut running = place.run().start().ready();
    running.feed(numbers(0, 30));
    running.shows("all wait", pending("old", 30));
    a.wait_for(30);
    write(&place, "10s", &[export("a", &a, "")]);
    running.reload();
    assert!(pending("old", 30)(&running.metrics()));
    let heir = [export("a", &a, "  former_names: [old]\n")];
    write(&place, "10s", &heir);
    running.reload();
    running.feed(numbers(30, 40));
    let metrics = running.shows("all delivered", |metrics| {
        metrics.sum("events_delivered_total", &[("export", "a")]) == 70.0
    });
    // They were routed once, to `old`, and that goes on being counted here.
    assert_eq!(metrics.one("events_restored_total", &[("export", "a")]), 0.0);
    assert_eq!(metrics.one("events_routed_total", &[("export", "a")]), 70.0);
    running.at_rest();
    running.reload();
    running.feed(numbers(40, 50));
    a.wait_for(80);
    running.at_rest();
    running.terminate();
    running.wait().code(0);
    a.exactly(80);
    assert_eq!(ids(&a), expected(0, 50));
    assert_eq!(place.dead_letters().len(), 0);
}

#[test]
fn a_bad_file_leaves_the_old_one_running() {
    let a = Receiver::ok();
    let good = [export("a", &a, "")];
    let place = Place::new(&config("1s", &good));
    let mut running = place.run().start().ready();
    running.feed(numbers(0, 10));
    running.settled(10);
    write(&place, "1s", &[export("a", &a, "  filter: {}\n")]);
    running.signal(rustix::process::Signal::HUP);
    let refused = [("outcome", "refused")];
    let metrics =
        running.shows("a refusal", |metrics| metrics.sum("reloads_total", &refused) == 1.0);
    assert_eq!(metrics.one("config_last_reload_successful", &[]), 0.0);
    running.says("postrider.yaml:7:3: exports[0].filter: unknown key");
    running.says("did you mean `filters`?");
    running.feed(numbers(10, 20));
    running.settled(20);
    // What is right by itself and cannot be put to work leaves everything as it was, too.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let socket = format!("- {{name: in, type: socket, mode: tcp, address: '127.0.0.1:{port}'}}\n");
    place.write("postrider.yaml", format!("sources:\n{socket}{}", config("1s", &[])));
    place.append("postrider.yaml", &export("b", &a, ""));
    running.signal(rustix::process::Signal::HUP);
    running.shows("a second", |metrics| metrics.sum("reloads_total", &refused) == 2.0);
    running.says("the one before stays in force");
    running.feed(numbers(20, 30));
    running.settled(30);
    write(&place, "1s", &good);
    running.reload();
    running.feed(numbers(30, 40));
    running.settled(40);
    running.end().code(0);
    assert_eq!(ids(&a), expected(0, 40));
    a.exactly(40);
}

#[test]
fn with_watch_a_replaced_file_is_taken_up() {
    let (a, b) = (Receiver::ok(), Receiver::ok());
    let place = Place::new(&config("1s", &[export("a", &a, "")]));
    let mut running = place.run().arg("--watch").start().ready();
    running.feed(numbers(0, 10));
    running.settled(10);
    let applied = |count: usize| {
        move |metrics: &Metrics| {
            metrics.sum("reloads_total", &[("outcome", "applied")]) >= count as f64
        }
    };
    // As editors do it: another file, renamed over it; twice, so that the second is seen too.
    for (round, receiver) in [(1, &b), (2, &a)] {
        let new = place.write(".postrider.yaml.swp", config("1s", &[export("a", receiver, "")]));
        std::fs::rename(new, place.path("postrider.yaml")).unwrap();
        running.shows("a reload", applied(round));
        running.feed(numbers(10 * round, 10 * round + 10));
        running.settled(10 * round + 10);
    }
    // Written in place, and wrong.
    place.write("postrider.yaml", "exports: []\n");
    running.shows("a refusal", |metrics| {
        metrics.sum("reloads_total", &[("outcome", "refused")]) >= 1.0
    });
    running.end().code(0);
    assert_eq!(ids(&a), &expected(0, 10) | &expected(20, 30));
    assert_eq!(ids(&b), expected(10, 20));
}

#[test]
fn a_renamed_export_misses_nothing_that_comes_meanwhile() {
    let a = Receiver::always(Answer::status(503));
    let keys = |former: &str| {
        format!(
            "  queue: {{mode: memory, memory_events: 100}}\n  former_names: [{former}]\n  \
             retry: {{jitter: 0, backoff_seconds: [0.2], max_attempts: 1000}}\n"
        )
    };
    let place = Place::new(&config("1s", &[export("a0", &a, &keys("none"))]));
    let running = place.run().stdin(numbers(0, 3000)).start().ready();
    running.shows("a source held back", |metrics| metrics.received() > 100.0);
    for round in 1..4 {
        let (now, former) = (format!("a{round}"), format!("a{}", round - 1));
        write(&place, "1s", &[export(&now, &a, &keys(&former))]);
        running.reload();
    }
    a.rewrite(|_| Answer::status(200));
    until("all have arrived", || (ids(&a).len() == 3000).then_some(()));
    running.end().code(0);
    assert_eq!(ids(&a), expected(0, 3000));
}
