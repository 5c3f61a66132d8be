//! Problems of the whole: syntax, layers, defaults, the keys at the top.

use super::Row;

pub(super) const ROWS: &[Row] = &[
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
dlq: {max_size: 1GB}
"#,
        &[],
        r#"
postrider.yaml:2:17: admin.listen: `9077` is not an address with a port
  fix: write an IP address and a port, such as `127.0.0.1:9514` or `[::1]:9514`
postrider.yaml:3:11: data_dir: it is empty
  fix: name a directory, such as ./postrider-data
postrider.yaml:4:17: shutdown_grace: `-1` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:5:7: dlq.max_size: unknown key
  fix: known here: `max_bytes`, `max_age`, `when_full`, `emit_events`
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
exports: [{name: a, destination: console, format: xml, console: {stream: out}}]
log: {level: verbose, format: xml, colour: true}
"#,
        &[],
        r#"
postrider.yaml:1:51: exports[0].format: unknown value `xml`
  fix: one of `json`, `cef`, `cloudevents`
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
    // One value that two share is one problem; two that look alike are two.
    (
        r#"
x-tls: &tls {ca_file: nope.pem, verify: false}
exports:
  - {name: a, destination: webhook, webhook: {url: "https://h/", tls: *tls}}
  - {name: b, destination: webhook, webhook: {url: "https://h/", tls: *tls}}
  - {name: c, destination: webhook, webhook: {url: "https://h/", tls: {ca_file: nope.pem}}}
  - {name: d, destination: webhook, webhook: {url: "https://h/", tls: {ca_file: nope.pem}}}
"#,
        &[],
        r#"
postrider.yaml:1:23: exports[0].webhook.tls.ca_file: `nope.pem` cannot be read: no such file or directory
  fix: the path counts from the file that names it
postrider.yaml:5:81: exports[2].webhook.tls.ca_file: `nope.pem` cannot be read: no such file or directory
  fix: the path counts from the file that names it
postrider.yaml:6:81: exports[3].webhook.tls.ca_file: `nope.pem` cannot be read: no such file or directory
  fix: the path counts from the file that names it
warning: postrider.yaml:1:41: exports[0].webhook.tls.verify: the receiver's certificate is NOT checked: events and secrets go to whoever answers
  fix: name its authority in `ca_file` instead
"#,
    ),
];
