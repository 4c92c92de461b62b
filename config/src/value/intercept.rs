//! What is intercepted, and how: every number is one that a rule of the kernel's can have.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// What is intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// Where rules send connections that come to the service.
    pub inbound: SocketAddr,
    /// Where rules send connections that the service makes, if those are intercepted.
    pub outbound: Option<SocketAddr>,
    /// Ports of this host whose connections are intercepted.
    pub ports: Ports,
    /// Ports of this host that never are.
    pub except_ports: Vec<u16>,
    /// Ports elsewhere the service's connections to which are intercepted.
    pub outbound_ports: Ports,
    /// Where the service's connections go untouched.
    pub except_networks: Vec<Prefix>,
    /// The sidecar's own user, whose connections are not intercepted.
    pub user: Option<u32>,
    /// The mark of the sidecar's own connections, which are not intercepted.
    pub mark: Option<NonZeroU32>,
    /// What the rules do when the sidecar is gone.
    pub fail: Fail,
    /// How long a client may be silent before the service is asked to speak first.
    pub silence: Duration,
    /// Whether IPv6 is intercepted, too.
    pub ipv6: bool,
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    All,
    /// These: at least one, each once, in order.
    These(Vec<u16>),
}

/// What rules do when the sidecar is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// They go, and the service is reached as if there had never been a sidecar.
    Open,
    /// They stay: nothing gets past the sidecar, not even when there is none.
    Closed,
}

/// A network by its addresses: an address whose bits behind the first `bits` are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// A network, if `bits` are not more than the address has, and those behind them are 0.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let (number, width) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let behind = number.checked_shl(u32::from(bits)).unwrap_or(0);
        (bits <= width && behind == 0).then_some(Self { address, bits })
    }

    /// Whether it is of IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_bits_behind_its_prefix() {
        let check = |address: &str, bits, expected: Option<&str>| {
            let prefix = Prefix::new(address.parse().expect("an address"), bits);
            assert_eq!(prefix.map(|prefix| prefix.to_string()).as_deref(), expected, "{address}/{bits}");
        };
        check("10.0.0.0", 8, Some("10.0.0.0/8"));
        check("0.0.0.0", 0, Some("0.0.0.0/0"));
        check("10.1.2.3", 32, Some("10.1.2.3/32"));
        check("fd00::", 8, Some("fd00::/8"));
        check("::", 0, Some("::/0"));
        check("::1", 128, Some("::1/128"));
        check("10.1.2.3", 8, None);
        check("10.1.2.3", 0, None);
        check("10.0.0.0", 33, None);
        check("fd00::1", 64, None);
        check("fd00::", 129, None);
    }
}
