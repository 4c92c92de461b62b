//! What the bench assumes of everything that a trace cannot say: networks, speeds, link, what is seen and how fresh it is.
//!
//! A world is a TOML file; `worlds/default.toml` documents every key and is what a key left out means. An unknown key is an
//! error, or a misspelt one would quietly measure the default world.

use std::path::{Path, PathBuf};

use policy::MAX_NETWORKS;
use policy::units::Urgency;
use serde::Deserialize;

/// Everything that a trace cannot say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// Value of one second of waiting, by urgency.
    pub time_value_per_s: [f64; Urgency::LEVELS],
    /// The share of jobs, the last ones, that is measured.
    pub measured_share: f64,
    /// Home first.
    pub networks: Vec<Place>,
    /// How long runs take.
    pub speed: Speed,
    /// The shared link.
    pub wan: Wan,
    /// What is seen of a run.
    pub progress: Progress,
    /// Who else uses the networks.
    pub sidecars: Sidecars,
    /// adumbra's configuration.
    pub adumbra: Adumbra,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Place {
    pub name: String,
    pub slots: u32,
    pub price_per_slot_s: f64,
    #[serde(default = "congestion")]
    pub congestion: f64,
    #[serde(default = "congestion_from")]
    pub congestion_from: f64,
    #[serde(default)]
    pub rtt_ms: f64,
    #[serde(default)]
    pub price_per_gib: f64,
    #[serde(default = "one")]
    pub slower: f64,
    #[serde(default)]
    pub cold_start_s: f64,
    #[serde(default = "five_minutes")]
    pub cold_after_s: f64,
}

/// How long runs take besides what the trace says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Speed {
    pub class_sd: f64,
    pub job_sd: f64,
    pub noise_sd: f64,
    pub drift_sd: f64,
    pub drift_period: f64,
    pub straggler_share: f64,
    pub straggler_factor: f64,
}

/// The link to the other networks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Wan {
    pub bits_per_s: f64,
    pub sharing: Sharing,
    pub cache_gib: f64,
}

/// How transfers share the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// All at once.
    Fair,
    /// One after the other.
    Fifo,
}

/// What is seen of a run before its answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Progress {
    pub shown: Shown,
    pub bend_sd: f64,
    pub look_every_s: f64,
}

/// Whether a run shows how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// It does not.
    None,
    /// It does.
    Visible,
}

/// Who else uses the networks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Sidecars {
    pub count: usize,
    pub report_every_s: f64,
    pub report_delay_s: f64,
}

/// adumbra's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "worlds/default.toml says what each key is")]
pub struct Adumbra {
    pub explore_share: f64,
    pub sample_share: f64,
    pub window_share: f64,
    pub window_min_s: f64,
    pub worthwhile_s: f64,
    pub window_most_s: f64,
    pub sample_window_s: f64,
    pub shadows_in_flight: u32,
    pub shadows_per_s: f64,
    pub shadows_share: f64,
    pub shadows_apart: bool,
    pub first_after: usize,
    pub refit_after: usize,
    pub refit_every_s: f64,
    pub window: usize,
    pub guard_share: f64,
    pub lies: f64,
}

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub enum BadWorld {
    /// The file cannot be read.
    #[error("{0}: the world cannot be read")]
    Unread(PathBuf, #[source] std::io::Error),
    /// It is not a world.
    #[error("{0}: {1}benches/worlds/default.toml says which keys there are")]
    NotAWorld(PathBuf, String),
    /// A value that cannot be.
    #[error("{0}: {1}")]
    Value(PathBuf, &'static str),
}

const fn congestion() -> f64 {
    0.6
}

const fn congestion_from() -> f64 {
    0.8
}

const fn one() -> f64 {
    1.0
}

const fn five_minutes() -> f64 {
    300.0
}

impl World {
    /// Reads a world from a file.
    pub fn read(path: &Path) -> Result<Self, BadWorld> {
        let text = std::fs::read_to_string(path).map_err(|error| BadWorld::Unread(path.to_owned(), error))?;
        let world: Self =
            toml::from_str(&text).map_err(|error| BadWorld::NotAWorld(path.to_owned(), error.to_string()))?;
        world.check().map_err(|why| BadWorld::Value(path.to_owned(), why))?;
        Ok(world)
    }

    /// Says what cannot be.
    fn check(&self) -> Result<(), &'static str> {
        let shares = [self.measured_share, self.speed.straggler_share, self.adumbra.lies, self.adumbra.explore_share];
        let rules = [
            ((2..=MAX_NETWORKS).contains(&self.networks.len()), "give two to eight [[networks]], home first"),
            (self.networks.iter().all(|place| place.slots > 0), "a network needs at least one slot"),
            (self.networks.iter().all(|place| place.slower > 0.0), "`slower` must be above 0"),
            (shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share is between 0 and 1"),
            (self.measured_share > 0.0, "`measured_share` must be above 0, or nothing is measured"),
            (self.wan.bits_per_s > 0.0, "`wan.bits_per_s` must be above 0"),
            (self.speed.drift_period > 0.0, "`speed.drift_period` must be above 0"),
            (self.speed.straggler_factor > 0.0, "`speed.straggler_factor` must be above 0"),
            ((1..=64).contains(&self.sidecars.count), "`sidecars.count` is between 1 and 64"),
            (self.sidecars.report_every_s > 0.0, "`sidecars.report_every_s` must be above 0"),
            (self.progress.look_every_s > 0.0, "`progress.look_every_s` must be above 0"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(why))
    }

    /// Bytes a second of the shared link.
    #[must_use]
    pub fn wan_bytes_per_s(&self) -> f64 {
        self.wan.bits_per_s / 8.0
    }
}

impl Default for World {
    fn default() -> Self {
        let place = |name: &str, slots, price_per_slot_s, rtt_ms| Place {
            name: name.to_owned(),
            slots,
            price_per_slot_s,
            congestion: congestion(),
            congestion_from: congestion_from(),
            rtt_ms,
            price_per_gib: 0.0,
            slower: one(),
            cold_start_s: 0.0,
            cold_after_s: five_minutes(),
        };
        Self {
            time_value_per_s: [3.2, 1.6, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1],
            measured_share: 0.6,
            networks: vec![place("private", 8, 0.3, 0.0), place("public", 32, 1.0, 40.0)],
            speed: Speed::default(),
            wan: Wan::default(),
            progress: Progress::default(),
            sidecars: Sidecars::default(),
            adumbra: Adumbra::default(),
        }
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self {
            class_sd: 0.4,
            job_sd: 0.0,
            noise_sd: 0.0,
            drift_sd: 0.0,
            drift_period: 0.5,
            straggler_share: 0.0,
            straggler_factor: 6.0,
        }
    }
}

impl Default for Wan {
    fn default() -> Self {
        Self { bits_per_s: 1e9, sharing: Sharing::Fair, cache_gib: 64.0 }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self { shown: Shown::None, bend_sd: 0.15, look_every_s: 0.05 }
    }
}

impl Default for Sidecars {
    fn default() -> Self {
        Self { count: 1, report_every_s: 0.25, report_delay_s: 0.0 }
    }
}

impl Default for Adumbra {
    fn default() -> Self {
        Self {
            explore_share: 0.02,
            sample_share: 0.02,
            window_share: 0.1,
            window_min_s: 0.1,
            worthwhile_s: 0.3,
            window_most_s: 30.0,
            sample_window_s: 60.0,
            shadows_in_flight: 2,
            shadows_per_s: 10.0,
            shadows_share: 0.5,
            shadows_apart: true,
            first_after: 40,
            refit_after: 20,
            refit_every_s: 5.0,
            window: 20_000,
            guard_share: 0.03,
            lies: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../../worlds/default.toml");

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let documented: World = toml::from_str(DEFAULT).expect("it is a world");
        assert_eq!(documented, World::default());
        assert_eq!(documented.check(), Ok(()));
        assert_eq!(toml::from_str::<World>("").expect("an empty file is the default world"), World::default());
    }

    #[test]
    fn a_key_that_is_not_known_is_an_error() {
        for text in ["colour = 1", "[wan]\nbits = 1", "[[networks]]\nname = \"a\"\nslots = 1\nprice = 2.0"] {
            assert!(toml::from_str::<World>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_world_here_is_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("worlds");
        for entry in std::fs::read_dir(folder).expect("there are worlds") {
            let path = entry.expect("a file").path();
            World::read(&path).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
