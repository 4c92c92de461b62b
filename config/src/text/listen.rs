//! `[listen]`: the sockets.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::form::{FILE, LISTENER, LONG};
use super::intercept;
use super::report::{Placed, Report};
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Config, Endpoint, Intercept, Listen, TlsFiles};

/// The listeners that could be read, for whatever must not be one of them.
pub(super) struct Listeners {
    jobs: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    peers: Option<SocketAddr>,
    egress: Option<SocketAddr>,
    admin: SocketAddr,
    admin_token: Option<PathBuf>,
    intercept: Option<Intercept>,
    /// Whether sidecars prove who they are.
    mutual: bool,
}

pub(super) fn listen(root: &mut Table<'_>, previous: Option<&Config>) -> Listeners {
    let mutual = root.has("identity") || root.report().describes();
    let mut table = root.table("listen", "The sockets. Port 0 takes any free port.");
    let jobs = table.required("jobs", &LISTENER, "Jobs.");
    let tls = tls(&mut table);
    let peers = table.maybe(
        "peers",
        &LISTENER.like("\"127.0.0.1:8081\""),
        "Other sidecars: by mutual TLS if there is an `[identity]`, else in the clear and only on a loopback address. \
         Without it, no other sidecar sends jobs here.",
    );
    let egress = table.maybe(
        "egress",
        &LISTENER.like("\"127.0.0.1:8082\""),
        "The service's way out to its inputs, which finds there what was warmed.",
    );
    let admin = table.or(
        "admin",
        &LISTENER,
        "'127.0.0.1:9900'",
        "Health, metrics, status, decisions. It shows what jobs ask for, so keep it off networks others can reach.",
    );
    let admin_token = table.maybe(
        "admin_token",
        &FILE.like("\"admin-token\""),
        "A file with a token of at least 16 characters, or several, each in a line of its own. Who sends one in \
         `Authorization: Bearer` may change things through the admin port; without the file, nobody may. It is read whenever \
         a token is shown.",
    );
    if let Some(address) = peers.filter(|address| !mutual && !address.ip().is_loopback()) {
        table.fault("peers", Fault::PeersExposed { address });
    }
    let intercept = intercept::intercept(&mut table, previous);
    if !table.has("intercept") && previous.is_some_and(|previous| previous.listen.intercept.is_some()) {
        // Rules would go on bringing connections to where nobody listens.
        table.fault("intercept", Fault::NeedsRestart { key: "intercept" });
    }
    let listeners = Listeners { jobs, tls, peers, egress, admin, admin_token, intercept, mutual };
    listeners.check_apart(&table);
    listeners
}

fn tls(listen: &mut Table<'_>) -> Option<TlsFiles> {
    let mut table = listen.maybe_table("tls", "TLS for jobs, if they come encrypted.")?;
    let certificate =
        table.required("certificate", &FILE.like("\"cert.pem\""), "The certificate chain, PEM, leaf first.");
    let key = table.required("key", &FILE.like("\"key.pem\""), "The private key, PEM.");
    let reload_every =
        table.or("reload_every", &LONG, "'5s'", "How often the two are looked at; a new pair is for new connections.");
    Some(TlsFiles { certificate: certificate?, key: key?, reload_every })
}

impl Listeners {
    /// Reports that `endpoint` is one of these, if it is: a job sent there would come back.
    pub(super) fn check_endpoint(&self, endpoint: &Placed<Endpoint>, report: &Report) {
        let Ok(ip) = endpoint.value.host.parse() else { return };
        let address = SocketAddr::new(ip, endpoint.value.port);
        if let Some((listener, _)) = self.all().find(|(_, listening)| clash(*listening, address)) {
            report.fault(endpoint, Fault::OwnListener { listener });
        }
    }

    /// Whether sidecars prove who they are.
    pub(super) fn is_mutual(&self) -> bool {
        self.mutual
    }

    /// Whether other sidecars may come.
    pub(super) fn takes_peers(&self) -> bool {
        self.peers.is_some()
    }

    /// What the configuration says, if all of it could be read.
    pub(super) fn finish(self) -> Option<Listen> {
        let Self { jobs, tls, peers, egress, admin, admin_token, intercept, .. } = self;
        Some(Listen { jobs: jobs?, tls, peers, egress, admin, admin_token, intercept })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let intercepted = self.intercept.as_ref();
        let named = [
            ("jobs", self.jobs),
            ("peers", self.peers),
            ("egress", self.egress),
            ("admin", Some(self.admin)),
            ("intercept", intercepted.map(|intercept| intercept.inbound)),
            ("intercept", intercepted.and_then(|intercept| intercept.outbound)),
        ];
        named.into_iter().filter_map(|(name, address)| Some((name, address?)))
    }

    fn check_apart(&self, table: &Table<'_>) {
        let said: Vec<_> = self.all().filter(|(key, _)| !table.is_bad(key)).collect();
        for (at, (key, address)) in said.iter().copied().enumerate() {
            let Some((other, taken)) = said[..at].iter().copied().find(|(_, earlier)| clash(*earlier, address)) else {
                continue;
            };
            // Of the two, the one that somebody wrote is the one to change.
            let ((key, other), address) = if table.has(key) { ((key, other), taken) } else { ((other, key), address) };
            let fault = Fault::ListenersClash { other, address };
            table.report().fault_with(&table.place(key), fault, &table.place(other), "already taken here");
        }
    }
}

/// Whether a connection to one could be taken by the other.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_ip
}
