//! Under which names the admin port answers.
//!
//! A page on `evil.example` can let its own name resolve to 127.0.0.1 and then read, as its own origin, whatever listens
//! there. The browser still says `Host: evil.example`: refusing names is what stops it. An address in `Host` cannot be
//! rebound, since no name was resolved to get it. So answered are `localhost` and what ends in `.localhost` (RFC 6761:
//! always loopback), loopback addresses, the listener's own address, and, where it listens on every address, any address.
//! Whoever scrapes through a DNS name must do so by address.

use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::request::Parts;

/// Whether a request came under a name that the listener on `own` answers to. One without any name did not come from a
/// browser, which is who this is about; HTTP/1.1 demands one all the same.
pub(super) fn is_ours(request: &Parts, own: IpAddr) -> bool {
    let mut named = request.headers.get_all(HOST).iter();
    match (named.next(), named.next()) {
        (None, _) => request.uri.host().is_none_or(|host| is_own(host, own)),
        (Some(host), None) => host.to_str().is_ok_and(|host| is_own(without_port(host), own)),
        (Some(_), Some(_)) => false,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_own(host: &str, own: IpAddr) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
    };
    match address {
        Some(address) => address.is_loopback() || address == own || own.is_unspecified(),
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            let last = name.rsplit('.').next().unwrap_or(name);
            last.eq_ignore_ascii_case("localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_and_addresses_of_ours_are_not() {
        let check = |host: &str, own: &str, expected: bool| {
            let request = http::Request::builder().uri("/").header(HOST, host).body(()).expect("a request");
            let own = own.parse().expect("an address");
            assert_eq!(is_ours(&request.into_parts().0, own), expected, "{host} to {own}");
        };
        for own in ["127.0.0.1", "10.0.0.7", "0.0.0.0"] {
            for host in ["127.0.0.1:9900", "127.8.8.8", "[::1]:9900", "localhost:9900", "LOCALHOST", "a.localhost"] {
                check(host, own, true);
            }
            for host in
                ["evil.example", "evil.example:9900", "localhost.evil.example", "127.0.0.1.evil.example", "", ":"]
            {
                check(host, own, false);
            }
        }
        check("10.0.0.7:9900", "10.0.0.7", true);
        check("10.0.0.8:9900", "10.0.0.7", false);
        check("10.0.0.8:9900", "0.0.0.0", true);
        check("[fd00::1]:9900", "::", true);
    }

    #[test]
    fn two_names_are_one_too_many_and_h2_says_it_elsewhere() {
        let own = "127.0.0.1".parse().expect("an address");
        let two = http::Request::builder().header(HOST, "localhost").header(HOST, "localhost").body(()).expect("fine");
        assert!(!is_ours(&two.into_parts().0, own));
        let h2 = |uri: &str| http::Request::builder().uri(uri).body(()).expect("fine").into_parts().0;
        assert!(is_ours(&h2("http://127.0.0.1:9900/"), own));
        assert!(!is_ours(&h2("http://evil.example/"), own));
    }
}
