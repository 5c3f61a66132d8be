//! https: a receiver whose certificate the system trusts gets its events, and no other does. What
//! else can be wrong with a certificate stands in `faults`.

use crate::support::{Place, TlsReceiver, VALID, event};

fn config(receiver: &TlsReceiver) -> String {
    format!(
        "admin: false\nexports:\n- name: a\n  destination: webhook\n  webhook: {{url: '{}'}}\n  \
         filters: {{sources: [stdin]}}\n  retry: {{max_attempts: 1}}\n",
        receiver.url()
    )
}

#[test]
fn a_receiver_that_the_system_trusts_gets_its_events() {
    let receiver = TlsReceiver::new(VALID);
    let place = Place::new(&config(&receiver));
    let roots = place.write("roots.pem", receiver.pem());
    let roots = roots.to_str().expect("a UTF-8 path");
    place.postrider(&["run"]).env("SSL_CERT_FILE", roots).stdin(event("e")).finish().code(0);
    assert_eq!(receiver.requests(), 1);
    place.postrider(&["validate", "--online"]).env("SSL_CERT_FILE", roots).finish().code(0);
}

#[test]
fn a_receiver_that_the_system_does_not_trust_gets_nothing() {
    let (receiver, other) = (TlsReceiver::new(VALID), TlsReceiver::new(VALID));
    let place = Place::new(&config(&receiver));
    let roots = place.write("roots.pem", other.pem());
    let run = place.postrider(&["run"]).env("SSL_CERT_FILE", roots.to_str().expect("a UTF-8 path"));
    let finished = run.stdin(event("e")).finish().code(3);
    assert!(finished.stderr.contains("TLS: invalid peer certificate"), "{}", finished.stderr);
    assert_eq!(place.dead_letters()[0]["reason"], "retries_exhausted");
    assert_eq!(receiver.requests(), 0);
}
