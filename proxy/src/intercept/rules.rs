//! The kernel's rules that bring connections here: what they say, how they are put up, and how they go.
//!
//! They are made of numbers and addresses only, all of them read by type from the configuration; there is no way for a text
//! of anybody's into a rule or a command line. All that is ours stands in a table, or in chains, of our own, with a digest
//! of what they were made from. Putting up replaces what was there, and taking down leaves what is others' as it was: each
//! in one transaction of the kernel's with nftables, and one for each family with iptables.
//!
//! Where a rule applies: connections that come from elsewhere to an address of this host's, and connections that leave this
//! host. Not what passes through it, not what it says to itself, and not what the sidecar sends.

mod iptables;
mod nftables;
mod program;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use config::Config;
use config::value::{Intercept, Ports, Prefix};
use sha2::{Digest as _, Sha256};

pub(crate) use program::ProgramError;

/// What all that is ours is called by, and the version of how rules are made.
const NAME: &str = "adumbra-1-";

/// Rules, as the configuration wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    inbound: u16,
    outbound: Option<u16>,
    ports: Ports,
    /// Ports of this host that are let through, our own among them.
    except: BTreeSet<u16>,
    outbound_ports: Ports,
    except_networks: Vec<Prefix>,
    user: Option<u32>,
    mark: Option<NonZeroU32>,
    ipv6: bool,
}

/// Why the configuration makes no rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unruly {
    /// Nothing is to be intercepted.
    #[error("there is no `[listen.intercept]`, which says what to intercept and where to bring it")]
    Nothing,
    /// A rule cannot say "any free port".
    #[error("`listen.intercept.{key}` has port 0: rules need to know the port, so write one")]
    AnyPort { key: &'static str },
    /// Rules bring connections to an address that the listener does not have.
    #[error(
        "rules bring connections to this host's own addresses of each family, and `listen.intercept.{key}` is {address}: \
         write `\"{wanted}:{}\"`, or say `ipv6 = false` if that is what is missing", address.port()
    )]
    Elsewhere { key: &'static str, address: SocketAddr, wanted: &'static str },
    /// A port is to be intercepted, and never to be.
    #[error(
        "port {port} is in `listen.intercept.ports`, and let through for `{by}`: give one of them another port, or remove it \
         from the list"
    )]
    Both { port: u16, by: &'static str },
}

/// What puts rules up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    /// The program `nft`: one transaction for both families
    Nftables,
    /// The programs `iptables-restore` and `ip6tables-restore`: one transaction each
    Iptables,
}

/// A digest of what rules were made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

/// What of ours is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing.
    Nothing,
    /// Rules that were made from this.
    Rules(Digest),
    /// Something that has our name and is not whole, or is of another version.
    Remains,
}

impl Rules {
    /// What `config` wants.
    pub(crate) fn of(config: &Config) -> Result<Self, Unruly> {
        let intercept = config.listen.intercept.as_ref().ok_or(Unruly::Nothing)?;
        let inbound = port_of("inbound", intercept.inbound, intercept)?;
        let outbound = intercept.outbound.map(|address| port_of("outbound", address, intercept)).transpose()?;
        let mut except: BTreeSet<u16> = intercept.except_ports.iter().copied().collect();
        let all = std::iter::once(("listen.intercept.except_ports", except.iter().copied().collect::<Vec<_>>()));
        let own = own(config).map(|(by, port)| (by, vec![port]));
        for (by, ports) in all.chain(own).collect::<Vec<_>>() {
            if let Ports::These(wanted) = &intercept.ports
                && let Some(port) = ports.iter().copied().find(|port| wanted.contains(port))
            {
                return Err(Unruly::Both { port, by });
            }
            except.extend(ports);
        }
        Ok(Self {
            inbound,
            outbound,
            ports: intercept.ports.clone(),
            except,
            outbound_ports: intercept.outbound_ports.clone(),
            except_networks: intercept.except_networks.clone(),
            user: intercept.user,
            mark: intercept.mark,
            ipv6: intercept.ipv6,
        })
    }

    /// What they are told apart from others by.
    pub(crate) fn digest(&self) -> Digest {
        let hash = Sha256::digest(format!("{self:?}"));
        let first = hash.first_chunk::<8>().copied().unwrap_or_default();
        Digest(u64::from_be_bytes(first))
    }
}

/// The sidecar's own listeners that others can reach: nobody may be cut off from them.
fn own(config: &Config) -> impl Iterator<Item = (&'static str, u16)> {
    let listen = &config.listen;
    let intercept = listen.intercept.as_ref();
    let listeners = [
        ("listen.jobs", Some(listen.jobs)),
        ("listen.peers", listen.peers),
        ("listen.egress", listen.egress),
        ("listen.admin", Some(listen.admin)),
        ("listen.intercept.inbound", intercept.map(|intercept| intercept.inbound)),
        ("listen.intercept.outbound", intercept.and_then(|intercept| intercept.outbound)),
    ];
    let reachable = listeners.into_iter().filter_map(|(by, address)| Some((by, address?)));
    reachable.filter(|(_, address)| !address.ip().is_loopback() && address.port() > 0).map(|(by, at)| (by, at.port()))
}

/// The port that rules bring connections to, if a listener at `address` gets all of them.
fn port_of(key: &'static str, address: SocketAddr, intercept: &Intercept) -> Result<u16, Unruly> {
    let wanted = if intercept.ipv6 { "[::]" } else { "0.0.0.0" };
    // What leaves this host is brought to loopback; what comes, to an address of whatever it came by.
    let is_loopback = key == "outbound" && !intercept.ipv6 && address.ip().is_loopback() && address.is_ipv4();
    let fits = address.ip().is_unspecified() && (address.is_ipv6() || !intercept.ipv6);
    match address.port() {
        0 => Err(Unruly::AnyPort { key }),
        port if fits || is_loopback => Ok(port),
        _ => Err(Unruly::Elsewhere { key, address, wanted }),
    }
}

/// One at a time in this network namespace, by whatever means.
struct Turn(#[expect(dead_code, reason = "the lock lasts as long as this is open")] File);

impl Turn {
    fn take() -> io::Result<Self> {
        // The namespace itself is what is changed, and it is there even where nothing can be written.
        let namespace = File::open("/proc/self/ns/net")?;
        namespace.lock()?;
        Ok(Self(namespace))
    }
}

/// Puts `rules` up by `backend`, in the place of what there is of ours.
pub(crate) fn up(rules: &Rules, backend: Backend) -> Result<(), ProgramError> {
    let _turn = Turn::take().map_err(ProgramError::Namespace)?;
    match backend {
        Backend::Nftables => nftables::up(rules)?,
        Backend::Iptables => iptables::up(rules)?,
    }
    // What another way has left would come second, and never be seen to.
    match backend {
        Backend::Nftables if iptables::is_here() => iptables::down(),
        Backend::Iptables if nftables::is_here() => nftables::down(),
        Backend::Nftables | Backend::Iptables => Ok(()),
    }
}

/// Takes down all that is ours.
pub(crate) fn down() -> Result<(), ProgramError> {
    let _turn = Turn::take().map_err(ProgramError::Namespace)?;
    let (nft, iptables) = (nftables::is_here(), iptables::is_here());
    if !nft && !iptables {
        return Err(ProgramError::Missing { program: "nft" });
    }
    if nft {
        nftables::down()?;
    }
    if iptables { iptables::down() } else { Ok(()) }
}

/// What is there, by each means that is here.
pub(crate) fn status() -> Result<Vec<(Backend, There)>, ProgramError> {
    let _turn = Turn::take().map_err(ProgramError::Namespace)?;
    let mut found = Vec::new();
    if nftables::is_here() {
        found.push((Backend::Nftables, nftables::there()?));
    }
    if iptables::is_here() {
        found.push((Backend::Iptables, iptables::there()?));
    }
    Ok(found)
}

/// What to put rules up by, if nobody says.
pub(crate) fn usual() -> Result<Backend, ProgramError> {
    match (nftables::is_here(), iptables::is_here()) {
        (true, _) => Ok(Backend::Nftables),
        (false, true) => Ok(Backend::Iptables),
        (false, false) => Err(ProgramError::Missing { program: "nft" }),
    }
}

impl Digest {
    /// The digest in a name of ours.
    fn named(name: &str) -> Option<Self> {
        let digits = name.strip_prefix(NAME)?;
        let is_plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(digits, 16).ok().filter(|_| is_plain).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}{:016x}", self.0)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}

/// Values with commas between them.
fn listed<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{value}").expect("text has room for more");
    }
    text
}

#[cfg(test)]
mod tests;
