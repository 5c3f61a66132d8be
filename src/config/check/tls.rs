//! Checks of a webhook's TLS: certificates and keys are read and must fit. What is wrong with a
//! file is said without what stands in it.

use crate::config::digest;
use crate::config::keys::TlsKeys;
use crate::config::load::read_text;
use crate::config::report::At;
use crate::config::{TlsSettings, WebhookUrl};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Checks the keys; `None` where nothing differs from the usual.
pub(super) fn tls(
    keys: Option<&TlsKeys>,
    url: Option<&WebhookUrl>,
    at: &At<'_>,
) -> Option<Arc<TlsSettings>> {
    let keys = keys?;
    if url.is_some_and(|url| !url.https) {
        at.warning("the URL is not https: this is not used", "leave it out, or use https");
    }
    if !keys.verify {
        at.key("verify").warning(
            "the receiver's certificate is NOT checked: events and secrets go to whoever answers",
            "name its authority in `ca_file` instead",
        );
    }
    let mut files = Sha256::new();
    let ca = keys.ca_file.as_deref().map(|path| (path, at.key("ca_file")));
    let ca = ca.and_then(|(path, at)| Some((contents(path, &at, &mut files)?, path, at)));
    let roots = ca.and_then(|(text, path, at)| roots(&text, path, &at)).map(Arc::new);
    let client = client(keys, at, &mut files);
    let server_name = keys.server_name.as_deref().and_then(|name| {
        let at = at.key("server_name");
        let parsed = ServerName::try_from(name.to_owned()).ok();
        if parsed.is_none() {
            let message = format!("`{}` is not the name of a server", at.visible(name));
            at.problem(message, "write a host's name such as `hooks.example.com`");
        }
        parsed
    });
    let files: [u8; 32] = files.finalize().into();
    let files = std::array::from_fn(|index| files[index]);
    let digest = digest::of_part(at.node(), &[files]);
    Some(Arc::new(TlsSettings { roots, client, server_name, verify: keys.verify, digest }))
}

/// A PEM file's text, which becomes part of the fingerprint and is watched.
fn contents(path: &str, at: &At<'_>, files: &mut Sha256) -> Option<String> {
    if at.is_unknown() {
        return None;
    }
    let full = at.resolve(path);
    at.report.files.borrow_mut().push(full.clone());
    match read_text(&full) {
        Ok(text) => {
            files.update((text.len() as u64).to_le_bytes());
            files.update(text.as_bytes());
            Some(text)
        }
        Err(reason) => {
            let message = format!("`{}` cannot be read: {reason}", at.visible(path));
            at.problem(message, "the path counts from the file that names it");
            None
        }
    }
}

/// The certificates of a file, or what is wrong with it.
fn certificates(text: &str, path: &str, at: &At<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let path = at.visible(path);
    match CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => {
            at.problem(
                format!("`{path}` holds no certificate"),
                "it must be PEM, with `-----BEGIN CERTIFICATE-----`",
            );
            None
        }
        Ok(certificates) => Some(certificates),
        Err(error) => {
            at.problem(format!("`{path}` is not PEM: {}", fault(&error)), "write the file anew");
            None
        }
    }
}

/// The library's own words would repeat the file's.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section's first line is cut",
        pem::Error::Base64Decode(_) => "what stands in a section is not base64",
        pem::Error::NoItemsFound => "nothing of the kind stands in it",
        _ => "a section is too large, or cannot be read",
    }
}

fn roots(text: &str, path: &str, at: &At<'_>) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates(text, path, at)?.into_iter().enumerate() {
        if store.add(certificate).is_err() {
            let (path, number) = (at.visible(path), index + 1);
            at.problem(
                format!("certificate {number} in `{path}` is not the one of an authority"),
                "look at it with `openssl x509 -text`",
            );
            return None;
        }
    }
    Some(store)
}

/// The certificate that postrider shows, with its key.
fn client(keys: &TlsKeys, at: &At<'_>, files: &mut Sha256) -> Option<Arc<CertifiedKey>> {
    let (cert_at, key_at) = (at.key("client_cert_file"), at.key("client_key_file"));
    let (cert_path, key_path) = match (&keys.client_cert_file, &keys.client_key_file) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => {
            cert_at.problem("a certificate without its key", "add `client_key_file`");
            return None;
        }
        (None, Some(_)) => {
            key_at.problem("a key without its certificate", "add `client_cert_file`");
            return None;
        }
        (None, None) => return None,
    };
    let chain = contents(cert_path, &cert_at, files);
    let chain = chain.and_then(|text| certificates(&text, cert_path, &cert_at));
    let key = contents(key_path, &key_at, files);
    let key = key.and_then(|text| private_key(&text, key_path, &key_at));
    let (chain, key) = (chain?, key?);
    let provider = rustls::crypto::ring::default_provider();
    let Ok(key) = provider.key_provider.load_private_key(key) else {
        let path = key_at.visible(key_path);
        key_at.problem(
            format!("`{path}` holds a key of an unknown kind"),
            "use RSA, ECDSA or Ed25519",
        );
        return None;
    };
    let certified = CertifiedKey::new(chain, key);
    use rustls::{Error, InconsistentKeys};
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Some(Arc::new(certified))
        }
        Err(Error::InconsistentKeys(_)) => {
            let (cert, key) = (cert_at.visible(cert_path), key_at.visible(key_path));
            key_at.problem(
                format!("`{key}` is not the key of the first certificate in `{cert}`"),
                "name the key it was made with; the certificate itself stands before its issuers'",
            );
            None
        }
        Err(_) => {
            let path = cert_at.visible(cert_path);
            cert_at.problem(
                format!("the first certificate in `{path}` is none"),
                "look at it with `openssl x509 -text`",
            );
            None
        }
    }
}

fn private_key(text: &str, path: &str, at: &At<'_>) -> Option<PrivateKeyDer<'static>> {
    let path = at.visible(path);
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => Some(key),
        Err(_) if text.contains("ENCRYPTED") => {
            at.problem(
                format!("the key in `{path}` is encrypted"),
                "decrypt it with `openssl pkey`: nobody is asked for a pass phrase",
            );
            None
        }
        Err(pem::Error::NoItemsFound) => {
            at.problem(
                format!("`{path}` holds no private key"),
                "it must be PEM, with `-----BEGIN PRIVATE KEY-----`",
            );
            None
        }
        Err(error) => {
            at.problem(format!("`{path}` is not PEM: {}", fault(&error)), "write the file anew");
            None
        }
    }
}
