//! Foreign formats, end to end: documents taken apart, syslog and CEF lines, CloudEvents out.

use crate::support::{Answer, Place, Receiver, Request, Running, free_port, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};

/// A source `in` with these keys, and an export `a` to this URL.
fn config(url: &str, source: &str) -> String {
    format!(
        "sources:\n- {{name: in, {source}}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}'}}\n  \
         retry: {{jitter: 0, backoff_seconds: [0.05], max_attempts: 100000}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\nshutdown_grace: 0.2\n"
    )
}

/// A file of CloudTrail with the events of these numbers, on one line.
fn trail(numbers: std::ops::Range<u32>) -> String {
    let event = |number: u32| {
        json!({"eventVersion": "1.08", "eventID": format!("e{number}"), "eventTime": "2026-01-02T03:04:05Z",
            "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "userIdentity": {"arn": "arn:x"},
            "requestParameters": {"key": "} ] \" \\ {".repeat(number as usize % 7)}})
    };
    json!({"Records": numbers.map(event).collect::<Vec<_>>()}).to_string()
}

fn event_id(request: &Request) -> String {
    request.header("x-postrider-event-id").unwrap_or_default().to_owned()
}

fn ids(receiver: &Receiver) -> Vec<String> {
    let mut ids: Vec<_> =
        receiver.requests().iter().map(|request| request.json()["eventID"].to_string()).collect();
    ids.sort();
    ids
}

fn stop(running: Running) {
    running.terminate();
    running.wait().code(0);
}

#[test]
fn a_trail_is_unwrapped_and_goes_on_behind_the_settled_events_after_a_restart() {
    const EVENTS: u32 = 600;
    let receiver = Receiver::new(|request| match request.json()["eventID"].as_str() {
        // Not taken at first, so that the checkpoint stands in the middle of the document.
        Some("e3" | "e77" | "e599") => Answer::status(503),
        _ => Answer::status(200),
    });
    let source = "type: file, paths: ['trail/*.json'], schema: cloudtrail";
    let place = Place::new(&config(&receiver.url("/"), source));
    place.write("trail/1.json", trail(0..EVENTS) + "\n" + &trail(EVENTS..EVENTS + 5) + "\n");
    let running = place.run().start();
    let delivered = [("export", "a")];
    running.shows("all but three", |metrics| {
        metrics.one("events_delivered_total", &delivered) == f64::from(EVENTS + 2)
    });
    stop(running);
    let before = receiver.requests();
    let deliveries: BTreeSet<_> = before
        .iter()
        .map(|request| request.header("x-postrider-delivery").map(str::to_owned))
        .collect();
    assert_eq!(deliveries.len(), EVENTS as usize + 5, "each event is one delivery");
    let first = before.iter().find(|request| event_id(request) == "e0").unwrap();
    assert_eq!(first.header("x-postrider-event"), Some("s3.amazonaws.com:GetObject"));
    receiver.rewrite(|_| Answer::status(200));
    let running = place.run().start();
    running.settled(3);
    stop(running);
    let after = receiver.requests();
    let again: BTreeSet<_> = after[before.len()..]
        .iter()
        .map(|request| {
            (event_id(request), request.header("x-postrider-delivery").map(str::to_owned))
        })
        .collect();
    assert_eq!(
        again.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["e3", "e599", "e77"],
        "only what was not settled comes again"
    );
    assert!(again.iter().all(|(_, delivery)| deliveries.contains(delivery)), "with the same id");
}

#[test]
fn no_event_of_a_document_is_lost_when_the_program_is_killed() {
    const EVENTS: u32 = 3000;
    let receiver = Receiver::ok();
    let source = "type: file, paths: ['trail/*.json'], schema: cloudtrail";
    let place = Place::new(&config(&receiver.url("/"), source));
    place.write("trail/1.json", trail(0..EVENTS));
    for part in 1..=3 {
        let running = place.run().start();
        receiver.wait_for(part * 600);
        running.kill();
    }
    let running = place.run().start();
    let ids = || receiver.requests().iter().map(event_id).collect::<BTreeSet<_>>();
    until("every event", || (ids().len() == EVENTS as usize).then_some(()));
    stop(running);
    let deliveries: BTreeSet<_> =
        receiver.requests().iter().map(|request| request.delivery_id().to_owned()).collect();
    assert_eq!(deliveries.len(), EVENTS as usize, "an event keeps its delivery id");
}

#[test]
fn documents_of_any_layout_are_read_and_a_broken_one_harms_no_other() {
    let receiver = Receiver::ok();
    let source =
        "type: file, paths: ['*.json*'], follow: false, schema: cloudtrail, framing: document";
    let place = Place::new(&config(&receiver.url("/"), source));
    let pretty = |text: String| {
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap()
    };
    let whole = trail(3..4);
    let cut = whole.trim_end_matches("]}");
    let text = format!(
        "{}{}\n{cut},{{\"eventID\":\"cut\n{}",
        pretty(trail(0..2)),
        trail(2..3),
        pretty(trail(5..6))
    );
    place.write("a.json", text);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(trail(6..8).as_bytes()).unwrap();
    place.write("b.json.gz", gzip.finish().unwrap());
    place.write("c.json", "{\"eventID\": \"no list\"}");
    place.run().finish().code(3);
    let expected = ["e0", "e1", "e2", "e3", "e5", "e6", "e7"].map(|id| format!("{id:?}"));
    assert_eq!(ids(&receiver), expected);
    let letters = place.dead_letters();
    let told: Vec<_> = letters.iter().map(|letter| letter["last_error"].to_string()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|error| error.contains("a line ends inside a string")), "{told:?}");
    assert!(told.iter().any(|error| error.contains("no list `Records`")), "{told:?}");
    place.run().finish();
    receiver.exactly(7);
}

#[test]
fn events_are_taken_out_of_lists_in_lists_from_standard_input() {
    let receiver = Receiver::ok();
    let keys = "type: stdin, schema: otlp, add_fields: {cluster: prod-eu}";
    let place = Place::new(&config(&receiver.url("/"), keys));
    let record = |name: &str| json!({"eventName": name, "severityNumber": 17, "timeUnixNano": "1767323045000000000"});
    let line = json!({"resourceLogs": [
        {"resource": {}, "scopeLogs": [{"logRecords": [record("a"), record("b")]}, {"logRecords": []}]},
        {"scopeLogs": [{"scope": {}, "logRecords": [record("c")]}]},
    ]});
    place.run().stdin(format!("{line}\n{line}\n")).finish().code(0);
    let mut kinds: Vec<_> = receiver
        .exactly(6)
        .iter()
        .map(|request| request.header("x-postrider-event").unwrap().to_owned())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(receiver.requests()[0].json()["cluster"], "prod-eu");
}

#[test]
fn syslog_comes_counted_and_in_lines_and_in_datagrams() {
    let receiver = Receiver::ok();
    let (port, udp) = (free_port(), free_port());
    let source = format!(
        "type: socket, mode: tcp, address: '127.0.0.1:{port}', format: syslog}}\n\
         - {{name: udp, type: socket, mode: udp, address: '127.0.0.1:{udp}', format: syslog"
    );
    let place = Place::new(&config(&receiver.url("/"), &source));
    let running = place.run().start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let counted = "<34>1 2026-01-02T03:04:05Z host su 1 ID47 [x@1 a=\"b\"] two\nlines";
    let text = format!(
        "{} {counted}<13>Jan  2 03:04:05 host app[7]: a line\n{} {counted}nonsense\n",
        counted.len(),
        counted.len()
    );
    // In pieces that end anywhere.
    for piece in text.as_bytes().chunks(11) {
        client.write_all(piece).unwrap();
    }
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<8>1 - - datagram - - - a\nb", ("127.0.0.1", udp)).unwrap();
    running.settled(5);
    stop(running);
    let mut bodies: Vec<_> = receiver.exactly(4).iter().map(|request| request.json()).collect();
    bodies.sort_by_key(|body| body["app"].to_string());
    assert_eq!((&bodies[0]["app"], &bodies[0]["message"]), (&json!("app"), &json!("a line")));
    assert_eq!(
        bodies[1],
        json!({"facility": "user", "severity": "emerg", "app": "datagram", "message": "a\nb"})
    );
    assert_eq!(bodies[2], bodies[3]);
    assert_eq!(
        bodies[2],
        json!({"facility": "auth", "severity": "crit", "timestamp": "2026-01-02T03:04:05Z", "host": "host",
            "app": "su", "procid": "1", "msgid": "ID47", "structured_data": {"x@1": {"a": "b"}},
            "message": "two\nlines"})
    );
    let requests = receiver.requests();
    let kinds: BTreeSet<_> =
        requests.iter().filter_map(|request| request.header("x-postrider-event")).collect();
    assert_eq!(kinds, BTreeSet::from(["su/ID47", "app", "datagram"]));
    assert_eq!(place.dead_letters()[0]["text"], "nonsense");
}

#[test]
fn cef_comes_in_and_goes_out() {
    let receiver = Receiver::ok();
    let config = config(&receiver.url("/"), "type: stdin, format: cef")
        .replace("destination: webhook\n", "destination: webhook\n  format: cef\n");
    let place = Place::new(&config);
    let line = r"<134>Jan  2 03:04:05 fw CEF:0|Acme|Wall|1|100|Login \| fail|8|externalId=x1 suser=ann b msg=a \= b";
    place.run().stdin(format!("{line}\nno cef\n")).finish().code(3);
    let request = &receiver.exactly(1)[0];
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.header("x-postrider-event-id"), Some("x1"));
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(body.starts_with("CEF:0|postrider|postrider|"), "{body}");
    assert!(body.contains("|100|100|7|") && body.contains(" suser=ann b "), "{body}");
    assert_eq!(place.dead_letters()[0]["text"], "no cef");
}

#[test]
fn events_go_out_as_cloud_events() {
    let receiver = Receiver::ok();
    for mode in ["structured", "binary"] {
        let config = config(&receiver.url("/"), "type: stdin")
            .replace("destination: webhook\n", "destination: webhook\n  format: cloudevents\n")
            .replace("webhook: {", &format!("webhook: {{cloudevents: {{mode: {mode}}}, "));
        let line =
            r#"{"audit_id":"a 1","event_kind":"login","n":1.0,"timestamp":"2026-01-02T03:04:05Z"}"#;
        Place::new(&config).run().stdin(line).finish().code(0);
    }
    let requests = receiver.exactly(2);
    let (structured, binary) = (&requests[0], &requests[1]);
    assert_eq!(structured.header("content-type"), Some("application/cloudevents+json"));
    let body = structured.json();
    assert_eq!(
        (&body["id"], &body["type"], &body["source"]),
        (&json!("a 1"), &json!("login"), &json!("/postrider/in"))
    );
    assert_eq!(body["data"]["n"], json!(1.0));
    assert_eq!(binary.header("content-type"), Some("application/json"));
    assert_eq!(binary.header("ce-id"), Some("a%201"));
    assert_eq!(binary.header("ce-type"), Some("login"));
    assert_eq!(binary.json(), body["data"]);
}
