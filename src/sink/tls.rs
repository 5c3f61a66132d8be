//! TLS of outgoing connections: whom to trust, what to show, what to speak.

use super::error::ClientError;
use crate::config::TlsSettings;
use crate::trouble::Trouble;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// What all https connections share: the system's roots, read when they are first needed (18 ms
/// for 145 of them), and the settings of exports that have none of their own.
#[derive(Clone, Default)]
pub struct Tls(Arc<Shared>);

#[derive(Default)]
struct Shared {
    roots: OnceCell<Arc<RootCertStore>>,
    usual: OnceCell<TlsConnector>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The settings of exports that have none of their own.
    pub(super) async fn usual(&self) -> Result<&TlsConnector, ClientError> {
        self.0.usual.get_or_try_init(|| self.connector(None)).await
    }

    /// Settings of one export.
    pub(super) async fn connector(
        &self,
        settings: Option<&TlsSettings>,
    ) -> Result<TlsConnector, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // TLS 1.2 and 1.3: nothing older is built in.
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(ClientError::of_tls)?;
        let config = match settings {
            Some(TlsSettings { verify: false, .. }) => {
                config.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
            Some(TlsSettings { roots: Some(roots), .. }) => {
                config.with_root_certificates(Arc::clone(roots))
            }
            _ => config.with_root_certificates(self.roots().await?),
        };
        let client = settings.and_then(|settings| settings.client.clone());
        let mut config = match client {
            Some(key) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn roots(&self) -> Result<Arc<RootCertStore>, ClientError> {
        let load = || async {
            let roots = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
            let loaded = roots.await.map_err(ClientError::of_tls)?;
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(loaded.certs);
            if store.is_empty() {
                let why =
                    loaded.errors.first().map_or("none were found".to_owned(), ToString::to_string);
                return Err(ClientError::new(
                    Trouble::Tls,
                    format!("no system root certificates: {why}"),
                ));
            }
            Ok(Arc::new(store))
        };
        self.0.roots.get_or_try_init(load).await.cloned()
    }
}

/// Takes every certificate, because the configuration says so; only that the other side has its
/// key is checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
