//! Draws that depend on the seed, the job and the purpose, and on nothing else.
//!
//! Arms ask in different orders and different numbers of times; a stream shared between questions would give each its own
//! world. Here the same question has the same answer in every arm, so that what differs between two arms is what they did.

use crate::dice::{mixed, normal_of, unit};

/// What is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A class's ratio on a network.
    ClassRatio = 1,
    /// A job's ratio beside its class.
    JobRatio,
    /// A run's noise.
    Noise,
    /// Whether a run straggles.
    Straggles,
    /// How unevenly a run shows its work.
    Bend,
    /// Where in its swing a class's ratio is.
    Phase,
    /// The job's own draw, for exploring.
    Explores,
    /// Which sidecar it comes to.
    Sidecar,
    /// Whether a label lies, and how.
    Lie,
    /// A rule's own tossing.
    Rule,
    /// A synthetic job.
    Synthetic,
    /// Which part of a trace is replayed.
    Stretch,
}

/// A uniform draw from 0..1.
#[must_use]
pub fn uniform(seed: u64, of: For, which: u64, part: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in [of as u64, which, part] {
        z = mixed(z ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93).wrapping_add(0x9e37_79b9_7f4a_7c15));
    }
    unit(z)
}

/// A standard normal draw.
#[must_use]
pub fn normal(seed: u64, of: For, which: u64, part: u64) -> f64 {
    normal_of(uniform(seed, of, which, 2 * part), uniform(seed, of, which, 2 * part + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly_and_do_not_go_together() {
        let n = 10_000_u64;
        let draws: Vec<f64> = (0..n).map(|i| uniform(3, For::Noise, i, 0)).collect();
        let others: Vec<f64> = (0..n).map(|i| uniform(3, For::Bend, i, 0)).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let together = draws.iter().zip(&others).filter(|(a, b)| **a < 0.1 && **b < 0.1).count();
        assert!((60..140).contains(&together), "{together}");
        let normals: Vec<f64> = (0..n).map(|i| normal(3, For::Noise, i, 0)).collect();
        let variance = normals.iter().map(|z| z * z).sum::<f64>() / n as f64;
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
