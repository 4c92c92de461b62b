//! Several draws from one.
//!
//! A job brings one uniform draw. If the same number decided whether it explores *and* whether it is sampled, the two would
//! go together, and what is learned from one would be biased by the other. So each question hashes the draw with its own
//! name.

use crate::job::Job;

/// What is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    /// Whether to explore.
    Explore = 1,
    /// Which network.
    ExploreWhere = 2,
    /// Whether to sample.
    Sample = 3,
    /// Which network.
    SampleWhere = 4,
    /// Whether it is worth exploring at its price.
    ExploreCost = 5,
    /// Which arm has the block that the job begins.
    Guard = 6,
}

/// A draw from 0..1 for this question; independent of the others, the same for the same job.
pub(crate) fn draw(job: &Job, of: Draw) -> f64 {
    mixed(job.draw, of as u64)
}

/// A draw from 0..1 made of another, for the question of this number. Those of [`Draw`] are below 64.
pub(crate) fn mixed(draw: f64, of: u64) -> f64 {
    // SplitMix64's finisher: every input bit moves every output bit.
    let mut z = draw.to_bits().wrapping_add(of.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;

    #[test]
    fn draws_are_uniform_and_do_not_go_together() {
        let n = 10_000;
        let (mut low, mut both) = (0, 0);
        for i in 0..n {
            let job = Job { draw: f64::from(i) / f64::from(n), ..job() };
            let (a, b) = (draw(&job, Draw::Explore), draw(&job, Draw::Sample));
            assert!((0.0..1.0).contains(&a) && (0.0..1.0).contains(&b));
            low += i32::from(a < 0.1);
            both += i32::from(a < 0.1 && b < 0.1);
        }
        assert!((900..1100).contains(&low), "{low}");
        assert!((60..140).contains(&both), "{both}");
    }
}
