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
        "",
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
        "",
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
        "",
    ),
];
