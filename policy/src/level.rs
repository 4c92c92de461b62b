//! How much of a machine a shadow may have.
//!
//! Urgency picks a [`Level`], and a level has [`Caps`] of its own: the more urgent a job, the more its shadow gets and the
//! less there is to wait for. Whoever runs a shadow for somebody else clamps what was asked to limits of its own.

use crate::cost::known;
use crate::prediction::Prediction;
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

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Low, Self::Medium, Self::High];

    /// The word for it: in the configuration, the log, between sidecars.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The level that this is the word for.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
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
    /// Nothing at all.
    pub const NONE: Self = Self { cpu_share: 0.0, memory_bytes: 0, bytes_per_s: 0.0, window_s: 0.0 };

    /// How fast a job runs under these caps, as a share of its full speed: the cores it may use over those it would use.
    /// Where nobody knows how many those are, it is taken to keep one busy.
    #[must_use]
    pub fn speed(&self, prediction: Option<&Prediction>) -> f64 {
        let cores = prediction.and_then(|p| Some(known(p.cpu_s?) / known(p.mean_s))).filter(|cores| cores.is_finite());
        let speed = known(self.cpu_share) / cores.unwrap_or(1.0);
        if speed.is_finite() { speed.min(1.0) } else { f64::from(u8::from(known(self.cpu_share) > 0.0)) }
    }

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

/// What each level may use; `off` has nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LevelCaps {
    /// At `low`.
    pub low: Caps,
    /// At `medium`.
    pub medium: Caps,
    /// At `high`.
    pub high: Caps,
}

impl LevelCaps {
    /// What a shadow at this level may use.
    #[must_use]
    pub const fn of(&self, level: Level) -> Caps {
        match level {
            Level::Off => Caps::NONE,
            Level::Low => self.low,
            Level::Medium => self.medium,
            Level::High => self.high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_urgent_the_higher_the_level() {
        let levels = Levels::default();
        let of = |u| levels.of(Urgency::new(u).expect("an urgency"));
        assert_eq!(of(Urgency::DEFAULT.level()), Level::Medium);
        assert_eq!((of(0), of(7)), (Level::High, Level::Off));
        assert!((1..8).all(|u| of(u) <= of(u - 1)));
    }

    #[test]
    fn every_level_has_a_word_that_reads_back() {
        assert!(Level::ALL.into_iter().all(|level| Level::named(level.as_str()) == Some(level)));
        assert_eq!(Level::named("Low"), None);
    }

    #[test]
    fn speed_is_the_cores_it_may_use_over_those_it_would() {
        let check = |cpu_share, cpu_s, expected: f64| {
            let prediction = Prediction { cpu_s, ..Prediction::exactly(10.0) };
            let speed = Caps { cpu_share, ..Caps::NONE }.speed(Some(&prediction));
            assert!((speed - expected).abs() < 1e-9, "{cpu_share} {cpu_s:?}: {speed}, not {expected}");
        };
        check(0.25, None, 0.25);
        check(0.25, Some(10.0), 0.25);
        // It keeps four cores busy.
        check(0.25, Some(40.0), 0.0625);
        check(2.0, Some(40.0), 0.5);
        // It waits for something else most of the time.
        check(0.25, Some(1.0), 1.0);
        check(0.25, Some(0.0), 1.0);
        check(0.0, Some(0.0), 0.0);
        check(f64::NAN, Some(10.0), 0.0);
        check(3.0, None, 1.0);
        assert!((Caps { cpu_share: 0.5, ..Caps::NONE }.speed(None) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn caps_are_clamped_each_by_itself() {
        let asked = Caps { cpu_share: 2.0, memory_bytes: 64, bytes_per_s: 1e9, window_s: 0.5 };
        let most = Caps { cpu_share: 0.5, memory_bytes: 128, bytes_per_s: 1e6, window_s: 1.0 };
        let given = asked.clamped(&most);
        assert_eq!(given, Caps { cpu_share: 0.5, memory_bytes: 64, bytes_per_s: 1e6, window_s: 0.5 });
    }
}
