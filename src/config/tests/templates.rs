//! Where the problems of templates stand: in the file where their text stands there letter for
//! letter, else at the value with the place inside the text beside it.

use super::super::decode::Pruned;
use super::super::report::Report;
use super::super::tree::{Format, Origin, read};
use super::super::variables::Variables;
use crate::template::TemplateError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is said of line 2, or with one line of line 1, column 5 of the text under `k`.
fn said(format: Format, document: &str, line: usize) -> String {
    let origin = Origin::file("p".into(), Path::new("p"), document.into());
    let mut root = read(format, document, &origin, &mut Vec::new()).unwrap();
    let origin = Arc::new(origin);
    root.walk_mut(&mut |node| node.origin = Some(origin.clone()));
    let environment = BTreeMap::new();
    let report = Report {
        root: &root,
        pruned: &Pruned::default(),
        variables: &Variables::new(&environment, false),
        working_dir: Path::new("/"),
        problems: RefCell::default(),
        warnings: RefCell::default(),
        files: RefCell::default(),
        messages: RefCell::default(),
    };
    let error = TemplateError { line, column: 5, message: "bad".into(), fix: Some("mend".into()) };
    report.top().key("k").template_problem(&error);
    report.problems.into_inner()[0].to_string()
}

#[test]
fn problems_of_templates_have_their_places() {
    use Format::{Json, Toml, Yaml};
    let outside = "k: line 2, column 5 of the template: bad";
    for (format, document, line, expected) in [
        (Yaml, "k: |\n  {\n   \"a\": {{b}}}\n", 2, "p:3:7: k: bad"),
        (Yaml, "k: |-\n\n    a\n", 2, "p:3:9: k: bad"),
        (Yaml, "k: &x |2+ # why\n    a\n   b\n", 2, "p:3:7: k: bad"),
        (Yaml, "k: |\r\n  a\r\n  bcdef\r\n", 2, "p:3:7: k: bad"),
        (Yaml, "k: a {{ b }}\n", 1, "p:1:8: k: bad"),
        (Yaml, "k: 'é {{ b }}'\n", 1, "p:1:9: k: bad"),
        (Yaml, "k: \"a {{ b }}\"\n", 1, "p:1:9: k: bad"),
        (Yaml, "k: \"a\\n{{ b }}\"\n", 2, &format!("p:1:4: {outside}")),
        (Yaml, "k: >\n  a\n  b\n\n  c\n", 2, &format!("p:2:3: {outside}")),
        (Json, "{\"k\": \"a {{ b }}\"}", 1, "p:1:12: k: bad"),
        (Toml, "k = '''\na\nb {{ c }}'''\n", 2, &format!("p:1:5: {outside}")),
        (Toml, "k = \"a {{ b }}\"\n", 1, "p:1:10: k: bad"),
    ] {
        let expected = format!("{expected}\n  fix: mend");
        assert_eq!(said(format, document, line), expected, "{document}");
    }
}
