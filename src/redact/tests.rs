//! Whole events: fields, categories, limits and envelopes, by tables and by properties.

use super::{Category, FieldPath, Json, MASK, Redaction, hash};
use crate::event::{Event, Origin, Position, Severity, StreamId, Text};
use jiff::Timestamp;
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn all() -> BTreeSet<Category> {
    [Category::Secrets, Category::Email, Category::Phone, Category::Financial].into()
}

fn fields(texts: &[&str], strategy: super::Strategy) -> Redaction {
    Redaction::new(paths(texts), BTreeSet::new(), strategy)
}

fn categories(strategy: super::Strategy) -> Redaction {
    Redaction::new(Vec::new(), all(), strategy)
}

#[track_caller]
fn text(redaction: &Redaction, json: &str) -> String {
    let redacted = redaction.text(Json::check(json).unwrap());
    let redacted = redacted.unwrap_or_else(|| json.to_owned());
    Json::check(&redacted).unwrap_or_else(|error| panic!("{redacted}: {error}"));
    redacted
}

#[test]
fn fields_are_masked_removed_and_hashed() {
    use super::Strategy::{Hash, Mask, Remove};
    for (strategy, path, json, expected) in [
        (
            Mask,
            "a.b",
            r#"{ "a" : {"b" : 1e400 , "c":2}, "b":3 }"#,
            r#"{ "a" : {"b" : "***" , "c":2}, "b":3 }"#,
        ),
        (Mask, "a", r#"{"a":{"b":[1,{"c":2}]},"b":3}"#, r#"{"a":"***","b":3}"#),
        (
            Mask,
            "a",
            r#"{"a":1,"b":2,"a":null,"\u0061":"x"}"#,
            r#"{"a":"***","b":2,"a":"***","\u0061":"***"}"#,
        ),
        (Mask, "a.b", r#"{"a":{"b":1},"a":{"b":2}}"#, r#"{"a":{"b":"***"},"a":{"b":"***"}}"#),
        (Mask, "a.1", r#"{"a":[1, 2 ,3]}"#, r#"{"a":[1, "***" ,3]}"#),
        (Mask, "a.1.x", r#"{"a":[{"x":1},{"x":2}]}"#, r#"{"a":[{"x":1},{"x":"***"}]}"#),
        (
            Mask,
            "/a.b/c~1d",
            r#"{"a.b":{"c/d":1},"a":{"b":2}}"#,
            r#"{"a.b":{"c/d":"***"},"a":{"b":2}}"#,
        ),
        (Mask, "a.x", r#"{"a":[{"x":1}]}"#, r#"{"a":[{"x":1}]}"#),
        (Mask, "a.b", r#"{"a":"b"}"#, r#"{"a":"b"}"#),
        (Remove, "a", r#"{"a":1}"#, "{}"),
        (Remove, "a", r#"{ "a" : 1 , "b":2}"#, r#"{ "b":2}"#),
        (Remove, "a", r#"{"b":2 , "a": 1 }"#, r#"{"b":2 }"#),
        (Remove, "a", r#"{"a":1,"a":2,"b":3,"a":4,"a":5,"c":6,"a":7}"#, r#"{"b":3,"c":6}"#),
        (Remove, "a", r#"{"a":1, "a":2}"#, "{}"),
        (Remove, "x.1", r#"{"x":[1,2,3]}"#, r#"{"x":[1,null,3]}"#),
        (Hash, "a", r#"{"a":"abc"}"#, r#"{"a":"sha256:ba7816bf8f01cfea"}"#),
        (Hash, "a", r#"{"a":"\u0061bc"}"#, r#"{"a":"sha256:ba7816bf8f01cfea"}"#),
        (Hash, "a", r#"{"a":1}"#, r#"{"a":"sha256:6b86b273ff34fce1"}"#),
    ] {
        let redaction = fields(&[path], strategy);
        let redacted = text(&redaction, json);
        assert_eq!(redacted, expected, "{strategy:?} {path} of {json}");
        assert_eq!(text(&redaction, &redacted), redacted, "again: {strategy:?} {path} of {json}");
    }
}

#[test]
fn several_fields_of_one_object() {
    let redaction = fields(&["a.b", "a", "c", "c.d", "e.1", "e.01"], super::Strategy::Mask);
    let json = r#"{"a":{"b":1},"c":{"d":1},"e":[0,1],"e":{"01":1,"1":1,"2":1}}"#;
    assert_eq!(
        text(&redaction, json),
        r#"{"a":"***","c":"***","e":[0,"***"],"e":{"01":"***","1":"***","2":1}}"#
    );
    let redaction = fields(&["a", "b", "d"], super::Strategy::Remove);
    assert_eq!(text(&redaction, r#"{"a":1,"b":2,"c":3,"d":4}"#), r#"{"c":3}"#);
}

#[test]
fn categories_replace_only_what_belongs_to_them() {
    use super::Strategy::{Hash, Mask, Remove};
    for (strategy, json, expected) in [
        (Mask, r#"{"m":"to ada@example.com, now"}"#, r#"{"m":"to ***, now"}"#),
        (Mask, r#"{"m":"a\tada\u0040example.com\n\"x\""}"#, r#"{"m":"a\t***\n\"x\""}"#),
        (Mask, r#"{"m":"\ud83d\ude00 ada@example.com\u00e9"}"#, r#"{"m":"\ud83d\ude00 ***"}"#),
        (Mask, r#"{"m":"https:\/\/u:p4ss@h\/x"}"#, r#"{"m":"https:\/\/u:***@h\/x"}"#),
        (Mask, r#"{"m":["x",{"n":"a@b.de"},"b@c.de"]}"#, r#"{"m":["x",{"n":"***"},"***"]}"#),
        (
            Mask,
            r#"{"password":"x","n":{"Api-Key":"y","apikey":["z",1,{"q":"r"}]}}"#,
            r#"{"password":"***","n":{"Api-Key":"***","apikey":["***","***",{"q":"r"}]}}"#,
        ),
        (Mask, r#"{"p\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"***"}"#),
        (
            Mask,
            r#"{"password":"","token":null,"secret":true,"tokens":5}"#,
            r#"{"password":"","token":null,"secret":true,"tokens":5}"#,
        ),
        (Mask, r#"{"authorization":"Bearer abc"}"#, r#"{"authorization":"***"}"#),
        (
            Mask,
            r#"{"card":4111111111111111,"at":1713348903042}"#,
            r#"{"card":"***","at":1713348903042}"#,
        ),
        (Mask, r#"{"ada@example.com":1}"#, r#"{"ada@example.com":1}"#),
        (Mask, r#"{"m":"{\"password\":\"p\"}"}"#, r#"{"m":"{\"password\":\"***\"}"}"#),
        (
            Remove,
            r#"{"m":"to ada@example.com, now","password":"x"}"#,
            r#"{"m":"to , now","password":""}"#,
        ),
        (
            Hash,
            r#"{"m":"a@b.de","secret":"abc"}"#,
            r#"{"m":"sha256:8f8a2f63af6f5fe9","secret":"sha256:ba7816bf8f01cfea"}"#,
        ),
    ] {
        let redaction = categories(strategy);
        let expected = expected.replace("sha256:8f8a2f63af6f5fe9", &hash("a@b.de"));
        let redacted = text(&redaction, json);
        assert_eq!(redacted, expected, "{strategy:?} {json}");
        assert_eq!(text(&redaction, &redacted), redacted, "again: {strategy:?} {json}");
    }
}

#[test]
fn nothing_to_replace_is_told_apart() {
    let redaction = Redaction::new(paths(&["x.y"]), all(), super::Strategy::Mask);
    for json in ["{}", r#"{"x":1,"m":"policy_block on myapp/main","t":"2026-04-17T10:15:03.042Z"}"#]
    {
        assert_eq!(redaction.text(Json::check(json).unwrap()), None, "{json}");
    }
    assert!(matches!(redaction.plain("HTTP 503"), Cow::Borrowed("HTTP 503")));
    assert_eq!(redaction.plain("no user ada@example.com"), "no user ***");
}

#[test]
fn fields_that_are_too_long_are_cut_off() {
    let limits = |list: &[(&str, usize)]| {
        list.iter().map(|(path, bytes)| (path.parse().unwrap(), *bytes)).collect::<Vec<_>>()
    };
    let plain = fields(&[], super::Strategy::Mask);
    for (limit, json, expected) in [
        (("p", 5), r#"{"p":"abc","q":"abcdefgh"}"#, r#"{"p":"abc","q":"abcdefgh"}"#),
        (("p", 5), r#"{"p": "abcd" }"#, r#"{"p": {"truncated":true,"bytes":6} }"#),
        (("p", 5), r#"{"p":[1, 2]}"#, r#"{"p":{"truncated":true,"bytes":6}}"#),
        (
            ("p.q", 1),
            r#"{"p":{"q":12},"p":{"q":1}}"#,
            r#"{"p":{"q":{"truncated":true,"bytes":2}},"p":{"q":1}}"#,
        ),
        (("p.0", 1), r#"{"p":[12,12]}"#, r#"{"p":[{"truncated":true,"bytes":2},12]}"#),
    ] {
        let redaction = plain.clone().with_limits(limits(&[limit]));
        let redacted = text(&redaction, json);
        assert_eq!(redacted, expected, "{limit:?} {json}");
        assert_eq!(text(&redaction, &redacted), redacted, "again: {limit:?} {json}");
    }
    // What counts is the length after redaction.
    let redaction = fields(&["p.a"], super::Strategy::Mask).with_limits(limits(&[("p", 20)]));
    let long = format!(r#"{{"p":{{"a":"{}"}}}}"#, "x".repeat(100));
    assert_eq!(text(&redaction, &long), r#"{"p":{"a":"***"}}"#);
    let long = format!(r#"{{"p":{{"a":1,"b":"{}"}}}}"#, "x".repeat(20));
    assert_eq!(text(&redaction, &long), r#"{"p":{"truncated":true,"bytes":38}}"#);
}

#[test]
fn what_stands_for_a_redacted_field_is_limited_too() {
    use super::Strategy::{Hash, Mask, Remove};
    let hashed = r#"{"p":"sha256:ba7816bf8f01cfea"}"#;
    for (strategy, path, limit, json, expected) in [
        (Mask, "p", 5, r#"{"p":"abcdefgh"}"#, r#"{"p":"***"}"#),
        (Mask, "p", 4, r#"{"p":"abcdefgh"}"#, r#"{"p":{"truncated":true,"bytes":5}}"#),
        (Mask, "p", 4, r#"{"p":1,"q":2}"#, r#"{"p":{"truncated":true,"bytes":5},"q":2}"#),
        (Mask, "p", 4, r#"{"p":"***"}"#, r#"{"p":{"truncated":true,"bytes":5}}"#),
        (Mask, "p.0", 4, r#"{"p":["a","b"]}"#, r#"{"p":[{"truncated":true,"bytes":5},"b"]}"#),
        (Hash, "p", 25, r#"{"p":"abc"}"#, hashed),
        (Hash, "p", 24, r#"{"p":"abc"}"#, r#"{"p":{"truncated":true,"bytes":25}}"#),
        (Remove, "p", 1, r#"{"p":"abc","q":1}"#, r#"{"q":1}"#),
        (Remove, "p.0", 4, r#"{"p":["a",1]}"#, r#"{"p":[null,1]}"#),
    ] {
        let limits = vec![(path.parse().unwrap(), limit)];
        let redaction = fields(&[path], strategy).with_limits(limits);
        let redacted = text(&redaction, json);
        assert_eq!(redacted, expected, "{strategy:?} {path} {limit} of {json}");
        assert_eq!(text(&redaction, &redacted), redacted, "again: {strategy:?} {limit} of {json}");
    }
}

fn event(json: &str, id: &str, kind: &str, agent: &str) -> Arc<Event> {
    Arc::new(Event {
        text: Text::check(json.to_owned()).unwrap(),
        audit_id: id.into(),
        timestamp: "2026-04-17T10:15:03Z".into(),
        event_kind: kind.into(),
        severity: Severity::Error,
        agent_id: agent.into(),
        origin: Origin {
            source: "app".into(),
            position: Position { stream: StreamId::from_bytes([1; 16]), offset: 0, index: 0 },
            accepted_at: Timestamp::from_second(1_763_670_000).unwrap(),
        },
        about: None,
    })
}

#[test]
fn an_envelope_tells_nothing_that_was_redacted() {
    let json = r#"{"id":"run for ada@example.com","ts":"2026-04-17T10:15:03Z","who":{"n":"ada"},"kind":"login ada@example.com"}"#;
    let given = event(json, "run for ada@example.com", "login ada@example.com", "ada");
    let redaction = Redaction::new(paths(&["who", "ts"]), all(), super::Strategy::Mask);
    let redacted = redaction.event(&given);
    assert!(redacted.audit_id.starts_with("pr_"), "each keeps its own: {}", redacted.audit_id);
    assert_eq!(&*redacted.timestamp, "2025-11-20T20:20:00.000Z");
    assert_eq!((&*redacted.event_kind, &*redacted.agent_id), ("login ***", "***"));
    let redaction = Redaction::new(paths(&["who"]), all(), super::Strategy::Hash);
    let redacted = redaction.event(&given);
    assert_eq!(*redacted.audit_id, *format!("run for {}", hash("ada@example.com")));
    assert_eq!(*redacted.agent_id, *hash("ada"));
}

#[test]
fn a_time_that_was_redacted_is_not_told_in_another_form() {
    let time = |json: &str, path: &str| {
        let redaction = Redaction::new(paths(&[path]), all(), super::Strategy::Mask);
        redaction.event(&event(json, "ae_1", "login", "ada")).timestamp.to_string()
    };
    for json in [
        r#"{"ts":1776420903}"#,
        r#"{"ts":"1776420903000"}"#,
        r#"{"ts":"2026-04-17T12:15:03+0200"}"#,
        r#"{"ts":"Apr 17 2026 12:15:03"}"#,
    ] {
        assert_eq!(time(json, "ts"), "2025-11-20T20:20:00.000Z", "{json}");
    }
    let other = r#"{"ts":1776420903,"until":1776424503}"#;
    assert_eq!(time(other, "until"), "2026-04-17T10:15:03Z");
}

#[test]
fn an_event_without_anything_to_replace_is_shared() {
    let given = event(r#"{"who":"ada"}"#, "ae_1", "login", "ada");
    let redaction = Redaction::new(paths(&["x"]), all(), super::Strategy::Mask);
    assert!(Arc::ptr_eq(&given, &redaction.event(&given)));
    // A short value that stands in an id by chance does not touch it.
    let redaction = fields(&["n"], super::Strategy::Mask);
    let redacted = redaction.event(&event(r#"{"n":1}"#, "ae_1", "login", "ada"));
    assert_eq!((&*redacted.audit_id, redacted.text.as_str()), ("ae_1", r#"{"n":"***"}"#));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(vec!["a", "b", "c", "0", "password", "api_key", "é"]);
    let word = prop::sample::select(vec![
        "ada@example.com",
        "+49 151 12345678",
        "4111111111111111",
        "password=x",
        "Bearer abc123DEF",
        "***",
        "plain",
        "\"",
        "\\",
        "\n",
        "é",
        "\u{1F600}",
        " ",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        prop::collection::vec(word, 0..4).prop_map(|words| words.concat().into()),
        any::<String>().prop_map(Into::into),
    ];
    let tree = leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| {
                serde_json::Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    });
    prop::collection::vec(tree, 1..4).prop_map(|trees| {
        serde_json::Value::Object(
            trees.into_iter().zip(["a", "b", "c"]).map(|(v, k)| (k.to_owned(), v)).collect(),
        )
    })
}

/// The tree with the fields masked, repeated nowhere.
fn masked(value: &mut serde_json::Value, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else {
        *value = MASK.into();
        return;
    };
    let next = match value {
        serde_json::Value::Object(map) => map.get_mut(*first),
        serde_json::Value::Array(list) => {
            first.parse().ok().and_then(|index: usize| list.get_mut(index))
        }
        _ => None,
    };
    if let Some(next) = next {
        masked(next, rest);
    }
}

fn strategies() -> impl Strategy<Value = super::Strategy> {
    prop::sample::select(vec![
        super::Strategy::Mask,
        super::Strategy::Remove,
        super::Strategy::Hash,
    ])
}

proptest! {
    #[test]
    fn fields_are_masked_as_in_a_tree(value in any_json(), pretty: bool) {
        let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let redacted = text(&fields(&["a.b", "b.0", "c"], super::Strategy::Mask), &json);
        let mut expected = value;
        for path in [&["a", "b"][..], &["b", "0"], &["c"]] {
            masked(&mut expected, path);
        }
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&redacted).unwrap(), expected);
    }

    #[test]
    fn every_result_is_json_and_masking_twice_changes_nothing(value in any_json(), strategy in strategies(), limit in 0..64usize) {
        let json = serde_json::to_string(&value).unwrap();
        let limits = vec![("b.a".parse().unwrap(), limit), ("c".parse().unwrap(), limit)];
        let redaction = Redaction::new(paths(&["a.a", "a.0", "b.c"]), all(), strategy);
        let redacted = text(&redaction, &json);
        text(&redaction.clone().with_limits(limits), &json);
        if strategy == super::Strategy::Mask {
            prop_assert_eq!(text(&redaction, &redacted), redacted);
        }
    }

    #[test]
    fn of_plain_texts_masking_twice_changes_nothing_where_words_stand_apart(words in prop::collection::vec(prop::sample::select(vec![
        "ada@example.com", "+49 151 12345678", "4111111111111111", "password=", "x", "Bearer abc123DEF", "***", ".", "@", " ",
        "-", "030 1234567", "DE89370400440532013000", "https://u:p@h", "token: ", "\"", "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    ]), 0..8)) {
        let redaction = categories(super::Strategy::Mask);
        // What runs into a mask may be seen for what it is only then.
        let once = redaction.plain(&format!("<{}>", words.join("> <"))).into_owned();
        prop_assert_eq!(redaction.plain(&once), once.as_str());
    }
}
