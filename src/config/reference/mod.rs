//! The keys described: a JSON Schema for editors and a page for people. Both are written from the
//! doc comments in `keys`, by a test that says when they are stale; the program holds them as text,
//! without what writes them.

use serde_json::Value;

#[cfg(test)]
mod write;

/// The JSON Schema of a configuration, draft 2020-12.
pub const JSON_SCHEMA: &str = include_str!("../../../docs/configuration.schema.json");

/// The reference page of a configuration, in Markdown.
pub const MARKDOWN: &str = include_str!("../../../docs/configuration.md");

/// Whether the value at the end of a way may be text. Indexes and names in lists are steps of
/// their own; what no key knows takes text.
pub(super) fn takes_text(way: &[String]) -> bool {
    // The tests see that it is JSON.
    let schema = Schema(serde_json::from_str(JSON_SCHEMA).unwrap_or_default());
    let mut here = vec![&schema.0];
    for step in way {
        here = here.into_iter().flat_map(|value| schema.below(value, step)).collect();
    }
    here.is_empty() || here.into_iter().any(|value| schema.is_text(value))
}

/// A JSON Schema, whole.
struct Schema(Value);

impl Schema {
    /// What a value may be, by `anyOf`, `oneOf` and `$ref`.
    fn variants<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = &'a Value> {
        let named = value.get("$ref").and_then(Value::as_str);
        let named = named.and_then(|name| self.0.pointer(name.strip_prefix('#')?));
        let listed = ["anyOf", "oneOf"].into_iter().filter_map(|of| value.get(of)?.as_array());
        listed.flatten().chain(named)
    }

    fn below<'a>(&'a self, value: &'a Value, step: &str) -> Vec<&'a Value> {
        let property = value.get("properties").and_then(|properties| properties.get(step));
        let item = value.get("items").filter(|_| step.bytes().all(|b| b.is_ascii_digit()));
        let member = value.get("additionalProperties").filter(|values| values.is_object());
        let mut found: Vec<_> = property.or(item).or(member).into_iter().collect();
        found.extend(self.variants(value).flat_map(|variant| self.below(variant, step)));
        found
    }

    fn is_text(&self, value: &Value) -> bool {
        let named = match value.get("type") {
            Some(Value::String(kind)) => kind == "string",
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
            _ => false,
        };
        let word = |value: &Value| value.is_string();
        let mut words = value.get("enum").and_then(Value::as_array).into_iter().flatten();
        // A variable alone is no text.
        (named && value.get("pattern").is_none())
            || words.any(word)
            || value.get("const").is_some_and(word)
            || self.variants(value).any(|variant| self.is_text(variant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keys_are_known() {
        for (way, text) in [
            ("exports.0.webhook.url", true),
            ("exports.0.webhook.headers.X-A", true),
            ("exports.0.webhook.body_template", true),
            ("defaults.webhook.body_template", true),
            ("admin.listen", true),
            ("admin", false),
            ("admin.tokens", false),
            ("exports.0.enabled", false),
            ("exports.0.retry", false),
            ("exports.0.retry.retry_on", false),
            ("exports.0.retry.retry_on.1", true),
            ("exports.0.filters.when", false),
            ("exports.0.filters.when.a", false),
            ("log.level", true),
            ("shutdown_grace", true),
            ("nonsense", true),
        ] {
            let steps: Vec<String> = way.split('.').map(str::to_owned).collect();
            assert_eq!(takes_text(&steps), text, "{way}");
        }
    }
}
