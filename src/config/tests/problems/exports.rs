//! Problems of exports that are no webhooks, and of what all exports share.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        r#"
sources:
  - {name: in, type: file, paths: ["logs/**"], exclude: ["logs/out/*", "!x"]}
exports:
  - {name: a, destination: file, file: {path: logs/a.jsonl}}
  - {name: b, destination: file, file: {path: ./logs/out/b.jsonl}}
  - {name: c, destination: file, file: {path: logs/c.jsonl}, filters: {sources: [internal]}}
"#,
        &[],
        r#"
postrider.yaml:2:72: sources[0].exclude[1]: `!` leaves nothing out here
  fix: write the glob in `exclude`, or `\!` for the character itself
postrider.yaml:4:47: exports[0].file.path: the source `in` reads this file: its events would come back without end
  fix: write elsewhere, or leave the file out by `exclude` of the source, or the source by `filters.sources`
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: console, fallback: a, former_names: [b, c, c]}
  - {name: b, destination: console, fallback: nobody, queue: {disk_bytes: 0, max_age: 0, mode: ram}}
  - {name: d, destination: console, enabled: false, breaker: {failures: 0, probe_after: []}, on_gone: ignore}
  - {name: e, destination: console, fallback: d, order: fifo, queue: {mode: memory}}
"#,
        &[],
        r#"
postrider.yaml:2:47: exports[0].fallback: an export cannot be its own fallback
  fix: name another export
postrider.yaml:2:65: exports[0].former_names[0]: `b` is the name of an export, or its former name
  fix: a former name belongs to one export alone
postrider.yaml:2:71: exports[0].former_names[2]: `c` is the name of an export, or its former name
  fix: a former name belongs to one export alone
postrider.yaml:3:47: exports[1].fallback: there is no export `nobody`
  fix: name one of `exports`
postrider.yaml:3:75: exports[1].queue.disk_bytes: no event is that short
  fix: write a size such as `8MB`
postrider.yaml:3:87: exports[1].queue.max_age: it is no time at all
  fix: write `24h`, or `none`
postrider.yaml:3:96: exports[1].queue.mode: unknown value `ram`
  fix: one of `memory`, `overflow`, `disk`
postrider.yaml:4:73: exports[2].breaker.failures: `0` is not a whole number from 1
  fix: write `1` or more, at most `4294967295`
postrider.yaml:4:89: exports[2].breaker.probe_after: an empty list
  fix: name at least one wait
postrider.yaml:4:103: exports[2].on_gone: unknown value `ignore`
  fix: one of `pause`, `dead_letter`, `retry`
postrider.yaml:5:47: exports[3].fallback: this export is switched off
  fix: enable it, or name another export
postrider.yaml:5:57: exports[3].order: unknown value `fifo`
  fix: one of `none`, `strict`
warning: postrider.yaml:5:77: exports[3].queue.mode: with `memory` a receiver that is down makes the sources of this export wait, and with them every other export they feed
  fix: use `overflow`, unless nothing may be written to disk
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: console, redact: {}, limit_fields: {}}
  - {name: b, destination: console, redact: {fields: [], categories: []}}
  - {name: c, destination: console, redact: {fields: [a..b, /x/y], categories: [secret, pii.emial], strategy: drop}}
  - {name: d, destination: console, limit_fields: {a..b: 10, c: much}, redact: {categories: [secrets], field: [a]}}
"#,
        &[],
        r#"
postrider.yaml:2:45: exports[0].redact: it names nothing to replace
  fix: add `fields` or `categories`
postrider.yaml:2:63: exports[0].limit_fields: it limits nothing
  fix: write `payload: 1000`, or leave the key out
postrider.yaml:3:54: exports[1].redact.fields: an empty list
  fix: name a field, or leave the key out
postrider.yaml:3:70: exports[1].redact.categories: an empty list
  fix: name one of `secrets`, `pii.email`, `pii.phone`, `pii.financial`
postrider.yaml:4:55: exports[2].redact.fields[0]: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:4:81: exports[2].redact.categories[0]: unknown value `secret`
  fix: did you mean `secrets`?
postrider.yaml:4:89: exports[2].redact.categories[1]: unknown value `pii.emial`
  fix: did you mean `pii.email`?
postrider.yaml:4:111: exports[2].redact.strategy: unknown value `drop`
  fix: one of `mask`, `remove`, `hash`
postrider.yaml:5:58: exports[3].limit_fields["a..b"]: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:5:65: exports[3].limit_fields.c: `much` is not a size
  fix: write `64KB`, `1MB`, `1GiB` or a number of bytes
postrider.yaml:5:104: exports[3].redact.field: unknown key
  fix: did you mean `fields`?
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
  fix: one of `webhook`, `console`, `file`
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
postrider.yaml:1:111: exports[0].filters.exclude_event_kinds[0]: `[a` is not a valid pattern: brackets that never close
  fix: write `\[` for the bracket itself; a class of a path holds no `/`
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
exports: [{name: a, destination: console, enabled: yes, queue: {memory_events: 0, memory_bytes: 0}, rate_limit: {requests: 5}}]
"#,
        &[],
        r#"
postrider.yaml:1:52: exports[0].enabled: expected true or false, not text
  fix: write `true` or `false`
postrider.yaml:1:80: exports[0].queue.memory_events: `0` is not a whole number from 1
  fix: write `1` or more, at most `4294967295`
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
exports: [{name: a, destination: console}]
"#,
        &["--env HTTPS_PROXY=http://user:pw@proxy"],
        r#"
warning: HTTPS_PROXY: proxies of the environment are ignored
  fix: name one in `webhook.proxy`, or unset it to silence this
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
exports:
- name: a
  destination: console
  redact: {fields: ["a[0].b", "/a~2", "/a/b~", "['a']['b c']", users.*.mail, "/a[0]/*/~0~1", a.0.b, "a..b"]}
  limit_fields: {"x[1]": 1000}
  filters: {when: {"a[0].b": [x], "/a[0]": [x]}}
"#,
        &[],
        r#"
postrider.yaml:4:21: exports[0].redact.fields[0]: `a[0].b` is not a field path
  fix: write `a.0.b`: a number selects the element of a list
postrider.yaml:4:31: exports[0].redact.fields[1]: `/a~2` is not a field path
  fix: in a JSON pointer write `~0` for `~` and `~1` for a `/` in a key
postrider.yaml:4:39: exports[0].redact.fields[2]: `/a/b~` is not a field path
  fix: in a JSON pointer write `~0` for `~` and `~1` for a `/` in a key
postrider.yaml:4:48: exports[0].redact.fields[3]: `['a']['b c']` is not a field path
  fix: write `a.b c`: a number selects the element of a list
postrider.yaml:4:64: exports[0].redact.fields[4]: `users.*.mail` is not a field path
  fix: there is no wildcard: name each field, or an element of a list by its number
postrider.yaml:4:101: exports[0].redact.fields[7]: `a..b` is not a field path
  fix: write `a.b` or, beginning with `/`, a JSON pointer
postrider.yaml:5:26: exports[0].limit_fields["x[1]"]: `x[1]` is not a field path
  fix: write `x.1`: a number selects the element of a list
postrider.yaml:6:30: exports[0].filters.when["a[0].b"]: `a[0].b` is not a field path
  fix: write `a.0.b`: a number selects the element of a list
"#,
    ),
    (
        r#"
exports:
- {name: a, destination: console, retry: {retry_on: [999, 503, 6xx], backoff_seconds: [x, 1, y]}}
- {name: b, destination: console, retry: {retry_on: [999], max_attempts: 4294967296}}
"#,
        &[],
        r#"
postrider.yaml:2:54: exports[0].retry.retry_on[0]: `999` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:2:64: exports[0].retry.retry_on[2]: `6xx` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:2:88: exports[0].retry.backoff_seconds[0]: `x` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:2:94: exports[0].retry.backoff_seconds[2]: `y` is not a time
  fix: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`
postrider.yaml:3:54: exports[1].retry.retry_on[0]: `999` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:3:74: exports[1].retry.max_attempts: `4294967296` is not a whole number from 1
  fix: write `1` or more, at most `4294967295`
"#,
    ),
    (
        r#"
defaults: {nme: x}
exports:
- name: a
  destination: webhook
  webhook: {url: "https://h.example/", headers: {X-A: "{{ a | zzzzzz }}", X-B: "{{ a b }}"}}
  filters: {expr: "a >"}
"#,
        &[],
        r#"
postrider.yaml:1:12: defaults.nme: unknown key
  fix: known here: `destination`, `format`, `enabled`, `webhook`, `console`, `file`, `filters`, `redact`, `limit_fields`, `retry`, `rate_limit`, `batch`, `queue`, `order`, `breaker`, `on_gone`, `fallback`, `former_names`
postrider.yaml:5:63: exports[0].webhook.headers.X-A: there is no filter `zzzzzz`
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
postrider.yaml:5:86: exports[0].webhook.headers.X-B: unexpected identifier, expected end of variable block
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
postrider.yaml:6:22: exports[0].filters.expr: unexpected end of input, expected expression
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
"#,
    ),
];
