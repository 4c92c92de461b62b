//! What the labels of a class have taught already, and what is left to find out.
//!
//! Exploring and sampling cost every job they touch, and teach only where something is not known. Most of what could be learned
//! is learned for nothing: at any load worth the name both networks get jobs, and each is a label. So the shares that the
//! configuration allows are *floors* on what a network is labelled with, and not a tax on every job: on the traces of the regret
//! bench the tax was half of the regret of the classes with one ratio.

use crate::job::Job;
use crate::model::Model;
use crate::units::{MAX_NETWORKS, NetworkId};

/// Labels of a class on one network from which on its ratio is known as well as it has to be: to a tenth or so.
const LABELS_ENOUGH: f64 = 20.0;
/// Pairs of a class from which on it is known how much the ratio differs from job to job: to a sixth of it.
const PAIRS_ENOUGH: f64 = 20.0;
/// A class that has given so many labels and not one pair shows nothing in the time that a shadow has…
const OPAQUE_AFTER: f64 = 200.0;
/// …and only this share of what it would be sampled is, for it may begin to.
const OPAQUE_SAMPLED: f64 = 0.1;

/// What is known of a job's class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taught<'a> {
    model: Option<&'a Model>,
    job: &'a Job,
    all: f64,
    pairs: f64,
}

impl<'a> Taught<'a> {
    pub(super) fn of(job: &'a Job, model: Option<&'a Model>) -> Self {
        let networks = (0..MAX_NETWORKS).filter_map(NetworkId::new);
        let (all, pairs) = model.map_or((0, 0), |model| {
            networks.map(|network| model.ratio(job.class, network)).fold((0_u32, 0_u32), |(all, pairs), ratio| {
                (all.saturating_add(ratio.labels), pairs.saturating_add(ratio.pairs))
            })
        });
        Self { model, job, all: f64::from(all), pairs: f64::from(pairs) }
    }

    /// The share of jobs to explore `network` with, of which `allowed` is the most.
    pub(super) fn to_explore(self, network: NetworkId, allowed: f64) -> f64 {
        let labels = self.model.map_or(0.0, |model| f64::from(model.ratio(self.job.class, network).labels));
        if labels < LABELS_ENOUGH.max(allowed * self.all) { allowed } else { 0.0 }
    }

    /// The share of jobs to sample, of which `allowed` is the most.
    pub(super) fn to_sample(self, allowed: f64) -> f64 {
        if self.is_opaque() {
            OPAQUE_SAMPLED * allowed
        } else if self.pairs < PAIRS_ENOUGH.max(allowed * self.all) {
            allowed
        } else {
            0.0
        }
    }

    /// Whether the class's shadows are known to show nothing.
    pub(super) fn is_opaque(&self) -> bool {
        self.all >= OPAQUE_AFTER && self.pairs == 0.0
    }
}
