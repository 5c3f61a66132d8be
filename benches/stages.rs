//! The stages of an event's way, one by one: reading the envelope, filtering, redacting,
//! rendering, signing.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use jiff::Timestamp;
use postrider::event::json::Json;
use postrider::event::{Globs, Origin, Position, Record, Severity, StreamId};
use postrider::filter::Filter;
use postrider::presets;
use postrider::redact::{Category, Redaction, Strategy};
use postrider::schema::Schema;
use postrider::signature::{Algorithm, Form, Key};
use postrider::template::{Escape, Expression, RenderContext, Template, TemplateText};
use sha2::Sha256;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};

/// An audit event of 441 bytes.
const LINE: &str = r#"{"audit_id":"ae_0000000042","timestamp":"2026-04-17T10:15:03.042Z","event_kind":"policy_block","severity":"error","agent_id":"support-bot","session":"myapp/main","policy_result":{"verdict":"deny","rule":"no_pii_to_external","score":0.042},"request":{"tool":"http_post","url":"https://api.example.com/v1/customers/42","bytes":1042,"headers":{"content-type":"application/json"}},"message":"Outbound request blocked: the payload holds personal data"}"#;

const SMALL: &str = r#"{"routing_key": "${KEY}", "event_action": "trigger", "payload": {"summary": "{{event_kind}} on {{agent_id}}", "severity": "{{severity}}", "source": "bench", "custom_details": {{event_json}}}}"#;

const TEN_FIELDS: &str = r#"{"id": "{{audit_id}}", "at": "{{timestamp}}", "kind": "{{event_kind}}", "who": "{{agent_id}}", "session": {{session}}, "verdict": "{{policy_result.verdict}}", "rule": {{policy_result.rule}}, "score": {{policy_result.score}}, "url": "{{request.url}}", "text": "{{message}}"}"#;

/// The default schema, made once as a source makes it.
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::default);

/// The source's name, likewise.
static SOURCE: LazyLock<Arc<str>> = LazyLock::new(|| "bench".into());

fn record() -> Record<'static> {
    let (json, envelope) = SCHEMA.read(LINE).expect("the line is an event");
    let position = Position { stream: StreamId::from_bytes([7; 16]), offset: 0, index: 0 };
    Record::new(
        json,
        envelope,
        Origin { source: &*SOURCE, position, accepted_at: Timestamp::UNIX_EPOCH },
    )
}

fn template(text: &str) -> Template {
    let variables = [("KEY".to_owned(), "0123456789abcdef".to_owned())].into();
    Template::compile(&TemplateText { text: text.to_owned(), variables })
        .expect("the template is valid")
}

fn envelope(criterion: &mut Criterion) {
    let schema = &*SCHEMA;
    let mut group = criterion.benchmark_group("envelope");
    group.throughput(Throughput::Bytes(LINE.len() as u64));
    group.bench_function("read in place", |bencher| bencher.iter(|| schema.read(black_box(LINE))));
    group.bench_function("owned event", |bencher| bencher.iter(|| record().event().clone()));
    group.finish();
}

fn filter(criterion: &mut Criterion) {
    let record = record();
    let globs = |list: &[&str]| {
        Globs::new(list.iter().map(|glob| (*glob).to_owned()).collect()).expect("valid globs")
    };
    let filter = Filter {
        min_severity: Some(Severity::Warn),
        event_kinds: Some(globs(&["auth_*", "policy_block"])),
        ..Filter::default()
    };
    let when = Filter {
        when: vec![("policy_result.verdict".parse().expect("a path"), globs(&["deny"]))],
        ..Filter::default()
    };
    let text = TemplateText {
        text: "policy_result.score < 0.5 and 'personal' in message".to_owned(),
        ..Default::default()
    };
    let expr =
        Filter { expr: Some(Expression::compile(&text).expect("valid")), ..Filter::default() };
    record.event();
    let mut group = criterion.benchmark_group("filter");
    group.bench_function("severity and kinds", |bencher| {
        bencher.iter(|| filter.decide(black_box(&record)))
    });
    group.bench_function("when", |bencher| bencher.iter(|| when.decide(black_box(&record))));
    group.bench_function("expr", |bencher| bencher.iter(|| expr.decide(black_box(&record))));
    group.finish();
}

fn redact(criterion: &mut Criterion) {
    use Category::{Email, Financial, Phone, Secrets};
    let redaction = |fields: &[&str], categories: &[Category]| {
        let fields = fields.iter().map(|path| path.parse().expect("a path")).collect();
        Redaction::new(fields, categories.iter().copied().collect(), Strategy::Mask)
    };
    let all = redaction(&[], &[Secrets, Email, Phone, Financial]);
    let one = LINE.replace("personal data", "a@example.com");
    let (plain, one) = (Json::check(LINE).expect("JSON"), Json::check(&one).expect("JSON"));
    let mut group = criterion.benchmark_group("redact");
    group.throughput(Throughput::Bytes(LINE.len() as u64));
    for (name, redaction, json) in [
        ("all categories, nothing to find", &all, plain),
        ("all categories, one found", &all, one),
        ("a field that is not there", &redaction(&["request.headers.authorization"], &[]), plain),
        ("a field", &redaction(&["request.headers.content-type"], &[]), plain),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| redaction.text(black_box(json))));
    }
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let event = record().event().clone();
    let context = RenderContext {
        export: "bench",
        delivery_id: "00112233445566778899aabbccddeeff",
        attempt: 1,
        now: Timestamp::UNIX_EPOCH,
        mask_variables: false,
    };
    let mut group = criterion.benchmark_group("render");
    for (name, text) in [("a small body", SMALL), ("ten fields", TEN_FIELDS)] {
        let template = template(text);
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                template.render(black_box(&event), &context, Escape::Json, &mut out)
            });
        });
    }
    for (name, style) in [
        ("slack", Some("attachments")),
        ("slack", Some("blocks")),
        ("discord", None),
        ("teams", None),
        ("pagerduty", None),
    ] {
        let preset = presets::named(name).expect("a platform");
        let options = [("routing_key".to_owned(), "'k'".to_owned())].into();
        let bodies =
            preset.bodies(style, &options, &TemplateText::default()).expect("its messages");
        let escape = preset.markup().map_or(Escape::Json, Escape::Message);
        let limits = preset.limits().expect("its bounds");
        let mut out = Vec::new();
        let name = format!("a message to {name} {}", style.unwrap_or_default());
        group.bench_function(name.trim_end(), |bencher| {
            bencher.iter(|| {
                out.clear();
                let event = black_box(&event);
                let body = bodies.iter().find(|body| body.takes(event)).expect("a body");
                body.template.render(event, &context, escape, &mut out).expect("it renders");
                let text = std::str::from_utf8(&out).expect("UTF-8");
                Json::check_rendered(text).expect("JSON");
                limits.apply(text).expect("within its bounds").len()
            });
        });
    }
    group.finish();
}

/// Our signing beside the bare library's, whose key is prepared beforehand too.
fn sign(criterion: &mut Criterion) {
    let key = Key::new(Algorithm::Sha256, b"key").expect("a key");
    let bare = Hmac::<Sha256>::new_from_slice(b"key").expect("a key");
    let form = Form::github(vec![key.clone()]);
    for (size, name) in [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let body = LINE.as_bytes().repeat(size / LINE.len() + 1);
        let body = &body[..size];
        let mut group = criterion.benchmark_group(format!("sign {name}"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("the bare library", |bencher| {
            bencher.iter(|| {
                let mut mac = bare.clone();
                mac.update(black_box(body));
                mac.finalize().into_bytes()
            });
        });
        group.bench_function("a tag", |bencher| bencher.iter(|| key.sign([black_box(body)])));
        group.bench_function("a header", |bencher| {
            bencher.iter(|| {
                let mut headers = HeaderMap::new();
                form.sign(&mut headers, black_box(body), "id", Timestamp::UNIX_EPOCH)
                    .expect("it fits");
                headers
            });
        });
        group.finish();
    }
}

criterion_group!(stages, envelope, filter, redact, render, sign);
criterion_main!(stages);
