//! Which requests a route takes.

use config::parse;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::SMALLEST;

/// Whether a route with this `match` takes the request `GET path`, or the one that `request` describes as
/// `METHOD path name=value…`.
#[track_caller]
fn check(matches: &str, request: &str, expected: bool) {
    let text = format!("{SMALLEST}[[routes]]\nname = 'r'\nmatch = {{ {matches} }}");
    let config = parse(&text, "route").unwrap_or_else(|errors| panic!("{errors}"));
    let mut words = request.split(' ');
    let method: Method = words.next().and_then(|word| word.parse().ok()).expect("a method");
    let path = words.next().expect("a path");
    let mut headers = HeaderMap::new();
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
    }
    assert_eq!(config.route(&method, path, &headers).is_some(), expected, "{matches} and {request}");
}

#[test]
fn a_path_is_exact_or_a_prefix() {
    check("path = '/render'", "GET /render", true);
    check("path = '/render'", "GET /render/1", false);
    check("path = '/render'", "GET /rende", false);
    check("path = '/render*'", "GET /render", true);
    check("path = '/render*'", "GET /renderer/1", true);
    check("path = '/render/*'", "GET /render", false);
    check("path = '*'", "OPTIONS *", true);
    check("", "GET /anything", true);
}

#[test]
fn a_path_is_compared_as_it_came() {
    check("path = '/a%20b'", "GET /a%20b", true);
    check("path = '/render'", "GET /%72ender", false);
    check("path = '/render*'", "GET /x/../render", false);
    check("path = '/render*'", "GET /render/../x", true);
    check("path = '/render'", "GET /Render", false);
    check("path = '/render'", "GET /render/", false);
    check("path = '/render'", "GET //render", false);
}

#[test]
fn methods_and_headers_narrow_it() {
    check("methods = ['GET', 'POST']", "POST /", true);
    check("methods = ['GET', 'POST']", "PUT /", false);
    check("methods = ['PURGE']", "PURGE /", true);
    check("headers = { X-Kind = 'scene' }", "GET / x-kind=scene", true);
    check("headers = { x-kind = 'scene' }", "GET / x-kind=Scene", false);
    check("headers = { x-kind = 'scene' }", "GET / x-kind=other x-kind=scene", true);
    check("headers = { x-kind = 'scene' }", "GET /", false);
    check("headers = { x-kind = '' }", "GET / x-kind=any", true);
    check("headers = { x-kind = '' }", "GET / x-other=any", false);
    check("path = '/a', headers = { x-kind = '' }", "GET /b x-kind=any", false);
}

#[test]
fn the_first_route_wins() {
    let text =
        format!("{SMALLEST}[[routes]]\nname = 'one'\nmatch.path = '/a'\n[[routes]]\nname = 'two'\nmatch.path = '/*'\n");
    let config = parse(&text, "routes").unwrap_or_else(|errors| panic!("{errors}"));
    let taken = |path| config.route(&Method::GET, path, &HeaderMap::new()).map(|(at, route)| (at, route.name.as_str()));
    assert_eq!(taken("/a"), Some((0, "one")));
    assert_eq!(taken("/b"), Some((1, "two")));
    assert_eq!(taken("*"), None);
}
