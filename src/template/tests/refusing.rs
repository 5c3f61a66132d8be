//! What is refused when a template is read, and how rendering fails, as tables.

use super::{CONTEXT, EVENT, render_with, text};
use crate::template::*;

#[test]
fn what_is_refused() {
    for (template, line, column, message, fix) in [
        (
            "a\n {{ x | upperr }}",
            2,
            9,
            "there is no filter `upperr`",
            Some("did you mean `upper`?"),
        ),
        (
            "{{ x | severity_nam('a') }}",
            1,
            8,
            "there is no filter `severity_nam`",
            Some("did you mean `severity_name`?"),
        ),
        (
            "é{{ x is definde }}",
            1,
            10,
            "there is no test `definde`",
            Some("did you mean `defined`?"),
        ),
        ("{{ rnage(3) }}", 1, 4, "there is no function `rnage`", Some("did you mean `range`?")),
        ("{{ qqqqq() }}", 1, 4, "there is no function `qqqqq`", None),
        ("{{ debug() }}{{ super() }}", 1, 4, "there is no function `debug`", None),
        (
            "{{ x.upper() }}",
            1,
            4,
            "values have no methods such as `upper()`",
            Some("use the filter: `| upper`"),
        ),
        ("{{ x | map('uper') }}", 1, 8, "there is no filter `uper`", Some("did you mean `upper`?")),
        (
            "{{ x | selectattr('a', 'eqq', 1) }}",
            1,
            8,
            "there is no test `eqq`",
            Some("did you mean `eq`?"),
        ),
        (
            "{% filter uper %}{% endfilter %}",
            1,
            11,
            "there is no filter `uper`",
            Some("did you mean `upper`?"),
        ),
        ("\n${NONE}", 2, 1, "the variable `${NONE}` has no value", None),
        ("ab {{ 'x${NONE}' }}", 1, 9, "the variable `${NONE}` has no value", None),
        ("{{ x }} ${KEY", 1, 9, "`${` without its `}`", None),
        ("{% include 'a' %}", 1, 4, "`include` is not possible: a template stands alone", None),
        ("{% extends 'a' %}", 1, 4, "`extends` is not possible: a template stands alone", None),
        (
            "{% block a %}{% endblock %}",
            1,
            4,
            "`block` is not possible: a template stands alone",
            None,
        ),
        ("{% import 'a' as b %}", 1, 4, "`import` is not possible: a template stands alone", None),
        (
            "{% autoescape true %}{% endautoescape %}",
            1,
            4,
            "`autoescape` is not possible: values are always escaped for the place they stand in",
            None,
        ),
        (
            "{{ x | severity_name('pagerdty') }}",
            1,
            8,
            "filter `severity_name` takes one of opsgenie, pagerduty, syslog",
            None,
        ),
        (
            "{{ x | time('%F', 'Europe/Berlim') }}",
            1,
            8,
            "filter `time` needs a zone such as `Europe/Berlin`",
            None,
        ),
        (
            "{{ x | time(zone='x') }}",
            1,
            8,
            "filter `time` needs a zone such as `Europe/Berlin`",
            None,
        ),
        ("{{ x | time('%!') }}", 1, 8, "filter `time` has a format that is not strftime's", None),
        (
            "{{ __pr_add }}",
            1,
            4,
            "names beginning with `__pr` are postrider's own",
            Some("use `root[\"…\"]`"),
        ),
        (
            "{{ root.__pr }}{% set __pr = 1 %}",
            1,
            23,
            "names beginning with `__pr` are postrider's own",
            Some("use `root[\"…\"]`"),
        ),
        ("a\u{1}", 1, 2, "the control character U+0001 is not possible in a template", None),
    ] {
        let error = Template::compile(&text(template)).expect_err(template);
        let expected = TemplateError {
            line,
            column,
            message: message.to_owned(),
            fix: fix.map(str::to_owned),
        };
        assert_eq!(error, expected, "{template}");
    }
    for (template, line, column) in [
        ("a\n{{ x", 2, 4),
        ("a\n  {{ x + }}", 2, 10),
        ("{% if x %}", 1, 9),
        ("{{ x > ${KEY} }}", 1, 8),
        ("{% nope %}", 1, 4),
    ] {
        let error = Template::compile(&text(template)).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{template}: {error:?}");
    }
    let error = Expression::compile(&text("cost >\n > 1")).unwrap_err();
    assert_eq!((error.line, error.column), (2, 2), "{error:?}");
}

#[test]
fn failures_name_no_value() {
    for (template, message) in [
        (
            "{% set x %}\n\n{% endset %}{{ s + 1 }}",
            "line 3: cannot calculate with a string and a number",
        ),
        ("a\n\n{%- if s + 1 %}{% endif %}", "line 3: cannot calculate with a string and a number"),
        (
            "a\n\n{% for i in n %}{% endfor %}",
            "line 3: an operation does not fit its value, such as a loop over a number",
        ),
        ("{{ s + 1 }}", "line 1: cannot calculate with a string and a number"),
        ("${KEY}\n{{ s | round }}", "line 2: filter `round` failed on a string: invalid operation"),
        ("{% set a, b = list %}", "line 1: cannot unpack"),
        ("{{ 1 % 0 }}", "line 1: division by zero"),
        (
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "line 1: macros or loops nest too deep",
        ),
        ("{% for i in range(1000000) %}{% endfor %}", "line 1: a range has at most 100000 numbers"),
        (
            "{% for i in range(100000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
            "line 1: the loops take too long",
        ),
        (
            "{% for i in range(50000) %}{{ event_json }}{% endfor %}",
            "the text grows beyond 4 MiB and twice its event",
        ),
        (
            "{% set x %}{% for i in range(50000) %}{{ event_json }}{% endfor %}{% endset %}",
            "the text grows beyond 4 MiB and twice its event",
        ),
        ("{{ 'a' * 9999999 }}", "the text grows beyond 4 MiB and twice its event"),
        ("{{ 'x' | indent(999999999999) }}", "line 1: filter `indent` takes at most 1000"),
        ("{{ '%999999999d' | format(1) }}", "line 1: filter `format` takes widths of at most 999"),
    ] {
        let rendered = render_with(template, EVENT, Escape::Json, &CONTEXT);
        assert_eq!(rendered, Err(RenderError(message.to_owned())), "{template}");
    }
}

#[test]
fn an_event_cannot_make_a_template_work_for_long() {
    let words: Vec<String> = (0..5_000).map(|n| format!("\"w{n}\"")).collect();
    let fields: Vec<String> = (0..5_000).map(|n| format!("\"k{n:x}\":{n}")).collect();
    let words = words.join(",");
    let event = format!(
        "{{\"u\":{{{}}},\"a\":[{words}],\"b\":[{words}],\"n\":90000,\"wide\":[{}1],\"s\":\"{}\"}}",
        fields.join(","),
        " ".repeat(30_000),
        "x".repeat(30_000)
    );
    for template in [
        "{% for k in u %}{{ u[k] }}{% endfor %}",
        "{{ a | select('in', b) | list | length }}",
        "{% set l = b | list %}{% for w in a %}{% if w in l %}x{% endif %}{% endfor %}",
        "{% for w in a %}{% if w in s %}x{% endif %}{% endfor %}",
        "{% for w in a %}{% if s | upper == w %}x{% endif %}{% endfor %}",
        "{% for w in a %}{% set r = range(n) %}{% endfor %}",
        "{% for w in a %}{% set r = 'x' * n %}{% endfor %}",
        "{% for w in a %}{% set r = w | replace('w', s) %}{% endfor %}",
        "{% for w in a %}{% if wide %}x{% endif %}{% endfor %}",
    ] {
        let error = render_with(template, &event, Escape::None, &CONTEXT).unwrap_err();
        assert!(error.0.contains("the loops take too long"), "{template}: {error}");
    }
    for template in [
        "{% for k, v in u | items %}{{ k }}={{ v }} {% endfor %}",
        "{% for w in a %}{% if a and u %}x{% endif %}{% endfor %}",
        "{{ s }}{{ u }}{{ a }}",
    ] {
        assert!(render_with(template, &event, Escape::None, &CONTEXT).is_ok(), "{template}");
    }
}

#[test]
fn nothing_overflows_the_stack() {
    for unit in
        ["(", "[", "-", "not ", "x if y else ", "x and ", "x|e|", "x.", "x + ", "x ** ", "{1:"]
    {
        for count in [100, 100_000] {
            let nested = format!("{{{{ {}x }}}}", unit.repeat(count));
            let _ = Template::compile(&text(&nested));
        }
    }
    for unit in [
        "{% if x %}",
        "{% for a in b %}",
        "{% if x %}{% elif y %}",
        "{% elif y %}",
        "{% set l = [l] %}",
    ] {
        let _ = Template::compile(&text(&format!("{{% if x %}}{}", unit.repeat(5_000))));
    }
    let growing = format!("{{{{ l }}}}{}{{{{ l }}}}", "{% set l = [l] %}".repeat(2_000));
    let error = render_with(&growing, "{}", Escape::Json, &CONTEXT).unwrap_err();
    assert_eq!(error.0, "line 1: a value nests too deep to be written");
    let kept = "{% set n = namespace(a=1) %}{% set n.a = n %}{% set n.b = [n, n] %}{{ n }}";
    assert!(render_with(kept, "{}", Escape::Json, &CONTEXT).is_ok());
    assert_eq!(Template::compile(&text(&"x".repeat(MAX_TEMPLATE + 1))).unwrap_err().line, 1);
}
