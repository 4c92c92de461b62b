//! What a sidecar says that does not start, for it cannot be who it should be.

use std::error::Error;

use proxy::app::App;
use tests::site::{Place, id, over};
use tests::{Setup, Site};

/// What is said when a sidecar of this place is started.
fn said(place: &Place) -> String {
    let setup = place.sidecar(Setup::alone("http://127.0.0.1:1"), &["public"]);
    let config = config::parse(&setup.text(), "test").unwrap_or_else(|errors| panic!("{errors}"));
    let error = match App::start(config) {
        Ok(_running) => return "it starts".to_owned(),
        Err(error) => error,
    };
    let mut line = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        line += &format!(": {cause}");
        behind = cause.source();
    }
    line
}

#[track_caller]
fn check(spoil: impl FnOnce(&Site, &Place), expected: &[&str]) {
    let site = Site::new();
    let place = site.place("private");
    spoil(&site, &place);
    let said = said(&place);
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn what_is_wrong_is_named_with_its_file() {
    check(|_, _| {}, &["it starts"]);
    let gone = |name: &'static str| {
        move |_: &Site, place: &Place| std::fs::remove_file(place.file(name)).expect("it is there")
    };
    check(gone("identity.key"), &["`certificate` of `[identity]`", "identity.key cannot be read"]);
    check(gone("crl.pem"), &["`trust` of `[identity]`", "crl.pem cannot be read"]);
    check(
        |_, place| {
            let other = tests::tls::Identity::new();
            place.put("identity.pem", &std::fs::read_to_string(other.certificate()).expect("it is there"));
            place.put("identity.key", &std::fs::read_to_string(other.key()).expect("it is there"));
        },
        &["identity.pem is not a sidecar's certificate; `adumbra certs issue` makes one", "no URI among"],
    );
    check(
        |_, place| Site::new().give(place, &id("private"), tests::site::terms()),
        &["others who trust this bundle would not believe this certificate", "no CA of the trust bundle has signed"],
    );
    check(|_, place| place.put("trust.pem", &place.text("identity.pem")), &["is not a CA's"]);
    check(|_, place| place.put("crl.pem", &Site::new().place("x").text("crl.pem")), &["it would revoke nothing"]);
    check(|_, place| place.put("identity.key", &Site::new().place("x").text("identity.key")), &["does not belong"]);
    // Jobs still run at home, and a new certificate is taken up when it comes.
    check(|site, place| site.give(place, &id("private"), over()), &["it starts"]);
}
