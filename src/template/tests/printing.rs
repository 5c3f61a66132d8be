//! What templates print, as tables.

use super::{CONTEXT, EVENT, render, render_with};
use crate::template::{Escape, Markup, RenderContext};

#[test]
fn what_templates_print() {
    use Escape::{Json, None, Url};
    for (template, escape, expected) in [
        // The envelope wins over fields of its names.
        (
            "{{audit_id}} {{root.audit_id}} {{severity}} {{event_kind}}",
            None,
            "ae_1 field error policy_block",
        ),
        (
            "{{postrider.export}} {{postrider.source}} {{postrider.attempt}} {{postrider.delivery_id}} {{postrider.now}}",
            None,
            "alerts app 2 d1 1970-01-01T00:00:00.000Z",
        ),
        // Absent fields, at any depth and below anything.
        ("[{{x}}{{x.y.z}}{{s.y.z}}{{n.y}}{{nul.y}}{{list.a}}{{list[9]}}{{o['q']}}]", None, "[]"),
        (
            r#"{"a": {{x.y}}, "b": "{{x.y}}", "c": {{nul}}, "d": "{{nul}}"}"#,
            Json,
            r#"{"a": null, "b": "", "c": null, "d": ""}"#,
        ),
        // Digits, order and repeated keys stay.
        (
            "{{cost}} {{huge}} {{big}} {{o}} {{o.z}} {{o.a.b[1]}}",
            None,
            r#"1.10 1e400 18446744073709551616 {"z":1,"a":{"b":[1, 2.50, "x"]},"z":2} 2 2.50"#,
        ),
        ("{% for c in costs %}{{c.v}},{% endfor %}", None, "2.50,10,0.5,"),
        (
            "{{list[-1]}}{{list[0]}}{{list[:2]}}{{list[::-1]}}{{s[0:3]}}{{s[-2:]}}",
            None,
            "23[3,1][2,1,3]a\"bé>",
        ),
        // In a JSON string, outside of one, in text, in a URL.
        (
            r#"{"s": "{{s}}", "t": {{s}}, "o": {{o.a}}, "p": "{{o.a}}"}"#,
            Json,
            r#"{"s": "a\"b\n<é>", "t": "a\"b\n<é>", "o": {"b":[1, 2.50, "x"]}, "p": "{\"b\":[1, 2.50, \"x\"]}"}"#,
        ),
        (
            r#"{"k{{n}}": [{{t}}, {{f}}, {{n}}, {{cost}}, {{huge}}]}"#,
            Json,
            r#"{"k7": [true, false, 7, 1.10, 1e400]}"#,
        ),
        ("{{s}}|{{t}}|{{n}}", None, "a\"b\n<é>|true|7"),
        (
            "/p/{{s}}?q={{o.a.b}}&k=${PATH}",
            Url,
            "/p/a%22b%0A%3C%C3%A9%3E?q=%5B1%2C%202.50%2C%20%22x%22%5D&k=a/b?c=1",
        ),
        ("{{ 'a b/c' | urlencode }} {{ '../x%2F' | safe }}", Url, "a%20b%2Fc ..%2Fx%2F"),
        (r#""C:\{{s}}""#, Json, r#""C:\\a\"b\n<é>""#),
        // Values are never template text.
        ("{{braces}}${EVIL}", None, "{{ s }}{% if %}{{ 7 * 7 }}"),
        // Variables.
        (
            r#"{"k": "${KEY}", "j": ${KEY}, "d": "${V:-d}"}"#,
            Json,
            r#"{"k": "k\"ey", "j": "k\"ey", "d": "d"}"#,
        ),
        ("$${KEY} $$ ${V:-d}$", None, "${KEY} $$ d$"),
        ("{{ 'a${KEY}b' ~ \"$${KEY}\" }}", None, "ak\"eyb${KEY}"),
        ("{{ event_json | hmac_sha256('${V:-d}') | length }}", None, "64"),
        ("{% raw %}{{ no }}{% endraw %}{# gone ${NONE} #}", None, "{{ no }}"),
        // Operators.
        (
            "{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ -n }}",
            None,
            "5.0 3 -4 2 1024 -7",
        ),
        (
            "{{ cost * 2 }} {{ huge > 5 }} {{ cost == 1.1 }} {{ big > 0 }} {{ 'a' ~ n ~ nul ~ t }}",
            None,
            "2.2 true true true a7true",
        ),
        (
            "{{ x + 1 }}|{{ x * y }}|{{ -x }}|{{ x.y > 0.5 }}{{ x.y < 0.5 }}{{ x <= 1 }}{{ x >= x }}",
            None,
            "|||falsefalsefalsefalse",
        ),
        (
            "{{ x == none }}{{ nul == none }}{{ x == nul }}{{ x != 1 }}{{ 1 < n < 9 }}{{ 9 > n > 8 }}",
            None,
            "truetruetruetruetruefalse",
        ),
        (
            "{{ 'a' in o }}{{ 'q' in o }}{{ 3 in list }}{{ 2.5 in o.a.b }}{{ 'b' in s }}{{ 'a' in x }}{{ 'policy' in event_kind }}{{ 4 not in list }}",
            None,
            "truefalsetruetruetruefalsetruetrue",
        ),
        ("{{ s > 5 }}{{ [1] < 'a' }}{{ t == 1 }}{{ '7' == n }}", None, "falsefalsefalsefalse"),
        (
            "{{ 'no_pii' in event_json }}{{ 'cost' in event_json }}{{ event_json | length > 9 }}",
            None,
            "falsetruetrue",
        ),
        ("{{ s if t and not f or x else 'no' }}{{ 'y' if x }}", None, "a\"b\n<é>"),
        (
            "{{ [1, 'a', x] }}{{ {'b': n, 'a': o.a} }}{{ (1, 2) }}",
            None,
            r#"[1,"a",null]{"b":7,"a":{"b":[1, 2.50, "x"]}}[1,2]"#,
        ),
        // Statements.
        (
            "{% for k, v in o | items %}{{k}}={{v}} {% endfor %}",
            None,
            r#"z=1 a={"b":[1, 2.50, "x"]} z=2 "#,
        ),
        (
            "{% for i in x %}{{i}}{% else %}none{% endfor %}{% for i in range(2) %}{{i}}{{loop.last}}{% endfor %}",
            None,
            "none0false1true",
        ),
        ("{{loop}}{{range}}{{debug}}", None, "fieldhostile"),
        (
            "{% set a, b = [1, 2] %}{{a}}{{b}}{% with c = a + b %}{{c}}{% endwith %}{{c}}",
            None,
            "123",
        ),
        (
            "{% with a = 1, list = 2 %}{{a}}{{list}}{{list or a.b}}{% endwith %}{{list | sum}}",
            None,
            "1226",
        ),
        (
            "{% macro m() %}{{x.y or list}}{% endmacro %}{% if x.y or list %}{{m()}}{% endif %}{{x.y or s}}",
            None,
            "[3,1,2]a\"b\n<é>",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for i in list %}{% set ns.n = ns.n + i %}{% endfor %}{{ns.n}}",
            None,
            "6",
        ),
        (
            "{% if n > 9 %}a{% elif n > 5 %}b{% else %}c{% endif %}{%- if x.y %} d{% endif %}",
            None,
            "b",
        ),
        (
            "{% set t %}{{s}}{% endset %}{\"a\": \"{{t}}\", \"b\": {{t}}}",
            Json,
            r#"{"a": "a\"b\n<é>", "b": "a\"b\n<é>"}"#,
        ),
        (
            "{% macro m(a, b='d') %}\"{{a}}{{b}}\"{% endmacro %}{\"a\": {{ m(s) }}, \"b\": \"{{ m(n, b=nul) }}\"}",
            Json,
            r#"{"a": "\"a\"b\n<é>d\"", "b": "\"7\""}"#,
        ),
        (
            "{% macro m(a) %}{\"v\": {{ a | json }}}{% endmacro %}[{{ m(s) | safe }}]",
            Json,
            r#"[{"v": "a\"b\n<é>"}]"#,
        ),
        ("[\"{% filter upper %}{{s}}{% endfilter %}\"]", Json, r#"["A\"B\n<É>"]"#),
        (
            "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{n}}{% endcall %}",
            None,
            "<7>",
        ),
        (
            "{% for x in [{'c': [{'c': []}]}] recursive %}{\"c\": [{{ loop(x.c) }}]}{% endfor %}",
            Json,
            r#"{"c": [{"c": []}]}"#,
        ),
        ("a\n{{ n }}\n", None, "a\n7\n"),
    ] {
        assert_eq!(render(template, EVENT, escape), expected, "{template}");
    }
}

#[test]
fn what_filters_make() {
    for (template, expected) in [
        ("{{ s | json }}{{ o.a | json }}{{ x | json }}", r#""a\"b\n<é>"{"b":[1, 2.50, "x"]}null"#),
        ("{{ '<a> & b' | slack }}", "&lt;a&gt; &amp; b"),
        ("{{ '@everyone *x*_y_' | discord }}", "@\u{200b}everyone \\*x\\*\\_y\\_"),
        ("{{ '- a*b* [c](d) 1. 2.5' | markdown }}", "\\- a\\*b\\* \\[c\\](d) 1\\. 2\\.5"),
        (
            "{{ 'aébc' | truncate_bytes(5) }}|{{ 'aébcd' | truncate_bytes(5) }}|{{ 'aéb' | truncate_bytes(2) }}|{{ n | truncate_bytes(1) }}",
            "aébc|a…|a|7",
        ),
        (
            "{{ ' a\nb\r\nc\t\u{1b}[2J\u{0}\u{2028} ' | one_line }}|{{ x | one_line }}|{{ n | one_line }}|{{ '<\n>' | raw | one_line }}",
            "a b c  [2J||7|< >",
        ),
        (
            "{{ timestamp | time('%H:%M', 'Europe/Berlin') }} {{ ts | time('%F %T%.3f') }} {{ 'soon' | time('%F') }} {{ x | time }} {{ timestamp | time(zone='America/New_York') }}",
            "12:15 2025-11-20 20:20:00.123 soon  2026-04-17T06:15:03-04:00",
        ),
        (
            "{{ timestamp | epoch }} {{ timestamp | epoch(3) }} {{ ts | epoch }} {{ s | epoch }}{{ x | epoch }}",
            "1776420903 1776420903000 1763670000 ",
        ),
        (
            "{{ severity | severity_name('pagerduty') }} {{ 'fatal' | severity_name('opsgenie') }} {{ 'odd' | severity_name('syslog') }} {{ x | severity_name('syslog') }}",
            "error P1 warning ",
        ),
        (
            "{{ severity | severity_color('hex') }} {{ severity | severity_color('decimal') }} {{ 'warn' | severity_color('slack') }} {{ 'info' | severity_color('teams') }}",
            "#e74c3c 15158332 warning good",
        ),
        (
            "{{ 'what do ya want for nothing?' | hmac_sha256('Jefe') }}",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "{{ 'a b/é~' | urlencode }} {{ 'sk_live_12345678' | mask }} {{ 'secret' | mask }}",
            "a%20b%2F%C3%A9~ ***5678 ***",
        ),
        (
            "{{ x | default('d') }}{{ nul | default('d') }}{{ empty | default('d') }}{{ empty | default('e', true) }}",
            "dde",
        ),
        (
            "{{ x | upper }}{{ x | length }}{{ x | round(1) }}{{ x | join(',') }}{{ x | first }}{{ x | list }}{{ x | int }}{{ x | int(5) }}",
            "0[]5",
        ),
        (
            "{{ list | sort }}{{ list | sort(reverse=true) }}{{ list | max }}{{ list | sum }}{{ list | join('-') }}{{ [cost, 1] | min }}",
            "[1,2,3][3,2,1]363-1-21",
        ),
        (
            "{{ costs | sum(attribute='v') }} {{ costs | map(attribute='v') | join(' ') }} {{ costs | sort(attribute='v') }}",
            r#"13.0 2.50 10 0.5 [{"v":0.5},{"v":2.50},{"v":10}]"#,
        ),
        (
            "{{ costs | selectattr('v', 'gt', 1) | list }} {{ o.a.b | select('string') | list }}",
            r#"[{"v":2.50},{"v":10}] ["x"]"#,
        ),
        (
            "{{ 'a,b' | split(',') }} {{ 'aXa' | replace('a', 'b') }} {{ cost | round }} {{ ' a ' | trim }} {{ '%s-%d' | format('a', n) }}",
            r#"["a","b"] bXb 1.0 a a-7"#,
        ),
        (
            "{{ n is odd }}{{ x is defined }}{{ nul is none }}{{ x is none }}{{ cost is number }}{{ event_json is string }}{{ x is number }}{{ n is gt(5) }}{{ s is startingwith('a') }}",
            "truefalsetruetruetruetruefalsetruetrue",
        ),
        (
            "{{ '<' | e }}{{ s | string | length }}{{ t | string }}{{ 'x' | raw }}{{ n | abs }}",
            "&lt;7truex7",
        ),
    ] {
        assert_eq!(render(template, EVENT, Escape::None), expected, "{template}");
    }
    for (template, expected) in [
        (
            "[{{ s | raw }}, \"{{ s | raw }}\", {{ x | raw }}, {{ o.a | raw }}]",
            r#"["a\"b\n<é>", "a\"b\n<é>", null, {"b":[1, 2.50, "x"]}]"#,
        ),
        (
            "[{{ 'a b' | urlencode }}, {{ o.a | tojson }}, \"{{ o.a | tojson }}\", {{ x | safe }}]",
            r#"["a%20b", {"b":[1, 2.50, "x"]}, "{\"b\":[1, 2.50, \"x\"]}", null]"#,
        ),
    ] {
        assert_eq!(render(template, EVENT, Escape::Json), expected, "{template}");
    }
}

#[test]
fn the_seeds_body_is_json() {
    let template = "{\n  \"routing_key\": \"${KEY}\",\n  \"payload\": {\n    \"summary\": \"TapPass {{event_kind}} on {{agent_id}}\",\n    \"severity\": \"{{severity}}\",\n    \"custom_details\": {{event_json}}\n  }\n}\n";
    let rendered = render(template, EVENT, Escape::Json);
    let json: serde_json::Value = serde_json::from_str(&rendered.replace("1e400", "1")).unwrap();
    assert_eq!(json["payload"]["summary"], "TapPass policy_block on bot \"7\"");
    assert_eq!(json["routing_key"], "k\"ey");
    assert!(rendered.contains(EVENT));
}

#[test]
fn masked_variables_print_stars() {
    let masked = RenderContext { mask_variables: true, ..CONTEXT };
    let template = "${KEY} {{ 'a${KEY}b' }} {{ 'x' }}";
    assert_eq!(render_with(template, "{}", Escape::None, &masked).unwrap(), "*** a***b x");
}

#[test]
fn values_are_escaped_for_a_platform_once() {
    let slack = Escape::Message(Markup::Slack);
    let discord = Escape::Message(Markup::Discord);
    for (template, escape, expected) in [
        (r#"{"a": "<b> {{s}}"}"#, slack, r#"{"a": "<b> a\"b\n&lt;é&gt;"}"#),
        // Outside of a string, and through `json`, a text is one all the same.
        (
            r#"{"a": {{s}}, "b": {{ s | json }}}"#,
            slack,
            r#"{"a": "a\"b\n&lt;é&gt;", "b": "a\"b\n&lt;é&gt;"}"#,
        ),
        // What is no text, and the whole event, stays as it is.
        (r#"[{{list}}, {{ list | json }}, {{o.z}}]"#, discord, "[[3,1,2], [3,1,2], 2]"),
        (r#""{{list}}""#, discord, r#""\\[3,1,2\\]""#),
        // Escaped by hand, or not at all: nothing is escaped twice.
        (r#""{{ s | slack }}{{ s | slack | clip(9) }}""#, slack, r#""a\"b\n&lt;é&gt;a\"b\n&lt;…""#),
        (r#""{{ s | slack | truncate_bytes(8) }}""#, slack, r#""a\"b\n&…""#),
        (r#""{{ s | raw }}" {{ s | raw }}"#, slack, r#""a\"b\n<é>" "a\"b\n<é>""#),
        (r#""{{ '`a*' | code | raw }}""#, discord, r#""`ˋa*`""#),
        (r#""{{ 'http://x/)' | link | raw }}""#, discord, r#""http://x/%29""#),
        // A variable is a value like any other.
        (r#""{{ '<' }}${EVIL}""#, slack, r#""&lt;{{ 7 * 7 }}""#),
    ] {
        assert_eq!(render(template, EVENT, escape), expected, "{template}");
    }
}
