//! Where an event keeps its envelope's fields: the `postrider` schema and the mappings that users
//! write. Reading a line checks the whole of it and looks up those fields in one pass.

use crate::event::json::{Json, JsonError, key_is};
use crate::event::{Envelope, FieldPath, Globs, Severity, SeverityScale};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where the five fields of the envelope are found.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The event's id.
    pub id: FieldPath,
    /// When it happened.
    pub timestamp: FieldPath,
    /// What happened.
    pub kind: FieldPath,
    /// Who did it.
    pub agent: FieldPath,
    /// How bad it is.
    pub severity: SeveritySchema,
    /// The zone of times that name none.
    pub timezone: TimeZone,
}

/// How an event's severity is found: the first rule that holds, else the field, else the default.
#[derive(Debug, Clone)]
pub struct SeveritySchema {
    /// Rules over other fields, in order.
    pub rules: Vec<SeverityRule>,
    /// The field with a word or number.
    pub from: FieldPath,
    /// Words of the field that stand for a level, looked up before the usual spellings.
    pub map: BTreeMap<String, Severity>,
    /// What the field's numbers mean.
    pub scale: SeverityScale,
    /// For events without the field.
    pub default: Severity,
}

/// One severity rule: where every field matches one of its globs, the event is this bad.
#[derive(Debug, Clone)]
pub struct SeverityRule {
    /// The fields to look at.
    pub when: Vec<(FieldPath, Globs)>,
    /// The severity where all of them match.
    pub is: Severity,
}

impl Default for Schema {
    /// The `postrider` schema: the fields by their own names at the top level.
    fn default() -> Self {
        let field = |name: &str| name.parse().expect("a plain name is a path");
        Schema {
            id: field("audit_id"),
            timestamp: field("timestamp"),
            kind: field("event_kind"),
            agent: field("agent_id"),
            severity: SeveritySchema {
                rules: Vec::new(),
                from: field("severity"),
                map: BTreeMap::new(),
                scale: SeverityScale::Syslog,
                default: Severity::Info,
            },
            timezone: TimeZone::UTC,
        }
    }
}

impl Schema {
    /// Checks that a line is one JSON object and reads its envelope in place. Of repeated keys the
    /// last counts; a field that is neither string, number nor boolean counts as absent.
    ///
    /// # Errors
    /// Where the line is not one JSON object; says what is wrong and at which column.
    pub fn read<'a>(&self, line: &'a str) -> Result<(Json<'a>, Envelope<'a>), JsonError> {
        let wanted = [&self.id, &self.timestamp, &self.kind, &self.agent, &self.severity.from];
        let names = wanted.map(|path| path.segments().next().unwrap_or_default());
        let mut found = [None; 5];
        let json = Json::check_object(line, |key, value| {
            for (name, found) in names.iter().zip(&mut found) {
                if key_is(key, name) {
                    *found = Some(value);
                }
            }
        })?;
        let value = |field: usize| wanted[field].find_from(found[field]?, 1);
        let text = |field: usize| value(field).and_then(Json::as_scalar);
        let envelope = Envelope {
            audit_id: text(0).filter(|id| !id.is_empty()),
            timestamp: text(1).filter(|time| !time.is_empty()).map(|time| self.time(time)),
            event_kind: text(2).filter(|kind| !kind.is_empty()).unwrap_or(Cow::Borrowed("unknown")),
            severity: self.severity.read(json, value(4)),
            agent_id: text(3).unwrap_or_default(),
        };
        Ok((json, envelope))
    }

    /// Brings a time to RFC 3339 where it is not: numbers by their size, times without a zone in
    /// the schema's zone. What is not a time stays as it is.
    fn time<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if has_zone(&text) {
            return text;
        }
        let time = match text.parse::<f64>() {
            Ok(_) => from_number(&text),
            Err(_) => text
                .parse::<DateTime>()
                .ok()
                .and_then(|time| self.timezone.to_ambiguous_timestamp(time).compatible().ok()),
        };
        time.map_or(text, |time| Cow::Owned(time.to_string()))
    }
}

/// Whether a text looks like an RFC 3339 time with its zone, the form that nearly all events use.
fn has_zone(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[13] == b':'
        && (bytes[bytes.len() - 1] == b'Z'
            || (matches!(bytes[bytes.len() - 6], b'+' | b'-') && bytes[bytes.len() - 3] == b':'))
}

/// Reads a number as s, ms, µs or ns since 1970, by its size: each unit covers the years 1973 to
/// 5138 without touching the next.
fn from_number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i128 = whole.parse().ok()?;
    let unit = match whole.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let part: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    let nanos = whole.checked_mul(unit)? + (part * unit as f64) as i128;
    Timestamp::from_nanosecond(nanos).ok()
}

impl SeveritySchema {
    fn read(&self, json: Json<'_>, value: Option<Json<'_>>) -> Severity {
        let holds = |rule: &&SeverityRule| {
            rule.when.iter().all(|(path, globs)| globs.match_value(path.find(json)))
        };
        if let Some(rule) = self.rules.iter().find(holds) {
            return rule.is;
        }
        match value.and_then(Json::as_scalar) {
            None => self.default,
            Some(text) => match self.map.get(&*text) {
                Some(severity) => *severity,
                None => Severity::read(&text, self.scale),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn the_postrider_schema_reads_the_envelope() {
        let schema = Schema::default();
        let line = r#"{"audit_id":"ae_1","x":{"audit_id":"no"},"severity":"WARNING","severity":3,
            "event_kind":"a\"b","timestamp":"2026-04-17T10:15:03Z","agent_id":7}"#;
        let (json, envelope) = schema.read(line).unwrap();
        assert_eq!(json.text(), line);
        assert_eq!(
            envelope,
            Envelope {
                audit_id: Some("ae_1".into()),
                timestamp: Some("2026-04-17T10:15:03Z".into()),
                event_kind: "a\"b".into(),
                severity: Severity::Error,
                agent_id: "7".into(),
            }
        );
    }

    #[test]
    fn what_is_missing_or_no_scalar_takes_the_default() {
        for line in [
            "{}",
            r#"{"audit_id":null,"severity":null,"event_kind":[],"agent_id":{},"timestamp":""}"#,
        ] {
            let (_, envelope) = Schema::default().read(line).unwrap();
            assert_eq!(envelope.audit_id, None, "{line}");
            assert_eq!(envelope.timestamp, None, "{line}");
            assert_eq!(envelope.event_kind, "unknown", "{line}");
            assert_eq!(envelope.severity, Severity::Info, "{line}");
            assert_eq!(envelope.agent_id, "", "{line}");
        }
    }

    #[test]
    fn a_user_mapping_reads_nested_fields_rules_and_words() {
        let mut schema = Schema {
            id: path("/request/id"),
            kind: path("request.operation"),
            ..Schema::default()
        };
        schema.severity = SeveritySchema {
            rules: vec![SeverityRule {
                when: vec![(path("error"), Globs::new(vec!["*denied*".into()]).unwrap())],
                is: Severity::Alert,
            }],
            from: path("/level"),
            map: [("deny".to_owned(), Severity::Error)].into(),
            scale: SeverityScale::Syslog,
            default: Severity::Notice,
        };
        for (line, kind, severity) in [
            (
                r#"{"request":{"id":"1","operation":"read"},"level":"deny"}"#,
                "read",
                Severity::Error,
            ),
            (
                r#"{"request":{"id":"1"},"level":"deny","error":"permission denied"}"#,
                "unknown",
                Severity::Alert,
            ),
            (r#"{"request":3,"level":"warn"}"#, "unknown", Severity::Warn),
            (r#"{"level":"purple"}"#, "unknown", Severity::Unknown),
            (r#"{}"#, "unknown", Severity::Notice),
        ] {
            let (_, envelope) = schema.read(line).unwrap();
            assert_eq!((&*envelope.event_kind, envelope.severity), (kind, severity), "{line}");
        }
    }

    #[test]
    fn times_become_rfc_3339() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let schema = Schema { timezone: zone, ..Schema::default() };
        for (given, read) in [
            (r#""2026-04-17T10:15:03.5+02:00""#, "2026-04-17T10:15:03.5+02:00"),
            (r#""2026-04-17 10:15:03""#, "2026-04-17T08:15:03Z"),
            (r#""2026-04-17T10:15:03.25""#, "2026-04-17T08:15:03.25Z"),
            ("1489636960", "2017-03-16T04:02:40Z"),
            ("1489636960.072", "2017-03-16T04:02:40.072Z"),
            ("1611616633246", "2021-01-25T23:17:13.246Z"),
            ("1544712660300000000", "2018-12-13T14:51:00.3Z"),
            (r#""1544712660300000000""#, "2018-12-13T14:51:00.3Z"),
            (r#""last Tuesday""#, "last Tuesday"),
            ("1e400", "1e400"),
            (
                "99999999999999999999999999999999999999999",
                "99999999999999999999999999999999999999999",
            ),
        ] {
            let line = format!(r#"{{"timestamp":{given}}}"#);
            let (_, envelope) = schema.read(&line).unwrap();
            assert_eq!(envelope.timestamp.unwrap(), read, "{given}");
        }
    }
}
