//! Every problem and warning, as users see it: one row each, the configuration and what is said.

use super::Case;

/// A configuration, edits (`--set …` or `--env NAME=value`), and what is said of it.
type Row = (&'static str, &'static [&'static str], &'static str);

#[test]
fn every_problem_has_its_place_and_its_fix() {
    for (yaml, edits, said) in ROWS {
        let mut case = Case::yaml(yaml.trim_start_matches('\n'));
        for edit in *edits {
            case = match (edit.strip_prefix("--set "), edit.strip_prefix("--env ")) {
                (Some(set), _) => case.set(set),
                (_, Some(variable)) => {
                    let (name, value) = variable.split_once('=').unwrap();
                    case.env(name, value)
                }
                _ => panic!("{edit}"),
            };
        }
        assert_eq!(case.said(), said.trim(), "of {yaml}{edits:?}");
    }
}

const ROWS: &[Row] = &[
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook: {url: "https://h/x"}
    retry:
      backoff_second: [1]
      jitter: 2
      max_attempts: 0
      retry_on: [5xx, 700, 6xx]
      max_retry_after: soon
      max_elapsed: never
      backoff_seconds: []
"#,
        &[],
        r#"
postrider.yaml:6:7: exports[0].retry.backoff_second: unknown key
  fix: did you mean `backoff_seconds`?
postrider.yaml:7:15: exports[0].retry.jitter: `2` is not a share
  fix: write a number from 0 to 1
postrider.yaml:8:21: exports[0].retry.max_attempts: `0` is not a whole number from 1
  fix: write `1` or more
postrider.yaml:9:23: exports[0].retry.retry_on[1]: `700` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:10:24: exports[0].retry.max_retry_after: `soon` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:11:20: exports[0].retry.max_elapsed: `never` is not `none` or a time
  fix: write `30s`, `24h` or `none`
postrider.yaml:12:24: exports[0].retry.backoff_seconds: an empty list
  fix: name at least one wait
"#,
    ),
    (
        r#"
exports: []
"#,
        &[],
        r#"
postrider.yaml:1:10: exports: an empty list
  fix: add an export: without one no event goes anywhere
"#,
    ),
    (
        r#"
log: {level: debug}
"#,
        &[],
        r#"
postrider.yaml:1:1: exports: missing key
  fix: add an export: without one no event goes anywhere
"#,
    ),
    (
        r#"
x-anchors: {a: 1}
y-anchors: {a: 1}
exprts: [{name: a}]
"#,
        &[],
        r#"
postrider.yaml:2:1: y-anchors: unknown key
  fix: known here: `data_dir`, `log`, `shutdown_grace`, `admin`, `sources`, `exports`, `dlq`, `defaults`
postrider.yaml:3:1: exprts: unknown key
  fix: did you mean `exports`?
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webook}]
"#,
        &[],
        r#"
postrider.yaml:1:34: exports[0].destination: unknown value `webook`
  fix: did you mean `webhook`?
"#,
    ),
    (
        r#"
exports: [{name: a, destination: slack}]
"#,
        &[],
        r#"
postrider.yaml:1:34: exports[0].destination: unknown value `slack`
  fix: not available in this version; one of `webhook`, `console`, `file`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h/", platform: slack}, batch: {max_events: 3}}]
"#,
        &[],
        r#"
postrider.yaml:1:82: exports[0].webhook.platform: unknown value `slack`
  fix: not available in this version; one of `auto`, `webhook`
postrider.yaml:1:90: exports[0].batch: unknown key
  fix: leave it out: not available in this version
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook}]
"#,
        &[],
        r#"
postrider.yaml:1:11: exports[0].webhook: missing key
  fix: add where to send: `webhook: {url: https://…}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {}}]
"#,
        &[],
        r#"
postrider.yaml:1:52: exports[0].webhook.url: missing key
  fix: add where to send: `webhook: {url: https://…}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: }}]
"#,
        &[],
        r#"
postrider.yaml:1:56: exports[0].webhook.url: missing key
  fix: add where to send: `webhook: {url: https://…}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, webhook: {url: "https://h"}}]
"#,
        &[],
        r#"
postrider.yaml:1:52: exports[0].webhook: an export to `console` has no `webhook`
  fix: leave it out, or write `destination: webhook`
"#,
    ),
    (
        r#"
exports: [{destination: console}, {name: b}, {name: "a b", destination: console}, {name: "12", destination: console}]
"#,
        &[],
        r#"
postrider.yaml:1:11: exports[0].name: missing key
  fix: add `name:`
postrider.yaml:1:35: exports[1].destination: missing key
  fix: one of `webhook`, `console`, `file`
postrider.yaml:1:53: exports[2].name: `a b` is not a name
  fix: use up to 128 letters, digits, `_`, `-` and `.`
postrider.yaml:1:90: exports[3].name: `12` is not a name: it looks like an index
  fix: add a letter
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}, {name: a, destination: console}]
"#,
        &[],
        r#"
postrider.yaml:1:51: exports[1].name: the name `a` stands here twice
  fix: give each its own name
"#,
    ),
    (
        r#"
exports: a
"#,
        &[],
        r#"
postrider.yaml:1:10: exports: expected a list, not text
  fix: write `[…]`, or each element on a line of its own after `- `
"#,
    ),
    (
        r#"
exports: {a: 1}
"#,
        &[],
        r#"
postrider.yaml:1:10: exports: expected a list, not a map
  fix: write `[…]`, or each element on a line of its own after `- `
"#,
    ),
    (
        r#"
exports: [a]
"#,
        &[],
        r#"
postrider.yaml:1:11: exports[0]: expected a map of keys, not text
  fix: write its keys below it, or `{key: value}`
"#,
    ),
    (
        r#"
- a
"#,
        &[],
        r#"
postrider.yaml:1:1: a configuration is a map of keys, not a list or a single value
  fix: begin with a key, such as `exports:`
"#,
    ),
    (
        r#"
just text
"#,
        &[],
        r#"
postrider.yaml:1:1: a configuration is a map of keys, not a list or a single value
  fix: begin with a key, such as `exports:`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, filters: {sources: []}}]
"#,
        &[],
        r#"
postrider.yaml:1:62: exports[0].filters.sources: an empty list matches nothing
  fix: name a pattern, or leave the key out
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, filters: {min_severity: bad, event_kinds: [], exclude_event_kinds: ["[a"], when: {"a..b": [x], c: []}, expr: ""}}]
"#,
        &[],
        r#"
postrider.yaml:1:67: exports[0].filters.min_severity: unknown value `bad`
  fix: one of `debug`, `info`, `notice`, `warn`, `error`, `critical`, `alert`, `emergency`
postrider.yaml:1:85: exports[0].filters.event_kinds: an empty list matches nothing
  fix: name a pattern, or leave the key out
postrider.yaml:1:111: exports[0].filters.exclude_event_kinds[0]: `[a` is not a valid pattern
  fix: escape `[`, `{` and `?` with `\`
postrider.yaml:1:133: exports[0].filters.when["a..b"]: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:1:141: exports[0].filters.when.c: an empty list matches nothing
  fix: name a pattern, or leave the key out
postrider.yaml:1:152: exports[0].filters.expr: it is empty
  fix: write an expression, or leave the key out
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, filters: {when: {}}}]
"#,
        &[],
        r#"
postrider.yaml:1:59: exports[0].filters.when: an empty map holds for every event
  fix: name a field, or leave the key out
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, filters: {sources: [stdn]}}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:63: exports[0].filters.sources[0]: no source is named `stdn`
  fix: did you mean `stdin`?
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, filters: {event_kinds: [a], exclude_event_kinds: ["*"]}}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:66: exports[0].filters.event_kinds: nothing can match: `exclude_event_kinds` leaves all of these
  fix: correct one of the two
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
exports: [{name: a, destination: webhook, webhook: {url: "ftp://h/x"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: a webhook is reached by `http` or `https`
  fix: write a whole URL such as `https://hooks.example.com/path`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "hooks.example.com/SECRET"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: not a URL: relative URL without a base
  fix: write a whole URL such as `https://hooks.example.com/path`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://user:pass@h/x"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: a user name or password does not belong into the URL
  fix: send it in a header: `headers: {Authorization: "Basic ${CREDENTIALS}"}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://{{host}}/x"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: scheme, host and port must be fixed text: only path and query may be a template
  fix: write one export for each host, and choose by `filters`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h.example.com{{path}}"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: scheme, host and port must be fixed text: only path and query may be a template
  fix: write one export for each host, and choose by `filters`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "{{url}}"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: scheme, host and port must be fixed text: only path and query may be a template
  fix: write one export for each host, and choose by `filters`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h:0/x"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: not a URL that can be reached: no host or port
  fix: write a whole URL such as `https://hooks.example.com/path`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://"}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: not a URL: empty host
  fix: write a whole URL such as `https://hooks.example.com/path`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "http://example.com/x"}}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:58: exports[0].webhook.url: http://example.com/… is not encrypted: events and secrets can be read
  fix: use https
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "http://127.0.0.1:9000/x", method: post, headers: {Host: x, "b d": y, X-A: "1", x-a: "2", Content-Type: , X-B: "a\nb"}, body_template: x, body_template_file: y, timeout: 0, connect_timeout: 5 parsecs, concurrency: 0, max_body_bytes: 1XB}}]
"#,
        &[],
        r#"
postrider.yaml:1:93: exports[0].webhook.method: `post` is not a method
  fix: write `POST`
postrider.yaml:1:115: exports[0].webhook.headers.Host: `Host` is decided by the connection
  fix: leave it out: postrider sets it
postrider.yaml:1:125: exports[0].webhook.headers["b d"]: not the name of a header
  fix: use letters, digits and `-`
postrider.yaml:1:143: exports[0].webhook.headers.x-a: this header stands here twice: case does not count
  fix: keep one of them
postrider.yaml:1:169: exports[0].webhook.headers.X-B: a header cannot hold a line break or NUL
  fix: write it on one line; with `|` a line break follows the text
postrider.yaml:1:216: exports[0].webhook.body_template_file: there is a `body_template` beside it
  fix: keep one of the two
postrider.yaml:1:228: exports[0].webhook.timeout: it is no time at all
  fix: write a time such as `10s`
postrider.yaml:1:248: exports[0].webhook.connect_timeout: `5 parsecs` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:1:272: exports[0].webhook.concurrency: `0` is not a whole number from 1
  fix: write `1` or more
postrider.yaml:1:291: exports[0].webhook.max_body_bytes: `1XB` is not a size
  fix: write `64KB`, `1MB`, `1GiB` or a number of bytes
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "${NOPE}", headers: {A: "${file:/nope}"}, body_template_file: nope.txt}}]
"#,
        &[],
        r#"
postrider.yaml:1:59: exports[0].webhook.url: `${NOPE}` is not set
  fix: set the environment variable, or write `${NOPE:-default}`
postrider.yaml:1:83: exports[0].webhook.headers.A: the file of `${file:/nope}` cannot be read: no such file or directory
  fix: create it, or correct the path
postrider.yaml:1:120: exports[0].webhook.body_template_file: `nope.txt` cannot be read: no such file or directory
  fix: the path counts from the file that names it
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
log: {level: "${LEVEL}"}
"#,
        &["--env LEVEL=s3cretlevel"],
        r#"
postrider.yaml:2:14: log.level: unknown value `***`
  fix: one of `error`, `warn`, `info`, `debug`, `trace`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
log: {level: debug}
"#,
        &[
            "--set log.level=loud",
            "--set exports.b.enabled=false",
            "--set exports.7.enabled=false",
            "--set nonsense",
            "--env POSTRIDER__LOG__FORMAT=xml",
            "--env POSTRIDER__EXPORTS__C__ENABLED=true",
            "--env POSTRIDER_LOG_LEVEL=true",
        ],
        r#"
POSTRIDER__LOG__FORMAT: log.format: unknown value `xml`
  fix: one of `text`, `json`
--set log.level: log.level: unknown value `loud`
  fix: one of `error`, `warn`, `info`, `debug`, `trace`
POSTRIDER__EXPORTS__C__ENABLED: exports has no element `C`
  fix: exports has `a`
--set exports.b.enabled: exports has no element `b`
  fix: exports has `a`
--set exports.7.enabled: exports has no element `7`
  fix: exports has `a`
--set: no `=` in it
  fix: write `--set PATH=VALUE`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, enabled: yes, queue: {memory_events: 0, memory_bytes: 0}, rate_limit: {requests: 5}}]
"#,
        &[],
        r#"
postrider.yaml:1:52: exports[0].enabled: expected true or false, not text
  fix: write `true` or `false`
postrider.yaml:1:80: exports[0].queue.memory_events: `0` is not a whole number from 1
  fix: write `1` or more
postrider.yaml:1:97: exports[0].queue.memory_bytes: no event is that short
  fix: write a size such as `8MB`
postrider.yaml:1:113: exports[0].rate_limit.per: missing key
  fix: add `per:`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, rate_limit: {requests: 5, per: 0s}}]
"#,
        &[],
        r#"
postrider.yaml:1:74: exports[0].rate_limit.per: it is no time at all
  fix: write `60s`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: file, file: {mode: 999}}, {name: b, destination: file}]
"#,
        &[],
        r#"
postrider.yaml:1:46: exports[0].file.path: missing key
  fix: add the file to append to
postrider.yaml:1:53: exports[0].file.mode: `999` is not a file mode
  fix: write it in octal digits, such as `0640`
postrider.yaml:1:60: exports[1].file.path: missing key
  fix: add the file to append to
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
  fix: write `postrider`
postrider.yaml:11:82: sources[8].format: unknown value `cef`
  fix: not available in this version; one of `json`, `raw`
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
exports: [{name: a, destination: console}]
sources: []
admin: {listen: "0.0.0.0:9077", tokens: [], metrics_open: maybe}
"#,
        &[],
        r#"
postrider.yaml:2:10: sources: an empty list
  fix: name a source, or leave the key out to read standard input
postrider.yaml:3:17: admin.listen: beyond loopback the admin listener needs a token
  fix: add one under `admin.tokens`, or listen on 127.0.0.1
postrider.yaml:3:59: admin.metrics_open: expected true or false, not text
  fix: write `true` or `false`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
admin: {listen: "0.0.0.0:9077", tokens: [{name: a, token: x, role: reader}, {name: a, role: read}]}
"#,
        &[],
        r#"
postrider.yaml:2:68: admin.tokens[0].role: unknown value `reader`
  fix: did you mean `read`?
postrider.yaml:2:77: admin.tokens[1].token: missing key
  fix: add `token:`
postrider.yaml:2:84: admin.tokens[1].name: the name `a` stands here twice
  fix: give each its own name
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
admin: 5
"#,
        &[],
        r#"
postrider.yaml:2:8: admin: expected `false` or a map of keys, not a number
  fix: write `admin: false`, or its keys below it
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
admin: {listen: 9077}
data_dir: ""
shutdown_grace: -1
dlq: {max_bytes: 1GB}
"#,
        &[],
        r#"
postrider.yaml:2:17: admin.listen: `9077` is not an address with a port
  fix: write an IP address and a port, such as `127.0.0.1:9514` or `[::1]:9514`
postrider.yaml:3:11: data_dir: it is empty
  fix: name a directory, such as ./postrider-data
postrider.yaml:4:17: shutdown_grace: `-1` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:5:7: dlq.max_bytes: unknown key
  fix: leave it out: not available in this version
"#,
    ),
    (
        r#"
defaults: {name: x, retry: {jitter: 5, max_attemps: 3}, rate_limit: {per: 1s}, webhook: {timeout: 1s}}
exports: [{name: a, destination: console}, {name: b, destination: console, retry: {jitter: 0.5}}]
"#,
        &[],
        r#"
postrider.yaml:1:18: defaults.name: `defaults` have no name: each export has its own
  fix: leave it out
postrider.yaml:1:37: defaults.retry.jitter: `5` is not a share
  fix: write a number from 0 to 1
postrider.yaml:1:40: defaults.retry.max_attemps: unknown key
  fix: did you mean `max_attempts`?
postrider.yaml:2:11: exports[0].rate_limit.requests: missing key
  fix: add `requests:`
postrider.yaml:2:44: exports[1].rate_limit.requests: missing key
  fix: add `requests:`
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: console
   bad: indent
"#,
        &[],
        r#"
postrider.yaml:4:4: not valid YAML: while parsing a block collection, did not find expected '-' indicator
  fix: correct the syntax here or just above
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console
"#,
        &[],
        r#"
postrider.yaml:1:11: not valid YAML: unclosed bracket '{'
  fix: correct the syntax here or just above
"#,
    ),
    (
        r#"
exports: []
exports: []
"#,
        &[],
        r#"
postrider.yaml:2:1: not valid YAML: duplicate mapping key: exports
  fix: correct the syntax here or just above
"#,
    ),
    (
        r#"
a: *nope
"#,
        &[],
        r#"
postrider.yaml:1:4: not valid YAML: alias references unknown anchor
  fix: correct the syntax here or just above
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
"": 1
"#,
        &[],
        r#"
postrider.yaml:2:1: a key is empty
  fix: give it a name
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h/"}, filters: {expr: "${A"}}]
"#,
        &[],
        r#"
postrider.yaml:1:90: exports[0].filters.expr: `${` without its `}`
  fix: close it, or write `$${` for a literal `${`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h/", body_template: "${a b}"}}]
"#,
        &[],
        r#"
postrider.yaml:1:88: exports[0].webhook.body_template: `${a b}` is no variable
  fix: write `${NAME}`, `${NAME:-default}`, `${file:/path}`, or `$${` for a literal `${`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
"#,
        &["--env HTTPS_PROXY=http://user:pw@proxy"],
        r#"
warning: HTTPS_PROXY: proxies of the environment are ignored
  fix: unset it to silence this; postrider connects directly
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook:
      url: https://h/
      body_template: |
        {"a": 1,
         "b": "${MISSING}"}
"#,
        &[],
        r#"
postrider.yaml:8:16: exports[0].webhook.body_template: `${MISSING}` is not set
  fix: set the environment variable, or write `${MISSING:-default}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, format: cef, console: {stream: out}}]
log: {level: verbose, format: xml, colour: true}
"#,
        &[],
        r#"
postrider.yaml:1:51: exports[0].format: unknown value `cef`
  fix: write `json`
postrider.yaml:1:74: exports[0].console.stream: unknown value `out`
  fix: one of `stdout`, `stderr`
postrider.yaml:2:14: log.level: unknown value `verbose`
  fix: one of `error`, `warn`, `info`, `debug`, `trace`
postrider.yaml:2:31: log.format: unknown value `xml`
  fix: one of `text`, `json`
postrider.yaml:2:36: log.colour: unknown key
  fix: known here: `level`, `format`
"#,
    ),
    (
        r#"
exports: [{name: "${NAME}", destination: console}, {name: b.c_d-1, destination: console}]
"#,
        &["--env NAME=b.c_d-1"],
        r#"
postrider.yaml:1:59: exports[1].name: the name `***` stands here twice
  fix: give each its own name
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
exports: [{name: [a], destination: {x: 1}, enabled: 1, filters: a, retry: [1]}]
"#,
        &[],
        r#"
postrider.yaml:1:18: exports[0].name: expected text, not a list
  fix: write text, in quotes where it looks like something else
postrider.yaml:1:36: exports[0].destination: expected a word, not a map
  fix: one of `webhook`, `console`, `file`
postrider.yaml:1:53: exports[0].enabled: expected true or false, not a number
  fix: write `true` or `false`
postrider.yaml:1:65: exports[0].filters: expected a map of keys, not text
  fix: write its keys below it, or `{key: value}`
postrider.yaml:1:75: exports[0].retry: expected a map of keys, not a list
  fix: write its keys below it, or `{key: value}`
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook:
      url: https://h/
      headers: [Authorization]
      body_template: {a: b}
"#,
        &[],
        r#"
postrider.yaml:6:16: exports[0].webhook.headers: expected a map of keys, not a list
  fix: write its keys below it, or `{key: value}`
postrider.yaml:7:22: exports[0].webhook.body_template: expected text, not a map
  fix: write text, in quotes where it looks like something else
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
"#,
        &[
            "--set =x",
            "--set log..level=x",
            "--set sources.app.follow=false",
            "--set exports.a.retry={max_attempts",
        ],
        r#"
--set : an empty step in the path
  fix: write one dot between keys
--set log..level: an empty step in the path
  fix: write one dot between keys
--set sources.app.follow: sources has no element `app`
  fix: name it in a file first: here it can be edited
--set exports.a.retry: not valid YAML: unclosed bracket '{'
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
"#,
        &[
            "--set exports.a.retry.backoff_seconds.3=1",
            "--set exports.a.retry.backoff_seconds=[1, x]",
        ],
        r#"
--set exports.a.retry.backoff_seconds: exports[0].retry.backoff_seconds[1]: `x` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: file, file: {path: ""}}]
"#,
        &[],
        r#"
postrider.yaml:1:53: exports[0].file.path: it is empty
  fix: name the file to append to
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
postrider.yaml:1:45: sources[0].paths[1]: `/var/[a` is not a glob: unclosed character class; missing ']'
  fix: escape brackets and braces with `\`
postrider.yaml:1:67: sources[0].exclude[0]: `{a` is not a glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
  fix: escape brackets and braces with `\`
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
  fix: write `1` or more
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
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "http://[::1]:9000/", method: CONNECT}}, {name: b, destination: webhook, webhook: {url: "${URL}", method: "PO ST"}}]
"#,
        &["--env URL=http://hooks.example.com/secret-path"],
        r#"
postrider.yaml:1:88: exports[0].webhook.method: `CONNECT` sends no body
  fix: use `POST`
postrider.yaml:1:164: exports[1].webhook.method: `PO ST` is not a method
  fix: use `POST`, `PUT` or `PATCH`
warning: postrider.yaml:1:146: exports[1].webhook.url: http://hooks.example.com/… is not encrypted: events and secrets can be read
  fix: use https
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "${URL}"}}]
"#,
        &["--env URL=not-a-url-secret"],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: not a URL: relative URL without a base
  fix: write a whole URL such as `https://hooks.example.com/path`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h/", timeout: "${T}", headers: {X: "${H}"}}}]
"#,
        &["--env T=forever-secret", "--env H="],
        r#"
postrider.yaml:1:81: exports[0].webhook.timeout: `***` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
"#,
    ),
    (
        r#"
defaults: {destination: webhook, webhook: {timeout: 0s, method: POST}}
exports: [{name: a}, {name: b, webhook: {url: "https://h/"}}]
"#,
        &[],
        r#"
postrider.yaml:1:53: defaults.webhook.timeout: it is no time at all
  fix: write a time such as `10s`
postrider.yaml:2:11: exports[0].webhook.url: missing key
  fix: add where to send: `webhook: {url: https://…}`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console}]
log: {level: !!set debug}
data_dir: 5
shutdown_grace: 1e3
"#,
        &[],
        r#"
postrider.yaml:4:17: shutdown_grace: `1e3` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
"#,
    ),
    (
        r#"
exports: [{name: a, destination: console, enabled: false}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:10: exports: every export is switched off: no event goes anywhere
  fix: enable one
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h/?q={{x}}#{{y}}"}}, {name: b, destination: webhook, webhook: {url: "https://${HOST}/{{x}}", method: GET}}]
"#,
        &["--env HOST=a.example.com"],
        r#"

"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://${HOST}/x"}}]
"#,
        &["--env HOST=u:secret-part@a.example.com"],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: a user name or password does not belong into the URL
  fix: send it in a header: `headers: {Authorization: "Basic ${CREDENTIALS}"}`
"#,
    ),
    (
        r#"
sources:
  - {name: a, type: fil, paths: [x]}
  - {name: b, type: socket, mode: tcp, address: "127.0.0.1:9514"}
  - {name: c, type: socket, mode: tcp, address: "127.0.0.1:9514"}
exports: [{name: a, destination: webhook, webhook: {url: "https://h/", concurrency: 5000}}]
"#,
        &[],
        r#"
postrider.yaml:2:21: sources[0].type: unknown value `fil`
  fix: did you mean `file`?
postrider.yaml:4:49: sources[2].address: the source `b` listens there already
  fix: give each its own address
postrider.yaml:5:85: exports[0].webhook.concurrency: more than 4096 requests at once
  fix: lower it: each has a connection of its own
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook:
      url: "https://h/{{agent_id}}"
      headers: {X-A: "{{ foo | nosuch }}"}
      body_template: |
        {"a": {{event_jsn}},
         "b": {{ x | truncate_byte(3) }}}
    filters: {expr: "cost.usd >"}
"#,
        &[],
        r#"
postrider.yaml:6:32: exports[0].webhook.headers.X-A: there is no filter `nosuch`
postrider.yaml:9:22: exports[0].webhook.body_template: there is no filter `truncate_byte`
  fix: did you mean `truncate_bytes`?
postrider.yaml:10:31: exports[0].filters.expr: unexpected end of input, expected expression
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook:
      url: "https://h/"
      body_template: |
        {"a": {{event_json}},
         "b": {{ x }
        }
"#,
        &[],
        r#"
postrider.yaml:8:20: exports[0].webhook.body_template: unexpected `}`, expected end of variable block
"#,
    ),
];
