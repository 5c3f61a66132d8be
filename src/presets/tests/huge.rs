//! Fields of megabytes, digests, and what a platform's file says of single places: what holds for
//! any event at random stands in `bounds`.

use super::super::*;
use super::bounds::{CONTEXT, MESSAGES_OF_ALL, apply, event, message};
use crate::template::{BatchItem, Escape, units};
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn a_body_that_calls_nobody_by_name_calls_nobody() {
    let none = json!({"parse": []});
    let own = json!({"parse": ["users"]});
    for (body, wanted) in [
        (json!({}), json!({"allowed_mentions": none})),
        (
            json!({"content": "@everyone"}),
            json!({"content": "@everyone", "allowed_mentions": none}),
        ),
        (
            json!({"content": "x", "allowed_mentions": own}),
            json!({"content": "x", "allowed_mentions": own}),
        ),
        (json!(["x"]), json!(["x"])),
    ] {
        assert_eq!(apply("discord", &body), wanted);
    }
    assert_eq!(apply("slack", &json!({"text": "x"})), json!({"text": "x"}));
}

#[test]
fn blocks_of_users_are_bounded_wherever_text_stands() {
    let long = "x".repeat(20_000);
    let plain = json!({"type": "plain_text", "text": long});
    let rich = |inner: Value| json!({"type": "rich_text", "elements": [inner]});
    let section =
        json!({"type": "rich_text_section", "elements": [{"type": "text", "text": long}]});
    let list = json!({"type": "rich_text_list", "elements": [section]});
    let of = |block: &Value, path: &str| {
        let cut = apply("slack", &json!({"blocks": [block]}));
        units(cut["blocks"][0].pointer(path).unwrap().as_str().unwrap())
    };
    for (block, path, most) in [
        (
            json!({"type": "actions", "elements": [{"type": "button", "text": plain}]}),
            "/elements/0/text/text",
            75,
        ),
        (
            json!({"type": "section", "accessory": {"type": "button", "text": plain}}),
            "/accessory/text/text",
            75,
        ),
        (
            json!({"type": "section", "accessory": {"type": "image", "alt_text": long}}),
            "/accessory/alt_text",
            2000,
        ),
        (
            json!({"type": "context", "elements": [{"type": "image", "alt_text": long}]}),
            "/elements/0/alt_text",
            2000,
        ),
        (json!({"type": "image", "alt_text": long}), "/alt_text", 2000),
        (json!({"type": "image", "title": plain}), "/title/text", 2000),
        (json!({"type": "markdown", "text": long}), "/text", 12_000),
        (rich(section.clone()), "/elements/0/elements/0/text", 12_000),
        (rich(list), "/elements/0/elements/0/elements/0/text", 12_000),
    ] {
        let length = of(&block, path);
        assert!((1..=most).contains(&length), "{path} of {}: {length}", block["type"]);
    }
}

/// Fields of which messages tell.
const FIELDS: [&str; 11] = [
    "message",
    "audit_id",
    "command",
    "event_kind",
    "agent_id",
    "session",
    "tool",
    "policy",
    "user",
    "approve_url",
    "approval_expires_at",
];

#[test]
fn no_field_calls_a_channel_or_forges_a_link() {
    let hostile = "<!channel> <https://evil.example|x> [l](http://evil.example) @everyone";
    for field in FIELDS {
        let mut object = json!({
            "event_kind": "ask", "message": "m", "approve_url": "https://h/a", "deny_url": "https://h/d",
        });
        object[field] = json!(hostile);
        for (preset, bodies, _) in &*MESSAGES_OF_ALL {
            // A code span shows everything as it is.
            let shown = preset.name() != "slack" && field == "command";
            if preset.markup().is_none() || shown {
                continue;
            }
            let text = message(preset, bodies, &event(&object)).to_string();
            for live in ["<!channel>", "<https://evil", "[l](http", "@everyone"] {
                let harmless = live == "@everyone" && preset.name() != "discord"
                    || live == "[l](http" && preset.name() == "slack";
                // As JSON has it, a backslash is two.
                let mut places = text.match_indices(live);
                let is_live = places.any(|(at, _)| !text[..at].ends_with("\\\\"));
                assert!(harmless || !is_live, "{field} {}: {text}", preset.name());
            }
        }
    }
}

/// Fields that the reader of lines takes when it is told to, each in its worst writing.
#[test]
fn a_field_of_megabytes_is_cut_and_says_so() {
    // The first is longer than anything a template may make by itself.
    for (piece, size, fields) in [
        ("a", 5_000_000, &FIELDS[..2]),
        ("&", 500_000, &FIELDS[..1]),
        ("&", 100_000, &FIELDS[..]),
        ("\u{1}", 60_000, &FIELDS[..5]),
        ("é@*_", 30_000, &FIELDS[..5]),
    ] {
        for &field in fields {
            let huge = piece.repeat(size);
            let mut object = json!({
                "audit_id": "a", "timestamp": "2026-03-03T14:23:05Z", "event_kind": "x",
                "agent_id": "bot", "message": "m", "approve_url": "https://h/a", "deny_url": "https://h/d",
            });
            object[field] = json!(huge);
            if field != "approve_url" && field != "approval_expires_at" {
                object["approve_url"] = Value::Null;
            }
            let event = event(&object);
            for (preset, bodies, check) in &*MESSAGES_OF_ALL {
                if preset.name() == "openclaw" {
                    continue;
                }
                let message = message(preset, bodies, &event);
                check(&message);
                let in_words = preset.name() != "pagerduty" || field != "command";
                let shown =
                    in_words && matches!(field, "message" | "command" | "event_kind" | "agent_id");
                let text = message.to_string();
                assert!(!shown || text.contains(" more characters"), "{} {field}", preset.name());
            }
        }
    }
}

#[test]
fn a_message_says_what_is_missing_of_the_field() {
    let (slack, openclaw) = (&MESSAGES_OF_ALL[0], &MESSAGES_OF_ALL[5]);
    let object = |text: String| json!({"audit_id": "a", "event_kind": "x", "message": text});
    let event_of = |text: String| event(&object(text));
    let made = message(slack.0, &slack.1, &event_of("a".repeat(500_000)));
    let text = made["attachments"][0]["text"].as_str().unwrap();
    let (kept, notice) = text.split_once('…').unwrap();
    let missing: usize =
        notice.replace(',', "").trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    assert_eq!(kept.len() + missing, 500_000);
    // The words stand twice there, and the whole still fits into a request.
    let made = message(openclaw.0, &openclaw.1, &event_of("a".repeat(1_040_000)));
    assert!(units(made["text"].as_str().unwrap()) <= 4000);
    assert!(made.to_string().len() <= 1 << 20);
    assert!(made["message"].as_str().unwrap().ends_with(" more characters)"));
}

#[test]
fn an_incidents_words_are_one_line_and_its_key_is_never_blank() {
    let preset = named("pagerduty").unwrap();
    for (key, host, wanted) in [
        ("pr_key", "web1", "web1 "),
        ("pr_key", "", "id-1"),
        ("'  '", "", "id-1"),
        ("audit_id", "", "id-1"),
    ] {
        let options = [("routing_key", "'k'"), ("dedup_key", key)];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let before = "{% set pr_key %}{{ host }} {{ check }}{% endset %}".to_owned();
        let before = TemplateText { text: before, ..TemplateText::default() };
        let bodies = preset.bodies(None, &options, &before).unwrap();
        let text =
            json!({"audit_id": "id-1", "event_kind": "x", "host": host, "message": "a\nb\r\nc"});
        let message = message(preset, &bodies, &event(&text));
        assert_eq!(message["dedup_key"], wanted, "{key} {host}");
        assert_eq!(message["payload"]["summary"], "x: a b c");
    }
    let preset = named("discord").unwrap();
    for (name, wanted) in [("root.name", None), ("'  '", None), ("'bot'", Some("bot"))] {
        let options = Options::from([("username".to_owned(), name.to_owned())]);
        let bodies = preset.bodies(None, &options, &TemplateText::default()).unwrap();
        let message = message(preset, &bodies, &event(&json!({"event_kind": "x"})));
        assert_eq!(message.get("username").and_then(Value::as_str), wanted, "{name}");
    }
}

#[test]
fn a_hooks_links_are_of_the_web_and_its_text_is_one_line() {
    let (preset, bodies, _) = &MESSAGES_OF_ALL[5];
    let text = json!({"event_kind": "x", "message": "a\nb", "approve_url": "https://h/a?b=1", "deny_url": "javascript:alert(1)"});
    let made = message(preset, bodies, &event(&text));
    assert_eq!(made["approve_url"], "https://h/a?b=1");
    assert_eq!(made.get("deny_url"), None);
    assert_eq!(made["text"], "Approval required: a b");
}

#[test]
fn a_link_that_is_too_long_is_told_of() {
    let with = |length| json!({"approve_url": format!("https://h/{}", "a".repeat(length))});
    for (preset, bodies, _) in &MESSAGES_OF_ALL[..5] {
        let told = |length| message(preset, bodies, &event(&with(length))).to_string();
        assert!(!told(9).contains("too long"), "{}", preset.name());
        // What PagerDuty gets holds the event itself.
        let said = told(5000).contains("the link is too long") || preset.name() == "pagerduty";
        assert!(said, "{}: {}", preset.name(), told(5000));
    }
}

#[test]
fn a_digest_of_one_event_does_not_speak_of_several() {
    let told = |preset, count| digest_of(preset, &json!({"event_kind": "x"}), count);
    for preset in all().iter().filter(|preset| told(preset, 1).is_some()) {
        assert!(told(preset, 1).unwrap().contains("1 event"), "{}", preset.name());
        assert!(!told(preset, 1).unwrap().contains("1 events"), "{}", preset.name());
        assert!(told(preset, 2).unwrap().contains("2 events"), "{}", preset.name());
    }
}

#[test]
fn a_digest_always_tells_how_many_more_there_are() {
    let huge = ["a", "*", "&", "\u{1}", "😀"].map(|piece| piece.repeat(5000));
    for text in huge {
        let one = json!({"event_kind": text, "agent_id": text, "message": text});
        for preset in all() {
            let Some(body) = digest_of(preset, &one, 12) else { continue };
            let bounded = match preset.limits() {
                Some(limits) => limits.apply(&body).unwrap(),
                None => body.as_str().into(),
            };
            serde_json::from_str::<Value>(&bounded).unwrap();
            assert!(bounded.contains("and 2 more"), "{}: {bounded}", preset.name());
        }
    }
}

/// What is told of so many events in one message.
fn digest_of(preset: &Preset, object: &Value, count: usize) -> Option<String> {
    let one = Arc::new(event(object));
    let items: Vec<_> = (0..count).map(|_| BatchItem { event: &one, context: CONTEXT }).collect();
    let escape = preset.markup().map_or(Escape::Json, Escape::Message);
    let mut out = Vec::new();
    preset.digest().unwrap()?.render_batch(&items, escape, &mut out).unwrap();
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn no_field_begins_a_line_of_a_digest_or_a_title() {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let titles = [
        "/attachments/0/title",
        "/attachments/0/fallback",
        "/blocks/0/text/text",
        "/embeds/0/title",
        "/attachments/0/content/body/0/text",
        "/summary",
        "/payload/summary",
    ];
    for gap in ["\n", "\r\n\r\n", "\u{b}", "\u{85}", "\u{2028}", "\t", "\u{0}", "\u{1b}[2J"] {
        let of = |gap: &str, kind: &str| {
            let forged = format!("{kind}{gap}• *critical* forged");
            json!({"audit_id": "a", "event_kind": forged, "agent_id": forged, "message": forged,
                "export": forged, "reason": forged})
        };
        for (preset, bodies, _) in &*MESSAGES_OF_ALL {
            let lines = |gap: &str| {
                let told = digest_of(preset, &of(gap, "x"), 12)?;
                let mut told: Value = serde_json::from_str(&told).unwrap();
                // OpenClaw's program gets the events themselves.
                told["events"].take();
                let texts = told.to_string();
                Some(
                    ["\\n", "\\r", "\\t", "\\u", "\u{85}", "\u{2028}"]
                        .map(|part| texts.matches(part).count()),
                )
            };
            assert_eq!(lines(gap), lines(" "), "{gap:?}: {}", preset.name());
            for kind in ["x", "deny_x", "watch_x", "detection", "ask"] {
                let made = message(preset, bodies, &event(&of(gap, kind)));
                let mut shown = titles.iter().filter_map(|title| made.pointer(title)?.as_str());
                let broken = shown.find(|title| title.contains(is_break));
                assert_eq!(broken, None, "{gap:?} {kind}: {}", preset.name());
            }
            let mut dead = of(gap, "x");
            dead["event_kind"] = json!("webhook.dlq");
            let made = message(preset, bodies, &event(&dead));
            let mut shown = titles.iter().filter_map(|title| made.pointer(title)?.as_str());
            assert_eq!(shown.find(|title| title.contains(is_break)), None, "{gap:?}");
        }
    }
}
