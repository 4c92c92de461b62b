//! `[identity]`: who this sidecar is to others, and who they may be.

use super::form::{FILE, IDENTITY, LONG};
use super::listen::Listeners;
use super::network::Networks;
use super::table::Table;
use crate::errors::Fault;
use crate::value::Identity;

pub(super) fn identity(root: &mut Table<'_>) -> Option<Identity> {
    let mut table = root.maybe_table(
        "identity",
        "Who this sidecar is to others. With it, sidecars come to `listen.peers` by mutual TLS, and by TLS are reached \
         where their endpoint is `https`; each is believed to be exactly the identity that it should be. Files that \
         change are taken up without a restart, and bad ones change nothing.",
    )?;
    let certificate = table.required(
        "certificate",
        &FILE.like("\"identity.pem\""),
        "The certificate chain, PEM, leaf first, with this sidecar's identity as its one URI.",
    );
    let key = table.required("key", &FILE.like("\"identity.key\""), "The private key, PEM.");
    let trust = table.required("trust", &FILE.like("\"ca.pem\""), "The CAs that sign sidecars' certificates, PEM.");
    let crl = table.list(
        "crl",
        &FILE.like("\"crl.pem\""),
        "Revocation lists of those CAs, PEM or DER. Whoever is on one is refused, and cut off where connected.",
    );
    let peers = table.list(
        "peers",
        &IDENTITY.like("\"spiffe://corp.example/private/render\""),
        "Who may send here. Without it: this sidecar's own service on each other network of this file.",
    );
    let reload_every = table.or("reload_every", &LONG, "'5s'", "How often the files are looked at.");
    if table.is_empty_list("peers") {
        table.fault("peers", Fault::NobodyMaySend);
    }
    let peers = peers.map(|peers| {
        for (at, peer) in peers.iter().enumerate() {
            if let Some(earlier) = peers[..at].iter().find(|earlier| earlier.value == peer.value) {
                let fault = Fault::Repeated { given: peer.value.to_string() };
                table.report().fault_with(peer, fault, earlier, "first here");
            }
        }
        peers.into_iter().map(|peer| peer.value).collect()
    });
    let crl = crl.unwrap_or_default().into_iter().map(|file| file.value).collect();
    Some(Identity { certificate: certificate?, key: key?, trust: trust?, crl, peers, reload_every })
}

/// Reports that nobody may send to a listener that waits for sidecars, if that is so.
pub(super) fn check_somebody_may_send(
    root: &Table<'_>,
    identity: Option<&Identity>,
    listeners: &Listeners,
    networks: &Networks<'_>,
) {
    let nobody_is_named = identity.is_some_and(|identity| identity.peers.is_none());
    if nobody_is_named && networks.all().len() < 2 && listeners.takes_peers() {
        root.fault("identity", Fault::NobodyMaySend);
    }
}
