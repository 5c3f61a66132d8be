//! Secrets never leave: tokens planted everywhere, and every output searched for them.

use crate::support::{
    Answer, Authority, Place, Receiver, assert_absent, assert_absent_from_letters,
    assert_absent_from_store, event,
};
use std::cell::RefCell;

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
    assert_absent(PLANTED, what, text);
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
    assert_eq!(place.dead_letters().len(), 3);
    assert_absent_from_letters(PLANTED, &place);
    assert_absent_from_store(PLANTED, &place);
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

#[test]
fn a_routing_key_is_masked_however_it_is_written() {
    let receiver = Receiver::new(|request| Answer::status(400).body(request.text()));
    for webhook in [
        "pagerduty: {routing_key: canary-key}",
        "pagerduty: {routing_key: '${KEY}'}",
        "pagerduty: {routing_key: 'canary-${PART}'}",
        "pagerduty: {routing_key: canary-key, resolve_kinds: [policy_block]}",
        "headers: {Authorization: Token token=canary-key}",
        "headers: {Authorization: 'Token token=\"${KEY}\"'}",
    ] {
        let place = Place::new(&format!(
            "exports:\n- {{name: a, destination: webhook, filters: {{sources: [stdin]}}, \
             webhook: {{url: '{}', platform: pagerduty, {webhook}}}}}\n\
             - {{name: own, destination: console, filters: {{sources: [internal]}}}}\n",
            receiver.url("/in")
        ));
        let call = |args| place.postrider(args).env("KEY", "canary-key").env("PART", "key");
        for args in [&["render", "--export", "a"][..], &["test", "--export", "a", "-vv"]] {
            let said = call(args).stdin(event("e")).finish();
            assert!(!said.stdout.is_empty(), "{}", said.stderr);
            assert_absent(&["canary-key"], webhook, &(said.stdout + &said.stderr));
        }
        let shown = call(&["render", "--export", "a", "--show-secrets"]).stdin(event("e"));
        assert!(shown.finish().stdout.contains("\"routing_key\": \"canary-key\""), "{webhook}");
        let run = place.run().arg("-vv").env("KEY", "canary-key").env("PART", "key");
        let ended = run.stdin(event("e")).finish().code(3);
        assert!(ended.stdout.contains("webhook.dlq"), "{}", ended.stdout);
        assert_absent(&["canary-key"], webhook, &(ended.stdout + &ended.stderr));
        let letter = &place.dead_letters()[0];
        assert!(letter["response"].as_str().unwrap().contains("***"), "{letter}");
        assert_absent_from_letters(&["canary-key"], &place);
        assert_absent_from_store(&["canary-key"], &place);
    }
    assert!(receiver.requests().iter().all(|request| request.text().contains("canary-key")));
}

/// Files that are no configuration, with their name, and a value for `--set`.
const UNREADABLE: &[(&str, &str)] = &[
    ("a.yaml", "exports:\n- {name: a, url: \"canary-path\n"),
    ("a.yaml", "exports:\n- name: a\n  token: 'canary-x'canary-y\n   url: [canary-path}\n"),
    ("a.yaml", "exports: &canary-anchor [*canary-alias]\n"),
    ("a.yaml", "exports: !canary-tag x\n"),
    ("a.yaml", "canary-value\n"),
    ("a.yaml", "- canary-value\n"),
    ("a.yaml", "exports: canary-value\n"),
    ("a.yaml", "exports: [canary-value, {canary-key}]\n"),
    (
        "a.yaml",
        "defaults: {webhook: {headers: {A: b}, authentication: canary-value}}\nexports: []\n",
    ),
    ("a.yaml", "\tcanary-value: |\n canary\n  -canary-body"),
    ("a.toml", "[[exports]]\nname = \"a\"\ntoken = \"canary-value\nurl = 1\n"),
    ("a.toml", "exports = \"canary-value\"\n"),
    ("a.toml", "admin.tokens = [{name = 'a', token = canary-value}]\n"),
    ("a.toml", "token = \"\"\"canary-value\\q\"\"\"\n"),
    ("a.json", "{\"exports\": [{\"token\": \"canary-value\n\"}]}"),
    ("a.json", "{\"token\": canary-value}"),
    ("a.json", "{\"exports\": \"canary-value\\q\"}"),
    ("a.json", "{\"token\": \"canary-value\"} canary-rest"),
];

/// Values of one webhook that do not fit their keys.
const MISFITS: &[&str] = &[
    "headers: 'Authorization: Bearer canary-value'",
    "headers: [canary-value]",
    "headers: {Authorization: {Bearer: canary-value}}",
    "headers: {X-A: \"canary-value\\n\"}",
    "headers: {X-A: 'canary-value {{ nosuch( }}'}",
    "headers: {X-A: 'canary-value {% if %}'}",
    "headers: {X-A: 'canary-value ${'}",
    "authentication: canary-value",
    "authentication: [canary-value]",
    "authentication: {type: bearer, token: [canary-value]}",
    "authentication: {type: bearer, token: 'canary-valueé'}",
    "authentication: {type: bearer, token: x, scheme: 'canary-value é'}",
    "authentication: {type: hmac, hmac_secrets: canary-value, hmac_algorithm: canary}",
    "authentication: {type: hmac, hmac_secret: canary-value, hmac_format: 'x'}",
    "authentication: {type: standard_webhooks, secrets: canary-value}",
    "authentication: {type: api_key, api_key: canary-value, api_key_header: 'a b'}",
    "authentication: {type: none, token: canary-value}",
    "proxy: 'http://canary-user:canary-pass@'",
    "proxy: 'http://canary-user:canary-pass@h:99999'",
    "proxy: 'socks5://canary-user:canary-pass@h:1'",
    "proxy: 'canary-user:canary-pass@h:1'",
    "proxy: 'https://canary-user:canary-pass@h:1/canary-path'",
    "proxy: 'http://canary-user:canary-pass%zz%ff@h:1/canary-path'",
    "proxy: [canary-value]",
    "url: [canary-value]",
    "url: 'https://canary-user:canary-pass@h.example/'",
    "url: 'https://h.example:canary-port/canary-path'",
    "url: 'https://{{ x }}/canary-path?canary-query'",
    "url: 'https://h.example/canary-path/{{ nosuch( }}'",
    "url: '//canary-value'",
    "body_template: '{\"key\": \"canary-value\", {{ nosuch( }}'",
    "body_template: {canary-value: x}",
    "body_template_file: template.txt",
    "platform: pagerduty, pagerduty: {routing_key: [canary-value]}",
    "platform: pagerduty, pagerduty: {routing_key: '{{ \"canary-value\" | nosuch }}'}",
    "tls: {ca_file: key.pem}",
    "tls: {client_cert_file: key.pem, client_key_file: key.pem}",
    "tls: {client_cert_file: cert.pem, client_key_file: key.pem}",
    "tls: {client_cert_file: cert.pem, client_key_file: half.pem}",
    "tls: canary-value",
];

#[test]
fn what_is_no_configuration_tells_nothing_of_what_it_holds() {
    let place = Place::empty();
    let leaks = RefCell::new(Vec::new());
    let check = |what: &str, args: &[&str]| {
        for command in [&["validate"][..], &["run", "-vv"]] {
            let args = [command, args].concat();
            let finished = place.postrider(&args).finish();
            assert!(finished.status.code().is_some_and(|code| code <= 2), "{what}");
            let said = finished.stdout + &finished.stderr;
            let told = said.lines().filter(|line| line.contains("canary-"));
            leaks.borrow_mut().extend(told.map(|line| format!("{what}\n  {line}")));
        }
    };
    for (name, text) in UNREADABLE {
        place.write(name, text);
        check(text, &["-c", name]);
    }
    place.write("template.txt", "canary-body {{ nosuch( }}");
    place.write("key.pem", "-----BEGIN PRIVATE KEY-----\ncanary-key\n-----END PRIVATE KEY-----\n");
    place.write("half.pem", "-----BEGIN PRIVATE KEY-----\ncanary-key\n");
    let authority = Authority::new();
    place.write("cert.pem", &authority.certify("x", 4000).pem);
    for misfit in MISFITS {
        let url =
            if misfit.starts_with("url:") { "" } else { "url: 'https://h.example/canary-path', " };
        place.write(
            "a.yaml",
            format!("exports:\n- {{name: a, destination: webhook, webhook: {{{url}{misfit}}}}}\n"),
        );
        check(misfit, &["-c", "a.yaml"]);
    }
    place.write(
        "a.yaml",
        "exports:\n- {name: a, destination: webhook, webhook: {url: 'https://h.example/'}}\n",
    );
    for set in [
        "exports.a.webhook.url=canary-value",
        "exports.a.webhook.headers=canary-value",
        "exports.a.webhook.headers.X={canary-value: [",
        "exports.a.webhook.authentication={type: bearer, token: \"canary-value\\n\"}",
        "exports.a.webhook.proxy=canary://user:canary-pass@h",
        "admin.tokens=canary-value",
    ] {
        check(set, &["-c", "a.yaml", "--set", set]);
    }
    assert!(leaks.borrow().is_empty(), "{}", leaks.borrow().join("\n"));
}

#[test]
fn sending_and_importing_tell_only_what_they_must() {
    let any = ["canary-"];
    let place = Place::empty();
    let refusing = Receiver::new(|request| Answer::status(404).body(request.target.clone()));
    for url in
        [&*refusing.url("/canary-path?canary-query"), "canary-path", "http://u:canary-pass@h/"]
    {
        let send = place.postrider(&["send", "--to", url, "-vv"]).stdin(event("e")).finish();
        assert_absent(&any, &format!("send --to {url}"), &(send.stdout + &send.stderr));
    }
    for (system, file) in [
        ("rampart", "notify: {on: [canary-value], url: [canary-path]}"),
        ("rampart", "notify: {on: canary-value, webhooks: canary-path}"),
        ("rampart", "notify: {url: \"canary-path"),
        ("contextforge", "webhooks: [{url: [canary-path], authentication: canary-value}]"),
        (
            "contextforge",
            "webhooks: [{url: 'https://h.example/', authentication: {type: canary, token: [canary-value]}}]",
        ),
        ("contextforge", "webhooks: [{url: 'https://h.example/', retry_attempts: canary-value}]"),
        ("contextforge", "{webhooks: [canary-value"),
    ] {
        place.write("foreign.yaml", file);
        let failed = place.postrider(&["import", system, "foreign.yaml"]).finish();
        assert_absent(&any, file, &failed.stderr);
    }
}
