//! What no input may do: panic, hang, or show a secret.

use super::super::tree::{Format, Origin, Position, position_inside, read};
use super::Case;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "exports",
        "sources",
        "name",
        "destination",
        "webhook",
        "url",
        "retry",
        "defaults",
        "log",
        ": ",
        "\n",
        "\n  ",
        "\n- ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "${",
        "}",
        "$${",
        "${X:-",
        "{{",
        "# ",
        "\t",
        "0640",
        "null",
        "~",
        "true",
        "1e999",
        "é",
        "\u{feff}",
        "\0",
        "--- ",
        "...",
        "? ",
        "https://h/",
        "a",
        "[]",
    ];
    prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(parts in prop::collection::vec(fragment(), 0..40)) {
        let text = parts.concat();
        for name in ["a.yaml", "a.toml", "a.json"] {
            let case = Case::new(&[(name, &text)]);
            if let Err(problems) = case.load() {
                prop_assert!(!problems.problems.is_empty(), "refused without a reason");
            }
        }
    }

    #[test]
    fn no_value_panics(key in "[a-z_]{1,12}", value in ".{0,20}", path in "[a-z0-9.]{0,30}") {
        let yaml = format!("exports: [{{name: a, destination: webhook, webhook: {{url: 'https://h/'}}, {key}: 1}}]");
        let _ = Case::yaml(&yaml).set(&format!("{path}={value}")).load();
        let _ = Case::yaml(&yaml).set(&format!("exports.a.webhook.{key}={value}")).load();
        let _ = Case::yaml(&yaml).env(&format!("POSTRIDER__{path}"), &value).load();
        let _ = Case::yaml(&yaml).set("exports.a.webhook.url=${X}").env("X", &value).load();
    }

    #[test]
    fn places_inside_a_text_are_those_of_the_file(
        lines in prop::collection::vec("[ -~é]{0,10}", 1..5),
        indent in 1usize..5,
    ) {
        let text: String = lines.iter().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect();
        let document = format!("k:\n  body: |{indent}\n{}", text.lines().map(|l| format!("  {l}\n")).collect::<String>());
        let origin = Origin::file("x".into(), Path::new("x"), document.as_str().into());
        let Some(mut root) = read(Format::Yaml, &document, &origin, &mut Vec::new()) else { return Ok(()) };
        let origin = Arc::new(origin);
        root.walk_mut(&mut |node| node.origin = Some(origin.clone()));
        let node = root.get("k").unwrap().get("body").unwrap();
        let document: Vec<&str> = document.lines().collect();
        let body = node.as_scalar().unwrap().text.clone();
        for (n, line) in body.lines().enumerate() {
            if let Some(Position { line: at, column }) = position_inside(node, n + 1, 1) {
                prop_assert_eq!(document[at - 1].get(column - 1..).unwrap_or(""), line);
            }
        }
    }
}

#[test]
fn bombs_are_refused_in_time() {
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        laughs += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    let block = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    for (name, text) in [
        ("a.yaml", deep.clone()),
        ("a.yaml", laughs),
        ("a.yaml", block),
        ("a.json", format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100))),
        ("a.json", deep.replace("a: ", "")),
        ("a.toml", deep.replace("a: ", "a = ")),
        ("a.toml", format!("a{} = 1", ".a".repeat(5000))),
        ("a.yaml", format!("exports: [{}]", "{x: 1, y: 2}, ".repeat(2000))),
    ] {
        // One that is taken apart piece by piece would not end while anyone waits.
        let problems = Case::new(&[(name, &text)]).load().unwrap_err();
        assert!(!problems.problems.is_empty(), "{name} of {} bytes", text.len());
    }
    let set = format!("{}=1", ["a"; 10_000].join("."));
    assert!(Case::yaml("exports: []").set(&set).load().is_err());
}

#[test]
fn values_of_variables_never_appear() {
    const CANARY: &str = "c4n4ry-v4lue";
    for key in [
        "name",
        "destination",
        "enabled",
        "webhook.url",
        "webhook.method",
        "webhook.timeout",
        "webhook.concurrency",
        "webhook.platform",
        "webhook.body_template_file",
        "webhook.max_body_bytes",
        "filters.min_severity",
        "filters.unmatched",
        "retry.jitter",
        "retry.retry_on.0",
        "retry.backoff_seconds.0",
        "filters.sources.0",
        "filters.event_kinds.0",
        "rate_limit.per",
        "queue.memory_bytes",
    ] {
        let yaml = "exports: [{name: a, destination: webhook, webhook: {url: 'https://h/'}, \
                    retry: {retry_on: [5xx], backoff_seconds: [1]}, filters: {sources: [x], event_kinds: [a]}}]";
        for value in ["${V}", "x${V} [", "https://u:${V}@h/", "ftp://${V}/", "http://h/${V}"] {
            let case = Case::yaml(yaml).set(&format!("exports.a.{key}={value}")).env("V", CANARY);
            let said = case.said();
            assert!(!said.contains(CANARY), "{key}={value}: {said}");
        }
    }
    for key in ["log.level", "timezone", "admin.listen", "shutdown_grace"] {
        let case = Case::yaml("exports: []").set(&format!("{key}=${{V}}")).env("V", CANARY);
        assert!(!case.said().contains(CANARY), "{key}: {}", case.said());
    }
}
