//! By iptables, old or in its nftables dress: two chains of our own in each family's `nat`, and a jump to each.
//!
//! `--noflush` leaves alone what is not named; a chain that is named begins empty. A jump would be added again each time, so
//! those there are, which are known by our name in their comment, are removed in the same transaction.

use std::fmt::Write as _;

use config::value::Ports;

use super::program::{self, ProgramError};
use super::{Digest, Rules, There, listed};

/// Ports that one rule can name.
const PORTS_MOST: usize = 15;

/// What changes and shows the rules of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    restore: &'static str,
    save: &'static str,
    is_ipv4: bool,
}

pub(super) const IPV4: Family = Family { restore: "iptables-restore", save: "iptables-save", is_ipv4: true };
pub(super) const IPV6: Family = Family { restore: "ip6tables-restore", save: "ip6tables-save", is_ipv4: false };

/// A chain of ours, and the one that jumps to it.
struct Chain {
    name: &'static str,
    from: &'static str,
}

const INBOUND: Chain = Chain { name: "ADUMBRA_IN", from: "PREROUTING" };
const OUTBOUND: Chain = Chain { name: "ADUMBRA_OUT", from: "OUTPUT" };

pub(super) fn is_here() -> bool {
    program::find(IPV4.restore).is_some()
}

pub(super) fn up(rules: &Rules) -> Result<(), ProgramError> {
    IPV4.put(rules)?;
    let other = if rules.ipv6 { IPV6.put(rules) } else { IPV6.take_down() };
    if other.is_err() {
        // Both or neither.
        IPV4.take_down()?;
    }
    other
}

pub(super) fn down() -> Result<(), ProgramError> {
    // The second is tried whatever comes of the first.
    let first = IPV4.take_down();
    IPV6.take_down().and(first)
}

pub(super) fn there() -> Result<There, ProgramError> {
    let ours = IPV4.ours()?;
    Ok(match (ours.chains.is_empty(), ours.jumps.first()) {
        (true, None) => There::Nothing,
        (false, Some(jump)) => There::Rules(jump.digest),
        (true, Some(_)) | (false, None) => There::Remains,
    })
}

/// What is ours in what `iptables-save` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ours {
    chains: Vec<&'static str>,
    jumps: Vec<Jump>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    from: &'static str,
    to: &'static str,
    digest: Digest,
}

impl Ours {
    pub(super) fn in_text(saved: &str) -> Self {
        let mut ours = Self::default();
        for chain in [INBOUND, OUTBOUND] {
            let (declared, jumps) = (format!(":{} ", chain.name), format!("-A {} ", chain.from));
            for line in saved.lines() {
                if line.starts_with(&declared) {
                    ours.chains.push(chain.name);
                }
                let digest = line.strip_prefix(&jumps).and_then(|rule| jump_to(rule, chain.name));
                ours.jumps.extend(digest.map(|digest| Jump { from: chain.from, to: chain.name, digest }));
            }
        }
        ours
    }
}

/// The digest of a rule that is a jump of ours to `chain`.
fn jump_to(rule: &str, chain: &str) -> Option<Digest> {
    let rule = rule.strip_prefix("-p tcp -m comment --comment ")?;
    let name = rule.strip_suffix(chain)?.strip_suffix(" -j ")?;
    Digest::named(name.trim_matches('"'))
}

impl Family {
    fn put(self, rules: &Rules) -> Result<(), ProgramError> {
        let ours = self.ours()?;
        program::run(self.restore, &["--noflush", "--wait", "5"], &self.script(rules, &ours)).map(drop)
    }

    fn take_down(self) -> Result<(), ProgramError> {
        if program::find(self.save).is_none() {
            return Ok(());
        }
        let ours = self.ours()?;
        if ours == Ours::default() {
            return Ok(());
        }
        program::run(self.restore, &["--noflush", "--wait", "5"], &undoing(&ours)).map(drop)
    }

    fn ours(self) -> Result<Ours, ProgramError> {
        program::run(self.save, &["-t", "nat"], "").map(|saved| Ours::in_text(&saved))
    }

    /// All that makes the chains what they should be, where `ours` is there.
    pub(super) fn script(self, rules: &Rules, ours: &Ours) -> String {
        let mut text = "*nat\n".to_owned();
        let mut say = |line: String| writeln!(text, "{line}").expect("text has room for more");
        for chain in [INBOUND, OUTBOUND] {
            say(format!(":{} - [0:0]", chain.name));
        }
        for jump in &ours.jumps {
            say(jump.line("-D"));
        }
        let jump = |chain: &Chain| Jump { from: chain.from, to: chain.name, digest: rules.digest() }.line("-A");
        say("-A ADUMBRA_IN -i lo -j RETURN".to_owned());
        say("-A ADUMBRA_IN -m addrtype ! --dst-type LOCAL -j RETURN".to_owned());
        let except: Vec<u16> = rules.except.iter().copied().collect();
        for ports in except.chunks(PORTS_MOST) {
            say(format!("-A ADUMBRA_IN -p tcp -m multiport --dports {} -j RETURN", listed(ports)));
        }
        redirect("ADUMBRA_IN", &rules.ports, rules.inbound).into_iter().for_each(&mut say);
        say(jump(&INBOUND));
        let Some(port) = rules.outbound else {
            return text + "-X ADUMBRA_OUT\nCOMMIT\n";
        };
        if let Some(user) = rules.user {
            say(format!("-A ADUMBRA_OUT -m owner --uid-owner {user} -j RETURN"));
        }
        if let Some(mark) = rules.mark {
            say(format!("-A ADUMBRA_OUT -m mark --mark {mark} -j RETURN"));
        }
        say("-A ADUMBRA_OUT -o lo -j RETURN".to_owned());
        say("-A ADUMBRA_OUT -m addrtype --dst-type LOCAL -j RETURN".to_owned());
        for network in rules.except_networks.iter().filter(|network| network.is_ipv4() == self.is_ipv4) {
            say(format!("-A ADUMBRA_OUT -d {network} -j RETURN"));
        }
        redirect("ADUMBRA_OUT", &rules.outbound_ports, port).into_iter().for_each(&mut say);
        say(jump(&OUTBOUND));
        text + "COMMIT\n"
    }
}

/// All that takes `ours` away.
pub(super) fn undoing(ours: &Ours) -> String {
    let mut text = "*nat\n".to_owned();
    for jump in &ours.jumps {
        text += &(jump.line("-D") + "\n");
    }
    // To name a chain empties it.
    for chain in &ours.chains {
        text += &format!(":{chain} - [0:0]\n");
    }
    for chain in &ours.chains {
        text += &format!("-X {chain}\n");
    }
    text + "COMMIT\n"
}

fn redirect(chain: &str, ports: &Ports, to: u16) -> Vec<String> {
    match ports {
        Ports::All => vec![format!("-A {chain} -p tcp -j REDIRECT --to-ports {to}")],
        Ports::These(ports) => {
            let rule = |ports: &[u16]| {
                format!("-A {chain} -p tcp -m multiport --dports {} -j REDIRECT --to-ports {to}", listed(ports))
            };
            ports.chunks(PORTS_MOST).map(rule).collect()
        }
    }
}

impl Jump {
    fn line(&self, verb: &str) -> String {
        format!("{verb} {} -p tcp -m comment --comment {} -j {}", self.from, self.digest, self.to)
    }
}
