//! `postrider exports`: how exports stand; paused, nothing is sent, over kills and restarts too.

use crate::support::{Answer, Metrics, Place, Receiver, event, events, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Exports `a` and `b`, and `news` that takes what postrider tells of itself.
fn place(a: &Receiver, b: &Receiver, news: &Receiver) -> Place {
    let export = |name: &str, receiver: &Receiver, filters: &str| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
             filters: {filters}\n",
            receiver.url("/")
        )
    };
    let own = "{exclude_event_kinds: ['webhook.*']}";
    Place::new(&format!(
        "shutdown_grace: 0.3\nexports:\n{}{}{}",
        export("a", a, own),
        export("b", b, own),
        export("news", news, "{event_kinds: ['webhook.*']}")
    ))
}

fn exports(place: &Place, args: &[&str]) -> String {
    place.postrider(&[&["exports"], args].concat()).finish().code(0).stdout
}

/// The rows of `exports list` as `name state by_hand pending on_disk dead_letters`.
fn list(place: &Place) -> Vec<String> {
    let rows: Vec<Value> =
        serde_json::from_str(&exports(place, &["list", "--format", "json"])).expect("an array");
    let fields = ["name", "state", "by_hand", "pending", "on_disk", "dead_letters"];
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.iter().map(|row| fields.map(|field| word(&row[field])).join(" ")).collect()
}

fn kinds(news: &Receiver) -> Vec<String> {
    news.requests().iter().map(|r| r.json()["event_kind"].as_str().unwrap().to_owned()).collect()
}

fn is_paused(metrics: &Metrics) -> bool {
    metrics.one("export_state", &[("export", "a"), ("state", "paused")]) == 1.0
        && metrics.one("export_state", &[("export", "a"), ("state", "up")]) == 0.0
}

#[test]
fn paused_nothing_arrives_until_it_is_resumed_over_a_kill_too() {
    let (a, b, news) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    let mut running = place.run().start().ready();
    assert_eq!(list(&place)[0], "a up false 0 0 0");
    assert_eq!(exports(&place, &["pause", "a"]), "a is paused\n");
    // The event that tells of it has left the store before the events come.
    news.wait_for(1);
    running.feed(events(20));
    b.wait_for(20);
    let metrics = running.shows("all wait", |metrics| {
        metrics.sum("events_pending", &[("export", "a")]) == 20.0
            && metrics.sum("events_pending", &[("export", "b")]) == 0.0
    });
    assert!(is_paused(&metrics));
    assert_eq!(list(&place)[..2], ["a paused true 20 0 0", "b up false 0 0 0"]);
    let warnings = running.get("/ready", "").1;
    assert!(warnings.contains("export `a` was paused by hand; 20 events wait"), "{warnings}");
    assert!(!warnings.contains("`b`"), "{warnings}");
    // What it held came from standard input, so a stop keeps it; then a kill, which must not
    // forget the pause.
    running.terminate();
    running.wait().code(0);
    assert_eq!(list(&place)[0], "a paused true 20 20 0");
    let running = place.run().start().ready();
    assert!(is_paused(&running.metrics()));
    running.kill();
    let running = place.run().start().ready();
    assert!(is_paused(&running.metrics()));
    a.exactly(0);
    assert_eq!(exports(&place, &["resume", "a"]), "a is resumed\n");
    let metrics = running.settled(0);
    assert!(!is_paused(&metrics));
    assert_eq!(metrics.one("events_delivered_total", &[("export", "a")]), 20.0);
    news.wait_for(2);
    assert_eq!(kinds(&news), ["webhook.paused", "webhook.resumed"]);
    running.end().code(0);
    let expected: BTreeSet<_> = (0..20).map(|n| format!("e{n}")).collect();
    assert_eq!(a.audit_ids().into_iter().collect::<BTreeSet<_>>(), expected);
    a.exactly(20);
    b.exactly(20);
}

#[test]
fn a_pause_is_on_disk_when_the_command_ends() {
    let (a, b, news) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    for round in 0..5 {
        let running = place.run().start().ready();
        exports(&place, &["pause", "a", "b"]);
        running.kill();
        let stands = list(&place);
        assert!(stands[0].starts_with("a paused true"), "{round}: {stands:?}");
        assert!(stands[1].starts_with("b paused true"), "{round}: {stands:?}");
        let running = place.run().start().ready();
        exports(&place, &["resume", "b", "a"]);
        running.kill();
        let stands = list(&place);
        assert!(stands[..2].iter().all(|row| row.contains(" up false ")), "{round}: {stands:?}");
    }
}

#[test]
fn without_a_running_postrider_they_work_on_the_store() {
    let (a, b, news) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    place.carry(&event("first")).1.code(0);
    exports(&place, &["pause", "a"]);
    exports(&place, &["pause", "a"]);
    assert_eq!(list(&place)[..2], ["a paused true 0 0 0", "b up false 0 0 0"]);
    // All sources end, and events of a paused export are left.
    place.run().stdin(events(3)).finish().code(3);
    assert_eq!(list(&place)[0], "a paused true 3 3 0");
    a.exactly(1);
    b.exactly(4);
    // Its name is known from the store, too.
    let resume = ["exports", "resume", "a", "--data-dir", "postrider-data"];
    place.postrider(&resume).finish().code(0);
    assert_eq!(list(&place)[0], "a up false 3 3 0");
    place.run().finish().code(0);
    a.exactly(4);
    let arrived: BTreeSet<_> = a.audit_ids().into_iter().collect();
    assert_eq!(arrived, ["e0", "e1", "e2", "first"].map(str::to_owned).into());
    assert_eq!(kinds(&news), ["webhook.paused", "webhook.resumed"]);
}

#[test]
fn a_receiver_that_is_gone_is_shown_and_tried_again_on_request() {
    let (a, b, news) = (Receiver::always(Answer::status(410)), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    let mut running = place.run().start().ready();
    running.feed(event("e"));
    let metrics = running.shows("a pause", is_paused);
    assert_eq!(metrics.sum("dead_letters", &[("export", "a")]), 0.0);
    assert_eq!(list(&place)[0], "a paused false 1 0 0");
    let warnings = running.get("/ready", "").1;
    let expected = "export `a` is paused: its receiver says that it is gone; 1 events wait";
    assert!(warnings.contains(expected), "{warnings}");
    news.wait_for(1);
    running.terminate();
    running.wait().code(0);
    assert_eq!(list(&place)[0], "a paused false 1 1 0");
    a.rewrite(|_| Answer::status(200));
    exports(&place, &["resume", "a"]);
    let running = place.run().start().ready();
    running.settled(0);
    running.end().code(0);
    a.exactly(2);
    assert_eq!(kinds(&news), ["webhook.paused", "webhook.resumed"]);
}

#[test]
fn dead_letters_of_a_paused_export_wait_for_its_resumption() {
    let (a, b, news) = (Receiver::always(Answer::status(400)), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    place.carry(&event("e")).1.code(3);
    exports(&place, &["pause", "a"]);
    a.rewrite(|_| Answer::status(200));
    let replay = place.postrider(&["dlq", "replay"]).finish().code(3);
    assert!(replay.stdout.contains("0 delivered, 0 dead again"), "{}", replay.stdout);
    assert!(replay.stderr.contains("1 dead letter waits"), "{}", replay.stderr);
    a.exactly(1);
    exports(&place, &["resume", "a"]);
    let running = place.run().start();
    a.wait_for(2);
    running.settled(0);
    running.end().code(0);
    assert_eq!(place.dead_letters()[0]["state"], "replayed");
}

#[test]
fn a_replay_does_not_wait_for_the_next_probe() {
    let (a, b, news) = (Receiver::always(Answer::status(400)), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    let mut running = place.run().start();
    running.feed(event("dead"));
    running.settled(1);
    a.rewrite(|_| Answer::status(410));
    running.feed(event("gone"));
    running.shows("a pause", is_paused);
    news.wait_for(2);
    running.terminate();
    running.wait().code(0);
    a.rewrite(|_| Answer::status(200));
    // A probe would be due in five minutes.
    let replay = place.postrider(&["dlq", "replay"]).finish().code(0);
    assert!(replay.stdout.contains("1 delivered, 0 dead again"), "{}", replay.stdout);
}

#[test]
fn an_unknown_name_changes_nothing() {
    let (a, b, news) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    place.carry(&event("first")).1.code(0);
    let refused = || {
        for (args, near) in [
            (&["pause", "b", "newz"][..], "did you mean `news`?"),
            (&["resume", "nothing-like-it"], "there are `a`, `b`, `news`"),
        ] {
            let failed = place.postrider(&[&["exports"], args].concat()).finish().code(2);
            assert!(failed.stderr.contains(near), "{args:?}: {}", failed.stderr);
            assert!(failed.stderr.contains("nothing was changed"), "{args:?}: {}", failed.stderr);
        }
        assert_eq!(list(&place)[1], "b up false 0 0 0");
    };
    refused();
    let running = place.run().start().ready();
    refused();
    running.end().code(0);
    place.postrider(&["exports", "pause"]).finish().code(2);
}

#[test]
fn every_format_tells_the_same() {
    let (a, b, news) = (Receiver::always(Answer::status(400)), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    place.carry(&event("first")).1.code(3);
    exports(&place, &["pause", "b"]);
    let format = |format: &str| exports(&place, &["list", "--format", format]);
    let array: Vec<Value> = serde_json::from_str(&format("json")).expect("an array");
    let lines: Vec<Value> =
        format("ndjson").lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(array, lines);
    let a = json!({"name": "a", "state": "up", "by_hand": false, "pending": 0, "on_disk": 0,
        "dead_letters": 1});
    assert_eq!(array[0], a);
    let table = exports(&place, &["list"]);
    assert_eq!(table, format("table"));
    let words: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "STATE", "BY_HAND", "PENDING", "ON_DISK", "DEAD_LETTERS"]);
    assert_eq!(words[1], ["a", "up", "-", "0", "0", "1"]);
    assert_eq!(words[2], ["b", "paused", "yes", "0", "0", "0"]);
    assert_eq!(words.len(), 4);
}

#[test]
fn without_a_store_there_is_a_clear_error_and_none_is_made() {
    let place = Place::new("exports:\n- {name: a, destination: console}\n");
    for args in [&["list"][..], &["pause", "a"], &["resume", "a"]] {
        let failed = place.postrider(&[&["exports"], args].concat()).finish().code(1);
        assert!(failed.stderr.contains("store"), "{args:?}: {}", failed.stderr);
        assert!(!place.path("postrider-data").exists(), "{args:?}");
    }
}

#[test]
fn a_data_directory_is_enough() {
    let (a, b, news) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let place = place(&a, &b, &news);
    let running = place.run().start().ready();
    // Neither the configuration nor its variables are needed.
    place.write("postrider.yaml", "exports:\n- {name: a, webhook: {url: '${NOT_SET}'}}\n");
    exports(&place, &["pause", "a"]);
    std::fs::remove_file(place.path("postrider.yaml")).unwrap();
    let list = || exports(&place, &["list", "--data-dir", "postrider-data", "--format", "ndjson"]);
    until("three rows", || (list().lines().count() == 3).then_some(()));
    running.kill();
    assert!(list().contains(r#""by_hand":true"#), "{}", list());
}

#[test]
fn a_renamed_export_is_listed_once() {
    let receiver = Receiver::always(Answer::status(400));
    let config = |keys: &str| {
        format!(
            "dlq: {{emit_events: false}}\nexports:\n- {{{keys}, destination: webhook, webhook: {{url: '{}'}}}}\n",
            receiver.url("/")
        )
    };
    let place = Place::new(&config("name: a"));
    place.run().stdin(event("e")).finish().code(3);
    assert_eq!(list(&place), ["a up false 0 0 1"]);
    place.write("postrider.yaml", config("name: b, former_names: [a]"));
    place.run().stdin("").finish().code(0);
    assert_eq!(list(&place), ["b up false 0 0 1"]);
    // What is no longer configured and has something is still told of.
    place.write("postrider.yaml", "exports: [{name: c, destination: console}]\n");
    assert_eq!(list(&place), ["c up false 0 0 0", "b up false 0 0 1"]);
}
