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
        (r#""Jan 02 2026 03:04:05""#, "2026-01-02T01:04:05Z"),
        ("1489636960", "2017-03-16T04:02:40Z"),
        (r#""20260412""#, "2026-04-11T22:00:00Z"),
        ("20261312", "1970-08-23T12:08:32Z"),
        ("20.40412", "1970-01-01T00:00:20.40412Z"),
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

/// A line of a built-in schema, and what its envelope must be: id, time, kind, severity, agent.
type Case = (&'static str, &'static str, [&'static str; 5]);

/// Written after the formats' documentation.
const CASES: &[Case] = &[
    (
        "rampart",
        r#"{"timestamp":"2026-01-02T03:04:05Z","decision":"deny","agent":"bot","event_id":"evt_1"}"#,
        ["evt_1", "2026-01-02T03:04:05Z", "deny", "error", "bot"],
    ),
    ("rampart", r#"{"decision":"watch"}"#, ["-", "-", "watch", "notice", ""]),
    (
        "contextforge",
        r#"{"event":"violation","timestamp":"2026-01-02T03:04:05Z","request_id":"req-1","user":"ann"}"#,
        ["req-1/violation", "2026-01-02T03:04:05Z", "violation", "warn", "ann"],
    ),
    ("contextforge", r#"{"event":"tool_error"}"#, ["-", "-", "tool_error", "error", ""]),
    (
        "ruleforge",
        r#"{"event":"regression.failed","delivery_id":"d1","organization_id":"org_1","occurred_at":"2026-01-02T03:04:05Z"}"#,
        ["d1", "2026-01-02T03:04:05Z", "regression.failed", "error", "org_1"],
    ),
    ("ruleforge", r#"{"event":"api.quota.warning"}"#, ["-", "-", "api.quota.warning", "warn", ""]),
    (
        "kubernetes",
        r#"{"kind":"Event","level":"Request","auditID":"a1","stage":"ResponseStarted","verb":"create","user":{"username":"ann"},
            "objectRef":{"resource":"pods","subresource":"exec"},"responseStatus":{"code":101},"stageTimestamp":"2026-01-02T03:04:05.123456Z"}"#,
        ["a1/ResponseStarted", "2026-01-02T03:04:05.123456Z", "create pods/exec", "info", "ann"],
    ),
    (
        "kubernetes",
        r#"{"kind":"Event","verb":"list","stage":"Panic","objectRef":{"resource":"pods"},"responseStatus":{"code":403}}"#,
        ["-", "-", "list pods", "error", ""],
    ),
    (
        "kubernetes",
        r#"{"verb":"get","annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
        ["-", "-", "get", "error", ""],
    ),
    (
        "kubernetes",
        r#"{"verb":"get","responseStatus":{"code":404}}"#,
        ["-", "-", "get", "notice", ""],
    ),
    ("kubernetes", r#"{"kind":0}"#, ["-", "-", "unknown", "info", ""]),
    (
        "vault",
        r#"{"time":"2026-01-02T03:04:05.123456789Z","type":"response","auth":{"display_name":"token-ann"},
            "request":{"id":"r1","operation":"update","path":"sys/policy/x"},"error":"1 error occurred: permission denied"}"#,
        [
            "r1/response",
            "2026-01-02T03:04:05.123456789Z",
            "update sys/policy/x",
            "error",
            "token-ann",
        ],
    ),
    (
        "vault",
        r#"{"type":"request","request":{"id":"r1"},"error":"invalid"}"#,
        ["r1/request", "-", "request", "warn", ""],
    ),
    (
        "cloudtrail",
        r#"{"eventID":"e1","eventTime":"2026-01-02T03:04:05Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin",
            "userIdentity":{"type":null,"userName":"ann"},"responseElements":{"ConsoleLogin":"Failure"}}"#,
        ["e1", "2026-01-02T03:04:05Z", "signin.amazonaws.com:ConsoleLogin", "warn", "ann"],
    ),
    (
        "cloudtrail",
        r#"{"eventSource":"s3.amazonaws.com","eventName":"GetObject","errorCode":"AccessDenied","userIdentity":{"arn":"arn:x","userName":"ann"}}"#,
        ["-", "-", "s3.amazonaws.com:GetObject", "error", "arn:x"],
    ),
    (
        "github",
        r#"{"@timestamp":1767323045123,"_document_id":"d1","action":"protected_branch.rejected_ref_update","actor":"ann","user":""}"#,
        ["d1", "2026-01-02T03:04:05.123Z", "protected_branch.rejected_ref_update", "error", "ann"],
    ),
    (
        "github",
        r#"{"created_at":1767323045123,"action":"git.clone","actor":"","user":"bob"}"#,
        ["-", "2026-01-02T03:04:05.123Z", "git.clone", "info", "bob"],
    ),
    (
        "auditd",
        r#"{"message":"m","auditd":{"node":"n","type":"PATH","time":"1767323045.123","serial":"7","fields":{"item":"1","auid":"1000","res":"failed"}}}"#,
        ["n/1767323045.123:7/PATH/1", "2026-01-02T03:04:05.123Z", "PATH", "warn", "1000"],
    ),
    (
        "auditd",
        r#"{"message":"avc: denied { read }","auditd":{"type":"AVC","time":"1767323045.123","serial":"7","fields":{}}}"#,
        ["1767323045.123:7/AVC", "2026-01-02T03:04:05.123Z", "AVC", "error", ""],
    ),
    (
        "ocsf",
        r#"{"class_uid":3002,"type_uid":300201,"metadata":{"uid":"u1"},"time":1767323045000,"severity":"Fatal","severity_id":6,"actor":{"user":{"name":"ann"}}}"#,
        ["u1", "2026-01-02T03:04:05Z", "300201", "emergency", "ann"],
    ),
    ("ocsf", r#"{"class_uid":3002,"severity_id":4}"#, ["-", "-", "3002", "error", ""]),
    ("ocsf", r#"{"severity":"Other","severity_id":99}"#, ["-", "-", "unknown", "info", ""]),
    ("ocsf", r#"{"severity":"critical","severity_id":99}"#, ["-", "-", "unknown", "critical", ""]),
    (
        "ocsf",
        r#"{"severity":"Informational","severity_id":6}"#,
        ["-", "-", "unknown", "emergency", ""],
    ),
    ("ocsf", r#"{"severity":"Fatal","severity_id":1}"#, ["-", "-", "unknown", "info", ""]),
    ("ocsf", r#"{"severity":"Fatal"}"#, ["-", "-", "unknown", "emergency", ""]),
    ("ocsf", r#"{"severity":"FATAL"}"#, ["-", "-", "unknown", "emergency", ""]),
    ("ocsf", r#"{"severity_id":0}"#, ["-", "-", "unknown", "unknown", ""]),
    (
        "cloudevents",
        r#"{"specversion":"1.0","id":"1","source":"/app","type":"user.created","time":"2026-01-02T03:04:05Z","subject":"ann"}"#,
        ["/app/1", "2026-01-02T03:04:05Z", "user.created", "info", "ann"],
    ),
    (
        "otlp",
        r#"{"timeUnixNano":"1767323045000000000","severityNumber":17,"eventName":"x","body":{"stringValue":"y"}}"#,
        ["-", "2026-01-02T03:04:05Z", "x", "error", ""],
    ),
    (
        "otlp",
        r#"{"observedTimeUnixNano":1767323045000000000,"severityText":"Information"}"#,
        ["-", "2026-01-02T03:04:05Z", "unknown", "info", ""],
    ),
    (
        "otlp",
        r#"{"attributes":[{"key":"a","value":{"stringValue":"b"}},{"key":"event.name","value":{"stringValue":"login"}}]}"#,
        ["-", "-", "login", "info", ""],
    ),
    (
        "otlp",
        r#"{"eventName":"x","attributes":[{"key":"event.name","value":{"stringValue":"login"}}]}"#,
        ["-", "-", "x", "info", ""],
    ),
    (
        "otlp",
        r#"{"eventName":"","attributes":[{"key":"event\u002ename","value":{"stringValue":"a\u0062"}},{"key":"event.name","value":{"stringValue":"c"}}]}"#,
        ["-", "-", "ab", "info", ""],
    ),
    (
        "otlp",
        r#"{"attributes":[{"key":"event.names","value":{"stringValue":"x"}},{"key":["event.name"]},{"value":{}},"event.name",{"key":"event.name","value":{"arrayValue":{}}}]}"#,
        ["-", "-", "unknown", "info", ""],
    ),
    (
        "otlp",
        r#"{"attributes":{"event.name":"x","key":"event.name","value":{"stringValue":"x"}}}"#,
        ["-", "-", "unknown", "info", ""],
    ),
    (
        "otlp",
        r#"{"severityNumber":"SEVERITY_NUMBER_FATAL"}"#,
        ["-", "-", "unknown", "emergency", ""],
    ),
    (
        "otlp",
        r#"{"severityNumber":"SEVERITY_NUMBER_UNSPECIFIED","severityText":"Error"}"#,
        ["-", "-", "unknown", "error", ""],
    ),
    (
        "otlp",
        r#"{"severityNumber":"SEVERITY_NUMBER_UNSPECIFIED"}"#,
        ["-", "-", "unknown", "unknown", ""],
    ),
    ("cef", r#"{"cef":{"severity":"very-HIGH"}}"#, ["-", "-", "unknown", "critical", ""]),
    (
        "cef",
        r#"{"message":"m","cef":{"device_event_class_id":"18","name":"Login","severity":"Very-High","extension":{"externalId":"x1","rt":"1767323045123","duser":"ann"}}}"#,
        ["x1", "2026-01-02T03:04:05.123Z", "18", "critical", "ann"],
    ),
    (
        "cef",
        r#"{"timestamp":"2026-01-02T03:04:05Z","cef":{"device_event_class_id":"","name":"Login","severity":"low"}}"#,
        ["-", "2026-01-02T03:04:05Z", "Login", "notice", ""],
    ),
    (
        "syslog",
        r#"{"severity":"crit","timestamp":"2026-01-02T03:04:05Z","host":"h","app":"su","msgid":"ID47","message":"m"}"#,
        ["-", "2026-01-02T03:04:05Z", "su/ID47", "critical", ""],
    ),
    ("syslog", r#"{"app":"su","message":"m"}"#, ["-", "-", "su", "info", ""]),
    ("postrider", r#"{"audit_id":"a"}"#, ["a", "-", "unknown", "info", ""]),
];

#[test]
fn built_in_schemas_read_their_formats() {
    for (name, line, expected) in CASES {
        let schema = built_in(name).unwrap().schema();
        let (_, envelope) = schema.read(line).unwrap();
        let absent = || Cow::Borrowed("-");
        let found = [
            envelope.audit_id.unwrap_or_else(absent),
            envelope.timestamp.unwrap_or_else(absent),
            envelope.event_kind,
            envelope.severity.as_str().into(),
            envelope.agent_id,
        ];
        assert_eq!(found, *expected, "{name}: {line}");
    }
}

#[test]
fn every_built_in_schema_can_be_read_and_has_a_case() {
    for name in NAMES {
        let file = std::fs::read_to_string(format!(
            "{}/src/schema/{name}.yaml",
            env!("CARGO_MANIFEST_DIR")
        ));
        let built_in =
            builtin::read(&file.unwrap()).unwrap_or_else(|error| panic!("{name}.yaml: {error}"));
        assert!(!built_in.about.is_empty());
        assert!(CASES.iter().any(|(case, ..)| *case == name), "{name} has no case");
    }
}

#[test]
fn the_postrider_schema_is_the_default() {
    let (own, default) = (built_in("postrider").unwrap().mapping, Schema::default());
    assert_eq!(format!("{own:?}"), format!("{:?}", default.mapping()));
}

#[test]
fn a_value_goes_back_to_where_it_is_read_from() {
    for name in NAMES {
        let mapping = built_in(name).unwrap().mapping;
        let value = if name == "cloudtrail" { "a:b" } else { "a" };
        for (field, value) in [(&mapping.kind, value), (&mapping.agent, "c")] {
            let places = field.places(value);
            assert_eq!(places.is_empty(), field.0.is_empty(), "{name}");
            assert!(places[..].iter().all(|(_, text)| value.contains(text)), "{name}: {places:?}");
        }
    }
    let kind = built_in("kubernetes").unwrap().mapping.kind;
    let places: Vec<_> =
        kind.places("create pods/exec").into_iter().map(|(_, text)| text).collect();
    assert_eq!(places, ["create", "pods", "exec"]);
}
