//! What the labels of a class have taught already, and what is left to find out.
//!
//! Exploring and sampling cost every job they touch, and teach only where something is not known. Most of what could be learned
//! is learned for nothing: at any load worth the name both networks get jobs, and each is a label. So the shares that the
//! configuration allows are *floors* on what a network is labelled with, and not a tax on every job: on the traces of the regret
//! bench the tax was half of the regret of the classes with one ratio.

use crate::cost::known;
use crate::model::{Model, Ratio};
use crate::units::{ClassId, NetworkId, PerNetwork};
use crate::view::ShadowLimits;

/// Labels of a class on one network from which on its ratio is known as well as it has to be: to a tenth or so.
const LABELS_ENOUGH: f64 = 20.0;
/// Pairs of a class from which on it is known how much the ratio differs from job to job: to a sixth of it.
const PAIRS_ENOUGH: f64 = 20.0;
/// A class of which so many jobs should have been sampled, and that has given not one pair, shows nothing in the time that a
/// shadow has. Where nothing is sampled, nothing can be said…
const OPAQUE_AFTER_SAMPLES: f64 = 4.0;
/// …and of one that shows nothing only this share of what it would be sampled is, for it may begin to.
const OPAQUE_SAMPLED: f64 = 0.1;

/// What is known of a job's class, and how much of its jobs may be tried out and sampled at the most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taught<'a> {
    ratios: Option<&'a PerNetwork<Ratio>>,
    labels: f64,
    pairs: f64,
    explored: f64,
    sampled: f64,
}

impl<'a> Taught<'a> {
    pub(super) fn of(class: ClassId, model: Option<&'a Model>, limits: &ShadowLimits) -> Self {
        let ratios = model.map(|model| model.ratios(class));
        let sum = |of: fn(&Ratio) -> u32| {
            ratios.map_or(0.0, |ratios| ratios.0.iter().map(|ratio| f64::from(of(ratio))).sum())
        };
        let (labels, pairs) = (sum(|ratio| ratio.labels), sum(|ratio| ratio.pairs));
        let (explored, sampled) = (known(limits.explore_share), known(limits.sample_share));
        Self { ratios, labels, pairs, explored, sampled }
    }

    /// Whether `network` may be tried out with a job of this class.
    pub(super) fn is_worth_exploring(self, network: NetworkId) -> bool {
        let there = self.ratios.map_or(0.0, |ratios| f64::from(ratios[network].labels));
        there < LABELS_ENOUGH.max(self.explored * self.labels)
    }

    /// The share of its jobs to sample: the less, the fewer of its samples have come to a pair, for a pair then costs the more.
    pub(super) fn share_to_sample(self) -> f64 {
        if self.pairs >= PAIRS_ENOUGH.max(self.sampled * self.labels) {
            return 0.0;
        }
        let samples = self.sampled * self.labels;
        let teach = (self.pairs + OPAQUE_AFTER_SAMPLES) / (samples + OPAQUE_AFTER_SAMPLES);
        self.sampled * teach.clamp(OPAQUE_SAMPLED, 1.0)
    }

    /// Whether the class's shadows are known to show nothing.
    pub(super) fn is_opaque(self) -> bool {
        self.pairs == 0.0 && self.sampled * self.labels >= OPAQUE_AFTER_SAMPLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Row, Window, refit};
    use crate::testing::{PRIVATE, took, view};

    #[test]
    fn a_class_is_opaque_only_where_samples_should_have_shown_something() {
        let check = |labels: u64, sample_share: f64, expected: bool| {
            let mut window = Window::new(1000);
            for pair in 0..labels {
                window.push(Row { pair, ..took(0, PRIVATE, 4.0) }).expect("a label that can be");
            }
            let model = refit(&window, PRIVATE, None).expect("enough labels");
            let limits = ShadowLimits { sample_share, ..view().shadowing };
            let taught = Taught::of(ClassId(0), Some(&model), &limits);
            assert_eq!(taught.is_opaque(), expected, "{labels} labels, {sample_share}");
        };
        check(300, 0.02, true);
        check(100, 0.02, false);
        check(300, 0.0, false);
        check(300, f64::NAN, false);
    }
}
