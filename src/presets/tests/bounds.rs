//! Whatever the event holds, a message is valid JSON within the platform's bounds. The bounds
//! stand here once more, counted over a tree, so that a slip in the data or the walk shows.

use super::super::*;
use crate::event::json::Json;
use crate::event::testing;
use crate::template::{Escape, RenderContext, units};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn event(text: &Value) -> Arc<Event> {
    let word = |name: &str| text[name].as_str().unwrap_or_default();
    Arc::new(Event {
        audit_id: word("audit_id").into(),
        timestamp: word("timestamp").into(),
        event_kind: word("event_kind").into(),
        agent_id: word("agent_id").into(),
        ..testing::event(&text.to_string())
    })
}

pub(super) const CONTEXT: RenderContext<'_> = RenderContext {
    export: "alerts",
    delivery_id: "d1",
    attempt: 1,
    now: Timestamp::UNIX_EPOCH,
    mask_variables: false,
};

fn bodies(preset: &Preset, style: Option<&str>) -> Vec<Choice> {
    let options = Options::from(
        [("routing_key", "'k'"), ("footer", "root.footer"), ("username", "root.footer")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    preset.bodies(style, &options, &TemplateText::default()).unwrap()
}

/// The message of an event, within its bounds.
pub(super) fn message(preset: &Preset, bodies: &[Choice], event: &Arc<Event>) -> Value {
    let choice = bodies.iter().find(|choice| choice.takes(event)).unwrap();
    let escape = preset.markup().map_or(Escape::Json, Escape::Message);
    let mut out = Vec::new();
    choice.template.render(event, &CONTEXT, escape, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    Json::check_rendered(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let bounded = match preset.limits() {
        Some(limits) => limits.apply(&text).unwrap(),
        None => text.as_str().into(),
    };
    serde_json::from_str(&bounded).unwrap_or_else(|error| panic!("{error}: {bounded}"))
}

fn text<'v>(value: &'v Value, least: usize, most: usize, what: &str) -> &'v str {
    let text = value.as_str().unwrap_or_else(|| panic!("{what} is {value}"));
    assert!(units(text) <= most, "{what}: {} of {most}", units(text));
    assert!(text.trim().chars().count() >= least, "{what} is empty: {text:?}");
    text
}

fn discord(message: &Value) {
    let embeds = message["embeds"].as_array().unwrap();
    assert!((1..=10).contains(&embeds.len()));
    let mut sum = 0;
    let mut add = |value: &Value, least, most, what| sum += units(text(value, least, most, what));
    for embed in embeds {
        add(&embed["title"], 1, 256, "title");
        add(&embed["description"], 0, 4096, "description");
        add(&embed["footer"]["text"], 0, 2048, "footer");
        let fields = embed["fields"].as_array().unwrap();
        assert!(fields.len() <= 25);
        for field in fields {
            add(&field["name"], 1, 256, "name");
            add(&field["value"], 1, 1024, "value");
        }
        assert!(embed["color"].is_u64());
    }
    assert!(sum <= 6000, "{sum}");
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    if !message["username"].is_null() {
        let username = text(&message["username"], 1, 80, "username");
        assert!(!username.trim().is_empty());
    }
}

fn slack(message: &Value) {
    if let Some(attachments) = message["attachments"].as_array() {
        assert_eq!(attachments.len(), 1);
        text(&attachments[0]["fallback"], 1, 1000, "fallback");
        text(&attachments[0]["text"], 0, 8000, "text");
        for field in attachments[0]["fields"].as_array().unwrap() {
            text(&field["value"], 0, 2000, "value");
        }
        return;
    }
    text(&message["text"], 0, 40_000, "text");
    let mut all = 0;
    for block in message["blocks"].as_array().unwrap() {
        match block["type"].as_str().unwrap() {
            "header" => all += units(text(&block["text"]["text"], 1, 150, "header")),
            "section" if block["text"].is_object() => {
                all += units(text(&block["text"]["text"], 1, 3000, "section"));
            }
            "section" => {
                let fields = block["fields"].as_array().unwrap();
                assert!((1..=10).contains(&fields.len()));
                all +=
                    fields.iter().map(|f| units(text(&f["text"], 1, 2000, "field"))).sum::<usize>();
            }
            "context" => {
                all += units(text(&block["elements"][0]["text"], 1, 2000, "context"));
            }
            "actions" => {
                for button in block["elements"].as_array().unwrap() {
                    text(&button["url"], 1, 3000, "url");
                }
            }
            other => panic!("{other}"),
        }
    }
    assert!(all <= 12_000, "{all}");
}

fn teams(message: &Value) {
    let bytes = message.to_string().len();
    assert!(bytes <= 20_000 + 200, "{bytes}");
    let card = &message["attachments"][0]["content"];
    assert_eq!(card["version"], "1.4");
    assert_eq!(card["$schema"], "http://adaptivecards.io/schemas/adaptive-card.json");
    for action in card["actions"].as_array().into_iter().flatten() {
        assert!(!action["url"].as_str().unwrap().contains('…'));
    }
}

fn pagerduty(message: &Value) {
    assert!(message.to_string().len() <= 512_000);
    assert_eq!(message["routing_key"], "k");
    text(&message["dedup_key"], 0, 255, "dedup_key");
    text(&message["payload"]["summary"], 1, 1024, "summary");
    text(&message["payload"]["source"], 1, 1024, "source");
    let severity = message["payload"]["severity"].as_str().unwrap();
    assert!(["critical", "error", "warning", "info"].contains(&severity));
    assert!(message["payload"]["custom_details"].is_object());
}

fn strange() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "😀",
        "👩‍👩‍👧",
        "\"",
        "\\",
        "<!channel>",
        "&",
        "@everyone",
        "`",
        "*_~|",
        "\n",
        " ",
        "\u{200b}",
        "](http://x)",
        "[",
        "é",
        "\u{0}",
        "{{ x }}",
        "long words of a text ",
    ]);
    prop_oneof![
        Just(String::new()),
        Just("   ".to_owned()),
        "[a-z ]{1,40}",
        (piece.clone(), prop::sample::select(vec![1_usize, 150, 260, 1100, 5000, 30_000]))
            .prop_map(|(piece, times)| piece.repeat(times)),
        prop::collection::vec(piece, 1..60).prop_map(|pieces| pieces.concat()),
    ]
}

fn strange_event() -> impl Strategy<Value = Value> {
    let kinds = prop::sample::select(vec![
        "deny",
        "ask",
        "watch",
        "policy_block",
        "detection",
        "webhook.dlq",
        "anything",
        "",
    ]);
    let urls = prop_oneof![
        Just(Value::Null),
        Just(json!("https://yourserver/approve?id=abc123&sig=...")),
        strange().prop_map(|text| json!(format!("https://{text}"))),
    ];
    let any = prop_oneof![
        4 => strange().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({"a": [1, {"b": "c"}], "d": "x".repeat(3000)})),
        1 => Just(json!(12345)),
    ];
    let fields = prop::collection::vec(any, 12);
    (kinds, strange(), urls.clone(), urls, fields, strange()).prop_map(
        |(kind, agent, approve, deny, fields, footer)| {
            let names = [
                "command",
                "policy",
                "message",
                "session",
                "user",
                "decision",
                "tool",
                "reason",
                "export",
                "last_error",
                "violation",
                "approval_expires_at",
            ];
            let mut event = json!({
                "audit_id": footer, "timestamp": "2026-03-03T14:23:05Z", "event_kind": kind,
                "agent_id": agent, "approve_url": approve, "deny_url": deny, "footer": footer,
            });
            for (name, value) in names.iter().zip(fields) {
                event[name] = value;
            }
            event
        },
    )
}

pub(super) type Checked = (&'static Preset, Vec<Choice>, fn(&Value));

/// Compiled once: that takes longer than all else here.
pub(super) static MESSAGES_OF_ALL: LazyLock<Vec<Checked>> = LazyLock::new(|| {
    let rows: [(_, _, fn(&Value)); 6] = [
        ("slack", Some("attachments"), slack),
        ("slack", Some("blocks"), slack),
        ("discord", None, discord),
        ("teams", None, teams),
        ("pagerduty", None, pagerduty),
        ("openclaw", None, |_| ()),
    ];
    let made = rows.into_iter().map(|(name, style, check)| {
        let preset = named(name).unwrap();
        (preset, bodies(preset, style), check)
    });
    made.collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_event_makes_a_message_within_bounds(event_text in strange_event()) {
        let event = event(&event_text);
        for (preset, bodies, check) in &*MESSAGES_OF_ALL {
            check(&message(preset, bodies, &event));
        }
    }
}

pub(super) fn apply(platform: &str, body: &Value) -> Value {
    let text = body.to_string();
    let applied = named(platform).unwrap().limits().unwrap().apply(&text).unwrap();
    serde_json::from_str(&applied).unwrap_or_else(|error| panic!("{error}: {applied}"))
}

#[test]
fn bodies_of_users_are_bounded_too() {
    let field = |n: usize| json!({"name": format!("f{n}"), "value": "v".repeat(1100)});
    let fields: Vec<_> = (0..40).map(field).collect();
    let embed = json!({"title": "t".repeat(300), "fields": fields});
    let cut = apply("discord", &json!({"embeds": vec![embed; 12], "content": "c".repeat(2001)}));
    assert_eq!(cut["allowed_mentions"], json!({"parse": []}));
    let embeds = cut["embeds"].as_array().unwrap();
    assert_eq!((embeds.len(), &embeds[9]), (10, &json!({"description": "and 3 more"})));
    let fields = embeds[0]["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 25);
    assert_eq!(fields[24]["value"], "and 16 more");
    assert!(cut["content"].as_str().unwrap().ends_with(" more characters)"));
    let mut sum = 0;
    for embed in embeds {
        sum += embed["title"].as_str().map_or(0, units);
        sum += embed["description"].as_str().map_or(0, units);
        for field in embed["fields"].as_array().into_iter().flatten() {
            sum += units(field["name"].as_str().unwrap()) + units(field["value"].as_str().unwrap());
        }
    }
    assert!(sum <= 6000, "{sum}");

    let block = json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(200)}});
    let cut = apply("slack", &json!({"blocks": vec![block; 51]}));
    let blocks = cut["blocks"].as_array().unwrap();
    assert_eq!((blocks.len(), &blocks[49]["type"]), (50, &json!("context")));
    assert!(units(blocks[0]["text"]["text"].as_str().unwrap()) <= 150);

    let long = json!({"dedup_key": "k".repeat(300), "payload": {"severity": "warn", "summary": "",
        "custom_details": {"x": "y".repeat(600_000)}}});
    let cut = apply("pagerduty", &long);
    assert_eq!(cut["payload"]["severity"], "warning");
    assert_eq!(cut["payload"]["summary"], "(no summary)");
    assert_eq!(cut["payload"]["custom_details"], json!({"truncated": true, "bytes": 600_008}));
    assert_eq!(cut["dedup_key"].as_str().unwrap().len(), 64);

    let card =
        json!({"text": "x".repeat(50_000), "other": "é".repeat(30_000), "url": "u".repeat(900)});
    let cut = apply("teams", &card);
    assert!(cut.to_string().len() <= 20_000);
    assert_eq!(cut["url"], card["url"]);
    let hopeless = json!({"url": "u".repeat(30_000)}).to_string();
    let error = named("teams").unwrap().limits().unwrap().apply(&hopeless).unwrap_err();
    assert_eq!(error, "the body has 30,010 bytes, more than the platform's 20,000");
}

#[test]
fn what_is_within_its_bounds_is_not_touched() {
    let body = r#"{ "payload": {"summary": "x", "custom_details": {"n": 1e400, "n": 1.10}} }"#;
    let applied = named("pagerduty").unwrap().limits().unwrap().apply(body).unwrap();
    assert!(matches!(applied, std::borrow::Cow::Borrowed(_)));
    let long = body.replace("\"x\"", &format!("\"{}\"", "x".repeat(2000)));
    let applied = named("pagerduty").unwrap().limits().unwrap().apply(&long).unwrap();
    assert!(applied.ends_with(r#""custom_details": {"n": 1e400, "n": 1.10}} }"#), "{applied}");
}

/// On the top and in an attachment.
#[test]
fn ids_of_slacks_blocks_are_bounded() {
    let blocks = |length: usize| {
        let id = "i".repeat(length);
        let button = json!({"type": "button", "action_id": id, "value": "v".repeat(length * 8),
            "text": {"type": "plain_text", "text": "b"}});
        let plain = json!({"type": "plain_text", "text": "t"});
        json!([
            {"type": "header", "block_id": id, "text": plain},
            {"type": "section", "block_id": id, "text": plain, "accessory": button},
            {"type": "context", "block_id": id, "elements": [plain]},
            {"type": "actions", "block_id": id, "elements": [button]},
            {"type": "image", "block_id": id, "alt_text": "a"},
            {"type": "markdown", "block_id": id, "text": "t"},
            {"type": "rich_text", "block_id": id, "elements": []},
            {"type": "divider", "block_id": id},
            {"type": "video", "block_id": id},
        ])
    };
    let ids = |cut: &Value| {
        let of_block = |block: &Value| {
            let inner = [&block["accessory"], &block["elements"][0]];
            let actions = inner.iter().filter_map(|button| button["action_id"].as_str());
            let ids = block["block_id"].as_str().into_iter().chain(actions);
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        cut.as_array().unwrap().iter().flat_map(of_block).collect::<Vec<_>>()
    };
    for (length, kept) in [(1, 1), (255, 255), (256, 64), (400, 64)] {
        let blocks = blocks(length);
        let cut = apply("slack", &json!({"blocks": blocks, "attachments": [{"blocks": blocks}]}));
        for cut in [&cut["blocks"], &cut["attachments"][0]["blocks"]] {
            let ids = ids(cut);
            assert_eq!(ids.len(), 11, "{cut}");
            assert!(ids.iter().all(|id| id.len() == kept), "{length}: {ids:?}");
            let value = cut[1]["accessory"]["value"].as_str().unwrap();
            assert!(units(value) <= 2000, "{length}");
        }
    }
    let block = json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(200)}});
    let cut = apply("slack", &json!({"attachments": [{"blocks": vec![block; 51]}]}));
    let blocks = cut["attachments"][0]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 50);
    assert!(units(blocks[0]["text"]["text"].as_str().unwrap()) <= 150);
}
