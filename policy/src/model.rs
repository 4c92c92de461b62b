//! The model: one pooled tree over log time, and per class and network a shrunk log ratio.
//!
//! All networks teach one tree, in *home-equivalent* seconds: what the job would have taken at home. What tells a network
//! from home is one number per class, the log of how many times as long it takes there. So a network that has run few jobs
//! of a class is predicted from all of them, and one label on each side of the same job says more than a hundred unpaired
//! ones (POLICY-STUDY, finding 3).
//!
//! A model is made by [`crate::learn`] and checked whole when it is made; scoring it cannot fail, allocate or lock. It does
//! not know load or distance: waiting and moving are computed, not learned.

pub mod describe;
pub mod features;
pub mod file;
pub mod tree;

use crate::job::Job;
use crate::prediction::Prediction;
use crate::units::{ClassId, NetworkId, PerNetwork};

use features::{Features, features};
use tree::Tree;

/// A checked model. Scoring it cannot fail, allocate or lock.
#[derive(Clone, Debug)]
pub struct Model {
    version: u64,
    rows: usize,
    learned_until: u64,
    home: NetworkId,
    tree: Tree,
    /// Sorted by class.
    classes: Vec<ClassFacts>,
    /// What is believed of a class that no label was seen of.
    stranger: ClassFacts,
    calibration: Calibration,
}

/// What the model knows of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassFacts {
    pub(crate) class: ClassId,
    /// The class as a feature: its mean log time; NaN if it is not known.
    pub(crate) code: f32,
    pub(crate) ratios: PerNetwork<Ratio>,
}

/// How much longer jobs take on a network than at home.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio {
    /// The logarithm of the ratio; 0 at home.
    pub log: f64,
    /// Standard deviation of what is not known about it for one job.
    pub doubt: f64,
    /// Labels it was learned from, on this network; pairs included.
    pub labels: u32,
    /// Of these, pairs: both sides of one job.
    pub pairs: u32,
}

impl Ratio {
    /// Of a network that nothing is known of: taken to be like home, and doubted as one is before any label.
    pub(crate) fn unknown() -> Self {
        Self { log: 0.0, doubt: crate::learn::doubt_before_labels(), labels: 0, pairs: 0 }
    }
}

/// How the model did on the outcomes that were held back from its growth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Outcomes it was judged on.
    pub outcomes: usize,
    /// Mean absolute error of log time.
    pub log_error: f64,
    /// The share of them within the 80 % interval, before the correction.
    pub covered_before: f64,
    /// By how much the interval was widened at each end, in log time; negative if it was narrowed.
    pub widened: f64,
}

/// Sizes and ages, for `/status`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Nodes of the tree, leaves included.
    pub nodes: usize,
    /// Leaves of the tree.
    pub leaves: usize,
    /// The longest path from the root to a leaf.
    pub depth: usize,
    /// Classes it has labels of.
    pub classes: usize,
}

/// Everything a model is made of, for [`crate::learn`].
pub(crate) struct Parts {
    pub(crate) version: u64,
    pub(crate) rows: usize,
    pub(crate) learned_until: u64,
    pub(crate) home: NetworkId,
    pub(crate) tree: Tree,
    pub(crate) classes: Vec<ClassFacts>,
    pub(crate) stranger: PerNetwork<Ratio>,
    pub(crate) calibration: Calibration,
}

impl Model {
    /// Puts a model together.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { version, rows, learned_until, home, tree, mut classes, stranger, calibration } = parts;
        classes.sort_by_key(|facts| facts.class);
        let stranger = ClassFacts { class: ClassId(u16::MAX), code: f32::NAN, ratios: stranger };
        Self { version, rows, learned_until, home, tree, classes, stranger, calibration }
    }

    /// The same model, told apart by another number: whoever keeps several counts them.
    #[must_use]
    pub fn renumbered(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// The same model, to be judged on what came after row number `number` of the window only: what it has not seen, or what
    /// another was shown to be worse on.
    #[must_use]
    pub fn seen_until(self, number: u64) -> Self {
        Self { learned_until: number, ..self }
    }

    /// Whether `other` says the same of every job: it was grown from the same labels, or might as well have been.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let facts = |a: &ClassFacts, b: &ClassFacts| {
            a.class == b.class && a.code.to_bits() == b.code.to_bits() && a.ratios == b.ratios
        };
        self.home == other.home
            && self.tree == other.tree
            && self.classes.len() == other.classes.len()
            && self.classes.iter().zip(&other.classes).all(|(a, b)| facts(a, b))
            && facts(&self.stranger, &other.stranger)
    }

    /// The same model with other classes; they are in order.
    fn with_classes(&self, classes: Vec<ClassFacts>) -> Self {
        Self { classes, tree: self.tree.clone(), ..*self }
    }

    /// Counts up with each model put in force.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many labels it was grown from.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number, counted by the window, of the newest label it has seen: the window's own less this is its age in labels.
    #[must_use]
    pub fn learned_until(&self) -> u64 {
        self.learned_until
    }

    /// How it did on the newest outcomes.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Size {
        let shape = self.tree.shape();
        Size { nodes: shape.len(), leaves: shape.leaves(), depth: shape.depth(), classes: self.classes.len() }
    }

    /// The same model with the intervals that its leaves show, uncorrected: what a bench compares with, to say what the
    /// correction is worth.
    #[must_use]
    pub fn uncalibrated(&self) -> Self {
        let tree = self.tree.narrowed(self.calibration.widened);
        Self { tree, calibration: Calibration { widened: 0.0, ..self.calibration }, ..self.clone() }
    }

    /// What `job` would take on `network`, from its start there.
    #[must_use]
    pub fn predict(&self, job: &Job, network: NetworkId) -> Prediction {
        let facts = self.facts(job.class);
        let leaf = self.tree.leaf(&features(job, facts.code));
        scaled(leaf, self.ratio_in(facts, network))
    }

    /// What `job` would take on each network of `networks`: as [`Model::predict`], but the tree is walked once.
    #[must_use]
    pub fn predict_each(
        &self,
        job: &Job,
        networks: impl IntoIterator<Item = NetworkId>,
    ) -> PerNetwork<Option<Prediction>> {
        let facts = self.facts(job.class);
        let leaf = self.tree.leaf(&features(job, facts.code));
        let mut predictions = PerNetwork::default();
        for network in networks {
            predictions[network] = Some(scaled(leaf, self.ratio_in(facts, network)));
        }
        predictions
    }

    /// How much longer jobs of this class take on `network` than at home.
    #[must_use]
    pub fn ratio(&self, class: ClassId, network: NetworkId) -> Ratio {
        self.ratio_in(self.facts(class), network)
    }

    /// What is known of a class on each network.
    #[must_use]
    pub(crate) fn ratios(&self, class: ClassId) -> &PerNetwork<Ratio> {
        &self.facts(class).ratios
    }

    /// Labels of a class, on all networks.
    #[must_use]
    pub fn labels(&self, class: ClassId) -> u32 {
        self.ratios(class).0.iter().map(|ratio| ratio.labels).fold(0, u32::saturating_add)
    }

    /// The path that a job takes through the tree, for people: one line a node, one for the leaf, one for each network that
    /// the job's class has labels of.
    #[must_use]
    pub fn path(&self, job: &Job) -> Vec<String> {
        let facts = self.facts(job.class);
        let row: Features = features(job, facts.code);
        let mut lines = self.tree.shape().path(&row);
        lines.push(self.tree.leaf(&row).to_string());
        for network in (0..facts.ratios.0.len()).filter_map(NetworkId::new) {
            let ratio = facts.ratios[network];
            if ratio.labels > 0 && network != self.home {
                lines.push(format!(
                    "network {}: takes {:.2} times as long as home, within a factor of {:.2}; {} labels, {} of them paired",
                    network.index(),
                    ratio.log.exp(),
                    ratio.doubt.exp(),
                    ratio.labels,
                    ratio.pairs,
                ));
            }
        }
        lines
    }

    fn facts(&self, class: ClassId) -> &ClassFacts {
        match self.classes.binary_search_by_key(&class, |facts| facts.class) {
            Ok(place) => &self.classes[place],
            Err(_) => &self.stranger,
        }
    }

    fn ratio_in(&self, facts: &ClassFacts, network: NetworkId) -> Ratio {
        if network == self.home {
            Ratio { log: 0.0, doubt: 0.0, ..facts.ratios[network] }
        } else {
            facts.ratios[network]
        }
    }
}

/// A leaf's home-equivalent figures on a network. CPU seconds follow time: a slower machine spends more of them on the
/// same work; memory and answer do not.
fn scaled(leaf: &tree::Leaf, ratio: Ratio) -> Prediction {
    let factor = ratio.log.exp();
    Prediction {
        mean_s: leaf.mean_s * factor,
        quantiles_s: leaf.quantiles_s.map(|quantile| quantile * factor),
        doubt: ratio.doubt,
        cpu_s: leaf.cpu_s.map(|cpu_s| cpu_s * factor),
        memory_bytes: leaf.memory_bytes,
        response_bytes: leaf.response_bytes,
    }
}
