//! Canaries in what is held back: paused exports, full queues, refused reloads, removed exports, and
//! what the control socket says of them. Troubles of single attempts are the business of `canary`.

use crate::support::{
    Answer, Authority, CANARY, ENCODED, Metrics, Place, Receiver, assert_absent,
    assert_absent_from_letters, assert_absent_from_store, event_with, planted_export,
    planted_place, with_planted,
};
use rustix::process::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What the control socket answers to this.
fn ask(place: &Place, route: &str, body: &str) -> String {
    let mut stream =
        UnixStream::connect(place.path("postrider-data/control.sock")).expect("a socket");
    let length = body.len();
    let request = format!(
        "POST {route} HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut answer = Vec::new();
    // What it refuses it need not read to the end: the answer tells, not the socket.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("UTF-8")
}

#[test]
fn what_waits_and_what_is_refused_tells_no_secret() {
    let authority = Authority::new();
    let (gone, hanging) = (Receiver::always(Answer::status(410)), Receiver::always(Answer::hang()));
    let stuck = ", timeout: 60s, concurrency: 1";
    let small = "queue: {mode: disk, memory_events: 1, disk_bytes: 64KB}";
    let one = planted_export("gone", &gone.url(""), "", "");
    let exports = format!(
        "shutdown_grace: 0.2\nexports:\n{one}{}{}{}",
        planted_export("each", &gone.url(""), "", "")
            .replace("canary-path", "canary-path/{{ agent_id }}"),
        planted_export("full", &hanging.url(""), stuck, small).replace("timeout: 700ms, ", ""),
        planted_export("removed", &hanging.url(""), stuck, "").replace("timeout: 700ms, ", ""),
    );
    let (place, key) = planted_place(&exports, &authority);
    let planted = [&[CANARY, &*key][..], &ENCODED].concat();
    let mut running = with_planted(place.run().arg("-vv")).start().ready();
    let filler = json!({ "filler": "x".repeat(1000) });
    running
        .feed((0..100).map(|n| event_with(&format!("e{n}"), filler.clone())).collect::<String>());
    running.shows("pauses and a full queue", |metrics| {
        let paused =
            |export| metrics.sum("export_state", &[("export", export), ("state", "paused")]);
        let full = [("export", "full"), ("reason", "queue_full")];
        paused("gone") == 1.0
            && paused("each") == 1.0
            && metrics.sum("events_dead_lettered_total", &full) > 0.0
    });
    for (route, body) in [
        ("/v1/exports", "{}"),
        ("/v1/exports/pause", "{\"names\": [\"nobody\"]}"),
        ("/v1/exports/pause", "{\"names\": [\"gone\"]}"),
        ("/v1/exports/resume", "nonsense"),
        ("/v1/replay", "{}"),
        ("/v1/purge", "nonsense"),
        ("/v1/nothing", "{}"),
    ] {
        let answer = ask(&place, route, body);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        assert_absent(&planted, route, &answer);
    }
    for path in ["/metrics", "/ready", "/live"] {
        assert_absent(&planted, path, &running.get(path, "").1);
    }
    assert_absent_from_letters(&planted, &place);
    for refused in [
        exports.replace("X-Variable: ", "X Variable: "),
        exports.replace("timeout: 700ms", "timeout: '${IN_BODY}'"),
        exports.replace("type: bearer", "type: canary"),
        exports.replace("canary-api-key}", "\"canary-api-key\\n\"}"),
        exports.replace("headers: {", "headers: {'"),
        exports.replace("url: 'http", "url: 'canary"),
    ] {
        place.write("postrider.yaml", refused);
        let failed = |metrics: &Metrics| metrics.sum("reloads_total", &[("outcome", "refused")]);
        let before = failed(&running.metrics());
        running.signal(Signal::HUP);
        running.shows("a refusal", |metrics| failed(metrics) > before);
    }
    place.write("postrider.yaml", format!("shutdown_grace: 0.2\nexports:\n{one}"));
    running.reload();
    running.shows("what waited for a removed export", |metrics| {
        metrics.sum("events_dead_lettered_total", &[("reason", "export_removed")]) > 0.0
    });
    running.terminate();
    let ended = running.wait();
    assert_absent(&planted, "the log", &(ended.stderr + &ended.stdout));
    assert_absent_from_store(&planted, &place);
    assert_absent_from_letters(&planted, &place);
    let removed = |letter: &serde_json::Value| letter["reason"] == "export_removed";
    assert!(place.dead_letters().iter().any(removed));
}
