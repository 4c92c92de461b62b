//! What may stand in `Host`, and when two authorities name the same place.
//!
//! Stricter than RFC 3986 where parsers are known to differ: no userinfo, no percent-encoding, no comma, no empty port.

/// Whether this is a host, with or without a port, and nothing else.
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    let (host_fits, rest) = match authority.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = memchr::memchr(b']', literal) else { return false };
            (is_ip_literal(&literal[..end]), &literal[end + 1..])
        }
        None => {
            let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
            (is_name(&authority[..end]), &authority[end..])
        }
    };
    host_fits && is_port(rest)
}

/// Whether two valid authorities name one place. `https` says which port is the one that need not be said.
pub(crate) fn same(one: &[u8], other: &[u8], https: bool) -> bool {
    let implied: &[u8] = if https { b":443" } else { b":80" };
    let short = |authority| <[u8]>::strip_suffix(authority, implied).unwrap_or(authority);
    one.eq_ignore_ascii_case(other) || short(one).eq_ignore_ascii_case(short(other))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(b))
}

fn is_ip_literal(literal: &[u8]) -> bool {
    !literal.is_empty() && literal.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
}

fn is_port(rest: &[u8]) -> bool {
    match rest.strip_prefix(b":") {
        Some(port) => (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_or_without_a_port_are_valid() {
        for authority in ["a", "A.example", "my_host:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "xn--a.b-c"] {
            assert!(is_valid(authority.as_bytes()), "{authority}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for authority in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:123456",
            "a:80:80",
            "u@a",
            "u:p@a",
            "a b",
            "a,b",
            "a/",
            "a?",
            "a#",
            "a\\b",
            "%61",
            "[::1",
            "::1",
            "[]",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "h\u{e9}",
        ] {
            assert!(!is_valid(authority.as_bytes()), "{authority}");
        }
    }

    #[test]
    fn case_and_the_implied_port_do_not_tell_places_apart() {
        assert!(same(b"a.example", b"A.Example", false));
        assert!(same(b"a:80", b"a", false));
        assert!(same(b"a:443", b"a", true));
        assert!(!same(b"a:80", b"a", true));
        assert!(!same(b"a:8080", b"a", false));
        assert!(!same(b"a", b"b", false));
    }
}
