//! The reference of events: the envelope of the `postrider` schema, for people and for programs.

use serde_json::{Value, json};
use std::fmt::Write;

/// A field of the envelope: name, what it means, and what stands in where it is missing.
const FIELDS: &[(&str, &str, &str)] = &[
    ("audit_id", "the event's own id", "`pr_` and a hash of the event's position"),
    (
        "timestamp",
        "when it happened (RFC 3339); a number is s, ms, µs or ns by its size",
        "the time of acceptance",
    ),
    ("event_kind", "what happened", "`unknown`"),
    (
        "severity",
        "how bad it is: debug, info, notice, warn, error, critical, alert, emergency in any usual spelling, or a syslog number 0 to 7",
        "the source's default, `info`",
    ),
    ("agent_id", "who did it", "empty"),
];

/// The schema of an event, JSON Schema 2020-12.
pub fn json_schema() -> String {
    let properties: serde_json::Map<String, Value> = FIELDS
        .iter()
        .map(|(name, meaning, missing)| {
            let description = format!("{meaning}. Missing: {missing}.");
            (
                (*name).to_owned(),
                json!({ "type": ["string", "number", "null"], "description": description }),
            )
        })
        .collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An audit event of the postrider schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": true,
    });
    format!("{schema:#}\n")
}

/// The reference page `docs/events.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Events\n\n\
         Printed by `postrider schema event --format markdown`; do not edit.\n\n\
         An event is one JSON object. Its text is carried byte for byte; these fields of it, the envelope, are what\n\
         filters, templates and headers know by name. A source's `event:` says where another format keeps them.\n\
         None is required; of repeated keys the last counts; a value that is no string, number or boolean counts as\n\
         missing. A severity that no table knows is `unknown`: it passes every `min_severity` and is counted.\n\n\
         A line is malformed, and becomes what its source's `malformed` says, where it is no JSON object (RFC 8259), not\n\
         UTF-8, nests deeper than 128 lists and maps, or has a lone surrogate among its escapes (`\\ud800` with no\n\
         `\\udc00` to `\\udfff` behind it), which stands for no character.\n\n\
         | field | meaning | missing |\n|---|---|---|\n",
    );
    for (name, meaning, missing) in FIELDS {
        let _ = writeln!(page, "| `{name}` | {meaning} | {missing} |");
    }
    page.push_str(
        "\n## Own events\n\n\
         `webhook.dlq` is raised by the source `internal` for each dead letter, in one transaction with it, and is\n\
         routed like any other event: an export takes it with `event_kinds: [webhook.dlq]`. It never goes to the\n\
         export that it is about, and a `webhook.dlq` event that becomes a dead letter itself raises no further one.\n\
         Of one export and reason the first ten in a minute are raised singly, the rest of that minute as one with\n\
         `count`, `first_id` and `last_id`. Beside the envelope it has `export` (null for a line that is not an\n\
         event), `source`, `dead_letter_id`, `reason`, `attempts`, `last_status`, `last_error`, `response` and\n\
         `event`, the envelope of the event that is dead.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            file,
            markdown(),
            "run: cargo run -- schema event --format markdown > docs/events.md"
        );
    }
}
