//! Reading envelopes: the default schema, users' mappings, and every built-in one.

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
    for line in
        ["{}", r#"{"audit_id":null,"severity":null,"event_kind":[],"agent_id":{},"timestamp":""}"#]
    {
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
    let mut mapping = Schema::default().mapping().clone();
    mapping.id = path("/request/id").into();
    mapping.kind = path("request.operation").into();
    mapping.severity = SeverityMapping {
        rules: vec![SeverityRule {
            when: vec![(path("error"), Globs::new(vec!["*denied*".into()]).unwrap())],
            is: Severity::Alert,
        }],
        from: vec![path("/level")],
        map: [("deny".to_owned(), Severity::Error)].into(),
        scale: SeverityScale::Syslog,
        default: Severity::Notice,
    };
    let schema = Schema::new(mapping);
    for (line, kind, severity) in [
        (r#"{"request":{"id":"1","operation":"read"},"level":"deny"}"#, "read", Severity::Error),
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
    let schema = Schema::new(Mapping { timezone: zone, ..Schema::default().mapping().clone() });
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
        ("99999999999999999999999999999999999999999", "99999999999999999999999999999999999999999"),
    ] {
        let line = format!(r#"{{"timestamp":{given}}}"#);
        let (_, envelope) = schema.read(&line).unwrap();
        assert_eq!(envelope.timestamp.unwrap(), read, "{given}");
    }
}
