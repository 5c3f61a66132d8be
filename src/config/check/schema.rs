//! Checks of what the lines of a source are: format, framing, and where the envelope's fields
//! stand.

use super::source::{conditions, field_path};
use crate::config::keys::{FormatKey, FramingKey, SourceKeys, SourceType};
use crate::config::report::At;
use crate::config::{Documents, Framing, SourceFormat};
use crate::event::FieldPath;
use crate::schema::{self, BuiltIn, Field, Mapping, Schema, SeverityRule};
use jiff::tz::TimeZone;

/// What the lines of a source are.
pub(super) struct Lines {
    pub(super) format: SourceFormat,
    pub(super) framing: Framing,
    pub(super) schema: Schema,
}

/// Reads what the lines of a source are.
pub(super) fn lines(keys: &SourceKeys, at: &At<'_>) -> Lines {
    let named = keys.format.map(word);
    let of_format = named.filter(|name| schema::NAMES.contains(name));
    let name = keys.schema.map(|schema| schema.0).or(of_format).unwrap_or("postrider");
    // `postrider` stands in for a name that is a problem already.
    let built_in = schema::built_in(name);
    let format = format(keys, built_in.as_ref(), name, at);
    let framing = framing(keys, built_in.as_ref(), format, at);
    let mapping = built_in.map_or_else(|| Schema::default().mapping().clone(), |it| it.mapping);
    Lines { format, framing, schema: Schema::new(mapped(mapping, keys, at)) }
}

fn word(format: FormatKey) -> &'static str {
    match format {
        FormatKey::Json => "json",
        FormatKey::Raw => "raw",
        FormatKey::Cef => "cef",
        FormatKey::Syslog => "syslog",
        FormatKey::Auditd => "auditd",
    }
}

fn format(keys: &SourceKeys, built_in: Option<&BuiltIn>, name: &str, at: &At<'_>) -> SourceFormat {
    let of_schema = built_in.and_then(|schema| schema.format.as_deref());
    if let (Some(format), Some(due)) = (keys.format, of_schema)
        && word(format) != due
        && format != FormatKey::Json
    {
        at.key("format").problem(
            format!("the schema `{name}` is about lines of the format `{due}`"),
            format!("leave it out, or write `{due}`; `json` where they were converted before"),
        );
    }
    match keys.format.map(word).or(of_schema) {
        Some("raw") => SourceFormat::Raw,
        Some("cef") => SourceFormat::Cef,
        Some("syslog") => SourceFormat::Syslog,
        Some("auditd") => SourceFormat::Auditd,
        _ => SourceFormat::Json,
    }
}

fn framing(
    keys: &SourceKeys,
    built_in: Option<&BuiltIn>,
    format: SourceFormat,
    at: &At<'_>,
) -> Framing {
    let unwrap = match keys.unwrap.as_deref() {
        Some("none") => None,
        Some(text) => field_path(text, &at.key("unwrap")),
        // A document that was converted before is no list any more.
        None => built_in.and_then(|schema| schema.unwrap.as_deref()?.parse().ok()),
    };
    let lines = keys.framing == FramingKey::Lines;
    if format != SourceFormat::Json {
        for key in ["unwrap", "framing"] {
            let means = if key == "unwrap" { unwrap.is_some() } else { !lines };
            if at.key(key).is_present() && means {
                at.key(key).problem("only JSON is read so", "leave it out, or `format: json`");
            }
        }
        let counted = matches!(format, SourceFormat::Syslog | SourceFormat::Cef);
        let socket = keys.kind == SourceType::Socket;
        return if counted && socket { Framing::Messages } else { Framing::Lines };
    }
    let max = at.key("max_document_bytes");
    if keys.max_document_bytes.0 == 0 {
        max.problem("no document is that short", "write a size such as `64MB`");
    }
    if lines && unwrap.is_none() {
        return Framing::Lines;
    }
    let max_bytes = keys.max_document_bytes.0 as u64;
    Framing::Documents(Documents::new(lines, unwrap.as_ref(), max_bytes))
}

/// A mapping with the fields that `event` names in place of its own.
fn mapped(mut mapping: Mapping, keys: &SourceKeys, at: &At<'_>) -> Mapping {
    let event = at.key("event");
    let fields = [
        (&keys.event.id, &mut mapping.id, event.key("id")),
        (&keys.event.timestamp, &mut mapping.timestamp, event.key("timestamp")),
        (&keys.event.kind, &mut mapping.kind, event.key("kind")),
        (&keys.event.agent, &mut mapping.agent, event.key("agent")),
    ];
    for (text, field, at) in fields {
        if let Some(path) = text.as_ref().and_then(|text| field_path(text, &at)) {
            *field = Field::from(path);
        }
    }
    severity(&mut mapping, keys, &event.key("severity"));
    match TimeZone::get(&keys.timezone) {
        Ok(zone) => mapping.timezone = zone,
        Err(_) => {
            let at = at.key("timezone");
            let message = format!("`{}` is not a time zone", at.visible(&keys.timezone));
            at.problem(message, "write `UTC` or a name such as `Europe/Berlin`");
        }
    }
    mapping
}

fn severity(mapping: &mut Mapping, keys: &SourceKeys, at: &At<'_>) {
    let (keys, severity) = (&keys.event.severity, &mut mapping.severity);
    let from: Option<FieldPath> =
        keys.from.as_ref().and_then(|text| field_path(text, &at.key("from")));
    if let Some(path) = from {
        severity.from = vec![path];
    }
    severity.map.extend(keys.map.iter().map(|(word, level)| (word.clone(), *level)));
    severity.scale = keys.scale.unwrap_or(severity.scale);
    severity.default = keys.default.unwrap_or(severity.default);
    if !keys.rules.is_empty() {
        let rules = at.key("rules");
        let rule = |(index, rule): (usize, &crate::config::keys::SeverityRuleKeys)| {
            let when = conditions(&rule.when, &rules.index(index).key("when"));
            SeverityRule { when, is: rule.is }
        };
        severity.rules = keys.rules.iter().enumerate().map(rule).collect();
    }
}
