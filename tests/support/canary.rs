//! Canaries: secrets in every place of a configuration that can hold one, and the search for them
//! in what postrider says and keeps.

use super::program::Call;
use super::{Authority, Place};
use std::fs;
use std::path::Path;

/// Begins every secret but those that are encoded: whatever a receiver makes of the signs behind
/// it, this much stays.
pub(crate) const CANARY: &str = "canary-";

/// Base64 of `canary-user:canary-password`, of the proxy's `canary-user:canary-pass`, and the part
/// of a Standard Webhooks secret that is one.
pub(crate) const ENCODED: [&str; 3] = [
    "Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3N3b3Jk",
    "Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3M",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
];

/// Values with signs that writers of JSON, HTML and URLs write in other ways.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("IN_URL", "canary-url'x<y é"),
    ("IN_HEADER", "canary-variable\"x/<&>'"),
    ("IN_BODY", "canary-body\"x/<&>é\\"),
    ("TOKEN", "canary-bearer/+<=&"),
    ("ROUTING", "canary-routing"),
];

const CREDENTIALS: [&str; 2] = [
    "[{type: bearer, token: '${TOKEN}'}, {type: api_key, api_key: canary-api-key}, \
     {type: hmac, hmac_secret: canary-hmac, hmac_header: X-Mine}, \
     {type: standard_webhooks, secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}]",
    "{type: basic, username: canary-user, password: canary-password}",
];

const BODY: &str = "body_template: '{\"key\": \"${IN_BODY}\", \"event\": {{event_json}}}'";

/// An export that leads there with all of them, and with more keys of its webhook and its own.
pub(crate) fn planted_export(name: &str, base: &str, webhook: &str, own: &str) -> String {
    // A name leads to an address only when it is dialled.
    let base =
        if name == "blocked" { base.replace("127.0.0.1", "localhost") } else { base.to_owned() };
    let own_body = webhook.contains("body_template") || webhook.contains("platform:");
    let body = if own_body { String::new() } else { format!(", {BODY}") };
    let authentication = CREDENTIALS[usize::from(name.ends_with("-basic"))];
    let more = if name == "line-break" { ", X-Bad: '${IN_HEADER}{{ message }}'" } else { "" };
    format!(
        "- name: {name}\n  destination: webhook\n  webhook: {{timeout: 700ms, \
         url: '{base}/services/canary-path/${{IN_URL}}?key=canary-query&v=${{IN_URL}}', \
         headers: {{X-Literal-Key: canary-literal, X-Variable: '${{IN_HEADER}}', \
         X-File: '${{file:token.txt}}', X-Default: '${{NONE:-canary-default}}'{more}}}, \
         authentication: {authentication}{body}{webhook}}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 2}}\n  \
         filters: {{sources: [stdin]}}\n  {own}\n"
    )
}

pub(crate) fn planted_place(config: &str, authority: &Authority) -> (Place, String) {
    let place = Place::new(&format!(
        "admin: {{tokens: [{{name: t, token: canary-admin, role: read}}], metrics_open: true}}\n\
         {config}"
    ));
    place.write("token.txt", "canary-file\"/<\n");
    place.write("ca.pem", authority.pem());
    let client = authority.certify("client", 4000);
    place.write("cert.pem", &client.pem);
    place.write("key.pem", &client.key_pem);
    let key = client.key_pem.lines().nth(1).expect("a line of the key").to_owned();
    (place, key)
}

/// A call with the values of all variables.
pub(crate) fn with_planted(call: Call) -> Call {
    ENVIRONMENT.iter().fold(call, |call, (name, value)| call.env(name, value))
}

/// Asserts that none of them is in this text.
#[track_caller]
pub(crate) fn assert_absent(planted: &[&str], what: &str, text: &str) {
    for secret in planted {
        assert!(!text.contains(secret), "`{secret}` in {what}:\n{text}");
    }
}

/// Asserts that none of them is in a file of the data directory.
#[track_caller]
pub(crate) fn assert_absent_from_store(planted: &[&str], place: &Place) {
    for file in fs::read_dir(place.path("postrider-data")).expect("a data directory") {
        let path = file.expect("an entry").path();
        // The control socket is no file to read, and a log that is done with may go meanwhile.
        let content = fs::read(&path).unwrap_or_default();
        let name = path.file_name().map(Path::new).unwrap_or(&path).display().to_string();
        assert_absent(planted, &name, &String::from_utf8_lossy(&content));
    }
}

/// Asserts that none of them is in what the commands print of dead letters and exports, in every
/// form that they have.
#[track_caller]
pub(crate) fn assert_absent_from_letters(planted: &[&str], place: &Place) {
    let ids: Vec<_> = place.dead_letters().iter().map(|letter| letter["id"].to_string()).collect();
    let mut calls: Vec<Vec<&str>> = [
        &["dlq", "list"][..],
        &["dlq", "list", "--format", "json"],
        &["dlq", "stats"],
        &["dlq", "stats", "--format", "json"],
        &["dlq", "export"],
        &["exports", "list"],
        &["exports", "list", "--format", "json"],
    ]
    .map(<[&str]>::to_vec)
    .to_vec();
    if !ids.is_empty() {
        calls.push(["dlq", "show"].into_iter().chain(ids.iter().map(|id| &**id)).collect());
    }
    for args in calls {
        let finished = place.postrider(&args).finish().code(0);
        assert_absent(planted, &format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
}
