//! By nftables: a table of our own for both families, made and unmade in one transaction.

use config::value::Ports;

use super::program::{self, ProgramError};
use super::{Digest, Rules, There, listed};

const NFT: &str = "nft";

pub(super) fn is_here() -> bool {
    program::find(NFT).is_some()
}

pub(super) fn up(rules: &Rules) -> Result<(), ProgramError> {
    program::run(NFT, &["-f", "-"], &script(rules)).map(drop)
}

pub(super) fn down() -> Result<(), ProgramError> {
    // To add what is there already is nothing, so this never fails for what is not there.
    program::run(NFT, &["-f", "-"], "add table inet adumbra\ndelete table inet adumbra\n").map(drop)
}

pub(super) fn there() -> Result<There, ProgramError> {
    let tables = program::run(NFT, &["list", "tables", "inet"], "")?;
    if !tables.lines().any(|line| line.trim() == "table inet adumbra") {
        return Ok(There::Nothing);
    }
    let table = program::run(NFT, &["list", "table", "inet", "adumbra"], "")?;
    let named = table.lines().find_map(|line| line.trim().strip_prefix("comment \"")?.strip_suffix('"'));
    Ok(named.and_then(Digest::named).map_or(There::Remains, There::Rules))
}

/// All that makes the table what it should be, whatever it was.
pub(super) fn script(rules: &Rules) -> String {
    let mut text = format!(
        "add table inet adumbra\ndelete table inet adumbra\ntable inet adumbra {{\n\tcomment \"{}\"\n",
        rules.digest()
    );
    let mut chain = |name: &str, hook: &str, lines: &[String]| {
        text += &format!("\tchain {name} {{\n\t\ttype nat hook {hook} priority -100; policy accept;\n");
        for line in lines.iter().filter(|line| !line.is_empty()) {
            text += &format!("\t\t{line}\n");
        }
        text += "\t}\n";
    };
    let only_ipv4 = || if rules.ipv6 { String::new() } else { "meta nfproto ipv6 return".to_owned() };
    let inbound = [
        only_ipv4(),
        "iifname \"lo\" return".to_owned(),
        "fib daddr type != local return".to_owned(),
        let_through(&rules.except.iter().copied().collect::<Vec<_>>()),
        redirect(&rules.ports, rules.inbound),
    ];
    chain("inbound", "prerouting", &inbound);
    if let Some(port) = rules.outbound {
        let mut outbound = vec![only_ipv4()];
        outbound.extend(rules.user.map(|user| format!("meta skuid {user} return")));
        outbound.extend(rules.mark.map(|mark| format!("meta mark {mark} return")));
        outbound.push("oifname \"lo\" return".to_owned());
        outbound.push("fib daddr type local return".to_owned());
        for (family, is_ipv4) in [("ip", true), ("ip6", false)] {
            let of_family: Vec<_> = rules.except_networks.iter().filter(|net| net.is_ipv4() == is_ipv4).collect();
            // One rule each: a set would have to be told how to take networks that lie within others.
            outbound.extend(of_family.iter().map(|network| format!("{family} daddr {network} return")));
        }
        outbound.push(redirect(&rules.outbound_ports, port));
        chain("outbound", "output", &outbound);
    }
    text + "}\n"
}

fn let_through(ports: &[u16]) -> String {
    if ports.is_empty() { String::new() } else { format!("tcp dport {{ {} }} return", listed(ports)) }
}

fn redirect(ports: &Ports, to: u16) -> String {
    match ports {
        Ports::All => format!("meta l4proto tcp redirect to :{to}"),
        Ports::These(ports) => format!("tcp dport {{ {} }} redirect to :{to}", listed(ports)),
    }
}
