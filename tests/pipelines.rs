//! The pipelines that are shipped: each is valid, and each does what it says, with its receivers
//! replaced by one of ours.

use crate::support::{Answer, Place, Receiver, Request, Running, event_with, free_port, until};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

/// A directory in which a shipped pipeline is the configuration.
fn place(name: &str) -> Place {
    Place::new(&std::fs::read_to_string(folder().join(name)).expect("a shipped pipeline"))
}

/// An event of this kind and severity.
fn event(id: &str, kind: &str, severity: &str) -> String {
    event_with(
        id,
        json!({"event_kind": kind, "severity": severity, "agent_id": "bot", "message": "a <b> & c"}),
    )
}

fn carry(mut running: Running, lines: &str) {
    running.feed(lines);
    running.settled(lines.lines().count());
    running.end().code(0);
}

#[test]
fn every_pipeline_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).expect("the pipelines") {
        let path = entry.expect("an entry").path();
        let path = path.to_str().expect("a UTF-8 path");
        Place::empty().postrider(&["validate", "--no-env", "-c", path]).finish().code(0);
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn quickstart_sends_warnings_and_worse() {
    let receiver = Receiver::ok();
    let running = place("quickstart.yaml").run().env("HOOK_URL", &receiver.url("/hook")).start();
    carry(
        running,
        &(event("a", "x", "warn") + &event("b", "x", "info") + &event("c", "x", "emergency")),
    );
    let mut ids = receiver.audit_ids();
    ids.sort();
    assert_eq!(ids, ["a", "c"]);
}

#[test]
fn pagerduty_alerts_sends_errors_of_two_kinds() {
    let receiver = Receiver::ok();
    let url = format!("exports.pagerduty-alerts.webhook.url={}", receiver.url("/v2/enqueue"));
    let running =
        place("pagerduty-alerts.yaml").run().set(&url).env("PD_ROUTING_KEY", "k3y").start();
    let lines = event("a", "policy_block", "error")
        + &event("b", "auth_fail", "critical")
        + &event("c", "policy_block", "warn")
        + &event("d", "login", "emergency");
    carry(running, &lines);
    let requests = receiver.exactly(2);
    for request in &requests {
        let body = request.json();
        let whole = &body["payload"]["custom_details"];
        assert_eq!(request.header("authorization"), Some("Token token=k3y"));
        assert_eq!(body["routing_key"], "k3y");
        assert_eq!(
            body["payload"]["summary"],
            format!("TapPass {} on bot", whole["event_kind"].as_str().unwrap())
        );
        assert!(lines.contains(&whole["audit_id"].to_string()));
        assert_eq!(whole["message"], "a <b> & c");
    }
}

#[test]
fn routing_sends_each_receiver_its_own() {
    let receiver = Receiver::ok();
    let running = place("routing.yaml")
        .run()
        .set(&format!("exports.pagerduty-auth.webhook.url={}", receiver.url("/pagerduty")))
        .env("SLACK_WEBHOOK_URL", &receiver.url("/slack"))
        .env("S3_WEBHOOK_BRIDGE_URL", &receiver.url("/s3"))
        .env("PD_ROUTING_KEY", "k3y")
        .start();
    carry(
        running,
        &(event("a", "detection", "warn")
            + &event("b", "auth_fail", "error")
            + &event("c", "login", "info")),
    );
    let mut seen: Vec<_> = receiver
        .exactly(5)
        .iter()
        .map(|request| (request.target.clone(), request.audit_id()))
        .collect();
    seen.sort();
    let expected = [("/pagerduty", "b"), ("/s3", "a"), ("/s3", "b"), ("/s3", "c"), ("/slack", "a")];
    assert_eq!(seen, expected.map(|(path, id)| (path.to_owned(), id.to_owned())));
}

#[test]
fn file_to_slack_follows_a_file() {
    let receiver = Receiver::ok();
    let place = place("file-to-slack.yaml");
    place.write("audit-1.jsonl", event("a", "policy_block", "error"));
    let glob = place.path("audit*.jsonl");
    let running = place
        .run()
        .set(&format!("sources.app-audit.paths=[\"{}\"]", glob.display()))
        .env("SLACK_WEBHOOK_URL", &receiver.url("/slack"))
        .start();
    let body = receiver.wait_for(1)[0].json();
    assert_eq!(body["text"], "*policy_block* (error) by bot\na &lt;b&gt; &amp; c");
    place.append("audit-1.jsonl", &event("b", "login", "info"));
    running.settled(2);
    running.terminate();
    running.wait().code(0);
}

#[test]
fn dlq_to_pagerduty_calls_somebody_when_the_siem_refuses() {
    let siem = Receiver::always(Answer::status(400));
    let pagerduty = Receiver::ok();
    let mut running = place("dlq-to-pagerduty.yaml")
        .run()
        .set(&format!("exports.pagerduty-dlq.webhook.url={}", pagerduty.url("/v2/enqueue")))
        .env("SIEM_URL", &siem.url("/in"))
        .env("SIEM_TOKEN", "t0ken")
        .env("PD_ROUTING_KEY", "k3y")
        .start();
    running.feed(event("a", "login", "info"));
    let body = pagerduty.wait_for(1)[0].json();
    assert_eq!(
        body["payload"]["summary"],
        "postrider could not deliver to siem: rejected (HTTP 400)"
    );
    assert_eq!(body["payload"]["custom_details"]["event"]["audit_id"], "a");
    assert_eq!(siem.exactly(1)[0].header("authorization"), Some("Bearer t0ken"));
    running.settled(1);
    running.end().code(3);
}

#[test]
fn socket_fan_out_takes_lines_from_two_sockets() {
    let receiver = Receiver::ok();
    let place = place("socket-fan-out.yaml");
    let port = free_port();
    let running = place
        .run()
        .set(&format!("sources.tcp-in.address=127.0.0.1:{port}"))
        .env("SIEM_URL", &receiver.url("/siem"))
        .env("CHAT_URL", &receiver.url("/chat"))
        .start()
        .ready();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    tcp.write_all(event("a", "login", "notice").as_bytes()).expect("sent");
    let mut unix = UnixStream::connect(place.path("audit.sock")).expect("it listens");
    unix.write_all(event("b", "auth_fail", "critical").as_bytes()).expect("sent");
    running.settled(2);
    let targets =
        |path: &str| receiver.requests().iter().filter(|request| request.target == path).count();
    assert_eq!((targets("/siem"), targets("/chat")), (2, 1));
    let lines = until("both archives", || {
        let read =
            |kind: &str| std::fs::read_to_string(place.path(&format!("archive/{kind}.jsonl"))).ok();
        Some((read("login")?, read("auth_fail")?))
    });
    assert!(lines.0.contains("\"a\"") && lines.1.contains("\"b\""), "{lines:?}");
    running.terminate();
    running.wait().code(0);
}

/// The bodies that a pipeline with one export makes of these lines, in order of their audit ids.
fn sent(name: &str, url: &str, answer: &Answer, lines: &str, count: usize) -> Vec<Request> {
    let receiver = Receiver::always(answer.clone());
    let running = place(name)
        .run()
        .set(&format!("exports.{url}.webhook.url={}", receiver.url("/hook")))
        .set(&format!("exports.{url}.rate_limit={{requests: 100, per: 1s}}"))
        .env("DISCORD_WEBHOOK_URL", "unused")
        .env("TEAMS_WEBHOOK_URL", "unused")
        .env("SLACK_WEBHOOK_URL", "unused")
        .env("PD_ROUTING_KEY", "k3y")
        .env("OPENCLAW_HOOK_URL", "unused")
        .env("OPENCLAW_TOKEN", "t0ken")
        .start();
    carry(running, lines);
    let mut requests = receiver.exactly(count);
    requests.sort_by_key(|request| request.header("X-Postrider-Event-ID").map(str::to_owned));
    requests
}

#[test]
fn each_platform_has_a_pipeline() {
    let lines = event("a", "deny", "error") + &event("b", "info", "info");
    let discord = sent("discord-approvals.yaml", "discord", &Answer::status(204), &lines, 1);
    assert_eq!(discord[0].json()["embeds"][0]["footer"]["text"], "Security");
    let teams = sent("teams-alerts.yaml", "teams", &Answer::status(202), &lines, 1);
    assert_eq!(teams[0].json()["attachments"][0]["content"]["type"], "AdaptiveCard");
    let lines = event("a", "policy_block", "error") + &event("b", "info", "info");
    let ok = Answer::status(200).body("ok");
    let slack = sent("slack-blocks.yaml", "slack", &ok, &lines, 1);
    assert_eq!(slack[0].json()["text"], "Denied: a &lt;b&gt; &amp; c (bot)");
    assert_eq!(slack[0].json()["blocks"][1]["text"]["text"], "a &lt;b&gt; &amp; c");
    let lines = event("a", "disk_full", "warn") + &event("b", "disk_recovered", "warn");
    let incidents = sent("pagerduty-incidents.yaml", "pagerduty", &Answer::status(202), &lines, 2);
    let actions = incidents.iter().map(|request| request.json()["event_action"].clone());
    assert_eq!(actions.collect::<Vec<_>>(), ["trigger", "resolve"]);
    let claw = sent("openclaw.yaml", "openclaw", &Answer::status(200), &lines, 2);
    assert_eq!(claw[0].json()["text"], "disk_full on bot: a <b> & c");
    assert_eq!(claw[0].header("authorization"), Some("Bearer t0ken"));
}

#[test]
fn an_incident_is_never_resolved_before_it_is_raised() {
    let receiver = Receiver::answering([Answer::status(500), Answer::status(202)]);
    let running = place("pagerduty-incidents.yaml")
        .run()
        .set(&format!("exports.pagerduty.webhook.url={}", receiver.url("/hook")))
        .set("exports.pagerduty.rate_limit={requests: 100, per: 1s}")
        .set("exports.pagerduty.retry.backoff_seconds=[0.05]")
        .env("PD_ROUTING_KEY", "k3y")
        .start();
    let of = |id: &str, kind: &str, severity: &str, host: &str| {
        let fields =
            json!({"event_kind": kind, "severity": severity, "host": host, "check": "disk"});
        event_with(id, fields)
    };
    let lone = event("d", "disk_full", "error");
    let lines = of("a", "disk_full", "error", "web1")
        + &of("b", "disk_looked_at", "info", "web1")
        + &of("c", "disk_recovered", "info", "web1")
        + &lone;
    carry(running, &lines);
    let seen: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.json())
        .map(|body| format!("{} {}", body["event_action"], body["dedup_key"]).replace('"', ""))
        .collect();
    assert_eq!(seen, ["trigger web1 disk", "trigger web1 disk", "resolve web1 disk", "trigger d"]);
}

#[test]
fn kubernetes_tells_of_commands_in_pods_and_of_refusals() {
    let receiver = Receiver::ok();
    let place = place("kubernetes.yaml");
    let event = |verb: &str, resource: &str, code: u32| {
        let event = json!({"auditID": format!("{verb}{code}"), "stage": "ResponseComplete", "verb": verb, "kind": "Event",
            "user": {"username": "ann"}, "objectRef": {"resource": "pods", "subresource": resource, "namespace": "n",
            "name": "p"}, "responseStatus": {"code": code, "reason": "Forbidden"}});
        format!("{event}\n")
    };
    place.write(
        "audit.log",
        event("create", "exec", 101) + &event("list", "", 403) + &event("get", "", 200),
    );
    let running = place
        .run()
        .set(&format!("sources.kubernetes.paths=[\"{}\"]", place.path("*.log").display()))
        .env("SLACK_WEBHOOK_URL", &receiver.url("/slack"))
        .start();
    running.settled(3);
    running.terminate();
    running.wait().code(0);
    let mut texts: Vec<_> =
        receiver.exactly(2).iter().map(|request| request.json()["text"].to_string()).collect();
    texts.sort();
    assert_eq!(
        texts,
        ["\"ann: create pods/exec n/p → 101\"", "\"refused: ann may not list pods (Forbidden)\""]
    );
}

#[test]
fn vault_tells_of_changed_policies_and_of_refusals() {
    let receiver = Receiver::ok();
    let place = place("vault.yaml");
    let event = |operation: &str, path: &str, error: &str| {
        let event = json!({"type": "response", "time": "2026-01-02T03:04:05Z", "auth": {"display_name": "ann"},
            "request": {"id": path, "operation": operation, "path": path}, "error": error});
        format!("{event}\n")
    };
    let lines =
        event("update", "sys/policy/x", "") + &event("read", "secret/a", "permission denied");
    place.write("audit.log", lines + &event("read", "secret/b", ""));
    let running = place
        .run()
        .set(&format!("sources.vault.paths=[\"{}\"]", place.path("*.log").display()))
        .env("HOOK_URL", &receiver.url("/hook"))
        .start();
    running.settled(3);
    running.terminate();
    running.wait().code(0);
    let mut kinds: Vec<_> = receiver
        .exactly(2)
        .iter()
        .map(|request| request.header("x-postrider-event").unwrap_or_default().to_owned())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["read secret/a", "update sys/policy/x"]);
}

#[test]
fn cloudtrail_sends_each_event_of_a_document() {
    let siem = Receiver::ok();
    let pagerduty = Receiver::ok();
    let place = place("cloudtrail.yaml");
    let event = |id: &str, name: &str, outcome: &str| {
        json!({"eventID": id, "eventName": name, "eventSource": "signin.amazonaws.com", "eventTime": "2026-01-02T03:04:05Z",
            "userIdentity": {"arn": "arn:x"}, "errorMessage": "no", "responseElements": {"ConsoleLogin": outcome}})
    };
    let document = json!({"Records": [event("a", "ConsoleLogin", "Failure"), event("b", "GetUser", "Success")]});
    place.write("one.json", document.to_string());
    place
        .run()
        .set(&format!("sources.cloudtrail.paths=[\"{}\"]", place.path("*.json").display()))
        .set(&format!("exports.pagerduty-logins.webhook.url={}", pagerduty.url("/v2/enqueue")))
        .env("SIEM_URL", &siem.url("/in"))
        .env("PD_ROUTING_KEY", "k3y")
        .finish()
        .code(0);
    let mut ids: Vec<_> = siem
        .exactly(2)
        .iter()
        .map(|request| request.json()["data"]["eventID"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["\"a\"", "\"b\""]);
    let body = pagerduty.exactly(1)[0].json();
    assert_eq!(body["payload"]["summary"], "signin.amazonaws.com:ConsoleLogin by arn:x: no");
}

#[test]
fn github_tells_of_weakened_protections() {
    let receiver = Receiver::ok();
    let lines = [("protected_branch.rejected_ref_update", "ann"), ("git.clone", "bob")]
        .map(|(action, actor)| format!("{}\n", json!({"action": action, "actor": actor, "created_at": 1767323045123u64, "repo": "o/r"})));
    place("github.yaml")
        .run()
        .env("SLACK_WEBHOOK_URL", &receiver.url("/slack"))
        .stdin(lines.concat())
        .finish()
        .code(0);
    let body = receiver.exactly(1)[0].json();
    assert_eq!(body["text"], "ann: protected_branch.rejected_ref_update in o/r (error)");
}
