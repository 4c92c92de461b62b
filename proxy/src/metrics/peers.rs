//! What is counted of certificates: handshakes between sidecars, connections that were cut, and files taken up.

use std::time::{SystemTime, UNIX_EPOCH};

use certs::{Reason, Role};
use policy::{MAX_NETWORKS, NetworkId};
use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::words::{Certificate, Reload, Side, Word};

#[derive(Debug)]
pub(super) struct PeerCounters {
    accepted: Family<1>,
    refused: Family<2>,
    open: Family<1>,
    cut: Family<1>,
    expiry: Family<1>,
    reloads: Family<2>,
}

impl PeerCounters {
    pub(super) fn new(network: &Axis) -> Self {
        let mut from = network.clone();
        from.values.push("other".to_owned());
        let certificate = Axis::of::<Certificate>("certificate");
        Self {
            accepted: Family::counters(
                Head::new(
                    "adumbra_peer_connections_accepted",
                    "Connections of sidecars that proved who they are, by network",
                ),
                [&from],
            ),
            refused: Family::counters(
                Head::new(
                    "adumbra_peer_handshakes_refused",
                    "TLS handshakes with sidecars that failed, by side and reason",
                ),
                [&Axis::of::<Side>("side"), &Axis::of::<Reason>("reason")],
            ),
            open: Family::gauges(
                Head::new(
                    "adumbra_peer_connections_open",
                    "Connections with sidecars by mutual TLS that are open, by side",
                ),
                [&Axis::of::<Side>("side")],
            ),
            cut: Family::counters(
                Head::new(
                    "adumbra_peer_connections_cut",
                    "Open connections that were cut, for the other side is believed no longer",
                ),
                [&Axis::of::<Reason>("reason")],
            ),
            expiry: Family::gauges(
                Head::in_unit(
                    "adumbra_certificate_expiry_timestamp",
                    Unit::Seconds,
                    "When a certificate expires, or the first of the trust bundle and its revocation lists; seconds since 1970, 0 without one",
                ),
                [&certificate],
            ),
            reloads: Family::counters(
                Head::new("adumbra_certificate_reloads", "Changes of certificate files, by whether they were taken up"),
                [&certificate, &Axis::of::<Reload>("result")],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 6] {
        [&self.accepted, &self.refused, &self.open, &self.cut, &self.expiry, &self.reloads]
    }
}

impl Metrics {
    /// A sidecar has proved who it is: one of a network that we know, or of none.
    pub(crate) fn peer_accepted(&self, network: Option<NetworkId>) {
        self.peers.accepted.add([network.map_or(MAX_NETWORKS, NetworkId::index)], 1);
    }

    /// A handshake with a sidecar failed.
    pub(crate) fn peer_handshake_refused(&self, side: Side, reason: Reason) {
        self.peers.refused.add([side.place(), reason.place()], 1);
    }

    /// A connection with a sidecar in this role is open.
    pub(crate) fn peer_connection_opened(&self, role: Role) {
        self.peers.open.add([Side::of(role).place()], 1);
    }

    /// A connection with a sidecar in this role is gone.
    pub(crate) fn peer_connection_closed(&self, role: Role) {
        self.peers.open.subtract([Side::of(role).place()], 1);
    }

    /// A connection with a sidecar was cut.
    pub(crate) fn peer_connection_cut(&self, reason: Reason) {
        self.peers.cut.add([reason.place()], 1);
    }

    /// Something is in force until `new`, in the place of what would have been until `old`.
    pub(crate) fn certificate_expires(&self, which: Certificate, old: Option<SystemTime>, new: Option<SystemTime>) {
        let seconds = |moment: Option<SystemTime>| {
            moment.map_or(0, |moment| moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
        };
        self.peers.expiry.add([which.place()], seconds(new));
        self.peers.expiry.subtract([which.place()], seconds(old));
    }

    /// Certificate files have changed.
    pub(crate) fn certificate_reloaded(&self, which: Certificate, result: Reload) {
        self.peers.reloads.add([which.place(), result.place()], 1);
    }
}

impl Side {
    /// On which side of a connection we are, if the other sidecar has this role.
    fn of(role: Role) -> Self {
        match role {
            Role::Client => Self::Accept,
            Role::Server => Self::Connect,
        }
    }
}
