//! Redaction: what an export must not carry is planted everywhere in events, and everything that
//! the export sends, stores and says is searched for it.

use crate::support::{
    Answer, Place, Receiver, Request, assert_absent, assert_absent_from_letters,
    assert_absent_from_store, until,
};

/// What stands in [`LINE`] and must appear nowhere.
const PLANTED: &[&str] = &[
    "ada@example.com",
    "canary-header",
    "hunter2",
    "4111111111111111",
    "+49 151 12345678",
    "ghp_",
];

const LINE: &str = concat!(
    r#"{"audit_id":"ae for ada@example.com","timestamp":"2026-01-02T03:04:05Z","#,
    r#""event_kind":"policy_block","severity":"error","agent_id":"ada@example.com","#,
    r#""user":"ada@example.com","request":{"headers":{"authorization":"canary-header","#,
    r#""authorization" : [ "canary-header" ]}},"password":"hunter2","card":4111111111111111,"#,
    r#""message":"ada\u0040example.com called +49 151 12345678 with ghp_0123456789abcdefghijABCDEFGHIJ012345"}"#,
    "\n"
);

const REDACT: &str = "redact: {fields: [request.headers.authorization], \
     categories: [secrets, pii.email, pii.phone, pii.financial]}";

/// The event as it may go out.
const REDACTED: &str = concat!(
    r#"{"audit_id":"ae for ***","timestamp":"2026-01-02T03:04:05Z","#,
    r#""event_kind":"policy_block","severity":"error","agent_id":"***","#,
    r#""user":"***","request":{"headers":{"authorization":"***","#,
    r#""authorization" : "***"}},"password":"***","card":"***","#,
    r#""message":"*** called *** with ***"}"#,
);

fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.01], max_attempts: 2}}\n  {more}\n"
    )
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    assert_absent(PLANTED, what, text);
}

#[track_caller]
fn assert_store_clean(place: &Place) {
    assert_absent_from_store(PLANTED, place);
}

#[test]
fn what_must_not_be_carried_appears_nowhere() {
    let answer = Answer::status(503).body("no such user: ada@example.com, password=hunter2");
    let refusing = Receiver::always(answer);
    let (news, fallback) = (Receiver::ok(), Receiver::ok());
    let place = Place::new(&format!(
        "log: {{level: trace}}\nexports:\n{}{}{}",
        webhook(
            "a",
            &refusing.url("/"),
            &format!(
                "filters: {{when: {{user: ['ada@*'], card: ['4111*']}}}}\n  fallback: b\n  {REDACT}"
            )
        ),
        webhook("b", &fallback.url("/"), "filters: {event_kinds: [none]}"),
        webhook("news", &news.url("/"), "filters: {event_kinds: [webhook.dlq]}"),
    ));
    let mut running = place.run().start();
    running.feed(LINE);
    news.wait_for(1);
    fallback.wait_for(1);
    running.settled(1);
    assert_store_clean(&place);
    let ended = running.end().code(3);
    let sent: Vec<Request> =
        [&refusing, &fallback, &news].iter().flat_map(|r| r.requests()).collect();
    assert_eq!(sent.len(), 4, "two attempts, the fallback, and the news");
    for request in &sent {
        assert_clean("a request", &format!("{request} {:?} {}", request.headers, request.text()));
    }
    assert_eq!(sent[0].text(), REDACTED);
    assert_eq!(sent[2].text(), REDACTED, "the fallback gets it as the first one carried it");
    let id = sent[0].header("X-Postrider-Event-ID").unwrap();
    assert!(id.starts_with("pr_"), "an id of its own, or receivers would drop the next: {id}");
    assert!(ended.stderr.contains("dead_letter"), "{}", ended.stderr);
    assert_clean("the log", &(ended.stderr + &ended.stdout));
    assert_store_clean(&place);
    let letters = place.dead_letters();
    let id = letters[0]["id"].to_string();
    assert_absent_from_letters(PLANTED, &place);
    let show = place.postrider(&["dlq", "show", &id]).finish().code(0).stdout;
    assert!(
        show.contains("no such user: ***"),
        "the answer without what belongs to a category: {show}"
    );
    refusing.rewrite(|_| Answer::status(200));
    place.postrider(&["dlq", "replay", "--export", "a"]).finish().code(0);
    assert_eq!(refusing.wait_for(3)[2].text(), REDACTED, "as it died");
}

#[test]
fn a_queue_on_disk_holds_only_what_may_be_carried() {
    let down = Receiver::always(Answer::hang());
    let place = Place::new(&format!(
        "exports:\n{}",
        webhook("a", &down.url("/"), &format!("queue: {{mode: disk}}\n  {REDACT}"))
    ));
    let mut running = place.run().start();
    running.feed(LINE.repeat(20));
    running.shows("events taken in", |metrics| metrics.received() == 20.0);

    until("rows in the store", || {
        let stored = ["postrider.db", "postrider.db-wal"].map(|name| {
            String::from_utf8_lossy(
                &std::fs::read(place.path(&format!("postrider-data/{name}"))).unwrap_or_default(),
            )
            .into_owned()
        });
        stored.concat().contains(r#""password":"***""#).then_some(())
    });
    assert_store_clean(&place);
    running.kill();
    assert_store_clean(&place);
    down.rewrite(|_| Answer::status(200));
    let mut running = place.run().start();
    running.close_stdin();
    running.wait().code(0);
    assert!(down.requests().iter().all(|request| request.text() == REDACTED));
}

#[test]
fn other_exports_get_the_event_as_it_came() {
    let (open, closed) = (Receiver::ok(), Receiver::ok());
    let place = Place::new(&format!(
        "exports:\n{}{}",
        webhook("open", &open.url("/"), ""),
        webhook("closed", &closed.url("/"), REDACT)
    ));
    place.carry(LINE);
    assert_eq!(open.requests()[0].text(), LINE.trim_end());
    assert_eq!(closed.requests()[0].text(), REDACTED);
    for args in
        [&["render", "--export", "closed"][..], &["test", "--export", "closed", "--event", "-"]]
    {
        let finished = place.postrider(args).stdin(LINE).finish().code(0);
        assert_clean(&format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
    assert_eq!(closed.requests()[1].text(), REDACTED, "`test` sends what `run` would");
}

#[test]
fn what_died_before_is_redacted_when_it_is_replayed() {
    let receiver = Receiver::always(Answer::status(400));
    let config = |more: &str| format!("exports:\n{}", webhook("a", &receiver.url("/"), more));
    let place = Place::new(&config(""));
    let mut running = place.run().start();
    running.feed(LINE);
    running.settled(1);
    running.end().code(3);
    receiver.rewrite(|_| Answer::status(200));
    place.write("postrider.yaml", config(REDACT));
    place.postrider(&["dlq", "replay", "--export", "a"]).finish().code(0);
    assert_eq!(receiver.wait_for(2)[1].text(), REDACTED);
}

#[test]
fn long_fields_are_cut_off() {
    let receiver = Receiver::ok();
    let more = "limit_fields: {message: 20, user: 100}";
    let place = Place::new(&format!("exports:\n{}", webhook("a", &receiver.url("/"), more)));
    place.carry(LINE);
    let sent = receiver.requests()[0].json();
    assert_eq!(sent["message"]["truncated"], true);
    assert_eq!(sent["user"], "ada@example.com");
}
