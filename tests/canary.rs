//! Canaries: a secret in every place that can hold one, every trouble that a webhook can have, and
//! every output searched. What is wrong with a configuration is the business of `secrets`.

use crate::support::{
    Answer, Authority, CANARY, ENCODED, Place, Proxy, Receiver, Request, Secure, Step, TlsReceiver,
    VALID, Wire, assert_absent, assert_absent_from_letters, assert_absent_from_store, at_once,
    event_with, free_port, planted_export, planted_place, with_planted,
};
use serde_json::json;
use std::collections::BTreeSet;

type Write = fn(&str) -> String;

/// How a receiver may write what it repeats.
const FORMS: [(&str, Write); 6] = [
    ("plain", str::to_owned),
    ("decoded", |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()),
    ("json", |text| json!(text).to_string()),
    ("ascii", |text| {
        let escaped = |sign: char| match sign {
            '"' | '\\' | '/' => format!("\\{sign}"),
            ' '..='~' if !"<>&'+".contains(sign) => sign.to_string(),
            _ => format!("\\u{:04x}", u32::from(sign)),
        };
        text.chars().map(escaped).collect()
    }),
    ("html", |text| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&#x27;").replace('/', "&#47;")
    }),
    ("url", |text| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    }),
];

/// What is repeated: each fits into what is kept of an answer.
fn told(request: &Request, part: &str) -> String {
    let value = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let names = ["X-Variable", "Authorization", "X-File", "X-Default", "X-Literal-Key"];
    let proofs = ["X-API-Key", "X-Mine", "webhook-signature"];
    let joined =
        |names: &[&str]| names.iter().map(|name| value(name)).collect::<Vec<_>>().join("\n");
    match part {
        "url" => request.target.clone(),
        "headers" | "basic" => joined(&names),
        "proofs" => joined(&proofs),
        _ => request.text()[..request.text().len().min(120)].to_owned(),
    }
}

/// Everybody who does something wrong; kept as long as the test runs.
struct Others {
    receivers: Vec<Receiver>,
    _wires: Vec<Wire>,
    _tls: Vec<TlsReceiver>,
    _proxies: Vec<Proxy>,
}

impl Others {
    /// With their exports.
    fn new(authority: &Authority) -> (Others, String) {
        let mut config = String::new();
        let mut receivers = Vec::new();
        let mut serving =
            |config: &mut String, name: &str, answer: Answer, webhook: &str, own: &str| {
                let receiver = Receiver::always(answer);
                *config += &planted_export(name, &receiver.url(""), webhook, own);
                receivers.push(receiver);
            };
        for (name, answer) in answers() {
            serving(&mut config, name, answer, "", "");
        }
        let ok = || Answer::status(200);
        for (name, webhook, own) in UNSENDABLE {
            serving(&mut config, name, ok(), webhook, own);
        }
        let split = "batch: {max_events: 4, max_wait: 100ms}";
        serving(
            &mut config,
            "split",
            Answer::status(400).body("no canary-literal"),
            ", body_template: '{\"k\": \"${IN_BODY}\"}'",
            split,
        );
        serving(&mut config, "gzip", Answer::status(400), ", compression: gzip", "");
        let wrong = ", answers: [{status: ['200'], body: [no], is: rejected}]";
        serving(&mut config, "wrong-200", ok().body("no, canary-literal"), wrong, "");
        serving(
            &mut config,
            "pager",
            Answer::status(400).body("not canary-routing"),
            ", platform: pagerduty, pagerduty: {routing_key: '${ROUTING}'}",
            "",
        );
        serving(
            &mut config,
            "gone",
            Answer::status(410).body("canary-literal"),
            "",
            "on_gone: dead_letter",
        );
        for (form, write) in FORMS {
            for part in ["url", "headers", "basic", "proofs", "body"] {
                let receiver = Receiver::new(move |request| {
                    Answer::status(404).body(write(&told(request, part)))
                });
                config +=
                    &planted_export(&format!("echo-{form}-{part}"), &receiver.url(""), "", "");
                receivers.push(receiver);
            }
        }
        config += &planted_export("refused", &format!("http://127.0.0.1:{}", free_port()), "", "");
        config += &planted_export("dns", "http://nosuch.invalid", "", "");
        let wires =
            vec![Wire::new(|_, stream| drop(std::io::copy(&mut &*stream, &mut std::io::sink())))];
        config += &planted_export(
            "mute-tls",
            &format!("https://localhost:{}", wires[0].port()),
            ", connect_timeout: 300ms",
            "",
        );
        let tls = vec![TlsReceiver::new(VALID)];
        let base = |url: String| url.trim_end_matches("/in").to_owned();
        config += &planted_export("untrusted", &base(tls[0].url()), "", "");
        let secure = Secure { answers: &[404], ..Secure::both() };
        let secure = secure.start(&authority.certify("localhost", 4000));
        let keys = ", tls: {ca_file: ca.pem, client_cert_file: cert.pem, client_key_file: key.pem}";
        config += &planted_export("http2", &base(secure.url()), keys, "");
        let mut proxies = Vec::new();
        for status in [407, 502, 200] {
            let proxy = Proxy::answering(status);
            let keys = format!(", proxy: 'http://canary-user:canary-pass@{}'", proxy.address());
            config += &planted_export(&format!("proxy-{status}"), "http://127.0.0.1:1", &keys, "");
            proxies.push(proxy);
        }
        let gone = format!(", proxy: 'http://canary-user:canary-pass@127.0.0.1:{}'", free_port());
        config += &planted_export("proxy-dead", "http://127.0.0.1:1", &gone, "");
        (Others { receivers, _wires: wires, _tls: tls, _proxies: proxies }, config)
    }
}

/// Answers, and what is none, that tell what they were sent.
fn answers() -> Vec<(&'static str, Answer)> {
    let status = |status| Answer::status(status).body("canary-literal canary-path canary-query");
    let to = "http://user:canary-literal@127.0.0.1:9/canary-path?canary-query";
    let raw = |text: &str| Answer::raw([Step::Write(text.as_bytes().to_vec()), Step::Close]);
    vec![
        ("redirect", status(302).header("Location", to)),
        ("bad", status(400)),
        ("unauthorized", status(401).header("WWW-Authenticate", "Bearer canary-literal")),
        ("not-found", status(404)),
        ("later", status(408)),
        ("too-large-there", status(413)),
        ("too-many", status(429).header("Retry-After", "canary-literal")),
        ("server", status(500)),
        ("unavailable", status(503).header("Retry-After", "0")),
        ("cut", status(500).claims_length(9999).then(Step::Close)),
        ("odd", status(999)),
        ("hang", Answer::hang()),
        (
            "half-head",
            Answer::raw([
                Step::Write(b"HTTP/1.1 200 canary-literal\r\nX: canary-path".to_vec()),
                Step::Hang,
            ]),
        ),
        ("reset", Answer::raw([Step::Reset])),
        ("close", Answer::raw([Step::Close])),
        ("garbage", raw("canary-literal canary-path\r\n\r\n")),
        ("reason", raw("HTTP/1.1 400 canary-literal\r\ncanary-path: \0canary-query\r\n\r\n")),
        ("bad-header", raw("HTTP/1.1 500 x\r\ncanary-literal canary-path\r\n\r\n")),
    ]
}

/// Requests that cannot be made: name, keys of the webhook, keys of the export.
const UNSENDABLE: [(&str, &str, &str); 6] = [
    ("too-large", ", max_body_bytes: 10", ""),
    ("render", ", body_template: '{\"k\": \"${IN_BODY}\", \"n\": {{ 1 / nothing.zero }}}'", ""),
    ("no-json", ", body_template: '{\"k\": \"${IN_BODY}\" {{ message | raw }}}'", ""),
    ("line-break", "", ""),
    ("blocked", ", block_private_networks: true, allow: ['10.0.0.0/8']", ""),
    ("expired", "", "queue: {max_age: 1ms}"),
];

const EVENTS: usize = 3;

/// Events on which the templates above fail, and a line that is none.
fn lines() -> String {
    let broken = json!({ "message": "two\nwords of an \"event\"", "nothing": {} });
    event_with("e0", broken.clone()) + &event_with("e1", broken) + "{words of a line\n"
}

#[test]
fn no_trouble_tells_a_secret() {
    at_once(["text", "json"], |format| {
        let authority = Authority::new();
        let news = Receiver::ok();
        let (others, config) = Others::new(&authority);
        let own = format!(
            "- {{name: news, destination: webhook, webhook: {{url: '{}'}}, \
             filters: {{event_kinds: ['webhook.*']}}}}\n",
            news.url("/")
        );
        let log = format!("log: {{level: trace, format: {format}}}\n");
        let (place, key) = planted_place(&format!("{log}exports:\n{config}{own}"), &authority);
        let planted = [&[CANARY, &*key][..], &ENCODED].concat();
        let mut running = with_planted(place.run()).start();
        running.feed(lines());
        running.settled(EVENTS);
        for path in ["/metrics", "/ready", "/live"] {
            assert_absent(&planted, path, &running.get(path, "").1);
        }
        let wrong = running.get("/metrics", "Authorization: Bearer canary-wrong\r\n").1;
        assert_absent(&planted, "/metrics", &wrong);
        let ended = running.end().code(3);
        assert!(ended.stderr.contains("DEBUG"), "{}", ended.stderr);
        let log = ended.stderr + &ended.stdout;
        assert_absent(&planted, "the log", &log);
        assert_absent(&["words of"], "the log", &log);
        every_trouble_was_told(&place, &log);
        for request in news.requests() {
            assert_absent(&planted, "own events", &format!("{request} {}", request.text()));
        }
        told_and_kept(&place, &planted);
        if format == "text" {
            sent(&others);
            commands(&place, &planted);
        }
    });
}

/// All but what no receiver on this machine can bring about, and what is none of a webhook.
fn every_trouble_was_told(place: &Place, log: &str) {
    let table = place.postrider(&["schema", "errors"]).finish().code(0).stdout;
    let table: serde_json::Value = serde_json::from_str(&table).expect("JSON");
    for row in table.as_array().expect("rows") {
        let (name, cause) = (row["name"].as_str().unwrap(), row["cause"].as_str().unwrap());
        // These never were an attempt, nothing here has no route, and files are not that short.
        let elsewhere = ["unreachable", "out_of_files", "write", "blocked_address", "render"];
        let elsewhere = elsewhere.contains(&name);
        assert!(elsewhere || log.contains(cause), "{name} was not told:\n{log}");
    }
}

fn told_and_kept(place: &Place, planted: &[&str]) {
    assert_absent_from_store(planted, place);
    assert_absent_from_letters(planted, place);
    let letters = place.dead_letters();
    let reasons: BTreeSet<_> =
        letters.iter().map(|letter| letter["reason"].as_str().expect("a reason")).collect();
    for reason in [
        "retries_exhausted",
        "rejected",
        "render",
        "malformed",
        "too_large",
        "blocked_address",
        "expired",
        "endpoint_gone",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons:?}");
    }
    for letter in letters.iter().filter(|letter| {
        letter["export"].as_str().is_some_and(|export| export.starts_with("echo-"))
    }) {
        assert!(letter["response"].as_str().expect("an answer").contains("***"), "{letter}");
    }
}

/// They are planted indeed: everything arrived that is to arrive.
fn sent(others: &Others) {
    let requests = others.receivers.iter().flat_map(Receiver::requests);
    let sent =
        requests.map(|request| format!("{request}{}", String::from_utf8_lossy(&request.body)));
    let sent: String = sent.collect();
    for secret in [
        "canary-path",
        "canary-query",
        "canary-url",
        "canary-literal",
        "canary-variable",
        "canary-file",
        "canary-default",
        "canary-body",
        "canary-bearer",
        "canary-api-key",
        "canary-routing",
        ENCODED[0],
    ] {
        assert!(sent.contains(secret), "`{secret}` was not sent");
    }
}

/// Exports that the commands are asked about: each in another trouble.
const ASKED: [&str; 16] = [
    "redirect",
    "render",
    "no-json",
    "line-break",
    "too-large",
    "blocked",
    "split",
    "gzip",
    "pager",
    "dns",
    "untrusted",
    "http2",
    "proxy-407",
    "proxy-dead",
    "echo-json-body",
    "echo-html-basic",
];

fn commands(place: &Place, planted: &[&str]) {
    // With all the others a command takes its time to check what it does not use.
    let config = place.read("postrider.yaml");
    let asked = config.split_inclusive("\n- name: ").filter(|export| {
        ASKED
            .iter()
            .any(|name| export.strip_prefix(name).is_some_and(|rest| rest.starts_with('\n')))
    });
    let asked: String = asked.collect();
    place.write("asked.yaml", format!("exports:\n- name: {}", asked.trim_end_matches("- name: ")));
    let mut calls: Vec<Vec<&str>> = vec![
        vec!["validate"],
        vec!["validate", "--format", "json"],
        vec!["validate", "--online"],
        vec!["validate", "--online", "--format", "json"],
        vec!["render"],
        vec!["schema", "config"],
    ];
    for name in ASKED {
        calls.push(vec!["render", "--export", name]);
        calls.push(vec!["test", "--export", name, "--event", "-", "--log-level", "trace"]);
    }
    let line = lines().lines().next().expect("an event").to_owned();
    for args in calls {
        let call = with_planted(place.postrider(&args)).arg("-c").arg("asked.yaml");
        let finished = call.stdin(line.clone()).finish();
        let said = finished.stdout + &finished.stderr;
        assert_absent(planted, &format!("{args:?}"), &said);
        // It was asked about what is there.
        let expected = match args[..] {
            ["validate"] => "exports: 17", // and `news`, behind the last
            ["render", "--export", "redirect"] => "x-variable: ***",
            ["test", "--export", "redirect", ..] => "HTTP 302",
            ["test", "--export", "echo-html-basic", ..] => "answer   ***",
            _ => "",
        };
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
