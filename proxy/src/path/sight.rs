//! What is known of the networks at this moment, for one job.

use policy::{Job, PerNetwork, View};

use crate::generation::{Generation, Shared};

/// What is known of the networks now.
pub(crate) fn view(shared: &Shared, generation: &Generation, job: &Job, now_s: f64) -> View {
    let bytes = job.body_bytes.unwrap_or(0);
    let mut state = PerNetwork::default();
    for network in generation.networks_in_force() {
        state[network.id] = network.view(bytes, Some(job.draw), now_s);
        state[network.id].spend_left = shared.purses.left(network.id, network.config.spend);
        state[network.id].correction = shared.oracle.correction(job.class, network.id);
    }
    View {
        home: generation.config.home,
        networks: generation.config.network_ids().collect(),
        state,
        pricing: generation.config.pricing,
        shadowing: generation.config.shadow.limits,
    }
}
