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
    - {url: 'https://siem.example.com/rampart', on: [deny, ask, watch], timeout: 30s, colour: red}\n\
    policies: [{name: a}, {name: b}]\n";

const DENIED: &str = r#"{"timestamp":"2026-03-03T14:23:05Z","decision":"deny","tool":"exec","command":"rm -rf x","policy":"p","message":"blocked","agent":"claude","session":"app/main","event_id":"evt_1"}"#;

#[test]
fn a_policy_file_of_rampart_becomes_its_webhooks() {
    let (place, page) = imported("rampart", RAMPART);
    place.postrider(&["validate", "--no-env"]).finish().code(0);
    for note in
        ["policies: all 2", "notify.webhooks[1].when.mood_matches", "notify.webhooks[2].colour"]
    {
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
fn what_is_not_such_a_file_is_said() {
    for (system, file, said) in [
        ("rampart", "policies: []\n", "there is no `notify:` in it"),
        ("rampart", "notify: {url: 'https://x.example/'}\n", "notify.on: missing key"),
        ("rampart", "- a\n", "not a map of keys"),
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
