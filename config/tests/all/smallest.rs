//! What a file that says nothing means, and that saying it changes nothing.

use std::time::Duration;

use config::value::{Config, Kind, Mode};
use config::{Presence, keys, parse};
use policy::units::{NetworkId, Urgency};

use crate::SMALLEST;

fn smallest(more: &str) -> Config {
    parse(&format!("{SMALLEST}{more}"), "smallest").unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn three_lines_are_enough() {
    let config = smallest("");
    assert_eq!(config.home, NetworkId::new(0).expect("there is a first network"));
    assert_eq!(config.networks.len(), 1);
    assert_eq!(config.networks[0].kind, Kind::Upstream);
    assert_eq!(config.networks[0].endpoints[0].to_string(), "http://h:80");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9900");
    assert_eq!((config.listen.peers, config.listen.egress, config.log.decisions), (None, None, None));
    assert!(config.routes.is_empty() && config.data.origins.is_empty());
    assert_eq!(config.drain, Duration::from_secs(30));
}

#[test]
fn home_may_be_left_to_run() {
    let text = "home = 'a'\nlisten.jobs = '127.0.0.1:1'\nnetworks.a = {}\nnetworks.b.upstreams = ['http://h']\n";
    let config = parse(text, "for run").unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.is_for_run() && config.networks[0].endpoints.is_empty());
    assert!(!smallest("").is_for_run());
}

#[test]
fn a_route_that_says_nothing_lets_nothing_happen() {
    let config = smallest("[[routes]]\nname = 'r'");
    let route = &config.routes[0];
    assert_eq!((route.shadow, route.repeatable, route.hold), (Mode::Off, false, false));
    assert_eq!(route.urgency_most, Urgency::DEFAULT);
    assert_eq!(route.residency.len(), 1);
    assert!(route.extract.is_empty());
}

#[test]
fn what_is_written_as_its_default_changes_nothing() {
    let mut written = String::new();
    for row in keys() {
        let Presence::Default(default) = row.presence else { continue };
        // To say anything in one of these is to have it, and then more is needed.
        let needs_more = ["listen.tls", "listen.intercept", "identity"].contains(&row.table.as_str());
        if !row.table.starts_with("routes") && !needs_more {
            written += &format!("{} = {default}\n", row.path().replace("NAME", "a"));
        }
    }
    written += "[[routes]]\nname = 'r'\n";
    let without = smallest("[[routes]]\nname = 'r'");
    for row in keys() {
        let Presence::Default(default) = row.presence else { continue };
        if let Some(path) = row.path().strip_prefix("routes[].") {
            written += &format!("{path} = {default}\n");
        }
    }
    assert_eq!(smallest(&written), without);
}

#[test]
fn an_identity_may_leave_out_who_may_send() {
    let files = "identity = { certificate = 'c', key = 'k', trust = 't' }\n";
    let config = smallest_at_top(files);
    let identity = config.identity.expect("it is there");
    assert_eq!((identity.crl.len(), identity.peers, identity.reload_every), (0, None, Duration::from_secs(5)));
    assert_eq!(smallest("").identity, None);
}

/// The smallest file with `more` above its tables.
fn smallest_at_top(more: &str) -> Config {
    parse(&format!("{more}{SMALLEST}"), "smallest").unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn networks_are_in_the_order_of_the_file() {
    let config = smallest("networks.z.sidecars = ['http://z']\nnetworks.b.upstreams = ['https://b']\n");
    let names: Vec<_> = config.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["a", "z", "b"]);
}

#[test]
fn another_port_is_another_configuration() {
    assert_eq!(smallest(""), smallest("# a comment"));
    assert_ne!(smallest(""), smallest("listen.admin = '127.0.0.1:9901'"));
}
