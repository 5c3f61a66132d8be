//! https: a receiver whose certificate is trusted gets its events, and no other does; whom to
//! trust, what to show and what is spoken. What else can be wrong with a certificate stands in
//! `faults`.

use crate::support::{
    Authority, Identity, Place, Secure, TlsReceiver, VALID, event, events, until,
};
use hyper::Version;

fn config(url: &str, tls: &str) -> String {
    format!(
        "admin: false\nexports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{url}', {tls}}}\n  \
         filters: {{sources: [stdin]}}\n  retry: {{max_attempts: 1}}\n"
    )
}

/// A place whose `ca.pem` holds this, with these keys of `tls`.
fn place(url: &str, ca: &str, tls: &str) -> Place {
    let place = Place::new(&config(url, &format!("tls: {{{tls}}}")));
    place.write("ca.pem", ca);
    place
}

/// Sends one event, which must come to nothing, and says why it did.
fn failure(place: &Place) -> String {
    place.postrider(&["run"]).stdin(event("e")).finish().code(3);
    let letters = place.dead_letters();
    assert_eq!(letters[0]["reason"], "retries_exhausted");
    letters[0]["last_error"].as_str().expect("an error").to_owned()
}

fn localhost(authority: &Authority) -> Identity {
    authority.certify("localhost", 4000)
}

#[test]
fn a_receiver_that_the_system_trusts_gets_its_events() {
    let receiver = TlsReceiver::new(VALID);
    let place = Place::new(&config(&receiver.url(), ""));
    let roots = place.write("roots.pem", receiver.pem());
    let roots = roots.to_str().expect("a UTF-8 path");
    place.postrider(&["run"]).env("SSL_CERT_FILE", roots).stdin(event("e")).finish().code(0);
    assert_eq!(receiver.requests(), 1);
    place.postrider(&["validate", "--online"]).env("SSL_CERT_FILE", roots).finish().code(0);
}

#[test]
fn a_receiver_that_the_system_does_not_trust_gets_nothing() {
    let (receiver, other) = (TlsReceiver::new(VALID), TlsReceiver::new(VALID));
    let place = Place::new(&config(&receiver.url(), ""));
    let roots = place.write("roots.pem", other.pem());
    let run = place.postrider(&["run"]).env("SSL_CERT_FILE", roots.to_str().expect("a UTF-8 path"));
    let finished = run.stdin(event("e")).finish().code(3);
    assert!(finished.stderr.contains("TLS: invalid peer certificate"), "{}", finished.stderr);
    assert_eq!(place.dead_letters()[0]["reason"], "retries_exhausted");
    assert_eq!(receiver.requests(), 0);
}

#[test]
fn an_authority_of_ones_own_is_trusted_instead_of_the_systems() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let receiver = Secure::both().start(&localhost(&ours));
    let trusting = place(&receiver.url(), ours.pem(), "ca_file: ca.pem");
    trusting.postrider(&["run"]).stdin(event("e")).finish().code(0);
    trusting.postrider(&["validate", "--online"]).finish().code(0);
    trusting.postrider(&["test", "--export", "a"]).finish().code(0);
    assert_eq!(receiver.seen().len(), 2);

    let other = place(&receiver.url(), theirs.pem(), "ca_file: ca.pem");
    assert!(failure(&other).starts_with("TLS: invalid peer certificate"));
    let roots = other.write("roots.pem", ours.pem());
    let roots = roots.to_str().expect("a UTF-8 path");
    other.postrider(&["test", "--export", "a"]).env("SSL_CERT_FILE", roots).finish().code(1);
    let online = other.postrider(&["validate", "--online"]).env("SSL_CERT_FILE", roots).finish();
    assert!(online.code(2).stdout.contains("TLS: invalid peer certificate"));
    assert_eq!(receiver.seen().len(), 2);
}

#[test]
fn the_name_must_be_the_certificates() {
    let authority = Authority::new();
    let receiver = Secure::both().start(&authority.certify("hooks.internal", 4000));
    let other = place(&receiver.url(), authority.pem(), "ca_file: ca.pem");
    assert!(failure(&other).contains("not valid for name"), "{}", failure(&other));
    assert!(receiver.seen().is_empty());
    let named = "ca_file: ca.pem, server_name: hooks.internal";
    place(&receiver.url(), authority.pem(), named)
        .postrider(&["run"])
        .stdin(event("e"))
        .finish()
        .code(0);
    let seen = &receiver.seen()[0];
    assert_eq!(seen.asked_for.as_deref(), Some("hooks.internal"));
    assert_eq!(seen.host, format!("localhost:{}", receiver.port()), "the request keeps its host");
}

#[test]
fn an_expired_certificate_is_none() {
    let authority = Authority::new();
    let receiver = Secure::both().start(&authority.certify("localhost", 2001));
    let error = failure(&place(&receiver.url(), authority.pem(), "ca_file: ca.pem"));
    assert!(error.contains("expired"), "{error}");
    assert!(receiver.seen().is_empty());
}

#[test]
fn without_verification_every_certificate_will_do_and_that_is_said() {
    let receiver = Secure::both().start(&Authority::new().certify("elsewhere.example", 2001));
    let place = place(&receiver.url(), "", "verify: false");
    const SAID: &str = "the receiver's certificate is NOT checked";
    let run = place.postrider(&["run"]).stdin(event("e")).finish().code(0);
    assert!(run.stderr.contains(SAID), "{}", run.stderr);
    assert_eq!(receiver.seen().len(), 1);
    let valid = place.postrider(&["validate"]).finish().code(0);
    assert!(valid.stdout.contains(SAID), "{}", valid.stdout);
    place.postrider(&["validate", "--deny-warnings"]).finish().code(2);
}

#[test]
fn a_client_certificate_is_shown_where_it_is_demanded() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let (ours, foreign) = (clients.certify("us", 4000), strangers.certify("us", 4000));
    let identity = localhost(&authority);
    const KEYS: &str = "ca_file: ca.pem, client_cert_file: cert.pem, client_key_file: key.pem";
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let server = Secure { alpn, ..Secure::default() };
        let receiver = server.only_for(&clients).start(&identity);
        let error = failure(&place(&receiver.url(), authority.pem(), "ca_file: ca.pem"));
        assert!(error.to_lowercase().contains("certificaterequired"), "{alpn:?}: {error}");
        let shown = place(&receiver.url(), authority.pem(), KEYS);
        shown.write("cert.pem", &foreign.pem);
        shown.write("key.pem", &foreign.key_pem);
        let error = failure(&shown);
        assert!(error.starts_with("TLS: received fatal alert"), "{alpn:?}: {error}");
        assert!(receiver.seen().is_empty());
        shown.write("cert.pem", &ours.pem);
        shown.write("key.pem", &ours.key_pem);
        shown.postrider(&["run"]).stdin(event("e")).finish().code(0);
        assert!(receiver.seen()[0].certified);
    }
}

#[test]
fn http2_is_spoken_where_both_sides_want_it() {
    let authority = Authority::new();
    let identity = localhost(&authority);
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let receiver = Secure { alpn, ..Secure::default() }.start(&identity);
        let place = place(&receiver.url(), authority.pem(), "ca_file: ca.pem");
        let run = place.postrider(&["run"]).set("exports.a.webhook.concurrency=1");
        run.stdin(events(20)).finish().code(0);
        let seen = receiver.seen();
        assert_eq!(seen.len(), 20, "{alpn:?}");
        for (number, request) in seen.iter().enumerate() {
            assert_eq!(request.version, version, "{alpn:?}");
            assert_eq!(request.connection, 0, "{alpn:?}: one connection");
            assert_eq!(request.host, format!("localhost:{}", receiver.port()));
            assert_eq!(request.path, "/in");
            assert_eq!(request.headers["x-postrider-attempt"], "1");
            let id = format!("\"audit_id\":\"e{number}\"");
            assert!(String::from_utf8_lossy(&request.body).contains(&id));
        }
    }
}

#[test]
fn a_large_batch_goes_over_http2() {
    let authority = Authority::new();
    let receiver = Secure::both().start(&localhost(&authority));
    let place = place(&receiver.url(), authority.pem(), "ca_file: ca.pem");
    let run = place.postrider(&["run"]).set("exports.a.batch.max_events=2000");
    run.stdin(events(2000)).finish().code(0);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].version, Version::HTTP_2);
    assert!(seen[0].body == events(2000));
}

#[test]
fn http2_answers_count_as_others_do() {
    let authority = Authority::new();
    let server = Secure { answers: &[503, 0, 200, 400], ..Secure::both() };
    let receiver = server.start(&localhost(&authority));
    let place = place(&receiver.url(), authority.pem(), "ca_file: ca.pem");
    let run = place
        .postrider(&["run"])
        .set("exports.a.retry.max_attempts=5")
        .set("exports.a.retry.backoff_seconds=[0.01]")
        .set("exports.a.webhook.timeout=1s")
        .set("exports.a.order=strict");
    run.stdin(events(2)).finish().code(3);
    let attempts: Vec<_> =
        receiver.seen().iter().map(|seen| seen.headers["x-postrider-attempt"].clone()).collect();
    assert_eq!(attempts, ["1", "2", "3", "1"]);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["last_status"], &letters[0]["reason"]),
        (&400.into(), &"rejected".into())
    );
    assert_eq!(letters[0]["response"], "so be it");
}

#[test]
fn a_connection_that_ended_while_idle_costs_no_attempt() {
    let authority = Authority::new();
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let server = Secure { alpn, once: true, ..Secure::default() };
        let receiver = server.start(&localhost(&authority));
        let place = place(&receiver.url(), authority.pem(), "ca_file: ca.pem");
        let run = place.postrider(&["run"]).set("exports.a.webhook.concurrency=1");
        let mut running = run.start();
        for number in 0..3 {
            running.feed(event(&format!("e{number}")));
            until("the connection's end", || (receiver.ended() > number).then_some(()));
        }
        running.end().code(0);
        let connections: Vec<_> = receiver.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 1, 2], "{alpn:?}");
    }
}

#[test]
fn a_replaced_certificate_takes_effect_with_a_reload() {
    let (authority, other) = (Authority::new(), Authority::new());
    let receiver = Secure::both().start(&localhost(&authority));
    let place = place(&receiver.url(), other.pem(), "ca_file: ca.pem");
    let mut running = place.run().set("admin.metrics_open=true").start().ready();
    running.feed(event("e0"));
    let found = running.shows("a dead letter", |metrics| {
        metrics.sum("events_dead_lettered_total", &[("export", "a")]) == 1.0
    });
    assert_eq!(found.sum("events_delivered_total", &[]), 0.0);
    place.write("ca.pem", authority.pem());
    running.reload();
    running.feed(event("e1"));
    running.shows("a delivery", |metrics| metrics.sum("events_delivered_total", &[]) == 1.0);
    assert_eq!(receiver.seen().len(), 1);
    // One that cannot be read changes nothing.
    place.write("ca.pem", "");
    running.signal(rustix::process::Signal::HUP);
    running.says("holds no certificate");
    running.feed(event("e2"));
    running.shows("a delivery", |metrics| metrics.sum("events_delivered_total", &[]) == 2.0);
    running.end().code(3);
}
