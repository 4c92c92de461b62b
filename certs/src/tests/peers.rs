//! Handshakes between sidecars: who is believed, who is not, and why.

use std::time::{Duration, SystemTime};

use rcgen::{DnType, SanType};
use rustls::pki_types::UnixTime;
use tempfile::TempDir;

use super::*;
use crate::{
    Authority, Expected, NamelessError, Pair, Reason, Refusal, Role, SpiffeId, Terms, Trust, peer_client_config,
    peer_server_config,
};

const DAYS: u32 = 7;

/// A CA, its directory, and what it trusts.
pub(super) struct Site {
    pub(super) directory: TempDir,
    pub(super) authority: Authority,
}

pub(super) fn terms() -> Terms {
    Terms { from: SystemTime::now(), days: DAYS, replace: false }
}

fn long_ago() -> Terms {
    Terms { from: SystemTime::now() - Duration::from_secs(30 * 24 * 3600), ..terms() }
}

fn soon() -> Terms {
    Terms { from: SystemTime::now() + Duration::from_secs(3600), ..terms() }
}

pub(super) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).expect("tests use good identities")
}

impl Site {
    pub(super) fn new() -> Self {
        Self::of(terms())
    }

    /// One whose CA lives so long.
    fn of(terms: Terms) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let authority = Authority::init(directory.path(), "test", terms).expect("a CA can be made");
        Self { directory, authority }
    }

    pub(super) fn trust(&self) -> Arc<Trust> {
        let list = read(&self.authority.list()).expect("there is a list");
        Arc::new(Trust::new(self.authority.bundle_pem().as_bytes(), &[list]).expect("the bundle is good"))
    }

    fn pair(&self, uri: &str, terms: Terms) -> Pair {
        let (certificate, key) = self.authority.sign(&id(uri), terms).expect("it can be signed");
        Pair::new(certificate.as_bytes(), key.as_bytes()).expect("a good pair")
    }

    /// A certificate with these names, signed by the CA.
    fn odd(&self, names: Vec<SanType>) -> Pair {
        let key = rcgen::KeyPair::from_pem(
            &String::from_utf8(read(&self.directory.path().join("ca.key")).expect("the key is there")).expect("PEM"),
        )
        .expect("a key");
        let issuer = rcgen::Issuer::from_ca_cert_pem(self.authority.bundle_pem(), key).expect("a CA");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "spiffe://test/a/s");
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 1, 1);
        let leaf = new_key();
        let certificate = params.signed_by(&leaf, &issuer).expect("it can be signed").pem();
        Pair::new(certificate.as_bytes(), leaf.serialize_pem().as_bytes()).expect("a good pair")
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

/// Both ends of a handshake.
struct Ends<'a> {
    client: &'a Pair,
    server: &'a Pair,
    trust: (Arc<Trust>, Arc<Trust>),
}

const NEAR: &str = "spiffe://test/a/s";
const FAR: &str = "spiffe://test/b/s";

impl Ends<'_> {
    /// The server believes `NEAR`, the client `FAR`.
    fn meet(&self) -> Result<(Connection, Connection), rustls::Error> {
        let (at_client, at_server) = self.trust.clone();
        let from_client = Expected::new(at_server, Arc::new([id(NEAR)]), Role::Client);
        let from_server = Expected::new(at_client, Arc::new([id(FAR)]), Role::Server);
        let server = peer_server_config(self.server, &from_client);
        let client = peer_client_config(self.client, &from_server, &[b"h2"]);
        handshake(client, server, "nobody.looks.at.this")
    }
}

fn reason(error: rustls::Error) -> Reason {
    Reason::of_handshake(&std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}

#[track_caller]
fn check(site: &Site, client: &Pair, server: &Pair, expected: Option<Reason>) {
    let met = Ends { client, server, trust: (site.trust(), site.trust()) }.meet();
    match (met, expected) {
        (Ok((client, server)), None) => {
            assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (Some(&b"h2"[..]), Some(&b"h2"[..])));
            assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        }
        (Err(error), Some(expected)) => assert_eq!(reason(error.clone()), expected, "{error}"),
        (Ok(_), Some(_)) => panic!("not refused"),
        (Err(error), None) => panic!("refused: {error}"),
    }
}

#[test]
fn a_ca_vouches_for_nobody_before_and_after_its_own_time() {
    for (terms_of_ca, reason) in [(long_ago(), Reason::Expired), (soon(), Reason::NotYetValid)] {
        let site = Site::of(terms_of_ca);
        check(&site, &site.pair(NEAR, terms()), &site.pair(FAR, terms()), Some(reason));
        assert!(
            site.pair(NEAR, terms()).vouched_for_by(&site.trust()).is_ok(),
            "whose CA it is has nothing to do with time"
        );
    }
    let site = Site::of(Terms { days: 1, ..terms() });
    let (trust, pair) = (site.trust(), site.pair(NEAR, terms()));
    let later = |hours: u64| {
        UnixTime::since_unix_epoch(
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970")
                + Duration::from_secs(hours * 3600),
        )
    };
    let (shown, until) = trust.verify_until(pair.chain(), Role::Client, later(23)).expect("it is believed");
    assert_eq!((shown, Some(until)), (id(NEAR), trust.authorities().map(|(_, validity)| validity.not_after).next()));
    assert_eq!(trust.verify(pair.chain(), Role::Client, later(25)), Err(Refusal::AuthorityExpired));
}

#[test]
fn a_ca_that_has_expired_takes_nothing_from_another_of_the_same_key() {
    let old = Site::of(long_ago());
    // The same key under the same name, for longer.
    let key = String::from_utf8(read(&old.directory.path().join("ca.key")).expect("the key is there")).expect("PEM");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "adumbra development CA of test");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2200, 1, 1));
    let new = params.self_signed(&rcgen::KeyPair::from_pem(&key).expect("a key")).expect("it can be signed").pem();
    let bundle = format!("{}{new}", old.authority.bundle_pem());
    let none: [&[u8]; 0] = [];
    let trust = Trust::new(bundle.as_bytes(), &none).expect("a bundle");
    let pair = old.pair(NEAR, terms());
    let (shown, until) = trust.verify_until(pair.chain(), Role::Client, UnixTime::now()).expect("it is believed");
    assert_eq!((shown, until), (id(NEAR), pair.validity().not_after));
}

#[test]
fn each_end_believes_the_one_identity_that_it_expects() {
    let site = Site::new();
    check(&site, &site.pair(NEAR, terms()), &site.pair(FAR, terms()), None);
}

#[test]
fn another_identity_of_the_same_ca_is_refused_at_either_end() {
    let site = Site::new();
    let (near, far) = (site.pair(NEAR, terms()), site.pair(FAR, terms()));
    for other in ["spiffe://test/a/other", "spiffe://test/c/s", "spiffe://elsewhere/a/s", FAR] {
        check(&site, &site.pair(other, terms()), &far, Some(Reason::Identity));
    }
    for other in ["spiffe://test/b/other", "spiffe://elsewhere/b/s", NEAR] {
        check(&site, &near, &site.pair(other, terms()), Some(Reason::Identity));
    }
}

#[test]
fn a_certificate_that_is_nobodys_in_particular_is_refused() {
    let site = Site::new();
    let far = site.pair(FAR, terms());
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("ASCII"));
    for (names, expected) in [
        (vec![], NamelessError::NoUri),
        (vec![dns("spiffe.test")], NamelessError::NoUri),
        (vec![uri(NEAR), uri(NEAR)], NamelessError::ManyUris { found: 2 }),
        (vec![uri(NEAR), uri(FAR), dns("a")], NamelessError::ManyUris { found: 2 }),
    ] {
        let odd = site.odd(names);
        assert_eq!(odd.identity(), Err(expected));
        check(&site, &odd, &far, Some(Reason::Identity));
    }
    let odd = site.odd(vec![uri("spiffe://test/a/s/more")]);
    assert!(matches!(odd.identity(), Err(NamelessError::NotAnIdentity { .. })));
    check(&site, &odd, &far, Some(Reason::Identity));
    // Names of machines beside it say nothing.
    check(&site, &site.odd(vec![dns("elsewhere.example"), uri(NEAR)]), &far, None);
}

#[test]
fn times_issuers_and_revocations_are_checked_at_either_end() {
    let (site, other) = (Site::new(), Site::new());
    let (near, far) = (site.pair(NEAR, terms()), site.pair(FAR, terms()));
    check(&site, &site.pair(NEAR, long_ago()), &far, Some(Reason::Expired));
    check(&site, &near, &site.pair(FAR, long_ago()), Some(Reason::Expired));
    check(&site, &site.pair(NEAR, soon()), &far, Some(Reason::NotYetValid));
    check(&site, &near, &site.pair(FAR, soon()), Some(Reason::NotYetValid));
    check(&site, &other.pair(NEAR, terms()), &far, Some(Reason::UnknownIssuer));
    check(&site, &near, &other.pair(FAR, terms()), Some(Reason::UnknownIssuer));
    let own = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("it can be signed");
    let own = Pair::new(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes()).expect("a pair");
    check(&site, &own, &far, Some(Reason::UnknownIssuer));

    let revoked = site.authority.issue(&id(NEAR), terms()).expect("it can be issued");
    let pair = Pair::new(&file(&revoked.certificate), &file(&revoked.key)).expect("a pair");
    check(&site, &pair, &far, None);
    assert_eq!(site.authority.revoke(&revoked.certificate, SystemTime::now()).expect("it is its own"), NEAR);
    check(&site, &pair, &far, Some(Reason::Revoked));
    check(&site, &near, &far, None);
    let revoked = site.authority.issue(&id(FAR), terms()).expect("it can be issued");
    let pair = Pair::new(&file(&revoked.certificate), &file(&revoked.key)).expect("a pair");
    site.authority.revoke(&revoked.certificate, SystemTime::now()).expect("it is its own");
    check(&site, &near, &pair, Some(Reason::Revoked));
    assert_eq!(site.trust().lists(), 1);
}

fn file(path: &std::path::Path) -> Vec<u8> {
    read(path).expect("it was just written")
}

#[test]
fn who_shows_no_certificate_is_refused_and_told_so() {
    let site = Site::new();
    let expected = Expected::new(site.trust(), Arc::new([id(NEAR)]), Role::Client);
    let server = peer_server_config(&site.pair(FAR, terms()), &expected);
    let client = client_config(Some(site.authority.bundle_pem().as_bytes()), &[b"h2"]).expect("a root");
    // The client asks for a name that nobody has, so its own check is taken out of the way.
    let refused = handshake(client, server, "s.test").expect_err("there is no such name");
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)));
    let anybody = rustls::ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let server = peer_server_config(&site.pair(FAR, terms()), &expected);
    let refused = handshake(Arc::new(anybody), server, "s.test").expect_err("it has shown nothing");
    assert_eq!(reason(refused), Reason::NoCertificate);
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &rustls::pki_types::CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &rustls::pki_types::CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn no_session_is_resumed() {
    let site = Site::new();
    let (near, far) = (site.pair(NEAR, terms()), site.pair(FAR, terms()));
    let server = peer_server_config(&far, &Expected::new(site.trust(), Arc::new([id(NEAR)]), Role::Client));
    let client = peer_client_config(&near, &Expected::new(site.trust(), Arc::new([id(FAR)]), Role::Server), &[b"h2"]);
    for _ in 0..3 {
        let (client, _server) = handshake(Arc::clone(&client), Arc::clone(&server), "s.test").expect("both agree");
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn what_is_trusted_can_be_asked_again_later() {
    let site = Site::new();
    let issued = site.authority.issue(&id(NEAR), terms()).expect("it can be issued");
    let pair = Pair::new(&file(&issued.certificate), &file(&issued.key)).expect("a pair");
    let expected = Expected::new(site.trust(), Arc::new([id(NEAR)]), Role::Client);
    assert_eq!(expected.verify(pair.chain(), UnixTime::now()), Ok(id(NEAR)));
    let later = SystemTime::now() + Duration::from_secs(u64::from(DAYS + 1) * 24 * 3600);
    let later = later.duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    assert_eq!(expected.verify(pair.chain(), UnixTime::since_unix_epoch(later)), Err(Refusal::Expired));
    site.authority.revoke(&issued.certificate, SystemTime::now()).expect("it is its own");
    assert_eq!(expected.verify(pair.chain(), UnixTime::now()), Ok(id(NEAR)), "it is a value");
    assert_eq!(expected.by(&site.trust()).verify(pair.chain(), UnixTime::now()), Err(Refusal::Revoked));
    assert_eq!(expected.verify(&[], UnixTime::now()), Err(Refusal::Nameless(NamelessError::Unreadable)));
}

#[test]
fn a_bundle_takes_cas_and_their_own_lists_only() {
    let (site, other) = (Site::new(), Site::new());
    let bundle = site.authority.bundle_pem().as_bytes();
    let (leaf, _) = site.authority.sign(&id(NEAR), terms()).expect("it can be signed");
    let none: [&[u8]; 0] = [];
    assert!(matches!(Trust::new(b"", &none), Err(CertError::NoCertificate)));
    assert!(matches!(Trust::new(leaf.as_bytes(), &none), Err(CertError::NotAnAuthority { number: 1 })));
    let foreign = file(&other.authority.list());
    assert!(matches!(Trust::new(bundle, &[&foreign]), Err(CertError::ForeignList { .. })));
    assert!(matches!(Trust::new(bundle, &[b"\x30\x00"]), Err(CertError::BadList { .. })));
    assert!(matches!(Trust::new(bundle, &[leaf.as_bytes()]), Err(CertError::NoList)));
    // Of two CAs that are called the same, the one that has signed it counts, and DER will do.
    let both = format!("{}{}", other.authority.bundle_pem(), site.authority.bundle_pem());
    let der = crate::pem::revocation_lists(&foreign).expect("it is PEM").remove(0);
    assert_eq!(Trust::new(both.as_bytes(), &[der.as_ref()]).map(|trust| trust.lists()).ok(), Some(1));
}

#[test]
fn a_ca_with_a_new_key_under_its_old_name_has_lists_of_its_own() {
    let (old, new) = (Site::new(), Site::new());
    let bundle = format!("{}{}", old.authority.bundle_pem(), new.authority.bundle_pem());
    let revoked = old.authority.issue(&id(NEAR), terms()).expect("it can be issued");
    old.authority.revoke(&revoked.certificate, SystemTime::now()).expect("it is its own");
    let revoked = Pair::new(&file(&revoked.certificate), &file(&revoked.key)).expect("a pair");
    let (of_old, of_new) = (file(&old.authority.list()), file(&new.authority.list()));
    for lists in [vec![&of_old], vec![&of_old, &of_new], vec![&of_new, &of_old]] {
        let trust = Trust::new(bundle.as_bytes(), &lists).expect("the bundle is good");
        let verify = |pair: &Pair| trust.verify(pair.chain(), Role::Client, UnixTime::now());
        assert_eq!(verify(&new.pair(NEAR, terms())), Ok(id(NEAR)));
        assert_eq!(verify(&old.pair(NEAR, terms())), Ok(id(NEAR)));
        assert_eq!(verify(&revoked), Err(Refusal::Revoked));
        assert_eq!(verify(&new.pair(NEAR, long_ago())), Err(Refusal::Expired));
        assert_eq!(verify(&Site::new().pair(NEAR, terms())), Err(Refusal::UnknownIssuer));
    }
}

#[test]
fn a_pair_that_others_would_not_believe_is_noticed_before_it_is_shown() {
    let (site, other) = (Site::new(), Site::new());
    for terms in [terms(), long_ago(), soon()] {
        assert!(site.pair(NEAR, terms).vouched_for_by(&site.trust()).is_ok(), "time does not matter for that");
        assert!(matches!(other.pair(NEAR, terms).vouched_for_by(&site.trust()), Err(CertError::NotVouchedFor { .. })));
    }
}
