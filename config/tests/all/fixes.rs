//! How mistakes are shown: each with its fix, its line marked, and nothing that a terminal would obey.

use config::{Errors, parse};

use crate::SMALLEST;

fn errors(text: &str) -> Option<Errors> {
    parse(text, "file.toml").err()
}

/// The fix that is offered for the one thing wrong with `more` below a file that is right, and the kind of fault.
#[track_caller]
fn check_fix(more: &str, code: &str, expected: &str) {
    let errors = errors(&format!("{SMALLEST}{more}")).expect("something is wrong");
    let fixes: Vec<_> = errors.iter().map(|error| (error.fault.code(), error.help())).collect();
    assert_eq!(fixes, [(code, expected.to_owned())], "{more}");
}

#[test]
fn every_kind_of_mistake_comes_with_its_fix() {
    let route = |rest: &str| format!("[[routes]]\nname = 'r'\n{rest}");
    check_fix("x = y", "syntax", "write `\"y\"`");
    check_fix("worker = 2", "unknown-key", "did you mean `workers`?");
    check_fix("h2_streams = 2", "unknown-key", "move it: it belongs to `[limits]`");
    check_fix("timeout = 2", "unknown-key", "move it: it belongs to `[networks.NAME.health]` or `[data]`");
    check_fix(
        "log.colour = 2",
        "unknown-key",
        "remove it; the keys here are `decisions`, `keep`, `decisions_bytes`, `decisions_files`",
    );
    check_fix("[listen.tls]\nkey = 'k'", "missing", "add `certificate = \"cert.pem\"` to `listen.tls`");
    check_fix("workers = '2'", "wrong-type", "write a whole number from 0 to 1024, without quotes, such as `2`");
    check_fix("drain = 30", "malformed", "write a number with `ms`, `s`, `m` or `h` in quotes, such as `\"250ms\"`");
    check_fix(&route("residency = ['A']"), "unknown-network", "did you mean `a`?");
    check_fix(&route("residency = ['cloud']"), "unknown-network", "the networks of this file are `a`");
    check_fix(
        &route("residency = []"),
        "no-network",
        "name at least one network, or remove the key to allow all of them",
    );
    check_fix(&route("urgency.most = 7\nurgency.least = 1"), "urgency-reversed", "exchange the two, or remove one");
    check_fix(&route(&route("")), "repeated", "remove one of them, or give it a name of its own");
    check_fix(&route("[[routes]]\nname = 's'"), "unreachable", "move it above `r`, or remove it");
    check_fix("shadow.levels.low.window = '1ms'", "out-of-order", "lower `window_min` or raise `levels.low.window`");
    check_fix("listen.peers = '127.0.0.1:1'", "listeners-clash", "give each listener a port of its own");
    check_fix(
        "networks.b.sidecars = ['https://b']",
        "no-identity",
        "add an `[identity]` with `certificate`, `key` and `trust`; `adumbra certs` makes them",
    );
    check_fix(
        "listen.peers = '[::]:2'",
        "peers-exposed",
        "write `\"127.0.0.1:2\"`, or add an `[identity]`, with which they come by mutual TLS",
    );
}

#[test]
fn a_mistake_is_shown_with_its_line_marked() {
    let text = "home = 'a'\n[listen]\njobs = '127.0.0.1:1'\nadmin = '127.0.0.1:1'\n[networks.a]\nupstreams = []\n";
    let expected = "\
error: `jobs` listens on 127.0.0.1:1 too
 --> file.toml:4:9
  |
3 | jobs = '127.0.0.1:1'
  |        ------------- already taken here
4 | admin = '127.0.0.1:1'
  |         ^^^^^^^^^^^^^ listen.admin
  |
  = help: give each listener a port of its own

error: this network has no endpoint
 --> file.toml:6:13
  |
6 | upstreams = []
  |             ^^ networks.a.upstreams
  |
  = help: add `upstreams = [\"http://127.0.0.1:3000\"]`, or `sidecars` if another adumbra stands there

file.toml: 2 errors";
    assert_eq!(errors(text).expect("two things are wrong").to_string(), expected);
}

#[test]
fn a_file_cannot_write_to_the_terminal_by_its_mistakes() {
    let errors = errors("\"\\u001b[2J\" = 1\nhome = \"\\u001b[2J\\n\"\n").expect("much is wrong");
    for error in &errors {
        assert!(!error.to_string().contains(['\u{1b}', '\n']), "{error:?}");
    }
    assert!(!errors.to_string().contains('\u{1b}'));
}
