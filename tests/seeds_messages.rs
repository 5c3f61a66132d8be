//! The messages that other systems print in their documents: made by postrider from the same
//! event, and compared field by field. Where postrider says more, the row names it.

use crate::support::{Place, Receiver};
use serde_json::{Value, json};

/// What Rampart writes of a command that it blocked, and of one that waits for somebody.
fn denied() -> Value {
    json!({
        "timestamp": "2026-03-03T14:23:05Z", "decision": "deny", "tool": "exec",
        "command": "rm -rf /tmp/*", "policy": "block-destructive",
        "message": "Destructive command blocked", "agent": "claude-code",
        "session": "myapp/main", "event_id": "evt_def456",
    })
}

fn asked() -> Value {
    json!({
        "timestamp": "2026-03-03T14:23:10Z", "decision": "ask", "tool": "exec",
        "command": "kubectl apply -f prod.yaml", "policy": "production-deploys",
        "message": "Production deployment requires approval", "agent": "claude-code",
        "session": "myapp/main", "event_id": "evt_ghi789", "approval_id": "abc123",
        "approve_url": "https://yourserver/approve?id=abc123&sig=...",
        "deny_url": "https://yourserver/deny?id=abc123&sig=...",
    })
}

const RAMPART: &str = "{id: /event_id, timestamp: /timestamp, kind: /decision, agent: /agent}";

/// The body that an event becomes, with these keys of `webhook` and this mapping of its fields.
fn body(webhook: &str, mapping: &str, event: &Value) -> Value {
    let receiver = Receiver::new(|request| {
        let slack = request.target.contains("slack");
        crate::support::Answer::status(200).body(if slack { "ok" } else { "" })
    });
    let place = Place::new(&format!(
        "sources: [{{name: stdin, type: stdin, event: {mapping}}}]\n\
         exports:\n- name: a\n  destination: webhook\n  webhook:\n    url: '{}'\n{webhook}",
        receiver.url("/slack")
    ));
    place.carry(&format!("{event}\n")).1.code(0);
    receiver.exactly(1)[0].json()
}

/// Takes out what postrider says beyond the document, which must be this.
fn beyond(body: &mut Value, pointer: &str, key: &str, value: &Value) {
    let object = body.pointer_mut(pointer).and_then(Value::as_object_mut);
    let taken = object.and_then(|object| object.remove(key));
    assert_eq!(taken.as_ref(), Some(value), "{pointer} {key} in {body:#}");
}

#[test]
fn rampart_on_discord() {
    let webhook = "    platform: discord\n    footer: Rampart Security\n";
    let mut got = body(webhook, RAMPART, &denied());
    // No text of an event can call anyone.
    beyond(&mut got, "", "allowed_mentions", &json!({"parse": []}));
    let field = |name: &str, value: &str, inline: bool| json!({"name": name, "value": value, "inline": inline});
    let expected = json!({"embeds": [{
        "title": "🔴 Command Denied",
        "description": "Destructive command blocked",
        "color": 15158332,
        "fields": [
            field("Command", "`rm -rf /tmp/*`", false),
            field("Policy", "block-destructive", true),
            field("Agent", "claude-code", true),
            field("Session", "myapp/main", true),
            field("Time", "2026-03-03 14:23:05 UTC", false),
        ],
        "footer": {"text": "Rampart Security"},
    }]});
    assert_eq!(got, expected, "{got:#}");

    let mut event = asked();
    event["approval_expires_at"] = json!("2026-03-03T15:23:10Z");
    let mut got = body(webhook, RAMPART, &event);
    beyond(&mut got, "", "allowed_mentions", &json!({"parse": []}));
    let approve = "https://yourserver/approve?id=abc123&sig=...";
    let deny = "https://yourserver/deny?id=abc123&sig=...";
    let expected = json!({"embeds": [{
        "title": "👤 Approval Required",
        "description": "Production deployment requires approval",
        "color": 3447003,
        "fields": [
            field("Command", "`kubectl apply -f prod.yaml`", false),
            field("Policy", "production-deploys", true),
            field("Agent", "claude-code", true),
            field("Session", "myapp/main", true),
            field("Actions", &format!("[Approve]({approve}) | [Deny]({deny})"), false),
        ],
        // "Expires in 1 hour" is true only in the moment it is sent.
        "footer": {"text": "Rampart Security · Expires 2026-03-03 15:23:10 UTC"},
    }]});
    assert_eq!(got, expected, "{got:#}");
}

#[test]
fn rampart_on_slack() {
    let webhook = "    platform: slack\n    footer: Rampart Security\n";
    let mut got = body(webhook, RAMPART, &denied());
    // Without it the backticks of a field may be shown as they are.
    beyond(&mut got, "/attachments/0", "mrkdwn_in", &json!(["text", "fields"]));
    let field = |title: &str, value: &str, short: bool| json!({"title": title, "value": value, "short": short});
    let expected = json!({"attachments": [{
        "color": "danger",
        "fallback": "Command denied: rm -rf /tmp/*",
        "title": "🔴 Command Denied",
        "text": "Destructive command blocked",
        "fields": [
            field("Command", "`rm -rf /tmp/*`", false),
            field("Policy", "block-destructive", true),
            field("Agent", "claude-code", true),
            field("Session", "myapp/main", true),
            field("Time", "2026-03-03 14:23:05 UTC", false),
        ],
        "footer": "Rampart Security",
    }]});
    assert_eq!(got, expected, "{got:#}");
}

#[test]
fn rampart_to_an_endpoint_of_ones_own() {
    let template = postrider::presets::named("webhook").and_then(|preset| preset.body("rampart"));
    let indented = template.expect("the body by its name").replace('\n', "\n      ");
    let webhook = format!("    body_template: |\n      {indented}\n");
    for event in [denied(), asked()] {
        // To the last field what the document prints.
        assert_eq!(body(&webhook, RAMPART, &event), event);
    }
    // And without any template, as it came.
    assert_eq!(body("", RAMPART, &denied()), denied());
}

#[test]
fn contextforge_with_a_template_for_each_kind() {
    let webhook = r#"    body_templates:
      default: '{"other": {{event}}}'
      violation: |
        {
          "alert": "MCP Gateway Violation", "severity": "warning",
          "message": "{{violation.reason}}: {{violation.description}}",
          "plugin": "{{plugin_name or plugin}}", "timestamp": "{{timestamp}}",
          "request_id": "{{request_id}}", "user": "{{user}}", "details": {{violation}}
        }
      "rate_*": |
        {
          "alert": "Rate Limit Exceeded", "severity": "error",
          "message": "Rate limit exceeded for {{user}}", "timestamp": "{{timestamp}}",
          "request_id": "{{request_id}}", "violation_details": {{violation}}
        }
"#;
    let mapping = "{id: /request_id, timestamp: /timestamp, kind: /event}";
    let violation = json!({
        "reason": "Rate limit exceeded",
        "description": "User user@example.com rate limit exceeded",
        "code": "RATE_LIMIT", "details": {"remaining": 0, "reset_in": 45},
    });
    let event = |kind: &str| {
        json!({
            "event": kind, "plugin": "WebhookNotificationPlugin",
            "timestamp": "2025-01-15T10:30:45.123Z", "request_id": "req-12345",
            "user": "user@example.com", "violation": violation, "metadata": {},
        })
    };
    assert_eq!(
        body(webhook, mapping, &event("violation")),
        json!({
            "alert": "MCP Gateway Violation", "severity": "warning",
            "message": "Rate limit exceeded: User user@example.com rate limit exceeded",
            "plugin": "WebhookNotificationPlugin", "timestamp": "2025-01-15T10:30:45.123Z",
            "request_id": "req-12345", "user": "user@example.com", "details": violation,
        })
    );
    assert_eq!(
        body(webhook, mapping, &event("rate_limit_exceeded")),
        json!({
            "alert": "Rate Limit Exceeded", "severity": "error",
            "message": "Rate limit exceeded for user@example.com",
            "timestamp": "2025-01-15T10:30:45.123Z", "request_id": "req-12345",
            "violation_details": violation,
        })
    );
    assert_eq!(body(webhook, mapping, &event("tool_success")), json!({"other": "tool_success"}));
    // The payloads that the document prints are the events themselves.
    assert_eq!(body("", mapping, &event("violation")), event("violation"));
    let success = json!({
        "event": "tool_success", "plugin": "WebhookNotificationPlugin",
        "timestamp": "2025-01-15T10:30:45.123Z", "request_id": "req-12346",
        "user": "user@example.com", "violation": null, "metadata": {"tool_name": "search"},
    });
    assert_eq!(body("", mapping, &success), success);
}

#[test]
fn tappass_to_pagerduty() {
    let webhook = r#"    platform: pagerduty
    headers: {Authorization: "Token token=k3y"}
    body_template: |
      {
        "routing_key": "k3y", "event_action": "trigger",
        "payload": {
          "summary": "TapPass {{event_kind}} on {{agent_id}}", "severity": "{{severity}}",
          "source": "tappass", "custom_details": {{event_json}}
        }
      }
"#;
    let event = |severity: &str| {
        json!({
            "audit_id": "ae_01JC", "timestamp": "2026-04-17T10:15:03Z", "severity": severity,
            "event_kind": "policy_block", "agent_id": "support-bot",
        })
    };
    let expected = |severity: &str, sent: &str| {
        json!({
            "routing_key": "k3y", "event_action": "trigger",
            "payload": {
                "summary": "TapPass policy_block on support-bot", "severity": sent,
                "source": "tappass", "custom_details": event(severity),
            }
        })
    };
    // PagerDuty refuses words of severity that are not its own: here they become its own.
    for (severity, sent) in [("error", "error"), ("warn", "warning"), ("alert", "critical")] {
        assert_eq!(body(webhook, "{}", &event(severity)), expected(severity, sent));
    }
    // Without a template the same header is enough.
    let short = "    platform: pagerduty\n    headers: {Authorization: 'Token token=k3y'}\n";
    let got = body(short, "{}", &event("error"));
    assert_eq!(
        got,
        json!({
            "routing_key": "k3y", "event_action": "trigger", "dedup_key": "ae_01JC",
            "client": "postrider",
            "payload": {
                "summary": "Denied: policy_block (support-bot)", "severity": "error",
                "source": "support-bot", "timestamp": "2026-04-17T10:15:03.000Z",
                "class": "policy_block", "custom_details": event("error"),
            }
        }),
        "{got:#}"
    );
}
