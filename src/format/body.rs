//! The default body of an export: what an event goes out as where no template says so.

use crate::event::{Event, Severity};
use crate::schema::is_rfc_3339;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;

/// What an event goes out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFormat {
    /// As it came.
    #[default]
    Json,
    /// A line of the Common Event Format.
    Cef,
    /// A CloudEvent whose data is the event as it came.
    CloudEvent,
    /// The event as it came, the CloudEvent's attributes in headers.
    CloudEventBinary,
}

/// What is escaped in the value of a `ce-` header, as the HTTP binding of CloudEvents says.
const HEADER_ESCAPES: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The version of CloudEvents.
const SPEC_VERSION: &str = "1.0";

impl BodyFormat {
    /// The content type of one event.
    pub fn content_type(self) -> &'static str {
        match self {
            BodyFormat::Json | BodyFormat::CloudEventBinary => "application/json",
            BodyFormat::Cef => "text/plain; charset=utf-8",
            BodyFormat::CloudEvent => "application/cloudevents+json",
        }
    }

    /// The content type of a JSON array of several, where the format has one of its own.
    pub fn array_content_type(self) -> Option<&'static str> {
        (self == BodyFormat::CloudEvent).then_some("application/cloudevents-batch+json")
    }

    /// The body.
    pub fn body(self, event: &Arc<Event>) -> Bytes {
        match self {
            BodyFormat::Json | BodyFormat::CloudEventBinary => event.body(),
            BodyFormat::Cef => cef(event).into(),
            BodyFormat::CloudEvent => cloud_event(event).into(),
        }
    }

    /// Headers that carry what the body does not.
    pub fn headers(self, event: &Event) -> Vec<(&'static str, String)> {
        if self != BodyFormat::CloudEventBinary {
            return Vec::new();
        }
        let escaped = |(name, value): (&str, String)| {
            let name = match name {
                "specversion" => "ce-specversion",
                "id" => "ce-id",
                "source" => "ce-source",
                "type" => "ce-type",
                "time" => "ce-time",
                "subject" => "ce-subject",
                _ => "ce-severity",
            };
            (name, utf8_percent_encode(&value, HEADER_ESCAPES).to_string())
        };
        attributes(event).into_iter().map(escaped).collect()
    }
}

/// The attributes of a CloudEvent, its data's type excepted. `severity` is an extension.
fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", SPEC_VERSION.to_owned()),
        ("id", event.audit_id.to_string()),
        ("source", format!("/postrider/{}", event.origin.source)),
        ("type", event.event_kind.to_string()),
    ];
    if let Some(time) = time(event) {
        attributes.push(("time", time));
    }
    if !event.agent_id.is_empty() {
        attributes.push(("subject", event.agent_id.to_string()));
    }
    attributes.push(("severity", event.severity.to_string()));
    attributes
}

/// The time as RFC 3339 has it: no other may stand there.
fn time(event: &Event) -> Option<String> {
    let time: Timestamp = event.timestamp.parse().ok()?;
    if is_rfc_3339(&event.timestamp) {
        return Some(event.timestamp.to_string());
    }
    Some(time.to_string()).filter(|text| is_rfc_3339(text))
}

fn cloud_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.text.as_str().len() + 320);
    out.push(b'{');
    for (name, value) in attributes(event) {
        // Writing into memory cannot fail.
        let _ = write!(out, "\"{name}\":{},", Value::from(value));
    }
    out.extend(b"\"datacontenttype\":\"application/json\",\"data\":");
    out.extend(event.text.as_str().as_bytes());
    out.push(b'}');
    out
}

fn cef(event: &Event) -> Vec<u8> {
    let kind = header(&event.event_kind);
    let (severity, version) = (cef_severity(event.severity), env!("CARGO_PKG_VERSION"));
    let mut out = format!("CEF:0|postrider|postrider|{version}|{kind}|{kind}|{severity}|");
    if let Ok(time) = event.timestamp.parse::<Timestamp>() {
        out.push_str(&format!("rt={} ", time.as_millisecond()));
    }
    out.push_str(&format!("externalId={}", extension(&event.audit_id)));
    if !event.agent_id.is_empty() {
        out.push_str(&format!(" suser={}", extension(&event.agent_id)));
    }
    if let Some(message) = event.json().get("message").and_then(|message| message.as_str()) {
        out.push_str(&format!(" msg={}", extension(&message)));
    }
    out.push_str(&format!(
        " cs1Label=source cs1={} cs2Label=event cs2={}",
        extension(&event.origin.source),
        extension(event.text.as_str())
    ));
    out.into_bytes()
}

/// CEF's severity: 0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
fn cef_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "0",
        Severity::Info => "1",
        Severity::Notice => "3",
        Severity::Warn => "5",
        Severity::Error => "7",
        Severity::Critical => "9",
        Severity::Alert | Severity::Emergency => "10",
        Severity::Unknown => "Unknown",
    }
}

/// A field of the header, on one line.
fn header(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|");
    text.replace(['\n', '\r'], " ")
}

/// A value of the extension, on one line.
fn extension(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=");
    text.replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, Position, StreamId, Text};
    use crate::format::SourceFormat;
    use jiff::tz::TimeZone;
    use serde_json::json;

    fn event(text: &str) -> Event {
        let stream = StreamId::from_bytes([1; 16]);
        Event {
            text: Text::check(text.to_owned()).unwrap(),
            audit_id: "a=1 é".into(),
            timestamp: "2026-01-02T03:04:05Z".into(),
            event_kind: "login|fail".into(),
            severity: Severity::Error,
            agent_id: "ann \\ b".into(),
            origin: Origin {
                source: "app".into(),
                position: Position { stream, offset: 0, index: 0 },
                accepted_at: Timestamp::UNIX_EPOCH,
            },
            about: None,
        }
    }

    #[test]
    fn a_cloud_event_carries_the_event_untouched() {
        let text = "{\"n\":1.000,\"n\":2}";
        let body = BodyFormat::CloudEvent.body(&event(text).into());
        assert!(String::from_utf8_lossy(&body).contains(text));
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "a=1 é", "source": "/postrider/app", "type": "login|fail",
            "time": "2026-01-02T03:04:05Z", "subject": "ann \\ b", "severity": "error",
            "datacontenttype": "application/json", "data": {"n": 2},
        });
        assert_eq!(body, expected);
        let odd = Event { timestamp: "yesterday".into(), agent_id: "".into(), ..event("{}") };
        let body: Value =
            serde_json::from_slice(&BodyFormat::CloudEvent.body(&odd.into())).unwrap();
        assert!(body.get("time").is_none() && body.get("subject").is_none());
    }

    #[test]
    fn the_time_of_a_cloud_event_is_as_rfc_3339_has_it_or_absent() {
        for (given, expected) in [
            ("2026-11-21T10:00:00+02:00", Some("2026-11-21T10:00:00+02:00")),
            ("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:60Z")),
            ("2026-11-21T10:00:00+0200", Some("2026-11-21T08:00:00Z")),
            ("2026-11-21T10Z", Some("2026-11-21T10:00:00Z")),
            ("20031011T221415Z", Some("2003-10-11T22:14:15Z")),
            ("2026-11-21T10:00:00,003Z", Some("2026-11-21T10:00:00.003Z")),
            ("2026-11-21T10:00:00Z[Europe/Berlin]", Some("2026-11-21T10:00:00Z")),
            ("2026-11-21T10:00:00", None),
            ("2026-13-21T10:00:00Z", None),
            ("-000009-01-01T00:00:00Z", None),
        ] {
            let event = Event { timestamp: given.into(), ..event("{}") };
            assert_eq!(time(&event).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn in_binary_mode_the_attributes_are_headers() {
        let event = Arc::new(event("{}"));
        assert_eq!(BodyFormat::CloudEventBinary.body(&event), "{}");
        let headers = BodyFormat::CloudEventBinary.headers(&event);
        assert!(headers.contains(&("ce-id", "a=1%20%C3%A9".to_owned())), "{headers:?}");
        assert!(headers.contains(&("ce-specversion", "1.0".to_owned())));
        assert!(BodyFormat::CloudEvent.headers(&event).is_empty());
    }

    #[test]
    fn a_cef_line_can_be_read_back() {
        let text = "{\"message\":\"a=b\\nc | d\\\\\",\n\"x\":1}";
        let line = String::from_utf8(BodyFormat::Cef.body(&event(text).into()).to_vec()).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let read = SourceFormat::Cef
            .event(line.as_bytes(), &TimeZone::UTC, Timestamp::UNIX_EPOCH)
            .unwrap();
        let cef = &serde_json::from_str::<Value>(&read).unwrap()["cef"];
        assert_eq!((&cef["name"], &cef["severity"]), (&json!("login|fail"), &json!("7")));
        let extension = &cef["extension"];
        assert_eq!(extension["rt"], "1767323045000");
        assert_eq!(extension["externalId"], "a=1 é");
        assert_eq!(extension["suser"], "ann \\ b");
        assert_eq!(extension["msg"], "a=b\nc | d\\");
        assert_eq!(extension["cs2"], text);
    }
}
