//! Secrets never leave: tokens planted everywhere, and every output searched for them.

use crate::support::{Answer, Place, Receiver, event};

/// Each is planted in one place.
const PLANTED: &[&str] = &[
    "canary-path",
    "canary-query",
    "canary-header",
    "canary-variable",
    "canary-file",
    "canary-default",
    "canary-admin",
    "canary-body",
    "canary-environment",
];

fn config(url: &str) -> String {
    format!(
        "admin: {{tokens: [{{name: t, token: canary-admin, role: read}}], metrics_open: true}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook:\n    url: '{url}/services/canary-path?key=canary-query'\n    \
         headers:\n      Authorization: Bearer canary-header\n      X-Plain: '${{VARIABLE}}'\n      \
         X-File: '${{file:token.txt}}'\n      X-Default: '${{NONE:-canary-default}}'\n    \
         body_template: '{{\"key\": \"${{BODY}}\", \"event\": {{{{event_json}}}}}}'\n    timeout: 1.5s\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 3}}\n"
    )
}

fn place(url: &str) -> Place {
    let place = Place::new(&config(url));
    place.write("token.txt", "canary-file\n");
    place
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("VARIABLE", "canary-variable"),
    ("BODY", "canary-body"),
    ("POSTRIDER__EXPORTS__0__WEBHOOK__HEADERS__X_API_KEY", "canary-environment"),
];

macro_rules! with_environment {
    ($call:expr) => {
        ENVIRONMENT.iter().fold($call, |call, (name, value)| call.env(name, value))
    };
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "`{secret}` in {what}:\n{text}");
    }
}

#[test]
fn they_arrive_and_appear_nowhere_else() {
    // Every way to fail, so that everything that could tell of it does.
    let receiver = Receiver::answering([
        Answer::status(503),
        Answer::hang(),
        Answer::raw([crate::support::Step::Reset]),
        Answer::status(301).header("Location", "http://127.0.0.1:9/canary-path"),
        Answer::status(200),
    ]);
    let place = place(&receiver.url(""));
    let mut running = with_environment!(place.run().arg("-vv")).start();
    for (number, id) in ["exhausted", "rejected", "delivered"].iter().enumerate() {
        running.feed(event(id));
        running.settled(number + 1);
    }
    running.feed("not json\n");
    running.settled(4);
    let request = &receiver.requests()[0];
    let sent = request.to_string() + request.text();
    for secret in PLANTED.iter().filter(|secret| **secret != "canary-admin") {
        assert!(sent.contains(secret), "`{secret}` is not in the request:\n{sent}");
    }
    for path in ["/metrics", "/ready", "/live"] {
        assert_clean(path, &running.get(path, "").1);
    }
    let ended = running.end().code(3);
    assert!(ended.stderr.contains("DEBUG"), "{}", ended.stderr);
    assert_clean("the log", &(ended.stderr + &ended.stdout));
    for args in [&["list"][..], &["stats"], &["export"], &["list", "--format", "json"]] {
        let call = args.iter().fold(place.postrider(&["dlq"]), |call, arg| call.arg(*arg));
        assert_clean(&format!("dlq {args:?}"), &call.finish().code(0).stdout);
    }
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 3);
    for letter in letters {
        let show = place.postrider(&["dlq", "show", &letter["id"].to_string()]).finish().code(0);
        assert_clean("dlq show", &show.stdout);
    }
    let database = std::fs::read(place.path("postrider-data/postrider.db")).unwrap();
    assert_clean("the store", &String::from_utf8_lossy(&database));
}

#[test]
fn the_commands_show_none() {
    let receiver = Receiver::always(Answer::status(401));
    let place = place(&receiver.url(""));
    for args in [
        &["validate"][..],
        &["validate", "--online"],
        &["render", "--export", "a"],
        &["render"],
        &["test", "--export", "a", "-vv"],
        &["run", "-vv", "--set", "admin.listen=127.0.0.1:1"],
    ] {
        let finished = with_environment!(place.postrider(args)).stdin(event("e")).finish();
        assert_clean(&format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
    let shown = with_environment!(place.postrider(&["render", "--export", "a", "--show-secrets"]));
    let shown = shown.stdin(event("e")).finish().code(0).stdout;
    for secret in PLANTED.iter().filter(|secret| **secret != "canary-admin") {
        assert!(shown.contains(secret), "`{secret}` is asked for:\n{shown}");
    }
}

#[test]
fn a_wrong_value_is_masked_where_it_may_be_a_secret() {
    let place = Place::new(
        "admin: {listen: '127.0.0.1:x', tokens: [{name: t, token: {a: canary-admin}, role: canary}]}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook:\n    url: 'hooks.example.com/canary-path'\n    \
         headers: {'Bad Name': canary-header, Host: canary-header}\n- name: b\n  destination: webhook\n  \
         webhook: {url: 'https://user:canary-query@x.example:99999/canary-path', timeout: '${VARIABLE}'}\n\
         - name: c\n  destination: webhook\n  webhook: {url: 'ftp://x.example/canary-path'}\n\
         - name: d\n  destination: webhook\n  webhook: {url: 'https://x.example/${VARIABLE} {{ nosuch( }}'}\n",
    );
    for args in [&["validate"][..], &["validate", "--format", "json"], &["run"]] {
        let finished = with_environment!(place.postrider(args)).finish().code(2);
        assert_clean(&format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
}

#[test]
fn what_a_receiver_echoes_is_masked_too() {
    let receiver = Receiver::new(|request| {
        let header = request.header("Authorization").unwrap_or_default();
        Answer::status(404).body(format!("no {} here for {header}", request.target))
    });
    let place = place(&receiver.url(""));
    with_environment!(place.run().arg("-vv")).stdin(event("e")).finish().code(3);
    let letter = &place.dead_letters()[0];
    assert!(letter["response"].as_str().unwrap().starts_with("no "), "{letter}");
    assert_clean("the dead letter", &letter.to_string());
    let test = with_environment!(place.postrider(&["test", "--export", "a"])).finish().code(1);
    assert_clean("test", &test.stdout);
}
