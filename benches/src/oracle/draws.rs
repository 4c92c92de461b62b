//! What a trace cannot say: how much longer classes and jobs take on the other network, and which jobs run where. Drawn from
//! a seed, the same for every run of it.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// How much classes differ in how they take to the other network: the study's.
const CLASS_SIGMA: f64 = 0.4;
/// The share of jobs that run on both networks.
const SAMPLED: f64 = 0.03;

/// What is drawn for one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// How many times as long it takes on each network as the trace says.
    pub(super) slower: [f64; 2],
    /// Whether it runs there.
    pub(super) runs: [bool; 2],
}

/// Draws for jobs of these classes.
pub(super) fn draw(seed: u64, classes: impl Iterator<Item = u16>, two: bool, ratio_sigma: f64) -> Vec<Draw> {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
    let mut ratios = BTreeMap::new();
    let of_job = |class| {
        let of_class = *ratios.entry(class).or_insert_with(|| (CLASS_SIGMA * dice.normal()).exp());
        let slower = [1.0, of_class * (ratio_sigma * dice.normal()).exp()];
        let (side, both) = (dice.uniform() < 0.5, dice.uniform() < SAMPLED);
        let runs = if two { [side || both, !side || both] } else { [true, false] };
        Draw { slower, runs }
    };
    classes.map(of_job).collect()
}
