//! Tables for every rule, and properties over how a stream is cut.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { head_bytes: 256, head_fields: 8 };

/// What a scanner makes of a whole stream.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    passed: Vec<u8>,
    /// Messages that came to their end.
    messages: usize,
    fault: Option<Fault>,
}

/// Feeds a stream in pieces, as the guard would.
fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut scanner = Scanner::new(BOUNDS);
    let mut seen = Seen { passed: Vec::new(), messages: 0, fault: None };
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            match scanner.feed(&held) {
                Step::Pass(bytes) => {
                    assert!(bytes > 0);
                    seen.passed.extend(held.drain(..bytes));
                    seen.messages += usize::from(scanner.is_between_messages());
                }
                Step::Skip(bytes) => drop(held.drain(..bytes)),
                Step::NeedMore => break,
                Step::Bad(fault) => {
                    assert_eq!(scanner.feed(&held), Step::Bad(fault), "a verdict stands");
                    return Seen { fault: Some(fault), ..seen };
                }
            }
        }
    }
    seen
}

fn whole(stream: &[u8]) -> Seen {
    scan([stream])
}

fn bytewise(stream: &[u8]) -> Seen {
    scan(stream.chunks(1))
}

/// The stream is `messages` whole messages and nothing else.
fn passes(stream: &str, messages: usize) {
    let expected = Seen { passed: stream.as_bytes().to_vec(), messages, fault: None };
    assert_eq!(whole(stream.as_bytes()), expected, "{stream:?}");
    assert_eq!(bytewise(stream.as_bytes()), expected, "{stream:?} byte by byte");
}

/// The stream is refused after `passed`, for a reason whose text has `why` in it.
fn refused(stream: impl AsRef<[u8]>, passed: &str, problem: Problem, why: &str) {
    let stream = stream.as_ref();
    let seen = whole(stream);
    let text = String::from_utf8_lossy(stream);
    let Some(fault) = seen.fault else { panic!("{text:?} is let through") };
    assert_eq!(String::from_utf8_lossy(&seen.passed), passed, "{text:?}");
    assert_eq!(fault.problem, problem, "{text:?}");
    assert!(fault.detail.contains(why), "{text:?} is refused because {:?}", fault.detail);
    assert_eq!(bytewise(stream), seen, "{text:?} byte by byte");
}

fn malformed(head: impl AsRef<[u8]>, why: &str) {
    refused(head, "", Problem::Malformed, why);
}

/// A head with these fields beside `Host`.
fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

#[test]
fn sound_heads_pass() {
    passes("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 1);
    passes("GET /a?b={c}&d=\\^|[] HTTP/1.1\r\nhost:a.example:80\t\r\nX: \u{fc}\t \r\nEmpty:\r\n\r\n", 1);
    passes("M-SEARCH /\"{}\" HTTP/1.1\r\nHOST: [::1]:8080\r\n\r\n", 1);
    passes("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    passes("GET http://a.example/x HTTP/1.1\r\nHost: A.example:80\r\n\r\n", 1);
    passes("GET HTTPS://a:8443?x HTTP/1.1\r\nHost: a:8443\r\n\r\n", 1);
    passes("GET / HTTP/1.0\r\n\r\n", 1);
    passes("GET http://a/ HTTP/1.0\r\n\r\n", 1);
    passes("GET / HTTP/1.1\r\nhost: a\r\nx-a_b!#$%&'*+.^`|~: 1\r\n\r\n", 1);
}

#[test]
fn bodies_end_where_their_framing_says() {
    passes(&(with("content-length: 5\r\n") + "hello"), 1);
    passes(&(with("Content-Length: 0\r\n") + "GET / HTTP/1.0\r\n\r\n"), 2);
    passes(&(with("content-length: 0000000000000000002\r\n") + "okGET / HTTP/1.0\r\n\r\n"), 2);
    passes(&(with("transfer-encoding: chunked\r\n") + "0\r\n\r\n"), 1);
    passes(&(with("Transfer-Encoding: CHUNKED\r\n") + "5\r\nhello\r\n0000A;x=\"y\";z\r\n0123456789\r\n0\r\n\r\n"), 1);
    passes(
        &(with("transfer-encoding: chunked\r\n") + "1\r\nx\r\n0;last\r\nA: 1\r\nb:\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        2,
    );
    passes("POST / HTTP/1.0\r\ncontent-length: 1\r\n\r\nxPOST / HTTP/1.0\r\ncontent-length: 1\r\n\r\ny", 2);
}

#[test]
fn two_empty_lines_before_a_head_are_let_go_by() {
    let head = "GET / HTTP/1.0\r\n\r\n";
    for empty in ["\r\n", "\r\n\r\n"] {
        let stream = format!("{empty}{head}{empty}{head}");
        let seen = whole(stream.as_bytes());
        assert_eq!(seen, Seen { passed: head.repeat(2).into_bytes(), messages: 2, fault: None });
        assert_eq!(bytewise(stream.as_bytes()), seen);
    }
    malformed(format!("\r\n\r\n\r\n{head}"), "empty lines");
    malformed(format!("\n{head}"), "bare line feed");
}

#[test]
fn the_request_line_has_one_form() {
    for line in [
        "GET /",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/01.1",
        "G@T / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "HTTP/1.1 200 OK",
        "PRI * HTTP/2.0",
        "x",
    ] {
        malformed(format!("{line}\r\nhost: a\r\n\r\n"), "request line");
    }
}

#[test]
fn one_space_stands_between_its_parts() {
    malformed("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", "target");
    malformed("GET /  HTTP/1.1\r\nhost: a\r\n\r\n", "target");
    malformed("GET / / HTTP/1.1\r\nhost: a\r\n\r\n", "target");
    malformed("GET  HTTP/1.1\r\nhost: a\r\n\r\n", "target");
}

#[test]
fn a_target_is_a_path_or_an_http_url() {
    for target in ["a", "a.example:80", "*", "ftp://a/", "?x", "//", "http:/a"] {
        let stream = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        if target == "//" { passes(&stream, 1) } else { malformed(stream, "neither a path nor") }
    }
    for target in ["/ x", "/#x", "/?a#b", "/<", "/`", "/?\"", "/\u{e9}", "/\u{7f}x"] {
        let seen = whole(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        assert_eq!(seen.fault.map(|fault| fault.problem), Some(Problem::Malformed), "{target}");
    }
    for target in ["http://", "http:///x", "http://u@a/", "http://a:/", "http://a,b/", "http://[::1/"] {
        malformed(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"), "authority");
    }
    let bounds = Bounds { head_bytes: 100_000, ..BOUNDS };
    let long = format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(65_534));
    assert!(matches!(
        Scanner::new(bounds).feed(long.as_bytes()),
        Step::Bad(Fault { problem: Problem::HeadTooLarge, .. })
    ));
}

#[test]
fn connect_is_refused_before_its_fields() {
    refused("CONNECT a:443 HTTP/1.1\r\n", "", Problem::ConnectRefused, "tunnel");
    refused("CONNECT / HTTP/1.0\r\nx x\r\n", "", Problem::ConnectRefused, "tunnel");
}

#[test]
fn lines_end_in_cr_lf_and_hold_no_control() {
    malformed("GET / HTTP/1.1\nhost: a\r\n\r\n", "bare line feed");
    malformed("GET / HTTP/1.1\r\nhost: a\n\r\n", "bare line feed");
    malformed("GET / HTTP/1.1\r\nhost: a\r\n\n", "bare line feed");
    malformed("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", "carriage return");
    malformed("GET / HTTP/1.1\r\r\nhost: a\r\n\r\n", "carriage return");
    malformed("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", "control");
    malformed("GET / HTTP/1.1\r\nhost: a\r\nx: \x7f\r\n\r\n", "control");
    malformed("GET / HTTP/1.1\r\nhost: a\r\nx: \x1b[0m\r\n\r\n", "control");
    malformed(b"\x16\x03\x01\x02\x00\x01", "control");
}

#[test]
fn a_field_is_a_name_a_colon_and_a_value() {
    for field in ["x : 1", " x: 1", "\tx: 1", "x", ": 1", "x y: 1", "x\u{e9}: 1", "x(y): 1", "\"x\": 1", "x;: 1"] {
        malformed(with(&format!("{field}\r\n")), "a field is not");
    }
    malformed(with("x: 1\r\n folded\r\n"), "a field is not");
}

#[test]
fn a_message_has_one_host() {
    malformed("GET / HTTP/1.1\r\n\r\n", "no `Host`");
    malformed(with("Host: a\r\n"), "more than one `Host`");
    malformed("GET / HTTP/1.0\r\nhost: a\r\nHOST: a\r\n\r\n", "more than one `Host`");
    for host in ["", "u@a", "a b", "a,b", "a/b", "a:", "a:x"] {
        malformed(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), "`Host` is not");
    }
    malformed("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n", "different places");
    malformed("GET http://a/ HTTP/1.1\r\nhost: a:81\r\n\r\n", "different places");
    malformed("GET http://a/ HTTP/1.1\r\n\r\n", "no `Host`");
}

#[test]
fn a_message_has_one_framing() {
    for length in ["", "+1", "-1", "1 1", "1,1", "0x1", "1.0", "\"1\"", "12345678901234567890"] {
        malformed(with(&format!("content-length: {length}\r\n")), "`Content-Length` is not");
    }
    malformed(with("content-length: 1\r\nContent-Length: 1\r\n"), "more than one `Content-Length`");
    for coding in ["", "gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;q=1", "chunked,"] {
        malformed(with(&format!("transfer-encoding: {coding}\r\n")), "`Transfer-Encoding` is not");
    }
    malformed(
        with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        "more than one `Transfer-Encoding`",
    );
    malformed(with("content-length: 1\r\ntransfer-encoding: chunked\r\n"), "both");
    malformed(with("transfer-encoding: chunked\r\ncontent-length: 1\r\n"), "both");
    malformed("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.0");
}

#[test]
fn chunked_bodies_have_strict_framing() {
    let head = with("transfer-encoding: chunked\r\n");
    let bad = |sound: &str, rest: &str, why| {
        refused(format!("{head}{sound}{rest}"), &format!("{head}{sound}"), Problem::Malformed, why);
    };
    bad("", "\r\n", "size");
    bad("", "g\r\n", "size");
    bad("", " 5\r\n", "size");
    bad("5", " \r\nhello", "size");
    bad("", "-1\r\n", "size");
    bad("0", "x0\r\n", "size");
    bad("5", "\nhello", "size");
    bad("5\r", "hello", "CR LF");
    bad("1111111111111111", "1\r\n", "16 digits");
    bad("5;x", "\n\r\n", "control");
    bad("5;x\r", "\rhello", "CR LF");
    bad("5\r\nhello", "x\r\n", "longer than its size");
    bad("5\r\nhello", "\n0\r\n\r\n", "longer than its size");
    bad("5\r\nhello\r", "0\r\n\r\n", "CR LF");
    bad("0\r\n", "\n", "trailer");
    bad("0\r\n", " x: 1\r\n", "trailer");
    bad("0\r\nx", " : 1\r\n", "trailer");
    bad("0\r\nx", "\r\n\r\n", "trailer");
    bad("0\r\nx: 1", "\n\r\n", "control");
    bad("0\r\nx: 1", "\0\r\n", "control");
    bad("0\r\nx: 1\r", "\r\n", "CR LF");
    bad("0\r\n\r", "GET", "CR LF");
    let fields = "x:\r\n".repeat(8);
    bad(&format!("0\r\n{fields}"), "x:\r\n\r\n", "trailers");
    let long = format!("0\r\nx:{}", "y".repeat(254));
    bad(&long, "y\r\n\r\n", "trailers");
    let extension = format!("1;{}", "x".repeat(16 * 1024 - 2));
    bad(&extension, "x\r\n", "extensions");
}

#[test]
fn a_head_within_its_bounds_passes_and_beyond_them_does_not() {
    let padded = |bytes: usize| {
        let fixed = with("x: \r\n").len();
        with(&format!("x: {}\r\n", "y".repeat(bytes - fixed)))
    };
    passes(&padded(BOUNDS.head_bytes), 1);
    for over in [1, 2, 3, 1000] {
        refused(padded(BOUNDS.head_bytes + over), "", Problem::HeadTooLarge, "head_bytes");
    }
    passes(&with(&"x:1\r\n".repeat(BOUNDS.head_fields - 1)), 1);
    refused(with(&"x:1\r\n".repeat(BOUNDS.head_fields)), "", Problem::HeadTooLarge, "head_fields");
    refused("GET /".to_owned() + &"x".repeat(1000), "", Problem::HeadTooLarge, "head_bytes");
}

#[test]
fn what_comes_first_decides() {
    // A head that is both too long and malformed is what it is first.
    let late = format!("GET /{} HTTP/1.1\nx", "x".repeat(300));
    refused(late, "", Problem::HeadTooLarge, "head_bytes");
    let early = format!("GET /\n{} HTTP/1.1\r\n", "x".repeat(300));
    malformed(early, "bare line feed");
}

#[test]
fn controls_are_found_wherever_they_stand() {
    for length in [0, 1, 31, 32, 33, 100] {
        let mut text = vec![b'x'; length];
        assert_eq!(first_control(&text), None);
        for at in 0..length {
            for control in [0, b'\n', b'\r', 0x1f, 0x7f] {
                text[at] = control;
                assert_eq!(first_control(&text), Some(at));
            }
            text[at] = [b'\t', 0x80, 0xff, b'~'][at % 4];
        }
    }
}

/// Words that streams are made of, so that many come close to being sound.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "GET http://a/ HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
            "host: a\r\n", "host: a\r\n\r\n", "content-length: 3\r\n", "content-length: 0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n", "x: y\r\n", "\r\n", "\r\n\r\n", "abc", "3\r\nabc\r\n", "0\r\n\r\n",
            "0;x\r\na: b\r\n\r\n", "a;b=c\r\n0123456789\r\n", "\n", "\r", " ", ":", "\t",
        ]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

/// A sound stream: messages of every framing.
fn sound() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let data = prop::collection::vec(any::<u8>(), 0..60);
    let message = prop_oneof![
        Just("GET / HTTP/1.1\r\nhost: a\r\n\r\n".as_bytes().to_vec()),
        data.clone().prop_map(|data| {
            let head = format!("PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", data.len());
            [head.as_bytes(), &data].concat()
        }),
        prop::collection::vec(data, 0..4).prop_map(|chunks| {
            let mut message = with("transfer-encoding: chunked\r\n").into_bytes();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                message.extend_from_slice(format!("{:X};e=1\r\n", chunk.len()).as_bytes());
                message.extend_from_slice(chunk);
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(b"00\r\ntrailer: 1\r\n\r\n");
            message
        }),
    ];
    prop::collection::vec(message, 0..5).prop_map(|messages| (messages.concat(), messages.len()))
}

/// Cuts a stream at these places.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts(
        stream in words(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let seen = whole(&stream);
        prop_assert_eq!(&scan(cut(&stream, &cuts)), &seen);
        prop_assert_eq!(&bytewise(&stream), &seen);
    }

    #[test]
    fn sound_streams_pass_whole(
        (stream, messages) in sound(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let expected = Seen { passed: stream.clone(), messages, fault: None };
        prop_assert_eq!(scan(cut(&stream, &cuts)), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..600)) {
        let seen = whole(&stream);
        prop_assert_eq!(bytewise(&stream), seen);
    }
}
