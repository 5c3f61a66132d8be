//! Dead letters as people and programs read them.

use crate::cli::table::{cell, lay_out};
use crate::store::{Stat, StoredLetter};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn word(text: Option<&str>) -> String {
    text.map_or("-".to_owned(), |text| cell(text, 40))
}

/// A table, one line a letter.
pub(super) fn table(letters: &[StoredLetter]) -> String {
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            let envelope = letter.envelope.as_ref();
            vec![
                letter.id.to_string(),
                format!("{:.0}", letter.created_at),
                word(letter.export.as_deref()),
                letter.reason.as_str().to_owned(),
                letter.last_status.map_or("-".to_owned(), |status| status.to_string()),
                letter.attempts.to_string(),
                letter.state.as_str().to_owned(),
                word(envelope.map(|envelope| &*envelope.event_kind)),
                envelope.map_or("-", |envelope| envelope.severity.as_str()).to_owned(),
                word(envelope.map(|envelope| &*envelope.audit_id)),
            ]
        })
        .collect();
    lay_out(
        &[
            "ID", "BURIED", "EXPORT", "REASON", "STATUS", "ATTEMPTS", "STATE", "KIND", "SEVERITY",
            "AUDIT_ID",
        ],
        &rows,
    )
}

/// Everything about one letter, for people.
pub(super) fn whole(letter: &StoredLetter) -> String {
    let mut out = String::new();
    let Value::Object(fields) = record(letter) else { return out };
    for (name, value) in &fields {
        let text = match value {
            Value::String(text) if name == "text" || name == "event" => text.clone(),
            Value::String(text) => cell(text, 2_000),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        let _ = writeln!(out, "{name:<17} {text}");
    }
    out.push('\n');
    out
}

/// A JSON array.
pub(super) fn array(letters: &[StoredLetter]) -> String {
    format!("{:#}\n", letters.iter().map(record).collect::<Value>())
}

/// One JSON object on one line.
pub(super) fn line(letter: &StoredLetter) -> String {
    format!("{}\n", record(letter))
}

/// A letter as JSON. `event` is the event itself; a line that is not one stands in `text`, bytes
/// that are not UTF-8 replaced.
fn record(letter: &StoredLetter) -> Value {
    let text = String::from_utf8_lossy(&letter.text);
    let event = letter.envelope.as_ref().and_then(|_| serde_json::from_str::<Value>(&text).ok());
    let envelope = letter.envelope.as_ref();
    json!({
        "id": letter.id,
        "state": letter.state,
        "export": letter.export.as_deref(),
        "source": &*letter.source,
        "delivery_id": letter.delivery_id.as_str(),
        "position": {
            "stream": letter.position.stream.to_string(),
            "offset": letter.position.offset,
            "index": letter.position.index,
        },
        "reason": letter.reason,
        "attempts": letter.attempts,
        "first_attempt_at": letter.first_attempt_at.map(time),
        "last_attempt_at": letter.last_attempt_at.map(time),
        "last_status": letter.last_status,
        "last_error": letter.last_error,
        "response": letter.response,
        "replays": letter.replays,
        "depth": letter.depth,
        "accepted_at": time(letter.accepted_at),
        "created_at": time(letter.created_at),
        "updated_at": time(letter.updated_at),
        "audit_id": envelope.map(|envelope| &envelope.audit_id),
        "timestamp": envelope.map(|envelope| &envelope.timestamp),
        "event_kind": envelope.map(|envelope| &envelope.event_kind),
        "severity": envelope.map(|envelope| envelope.severity.as_str()),
        "agent_id": envelope.map(|envelope| &envelope.agent_id),
        "event": event,
        "text": text,
    })
}

/// Counts as a table.
pub(super) fn stats_table(stats: &[Stat]) -> String {
    let row = |stat: &Stat| {
        vec![
            word(stat.export.as_deref()),
            stat.reason.clone(),
            stat.state.as_str().to_owned(),
            stat.letters.to_string(),
            stat.bytes.to_string(),
            format!("{:.0}", stat.oldest),
            format!("{:.0}", stat.newest),
        ]
    };
    let rows: Vec<_> = stats.iter().map(row).collect();
    lay_out(&["EXPORT", "REASON", "STATE", "LETTERS", "BYTES", "OLDEST", "NEWEST"], &rows)
}

/// Counts as a JSON array.
pub(super) fn stats_array(stats: &[Stat]) -> String {
    format!("{:#}\n", stats.iter().map(stat).collect::<Value>())
}

/// One count on one line.
pub(super) fn stat_line(row: &Stat) -> String {
    format!("{}\n", stat(row))
}

fn stat(stat: &Stat) -> Value {
    json!({
        "export": stat.export,
        "reason": stat.reason,
        "state": stat.state,
        "letters": stat.letters,
        "bytes": stat.bytes,
        "oldest": time(stat.oldest),
        "newest": time(stat.newest),
    })
}
