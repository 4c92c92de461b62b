//! The development CA: what it writes, and what it leaves alone.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::peers::{Site, id, terms};
use crate::{Authority, AuthorityError, Pair, SpiffeId, Terms, read};

#[test]
fn keys_are_their_owners_and_nothing_is_overwritten_without_being_told() {
    let site = Site::new();
    let issued = site.authority.issue(&id("spiffe://test/a/s"), terms()).expect("it can be issued");
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&issued.key), mode(&site.directory.path().join("ca.key"))), (0o600, 0o600));
    assert_eq!((mode(&issued.certificate), mode(&site.authority.bundle())), (0o644, 0o644));
    let before = read(&issued.certificate).expect("it is there");
    let again = site.authority.issue(&id("spiffe://test/a/s"), terms());
    assert!(matches!(again, Err(AuthorityError::Exists { .. })));
    assert!(matches!(Authority::init(site.directory.path(), "test", terms()), Err(AuthorityError::Exists { .. })));
    assert_eq!(read(&issued.certificate).expect("it is there"), before);
    let told = Terms { replace: true, ..terms() };
    site.authority.issue(&id("spiffe://test/a/s"), told).expect("it is replaced");
    assert_ne!(read(&issued.certificate).expect("it is there"), before);
    assert_eq!(mode(&issued.key), 0o600);
    for (directory, files) in [(site.directory.path(), 4), (issued.key.parent().expect("a folder"), 2)] {
        let left: Vec<_> = std::fs::read_dir(directory).expect("a folder").collect();
        assert_eq!(left.len(), files, "nothing half written is left: {left:?}");
    }
}

#[test]
fn a_ca_is_found_again_and_knows_its_domain() {
    let site = Site::new();
    let again = Authority::open(site.directory.path()).expect("it is there");
    assert_eq!(again.trust_domain(), "test");
    let issued = again.issue(&id("spiffe://test/b/s"), terms()).expect("it can be issued");
    let pair = Pair::new(&read(&issued.certificate).expect("written"), &read(&issued.key).expect("written"));
    let pair = pair.expect("a pair");
    assert_eq!(pair.identity(), Ok(id("spiffe://test/b/s")));
    assert!(pair.vouched_for_by(&site.trust()).is_ok());
    assert!(!pair.validity().is_over(SystemTime::now()) && !pair.validity().is_to_come(SystemTime::now()));
    let nowhere = tempfile::tempdir().expect("there is room");
    assert!(matches!(Authority::open(nowhere.path()), Err(AuthorityError::Unusable { .. })));
}

#[test]
fn what_makes_no_sense_is_not_issued() {
    let site = Site::new();
    for days in [0, 100_000] {
        let terms = Terms { days, ..terms() };
        assert!(matches!(site.authority.sign(&id("spiffe://test/a/s"), terms), Err(AuthorityError::Days { .. })));
    }
    assert!(matches!(Authority::init(site.directory.path(), "Not Lower", terms()), Err(AuthorityError::Identity(_))));
    assert!(SpiffeId::new("test", "a b", "c").is_err());
}

#[test]
fn a_ca_revokes_its_own_and_remembers_what_it_has_revoked() {
    let (site, other) = (Site::new(), Site::new());
    let issued: Vec<_> = ["a", "b"]
        .map(|network| {
            let id = SpiffeId::new("test", network, "s").expect("an identity");
            site.authority.issue(&id, terms()).expect("it can be issued")
        })
        .into();
    let foreign = other.authority.revoke(&issued[0].certificate, SystemTime::now());
    assert!(matches!(foreign, Err(AuthorityError::Foreign { .. })));
    for _twice in 0..2 {
        for one in &issued {
            site.authority.revoke(&one.certificate, SystemTime::now()).expect("it is its own");
        }
    }
    let list = read(&site.authority.list()).expect("it is there");
    let der = crate::pem::revocation_lists(&list).expect("PEM").remove(0);
    use x509_parser::prelude::FromDer;
    let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&der).expect("a list");
    assert_eq!(list.iter_revoked_certificates().count(), 2);
}
