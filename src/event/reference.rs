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
         The source `internal` raises them, and they are routed like any other event: an export takes them with\n\
         `event_kinds: [\"webhook.*\"]`. None goes to the export that it is about.\n\n\
         | `event_kind` | raised | `severity` | `audit_id` |\n\
         |---|---|---|---|\n\
         | `webhook.dlq` | for each dead letter, in one transaction with it | error | `dlq_<id>`, after replays in vain `dlq_<id>_<how many>` |\n\
         | `webhook.paused` | an endpoint is gone (`on_gone: pause`), or somebody paused the export | error | `paused_<number>` |\n\
         | `webhook.resumed` | that is over: by a 2xx, by hand, or by another `url` or `authentication` | notice | `resumed_<number>` |\n\
         | `webhook.down` | the `breaker` holds first attempts to an endpoint back | error | `down_<number>` |\n\
         | `webhook.up` | that is over, in the same ways; not where the endpoint was paused meanwhile | notice | `up_<number>` |\n\n\
         `webhook.dlq` has the `agent_id` of the event that is dead, and beside the envelope `export` (null for a line that\n\
         is not an event), `source`, `dead_letter_id`, `reason`, `attempts`, `last_status`, `last_error`, `response` and\n\
         `event`: `audit_id`, `timestamp`, `event_kind` and `severity` of that event, null for a line. One that becomes a\n\
         dead letter itself raises no further one. Of one export and reason the first ten in a minute are raised singly,\n\
         the rest of that minute as one, `dlq_fold_<number>`, at its end or when postrider stops: that has no `agent_id`\n\
         and no `source`, but `export`, `reason`, `count`, `first_id` and `last_id`, the lowest and highest of their ids.\n\n\
         The other four have an empty `agent_id`, and beside the envelope `export`, `reason` and `last_status`. `reason` is\n\
         what shut the endpoint (`the receiver is gone`, `the receiver fails`, `paused by hand`), or `resumed by hand`;\n\
         `last_status`, in `webhook.paused` and `webhook.down`, is that of the answer which shut it, else null. Which of an\n\
         export's endpoints it is they do not say, for its path can be a secret.\n",
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
