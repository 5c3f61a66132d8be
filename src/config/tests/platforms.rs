//! What a platform changes of an export, and which body an event has.

use super::super::{Destination, Export};
use super::Case;
use crate::event::{Event, testing};
use crate::presets::Preset;
use crate::template::{Escape, RenderContext};
use jiff::Timestamp;
use std::sync::Arc;

fn event(kind: &str) -> Arc<Event> {
    Arc::new(Event { event_kind: kind.into(), ..testing::event("{}") })
}

fn body(export: &Export, kind: &str) -> Option<String> {
    let event = event(kind);
    let context = RenderContext {
        export: &export.name,
        delivery_id: "d",
        attempt: 1,
        now: Timestamp::UNIX_EPOCH,
        mask_variables: false,
    };
    let mut out = Vec::new();
    export.body.for_event(&event)?.render(&event, &context, Escape::Json, &mut out).unwrap();
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn the_host_or_the_key_decides_whose_webhook_it_is() {
    for (webhook, rate, platform, requests) in [
        ("url: https://hooks.slack.com/services/T/B/x", "", Some("slack"), Some(1)),
        ("url: https://h/, platform: slack", "", Some("slack"), Some(1)),
        (
            "url: https://hooks.slack.com/services/T/B/x",
            ", rate_limit: {requests: 9, per: 1s}",
            Some("slack"),
            Some(9),
        ),
        ("url: https://hooks.slack.com/x, platform: webhook", "", Some("webhook"), None),
        ("url: https://discord.com/api/webhooks/1/x", "", Some("discord"), Some(30)),
        ("url: https://h/", "", None, None),
        ("url: \"${URL}\"", "", Some("discord"), Some(30)),
    ] {
        let yaml =
            format!("exports: [{{name: a, destination: webhook, webhook: {{{webhook}}}{rate}}}]");
        let case = Case::yaml(&yaml).env("URL", "https://discord.com/api/webhooks/1/x");
        let export = &case.config().exports[0];
        let Destination::Webhook(webhook) = &export.destination else { panic!() };
        assert_eq!(webhook.platform.preset.map(Preset::name), platform, "{yaml}");
        assert_eq!(export.rate_limit.map(|limit| limit.requests.get()), requests, "{yaml}");
    }
}

#[test]
fn a_body_is_chosen_by_the_kind() {
    let yaml = "
exports:
  - name: a
    destination: webhook
    webhook:
      url: https://h/
      body_template: plain
      body_templates: {\"auth_*\": first, \"auth_f*\": second, auth_fail: whole}
  - name: b
    destination: webhook
    webhook: {url: https://h/, body_templates: {default: rest, deny: no}}
  - name: c
    destination: webhook
    webhook: {url: https://h/, platform: slack, body_templates: {deny: no}}
  - {name: d, destination: webhook, webhook: {url: https://h/, body_templates: {deny: no}}}
";
    let config = Case::yaml(yaml).config();
    let [a, b, c, d] = &config.exports[..] else { panic!() };
    for (export, kind, expected) in [
        (a, "auth_fail", Some("whole")),
        (a, "auth_fault", Some("first")),
        (a, "login", Some("plain")),
        (b, "deny", Some("no")),
        (b, "default", Some("rest")),
        (b, "", Some("rest")),
        (c, "deny", Some("no")),
        (d, "deny", Some("no")),
        (d, "login", None),
    ] {
        assert_eq!(body(export, kind).as_deref(), expected, "{} {kind}", export.name);
    }
    let platforms = body(c, "login").unwrap();
    assert!(platforms.contains("\"title\": \"🔴 login\""), "{platforms}");
}

#[test]
fn a_key_in_a_header_that_need_not_be_set_now_is_there() {
    let yaml = "
exports:
  - name: a
    destination: webhook
    webhook: {url: https://events.pagerduty.com/v2/enqueue, headers: {Authorization: \"Token token=${K}\"}}
";
    let mut case = Case::yaml(yaml);
    case.options.no_env = true;
    assert_eq!(case.said(), "");
    let empty = Case::yaml(yaml).env("K", "");
    assert!(empty.said().contains("`pagerduty` needs a `routing_key`"), "{}", empty.said());
}
