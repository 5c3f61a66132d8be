//! What each type of authentication puts on a request, and what of it counts as the receiver's
//! address.

use super::Case;
use crate::config::{Authentication, Compression, Destination, Export, Webhook};
use hyper::HeaderMap;
use jiff::Timestamp;

fn yaml(authentication: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: 'https://h.example/x', authentication: {authentication}}}\n"
    )
}

fn export(case: &Case) -> Export {
    case.config().exports.remove(0)
}

fn webhook(case: &Case) -> Webhook {
    let Destination::Webhook(webhook) = export(case).destination else { panic!() };
    *webhook
}

/// Header lines of a request with the body `Hello, World!`, in order of name.
fn lines(authentication: &Authentication) -> Vec<String> {
    let mut headers = HeaderMap::new();
    let now = Timestamp::from_second(1_614_265_330).unwrap();
    authentication.apply(&mut headers, b"Hello, World!", "id1", now).unwrap();
    let line = |(name, value): (&_, &hyper::header::HeaderValue)| {
        let name: &hyper::header::HeaderName = name;
        format!("{name}: {}", value.to_str().unwrap())
    };
    let mut lines: Vec<_> = headers.iter().map(line).collect();
    lines.sort_by(|one, other| one.split(':').next().cmp(&other.split(':').next()));
    lines
}

#[test]
fn each_type_sets_its_headers() {
    // Recomputed with Python's hmac; the first is in GitHub's documentation.
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secret = "hmac_secret: \"It's a Secret to Everybody\"";
    let github = format!("x-hub-signature-256: sha256={hex}");
    for (authentication, expected) in [
        ("{type: none}".to_owned(), vec![]),
        ("{type: bearer, token: t0k}".to_owned(), vec!["authorization: Bearer t0k".to_owned()]),
        (
            "{type: bearer, token: 'token=k', scheme: Token}".to_owned(),
            vec!["authorization: Token token=k".to_owned()],
        ),
        (
            "{type: basic, username: Aladdin, password: 'open sesame'}".to_owned(),
            // RFC 7617.
            vec!["authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned()],
        ),
        (
            "{type: basic, username: sk_live, password: ''}".to_owned(),
            vec!["authorization: Basic c2tfbGl2ZTo=".to_owned()],
        ),
        ("{type: api_key, api_key: k}".to_owned(), vec!["x-api-key: k".to_owned()]),
        (
            "{type: api_key, api_key: k, api_key_header: DD-API-KEY}".to_owned(),
            vec!["dd-api-key: k".to_owned()],
        ),
        (format!("{{type: hmac, {secret}}}"), vec![format!("x-signature: sha256={hex}")]),
        (
            format!("{{type: hmac, {secret}, hmac_header: X-Hub-Signature-256}}"),
            vec![github.clone()],
        ),
        (format!("{{type: github, {secret}}}"), vec![github.clone()]),
        (
            format!("{{type: ruleforge, {secret}}}"),
            vec![format!("x-ruleforge-signature: sha256={hex}")],
        ),
        (format!("{{type: rampart, {secret}}}"), vec![format!("x-rampart-signature: {hex}")]),
        (
            format!(
                "{{type: hmac, {secret}, hmac_algorithm: sha1, hmac_header: X-Sig, \
                 hmac_format: 't={{timestamp}},id={{id}},v1={{base64}}', \
                 hmac_content: '{{timestamp}}.{{id}}.{{body}}'}}"
            ),
            vec!["x-sig: t=1614265330,id=id1,v1=RqGhfO9Ptu+DpAeu1X+Mip5Yi0Q=".to_owned()],
        ),
        (
            "{type: standard_webhooks, secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}"
                .to_owned(),
            vec![
                "webhook-id: id1".to_owned(),
                "webhook-signature: v1,E0h52Y0cdlOsmYRdjhE/RtxnVltGZGgwmPhV1PT12WQ=".to_owned(),
                "webhook-timestamp: 1614265330".to_owned(),
            ],
        ),
        (
            format!("[{{type: bearer, token: t}}, {{type: github, {secret}}}]"),
            vec!["authorization: Bearer t".to_owned(), github.clone()],
        ),
        (
            "{type: github, hmac_secrets: [\"It's a Secret to Everybody\", old]}".to_owned(),
            vec![github, "x-hub-signature-256: sha256=ed11bca9943d125e851a8fae3c72c4353eb543d8cf963d040c2f9812cce7b3a4".to_owned()],
        ),
    ] {
        let case = Case::yaml(&yaml(&authentication));
        let authentication = webhook(&case).authentication;
        assert_eq!(lines(&authentication), expected, "{authentication:?}");
        assert_eq!(authentication.headers().len(), {
            let mut names: Vec<_> =
                expected.iter().map(|line| line.split(':').next().unwrap()).collect();
            names.dedup();
            names.len()
        });
    }
}

#[test]
fn nothing_of_it_is_debug_printed() {
    let text = "[{type: bearer, token: canary}, {type: github, hmac_secrets: [canary]}, \
                {type: standard_webhooks, secrets: [whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5]}]";
    let shown = format!("{:?}", webhook(&Case::yaml(&yaml(text))));
    assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{shown}");
}

#[test]
fn another_credential_makes_another_target() {
    let text = yaml("{type: bearer, token: '${TOKEN}'}");
    let target = |text: &str, token: &str| export(&Case::yaml(text).env("TOKEN", token)).target;
    assert_eq!(target(&text, "one"), target(&text, "one"));
    assert_ne!(target(&text, "one"), target(&text, "two"));
    let slower = text.replace("authentication:", "timeout: 20s, authentication:");
    assert_eq!(target(&text, "one"), target(&slower, "one"), "its receiver is the same");
    assert_ne!(target(&text, "one"), target(&text.replace("bearer", "bearer, scheme: X"), "one"));
}

#[test]
fn another_routing_key_makes_another_target() {
    let text = |more: &str| {
        format!(
            "exports: [{{name: a, destination: webhook, webhook: {{url: 'https://h/', \
             platform: pagerduty, pagerduty: {{routing_key: '${{KEY}}'}}{more}}}}}]"
        )
    };
    let target = |more, key: &str| export(&Case::yaml(&text(more)).env("KEY", key)).target;
    assert_ne!(target("", "one"), target("", "two"));
    assert_eq!(target("", "one"), target(", timeout: 20s", "one"));
}

#[test]
fn a_variable_may_be_unset_where_that_is_accepted() {
    let mut case = Case::yaml(&yaml(
        "[{type: bearer, token: '${NONE}'}, {type: github, hmac_secrets: ['${NONE}', x]}, \
         {type: standard_webhooks, secrets: ['${NONE}']}, \
         {type: hmac, hmac_secret: '${NONE}', hmac_header: '${NONE}', hmac_format: '${NONE}', hmac_content: '${NONE}'}]",
    ));
    case.options.no_env = true;
    assert_eq!(case.said(), "");
    case.options.no_env = false;
    assert_eq!(case.said().matches("is not set").count(), 7, "{}", case.said());
}

#[test]
fn an_export_that_names_a_type_takes_nothing_from_the_defaults() {
    let text = "defaults: {webhook: {compression: zstd, authentication: {type: bearer, token: t}}}\n\
                exports:\n- {name: a, destination: webhook, webhook: {url: 'https://h/'}}\n\
                - {name: b, destination: webhook, webhook: {url: 'https://h/', compression: gzip, authentication: {type: api_key, api_key: k}}}\n\
                - {name: c, destination: webhook, webhook: {url: 'https://h/', compression: none, authentication: {token: u}}}\n";
    let config = Case::yaml(text).config();
    let expected = [
        (Compression::Zstd, "authorization: Bearer t"),
        (Compression::Gzip, "x-api-key: k"),
        (Compression::None, "authorization: Bearer u"),
    ];
    for (export, (compression, line)) in config.exports.iter().zip(expected) {
        let Destination::Webhook(webhook) = &export.destination else { panic!() };
        assert_eq!(webhook.compression, compression, "{}", export.name);
        assert_eq!(lines(&webhook.authentication), [line]);
    }
}
