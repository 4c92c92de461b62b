//! What is compared, and the settings that each is tried at.

use super::Part;
use super::rules::{ClassMeans, LeastInFlight, Only, PeakEwma, Prequal, Random, RoundRobin, Rule, Spill};
use super::world::World;

/// What decides in one run.
#[derive(Clone, Copy, Debug)]
pub enum Arm {
    /// A rule.
    Rule(&'static str, Setting),
    /// adumbra, without a part of it.
    Adumbra(Option<Part>),
    /// Who knows all.
    Clairvoyant,
}

/// A rule and its knobs.
#[derive(Clone, Copy, Debug)]
pub enum Setting {
    /// One network.
    Only(usize),
    /// Chance.
    Random(f64),
    /// In turn.
    RoundRobin(f64),
    /// Fewest jobs.
    LeastInFlight(f64),
    /// Lowest latency times jobs.
    PeakEwma(f64, f64),
    /// Hot and cold.
    Prequal(f64, f64),
    /// Home until it is full.
    Spill(f64),
    /// Means of classes.
    ClassMeans,
}

impl Setting {
    pub(super) fn make(self, world: &World) -> Box<dyn Rule> {
        match self {
            Self::Only(network) => Box::new(Only(network)),
            Self::Random(home) => Box::new(Random(home)),
            Self::RoundRobin(home) => Box::new(RoundRobin::new(home)),
            Self::LeastInFlight(away) => Box::new(LeastInFlight(away)),
            Self::PeakEwma(decay_s, away) => Box::new(PeakEwma::new(decay_s, away)),
            Self::Prequal(hot_from, away) => Box::new(Prequal::new(hot_from, away)),
            Self::Spill(full) => Box::new(Spill(full)),
            Self::ClassMeans => Box::new(ClassMeans::new(world.networks.iter().map(|place| place.slots))),
        }
    }
}

/// One line of the table: an arm, at the settings among which the best is taken.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name, in the table and the file.
    pub name: String,
    /// The settings; one if there is nothing to tune.
    pub arms: Vec<Arm>,
}

/// How many times as dear as home others may be made to look to a balancer.
const AWAY: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Shares of home for those that do not look.
const HOME: [f64; 9] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Every line, the clairvoyant last.
#[must_use]
pub fn lines(world: &World) -> Vec<Line> {
    let slots = f64::from(world.networks[0].slots);
    let line = |name: &'static str, settings: Vec<Setting>| Line {
        name: name.to_owned(),
        arms: settings.into_iter().map(|setting| Arm::Rule(name, setting)).collect(),
    };
    let grid = |make: fn(f64, f64) -> Setting, first: &[f64]| {
        first.iter().flat_map(|first| AWAY.map(|away| make(*first, away))).collect::<Vec<_>>()
    };
    let thresholds = (0..=(4.0 * slots) as u32).map(|jobs| Setting::Spill(f64::from(jobs) / slots)).collect();
    let mut lines = vec![
        line("private_only", vec![Setting::Only(0)]),
        line("public_only", vec![Setting::Only(1)]),
        line("random", vec![Setting::Random(0.5)]),
        line("random_tuned", HOME.map(Setting::Random).to_vec()),
        line("round_robin", vec![Setting::RoundRobin(0.5)]),
        line("round_robin_tuned", HOME.map(Setting::RoundRobin).to_vec()),
        line("least_in_flight", vec![Setting::LeastInFlight(1.0)]),
        line("least_in_flight_tuned", AWAY.map(Setting::LeastInFlight).to_vec()),
        line("peak_ewma", vec![Setting::PeakEwma(10.0, 1.0)]),
        line("peak_ewma_tuned", grid(Setting::PeakEwma, &[10.0, 60.0, 600.0])),
        line("prequal", vec![Setting::Prequal(0.84, 1.0)]),
        line("prequal_tuned", grid(Setting::Prequal, &[0.5, 0.7, 0.84, 0.95, 0.99])),
        line("spill", vec![Setting::Spill(1.0)]),
        line("spill_tuned", thresholds),
        line("class_means", vec![Setting::ClassMeans]),
        Line { name: "adumbra".to_owned(), arms: vec![Arm::Adumbra(None)] },
    ];
    for part in Part::ALL {
        let name = format!("adumbra_without_{}", part.as_str());
        lines.push(Line { name, arms: vec![Arm::Adumbra(Some(part))] });
    }
    lines.push(Line { name: "clairvoyant".to_owned(), arms: vec![Arm::Clairvoyant] });
    lines
}
