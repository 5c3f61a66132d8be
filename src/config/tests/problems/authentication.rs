//! Problems of what proves who sends.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://h/", authentication: {token: t}}}
  - {name: b, destination: webhook, webhook: {url: "https://h/", authentication: {type: baerer, token: t}}}
  - {name: c, destination: webhook, webhook: {url: "https://h/", authentication: bearer}}
  - {name: d, destination: webhook, webhook: {url: "https://h/", authentication: []}}
  - {name: e, destination: webhook, webhook: {url: "https://h/", authentication: [{type: none}, {type: bearer}]}}
  - {name: f, destination: webhook, webhook: {url: "https://h/", authentication: {type: bearer, tokn: t, hmac_secret: x}}}
  - {name: g, destination: webhook, webhook: {url: "https://h/", authentication: {type: bearer, token: "${EMPTY}"}}}
  - {name: h, destination: webhook, webhook: {url: "https://h/", authentication: {type: bearer, token: "a\nb", scheme: "Bé"}}}
  - {name: i, destination: webhook, webhook: {url: "https://h/", authentication: {type: basic, username: "a:b", password: p}}}
  - {name: j, destination: webhook, webhook: {url: "https://h/", authentication: {type: basic, username: a, password: "${EMPTY}"}}}
  - {name: k, destination: webhook, webhook: {url: "https://h/", authentication: {type: api_key, api_key: " k", api_key_header: Host}}}
"#,
        &["--env EMPTY="],
        r#"
postrider.yaml:2:82: exports[0].webhook.authentication.type: missing key
  fix: add `type:`
postrider.yaml:3:89: exports[1].webhook.authentication.type: unknown value `baerer`
  fix: did you mean `bearer`?
postrider.yaml:4:82: exports[2].webhook.authentication: expected a map of keys or a list of maps, not text
  fix: write `{type: bearer, token: …}`
postrider.yaml:5:82: exports[3].webhook.authentication: an empty list
  fix: name one, or leave the key out
postrider.yaml:6:90: exports[4].webhook.authentication[0].type: `none` stands beside others
  fix: leave it out
postrider.yaml:6:97: exports[4].webhook.authentication[1].token: missing key
  fix: add it, best as `${VARIABLE}` or `${file:/path}`
postrider.yaml:7:97: exports[5].webhook.authentication.tokn: unknown key
  fix: did you mean `token`?
postrider.yaml:7:119: exports[5].webhook.authentication.hmac_secret: an authentication of type `bearer` has no `hmac_secret`
  fix: leave it out; `hmac_secret` belongs to type `hmac`, `rampart`, `ruleforge`, `github`
postrider.yaml:8:104: exports[6].webhook.authentication.token: it is empty
  fix: write the secret, or see that its variable has a value
postrider.yaml:9:104: exports[7].webhook.authentication.token: no header can hold it: it is empty, has blanks at an end, a line break or another control character, or is not ASCII
  fix: see that it holds the bare text, without a line's end
postrider.yaml:9:120: exports[7].webhook.authentication.scheme: no header can hold it: it is empty, has blanks at an end, a line break or another control character, or is not ASCII
  fix: see that it holds the bare text, without a line's end
postrider.yaml:10:106: exports[8].webhook.authentication.username: a user name has no `:`
  fix: put what follows it into `password`
postrider.yaml:11:119: exports[9].webhook.authentication.password: it is empty
  fix: write the secret, or see that its variable has a value
postrider.yaml:12:107: exports[10].webhook.authentication.api_key: no header can hold it: it is empty, has blanks at an end, a line break or another control character, or is not ASCII
  fix: see that it holds the bare text, without a line's end
postrider.yaml:12:129: exports[10].webhook.authentication.api_key_header: `host` has a meaning of its own
  fix: name another header
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac}}}
  - {name: b, destination: webhook, webhook: {url: "https://h/", authentication: {type: github, hmac_secret: x, hmac_secrets: [y], hmac_format: "{hex}"}}}
  - {name: c, destination: webhook, webhook: {url: "https://h/", authentication: {type: rampart, hmac_secrets: []}}}
  - {name: d, destination: webhook, webhook: {url: "https://h/", authentication: {type: ruleforge, hmac_secrets: [x, ""]}}}
  - {name: e, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_format: "{digest}", hmac_content: "{hex}{body}", hmac_algorithm: md5, hmac_header: "X Sig"}}}
  - {name: f, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_content: "{timestamp}.{body}"}}}
  - {name: g, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_format: "t={timestamp}", hmac_content: "{timestamp}"}}}
  - {name: h, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_format: "{hex}{id}", hmac_timestamp_header: X-Signature}}}
  - {name: i, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_format: "{hex}{hex}", hmac_timestamp_header: X-Time}}}
  - {name: j, destination: webhook, webhook: {url: "https://h/", headers: {Idempotency-Key: null}, authentication: {type: hmac, hmac_secret: x, hmac_content: "{id}{body}", hmac_timestamp_header: x-signature}}}
  - {name: k, destination: webhook, webhook: {url: "https://h/", authentication: {type: hmac, hmac_secret: x, hmac_format: "{hex},{body}"}}}
"#,
        &[],
        r#"
postrider.yaml:2:82: exports[0].webhook.authentication.hmac_secret: missing key
  fix: add it, best as `${VARIABLE}` or `${file:/path}`
postrider.yaml:3:127: exports[1].webhook.authentication.hmac_secrets: there is a `hmac_secret` beside it
  fix: keep one of the two
postrider.yaml:3:145: exports[1].webhook.authentication.hmac_format: an authentication of type `github` has no `hmac_format`
  fix: leave it out; `hmac_format` belongs to type `hmac`
postrider.yaml:4:112: exports[2].webhook.authentication.hmac_secrets: an empty list
  fix: name the secrets in a list, best as `["${VARIABLE}"]`
postrider.yaml:5:118: exports[3].webhook.authentication.hmac_secrets[1]: it is empty
  fix: write the secret, or see that its variable has a value
postrider.yaml:6:124: exports[4].webhook.authentication.hmac_format: there is no `{digest}`
  fix: its tokens are `{hex}`, `{base64}`, `{algorithm}`, `{timestamp}`, `{id}` and `{body}`
postrider.yaml:6:150: exports[4].webhook.authentication.hmac_content: a signature cannot cover itself
  fix: leave `{hex}` and `{base64}` out
postrider.yaml:6:181: exports[4].webhook.authentication.hmac_algorithm: unknown value `md5`
  fix: one of `sha256`, `sha512`, `sha1`
postrider.yaml:6:199: exports[4].webhook.authentication.hmac_header: not the name of a header
  fix: use letters, digits and `-`
postrider.yaml:7:125: exports[5].webhook.authentication.hmac_content: no header carries `{timestamp}`, so no receiver can check the signature
  fix: put it into `hmac_format`, such as `t={timestamp},v1={hex}`, or name a `hmac_timestamp_header`
postrider.yaml:8:124: exports[6].webhook.authentication.hmac_format: it must hold the signature once
  fix: write `{hex}` or `{base64}` into it
postrider.yaml:8:155: exports[6].webhook.authentication.hmac_content: the signature must cover the body
  fix: write `{body}` into it
postrider.yaml:9:124: exports[7].webhook.authentication.hmac_format: nothing stands between two tokens
  fix: put text between them, such as `{timestamp},{hex}`
postrider.yaml:10:124: exports[8].webhook.authentication.hmac_format: nothing stands between two tokens
  fix: put text between them, such as `{timestamp},{hex}`
postrider.yaml:11:159: exports[9].webhook.authentication.hmac_content: no header carries `{id}`: `headers` replaces `Idempotency-Key`
  fix: put it into `hmac_format`, or leave `Idempotency-Key` as it is
postrider.yaml:11:196: exports[9].webhook.authentication.hmac_timestamp_header: this time is not signed
  fix: sign it, such as `hmac_content: "{timestamp}.{body}"`, or leave it out
postrider.yaml:11:196: exports[9].webhook.authentication.hmac_timestamp_header: it carries the signature already
  fix: name another header
postrider.yaml:12:124: exports[10].webhook.authentication.hmac_format: a header holds no body
  fix: leave `{body}` out
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://h/", authentication: {type: standard_webhooks}}}
  - {name: b, destination: webhook, webhook: {url: "https://h/", authentication: {type: standard_webhooks, secrets: [whsec_canary, "whsec_Y2FuYXJ5", canary, "whsk_Y2FuYXJ5", "${EMPTY}"]}}}
  - {name: c, destination: webhook, webhook: {url: "https://h/", headers: {AUTHORIZATION: null, webhook-id: x}, authentication: [{type: bearer, token: t}, {type: basic, username: u, password: p}, {type: standard_webhooks, secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}]}}
  - {name: d, destination: webhook, compression: gzip, webhook: {url: "https://h/", compression: gz, headers: {Content-Encoding: br}}}
  - {name: e, destination: webhook, webhook: {url: "https://h/", compression: gzip, headers: {content-encoding: null}}}
"#,
        &["--env EMPTY="],
        r#"
postrider.yaml:2:82: exports[0].webhook.authentication.secrets: missing key
  fix: name the secrets in a list, best as `["${VARIABLE}"]`
postrider.yaml:3:118: exports[1].webhook.authentication.secrets[0]: what follows `whsec_` is not base64
  fix: write `whsec_` and the base64 of 24 to 64 random bytes, such as `openssl rand -base64 32` prints
postrider.yaml:3:132: exports[1].webhook.authentication.secrets[1]: it stands for 6 bytes, not for 24 to 64
  fix: write `whsec_` and the base64 of 24 to 64 random bytes, such as `openssl rand -base64 32` prints
postrider.yaml:3:150: exports[1].webhook.authentication.secrets[2]: it does not begin with `whsec_`
  fix: write `whsec_` and the base64 of 24 to 64 random bytes, such as `openssl rand -base64 32` prints
postrider.yaml:3:158: exports[1].webhook.authentication.secrets[3]: a key `whsk_` is for asymmetric signatures, which are not available
  fix: write a secret `whsec_…`
postrider.yaml:3:175: exports[1].webhook.authentication.secrets[4]: it is empty
  fix: write the secret, or see that its variable has a value
postrider.yaml:4:91: exports[2].webhook.headers.AUTHORIZATION: `authentication` sets this header
  fix: keep one of the two: leave it out here, or there
postrider.yaml:4:109: exports[2].webhook.headers.webhook-id: `authentication` sets this header
  fix: keep one of the two: leave it out here, or there
postrider.yaml:4:156: exports[2].webhook.authentication[1]: another one sets the header `authorization` already
  fix: give it another header, or keep one of them
postrider.yaml:5:37: exports[3].compression: unknown key
  fix: known here: `name`, `destination`, `format`, `enabled`, `webhook`, `console`, `file`, `filters`, `redact`, `limit_fields`, `retry`, `rate_limit`, `batch`, `queue`, `order`, `breaker`, `on_gone`, `fallback`, `former_names`
postrider.yaml:5:98: exports[3].webhook.compression: unknown value `gz`
  fix: one of `none`, `gzip`, `zstd`
postrider.yaml:6:113: exports[4].webhook.headers.content-encoding: `compression` sets this header
  fix: leave it out
"#,
    ),
];
