//! Where an intercepted connection was going.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use config::Config;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::accept::Port;

/// Why a connection has no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No rule brought it here: somebody connected to the listener itself.
    Direct,
    /// It was going to one of our own listeners.
    Loop,
}

/// Where `socket` was going before a rule brought it here.
pub(super) fn of(socket: &TcpStream, listening: &[(Port, SocketAddr)]) -> Result<SocketAddr, Refused> {
    let own = socket.local_addr().map(canonical).map_err(|_| Refused::Direct)?;
    let asked = SockRef::from(socket);
    // A socket of IPv6 that an IPv4 client has come by keeps its destination as one of IPv4 does.
    let original = if own.is_ipv4() { asked.original_dst_v4() } else { asked.original_dst_v6() };
    let original = original.ok().and_then(|original| original.as_socket()).map(canonical).ok_or(Refused::Direct)?;
    if is_same(original, own) {
        return Err(Refused::Direct);
    }
    if is_one_of(original, listening.iter().map(|(_, listener)| *listener)) { Err(Refused::Loop) } else { Ok(original) }
}

/// The endpoint of home's at which `to` is this host's service, if it is.
pub(crate) fn at_home(config: &Config, to: SocketAddr) -> Option<usize> {
    let is_here = |host: &str| match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified() || ip.to_canonical() == to.ip(),
        Err(_) => host == "localhost",
    };
    let endpoints = &config.network(config.home).endpoints;
    endpoints.iter().position(|endpoint| !endpoint.tls && endpoint.port == to.port() && is_here(&endpoint.host))
}

/// Whether a connection to `to` would come to one of these listeners.
fn is_one_of(to: SocketAddr, mut listeners: impl Iterator<Item = SocketAddr>) -> bool {
    listeners.any(|listener| {
        let at = canonical(listener);
        at.port() == to.port() && (at.ip() == to.ip() || at.ip().is_unspecified() && is_local(to))
    })
}

/// Whether an address is this host's: only such can be bound to.
fn is_local(address: SocketAddr) -> bool {
    let mut free = address;
    free.set_port(0);
    UdpSocket::bind(free).is_ok()
}

fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

fn canonical(mut address: SocketAddr) -> SocketAddr {
    // An address with a scope stays what it is: it is needed to get there.
    if let IpAddr::V4(v4) = address.ip().to_canonical() {
        address = SocketAddr::from((v4, address.port()));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(to: &str, listeners: &[&str], expected: bool) {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(is_one_of(address(to), listeners.iter().map(|text| address(text))), expected, "{to}");
    }

    #[test]
    fn our_own_listeners_are_known_by_every_address_that_leads_there() {
        let all = ["0.0.0.0:8080", "127.0.0.1:9900", "[::]:15006"];
        check("127.0.0.1:8080", &all, true);
        check("127.0.0.1:9900", &all, true);
        check("127.0.0.1:15006", &all, true);
        check("[::1]:15006", &all, true);
        check("127.0.0.2:9900", &all, false);
        check("127.0.0.1:80", &all, false);
        // Somebody else's host, and the same port by chance.
        check("192.0.2.1:8080", &all, false);
        check("[2001:db8::1]:15006", &all, false);
    }

    #[test]
    fn the_service_is_known_by_where_home_is() {
        let config = config::parse(
            "home = 'h'\nlisten.jobs = '127.0.0.1:1'\nnetworks.h.upstreams = ['https://127.0.0.1:443', \
             'http://127.0.0.1:80', 'http://10.0.0.2:81', 'http://elsewhere.example:82', 'http://localhost:83']",
            "a test's",
        );
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let check = |to: &str, expected| {
            assert_eq!(at_home(&config, to.parse().expect("an address")), expected, "{to}");
        };
        check("10.0.0.2:80", Some(1));
        check("[fd00::2]:80", Some(1));
        check("10.0.0.2:81", Some(2));
        check("10.0.0.3:81", None);
        check("10.0.0.2:82", None);
        check("10.0.0.2:83", Some(4));
        check("10.0.0.2:443", None);
        check("10.0.0.2:6379", None);
    }

    #[tokio::test]
    async fn what_no_rule_has_brought_has_no_destination() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(at).await.expect("loopback has a port");
            let address = listener.local_addr().expect("an address");
            let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (socket, _) = accepted.expect("a connection");
            assert_eq!(of(&socket, &[]), Err(Refused::Direct), "{at}");
        }
    }
}
