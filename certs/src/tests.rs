//! Whole handshakes in memory, and every way a pair of files can be wrong.

mod authority;
mod peers;

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::{CertError, client_config, read, server_config};

/// A root, and a certificate for `name` that it signed.
struct Issued {
    root: String,
    certificate: String,
    key: String,
}

fn issue(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut root = CertificateParams::new(Vec::new()).expect("no names are good names");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, new_key()).expect("a root can be signed");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("tests use good names");
    change(&mut params);
    let key = new_key();
    let certificate = params.signed_by(&key, &root).expect("a leaf can be signed");
    Issued { root: root.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring makes keys")
}

/// Passes bytes between the two until both have shaken hands, or one refuses.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &'static str,
) -> Result<(Connection, Connection), rustls::Error> {
    let name = ServerName::try_from(name).expect("tests use good names");
    let mut client = Connection::from(ClientConnection::new(client, name)?);
    let mut server = Connection::from(ServerConnection::new(server)?);
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok((client, server))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("memory takes everything");
    }
    let mut unread = bytes.as_slice();
    while !unread.is_empty() {
        to.read_tls(&mut unread).expect("memory gives everything");
        to.process_new_packets()?;
    }
    Ok(())
}

#[track_caller]
fn check_alpn(offered: &[&[u8]], expected: Option<&[u8]>) {
    let issued = issue("service.test", |_| {});
    let server = server_config(issued.certificate.as_bytes(), issued.key.as_bytes()).expect("a good pair");
    let client = client_config(Some(issued.root.as_bytes()), offered).expect("a good root");
    let (client, server) = handshake(client, server, "service.test").expect("both agree");
    assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (expected, expected));
}

#[test]
fn a_given_root_is_trusted_and_the_protocol_agreed_on() {
    check_alpn(&[b"h2", b"http/1.1"], Some(b"h2"));
    check_alpn(&[b"http/1.1"], Some(b"http/1.1"));
    check_alpn(&[], None);
}

#[track_caller]
fn check_refused(issued: &Issued, roots: Option<&str>, name: &'static str, expected: fn(&CertificateError) -> bool) {
    let server = server_config(issued.certificate.as_bytes(), issued.key.as_bytes()).expect("a good pair");
    let client = client_config(roots.map(str::as_bytes), &[]).expect("good roots");
    match handshake(client, server, name) {
        Err(rustls::Error::InvalidCertificate(why)) if expected(&why) => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_by_the_client() {
    let good = issue("service.test", |_| {});
    let stranger = issue("service.test", |_| {});
    let expired = issue("service.test", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let unknown = |why: &CertificateError| matches!(why, CertificateError::UnknownIssuer);
    check_refused(&good, Some(&stranger.root), "service.test", |why| {
        matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature)
    });
    check_refused(&good, None, "service.test", unknown);
    check_refused(&good, Some(&good.root), "other.test", |why| {
        matches!(why, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    });
    check_refused(&expired, Some(&expired.root), "service.test", |why| {
        matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. })
    });
}

#[track_caller]
fn check_pair(certificate: &str, key: &str, expected: &str) {
    let error = server_config(certificate.as_bytes(), key.as_bytes()).expect_err("the pair is bad");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_bad_pair_is_refused_with_the_reason() {
    let one = issue("service.test", |_| {});
    let other = issue("service.test", |_| {});
    let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    check_pair(&one.certificate, &other.key, "does not belong to the certificate");
    check_pair(&(one.root.clone() + &one.certificate), &one.key, "must be the first one");
    check_pair("", &one.key, "no certificate");
    check_pair(&one.key, &one.key, "no certificate");
    check_pair("garbage \u{0} garbage", &one.key, "no certificate");
    check_pair(&one.certificate, "", "no private key");
    check_pair(&one.certificate, &one.certificate, "no private key");
    check_pair(&one.certificate, &section("ENCRYPTED PRIVATE KEY", "AAAA"), "encrypted");
    check_pair(&one.certificate, &section("PRIVATE KEY", "AAAA"), "cannot be used");
    check_pair(&one.certificate, &section("PRIVATE KEY", "?"), "private key is damaged");
    check_pair(&section("CERTIFICATE", "?"), &one.key, "certificate is damaged");
    check_pair(&one.certificate[..one.certificate.len() / 2], &one.key, "certificate is damaged");
    check_pair(&section("CERTIFICATE", "AAAA"), &one.key, "certificate 1 of the file is not an X.509 certificate");
}

#[test]
fn bad_roots_are_refused_with_the_reason() {
    let root = issue("service.test", |_| {}).root;
    let second_bad = format!("{root}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (text, expected) in [("", "no certificate"), (second_bad.as_str(), "certificate 2")] {
        let error = client_config(Some(text.as_bytes()), &[]).expect_err("the roots are bad");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = read(Path::new("/nowhere/cert.pem")).expect_err("there is no such file");
    assert!(matches!(error, CertError::Read { .. }));
    assert!(error.to_string().starts_with("/nowhere/cert.pem cannot be read"), "{error}");
    assert!(error.source().is_some());

    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("cert.pem");
    std::fs::write(&path, "text").expect("a file in it");
    assert_eq!(read(&path).expect("it is there"), b"text");
}
