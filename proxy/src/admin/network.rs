//! How the networks are now.

use config::value::Kind;
use policy::SpendCaps;
use policy::spend::Spent;

use crate::generation::Generation;
use crate::lane::Workers;
use crate::spend::Purses;

/// How a network is now, as the admin port shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NetworkStatus {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// What stands there.
    pub(crate) kind: Kind,
    /// Whether jobs may be sent there.
    pub(crate) healthy: bool,
    /// Jobs in flight there, as far as this sidecar knows.
    pub(crate) in_flight: u32,
    /// Jobs it can run at once; 0 if that is not known.
    pub(crate) capacity: u32,
    /// How long a job sent now would wait before it starts.
    pub(crate) waiting_s: f64,
    /// Measured round trip; 0 before the first.
    pub(crate) rtt_s: f64,
    /// Measured rate of the link; 0 before the first.
    pub(crate) link_bytes_per_s: f64,
    /// The workers that run shadows there, where we keep them.
    pub(crate) workers: Option<Workers>,
    /// What was spent there, and may be.
    pub(crate) spent: Spent,
    pub(crate) caps: SpendCaps,
    /// Its addresses.
    pub(crate) endpoints: Vec<EndpointStatus>,
}

impl NetworkStatus {
    /// What may still be spent there; infinite without a cap.
    pub(crate) fn spend_left(&self) -> f64 {
        (self.caps.per_hour - self.spent.hour).min(self.caps.per_day - self.spent.day) - self.spent.committed
    }

    /// Whether that is nothing.
    pub(crate) fn is_capped(&self) -> bool {
        self.spend_left() <= 0.0
    }
}

/// How one address of a network is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointStatus {
    pub(crate) address: String,
    pub(crate) healthy: bool,
    pub(crate) in_flight: u32,
}

/// The same, and what was spent.
pub(crate) fn with_money(generation: &Generation, purses: &Purses) -> Vec<NetworkStatus> {
    let mut statuses = statuses(generation);
    for status in &mut statuses {
        if let Some(network) = generation.networks.iter().find(|network| network.name() == status.name) {
            status.spent = purses.spent(network.id);
        }
    }
    statuses
}

/// How every network of a generation is now.
pub(crate) fn statuses(generation: &Generation) -> Vec<NetworkStatus> {
    generation.networks_in_force().map(|network| network.status()).collect()
}
