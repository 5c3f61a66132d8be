//! The stages of an event's way, one by one: reading the envelope, filtering, rendering, signing.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use postrider::event::{Globs, Origin, Position, Record, Severity, StreamId};
use postrider::filter::Filter;
use postrider::schema::Schema;
use postrider::signature::hmac_sha256_hex;
use postrider::template::{Escape, Expression, RenderContext, Template, TemplateText};
use std::hint::black_box;
use std::sync::LazyLock;

/// An audit event of 441 bytes.
const LINE: &str = r#"{"audit_id":"ae_0000000042","timestamp":"2026-04-17T10:15:03.042Z","event_kind":"policy_block","severity":"error","agent_id":"support-bot","session":"myapp/main","policy_result":{"verdict":"deny","rule":"no_pii_to_external","score":0.042},"request":{"tool":"http_post","url":"https://api.example.com/v1/customers/42","bytes":1042,"headers":{"content-type":"application/json"}},"message":"Outbound request blocked: the payload holds personal data"}"#;

const SMALL: &str = r#"{"routing_key": "${KEY}", "event_action": "trigger", "payload": {"summary": "{{event_kind}} on {{agent_id}}", "severity": "{{severity}}", "source": "bench", "custom_details": {{event_json}}}}"#;

const TEN_FIELDS: &str = r#"{"id": "{{audit_id}}", "at": "{{timestamp}}", "kind": "{{event_kind}}", "who": "{{agent_id}}", "session": {{session}}, "verdict": "{{policy_result.verdict}}", "rule": {{policy_result.rule}}, "score": {{policy_result.score}}, "url": "{{request.url}}", "text": "{{message}}"}"#;

/// The default schema, made once as a source makes it.
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::default);

fn record() -> Record<'static> {
    let (json, envelope) = SCHEMA.read(LINE).expect("the line is an event");
    let position = Position { stream: StreamId::from_bytes([7; 16]), offset: 0, index: 0 };
    Record::new(
        json,
        envelope,
        Origin { source: "bench".into(), position, accepted_at: Timestamp::UNIX_EPOCH },
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
    group.finish();
}

fn sign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Bytes(LINE.len() as u64));
    group.bench_function("hmac-sha256", |bencher| {
        bencher.iter(|| hmac_sha256_hex(b"key", black_box(LINE.as_bytes())))
    });
    group.finish();
}

criterion_group!(stages, envelope, filter, render, sign);
criterion_main!(stages);
