//! Every kind of mistake is told with its place, and all of a file's mistakes at once.

use config::{Errors, parse};

use crate::SMALLEST;

fn errors(text: &str) -> Option<Errors> {
    parse(text, "file.toml").err()
}

/// What is said of `text`, one `line:column: key: message` for each error.
#[track_caller]
pub(crate) fn check_file(text: &str, expected: &[&str]) {
    let said = |errors: Errors| -> Vec<String> {
        errors.iter().map(|e| format!("{}:{}: {}: {}", e.line, e.column, e.path, e.message())).collect()
    };
    assert_eq!(errors(text).map_or_else(Vec::new, said), expected, "in\n{text}");
}

/// The same of `more` below a file that is right, whose three lines are not counted.
#[track_caller]
pub(crate) fn check(more: &str, expected: &[&str]) {
    let counted = |line: &&str| {
        let (number, rest) = line.split_once(':').expect("tests say where");
        format!("{}:{rest}", number.parse::<usize>().expect("tests say which line") + 3)
    };
    let expected: Vec<String> = expected.iter().map(counted).collect();
    check_file(&format!("{SMALLEST}{more}"), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    check("worker = 2", &["1:1: worker: there is no key `worker` here"]);
    check(
        "networks.a.price.slot_seconds = 1",
        &["1:18: networks.a.price.slot_seconds: there is no key `slot_seconds` here"],
    );
    check("limits.threads = 1\n", &["1:8: limits.threads: there is no key `threads` here"]);
    check("capacity = 3", &["1:1: capacity: there is no key `capacity` here"]);
    check("[log]\nhome = 'a'", &["2:1: log.home: there is no key `home` here"]);
    check(
        "[[routes]]\nname = 'r'\nurgency = { most = 1, lest = 7 }",
        &["3:23: routes[0].urgency.lest: there is no key `lest` here"],
    );
}

#[test]
fn a_value_of_another_type_is_refused() {
    check("workers = 'two'", &["1:11: workers: this should be a number of threads, not `\"two\"`"]);
    check("drain = true", &["1:9: drain: this should be a duration above 0, not `true`"]);
    check("networks.a.timeouts = '2s'", &["1:23: networks.a.timeouts: this should be a table, not `\"2s\"`"]);
    check("shadow.enabled = 1", &["1:18: shadow.enabled: this should be true or false, not `1`"]);
    check("data.origins = 'http://h'", &["1:16: data.origins: this should be a list, not `\"http://h\"`"]);
    check("routes = { name = 'r' }", &["1:10: routes: this should be a list of tables, not a table"]);
    check("limits.head_bytes = []", &["1:21: limits.head_bytes: this should be a size above 0, not a list"]);
}

#[test]
fn a_bad_quantity_says_what_is_wrong_with_it() {
    check("drain = 30", &["1:9: drain: `30` is not a duration above 0: the unit is missing"]);
    check(
        "drain = '5 fortnights'",
        &["1:9: drain: `\"5 fortnights\"` is not a duration above 0: the unit is not `ms`, `s`, `m` or `h`"],
    );
    check("drain = '-5s'", &["1:9: drain: `\"-5s\"` is not a duration above 0: it is less than 0"]);
    check("drain = '0s'", &["1:9: drain: `\"0s\"` is not a duration above 0: it is no time at all"]);
    check(
        "limits.keep_alive = '9000h'",
        &["1:21: limits.keep_alive: `\"9000h\"` is not a duration above 0: it is more than a year"],
    );
    check(
        "spool.memory = '64K'",
        &["1:16: spool.memory: `\"64K\"` is not a size: the unit is not `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`"],
    );
    check("limits.head_bytes = 0", &["1:21: limits.head_bytes: `0` is not a size above 0: it is less than a byte"]);
    check(
        "shadow.window_share = '110%'",
        &["1:23: shadow.window_share: `\"110%\"` is not a share: it is more than the whole"],
    );
    check("shadow.window_share = 10", &["1:23: shadow.window_share: `10` is not a share: it is more than the whole"]);
    check(
        "shadow.window_share = '10'",
        &["1:23: shadow.window_share: `\"10\"` is not a share: it does not end in `%`"],
    );
    check(
        "networks.a.price.slot_second = -0.1",
        &["1:32: networks.a.price.slot_second: `-0.1` is not a price: it is less than 0"],
    );
    check(
        "networks.a.price.congestion = nan",
        &["1:31: networks.a.price.congestion: `nan` is not a price: it is not a number"],
    );
    check("networks.a.capacity = 1.5", &["1:23: networks.a.capacity: this should be a whole number, not `1.5`"]);
    check("networks.a.capacity = -1", &["1:23: networks.a.capacity: `-1` is not a whole number: it is less than 0"]);
    check(
        "pricing.time_value_per_second = [1, 2]",
        &["1:33: pricing.time_value_per_second: a list is not one price or 8: there are not 8 numbers in it"],
    );
    check("workers = 5000", &["1:11: workers: `5000` is not a number of threads: it is more than 1024"]);
}

#[test]
fn a_bad_address_says_what_is_wrong_with_it() {
    check(
        "listen.peers = 'localhost:1'",
        &[
            "1:16: listen.peers: `\"localhost:1\"` is not an address to listen on: names are not resolved here: write `127.0.0.1`",
        ],
    );
    check(
        "listen.peers = '127.0.0.1'",
        &["1:16: listen.peers: `\"127.0.0.1\"` is not an address to listen on: the port is missing"],
    );
    check(
        "listen.egress = ':80'",
        &[
            "1:17: listen.egress: `\":80\"` is not an address to listen on: the IP address is missing: `0.0.0.0` listens on all",
        ],
    );
    check(
        "listen.egress = 'http://127.0.0.1:1'",
        &["1:17: listen.egress: `\"http://127.0.0.1:1\"` is not an address to listen on: a listener has no scheme"],
    );
    check(
        "listen.egress = '127.0.0.1:65536'",
        &[
            "1:17: listen.egress: `\"127.0.0.1:65536\"` is not an address to listen on: it is not an IP address, `:`, and a port from 0 to 65535",
        ],
    );
    check(
        "networks.b.upstreams = ['127.0.0.1:3000', 'ftp://h', 'http://h/path', 'http://u@h', 'http://h:0', 'http://1.2.3', 'http://a..b', 'http://[::g]:1', 'https://h?q']",
        &[
            "1:25: networks.b.upstreams[0]: `\"127.0.0.1:3000\"` is not an endpoint: `http://` or `https://` is missing",
            "1:43: networks.b.upstreams[1]: `\"ftp://h\"` is not an endpoint: it starts with neither `http://` nor `https://`",
            "1:54: networks.b.upstreams[2]: `\"http://h/path\"` is not an endpoint: it has a path, and requests bring their own",
            "1:71: networks.b.upstreams[3]: `\"http://u@h\"` is not an endpoint: a user name has no place in it",
            "1:85: networks.b.upstreams[4]: `\"http://h:0\"` is not an endpoint: the port is not one from 1 to 65535",
            "1:99: networks.b.upstreams[5]: `\"http://1.2.3\"` is not an endpoint: the host looks like an IPv4 address and is none",
            "1:115: networks.b.upstreams[6]: `\"http://a..b\"` is not an endpoint: the host is neither a name nor an IP address",
            "1:130: networks.b.upstreams[7]: `\"http://[::g]:1\"` is not an endpoint: what is in brackets is not an IPv6 address",
            "1:148: networks.b.upstreams[8]: `\"https://h?q\"` is not an endpoint: it has a path, and requests bring their own",
        ],
    );
    check(
        "data.origins = ['http://h:80', 'http://H/', 'http://h/x']",
        &[
            "1:32: data.origins[1]: `http://h:80` is here twice",
            "1:45: data.origins[2]: `\"http://h/x\"` is not an origin: it has a path, and requests bring their own",
        ],
    );
}

#[test]
fn listeners_must_be_apart_and_peers_near() {
    check(
        "listen.peers = '0.0.0.0:2'",
        &["1:16: listen.peers: 0.0.0.0:2 can be reached from other machines, and peers come in the clear"],
    );
    check("listen.egress = '127.0.0.1:1'", &["1:17: listen.egress: `jobs` listens on 127.0.0.1:1 too"]);
    check("listen.egress = '0.0.0.0:9900'", &["1:17: listen.egress: `admin` listens on 127.0.0.1:9900 too"]);
    check(
        "listen.egress = '127.0.0.1:9900'\nlisten.admin = 'x'",
        &[
            "2:16: listen.admin: `\"x\"` is not an address to listen on: it is not an IP address, `:`, and a port from 0 to \
             65535",
        ],
    );
    check("listen.egress = '127.0.0.1:0'\nlisten.peers = '127.0.0.1:0'", &[]);
    check(
        "networks.b.upstreams = ['http://127.0.0.1:1']",
        &["1:25: networks.b.upstreams[0]: this endpoint is this sidecar's own `jobs`: jobs would go round in a circle"],
    );
}

#[test]
fn a_network_has_endpoints_of_one_kind() {
    check("networks.b = {}", &["1:14: networks.b.upstreams: this network has no endpoint"]);
    check("networks.b.upstreams = []", &["1:24: networks.b.upstreams: this network has no endpoint"]);
    check(
        "[networks.b]\nupstreams = ['http://h']\nsidecars = ['http://i']",
        &["3:12: networks.b.sidecars: this network has both `upstreams` and `sidecars`"],
    );
    check(
        "networks.b.sidecars = ['http://h', 'http://h:80']",
        &["1:36: networks.b.sidecars[1]: `http://h:80` is here twice"],
    );
    check(
        "[networks.'my cloud']\nupstreams = ['http://h']",
        &[
            "1:11: networks.my cloud: `\"my cloud\"` is not a name: it has characters other than letters, digits, `-`, `_`, `.`",
        ],
    );
}

#[test]
fn a_network_must_be_there() {
    check(
        "[[routes]]\nname = 'r'\nresidency = ['a', 'aa', 'cloud']",
        &[
            "3:19: routes[0].residency[1]: there is no network `aa`",
            "3:25: routes[0].residency[2]: there is no network `cloud`",
        ],
    );
    check(
        "[[routes]]\nname = 'r'\nresidency = []",
        &["3:13: routes[0].residency: this leaves no network for the job to run on"],
    );
}

#[test]
fn bounds_must_leave_something_between_them() {
    check(
        "shadow.window_min = '3s'",
        &["1:21: shadow.window_min: `window_min` is more than `levels.low.window`, by what is written or by default"],
    );
    check(
        "shadow.levels.high.window = '50ms'",
        &[
            "1:29: shadow.levels.high.window: `window_min` is more than `levels.high.window`, by what is written or by default",
        ],
    );
    check(
        "[shadow]\nwindow_min = 'long'\nlevels.low.window = '1ms'",
        &["2:14: shadow.window_min: `\"long\"` is not a duration: it does not start with a number"],
    );
    check(
        "oracle.window = 10",
        &["1:17: oracle.window: `first_after` is more than `window`, by what is written or by default"],
    );
    check(
        "[[routes]]\nname = 'r'\nurgency = { most = 5, least = 2 }",
        &[
            "3:31: routes[0].urgency.least: `most` names a less urgent level than `least`: 0 is the most urgent, 7 the least",
        ],
    );
}

#[test]
fn a_route_is_there_once_and_can_be_reached() {
    check(
        "[[routes]]\nname = 'r'\n[[routes]]\nname = 'r'\nmatch.path = '/x'",
        &["4:8: routes[1].name: `r` is here twice"],
    );
    check(
        "[[routes]]\nname = 'all'\nmatch.path = '/a*'\n[[routes]]\nname = 'one'\nmatch = { path = '/ab', methods = ['GET'] }",
        &["5:8: routes[1].name: no request gets to this route: `all`, above it, takes them all"],
    );
    check(
        "[[routes]]\nname = 'one'\nmatch = { path = '/a*', methods = ['GET'] }\n[[routes]]\nname = 'other'\nmatch.path = '/ab'",
        &[],
    );
    check("[[routes]]", &["1:1: routes[0].name: `name` is missing"]);
}

#[test]
fn a_bad_route_does_not_put_the_blame_on_others() {
    check(
        "[[routes]]\nname = 'r'\nmach.path = '/r'\n[[routes]]\nname = 's'\nmatch.path = 's'\n[[routes]]\nname = 't'",
        &[
            "3:1: routes[0].mach: there is no key `mach` here",
            "6:14: routes[1].match.path: `\"s\"` is not a path: it does not start with `/`",
        ],
    );
}

#[test]
fn what_a_request_cannot_have_is_refused() {
    check(
        "[[routes]]\nname = 'r'\nmatch = { path = 'a', methods = ['get', 'CONNECT', 'A B'], headers = { 'a b' = '', x = \"\\n\", Y = '1', y = '2' } }",
        &[
            "3:18: routes[0].match.path: `\"a\"` is not a path: it does not start with `/`",
            "3:34: routes[0].match.methods[0]: `\"get\"` is not a method: methods are told apart by case",
            "3:41: routes[0].match.methods[1]: `\"CONNECT\"` is not a method: adumbra opens no tunnels",
            "3:52: routes[0].match.methods[2]: `\"A B\"` is not a method: it has characters that no method has",
            "3:72: routes[0].match.headers.a b: `a b` is not a header's name: no header can have it",
            "3:88: routes[0].match.headers.x: `\"\\n\"` is not a header's value: it has characters that no header has",
            "3:103: routes[0].match.headers.y: `y` is here twice",
        ],
    );
    check(
        "[[routes]]\nname = 'r'\nmatch.path = '/a*b'",
        &["3:14: routes[0].match.path: `\"/a*b\"` is not a path: a `*` stands only at its end"],
    );
    check(
        "[[routes]]\nname = 'r'\nmatch.path = '/a?b'",
        &["3:14: routes[0].match.path: `\"/a?b\"` is not a path: a query is not part of it"],
    );
    check(
        "[[routes]]\nname = 'r'\nmatch.path = '/ü'",
        &[
            "3:14: routes[0].match.path: `\"/ü\"` is not a path: paths are compared as they come, so write other characters as `%XX`",
        ],
    );
    check(
        "[[routes]]\nname = 'r'\nclass_by = 'kind'",
        &["3:12: routes[0].class_by: `\"kind\"` is not a part of a request: it has no `:`"],
    );
    check(
        "[[routes]]\nname = 'r'\nclass_by = 'body:kind'",
        &[
            "3:12: routes[0].class_by: `\"body:kind\"` is not a part of a request: it starts with none of `header:`, `query:`, `segment:`",
        ],
    );
    check(
        "[[routes]]\nname = 'r'\nshadow = 'maybe'",
        &["3:10: routes[0].shadow: `\"maybe\"` is not a mode: it is none of `off`, `observe`, `on`"],
    );
    check(
        "networks.a.protocol = 'http3'",
        &["1:23: networks.a.protocol: `\"http3\"` is not a protocol: it is none of `auto`, `http1`, `http2`"],
    );
    check(
        "[[routes]]\nname = 'r'\nextract = { size = 'query:size' }",
        &[
            "3:13: routes[0].extract.size: `size` is not an extract's name: it is not `x_` and then letters, digits or `_`",
        ],
    );
    check(
        "[[routes]]\nname = 'r'\nextract = { x_a = 'query:a', x_b = 'query:b', x_c = 'query:c', x_d = 'query:d', x_e = 'query:e' }",
        &["3:81: routes[0].extract.x_e: 5 extracts are too many: 4 is the most"],
    );
}

#[test]
fn what_must_be_there_is_asked_for() {
    check_file(
        "",
        &[
            "1:1: home: `home` is missing",
            "1:1: listen.jobs: `jobs` is missing",
            "1:1: networks: `networks` is missing",
        ],
    );
    check_file(
        "home = 'b'\n[listen]\n[networks.a]\n[networks.b]\n",
        &["2:1: listen.jobs: `jobs` is missing", "3:1: networks.a.upstreams: this network has no endpoint"],
    );
    check_file(
        "home = 'b'\n[listen]\njobs = '127.0.0.1:1'\ntls = { certificate = 'c' }\n[networks.private]\nupstreams = ['http://h']\n",
        &["1:8: home: there is no network `b`", "4:7: listen.tls.key: `key` is missing"],
    );
}

#[test]
fn a_lane_is_what_it_says_it_is() {
    check(
        "lane.kind = 'pool'",
        &["1:13: lane.kind: `\"pool\"` is not a kind of lane: it is none of `shared`, `process`, `address`"],
    );
    check("lane.kind = 'address'", &["1:1: lane.upstreams: this lane has no replica"]);
    check(
        "lane = { kind = 'address', upstreams = ['http://127.0.0.1:1', 'http://r', 'http://r'] }",
        &[
            "1:41: lane.upstreams[0]: this endpoint is this sidecar's own `jobs`: jobs would go round in a circle",
            "1:75: lane.upstreams[2]: `http://r:80` is here twice",
        ],
    );
    check("lane.workers = 0", &["1:16: lane.workers: `0` is not a whole number above 0: it is less than 1"]);
}

#[test]
fn what_is_not_toml_is_told_once_a_line() {
    check_file(
        "home = private\nworkers: 2\ndrain = '30s\n",
        &[
            "1:8: : this is not TOML: text must be in quotes",
            "2:8: : this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`",
        ],
    );
    check_file(
        "home = 'a'\nhome = 'b'\nlisten.jobs = '127.0.0.1:1'\nnetworks.a.upstreams = ['http://h']\nworkers = 'x'",
        &["2:1: : `home` is here twice", "5:11: workers: this should be a number of threads, not `\"x\"`"],
    );
}

#[test]
fn more_networks_than_there_can_be_are_refused() {
    check_file(
        "home = 'n9'\nlisten.jobs = '127.0.0.1:1'\nnetworks.n1.upstreams = ['http://h1']\nnetworks.n2.upstreams = ['http://h2']\nnetworks.n3.upstreams = ['http://h3']\nnetworks.n4.upstreams = ['http://h4']\nnetworks.n5.upstreams = ['http://h5']\nnetworks.n6.upstreams = ['http://h6']\nnetworks.n7.upstreams = ['http://h7']\nnetworks.n8.upstreams = ['http://h8']\nnetworks.n9.upstreams = ['http://h9']\n",
        &["11:10: networks.n9: 9 networks are too many: 8 is the most"],
    );
}
