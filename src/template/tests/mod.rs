//! What the tests of templates share, and how expressions decide. What templates print, refuse and
//! survive stands in tables in the rooms below; what holds for all templates and events is in `laws`.

mod laws;
mod printing;
mod refusing;
mod shapes;

use super::*;
use crate::event::testing;

/// An event with this text, and an envelope of its own.
pub(super) fn event(text: &str) -> Arc<Event> {
    Arc::new(testing::event(text))
}

pub(super) const CONTEXT: RenderContext<'_> = RenderContext {
    export: "alerts",
    delivery_id: "d1",
    attempt: 2,
    now: Timestamp::UNIX_EPOCH,
    mask_variables: false,
};

pub(super) fn text(text: &str) -> TemplateText {
    let variables = [("KEY", "k\"ey"), ("EVIL", "{{ 7 * 7 }}"), ("V:-d", "d"), ("PATH", "a/b?c=1")];
    TemplateText {
        text: text.to_owned(),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

fn render_with(
    template: &str,
    event_text: &str,
    escape: Escape,
    context: &RenderContext<'_>,
) -> Result<String, RenderError> {
    let template =
        Template::compile(&text(template)).unwrap_or_else(|e| panic!("{template}: {e:?}"));
    let mut out = b"before ".to_vec();
    let rendered = template.render(&event(event_text), context, escape, &mut out);
    let out = String::from_utf8(out).unwrap();
    rendered.map(|()| out["before ".len()..].to_owned())
}

fn render(template: &str, event_text: &str, escape: Escape) -> String {
    render_with(template, event_text, escape, &CONTEXT)
        .unwrap_or_else(|e| panic!("{template}: {e}"))
}

pub(super) const EVENT: &str = r#"{"audit_id":"field","s":"a\"b\n<é>","n":7,"cost":1.10,"huge":1e400,"big":18446744073709551616,
 "o":{"z":1,"a":{"b":[1, 2.50, "x"]},"z":2},"list":[3,1,2],"costs":[{"v":2.50},{"v":10},{"v":0.5}],"t":true,"f":false,"nul":null,
 "empty":"","loop":"field","range":"hostile","none_list":[null],"ts":1763670000123,"braces":"{{ s }}{% if %}"}"#;

#[test]
fn expressions_decide() {
    for (expression, verdict) in [
        ("cost > 0.5 and 'a' in s", Ok(true)),
        ("cost > 0.5 and 'pii' in s", Ok(false)),
        ("x.y > 0.5", Ok(false)),
        ("not x", Ok(true)),
        ("severity in ['error', 'critical']", Ok(true)),
        ("o.a.b | length == 3", Ok(true)),
        ("event_kind == '${V:-d}'", Ok(false)),
        ("postrider.source == 'app' and postrider.export is none", Ok(true)),
        ("empty", Ok(false)),
        ("root", Ok(true)),
        ("s > 5", Err("cannot order a string and a number")),
        ("n / 0 > 1", Err("division by zero")),
        ("s * 1.5", Err("cannot calculate with a string and a number")),
        ("s | round > 1", Err("filter `round` failed on a string: invalid operation")),
    ] {
        let compiled = Expression::compile(&text(expression)).unwrap();
        let expected = verdict.map_err(|message| RenderError(message.to_owned()));
        assert_eq!(compiled.eval(&event(EVENT)), expected, "{expression}");
    }
}

#[test]
fn names_and_constants() {
    let compiled = |template| Template::compile(&text(template)).unwrap();
    let names = compiled(
        "{% set a = b %}{{ a }}{{ severity }}{{ event_json }}{{ c.d }}{{ root.e }}${V:-d}{{ postrider.now }}",
    );
    assert_eq!(names.names(), ["b", "c"]);
    let set = compiled(
        "{% macro m(x) %}{{ caller() }}{{ x }}{{ y }}{% endmacro %}{% call m(1) %}{% endcall %}\
         {% for i in z %}{{ loop.index }}{{ i }}{% endfor %}",
    );
    assert_eq!(set.names(), ["y", "z"]);
    for (template, constant) in [
        ("plain {\"a\": 1}\n", Some("plain {\"a\": 1}\n")),
        ("a $${b}{# note #}c", Some("a ${b}c")),
        ("", Some("")),
        ("a {{ 1 }}", None),
        ("a ${KEY}", None),
    ] {
        assert_eq!(compiled(template).as_constant(), constant, "{template}");
    }
}

#[test]
fn templates_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Template>();
    shared::<Expression>();
}
