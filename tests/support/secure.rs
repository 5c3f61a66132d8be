//! A receiver behind TLS as receivers are: certificates of an authority of one's own, client
//! certificates, HTTP/2 where both sides want it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Who makes certificates.
pub(crate) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    pub(super) fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (made.pem(), made.der().clone());
        Authority { pem, der, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for this name that is valid until this year.
    pub(crate) fn certify(&self, name: &str, valid_before: i32) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a host's name");
        params.not_after = rcgen::date_time_ymd(valid_before, 1, 1);
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (pem, der) = (made.pem(), made.der().clone());
        Identity { pem, key_pem: key.serialize_pem(), der, key }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) version: Version,
    /// Host and port, from wherever the version puts them.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
    /// The name that TLS asked for.
    pub(crate) asked_for: Option<String>,
    /// Whether a client certificate came along.
    pub(crate) certified: bool,
}

/// How it serves.
#[derive(Default)]
pub(crate) struct Secure {
    /// Whose client certificates it demands.
    pub(crate) clients: Option<CertificateDer<'static>>,
    /// What it speaks; nothing is HTTP/1.1 without a word about it.
    pub(crate) alpn: &'static [&'static str],
    /// The statuses of its answers, the last one for all further; 200 without any. Instead of 0 it
    /// never answers.
    pub(crate) answers: &'static [u16],
    /// Whether it ends each connection after one request.
    pub(crate) once: bool,
}

impl Secure {
    /// HTTP/2 and HTTP/1.1.
    pub(crate) fn both() -> Secure {
        Secure { alpn: &["h2", "http/1.1"], ..Secure::default() }
    }

    /// Demands certificates of this authority.
    pub(crate) fn only_for(mut self, authority: &Authority) -> Secure {
        self.clients = Some(authority.der.clone());
        self
    }

    pub(crate) fn start(self, identity: &Identity) -> SecureReceiver {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).expect("an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .expect("a verifier");
                config.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der()).into();
        let mut config =
            config.with_single_cert(vec![identity.der.clone()], key).expect("a fitting key");
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("its address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let ended: Arc<AtomicUsize> = Arc::default();
        let ends = Arc::clone(&ended);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let acceptor = TlsAcceptor::from(Arc::new(config));
                let shared = Arc::new((self, kept));
                for connection in 0.. {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    let serving = serve(connection, stream, acceptor.clone(), Arc::clone(&shared));
                    let ends = Arc::clone(&ends);
                    tokio::spawn(async move {
                        serving.await;
                        ends.fetch_add(1, Ordering::SeqCst);
                    });
                }
            });
        });
        SecureReceiver { address, seen, ended }
    }
}

/// A running receiver.
#[derive(Debug)]
pub(crate) struct SecureReceiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicUsize>,
}

impl SecureReceiver {
    /// `https://localhost:<port>/in`
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/in", self.address.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections are over.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

async fn serve(
    connection: usize,
    stream: TcpStream,
    acceptor: TlsAcceptor,
    shared: Arc<(Secure, Arc<Mutex<Vec<Seen>>>)>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let tls = stream.get_ref().1;
    let http2 = tls.alpn_protocol() == Some(b"h2");
    let asked_for = tls.server_name().map(ToOwned::to_owned);
    let certified = tls.peer_certificates().is_some();
    let told = Arc::new(tokio::sync::Notify::new());
    let (settings, ends) = (Arc::clone(&shared), Arc::clone(&told));
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, asked_for, told) = (Arc::clone(&shared), asked_for.clone(), Arc::clone(&told));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let in_header = head.headers.get("host").and_then(|host| host.to_str().ok());
            let host = head.uri.authority().map(|host| host.as_str()).or(in_header);
            let (settings, seen) = &*shared;
            let status = {
                let mut seen = seen.lock().expect("nobody panicked");
                let status = settings.answers.get(seen.len()).or(settings.answers.last());
                let status = status.copied().unwrap_or(200);
                seen.push(Seen {
                    connection,
                    version: head.version,
                    host: host.unwrap_or_default().to_owned(),
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body,
                    asked_for,
                    certified,
                });
                status
            };
            told.notify_one();
            if status == 0 {
                std::future::pending::<()>().await;
            }
            let answer = Full::new(Bytes::from_static(b"so be it"));
            let answer = Response::builder().status(status).body(answer);
            Ok::<_, Infallible>(answer.expect("an answer"))
        }
    });
    let once = settings.0.once;
    let io = TokioIo::new(stream);
    if http2 {
        let mut serving = std::pin::pin!(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
        );
        tokio::select! {
            _ = serving.as_mut() => return,
            () = ends.notified(), if once => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .keep_alive(!once)
            .serve_connection(io, service)
            .await;
    }
}
