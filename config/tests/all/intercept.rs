//! `[listen.intercept]`: what it means where it says little, and what is refused.

use config::value::{Fail, Ports};
use config::{Config, Errors, parse, parse_after};

fn text(intercept: &str) -> String {
    format!(
        "home = 'a'\nlisten.jobs = '127.0.0.1:8080'\nnetworks.a.upstreams = ['http://127.0.0.1:80']\n\
         [listen.intercept]\n{intercept}"
    )
}

fn read(intercept: &str) -> Config {
    parse(&text(intercept), "a test's").unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn check(errors: Result<Config, Errors>, code: &str) {
    let errors = errors.expect_err("it is wrong");
    let codes: Vec<_> = errors.iter().map(|error| error.fault.code()).collect();
    assert_eq!(codes, [code], "{errors}");
}

#[test]
fn a_listener_is_enough_and_nobody_is_locked_out() {
    let intercept = read("inbound = '[::]:15006'").listen.intercept.expect("it is there");
    assert_eq!((intercept.ports, intercept.outbound_ports), (Ports::All, Ports::These(vec![80])));
    assert_eq!((intercept.except_ports, intercept.fail, intercept.ipv6), (vec![22], Fail::Closed, true));
    let none = read("inbound = '[::]:15006'\nexcept_ports = []").listen.intercept.expect("it is there");
    assert!(none.except_ports.is_empty(), "who says so means it");
}

#[test]
fn text_that_would_be_more_than_a_number_is_refused() {
    for line in ["except_ports = ['8080 -j ACCEPT']", "except_ports = [80.5]", "user = '0; flush ruleset'"] {
        check(parse(&text(&format!("inbound = '[::]:15006'\n{line}")), "a test's"), "wrong-type");
    }
    for line in ["ports = '8080 -j ACCEPT'", "except_networks = ['10.0.0.0/8 return']", "mark = 0", "fail = 'ajar'"] {
        check(parse(&text(&format!("inbound = '[::]:15006'\n{line}")), "a test's"), "malformed");
    }
}

#[test]
fn what_the_sidecar_sends_must_be_told_from_what_the_service_sends() {
    let outbound = "inbound = '[::]:15006'\noutbound = '[::]:15001'\n";
    check(parse(&text(outbound), "a test's"), "own-traffic");
    read(&format!("{outbound}user = 1337"));
    read(&format!("{outbound}mark = 7"));
}

#[test]
fn its_listeners_are_nobody_elses() {
    check(parse(&text("inbound = '[::]:8080'"), "a test's"), "listeners-clash");
    check(parse(&text("inbound = '[::]:80'"), "a test's"), "own-listener");
}

#[test]
fn where_rules_lead_to_stays_and_the_rest_may_change() {
    let before = read("inbound = '[::]:15006'\noutbound = '[::]:15001'\nuser = 1");
    let then = |intercept: &str| parse_after(&text(intercept), "then", &before);
    check(then("inbound = '[::]:15007'\noutbound = '[::]:15001'\nuser = 1"), "needs-restart");
    check(then("inbound = '[::]:15006'"), "needs-restart");
    let gone = "home = 'a'\nlisten.jobs = '127.0.0.1:8080'\nnetworks.a.upstreams = ['http://127.0.0.1:80']\n";
    check(parse_after(gone, "then", &before), "needs-restart");
    let other = "inbound = '[::]:15006'\noutbound = '[::]:15001'\nuser = 2\nports = [80]\nsilence = '1s'";
    assert!(then(other).is_ok());
    let none = parse(gone, "before").unwrap_or_else(|errors| panic!("{errors}"));
    assert!(parse_after(&text("inbound = '[::]:15006'"), "then", &none).is_ok(), "it may begin");
}
