//! What finding inputs warm is worth to the jobs of one class on one network, measured against their own cold runs.
//!
//! A job whose inputs were all there is compared with the mean of the latest jobs that found none. Jobs of a class differ, so
//! one comparison says little and may be less than nothing; what counts is the sum.

/// The weight of a further cold run.
const COLD_WEIGHT: f64 = 0.1;
/// Cold runs before anything is compared with them.
const COLD_LEAST: u32 = 3;

/// What one job has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Inputs that were there, or on their way.
    pub hits: u32,
    /// Inputs that were not.
    pub misses: u32,
    /// Bytes of the former.
    pub hit_bytes: u64,
    /// Bytes of the latter.
    pub missed_bytes: u64,
}

/// What the jobs of one class have gained on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// What they have read together.
    pub read: Read,
    /// Jobs that found all that they read.
    pub warm: u32,
    /// Jobs that found nothing of what they read.
    pub cold: u32,
    /// Seconds that the former took less than the latter do, in sum.
    pub saved_s: f64,
    cold_mean_s: f64,
}

impl Gain {
    /// A job has read this and taken `took_s` seconds. What it has saved, if it can be compared.
    pub fn job(&mut self, read: Read, took_s: f64) -> Option<f64> {
        self.read.hits = self.read.hits.saturating_add(read.hits);
        self.read.misses = self.read.misses.saturating_add(read.misses);
        self.read.hit_bytes = self.read.hit_bytes.saturating_add(read.hit_bytes);
        self.read.missed_bytes = self.read.missed_bytes.saturating_add(read.missed_bytes);
        if !took_s.is_finite() || took_s < 0.0 {
            return None;
        }
        if read.hits == 0 && read.misses > 0 {
            self.cold = self.cold.saturating_add(1);
            // At first a plain mean, so that the first run does not count for ten.
            let weight = COLD_WEIGHT.max(1.0 / f64::from(self.cold));
            self.cold_mean_s += weight * (took_s - self.cold_mean_s);
        }
        if read.hits == 0 || read.misses > 0 {
            return None;
        }
        self.warm = self.warm.saturating_add(1);
        let saved_s = (self.cold >= COLD_LEAST).then_some(self.cold_mean_s - took_s)?;
        self.saved_s += saved_s;
        Some(saved_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_jobs_are_compared_with_cold_ones_and_mixed_ones_with_none() {
        let mut gain = Gain::default();
        let cold = Read { misses: 1, missed_bytes: 10, ..Read::default() };
        let warm = Read { hits: 2, hit_bytes: 20, ..Read::default() };
        let mixed = Read { hits: 1, hit_bytes: 5, ..cold };
        assert_eq!(gain.job(warm, 1.0), None, "there is nothing to compare it with");
        for took_s in [9.0, 10.0, 11.0] {
            assert_eq!(gain.job(cold, took_s), None);
        }
        assert_eq!(gain.job(warm, 4.0), Some(6.0));
        assert_eq!(gain.job(warm, 12.0), Some(-2.0));
        assert_eq!(gain.job(mixed, 1.0), None);
        assert_eq!(gain.job(Read::default(), 1.0), None);
        assert_eq!(gain.job(warm, f64::NAN), None);
        assert_eq!((gain.saved_s, gain.warm, gain.cold), (4.0, 3, 3));
        assert_eq!(gain.read, Read { hits: 9, misses: 4, hit_bytes: 85, missed_bytes: 40 });
    }
}
