//! How much of a machine a shadow may have.
//!
//! Urgency picks a [`Level`], and a level has [`Caps`] of its own: the more urgent a job, the more its shadow gets and the
//! less there is to wait for. Whoever runs a shadow for somebody else clamps what was asked to limits of its own.

use crate::units::Urgency;

/// How much shadow a job's urgency buys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// None.
    Off,
    /// Little, for jobs that can wait.
    Low,
    /// What a usual job gets.
    #[default]
    Medium,
    /// Most, for the urgent.
    High,
}

/// What one shadow may use at the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// CPU, as a share of one core; may be above 1.
    pub cpu_share: f64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes a second, each way.
    pub bytes_per_s: f64,
    /// How long it is watched at the most, seconds.
    pub window_s: f64,
}

impl Caps {
    /// These caps, nowhere above `most`.
    #[must_use]
    pub fn clamped(self, most: &Self) -> Self {
        Self {
            cpu_share: self.cpu_share.min(most.cpu_share),
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
            bytes_per_s: self.bytes_per_s.min(most.bytes_per_s),
            window_s: self.window_s.min(most.window_s),
        }
    }
}

/// The level for each urgency, 0 (the most urgent) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels(pub [Level; Urgency::LEVELS]);

impl Default for Levels {
    fn default() -> Self {
        use Level::{High, Low, Medium, Off};
        Self([High, High, High, Medium, Medium, Low, Low, Off])
    }
}

impl Levels {
    /// What a job of this urgency is given.
    #[must_use]
    pub fn of(&self, urgency: Urgency) -> Level {
        self.0[usize::from(urgency.level())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_clamped_each_by_itself() {
        let asked = Caps { cpu_share: 2.0, memory_bytes: 64, bytes_per_s: 1e9, window_s: 0.5 };
        let most = Caps { cpu_share: 0.5, memory_bytes: 128, bytes_per_s: 1e6, window_s: 1.0 };
        let given = asked.clamped(&most);
        assert_eq!(given, Caps { cpu_share: 0.5, memory_bytes: 64, bytes_per_s: 1e6, window_s: 0.5 });
    }
}
