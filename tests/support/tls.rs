//! A receiver behind TLS, with a certificate of any kind.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a certificate says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Certificate {
    pub(crate) name: &'static str,
    /// The year before which it was valid.
    pub(crate) valid_before: i32,
    /// Whether it is one of an authority.
    pub(crate) of_authority: bool,
}

/// One for `localhost` that is valid.
pub(crate) const VALID: Certificate =
    Certificate { name: "localhost", valid_before: 4000, of_authority: false };

/// Answers every request with 200.
#[derive(Debug)]
pub(crate) struct TlsReceiver {
    port: u16,
    pem: String,
    requests: Arc<AtomicUsize>,
}

impl TlsReceiver {
    pub(crate) fn new(certificate: Certificate) -> TlsReceiver {
        let mut params =
            CertificateParams::new([certificate.name.to_owned()]).expect("a host's name");
        params.not_after = rcgen::date_time_ymd(certificate.valid_before, 1, 1);
        if certificate.of_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(made.der().to_vec())],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a certificate that fits its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, counted) = (Arc::clone(&config), Arc::clone(&counted));
                std::thread::spawn(move || answer(stream, config, &counted));
            }
        });
        TlsReceiver { port, pem: made.pem(), requests }
    }

    /// `https://localhost:<port>/in`
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/in", self.port)
    }

    /// Its certificate, to be put among the roots.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// How many requests came through.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers every request on a connection with 200, as long as requests come whole at once.
fn answer(stream: TcpStream, config: Arc<ServerConfig>, requests: &AtomicUsize) {
    let connection = ServerConnection::new(config).expect("a connection");
    let mut stream = StreamOwned::new(connection, stream);
    let mut buffer = [0; 16 * 1024];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
        requests.fetch_add(1, Ordering::SeqCst);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
