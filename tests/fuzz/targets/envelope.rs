//! A line as an event: the reader in place against serde_json, verdict and values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider::event::json::{Json, Kind, MAX_DEPTH};
use postrider::schema::Schema;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// How deep a text nests at most, whatever stands in its strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut inside, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Rebuilds a tree from what is found in place.
fn tree(json: Json<'_>) -> Option<Value> {
    Some(match json.kind() {
        Kind::Array => json.items().map(tree).collect::<Option<_>>()?,
        Kind::Object => {
            let entries = json.entries();
            Value::Object(
                entries
                    .map(|(key, value)| Some((key.into_owned(), tree(value)?)))
                    .collect::<Option<_>>()?,
            )
        }
        Kind::String => json.as_str()?.into(),
        // None for a number that serde_json has no room for.
        _ => serde_json::from_str(json.text()).ok()?,
    })
}

/// What a field of the envelope is taken for: text, or the digits of a number.
fn scalar(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'[' | b'{' | b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ours = Json::check(text);
    let schema = Schema::default();
    let read = schema.read(text);
    if depth(text) >= MAX_DEPTH {
        // serde_json gives up one level earlier; here it is enough to survive.
        return;
    }
    let theirs = serde_json::from_str::<Value>(text);
    if theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
        // serde_json has no room for that number, and looked no further.
        assert!(ours.is_err() || serde_json::from_str::<&RawValue>(text).is_ok(), "{ours:?}");
    } else {
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?} {theirs:?}");
    }
    if let (Ok(ours), Ok(theirs)) = (ours, &theirs) {
        assert_eq!(tree(ours).as_ref(), Some(theirs));
    }
    let fields = serde_json::from_str::<HashMap<String, Box<RawValue>>>(text);
    let (Ok((json, envelope)), Ok(fields)) = (&read, &fields) else {
        let object = ours.is_ok_and(|json| json.kind() == Kind::Object);
        assert_eq!(read.is_ok(), object, "{read:?}");
        return;
    };
    assert_eq!(json.text(), text.trim_matches([' ', '\t', '\n', '\r']));
    let field = |name: &str| fields.get(name).and_then(|raw| scalar(raw));
    let filled = |name| field(name).filter(|text| !text.is_empty());
    assert_eq!(envelope.audit_id.as_deref(), filled("audit_id").as_deref());
    assert_eq!(envelope.timestamp.is_some(), filled("timestamp").is_some());
    assert_eq!(envelope.event_kind, filled("event_kind").unwrap_or("unknown".to_owned()));
    assert_eq!(envelope.agent_id, field("agent_id").unwrap_or_default());
});
