//! What holds for every template and every event: a template that is JSON with values in the places
//! of its expressions renders to JSON of just that structure, and nothing panics.

use super::shapes::{Tree, any_event, any_shape, any_tree};
use super::{CONTEXT, event, text};
use crate::event::json::Json;
use crate::template::{Escape, Expression, Template, filters, jinja};
use proptest::prelude::*;

/// Text that is nearly a template.
fn nearly_template() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " a ",
        "b.c",
        "[0]",
        "[1:",
        "::-1]",
        "|",
        "upper",
        "json",
        "raw",
        "time('%F')",
        "round",
        "sort",
        "join(',')",
        "replace('a','aa')",
        "(",
        ")",
        "if ",
        "else",
        "endif",
        "for x in a",
        "endfor",
        "set y = ",
        "set y",
        "endset",
        "+",
        "-",
        "*",
        "**",
        "//",
        "%",
        "~",
        "==",
        "<",
        " in ",
        " not ",
        " and ",
        "1",
        "9223372036854775807",
        "1e300",
        "'s'",
        "\"",
        "\\",
        "${KEY}",
        "${",
        "}",
        "$${",
        "\n",
        "macro m(z)",
        "endmacro",
        "m(b)",
        "range(",
        "namespace()",
        "loop.index",
        "recursive",
        "{{ a | ",
        " }}",
        "{{ b[",
        "] }}",
        "{{ -a }}",
        "{{ a ",
        "é",
        "is none",
        "none",
        "[",
        "]",
        ",",
        ":",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_body_keeps_its_structure(shape in any_shape(), event_text in any_event()) {
        let written = shape.written();
        let event = event(&event_text);
        let template = Template::compile(&text(&written)).unwrap();
        let mut out = Vec::new();
        template.render(&event, &CONTEXT, Escape::Json, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let json = Json::check(&out)
            .map_err(|e| TestCaseError::fail(format!("{written}\nmade of {event_text}\n{out}\n{e}")))?;
        prop_assert_eq!(Tree::read(json), shape.expected(event.json()), "{}\nmade of {}", written, event_text);
    }

    #[test]
    fn nothing_panics(template in nearly_template(), event_text in any_event()) {
        let event = event(&event_text);
        if let Ok(template) = Template::compile(&text(&template)) {
            for escape in [Escape::Json, Escape::None, Escape::Url] {
                let _ = template.render(&event, &CONTEXT, escape, &mut Vec::new());
            }
        }
        if let Ok(expression) = Expression::compile(&text(&template)) {
            let _ = expression.eval(&event);
        }
    }

    #[test]
    fn a_url_keeps_its_parts(value in any_tree()) {
        let event = event(&Tree::Object(vec![("a".to_owned(), value)]).written());
        let template = Template::compile(&text("/x/{{ a }}?y={{ a | raw }}&z={{ a | safe }}")).unwrap();
        let mut out = Vec::new();
        template.render(&event, &CONTEXT, Escape::Url, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let values = out.strip_prefix("/x/").and_then(|rest| rest.split_once("?y=")).and_then(|(a, rest)| {
            rest.split_once("&z=").map(|(b, c)| [a, b, c])
        });
        for value in values.unwrap() {
            prop_assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{}", out);
        }
    }

    #[test]
    fn no_filter_test_or_operator_panics(event_text in any_event(), which: prop::sample::Index) {
        let event = event(&event_text);
        let filters = jinja::filter_names().chain(filters::FILTERS.iter().map(|row| row.0));
        let filters = filters.flat_map(|name| [
            format!("{{{{ a | {name} }}}}"),
            format!("{{{{ a | {name}(b) }}}}"),
            format!("{{{{ a | {name}(b, c) }}}}"),
            format!("{{{{ a | {name}(c, b) | list }}}}"),
            format!("{{{{ [a, b, c] | {name} }}}}"),
        ]);
        let tests = jinja::test_names()
            .flat_map(|name| [format!("{{{{ a is {name} }}}}"), format!("{{{{ a is {name}(b) }}}}")]);
        let signs = ["+", "-", "*", "/", "//", "%", "**", "~", "<", ">=", "in", "not in", "< c <"];
        let operators = signs.map(|sign| format!("{{{{ a {sign} b }}}}"));
        let slices = ["a[b:c]", "a[b:c:b]", "a[::b]", "a[b]", "-a", "range(a, b, c) | list"]
            .map(|slice| format!("{{{{ {slice} }}}}"));
        let all: Vec<String> = filters.chain(tests).chain(operators).chain(slices).collect();
        // Some refuse to be called with what they are called with, and rightly.
        if let Ok(template) = Template::compile(&text(&all[which.index(all.len())])) {
            let _ = template.render(&event, &CONTEXT, Escape::Json, &mut Vec::new());
        }
    }
}
