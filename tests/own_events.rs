//! postrider's own events: what a dead letter tells the other exports.

use crate::support::{Answer, Place, Receiver, event, event_with, events};
use serde_json::{Value, json};

/// An export `a` that is refused everything, and an export `news` for webhook.dlq.
fn config(a: &Receiver, news: &Receiver) -> String {
    let export = |name, receiver: &Receiver| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
             retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 2}}\n",
            receiver.url("/")
        )
    };
    format!(
        "exports:\n{}{}  filters: {{event_kinds: [webhook.dlq]}}\n",
        export("a", a),
        export("news", news)
    )
}

#[test]
fn the_event_says_what_the_contract_says() {
    let answer = Answer::status(503).body("é".repeat(2000));
    let (a, news) = (Receiver::always(answer), Receiver::ok());
    let place = Place::new(&config(&a, &news));
    let line = event_with("ae_01JC", json!({"agent_id": "support-bot", "severity": "ERR"}));
    let mut running = place.run().start();
    running.feed(&line);
    let request = news.wait_for(1).remove(0);
    running.settled(1);
    running.end().code(3);
    let letter = &place.dead_letters()[0];
    let id = letter["id"].as_i64().unwrap();
    assert!(id > 1_700_000_000_000, "ids start at Unix milliseconds: {id}");
    let mut told = request.json();
    let timestamp = told["timestamp"].take();
    let timestamp = timestamp.as_str().expect("a time").parse::<jiff::Timestamp>().unwrap();
    let age = jiff::Timestamp::now().duration_since(timestamp).as_secs();
    assert!((0..120).contains(&age), "{timestamp}");
    let expected = json!({
        "audit_id": format!("dlq_{id}"),
        "timestamp": null,
        "event_kind": "webhook.dlq",
        "severity": "error",
        "agent_id": "support-bot",
        "export": "a",
        "source": "stdin",
        "dead_letter_id": id,
        "reason": "retries_exhausted",
        "attempts": 2,
        "last_status": 503,
        "last_error": "HTTP 503",
        "response": "é".repeat(512),
        "event": {
            "audit_id": "ae_01JC",
            "timestamp": "2026-01-02T03:04:05Z",
            "event_kind": "policy_block",
            "severity": "error",
        },
    });
    assert_eq!(told, expected);
    assert_eq!(request.header("X-Postrider-Event"), Some("webhook.dlq"));
    assert_eq!(request.header("X-Postrider-Event-ID"), Some(&*format!("dlq_{id}")));
    let order: Vec<_> = request.text().match_indices('"').map(|(at, _)| at).collect();
    assert!(request.text()[order[0]..].starts_with("\"audit_id\""), "{}", request.text());
}

#[test]
fn an_export_is_not_told_of_its_own_dead_letters() {
    // It takes everything, webhook.dlq too.
    let receiver = Receiver::always(Answer::status(400));
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}}}\n",
        receiver.url("/")
    ));
    let mut running = place.run().start();
    running.feed(event("e"));
    let all = |metrics: &crate::support::Metrics| {
        metrics.one("events_filtered_total", &[("export", "a")]) == 1.0
    };
    running.shows("the own event was left", all);
    running.settled(1);
    running.end().code(3);
    receiver.exactly(1);
}

#[test]
fn the_death_of_a_dlq_event_raises_no_other() {
    // Both refuse: the loop would never end.
    let a = Receiver::always(Answer::status(400));
    let news = Receiver::always(Answer::status(400));
    let place =
        Place::new(&config(&a, &news).replace("  filters: {event_kinds: [webhook.dlq]}\n", ""));
    let mut running = place.run().start();
    running.feed(event("e"));
    // Its death at `a` is told to `news` and the other way round; both tidings die.
    let dead =
        |metrics: &crate::support::Metrics| metrics.sum("events_dead_lettered_total", &[]) == 4.0;
    running.shows("four dead letters", dead);
    let metrics = running.settled(1);
    running.end().code(3);
    assert_eq!(metrics.one("events_received_total", &[("source", "internal")]), 2.0);
    let letters = place.dead_letters();
    let depths: Vec<_> =
        letters.iter().map(|letter| (&letter["event_kind"], &letter["depth"])).collect();
    let count = |kind: &str, depth: u32| {
        depths.iter().filter(|found| **found == (&json!(kind), &json!(depth))).count()
    };
    assert_eq!((count("policy_block", 0), count("webhook.dlq", 1)), (2, 2), "{depths:?}");
}

#[test]
fn more_than_ten_in_a_minute_come_as_one() {
    let (a, news) = (Receiver::always(Answer::status(400)), Receiver::ok());
    let place = Place::new(&config(&a, &news));
    place.run().stdin(events(25)).finish().code(3);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 25);
    let told: Vec<Value> = news.requests().iter().map(|request| request.json()).collect();
    let (singles, folded): (Vec<&Value>, Vec<_>) =
        told.iter().partition(|event| event.get("count").is_none());
    // A minute may end in the middle: then each of the two has its own ten.
    assert!((10..=20).contains(&singles.len()), "{} single", singles.len());
    let counted: u64 = folded.iter().map(|event| event["count"].as_u64().unwrap()).sum();
    assert_eq!(singles.len() as u64 + counted, 25);
    for event in folded {
        assert_eq!(event["event_kind"], "webhook.dlq");
        assert_eq!((&event["export"], &event["reason"]), (&json!("a"), &json!("rejected")));
        let (first, last) =
            (event["first_id"].as_i64().unwrap(), event["last_id"].as_i64().unwrap());
        let within = letters.iter().filter(|l| (first..=last).contains(&l["id"].as_i64().unwrap()));
        assert_eq!(within.count() as u64, event["count"].as_u64().unwrap());
    }
}

#[test]
fn own_events_are_delivered_before_the_program_ends() {
    let a = Receiver::always(Answer::status(400));
    // Slow news: the end waits for it.
    let news = Receiver::always(
        Answer::status(200)
            .first(crate::support::Step::Pause(std::time::Duration::from_millis(400))),
    );
    let place = Place::new(&config(&a, &news));
    place.run().stdin(event("e")).finish().code(3);
    assert_eq!(news.exactly(1)[0].json()["event"]["audit_id"], "e");
}

#[test]
fn without_them_nothing_is_raised() {
    let (a, news) = (Receiver::always(Answer::status(400)), Receiver::ok());
    let place = Place::new(&format!("{}dlq: {{emit_events: false}}\n", config(&a, &news)));
    let (metrics, finished) = place.carry(&events(3));
    finished.code(3);
    news.exactly(0);
    assert_eq!(metrics.one("events_received_total", &[("source", "internal")]), 0.0);
}

#[test]
fn what_was_not_delivered_waits_for_the_next_start() {
    let (a, news) = (Receiver::always(Answer::status(400)), Receiver::always(Answer::hang()));
    let place = Place::new(&format!("{}shutdown_grace: 0.1\n", config(&a, &news)));
    let mut running = place.run().start();
    running.feed(event("e"));
    let first = news.wait_for(1).remove(0);
    running.terminate();
    running.wait().code(0);
    news.rewrite(|_| Answer::status(200));
    place.run().finish().code(0);
    let again = &news.exactly(2)[1];
    assert_eq!(
        (again.body.clone(), again.delivery_id()),
        (first.body.clone(), first.delivery_id())
    );
}
