//! Seeded draws that no library's next version changes: the same jobs in every run of a bench, on every machine.

/// A seeded stream of draws.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// What SplitMix64's state grows by.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// A stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A uniform draw from 0..1.
    pub fn uniform(&mut self) -> f64 {
        let z = mixed(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        unit(z)
    }

    /// A standard normal draw.
    pub fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        normal_of(a, b)
    }
}

/// SplitMix64's next number after this state (Steele, Lea and Flood 2014): every input bit moves every output bit.
pub(crate) fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The number as one from 0..1.
pub(crate) fn unit(z: u64) -> f64 {
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal draw of two uniform ones (Box and Muller 1958).
pub(crate) fn normal_of(a: f64, b: f64) -> f64 {
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}
