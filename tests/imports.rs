//! Other systems' files become configurations that do what those systems did.

use crate::support::{Answer, Place, Receiver};
use postrider::signature::hmac_sha256_hex;
use serde_json::{Value, json};

/// A place whose configuration is what another system's file became.
fn imported(system: &str, file: &str) -> (Place, String) {
    let place = Place::new("exports: []\n");
    place.write("foreign.yaml", file);
    let done = place.postrider(&["import", system, "foreign.yaml"]).finish().code(0);
    place.write("postrider.yaml", &done.stdout);
    (place, done.stdout)
}

const RAMPART: &str = "version: '1'\ndefault_action: allow\nnotify:\n  on: [deny]\n  webhooks:\n    \
    - {url: 'https://discord.com/api/webhooks/1/x', on: [deny, ask], timeout: 10s}\n    \
    - {url: 'https://hooks.slack.com/services/T/B/x', when: {session_matches: [app/main], mood_matches: [bad]}}\n    \
    - {url: 'https://siem.example.com/rampart', on: [deny, ask, watch, block], timeout: 30s, colour: red}\n\
    policies: [{name: a}, {name: b}]\n";

const DENIED: &str = r#"{"timestamp":"2026-03-03T14:23:05Z","decision":"deny","tool":"exec","command":"rm -rf x","policy":"p","message":"blocked","agent":"claude","session":"app/main","event_id":"evt_1"}"#;

#[test]
fn a_policy_file_of_rampart_becomes_its_webhooks() {
    let (place, page) = imported("rampart", RAMPART);
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    for note in [
        "policies: all 2",
        "notify.webhooks[1].when.mood_matches",
        "notify.webhooks[2].colour",
        "notify.webhooks[2].on: Rampart has no events of the kind `block`",
    ] {
        assert!(page.contains(note), "{note}:\n{page}");
    }
    assert_eq!(page.matches("footer: Rampart Security").count(), 2, "{page}");
    let receiver = Receiver::answering([Answer::status(500), Answer::status(200)]);
    let url = |name: &str| format!("exports.{name}.webhook.url={}", receiver.url("/in"));
    let run = place.run().set(&url("siem-example-com")).set(&url("discord-com"));
    let run = run.set(&url("hooks-slack-com")).env("RAMPART_TOKEN", "s3cret-key");
    let run =
        run.set("exports.discord-com.enabled=false").set("exports.hooks-slack-com.enabled=false");
    run.stdin(format!("{DENIED}\n")).finish().code(0);
    let requests = receiver.exactly(2);
    for request in &requests {
        assert_eq!(request.header("X-Rampart-Event"), Some("deny"));
        assert_eq!(request.header("X-Rampart-Event-ID"), Some("evt_1"));
        assert_eq!(request.header("User-Agent"), Some("Rampart/v0.7.0"));
        let signature = hmac_sha256_hex(b"s3cret-key", request.text().as_bytes());
        assert_eq!(request.header("X-Rampart-Signature"), Some(&*signature));
        assert_eq!(request.json(), serde_json::from_str::<Value>(DENIED).unwrap());
    }
    let taken = place.postrider(&["render"]).env("RAMPART_TOKEN", "x").stdin(format!("{DENIED}\n"));
    let taken = taken.finish().code(0).stdout;
    for name in ["discord-com", "hooks-slack-com", "siem-example-com"] {
        assert!(taken.contains(name), "{taken}");
    }
}

const CONTEXTFORGE: &str = r#"
config:
  webhooks:
    - url: https://api.example.com/hook
      events: [tool_success, violation]
      authentication: {type: hmac, hmac_secret: "${env.SECRET}", hmac_algorithm: sha256, hmac_header: X-Hub-Signature-256}
      retry_attempts: 2
      retry_delay: 50
      timeout: 30
    - {url: https://api.example.com/other, events: [violation], authentication: {type: api_key, api_key: "${env.KEY}"}, enabled: false}
    - {url: https://hooks.slack.com/services/T/B/x, events: [violation], authentication: {type: bearer, token: t}}
  payload_templates:
    violation: |
      {"alert": "Violation", "message": "{{violation.reason}}", "plugin": "{{plugin_name}}", "details": {{violation}}}
  include_payload_data: false
  max_payload_size: 1000
"#;

#[test]
fn the_webhooks_of_contextforge_keep_bodies_signatures_and_schedule() {
    let (place, page) = imported("contextforge", CONTEXTFORGE);
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    assert!(page.contains("payload_templates: not used for `hooks-slack-com`"), "{page}");
    let receiver =
        Receiver::answering([Answer::status(503), Answer::status(503), Answer::status(200)]);
    let event = json!({"event": "violation", "request_id": "r1", "payload": {"card": "4111"},
        "violation": {"reason": "a \"b\"", "code": "X"}});
    let run =
        place.run().set(&format!("exports.api-example-com.webhook.url={}", receiver.url("/")));
    let run = run.set("exports.hooks-slack-com.enabled=false").env("SECRET", "k").env("KEY", "x");
    run.stdin(format!("{event}\n")).finish().code(0);
    let requests = receiver.exactly(3);
    let body = json!({"alert": "Violation", "message": "a \"b\"", "plugin": "WebhookNotificationPlugin",
        "details": {"reason": "a \"b\"", "code": "X"}});
    for request in &requests {
        assert_eq!(request.json(), body);
        let signature = hmac_sha256_hex(b"k", request.text().as_bytes());
        assert_eq!(request.header("X-Hub-Signature-256"), Some(&*format!("sha256={signature}")));
    }
}

#[test]
fn nothing_of_a_file_vanishes_and_nothing_comes_alive() {
    let (place, page) = imported(
        "contextforge",
        &CONTEXTFORGE
            .replace("payload_templates:", "payload_templates:\n    rate_limit_exceeded: '{}'"),
    );
    assert!(page.contains("payload_templates.rate_limit_exceeded: no webhook"), "{page}");
    assert!(!page.contains("payload_templates.violation:"), "{page}");
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    let (place, page) = imported(
        "rampart",
        "notify: {url: 'https://h.example/{{x}}', on: [deny], timeout: 1m30s, when: {session_matches: ['!x']}}\n",
    );
    assert!(page.contains("timeout: 90s"), "{page}");
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    let receiver = Receiver::answering([Answer::status(200)]);
    let url = page.lines().find_map(|line| line.trim().strip_prefix("url: ")).unwrap();
    let url = url.trim_matches(['"', '\'']).replace("https://h.example/", &receiver.url("/"));
    let events: String =
        ["x", "!x", "y"].map(|session| DENIED.replace("app/main", session) + "\n").concat();
    let run = place.run().set(&format!("exports.h-example.webhook.url={url}"));
    run.env("RAMPART_TOKEN", "k").stdin(events).finish().code(0);
    let requests = receiver.exactly(1);
    assert_eq!(requests[0].json()["session"], "!x");
    assert_eq!(requests[0].target, "/%7B%7Bx%7D%7D");
}

#[test]
fn a_configuration_that_cannot_be_used_is_no_success() {
    let place = Place::new("exports: []\n");
    place.write(
        "foreign.yaml",
        "webhooks: [{url: 'https://x.example/', events: [a], timeout: 0}]\n",
    );
    let done = place.postrider(&["import", "contextforge", "foreign.yaml"]).finish().code(1);
    assert!(done.stderr.contains("exports[0].webhook.timeout"), "{}", done.stderr);
    assert!(done.stderr.contains("has 1 problem"), "{}", done.stderr);
}

#[test]
fn what_is_not_such_a_file_is_said() {
    for (system, file, said) in [
        ("rampart", "policies: []\n", "there is no `notify:` in it"),
        ("rampart", "notify: {url: 'https://x.example/'}\n", "notify.on: missing key"),
        ("rampart", "- a\n", "not a map of keys"),
        ("rampart", "notify: {url: 5, on: [deny]}\n", "notify.url: not a URL that begins with"),
        (
            "rampart",
            "notify: {webhooks: [{url: 'https://x.example/', on: [deny], platform: zork}]}\n",
            "notify.webhooks[0].platform: `zork` is none of auto, ",
        ),
        (
            "rampart",
            "notify: {url: 'https://x.example/', on: [deny], timeout: 10}\n",
            "notify.timeout: `10` is not a duration",
        ),
        ("rampart", "a: 1\n---\nb: 2\n", "several YAML documents in it"),
        ("contextforge", "config: {webhooks: []}\n", "there are no `webhooks:` in it"),
        ("contextforge", "webhooks: [{events: [a]}]\n", "webhooks[0].url: missing key"),
        (
            "contextforge",
            "webhooks: [{url: 'https://x.example/', retry_attempts: 11}]\n",
            "more than 10",
        ),
    ] {
        let place = Place::new("exports: []\n");
        place.write("foreign.yaml", file);
        let done = place.postrider(&["import", system, "foreign.yaml"]).finish().code(2);
        assert!(done.stderr.contains(said), "{said}:\n{}", done.stderr);
        assert_eq!(done.stdout, "");
    }
}
