//! https: a receiver whose certificate the system trusts gets its events, and no other does.

use crate::support::{Place, event};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A receiver behind TLS, its address, and its certificate as PEM.
fn receiver() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate that fits its key");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || answer(stream, config));
        }
    });
    (port, made.cert.pem())
}

/// Answers every request on a connection with 200, as long as requests come whole at once.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) {
    let connection = ServerConnection::new(config).expect("a connection");
    let mut stream = StreamOwned::new(connection, stream);
    let mut buffer = [0; 16 * 1024];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn config(port: u16) -> String {
    format!(
        "admin: false\nexports:\n- name: a\n  destination: webhook\n  \
         webhook: {{url: 'https://localhost:{port}/in'}}\n  filters: {{sources: [stdin]}}\n  \
         retry: {{max_attempts: 1}}\n"
    )
}

#[test]
fn a_receiver_that_the_system_trusts_gets_its_events() {
    let (port, pem) = receiver();
    let place = Place::new(&config(port));
    let roots = place.write("roots.pem", pem);
    let roots = roots.to_str().expect("a UTF-8 path");
    place.postrider(&["run"]).env("SSL_CERT_FILE", roots).stdin(event("e")).finish().code(0);
    place.postrider(&["validate", "--online"]).env("SSL_CERT_FILE", roots).finish().code(0);
}

#[test]
fn a_receiver_that_the_system_does_not_trust_gets_nothing() {
    let ((port, _), (_, other)) = (receiver(), receiver());
    let place = Place::new(&config(port));
    let roots = place.write("roots.pem", other);
    let run = place.postrider(&["run"]).env("SSL_CERT_FILE", roots.to_str().expect("a UTF-8 path"));
    let finished = run.stdin(event("e")).finish().code(3);
    assert!(finished.stderr.contains("TLS: invalid peer certificate"), "{}", finished.stderr);
    assert_eq!(place.dead_letters()[0]["reason"], "retries_exhausted");
}
