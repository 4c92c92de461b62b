//! Mistakes in who sidecars are: each told with its place.

use crate::SMALLEST;
use crate::mistakes::{check, check_file};

/// A file that is right so far, with an identity.
const KNOWN: &str = "identity = { certificate = 'c', key = 'k', trust = 't' }\n";

#[track_caller]
fn check_known(more: &str, expected: &[&str]) {
    let counted = |line: &&str| {
        let (number, rest) = line.split_once(':').expect("tests say where");
        format!("{}:{rest}", number.parse::<usize>().expect("tests say which line") + 4)
    };
    let expected: Vec<String> = expected.iter().map(counted).collect();
    check_file(&format!("{KNOWN}{SMALLEST}{more}"), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn sidecars_behind_tls_are_known_by_their_identity() {
    check(
        "networks.b.sidecars = ['https://b']",
        &["1:23: networks.b.sidecars: these sidecars are reached by TLS, and would be shown no certificate"],
    );
    check_known("networks.b.sidecars = ['https://b']\nlisten.peers = '0.0.0.0:2'", &[]);
    check_known("networks.b.sidecars = ['https://b']\nnetworks.b.identity = 'spiffe://a/b/c'", &[]);
    check_known(
        "networks.b.sidecars = ['https://b']\nnetworks.b.identity = 'spiffe://A/b/c'",
        &[
            "2:23: networks.b.identity: `\"spiffe://A/b/c\"` is not an identity: the trust domain is not lower-case letters, digits, `.`, `-` and `_`",
        ],
    );
    check_known(
        "networks.b.sidecars = ['https://b']\nnetworks.b.protocol = 'http1'\nnetworks.b.ca = 'roots.pem'",
        &[
            "2:23: networks.b.protocol: sidecars speak HTTP/2 with each other by TLS",
            "3:17: networks.b.ca: sidecars are believed by `identity.trust`, so this says nothing",
        ],
    );
    for stands in ["upstreams = ['https://b']", "sidecars = ['http://127.0.0.1:9']"] {
        check_known(
            &format!("networks.b.{stands}\nnetworks.b.identity = 'spiffe://a/b/c'"),
            &["2:23: networks.b.identity: nobody proves to be this: only sidecars that are reached by `https` do"],
        );
    }
}

#[test]
fn a_listener_for_sidecars_has_somebody_to_listen_to() {
    let nobody = "identity: no sidecar may send here: none is named, and there is no other network in this file";
    check_file(&format!("{KNOWN}{SMALLEST}listen.peers = '0.0.0.0:2'"), &[&format!("1:12: {nobody}")]);
    let named = |peers: &str| {
        format!(
            "identity = {{ certificate = 'c', key = 'k', trust = 't', peers = [{peers}] }}\n{SMALLEST}listen.peers = '0.0.0.0:2'"
        )
    };
    check_file(&named("'spiffe://a/b/c'"), &[]);
    check_file(
        &named(""),
        &["1:65: identity.peers: no sidecar may send here: none is named, and there is no other network in this file"],
    );
    check_file(
        &named("'spiffe://a/b/c', 'spiffe://a/b/c'"),
        &["1:84: identity.peers[1]: `spiffe://a/b/c` is here twice"],
    );
    check_file(
        &named("'https://a/b/c', 'spiffe://a/b', 3"),
        &[
            "1:66: identity.peers[0]: `\"https://a/b/c\"` is not an identity: it does not start with `spiffe://`",
            "1:83: identity.peers[1]: `\"spiffe://a/b\"` is not an identity: the path is not a network and a service, and nothing more",
            "1:99: identity.peers[2]: this should be an identity, not `3`",
        ],
    );
    check(
        "identity.key = 'k'",
        &["1:1: identity.certificate: `certificate` is missing", "1:1: identity.trust: `trust` is missing"],
    );
}
