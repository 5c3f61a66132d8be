//! Any template over any event: nothing panics, output is bounded, an error leaves the output as it
//! was, and values of variables stay out of errors. The input is a template, a line end, an event.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use postrider::event::{Event, Origin, Position, Severity, StreamId, Text};
use postrider::template::{Escape, Expression, MAX_OUTPUT, RenderContext, Template, TemplateText};

const SECRET: &str = "hunter2-s3cret";

fn event(text: &str) -> Option<Event> {
    Some(Event {
        text: Text::check(text.to_owned()).ok()?,
        audit_id: "ae_1".into(),
        timestamp: "2026-04-17T10:15:03Z".into(),
        event_kind: "policy_block".into(),
        severity: Severity::Error,
        agent_id: "bot \"7\"".into(),
        origin: Origin {
            source: "app".into(),
            position: Position { stream: StreamId::from_bytes([1; 16]), offset: 0, index: 0 },
            accepted_at: Timestamp::UNIX_EPOCH,
        },
        about: None,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    // The fuzzer learns the secret from comparisons; what says it itself may show it.
    if input.contains("hunter2") || input.contains("s3cret") {
        return;
    }
    let (template, line) = input.rsplit_once('\n').unwrap_or((input, "{\"a\":1,\"b\":[\"x\"]}"));
    let Some(event) = event(line) else { return };
    let text = TemplateText {
        text: template.to_owned(),
        variables: [("KEY".to_owned(), SECRET.to_owned())].into(),
    };
    if let Ok(expression) = Expression::compile(&text)
        && let Err(error) = expression.eval(&event)
    {
        assert!(!error.0.contains(SECRET), "{error}");
    }
    let template = match Template::compile(&text) {
        Ok(template) => template,
        Err(error) => {
            assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
            return;
        }
    };
    for escape in [Escape::Json, Escape::None, Escape::Url] {
        let context = RenderContext {
            export: "alerts",
            delivery_id: "d1",
            attempt: 2,
            now: Timestamp::UNIX_EPOCH,
            mask_variables: false,
        };
        let mut out = b"before".to_vec();
        match template.render(&event, &context, escape, &mut out) {
            Ok(()) => {
                assert!(out.len() <= MAX_OUTPUT + 6);
                assert!(std::str::from_utf8(&out).is_ok_and(|out| out.starts_with("before")));
            }
            Err(error) => {
                assert_eq!(out, b"before");
                assert!(!error.0.contains(SECRET), "{error}");
            }
        }
        let mut masked = Vec::new();
        let context = RenderContext { mask_variables: true, ..context };
        if template.render(&event, &context, escape, &mut masked).is_ok() {
            assert!(!String::from_utf8_lossy(&masked).contains(SECRET));
        }
    }
});
