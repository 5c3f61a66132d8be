//! The commands beside `run` and `dlq`, and what `--help` says.

use crate::support::{Answer, Place, Receiver, Running, event, event_with, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

fn config(url: &str) -> String {
    format!(
        "exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         filters: {{min_severity: error, event_kinds: ['auth_*', x], when: {{session.name: ['prod*']}}}}\n"
    )
}

#[test]
fn test_sends_one_event_that_fits_the_filters() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/T0/PLANTED")));
    let said = place.postrider(&["test", "--export", "a"]).finish().code(0).stdout;
    assert!(said.contains("would take it") && said.contains("200"), "{said}");
    assert!(!said.contains("PLANTED"), "{said}");
    let event = receiver.exactly(1)[0].json();
    assert_eq!(
        (&event["severity"], &event["session"]["name"]),
        (&json!("error"), &json!("prodtest"))
    );
    assert!(event["event_kind"].as_str().unwrap().starts_with("auth_"), "{event}");
    assert!(!place.path("postrider-data").exists(), "it takes no lock and needs no store");
}

#[test]
fn test_makes_one_attempt_and_explains_a_failure() {
    let receiver = Receiver::always(Answer::status(401).body("no such token"));
    let place = Place::new(&config(&receiver.url("/")));
    let said = place.postrider(&["test", "--export", "a"]).finish().code(1).stdout;
    receiver.exactly(1);
    for text in ["401", "no such token", "cause", "fix"] {
        assert!(said.contains(text), "`{text}`: {said}");
    }
    for status in [500, 503] {
        let receiver = Receiver::always(Answer::status(status));
        place.write("postrider.yaml", config(&receiver.url("/")));
        let said = place.postrider(&["test", "--export", "a"]).finish().code(1).stdout;
        receiver.exactly(1);
        assert!(said.contains("fix ") && !said.contains("tried again"), "{said}");
    }
}

#[test]
fn an_export_that_is_off_is_said_to_be_off() {
    let place = Place::new(
        "exports:\n- {name: a, destination: console, enabled: false}\n- {name: b, destination: console}\n",
    );
    for command in ["test", "render"] {
        let said = place.postrider(&[command, "--export", "a"]).stdin(event("e")).finish().code(2);
        let off = "error: the export `a` is off: `enabled: false`\n  fix: `--set exports.a.enabled=true` switches it on for once";
        assert!(said.stderr.contains(off), "{}", said.stderr);
        let set = ["--export", "a", "--set", "exports.a.enabled=true"];
        let call = set.iter().fold(place.postrider(&[command]), |call, arg| call.arg(*arg));
        call.stdin(event("e")).finish().code(0);
        let said = place.postrider(&[command, "--export", "c"]).stdin(event("e")).finish().code(2);
        assert!(said.stderr.contains("there is no export `c`"), "{}", said.stderr);
    }
}

#[test]
fn test_says_whether_the_filters_would_take_the_event() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/")));
    place.write("event.json", event("mine"));
    let test = |args: &[&str]| {
        let call = place.postrider(&["test", "--export", "a"]);
        args.iter().fold(call, |call, arg| call.arg(*arg)).finish().code(0).stdout
    };
    for args in [&["--severity", "info"][..], &["--kind", "other"], &["--event", "event.json"]] {
        let said = test(args);
        assert!(said.contains("would leave it"), "{args:?}: {said}");
    }
    let requests = receiver.exactly(3);
    assert_eq!(requests[0].json()["severity"], "info");
    assert_eq!(requests[1].json()["event_kind"], "other");
    assert_eq!(requests[2].audit_id(), "mine");
    place.postrider(&["test", "--export", "nope"]).finish().code(2);
    place.postrider(&["test", "--export", "a", "--severity", "purple"]).finish().code(2);
    place.postrider(&["test", "--export", "a", "--event", "none.json"]).finish().code(1);
}

#[test]
fn render_prints_the_request_and_sends_nothing() {
    let receiver = Receiver::ok();
    let place = Place::new(&config(&receiver.url("/T0/PLANTED?key=PLANTED")));
    let line = event_with("e", json!({"event_kind": "x", "session": {"name": "prod1"}}));
    let said =
        place.postrider(&["render", "--export", "a"]).stdin(line.clone()).finish().code(0).stdout;
    let masked = format!("POST http://127.0.0.1:{}/…\n", receiver.port());
    assert!(said.starts_with(&masked), "{said}");
    assert!(said.contains("x-postrider-event: x\n") && said.contains(line.trim_end()), "{said}");
    let place_file = place.write("events.jsonl", line.repeat(2) + &event("left"));
    let shown = place.postrider(&["render", "--export", "a", "--show-secrets"]).arg(&place_file);
    let shown = shown.finish().code(0).stdout;
    assert_eq!(shown.matches("/T0/PLANTED?key=PLANTED\n").count(), 3, "{shown}");
    assert!(shown.contains("# not taken: event_kinds"), "{shown}");
    receiver.exactly(0);
}

#[test]
fn render_reads_what_run_reads() {
    let place = Place::new(
        "sources: [{name: in, type: stdin, format: raw}]\nexports: [{name: out, destination: console}]\n",
    );
    let lines = b"caf\xe9 one\nline two\n";
    let said = place.postrider(&["render", "--export", "out"]).stdin(lines).finish().code(0).stdout;
    assert!(said.contains("caf\u{fffd} one") && said.contains("line two"), "{said}");
    place.write("postrider.yaml", "exports: [{name: out, destination: console}]\n");
    let lines =
        [&event("1").into_bytes(), &b"{\"audit_id\":\"\xe9\"}\n"[..], &event("3").into_bytes()];
    let render = place.postrider(&["render", "--export", "out"]).stdin(lines.concat());
    let said = render.finish().code(1).stdout;
    assert!(said.contains("line 2: not UTF-8 at byte 14"), "{said}");
    assert_eq!(said.matches("policy_block").count(), 2, "{said}");
    let file = place.write("many.jsonl", format!("{}\n", "x".repeat(1 << 20)).repeat(70));
    let said = place.postrider(&["render"]).arg(&file).finish().code(2).stderr;
    assert!(said.contains("has more than 64 MiB") && said.contains("head -n"), "{said}");
}

#[test]
fn render_makes_of_a_line_what_run_does() {
    let place = Place::new(
        "sources: [{name: in, type: stdin, add_fields: {env: prod}, malformed: wrap}]\n\
         exports:\n- {name: out, destination: console}\n",
    );
    let lines = "{\"audit_id\":\"a\"}\nnot json\n";
    let ran = place.run().stdin(lines).finish().code(0).stdout;
    let rendered = place.postrider(&["render", "--export", "out"]).stdin(lines).finish().code(0);
    assert!(ran.contains("\"env\":\"prod\"") && ran.contains("\"message\":\"not json\""), "{ran}");
    for line in ran.lines() {
        assert!(rendered.stdout.contains(line), "{line} in {}", rendered.stdout);
    }
}

#[test]
fn render_without_an_export_says_who_takes_each_event() {
    let place = Place::new(
        "exports:\n- {name: errors, destination: console, filters: {min_severity: error}}\n\
         - {name: auth, destination: console, filters: {event_kinds: ['auth_*']}}\n\
         - {name: rest, destination: console, filters: {unmatched: true}}\n",
    );
    let lines = event("1")
        + &event_with("2", json!({"severity": "info", "event_kind": "auth_x"}))
        + &event_with("3", json!({"severity": "info"}));
    let said = place.postrider(&["render"]).stdin(lines).finish().code(0).stdout;
    let said: Vec<_> = said.lines().map(|line| line.split(": leaves").next().unwrap()).collect();
    assert_eq!(
        said,
        [
            "1 policy_block error from stdin",
            "  errors: takes it",
            "  auth",
            "  rest",
            "2 auth_x info from stdin",
            "  errors",
            "  auth: takes it",
            "  rest",
            "3 policy_block info from stdin",
            "  errors",
            "  auth",
            "  rest: takes it",
        ]
    );
    let failed = place.postrider(&["render"]).stdin("nonsense\n").finish().code(1);
    assert!(failed.stdout.contains("line 1: "), "{}", failed.stdout);
}

#[test]
fn send_needs_no_configuration() {
    let receiver = Receiver::answering([Answer::status(503), Answer::status(200)]);
    let place = Place::empty();
    let lines = event("1")
        + &event_with("2", json!({"severity": "info"}))
        + &event_with("3", json!({"event_kind": "other"}));
    let args =
        ["send", "--to", &receiver.url("/x"), "--min-severity", "warn", "--kind", "policy_*"];
    place.postrider(&args).stdin(lines).finish().code(0);
    let requests = receiver.exactly(2);
    assert_eq!((requests[1].audit_id(), &*requests[1].target), ("1".to_owned(), "/x"));
    let left = std::fs::read_dir(place.path("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with(".std")), "{left:?}");
}

#[test]
fn what_send_could_not_deliver_is_kept_and_can_be_replayed() {
    let receiver = Receiver::always(Answer::status(400));
    let place = Place::empty();
    let sent =
        place.postrider(&["send", "--to", &receiver.url("/")]).stdin(event("e")).finish().code(3);
    let command = sent.stderr.split("postrider dlq replay ").nth(1);
    let command = command.and_then(|rest| rest.lines().next()).expect("the command to replay");
    receiver.rewrite(|_| Answer::status(200));
    let args: Vec<_> = ["dlq", "replay"].into_iter().chain(command.split_whitespace()).collect();
    place.postrider(&args).finish().code(0);
    assert_eq!(receiver.exactly(2)[1].audit_id(), "e");
    let folder = sent.stderr.split("remove ").nth(1).expect("the folder").split(' ').next();
    std::fs::remove_dir_all(folder.unwrap()).expect("a folder with all that is left");
}

/// A stop is no reason to throw away what `send` has in its store.
#[test]
fn what_send_has_when_it_is_stopped_is_kept() {
    // Buried before the stop, and waiting at the stop.
    let cases = [(400, "dlq replay -c "), (503, "run -c ")];
    for (status, command) in cases {
        let receiver = Receiver::always(Answer::status(status));
        let place = Place::empty();
        let mut sending = place.postrider(&["send", "--to", &receiver.url("/"), "-v"]).start();
        sending.feed(event("e"));
        sending.says(if status == 400 { "dead_letter" } else { "retry" });
        sending.terminate();
        let sent = sending.wait().code(0);
        let command = sent.stderr.split(&format!("postrider {command}")).nth(1);
        let file = command.expect("what to do").split_whitespace().next().unwrap();
        receiver.rewrite(|_| Answer::status(200));
        let call = match status {
            400 => place.postrider(&["dlq", "replay", "-c", file]),
            _ => place.postrider(&["run", "-c", file]),
        };
        call.stdin("").finish().code(0);
        let last = receiver.requests().pop().expect("a request");
        assert_eq!(last.audit_id(), "e", "{status}");
    }
}

#[test]
fn send_refuses_what_is_no_url() {
    let place = Place::empty();
    for args in [
        &["--to", "not a url"][..],
        &["--to", "ftp://x.example/"],
        &["--to", "http://"],
        &["--to", "https://x.example/", "--min-severity", "foo"],
        &["--to", "https://x.example/", "--kind", "["],
    ] {
        let send = place.postrider(&["send"]);
        let send = args.iter().fold(send, |call, arg| call.arg(*arg)).stdin(event("e"));
        let failed = send.finish().code(2).stderr;
        let wrong = args[args.len() - 2];
        assert!(failed.starts_with(&format!("{wrong}: ")), "{args:?}: {failed}");
        assert!(failed.contains("fix: ") && !failed.contains("postrider.json"), "{failed}");
    }
    place.postrider(&["send"]).finish().code(2);
}

/// Starts `listen` on a free port; returns the port.
fn listen(place: &Place, args: &[&str]) -> (Running, u16) {
    let call = place.postrider(&["listen", "--port", "0"]);
    let running = args.iter().fold(call, |call, arg| call.arg(*arg)).start();
    let port = until("its address", || {
        let said = running.stdout();
        let (_, address) = said.split_once("http://127.0.0.1:")?;
        address.split_once('/')?.0.parse().ok()
    });
    (running, port)
}

fn post(port: u16, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nX-Mine: yes\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn listen_prints_what_arrives_and_answers_as_told() {
    let place = Place::empty();
    let (running, port) = listen(&place, &["--status", "202", "--fail-first", "1"]);
    assert_eq!(post(port, "/hook?x=1", "{\"a\":\"é\"}"), 503);
    assert_eq!(post(port, "/again", "second"), 202);
    let said = running.stdout();
    for text in ["#1 POST /hook?x=1", "x-mine: yes", "{\"a\":\"é\"}", "#2 POST /again", "second"] {
        assert!(said.contains(text), "`{text}`: {said}");
    }
    let busy = place.postrider(&["listen", "--port", &port.to_string()]).finish().code(1);
    assert!(busy.stderr.contains(&port.to_string()), "{}", busy.stderr);
    place.postrider(&["listen", "--status", "99"]).finish().code(2);
    let form = place.postrider(&["listen", "--verify", "foo"]).finish().code(2);
    assert!(form.stderr.contains("there is no form `foo`"), "{}", form.stderr);
}

#[test]
fn schema_prints_every_reference_in_both_formats() {
    let place = Place::empty();
    for (subject, word) in [
        ("config", "backoff_seconds"),
        ("event", "audit_id"),
        ("metrics", "postrider_events_received_total"),
        ("errors", "refused"),
    ] {
        let json = place.postrider(&["schema", subject]).finish().code(0).stdout;
        serde_json::from_str::<Value>(&json).expect("JSON");
        let page =
            place.postrider(&["schema", subject, "--format", "markdown"]).finish().code(0).stdout;
        assert!(page.starts_with("# "), "{page}");
        assert!(json.contains(word) && page.contains(word), "{subject}");
    }
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = place.postrider(&["completions", shell]).finish().code(0).stdout;
        assert!(said.contains("postrider") && said.contains("replay"), "{shell}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let said = Place::empty().postrider(&["--version"]).finish().code(0).stdout;
    assert_eq!(said, concat!("postrider ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// What every command takes is told once, of the program itself.
#[test]
fn help() {
    let place = Place::empty();
    let help = |command: &str| {
        let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        place.postrider(&words).finish().code(0).stdout
    };
    let mut all = help("");
    for command in [
        "run",
        "demo",
        "validate",
        "test",
        "render",
        "send",
        "listen",
        "dlq",
        "dlq list",
        "dlq show",
        "dlq replay",
        "dlq purge",
        "dlq export",
        "dlq stats",
        "schema",
        "completions",
    ] {
        let text = help(command);
        let own = text.split("  -c, --config").next().unwrap_or(&text);
        all.push_str(&format!(
            "\n── {command}\n{}",
            own.trim_end().trim_end_matches("\n\nOptions:")
        ));
        all.push('\n');
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_mistake_on_the_command_line_exits_2() {
    let place = Place::empty();
    for args in [&["fly"][..], &[], &["run", "--watchh"], &["dlq"], &["completions", "tcsh"]] {
        place.postrider(args).finish().code(2);
    }
    let near = place.postrider(&["vlidate"]).finish().code(2);
    assert!(near.stderr.contains("validate"), "{}", near.stderr);
}

#[test]
fn what_render_prints_of_a_console_export_is_what_run_writes() {
    for source in ["format: raw", "malformed: wrap"] {
        let place = Place::new(&format!(
            "sources: [{{name: in, type: stdin, add_fields: {{cluster: p}}, {source}}}]\n\
             exports:\n- {{name: out, destination: console, format: cef, \
             filters: {{when: {{cluster: [p]}}}}}}\n"
        ));
        let lines = "\u{feff}\nhello\n";
        let ran = place.run().stdin(lines).finish().code(0).stdout;
        assert!(ran.starts_with("CEF:0|"), "{ran}");
        let render = place.postrider(&["render", "--export", "out"]).stdin(lines).finish().code(0);
        let parts = |text: &str| text.split('|').take(7).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parts(&render.stdout), parts(&ran));
    }
}

#[test]
fn nothing_that_an_event_or_a_receiver_says_moves_the_terminal() {
    let hostile = "\u{1b}[2J\r\nattempt  200 in 1.0 ms\u{7}";
    let receiver = Receiver::always(Answer::status(400).body(hostile));
    let place = Place::new(&format!(
        "exports:\n- {{name: a, destination: webhook, webhook: {{url: '{}'}}}}\n",
        receiver.url("/")
    ));
    let line = event_with("1\u{1b}]0;x\u{7}", json!({"event_kind": "k\n\u{1b}[31m"}));
    let rendered = place.postrider(&["render"]).stdin(line.clone()).finish().code(0);
    let tested = place.postrider(&["test", "--export", "a", "--event", "-"]).stdin(line).finish();
    for said in [rendered.stdout, tested.code(1).stdout] {
        assert!(!said.contains(['\u{1b}', '\u{7}', '\r']), "{said:?}");
        assert_eq!(said.lines().filter(|line| line.starts_with("attempt  200")).count(), 0);
    }
}

#[test]
fn test_makes_an_event_of_a_source_that_the_export_takes() {
    let place = Place::new(
        "sources:\n- {name: k, type: stdin, schema: kubernetes}\n\
         - {name: app, type: file, paths: [app.log]}\nexports:\n\
         - {name: a, destination: console, filters: {sources: [app], event_kinds: [x]}}\n\
         - {name: own, destination: console, filters: {sources: [internal], event_kinds: [webhook.dlq]}}\n",
    );
    for args in [&["a"][..], &["own"], &["a", "--source", "app"]] {
        let args: Vec<_> = ["test", "--export"].iter().chain(args).copied().collect();
        let said = place.postrider(&args).finish().code(0).stdout;
        assert!(said.contains("filters  would take it"), "{said}");
    }
    let said = place.postrider(&["test", "--export", "a", "--source", "k"]).finish().code(0).stdout;
    assert!(said.contains("would leave it: sources"), "{said}");
    let both = ["test", "--export", "a", "--event", "x.json", "--kind", "y"];
    place.postrider(&both).finish().code(2);
}

#[test]
fn a_body_that_an_event_calls_json_is_checked() {
    let place = Place::new(
        "exports:\n- {name: a, destination: webhook, webhook: {url: 'http://127.0.0.1:9/', \
         headers: {Content-Type: '{{ct}}'}, body_template: '<{{message}}'}}\n",
    );
    let line = event_with("1", json!({"ct": "application/json", "message": "a"}))
        + &event_with("2", json!({"ct": "text/plain", "message": "b"}));
    let said = place.postrider(&["render", "--export", "a"]).stdin(line).finish().code(1).stdout;
    assert!(said.contains("line 1: render: body: not JSON") && said.contains("<b"), "{said}");
}
