//! `[listen.intercept]`: what is intercepted. All of it ends in rules of the kernel's, so all of it is numbers by now.

use super::form::{FAIL, FLAG, LISTENER, LONG, MARK, PORT, PORTS, PREFIX, USER};
use super::report::Placed;
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Config, Intercept};

const FIXED: &str = "A change needs a restart, and then `adumbra intercept up`.";

pub(super) fn intercept(listen: &mut Table<'_>, previous: Option<&Config>) -> Option<Intercept> {
    let mut table = listen.maybe_table(
        "intercept",
        "Connections that rules of the kernel's bring here, which `adumbra intercept` puts up and takes down.",
    )?;
    let inbound = table.required(
        "inbound",
        &LISTENER.like("\"[::]:15006\""),
        "Where connections to the service are brought to. `[::]` takes both families; rules bring them to this host's \
         addresses, not to loopback.",
    );
    let outbound = table.maybe(
        "outbound",
        &LISTENER.like("\"[::]:15001\""),
        "Where connections are brought to that the service makes. Plain HTTP to one of `data.origins` is answered as at \
         `egress`; all else passes untouched.",
    );
    let ports = table.or("ports", &PORTS, "'all'", "Ports of this host to intercept.");
    let except_ports = ports_of(&mut table);
    let outbound_ports =
        table.or("outbound_ports", &PORTS, "[80]", "Ports that the service connects to, to intercept.");
    let except_networks = table.list("except_networks", &PREFIX, "Where the service's connections go untouched.");
    let user = table.maybe("user", &USER, "The user that the sidecar runs as: its connections are not intercepted.");
    let mark = table.maybe(
        "mark",
        &MARK,
        "What the sidecar's own connections are marked with, which are not intercepted. Needs CAP_NET_ADMIN.",
    );
    let fail = table.or(
        "fail",
        &FAIL,
        "'closed'",
        "When the sidecar is gone: `closed`: rules stay, and what they intercept is refused. `open`: they go, if \
         `adumbra intercept watch` runs.",
    );
    let silence = table.or(
        "silence",
        &LONG,
        "'100ms'",
        "How long a client may send nothing before the service is connected to, for some protocols have it speak first.",
    );
    let ipv6 = table.or("ipv6", &FLAG, "true", "Whether IPv6 is intercepted, too.");
    if outbound.is_some() && user.is_none() && mark.is_none() && !table.is_bad("user") && !table.is_bad("mark") {
        table.fault("outbound", Fault::OwnTraffic);
    }
    let before = previous.and_then(|previous| previous.listen.intercept.as_ref());
    table.fixed("inbound", FIXED, before.is_some_and(|before| Some(before.inbound) != inbound));
    table.fixed("outbound", FIXED, before.is_some_and(|before| before.outbound != outbound));
    table.fixed("mark", FIXED, before.is_some_and(|before| before.mark != mark));
    Some(Intercept {
        inbound: inbound?,
        outbound,
        ports,
        except_ports,
        outbound_ports,
        except_networks: values(except_networks),
        user,
        mark,
        fail,
        silence,
        ipv6,
    })
}

/// What is never intercepted: without a word, the operator's own way in.
fn ports_of(table: &mut Table<'_>) -> Vec<u16> {
    let except = table.list(
        "except_ports",
        &PORT,
        "Ports of this host never to intercept. Left out: 22, so that nobody locks themselves out; the sidecar's own \
         listeners never are.",
    );
    let mut ports = except.map_or_else(|| vec![22], |except| except.into_iter().map(|port| port.value).collect());
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn values<T: Ord>(placed: Option<Vec<Placed<T>>>) -> Vec<T> {
    let mut values: Vec<T> = placed.unwrap_or_default().into_iter().map(|placed| placed.value).collect();
    values.sort_unstable();
    values.dedup();
    values
}
