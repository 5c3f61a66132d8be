//! The reader of JSON against tables and against serde_json.

use super::*;
use proptest::prelude::*;

#[test]
fn texts_that_are_and_are_not_json() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for (text, good) in [
        ("{}", true),
        (" {\"a\" : [1, 2.5e-3, -0, true, null, \"x\"] }\r", true),
        ("1e400", true),
        ("18446744073709551616", true),
        (r#""é😀""#, true),
        (r#""\ud83d""#, false),
        (r#""\ude00""#, false),
        (r#""\ud83d\u0041""#, false),
        ("\"\\u00g0\"", false),
        ("\"a\nb\"", false),
        ("\"a\u{0}b\"", false),
        ("{\"a\":1,}", false),
        ("{a:1}", false),
        ("[1 2]", false),
        ("01", false),
        ("1.", false),
        ("-", false),
        ("nul", false),
        ("", false),
        ("{} {}", false),
        ("{\"a\":1", false),
        (&deep(128), true),
        (&deep(129), false),
    ] {
        assert_eq!(Json::check(text).is_ok(), good, "{text}");
    }
}

#[test]
fn what_is_not_an_object_is_named() {
    let error = |text| Json::check_object(text, |_| ()).unwrap_err().to_string();
    assert_eq!(error("[1]"), "an array where an object is due at column 1");
    assert_eq!(error("{\"a\":}"), "expected a value at column 6");
    assert_eq!(error("{\"a\""), "unexpected end at column 5");
}

#[test]
fn values_are_found_and_keep_their_text() {
    let text = r#"{"a": {"b": [10, 1e400, {"c":"x\ty"}]}, "a\u002fb": true, "r":1, "r":2}"#;
    let root = Json::check(text).unwrap();
    let b = root.get("a").and_then(|a| a.get("b")).unwrap();
    assert_eq!(b.text(), r#"[10, 1e400, {"c":"x\ty"}]"#);
    assert_eq!(b.index(1).unwrap().text(), "1e400");
    assert_eq!(b.index(2).unwrap().get("c").unwrap().as_str().unwrap(), "x\ty");
    assert_eq!(b.index(3), None);
    assert_eq!(root.get("a/b").unwrap().kind(), Kind::Bool);
    assert_eq!(root.get("r").unwrap().text(), "2", "the last of repeated keys");
    assert_eq!(root.get("none"), None);
    assert_eq!(root.entries().count(), 4);
}

/// Text that is nearly JSON: what differs between two readers hides there.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"",
        "\\",
        "\\u",
        "00",
        "d83d",
        "\\ud83d\\ude00",
        "1",
        "-",
        ".",
        "e",
        "E+",
        "true",
        "null",
        " ",
        "\n",
        "\u{1}",
        "é",
        "0",
        "x",
        "\"long enough for a word\"",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Rebuilds a tree from what [`Json`] finds, to compare with serde_json's own.
fn tree(json: Json<'_>) -> serde_json::Value {
    match json.kind() {
        Kind::Array => json.items().map(tree).collect(),
        Kind::Object => {
            json.entries().map(|(key, value)| (key.into_owned(), tree(value))).collect()
        }
        Kind::String => json.as_str().unwrap().into(),
        _ => serde_json::from_str(json.text()).unwrap(),
    }
}

proptest! {
    #[test]
    fn gives_the_verdict_of_serde_json(text in nearly_json()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert_eq!(Json::check(&text).is_ok(), theirs.is_ok() || too_large, "{}", text);
    }

    #[test]
    fn finds_what_serde_json_finds(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(tree(Json::check(&text).unwrap()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
}
