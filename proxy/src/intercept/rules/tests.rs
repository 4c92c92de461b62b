//! The scripts, to the letter, and which configurations make none.

use super::iptables::{IPV4, IPV6, Ours, undoing};
use super::*;

fn rules(intercept: &str) -> Result<Rules, Unruly> {
    let text = format!(
        "home = 'h'\nnetworks.h.upstreams = ['http://127.0.0.1:80']\n[listen]\njobs = '0.0.0.0:8080'\n\
         admin = '127.0.0.1:9900'\n[listen.intercept]\n{intercept}"
    );
    Rules::of(&config::parse(&text, "a test's").unwrap_or_else(|errors| panic!("{errors}")))
}

fn sound(intercept: &str) -> Rules {
    rules(intercept).unwrap_or_else(|unruly| panic!("{unruly}"))
}

const BOTH: &str = "inbound = '[::]:15006'\noutbound = '[::]:15001'\nuser = 1337\nmark = 7\nports = [80, 443]\n\
                    outbound_ports = 'all'\nexcept_networks = ['10.0.0.0/8', 'fd00::/8']";

#[test]
fn nftables_is_told_all_of_it_at_once() {
    let rules = sound(BOTH);
    let expected = format!(
        "add table inet adumbra
delete table inet adumbra
table inet adumbra {{
\tcomment \"{}\"
\tchain inbound {{
\t\ttype nat hook prerouting priority -100; policy accept;
\t\tiifname \"lo\" return
\t\tfib daddr type != local return
\t\ttcp dport {{ 22,8080,15001,15006 }} return
\t\ttcp dport {{ 80,443 }} redirect to :15006
\t}}
\tchain outbound {{
\t\ttype nat hook output priority -100; policy accept;
\t\tmeta skuid 1337 return
\t\tmeta mark 7 return
\t\toifname \"lo\" return
\t\tfib daddr type local return
\t\tip daddr 10.0.0.0/8 return
\t\tip6 daddr fd00::/8 return
\t\tmeta l4proto tcp redirect to :15001
\t}}
}}
",
        rules.digest()
    );
    assert_eq!(nftables::script(&rules), expected);
}

#[test]
fn iptables_is_told_the_same_of_each_family() {
    let rules = sound(BOTH);
    let digest = rules.digest();
    let expected = format!(
        "*nat
:ADUMBRA_IN - [0:0]
:ADUMBRA_OUT - [0:0]
-A ADUMBRA_IN -i lo -j RETURN
-A ADUMBRA_IN -m addrtype ! --dst-type LOCAL -j RETURN
-A ADUMBRA_IN -p tcp -m multiport --dports 22,8080,15001,15006 -j RETURN
-A ADUMBRA_IN -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -m comment --comment {digest} -j ADUMBRA_IN
-A ADUMBRA_OUT -m owner --uid-owner 1337 -j RETURN
-A ADUMBRA_OUT -m mark --mark 7 -j RETURN
-A ADUMBRA_OUT -o lo -j RETURN
-A ADUMBRA_OUT -m addrtype --dst-type LOCAL -j RETURN
-A ADUMBRA_OUT -d 10.0.0.0/8 -j RETURN
-A ADUMBRA_OUT -p tcp -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -m comment --comment {digest} -j ADUMBRA_OUT
COMMIT
"
    );
    assert_eq!(IPV4.script(&rules, &Ours::default()), expected);
    assert_eq!(IPV6.script(&rules, &Ours::default()), expected.replace("10.0.0.0/8", "fd00::/8"));
}

#[test]
fn what_is_there_of_ours_is_replaced_and_what_is_not_is_left() {
    let rules = sound("inbound = '[::]:15006'");
    let (now, before) = (rules.digest(), Digest(0xabc));
    let saved = format!(
        "*nat\n:PREROUTING ACCEPT [1:2]\n:ADUMBRA_IN - [0:0]\n:THEIRS - [0:0]\n-A PREROUTING -j THEIRS\n\
         -A PREROUTING -p tcp -m comment --comment {before} -j ADUMBRA_IN\n\
         -A PREROUTING -p tcp -m comment --comment adumbra-1-zz -j ADUMBRA_IN\n\
         -A PREROUTING -p tcp -m comment --comment \"{now}\" -j ADUMBRA_IN\n\
         -A PREROUTING -p udp -m comment --comment {before} -j ADUMBRA_IN\n-A ADUMBRA_IN -i lo -j RETURN\nCOMMIT\n"
    );
    let ours = Ours::in_text(&saved);
    let gone = format!(
        "-D PREROUTING -p tcp -m comment --comment {before} -j ADUMBRA_IN\n\
         -D PREROUTING -p tcp -m comment --comment {now} -j ADUMBRA_IN\n"
    );
    assert!(IPV4.script(&rules, &ours).contains(&gone));
    assert!(IPV4.script(&rules, &ours).ends_with("-X ADUMBRA_OUT\nCOMMIT\n"));
    assert_eq!(undoing(&ours), format!("*nat\n{gone}:ADUMBRA_IN - [0:0]\n-X ADUMBRA_IN\nCOMMIT\n"));
}

#[test]
fn more_ports_than_a_rule_takes_are_several_rules() {
    let rules = sound("inbound = '[::]:15006'\nports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]");
    let script = IPV4.script(&rules, &Ours::default());
    assert!(script.contains("--dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 -j REDIRECT"), "{script}");
    assert!(script.contains("--dports 16 -j REDIRECT"), "{script}");
}

#[test]
fn ipv6_that_is_not_wanted_is_let_through() {
    let rules = sound("inbound = '0.0.0.0:15006'\noutbound = '127.0.0.1:15001'\nuser = 0\nipv6 = false");
    assert_eq!(nftables::script(&rules).matches("meta nfproto ipv6 return").count(), 2);
}

#[test]
fn other_rules_have_another_digest() {
    let one = sound("inbound = '[::]:15006'");
    assert_eq!(one.digest(), sound("inbound = '[::]:15006'\nsilence = '1s'").digest(), "that is no rule");
    assert_ne!(one.digest(), sound("inbound = '[::]:15006'\nexcept_ports = []").digest());
    assert_eq!(Digest::named(&one.digest().to_string()), Some(one.digest()));
    for name in ["adumbra-1-", "adumbra-1-xyz", "adumbra-1-+000000000000001", "adumbra-2-0000000000000001", ""] {
        assert_eq!(Digest::named(name), None, "{name}");
    }
}

#[test]
fn what_would_not_work_makes_no_rules() {
    let check = |intercept: &str, says: &str| {
        let unruly = rules(intercept).expect_err(intercept);
        assert!(unruly.to_string().contains(says), "{unruly}");
    };
    check("inbound = '[::]:0'", "port 0");
    check("inbound = '127.0.0.1:15006'", "`\"[::]:15006\"`");
    check("inbound = '0.0.0.0:15006'", "`\"[::]:15006\"`");
    check("inbound = '0.0.0.0:15006'\nipv6 = false\nports = [8080]", "`listen.jobs`");
    check("inbound = '[::]:15006'\nports = [22]", "`listen.intercept.except_ports`");
    check("inbound = '[::]:15006'\nports = [15006]", "`listen.intercept.inbound`");
    // Nobody elsewhere reaches it there, and the service may have the port on another address.
    assert!(rules("inbound = '[::]:15006'\nports = [9900]").is_ok());
}
