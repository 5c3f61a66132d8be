//! What the program gets: defaults, variables, templates, sources.

use super::super::{
    ConsoleStream, Destination, Input, Malformed, Queue, QueueFull, QueueMode, ReadFrom, Role,
    SocketAddress, SourceFormat,
};
use super::Case;
use crate::event::{Severity, SeverityScale};
use crate::retry::OnGone;
use std::fs;
use std::time::Duration;

#[test]
fn defaults_are_those_of_the_contract() {
    let case = Case::yaml(
        "
exports:
  - {name: a, destination: webhook, webhook: {url: https://h/p}}
  - {name: b, destination: console}
  - {name: c, destination: file, file: {path: /o}}
",
    );
    let config = case.config();
    assert_eq!(config.data_dir, case.folder().join("./postrider-data"));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    let admin = config.admin.as_ref().unwrap();
    assert_eq!((admin.listen.to_string().as_str(), admin.configured), ("127.0.0.1:9077", false));
    assert!(config.dlq.emit_events && !admin.metrics_open);
    let source = &config.sources[0];
    assert_eq!((source.format, source.malformed), (SourceFormat::Json, Malformed::DeadLetter));
    assert_eq!(source.max_line_bytes, 1_048_576);
    let a = &config.exports[0];
    let Destination::Webhook(webhook) = &a.destination else { panic!() };
    assert_eq!(webhook.method, "POST");
    assert_eq!((webhook.timeout.as_secs(), webhook.connect_timeout.as_secs()), (10, 5));
    assert_eq!((webhook.concurrency.get(), webhook.max_body_bytes), (8, 1_048_576));
    assert_eq!((webhook.url.port, webhook.url.https, webhook.json), (443, true, true));
    assert!(a.body.templates().next().is_none());
    assert!(a.rate_limit.is_none() && a.redaction.is_none());
    assert_eq!(a.queue, Queue::default());
    assert!(!a.strict && a.breaker.is_none() && a.fallback.is_none());
    assert_eq!(a.retry.max_attempts.get(), 12);
    let waits: Vec<u64> = (1..=12).map(|n| a.retry.schedule.wait_after(n, 0.5).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 60, 120, 300, 600, 900, 900]);
    assert_eq!(a.retry.schedule.wait_after(4, 0.0), Duration::from_secs_f64(7.2));
    let held = [408, 425, 429, 500, 599, 400, 404].map(|status| a.retry.retry_on.contains(status));
    assert_eq!(held, [true, true, true, true, true, false, false]);
    assert_eq!((a.retry.max_retry_after.as_secs(), a.retry.max_elapsed), (3600, None));
    assert!(matches!(config.exports[1].destination, Destination::Console(ConsoleStream::Stdout)));
    let Destination::File(file) = &config.exports[2].destination else { panic!() };
    assert_eq!((file.fsync, file.mode), (true, 0o640));
}

#[test]
fn sources_of_every_type() {
    let case = Case::yaml(
        "
sources:
  - {name: f, type: file, paths: [/a], exclude: [/b], read_from: end, follow: false, format: raw,
     malformed: wrap, max_line_bytes: 64KB, timezone: Europe/Berlin,
     event: {id: /event_id, kind: decision, agent: /a~1b, timestamp: ts,
       severity: {rules: [{when: {decision: [deny]}, is: error}], from: /level, map: {deny: alert},
                  default: notice, scale: otel}}}
  - {name: u, type: socket, mode: unix_datagram, address: run/x.sock}
  - {name: t, type: socket, mode: tcp, address: '0.0.0.0:9514', max_connections: 7,
     authentication: {type: none}}
exports: [{name: a, destination: console, filters: {sources: [f, internal]}}]
",
    );
    let config = case.config();
    let f = &config.sources[0];
    let Input::File(file) = &f.input else { panic!() };
    assert_eq!((file.read_from, file.follow), (ReadFrom::End, false));
    assert_eq!(
        (f.format, f.malformed, f.max_line_bytes),
        (SourceFormat::Raw, Malformed::Wrap, 64_000)
    );
    let agent = &f.schema.mapping().agent.0[0].paths[0];
    assert_eq!(agent.segments().collect::<Vec<_>>(), ["a/b"]);
    let severity = &f.schema.mapping().severity;
    assert_eq!((severity.default, severity.scale), (Severity::Notice, SeverityScale::Otel));
    assert_eq!((severity.rules[0].is, severity.map["deny"]), (Severity::Error, Severity::Alert));
    let Input::Socket(u) = &config.sources[1].input else { panic!() };
    assert_eq!(u.address, SocketAddress::UnixDatagram(case.folder().join("run/x.sock")));
    let Input::Socket(t) = &config.sources[2].input else { panic!() };
    assert_eq!(t.address, SocketAddress::Tcp("0.0.0.0:9514".parse().unwrap()));
    assert_eq!(t.max_connections, 7);
}

#[test]
fn what_waits_for_an_export_is_read() {
    let config = Case::yaml(
        "
dlq: {max_bytes: 1KiB, max_age: 30d, when_full: drop_oldest}
exports:
  - name: a
    destination: console
    queue: {mode: disk, disk_bytes: 64KB, when_full: drop_newest, max_age: 24h}
    order: strict
    breaker: {failures: 3, probe_after: [1, 5s]}
    on_gone: retry
    fallback: b
    former_names: [old]
  - {name: b, destination: console, breaker: {}}
",
    )
    .config();
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    let dlq = config.dlq;
    assert_eq!((dlq.max_bytes, dlq.max_age, dlq.drop_oldest), (1024, hours(720), true));
    let [a, b] = &config.exports[..] else { panic!() };
    let queue = Queue {
        mode: QueueMode::Disk,
        disk_bytes: 64_000,
        when_full: QueueFull::DropNewest,
        max_age: hours(24),
        ..Queue::default()
    };
    assert_eq!((a.queue, a.strict, a.retry.on_gone), (queue, true, OnGone::Retry));
    let waits = |export: &crate::config::Export| {
        let breaker = export.breaker.as_ref().unwrap();
        let waits: Vec<_> = breaker.probe_after.iter().map(|wait| wait.as_secs()).collect();
        (breaker.failures.get(), waits)
    };
    assert_eq!((waits(a), waits(b)), ((3, vec![1, 5]), (10, vec![30, 60, 300])));
    assert_eq!((a.fallback.as_deref(), &*a.former_names), (Some("b"), &["old".into()][..]));
}

#[test]
fn a_digest_tells_what_a_reload_changes() {
    let digests = |yaml: &str, variable: &str, body: &str| {
        let yaml = format!("exports: [{{name: a, destination: webhook, {yaml}}}]");
        let case = Case::new(&[("postrider.yaml", &yaml), ("b.j2", body)]).env("V", variable);
        let export = &case.config().exports[0];
        (export.digest, export.target)
    };
    let url = "webhook: {url: 'https://h/${V}', body_template_file: b.j2}";
    let base = digests(url, "1", "{}");
    assert_eq!(digests(url, "1", "{}"), base);
    let (other_body, other_value) = (digests(url, "1", "[]"), digests(url, "2", "{}"));
    assert!(other_body.0 != base.0 && other_body.1 == base.1);
    assert!(other_value.0 != base.0 && other_value.1 != base.1);
    let header = url.replace("body_template_file: b.j2", "headers: {A: b}");
    assert_ne!(digests(&header, "1", "{}").1, base.1);
}

#[test]
fn variables_stand_in_any_value() {
    let case = Case::new(&[
        (
            "postrider.yaml",
            "
admin:
  tokens:
    - {name: ops, token: \"${file:secret}\", role: manage}
    - {name: \"${env.WHO}\", token: \"a$${b}${EMPTY:-c}${EMPTY}\", role: read}
dlq: {emit_events: \"${FLAG}\"}
exports:
  - name: a
    destination: webhook
    webhook: {url: \"${URL}\", timeout: \"${T:-3s}\", concurrency: \"${N}\"}
",
        ),
        ("secret", "s3cret\n"),
    ])
    .env("WHO", "me")
    .env("EMPTY", "")
    .env("FLAG", "false")
    .env("N", "3")
    .env("URL", "https://h.example.com:8443/{{x}}");
    let config = case.config();
    let tokens = &config.admin.as_ref().unwrap().tokens;
    assert_eq!((tokens[0].token.expose(), tokens[0].role), ("s3cret", Role::Manage));
    assert_eq!((tokens[1].name.as_str(), tokens[1].token.expose()), ("me", "a${b}c"));
    assert!(!config.dlq.emit_events);
    let Destination::Webhook(webhook) = &config.exports[0].destination else { panic!() };
    assert_eq!((webhook.timeout.as_secs(), webhook.concurrency.get()), (3, 3));
    assert_eq!(webhook.url.masked(), "https://h.example.com:8443/…");
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "a secret is never printed");
}

#[test]
fn missing_variables_can_be_accepted() {
    let yaml = "
exports:
  - {name: a, destination: webhook, webhook: {url: \"${URL}\", timeout: \"${T}\", headers: {A: \"${H}\"}}}
  - {name: b, destination: webhook, enabled: false, webhook: {url: \"https://${HOST}/\"}}
";
    let mut case = Case::yaml(yaml);
    let said = case.said();
    assert_eq!(said.matches("is not set").count(), 3, "not those of what is off: {said}");
    assert_eq!(said.matches('\n').count(), 5, "nothing else is said: {said}");
    case.options.no_env = true;
    assert_eq!(case.said(), "");
    assert_eq!(case.config().exports.len(), 1);
}

#[test]
fn a_body_is_json_unless_its_content_type_says_otherwise() {
    for (headers, json) in [
        ("{}", true),
        ("{X: y}", true),
        ("{content-type: application/json; charset=utf-8}", true),
        ("{Content-Type: application/vnd.api+json}", true),
        ("{Content-Type: text/plain}", false),
        ("{Content-Type: application/x-ndjson}", false),
        ("{Content-Type: \"${CT}\"}", false),
        ("{Content-Type: }", true),
    ] {
        let yaml = format!(
            "exports: [{{name: a, destination: webhook, webhook: {{url: https://h/, headers: {headers}}}}}]"
        );
        let config = Case::yaml(&yaml).env("CT", "text/xml").config();
        let Destination::Webhook(webhook) = &config.exports[0].destination else { panic!() };
        assert_eq!(webhook.json, json, "{headers}");
    }
}

#[test]
fn what_can_never_be_right_is_refused() {
    for (export, said) in [
        (
            "destination: webhook, format: cef, \
             webhook: {url: 'https://h/', headers: {Content-Type: application/json}}",
            "exports[0].webhook.headers.Content-Type: a line of CEF is not JSON",
        ),
        (
            "destination: webhook, format: cef, webhook: {url: 'https://hooks.slack.com/services/x', \
             headers: {Content-Type: application/json}}",
            "",
        ),
        (
            "destination: webhook, format: cef, webhook: {url: 'https://h/', \
             body_templates: {a: '{}'}, headers: {Content-Type: application/json}}",
            "warning: postrider.yaml:1:136: exports[0].webhook.headers.Content-Type: a line of CEF",
        ),
        (
            "destination: webhook, format: cef, webhook: {url: 'https://h/', \
             body_templates: {default: '{}'}, headers: {Content-Type: application/json}}",
            "",
        ),
        (
            "destination: file, file: {path: '../o/{{x}}.log'}",
            "exports[0].file.path: `..` in a path that has fields or variables",
        ),
        ("destination: file, file: {path: '../o/x.log'}", ""),
        ("destination: file, file: {path: '/o/..{{x}}/y'}", ""),
    ] {
        let found = Case::yaml(&format!("exports: [{{name: a, {export}}}]")).said();
        assert!(found.contains(said) && found.is_empty() == said.is_empty(), "{found}");
    }
}

#[test]
fn anchors_and_merges_are_followed() {
    let config = Case::yaml(
        "
x-retry: &retry {max_attempts: 2, jitter: 0}
exports:
  - {name: a, destination: console, retry: *retry}
  - {name: b, destination: console, retry: {<<: *retry, max_attempts: 3}}
",
    )
    .config();
    let attempts: Vec<_> = config.exports.iter().map(|e| e.retry.max_attempts.get()).collect();
    assert_eq!(attempts, [2, 3]);
}

#[test]
fn a_template_of_its_own_file_has_its_own_places() {
    let case = Case::new(&[
        (
            "postrider.yaml",
            "exports: [{name: a, destination: webhook, webhook: {url: https://h/, body_template_file: b.j2}}]",
        ),
        ("b.j2", "{\"a\":\n  \"${GONE}\"}"),
    ]);
    assert!(
        case.said().starts_with("b.j2:2:4: exports[0].webhook.body_template_file: `${GONE}`"),
        "{}",
        case.said()
    );
    fs::write(case.folder().join("b.j2"), [0xff]).unwrap();
    assert!(case.said().contains("cannot be read: it is not UTF-8"), "{}", case.said());
}

#[test]
fn what_an_export_must_not_carry_is_read() {
    let config = Case::yaml(
        "
defaults: {redact: {categories: [secrets]}}
exports:
  - {name: a, destination: console, redact: {fields: [x.y, /z], strategy: remove}}
  - {name: b, destination: console, redact: {categories: [pii.email, pii.phone, pii.financial], strategy: hash}}
  - {name: c, destination: console, limit_fields: {/p/q: 1KB, r: 3}}
",
    )
    .config();
    let text = |index: usize, text: &str| {
        let redaction = config.exports[index].redaction.as_ref().unwrap();
        redaction.text(crate::event::json::Json::check(text).unwrap())
    };
    let event = r#"{"x":{"y":1},"z":2,"password":"p","r":"long"}"#;
    assert_eq!(text(0, event).unwrap(), r#"{"x":{},"password":"","r":"long"}"#);
    assert_eq!(text(1, event), None);
    assert!(text(1, r#"{"m":"a@b.de"}"#).unwrap().contains("sha256:"));
    let cut = r#"{"x":{"y":1},"z":2,"password":"***","r":{"truncated":true,"bytes":6}}"#;
    assert_eq!(text(2, event).unwrap(), cut);
}
