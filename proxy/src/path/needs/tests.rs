//! Where inputs stand in requests, and what of that is a URL.

use super::*;

fn request(target: &str) -> Request<Body> {
    Request::get(target).header("x-input", "http://a/from-header").body(Body::Empty).expect("a request")
}

fn check(at: InputAt, around: Option<(&str, &str)>, request: &Request<Body>, looked: &Looked, expected: &[&str]) {
    let around = around.map(|(before, after)| (before.to_owned(), after.to_owned()));
    let input = Input { at, around };
    let found: Vec<String> = named(&input, request, looked).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{input:?}");
}

fn query(name: &str) -> InputAt {
    InputAt::Head(ClassBy::Query(name.to_owned()))
}

#[test]
fn inputs_are_found_in_the_head() {
    let request =
        request("/render/alps?scene=bay/one&url=http%3A%2F%2Fa%2Fb%3Fc%3D1&plain=http://a/x&bad=..%2Fx&up=a/../b");
    let check = |at, around, expected: &[&str]| check(at, around, &request, &Looked::Not, expected);
    check(query("scene"), Some(("http://a/", ".bin")), &["http://a/bay/one.bin"]);
    check(query("url"), None, &["http://a/b?c=1"]);
    check(query("plain"), None, &["http://a/x"]);
    check(query("none"), None, &[]);
    check(query("scene"), None, &[]);
    check(InputAt::Head(ClassBy::Segment(1)), Some(("http://a/", "")), &["http://a/alps"]);
    check(InputAt::Head(ClassBy::Header("x-input".parse().expect("a name"))), None, &["http://a/from-header"]);
    // What is put into a path leads nowhere else.
    check(query("url"), Some(("http://a/", "")), &[]);
    check(query("up"), Some(("http://a/s/", "")), &[]);
}

#[test]
fn inputs_are_found_in_bodies() {
    let request = request("/");
    let body = r#"{"one": "http://a/1", "more": ["2", 3, "x?y", "4"], "n": 5}"#;
    let json = Looked::Json(serde_json::from_str(body).expect("JSON"));
    check(InputAt::Json("/one".into()), None, &request, &json, &["http://a/1"]);
    check(InputAt::Json("/more".into()), Some(("http://a/", "")), &request, &json, &["http://a/2", "http://a/4"]);
    check(InputAt::Json("/n".into()), None, &request, &json, &[]);
    check(InputAt::Json("/none".into()), None, &request, &json, &[]);
    let form = Looked::Form(b"x=1&file=http%3A%2F%2Fa%2Ff+g&file=%zz&fi%6ce=http://a/h".to_vec());
    check(InputAt::Form("file".into()), None, &request, &form, &["http://a/h"]);
    check(InputAt::Form("x".into()), Some(("http://a/", "")), &request, &form, &["http://a/1"]);
    check(InputAt::Form("x".into()), None, &request, &Looked::Not, &[]);
}
