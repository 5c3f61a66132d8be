//! Problems of sources.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        r#"
exports: [{name: a, destination: console}]
sources:
  - {name: one, type: file, paths: [a], former_names: [two, old, ""]}
  - {name: two, type: file, paths: [b], former_names: [old, older]}
"#,
        &[],
        r#"
postrider.yaml:3:56: sources[0].former_names[0]: a source is named `two` now
  fix: leave it out: what is stored under it belongs to that source
postrider.yaml:3:66: sources[0].former_names[2]: it is empty
  fix: write a name that the source had, or leave it out
postrider.yaml:4:56: sources[1].former_names[0]: the former name `old` stands here twice
  fix: keep it with the source that goes on with what is stored under it
"#,
    ),
    (
        r#"
sources: [{name: s, type: stdin, format: raw}]
exports: [{name: a, destination: console, filters: {min_severity: error}}]
"#,
        &[],
        r#"
warning: postrider.yaml:2:67: exports[0].filters.min_severity: nothing can match: the worst that its sources give is `info`
  fix: lower it, or tell the source how bad its lines are with `event.severity`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
sources:
  - {name: internal, type: stdin}
  - {name: two, type: stdin, paths: [a]}
  - {name: f, type: file}
  - {name: g, type: file, paths: [], mode: tcp}
  - {name: h, type: http}
  - {name: i, type: socket}
  - {name: j, type: socket, mode: tcp, address: "localhost:5"}
  - {name: k, type: socket, mode: udp, address: "0.0.0.0:5"}
  - {name: l, type: socket, mode: unix, address: a.sock, schema: ramprt, format: cef}
  - {type: stdin}
  - {name: m}
  - {name: n, type: stdin, timezone: Mars, event: {id: "a..b", severity: {from: "", map: {x: bad}, default: bad, rules: [{when: {a: []}}, {is: error}]}}, max_line_bytes: 0, malformed: keep}
"#,
        &[],
        r#"
postrider.yaml:3:12: sources[0].name: `internal` is the name of postrider's own source
  fix: rename it
postrider.yaml:4:23: sources[1].type: a second source of type `stdin`: there is only one standard input
  fix: keep one of them
postrider.yaml:4:37: sources[1].paths: a source of type `stdin` has no `paths`
  fix: leave it out; `paths` belongs to type `file`
postrider.yaml:5:5: sources[2].paths: missing key
  fix: name the files, such as ["/var/log/app/*.jsonl"]
postrider.yaml:6:34: sources[3].paths: an empty list
  fix: name the files, such as ["/var/log/app/*.jsonl"]
postrider.yaml:6:44: sources[3].mode: a source of type `file` has no `mode`
  fix: leave it out; `mode` belongs to type `socket`
postrider.yaml:7:21: sources[4].type: unknown value `http`
  fix: not available in this version; one of `stdin`, `file`, `socket`
postrider.yaml:8:5: sources[5].mode: missing key
  fix: one of `tcp`, `udp`, `unix`, `unix_datagram`
postrider.yaml:8:5: sources[5].address: missing key
  fix: add where it listens, such as `127.0.0.1:9514`
postrider.yaml:9:49: sources[6].address: `localhost:5` is not an address with a port
  fix: write `127.0.0.1:5`
postrider.yaml:10:49: sources[7].address: beyond loopback anyone who reaches this socket could send events
  fix: listen on 127.0.0.1, or say that it is meant with `authentication: {type: none}`
postrider.yaml:11:66: sources[8].schema: unknown value `ramprt`
  fix: did you mean `rampart`?
postrider.yaml:12:5: sources[9].name: missing key
  fix: add `name:`
postrider.yaml:13:5: sources[10].type: missing key
  fix: add `type:`
postrider.yaml:14:38: sources[11].timezone: `Mars` is not a time zone
  fix: write `UTC` or a name such as `Europe/Berlin`
postrider.yaml:14:56: sources[11].event.id: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:14:81: sources[11].event.severity.from: `` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:14:94: sources[11].event.severity.map.x: unknown value `bad`
  fix: one of `debug`, `info`, `notice`, `warn`, `error`, `critical`, `alert`, `emergency`
postrider.yaml:14:109: sources[11].event.severity.default: unknown value `bad`
  fix: one of `debug`, `info`, `notice`, `warn`, `error`, `critical`, `alert`, `emergency`
postrider.yaml:14:122: sources[11].event.severity.rules[0].is: missing key
  fix: add `is:`
postrider.yaml:14:133: sources[11].event.severity.rules[0].when.a: an empty list matches nothing
  fix: name a pattern, or leave the key out
postrider.yaml:14:139: sources[11].event.severity.rules[1].when: missing key
  fix: add `when:`
postrider.yaml:14:171: sources[11].max_line_bytes: no line is that short
  fix: write a size such as `1MiB`
postrider.yaml:14:185: sources[11].malformed: unknown value `keep`
  fix: one of `dead_letter`, `wrap`, `drop`
"#,
    ),
    (
        r#"
exports: [{name: "", destination: console}]
sources: [{name: s p, type: stdin}]
"#,
        &[],
        r#"
postrider.yaml:1:18: exports[0].name: it is empty
  fix: give it a name
postrider.yaml:2:18: sources[0].name: `s p` is not a name
  fix: use up to 128 letters, digits, `_`, `-` and `.`
"#,
    ),
    (
        r#"
sources: [{name: f, type: file, paths: ["", "/var/[a"], exclude: ["{a"], read_from: start, follow: 2}]
exports: [{name: a, destination: console}]
"#,
        &[],
        r#"
postrider.yaml:1:41: sources[0].paths[0]: it is empty
  fix: name a file or a glob
postrider.yaml:1:45: sources[0].paths[1]: `/var/[a` is not a glob: brackets that never close
  fix: write `\[` for the bracket itself; a class of a path holds no `/`
postrider.yaml:1:67: sources[0].exclude[0]: `{a` is not a glob: braces that never close
  fix: write `\{` for the brace itself
postrider.yaml:1:85: sources[0].read_from: unknown value `start`
  fix: one of `beginning`, `end`
postrider.yaml:1:100: sources[0].follow: expected true or false, not a number
  fix: write `true` or `false`
"#,
    ),
    (
        r#"
sources: [{name: t, type: socket, mode: tcp, address: ":9514", max_connections: 0, authentication: {type: basic}}]
exports: [{name: a, destination: console}]
"#,
        &[],
        r#"
postrider.yaml:1:55: sources[0].address: `:9514` is not an address with a port
  fix: write `127.0.0.1:9514`, or `0.0.0.0:9514` for all
postrider.yaml:1:81: sources[0].max_connections: `0` is not a whole number from 1
  fix: write `1` or more, at most `4294967295`
postrider.yaml:1:107: sources[0].authentication.type: unknown value `basic`
  fix: write `none`
"#,
    ),
    (
        r#"
sources: [{name: app, type: stdin}, {name: k8s-1, type: file, paths: [x]}]
exports: [{name: a, destination: console, filters: {sources: [ap, "k8s-*", internal, "!app"]}}]
"#,
        &[],
        r#"
warning: postrider.yaml:2:63: exports[0].filters.sources[0]: no source is named `ap`
  fix: did you mean `app`?
"#,
    ),
    (
        r#"
sources: [{name: s, type: stdin, format: raw, event: {severity: {rules: [{when: {message: ["*denied*"]}, is: error}]}}}]
exports:
  - {name: a, destination: console, filters: {min_severity: error}}
  - {name: b, destination: console, filters: {min_severity: critical}}
  - {name: c, destination: console, filters: {min_severity: critical, sources: [internal]}}
"#,
        &[],
        r#"
warning: postrider.yaml:4:61: exports[1].filters.min_severity: nothing can match: the worst that its sources give is `error`
  fix: lower it, or tell the source how bad its lines are with `event.severity`
"#,
    ),
    (
        "
sources:
  - {name: a, type: stdin, schema: cloudtrial, framing: pages}
  - {name: b, type: file, paths: [b], format: cef, unwrap: Records, framing: document}
  - {name: c, type: file, paths: [c], format: syslog, schema: cef}
  - {name: d, type: file, paths: [d], schema: cloudtrail, unwrap: a..b, max_document_bytes: 0}
exports: [{name: a, destination: console}]",
        &[],
        "
postrider.yaml:2:36: sources[0].schema: unknown value `cloudtrial`
  fix: did you mean `cloudtrail`?
postrider.yaml:2:57: sources[0].framing: unknown value `pages`
  fix: one of `lines`, `document`
postrider.yaml:3:60: sources[1].unwrap: only JSON is read so
  fix: leave it out, or `format: json`
postrider.yaml:3:78: sources[1].framing: only JSON is read so
  fix: leave it out, or `format: json`
postrider.yaml:4:47: sources[2].format: the schema `cef` is about lines of the format `cef`
  fix: leave it out, or write `cef`; `json` where they were converted before
postrider.yaml:5:67: sources[3].unwrap: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:5:93: sources[3].max_document_bytes: no document is that short
  fix: write a size such as `64MB`
",
    ),
    (
        r#"
sources:
- {name: k8s, type: file, paths: [/a], schema: kubernetes}
- {name: gh, type: file, paths: [/b], schema: github, event: {severity: {from: /level}}}
- {name: ocsf, type: file, paths: [/c], schema: ocsf}
exports:
- {name: a, destination: console, filters: {sources: [k8s], min_severity: critical}}
- {name: b, destination: console, filters: {sources: [k8s], min_severity: error}}
- {name: c, destination: console, filters: {sources: [gh], min_severity: critical}}
- {name: d, destination: console, filters: {sources: [ocsf], min_severity: emergency}}
- {name: e, destination: console, filters: {min_severity: emergency}}
"#,
        &[],
        r#"
warning: postrider.yaml:6:75: exports[0].filters.min_severity: nothing can match: the worst that its sources give is `error`
  fix: lower it, or tell the source how bad its lines are with `event.severity`
"#,
    ),
];
