//! Socket sources: lines over TCP, UDP and Unix sockets.

use crate::support::{
    Answer, Gate, Place, Receiver, Running, Step, event, events, free_port, until,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

/// A source `in` with these keys, and an export `a` to this URL.
fn place(receiver: &Receiver, source: &str) -> Place {
    Place::new(&format!(
        "sources:\n- {{name: in, type: socket, {source}}}\n\
         exports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{exclude_event_kinds: ['webhook.*']}}\nshutdown_grace: 0.3\n",
        receiver.url("/")
    ))
}

fn stop(running: Running) {
    running.terminate();
    running.wait().code(0);
}

#[test]
fn every_line_of_a_stream_arrives() {
    let receiver = Receiver::ok();
    let port = free_port();
    let place = place(&receiver, &format!("mode: tcp, address: '127.0.0.1:{port}'"));
    let running = place.run().start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // In pieces that end anywhere.
    for piece in events(50).as_bytes().chunks(77) {
        client.write_all(piece).unwrap();
    }
    running.settled(50);
    // A second one beside it, over the same source.
    let mut other = TcpStream::connect(("127.0.0.1", port)).unwrap();
    other.write_all(b"{\"audit_id\":\"other\"}\r\n\r\nnonsense\n").unwrap();
    running.settled(52);
    stop(running);
    assert_eq!(receiver.exactly(51)[50].audit_id(), "other");
    assert_eq!(place.dead_letters()[0]["text"], "nonsense");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_line_harms_nobody() {
    let receiver = Receiver::ok();
    let port = free_port();
    let place = place(&receiver, &format!("mode: tcp, address: '127.0.0.1:{port}'"));
    let running = place.run().start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all((event("whole") + "{\"audit_id\":\"ha").as_bytes()).unwrap();
    drop(client);
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"{\"audit_id\":\"whole too\"}").unwrap();
    drop(client);
    running.settled(3);
    stop(running);
    let arrived: BTreeSet<_> = receiver.audit_ids().into_iter().collect();
    assert_eq!(arrived, BTreeSet::from(["whole".to_owned(), "whole too".to_owned()]));
    let letters = place.dead_letters();
    assert_eq!((letters.len(), &letters[0]["text"]), (1, &json!("{\"audit_id\":\"ha")));
}

#[test]
fn of_a_message_that_was_cut_off_the_announced_length_is_told() {
    let receiver = Receiver::ok();
    let port = free_port();
    let keys =
        format!("mode: tcp, address: '127.0.0.1:{port}', schema: syslog, max_line_bytes: 100");
    let place = place(&receiver, &keys);
    let running = place.run().start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"5000 <34>the rest never comes").unwrap();
    drop(client);
    running.settled(1);
    stop(running);
    let letters = place.dead_letters();
    let error = letters[0]["last_error"].as_str().unwrap();
    assert!(error.contains("cut off after 29 bytes, announced with a length of 5000"), "{error}");
}

#[test]
fn no_more_connections_are_taken_than_allowed() {
    let receiver = Receiver::ok();
    let port = free_port();
    let keys = format!("mode: tcp, address: '127.0.0.1:{port}', max_connections: 2");
    let place = place(&receiver, &keys);
    let running = place.run().start().ready();
    let connect = |id: &str| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = client.write_all(event(id).as_bytes());
        client
    };
    let first = connect("1");
    receiver.wait_for(1);
    let _second = connect("2");
    receiver.wait_for(2);
    let mut third = connect("3");
    // Refused, or left waiting: either way nothing of it is taken in until a place is free.
    receiver.exactly(2);
    drop(first);
    until("the third, or its refusal and another", || {
        third.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        let closed = matches!(third.read(&mut [0; 1]), Ok(0))
            || third.write_all(b"").is_err()
            || third.take_error().is_ok_and(|error| error.is_some());
        if closed && receiver.requests().len() == 2 {
            third = connect("3");
        }
        (receiver.requests().len() == 3).then_some(())
    });
    running.settled(3);
    stop(running);
    receiver.exactly(3);
}

#[test]
fn a_datagram_holds_one_line_or_several() {
    let receiver = Receiver::ok();
    let port = free_port();
    let place = place(&receiver, &format!("mode: udp, address: '127.0.0.1:{port}'"));
    let running = place.run().start().ready();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |text: &str| client.send_to(text.as_bytes(), ("127.0.0.1", port)).unwrap();
    send(&event("1"));
    send(event("2").trim_end());
    send(&(event("3") + &event("4")));
    running.settled(4);
    stop(running);
    let arrived: BTreeSet<_> = receiver.audit_ids().into_iter().collect();
    assert_eq!(arrived.into_iter().collect::<Vec<_>>(), ["1", "2", "3", "4"]);
}

#[test]
fn unix_sockets_take_streams_and_datagrams() {
    for mode in ["unix", "unix_datagram"] {
        let receiver = Receiver::ok();
        let place = place(&receiver, &format!("mode: {mode}, address: ./in.sock"));
        // What a killed one left behind is no obstacle.
        place.run().start().ready().kill();
        let running = place.run().start().ready();
        let path = place.path("in.sock");
        if mode == "unix" {
            UnixStream::connect(&path).unwrap().write_all(events(10).as_bytes()).unwrap();
        } else {
            let client = UnixDatagram::unbound().unwrap();
            for line in events(10).lines() {
                client.send_to(line.as_bytes(), &path).unwrap();
            }
        }
        running.settled(10);
        stop(running);
        receiver.exactly(10);
        assert!(!path.exists(), "{mode}: its file goes with it");
    }
}

#[test]
fn a_busy_address_is_a_clear_error_before_anything_runs() {
    let receiver = Receiver::ok();
    let busy = std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let address = busy.local_addr().unwrap();
    let place = place(&receiver, &format!("mode: tcp, address: '{address}'"));
    let failed = place.run().finish().code(1);
    assert!(failed.stderr.contains(&address.to_string()), "{}", failed.stderr);
    assert!(failed.stderr.contains("`in`"), "{}", failed.stderr);
}

#[test]
fn what_a_socket_gave_goes_to_the_store_when_it_stops() {
    let receiver = Receiver::always(Answer::status(503));
    let port = free_port();
    let place = place(&receiver, &format!("mode: tcp, address: '127.0.0.1:{port}'"));
    let running = place.run().start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(events(20).as_bytes()).unwrap();
    running.shows("all received", |metrics| metrics.received() == 20.0);
    until("all tried", || {
        (receiver.audit_ids().into_iter().collect::<BTreeSet<_>>().len() == 20).then_some(())
    });
    running.terminate();
    let stopped = running.wait().code(0);
    assert!(stopped.stderr.contains("kept=20"), "{}", stopped.stderr);
    let ids = |from: usize| -> BTreeSet<String> {
        receiver.requests()[from..].iter().map(|r| r.delivery_id().to_owned()).collect()
    };
    let (before, tried) = (ids(0), receiver.requests().len());
    receiver.rewrite(|_| Answer::status(200));
    let running = place.run().start().ready();
    until("all again", || (ids(tried).len() == 20).then_some(()));
    running.settled(0);
    stop(running);
    assert_eq!(ids(tried), before);
}

#[test]
fn a_client_that_is_too_fast_is_held_back() {
    let gate = Gate::new();
    let receiver = Receiver::always(Answer::status(200).first(Step::Wait(gate.clone())));
    let port = free_port();
    let place = place(&receiver, &format!("mode: tcp, address: '127.0.0.1:{port}'"));
    let running = place.run().set("defaults.queue.memory_events=50").start().ready();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    // More than all buffers between here and there: the write does not end.
    let line = crate::support::event_with("e", json!({ "x": "x".repeat(10_000) }));
    let mut written = 0;
    while client.write_all(line.as_bytes()).is_ok() {
        written += 1;
        assert!(written < 20_000, "200 MB were taken in");
    }
    let metrics = running.metrics();
    assert!(metrics.received() < f64::from(written) + 1.0, "{} received", metrics.received());
    assert!(metrics.one("process_resident_memory_bytes", &[]) < 1e8);
    gate.open();
    drop(client);
    running.shows("those that were whole", |metrics| metrics.received() >= f64::from(written));
    // What the end of the connection cut off may count later than the last whole line.
    running.at_rest();
    stop(running);
}
