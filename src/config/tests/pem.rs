//! Certificates and keys that a configuration names: what is wrong with a file is said without
//! what stands in it, and what stands in it is part of an export's fingerprint.

use super::super::{Destination, Export, TlsSettings};
use super::Case;
use rcgen::{CertificateParams, KeyPair};

/// A certificate and its key, both PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(["h.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (made.pem(), key.serialize_pem())
}

const ALL: &str = "
exports:
- name: a
  destination: webhook
  webhook: {url: 'https://h', tls: {ca_file: ca.pem, client_cert_file: cert.pem, client_key_file: key.pem}}
";

fn case(ca: &str, cert: &str, key: &str) -> Case {
    Case::new(&[("a.yaml", ALL), ("ca.pem", ca), ("cert.pem", cert), ("key.pem", key)])
}

fn tls(export: &Export) -> &TlsSettings {
    match &export.destination {
        Destination::Webhook(webhook) => webhook.tls.as_deref().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_read() {
    let ((ca, _), (cert, key)) = (certificate(), certificate());
    let case = case(&[&*ca, &*cert].concat(), &cert, &key);
    let loaded = case.load().unwrap();
    let tls = tls(&loaded.config.exports[0]);
    assert_eq!(tls.roots.as_ref().unwrap().len(), 2);
    assert_eq!(tls.client.as_ref().unwrap().cert.len(), 1);
    assert!(tls.verify && tls.server_name.is_none());
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        assert!(loaded.files.iter().any(|file| file.ends_with(name)), "{name} is watched");
    }
    let shown = format!("{:?}", loaded.config);
    assert!(!shown.contains("CERTIFICATE") && !shown.contains("[48, "), "{shown}");
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_its_content() {
    let ((ca, _), (cert, key), (_, other)) = (certificate(), certificate(), certificate());
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let marred = |text: &str| text.replacen("\nMI", "\n!S3CRET!", 1);
    let garbage = "-----BEGIN CERTIFICATE-----\nUzNDUkVU\n-----END CERTIFICATE-----\n";
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let odd = "-----BEGIN PRIVATE KEY-----\nUzNDUkVU\n-----END PRIVATE KEY-----\n";
    let (ca_key, cert_key, key_key) = ("ca_file", "client_cert_file", "client_key_file");
    for (ca, cert, key, name, said) in [
        ("", &*cert, &*key, ca_key, "`ca.pem` holds no certificate"),
        ("S3CRET", &cert, &key, ca_key, "`ca.pem` holds no certificate"),
        (&key, &cert, &key, ca_key, "`ca.pem` holds no certificate"),
        (&cut(&ca), &cert, &key, ca_key, "`ca.pem` is not PEM: a section has no end"),
        (
            &marred(&ca),
            &cert,
            &key,
            ca_key,
            "`ca.pem` is not PEM: what stands in a section is not base64",
        ),
        (
            "-----BEGIN S3CRET",
            &cert,
            &key,
            ca_key,
            "`ca.pem` is not PEM: a section's first line is cut",
        ),
        (
            &format!("{ca}{garbage}"),
            &cert,
            &key,
            ca_key,
            "certificate 2 in `ca.pem` is not the one of an authority",
        ),
        (&ca, "", &key, cert_key, "`cert.pem` holds no certificate"),
        (&ca, garbage, &key, cert_key, "the first certificate in `cert.pem` is none"),
        (&ca, &cert, "", key_key, "`key.pem` holds no private key"),
        (&ca, &cert, &cert, key_key, "`key.pem` holds no private key"),
        (
            &ca,
            &cert,
            &marred(&key),
            key_key,
            "`key.pem` is not PEM: what stands in a section is not base64",
        ),
        (&ca, &cert, &encrypted, key_key, "the key in `key.pem` is encrypted"),
        (&ca, &cert, odd, key_key, "`key.pem` holds a key of an unknown kind"),
        (
            &ca,
            &cert,
            &other,
            key_key,
            "`key.pem` is not the key of the first certificate in `cert.pem`",
        ),
    ] {
        let found = case(ca, cert, key).said();
        let line = format!("exports[0].webhook.tls.{name}: {said}\n  fix: ");
        assert!(found.contains(&line), "{said}: {found}");
        assert_eq!(found.matches("fix:").count(), 1, "{found}");
        let content = ["S3CRET", "UzNDUkVU", "-----END"];
        assert!(!content.iter().any(|text| found.contains(text)), "{found}");
    }
}

#[test]
fn another_content_is_another_export() {
    let ((ca, _), (cert, key), (new_cert, new_key)) = (certificate(), certificate(), certificate());
    let digests = |case: Case| {
        let config = case.config();
        (config.exports[0].digest, config.exports[0].target)
    };
    let before = digests(case(&ca, &cert, &key));
    assert_eq!(digests(case(&ca, &cert, &key)), before);
    for changed in [case(&new_cert, &cert, &key), case(&ca, &new_cert, &new_key)] {
        let (digest, target) = digests(changed);
        assert_ne!(digest, before.0);
        assert_ne!(target, before.1);
    }
}

#[test]
fn unset_variables_name_no_files() {
    let mut case = Case::yaml(
        "exports: [{name: a, destination: webhook, webhook: {url: 'https://h', proxy: '${P}', \
         tls: {ca_file: '${CA}', client_cert_file: '${C}', client_key_file: '${K}'}}}]",
    );
    case.options.no_env = true;
    assert_eq!(case.said(), "");
}

#[test]
fn a_variable_may_hold_the_proxy() {
    let yaml =
        "exports: [{name: a, destination: webhook, webhook: {url: 'https://h', proxy: '${P}'}}]";
    let config = Case::yaml(yaml).env("P", "http://us%65r:p%40ss@Proxy.internal:3128/").config();
    let Destination::Webhook(webhook) = &config.exports[0].destination else { panic!() };
    let proxy = webhook.proxy.as_ref().unwrap();
    assert_eq!((proxy.host.to_string(), proxy.port), ("proxy.internal".to_owned(), 3128));
    assert_eq!(proxy.credentials.as_ref().unwrap().secrets()[..2], ["user", "p@ss"]);
    let said = Case::yaml(yaml).env("P", "http://user:s3cret@h/s3cret").said();
    assert!(said.contains("a proxy has no path") && !said.contains("s3cret"), "{said}");
}
