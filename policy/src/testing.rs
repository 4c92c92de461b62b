//! Two networks and a plain job, for tests: the world of the policy study. Eight private slots at 0.3 a second, thirty-two
//! public ones at 1.0 behind 40 ms and 1 Gb/s, time worth 0.8 a second at the default urgency.

use crate::job::{EXTRACTED, Job, ShadowMode};
use crate::learn::{Label, Row, Window, refit};
use crate::level::{Caps, LevelCaps, Levels};
use crate::model::Model;
use crate::prediction::{LEVELS, Prediction};
use crate::units::{ClassId, NetworkId, NetworkSet, PerNetwork, Urgency};
use crate::view::{NetworkView, Price, Pricing, ShadowLimits, View};

/// Home.
pub(crate) const PRIVATE: NetworkId = id(0);
/// The other one.
pub(crate) const PUBLIC: NetworkId = id(1);

/// A quarter of a core for half a minute.
pub(crate) const CAPS: Caps = Caps { cpu_share: 0.25, memory_bytes: 512 << 20, bytes_per_s: 4e6, window_s: 30.0 };

const fn id(index: usize) -> NetworkId {
    NetworkId::new(index).expect("below the most networks")
}

/// A job that may do everything, of which little is known.
pub(crate) fn job() -> Job {
    Job {
        class: ClassId(0),
        urgency: Urgency::DEFAULT,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: None,
        input_bytes: None,
        hour: 12.0,
        extracted: [f32::NAN; EXTRACTED],
        draw: 0.5,
    }
}

/// Both networks healthy and empty; nothing is sampled or explored.
pub(crate) fn view() -> View {
    let mut state = PerNetwork([NetworkView::default(); crate::units::MAX_NETWORKS]);
    state[PRIVATE] = NetworkView {
        healthy: true,
        capacity: 8,
        shadow_room: true,
        price: Price { per_slot_s: 0.3, congestion: 0.6, congestion_from: 0.6, ..Price::default() },
        ..NetworkView::default()
    };
    state[PUBLIC] = NetworkView {
        healthy: true,
        capacity: 32,
        shadow_room: true,
        rtt_s: 0.04,
        link_bytes_per_s: 125e6,
        price: Price { per_slot_s: 1.0, ..Price::default() },
        ..NetworkView::default()
    };
    View {
        home: PRIVATE,
        networks: [PRIVATE, PUBLIC].into_iter().collect(),
        state,
        pricing: Pricing { time_value_per_s: [3.2, 2.0, 1.2, 0.8, 0.5, 0.3, 0.2, 0.1] },
        shadowing: ShadowLimits {
            window_share: 0.1,
            window_min_s: 0.1,
            worthwhile_s: 1.0,
            sample_share: 0.0,
            sample_window_s: 30.0,
            explore_share: 0.0,
            levels: Levels::default(),
            caps: LevelCaps {
                low: Caps { cpu_share: 0.1, window_s: 10.0, ..CAPS },
                medium: CAPS,
                high: Caps { cpu_share: 0.5, window_s: 60.0, ..CAPS },
            },
        },
    }
}

/// A lognormal time with this median and this spread, and this doubt about the network's speed.
pub(crate) fn lognormal(median_s: f64, sigma: f64, doubt: f64) -> Prediction {
    const NORMAL: [f64; LEVELS.len()] = [-1.2816, -0.6745, 0.0, 0.6745, 1.2816];
    Prediction {
        mean_s: median_s * (sigma * sigma / 2.0).exp(),
        quantiles_s: NORMAL.map(|z| median_s * (sigma * z).exp()),
        doubt,
        ..Prediction::default()
    }
}

/// A seeded stream of draws, so that a simulation can be run again from the seed it printed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Uniform in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Exponential with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// One of 0..`n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }
}

/// A label of a job of `class` that took `seconds` on `network`.
pub(crate) fn took(class: u16, network: NetworkId, seconds: f64) -> Row {
    Row {
        job: Job { class: ClassId(class), ..job() },
        pair: u64::MAX,
        network,
        label: Label::Took(seconds),
        cpu_s: None,
        memory_bytes: None,
        response_bytes: None,
    }
}

/// A model of classes whose median seconds on the private and the public network are given: 60 paired labels each with a
/// spread of `sigma` from job to job and of `ratio_sigma` between the two sides of one.
pub(crate) fn model(medians_s: &[(f64, f64)], sigma: f64, ratio_sigma: f64) -> Model {
    let mut dice = Dice::new(7);
    let mut window = Window::new(100_000);
    for i in 0..60 {
        for (class, (private_s, public_s)) in medians_s.iter().enumerate() {
            let size = (sigma * dice.normal()).exp();
            let other = (ratio_sigma * dice.normal()).exp();
            for (network, seconds) in [(PRIVATE, private_s * size), (PUBLIC, public_s * size * other)] {
                let pair = (i * medians_s.len() + class) as u64;
                window.push(Row { pair, ..took(class as u16, network, seconds) }).expect("a label that can be");
            }
        }
    }
    refit(&window, PRIVATE, None).expect("enough labels")
}
