//! What proves who sends: a receiver that recomputes every signature over the raw bytes that
//! arrived, by the snippets of the systems whose receivers exist.

use crate::support::{
    Answer, Place, Receiver, Request, Running, assert_absent, assert_absent_from_store, event,
    events, until,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use std::io::Read as _;

/// 24 bytes, from the Standard Webhooks libraries' tests.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config(url: &str, webhook: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: \"{url}\", {webhook}}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.02]}}\n"
    )
}

fn sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn sha512(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The Python snippet in Rampart's guide, line by line.
fn verify_rampart_webhook(payload: &[u8], signature: &str, secret: &str) -> bool {
    let expected = hex(&sha256(secret.as_bytes(), payload));
    signature == expected
}

/// The Python snippet in RuleForge's guide, line by line.
fn verify(body: &[u8], signature: &str, secret: &str) -> bool {
    let expected = format!("sha256={}", hex(&sha256(secret.as_bytes(), body)));
    expected == signature
}

fn lines<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    let named = request.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| &**value).collect()
}

/// The time in it, after the signature is checked as the specification says.
fn standard_webhook(request: &Request) -> i64 {
    let [id, time, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| request.header(name).unwrap_or_else(|| panic!("no {name}")));
    assert_eq!(Some(id), request.header("Idempotency-Key"));
    let message = [id.as_bytes(), b".", time.as_bytes(), b".", &*request.body].concat();
    let secret = STANDARD.decode(&WHSEC["whsec_".len()..]).unwrap();
    assert_eq!(signature, format!("v1,{}", STANDARD.encode(sha256(&secret, &message))));
    time.parse().unwrap()
}

fn unpacked(request: &Request) -> Vec<u8> {
    match request.header("Content-Encoding") {
        None => request.body.clone(),
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::bulk::decompress(&request.body, 1 << 20).unwrap(),
        Some(other) => panic!("{other}"),
    }
}

#[test]
fn signatures_cover_the_very_bytes_that_are_sent() {
    let authentication = format!(
        "authentication: [{{type: rampart, hmac_secret: s1}}, {{type: ruleforge, hmac_secret: s2}}, \
         {{type: standard_webhooks, secrets: [{WHSEC}]}}, {{type: api_key, api_key: k3y}}, \
         {{type: hmac, hmac_secret: s3, hmac_algorithm: sha512, hmac_header: X-Mine, \
         hmac_format: 't={{timestamp}},{{base64}}', hmac_content: '{{id}}|{{timestamp}}|{{body}}'}}]"
    );
    for compression in ["none", "gzip", "zstd"] {
        let receiver = Receiver::ok();
        let webhook = format!("compression: {compression}, {authentication}");
        let place = Place::new(&config(&receiver.url("/"), &webhook));
        let lines = events(20);
        place.carry(&lines).1.code(0);
        let mut bodies = Vec::new();
        for request in receiver.exactly(20) {
            let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(verify_rampart_webhook(&request.body, header("X-Rampart-Signature"), "s1"));
            assert!(verify(&request.body, header("X-RuleForge-Signature"), "s2"));
            let time = standard_webhook(&request);
            let id = header("Idempotency-Key").as_bytes();
            let message = [id, format!("|{time}|").as_bytes(), &request.body].concat();
            let expected = format!("t={time},{}", STANDARD.encode(sha512(b"s3", &message)));
            assert_eq!(header("X-Mine"), expected);
            assert_eq!(header("X-API-Key"), "k3y");
            let encoding = Some(compression).filter(|encoding| *encoding != "none");
            assert_eq!(request.header("Content-Encoding"), encoding);
            bodies.push(String::from_utf8(unpacked(&request)).unwrap());
        }
        bodies.sort();
        let mut sent: Vec<_> = lines.lines().collect();
        sent.sort_unstable();
        assert_eq!(bodies, sent, "{compression}");
    }
}

#[test]
fn what_is_too_large_is_so_before_it_is_compressed() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/"), "compression: gzip, max_body_bytes: 1KB"));
    let line = event("big").replace("agent-1", &"a".repeat(2000));
    place.carry(&(line + &event("small"))).1.code(3);
    let requests = receiver.exactly(1);
    assert!(String::from_utf8(unpacked(&requests[0])).unwrap().contains("small"));
    assert_eq!(place.dead_letters()[0]["reason"], "too_large");
}

#[test]
fn a_retry_is_signed_anew_with_its_own_time() {
    let receiver = Receiver::answering([Answer::status(503), Answer::status(200)]);
    let webhook = format!("authentication: {{type: standard_webhooks, secrets: [{WHSEC}]}}");
    let text = config(&receiver.url("/"), &webhook).replace("[0.02]", "[1.1]");
    Place::new(&text).carry(&event("e")).1.code(0);
    let requests = receiver.exactly(2);
    let [first, second] = &requests[..] else { panic!() };
    assert!(standard_webhook(second) > standard_webhook(first));
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
}

#[test]
fn while_a_secret_is_rotated_both_sign() {
    let receiver = Receiver::ok();
    let webhook = "authentication: {type: github, hmac_secrets: ['${NEW}', '${OLD}']}";
    let place = Place::new(&config(&receiver.url("/"), webhook));
    let run = place.run().env("NEW", "n3w").env("OLD", "0ld");
    run.stdin(event("e")).finish().code(0);
    let requests = receiver.exactly(1);
    let found = lines(&requests[0], "X-Hub-Signature-256");
    let [new, old] = &found[..] else { panic!("{found:?}") };
    assert!(verify(&requests[0].body, new, "n3w"), "the first line is that of the first secret");
    assert!(verify(&requests[0].body, old, "0ld"));
}

#[test]
fn a_new_secret_is_in_force_after_a_reload() {
    let receiver = Receiver::ok();
    let webhook = "authentication: {type: ruleforge, hmac_secret: '${file:secret}'}";
    let place = Place::new(&config(&receiver.url("/"), webhook));
    place.write("secret", "first\n");
    let mut running = place.run().start();
    running.feed(event("e1"));
    running.settled(1);
    place.write("secret", "second\n");
    running.reload();
    running.feed(event("e2"));
    running.settled(2);
    running.end().code(0);
    for (request, secret) in receiver.exactly(2).iter().zip(["first", "second"]) {
        let signature = request.header("X-RuleForge-Signature").unwrap();
        assert!(verify(&request.body, signature, secret), "{secret}");
    }
}

#[test]
fn a_rotated_credential_ends_a_pause() {
    let receiver = Receiver::new(|request| {
        let known = request.header("Authorization") == Some("Bearer n3w-token");
        Answer::status(if known { 200 } else { 410 })
    });
    let webhook = "authentication: {type: bearer, token: '${file:token}'}";
    let place = Place::new(&config(&receiver.url("/"), webhook));
    place.write("token", "0ld-token\n");
    let mut running = place.run().start();
    running.feed(event("e"));
    let labels = [("export", "a"), ("state", "paused")];
    running.shows("a pause", |metrics| metrics.one("export_state", &labels) == 1.0);
    place.write("token", "n3w-token\n");
    running.reload();
    running.settled(1);
    running.end().code(0);
    let requests = receiver.requests();
    assert_eq!(requests.last().unwrap().header("Authorization"), Some("Bearer n3w-token"));
}

/// Secrets of every type; the second is the base64 of the third.
const PLANTED: &[&str] = &[
    "canary-token",
    "dTpjYW5hcnktcGFzc3dvcmQ",
    "u:canary-password",
    "canary-password",
    "canary-key",
    "canary-hmac",
    "canary-old",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
];

/// Three exports to this receiver with all of them.
fn planted(url: &str) -> String {
    let export = |name: &str, authentication: &str| {
        format!(
            "- name: {name}\n  destination: webhook\n  webhook: {{url: '{url}', authentication: {authentication}}}\n  \
             retry: {{jitter: 0, backoff_seconds: [0.02], max_attempts: 2}}\n"
        )
    };
    let signed = format!(
        "[{{type: github, hmac_secrets: [canary-hmac, canary-old]}}, \
         {{type: standard_webhooks, secrets: [{WHSEC}]}}]"
    );
    let own = "[{type: bearer, token: '${TOKEN}'}, {type: api_key, api_key: canary-key, api_key_header: X-Mine}]";
    "dlq: {emit_events: false}\nexports:\n".to_owned()
        + &export("a", own)
        + &export("b", "{type: basic, username: u, password: canary-password}")
        + &export("c", &signed)
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    assert_absent(PLANTED, what, text);
}

#[test]
fn no_secret_is_told_anywhere() {
    // Repeats all that it was sent, and a secret that it knows besides.
    let receiver = Receiver::new(|request| {
        let status = if request.audit_id() == "late" { 503 } else { 404 };
        let repeated = serde_json::to_string(&request.headers).unwrap().replace('/', "\\/");
        let known = if request.header("webhook-id").is_some() { "canary-hmac" } else { "that" };
        Answer::status(status).body(format!("not {known}: {repeated}"))
    });
    let place = Place::new(&planted(&receiver.url("/")));
    let mut running = place.run().env("TOKEN", "canary-token").arg("-vv").start();
    running.feed(event("wrong") + &event("late"));
    running.settled(2);
    for path in ["/metrics", "/ready"] {
        assert_clean(path, &running.get(path, "").1);
    }
    let ended = running.end().code(3);
    assert_clean("the log", &(ended.stderr + &ended.stdout));
    let sent: String = receiver.requests().iter().map(ToString::to_string).collect();
    for secret in ["canary-token", "dTpjYW5hcnktcGFzc3dvcmQ", "canary-key"] {
        assert!(sent.contains(secret), "{secret}");
    }
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 6);
    let signatures: Vec<String> = receiver
        .requests()
        .iter()
        .flat_map(|request| {
            let of = |name| lines(request, name).into_iter().map(str::to_owned).collect::<Vec<_>>();
            [of("X-Hub-Signature-256"), of("webhook-signature")].concat()
        })
        .map(|value| value.trim_start_matches("sha256=").trim_start_matches("v1,").to_owned())
        .collect();
    assert!(signatures.len() >= 6);
    for letter in &letters {
        let text = letter.to_string();
        assert!(text.contains("***"), "{text}");
        assert_clean("a dead letter", &text);
        assert!(!signatures.iter().any(|signature| text.contains(signature)), "{text}");
    }
    assert_absent_from_store(PLANTED, &place);
    for args in [
        &["validate"][..],
        &["render", "--export", "a"],
        &["render", "--export", "b"],
        &["render", "--export", "c"],
        &["test", "--export", "a", "-vv"],
        &["test", "--export", "b"],
        &["test", "--export", "c"],
    ] {
        let call = place.postrider(args).env("TOKEN", "canary-token").stdin(event("e"));
        let finished = call.finish();
        assert_clean(&format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
}

#[test]
fn a_wrong_secret_is_not_shown_in_its_problem() {
    let authentication = "[{type: bearer, token: \"canary-token\\n\"}, {type: bearer, token: canary-tokené}, \
         {type: basic, username: 'u:canary-password', password: canary-password}, \
         {type: standard_webhooks, secrets: [canary-key, whsec_canary-key, whsk_canary-key]}, \
         {type: hmac, hmac_secret: canary-hmac, hmac_secrets: [canary-old], hmac_format: '{hex}{hex}'}, \
         {type: canary, token: {canary-token: canary-key}}]";
    let place =
        Place::new(&config("http://127.0.0.1:1/", &format!("authentication: {authentication}")));
    for args in [&["validate"][..], &["validate", "--format", "json"], &["run"]] {
        let finished = place.postrider(args).finish().code(2);
        assert_clean(&format!("{args:?}"), &(finished.stdout + &finished.stderr));
    }
}

#[test]
fn render_shows_what_is_sent_and_hides_the_proofs() {
    let webhook = format!(
        "compression: gzip, authentication: [{{type: api_key, api_key: k3y-value, api_key_header: X-Mine}}, \
         {{type: standard_webhooks, secrets: [{WHSEC}]}}]"
    );
    let place = Place::new(&config("http://127.0.0.1:1/", &webhook));
    let render = |args: &[&str]| {
        let call = place.postrider(&["render", "--export", "a"]).stdin(event("e"));
        args.iter().fold(call, |call, arg| call.arg(*arg)).finish().code(0).stdout
    };
    let hidden = render(&[]);
    for line in ["x-mine: ***\n", "webhook-signature: ***\n", "content-encoding: gzip\n"] {
        assert!(hidden.contains(line), "`{line}` in {hidden}");
    }
    assert!(hidden.contains(event("e").trim_end()) && hidden.contains("bytes of gzip"), "{hidden}");
    let shown = render(&["--show-secrets"]);
    assert!(shown.contains("x-mine: k3y-value\n"), "{shown}");
    assert!(shown.contains("webhook-signature: v1,"), "{shown}");
}

/// Starts `listen` on a free port; returns its address.
fn listen(place: &Place, args: &[&str], secret: &str) -> (Running, String) {
    let call = place.postrider(&["listen", "--port", "0"]).env("POSTRIDER_SECRET", secret);
    let running = args.iter().fold(call, |call, arg| call.arg(*arg)).start();
    let url = until("its address", || {
        let said = running.stdout();
        Some(said.split_once("listening on ")?.1.split_once('\n')?.0.to_owned())
    });
    (running, url)
}

#[test]
fn listen_checks_what_test_signs() {
    let github = "authentication: {type: github, hmac_secret: s3cret}";
    let standard = format!("authentication: {{type: standard_webhooks, secrets: [{WHSEC}]}}");
    let zstd = format!("compression: zstd, {standard}");
    let own = "authentication: [{type: bearer, token: t0k}, {type: hmac, hmac_secret: s, \
               hmac_format: 't={timestamp} {hex}', hmac_content: '{timestamp}{body}'}]";
    for (webhook, form, secret, genuine) in [
        (github, "github", "s3cret", true),
        (github, "github", "other", false),
        (github, "github", "other\ns3cret\n", true),
        (github, "rampart", "s3cret", false),
        (&*standard, "standard_webhooks", WHSEC, true),
        (&*zstd, "standard_webhooks", WHSEC, true),
        (own, "export:a", "", true),
    ] {
        let place = Place::new(&config("http://127.0.0.1:1/", webhook));
        let (receiver, url) = listen(&place, &["--verify", form], secret);
        let test = place.postrider(&["test", "--export", "a"]);
        let test = test.set(&format!("exports.a.webhook.url={url}"));
        let test = test.finish().code(if genuine { 0 } else { 1 });
        let said = receiver.stdout();
        let verdict = if genuine { "\nsignature ok\n" } else { "\nsignature wrong: " };
        assert!(said.contains(verdict), "{form}: {said}");
        assert!(said.contains("\"audit_id\""), "the body is readable: {said}");
        assert_eq!(test.stdout.contains("HTTP 401"), !genuine, "{}", test.stdout);
        assert!(!test.stdout.contains("no signature fits"), "a sender is not told why");
    }
}

#[test]
fn listen_says_what_it_needs_to_verify() {
    let place = Place::new(&config("http://127.0.0.1:1/", ""));
    place.write("empty", "\n");
    for (args, text) in [
        (&["--verify", "github"][..], "POSTRIDER_SECRET"),
        (&["--verify", "github", "--secret-file", "empty"], "empty"),
        (&["--verify", "githop", "--secret-file", "postrider.yaml"], "github"),
        (&["--verify", "standard_webhooks", "--secret-file", "postrider.yaml"], "whsec_"),
        (&["--verify", "export:b"], "b"),
        (&["--verify", "export:a"], "authentication"),
        (&["--secret-file", "empty"], "--verify"),
    ] {
        let call = place.postrider(&["listen", "--port", "0"]);
        let failed = args.iter().fold(call, |call, arg| call.arg(*arg)).finish().code(2);
        assert!(failed.stderr.contains(text), "{args:?}: {}", failed.stderr);
    }
}
