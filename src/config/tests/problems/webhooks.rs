//! Problems of webhooks: URLs, headers, templates, variables.

use super::Row;

pub(super) const ROWS: &[Row] = &[
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
  fix: write `1` or more, at most `4294967295`
postrider.yaml:9:23: exports[0].retry.retry_on[1]: `700` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:9:28: exports[0].retry.retry_on[2]: `6xx` is not an HTTP status
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
exports: [{name: a, destination: webhook, webhook: {url: "https://h/", platform: slak}, accept: {}}]
"#,
        &[],
        r#"
postrider.yaml:1:82: exports[0].webhook.platform: unknown value `slak`
  fix: did you mean `slack`?
postrider.yaml:1:89: exports[0].accept: unknown key
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
  fix: write `authentication: {type: basic, username: …, password: "${PASSWORD}"}`
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
  fix: write `1` or more, at most `4294967295`
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
  fix: write `authentication: {type: basic, username: …, password: "${PASSWORD}"}`
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
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
postrider.yaml:9:22: exports[0].webhook.body_template: there is no filter `truncate_byte`
  fix: did you mean `truncate_bytes`?
postrider.yaml:10:31: exports[0].filters.expr: unexpected end of input, expected expression
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
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
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
"#,
    ),
];
