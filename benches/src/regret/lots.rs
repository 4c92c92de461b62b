//! What is drawn for one run of jobs: what the trace says of each, and what it cannot say, the same for every arm.

use policy::job::{Job, ShadowMode};
use policy::units::Urgency;
use policy::{ClassId, MAX_NETWORKS, NetworkSet};

use super::dice::{For, normal, uniform};
use super::world::World;
use crate::trace::{Data, Traced};

/// One job of one run, with all that nobody knows who decides.
#[derive(Clone, Debug)]
pub struct Lot {
    /// What may be known on arrival.
    pub job: Job,
    /// When it comes.
    pub arrived_s: f64,
    /// What it must read.
    pub data: Option<Data>,
    /// Jobs from this one on, among the next few hundred, that must read the same.
    pub uses: u32,
    /// Bytes of its answer.
    pub response_bytes: f64,
    /// What a second of its waiting is worth.
    pub value_per_s: f64,
    /// The sidecar it comes to.
    pub sidecar: usize,
    /// How many times its true time each label of it says.
    pub lie: Option<f64>,
    /// How much faster than it is it looks in its first half, on each network.
    pub bend: [f64; MAX_NETWORKS],
    /// Seconds on each network, drift left out.
    base_s: [f64; MAX_NETWORKS],
    phase: [f64; MAX_NETWORKS],
    drift_sd: f64,
    swing_s: f64,
}

impl Lot {
    /// What it takes on a network if it starts there at `at_s`.
    #[must_use]
    pub fn takes_s(&self, network: usize, at_s: f64) -> f64 {
        if self.drift_sd == 0.0 || network == 0 {
            return self.base_s[network];
        }
        // A sine of this height has the standard deviation that is asked for.
        let height = self.drift_sd * std::f64::consts::SQRT_2;
        let swing = (std::f64::consts::TAU * (at_s / self.swing_s + self.phase[network])).sin();
        self.base_s[network] * (height * swing).exp()
    }
}

/// The lots of a run: `jobs` of a trace, from a place drawn by `seed`, with arrivals stretched until the work is `load` of
/// what home can do.
#[must_use]
pub fn draw(world: &World, trace: &[Traced], jobs: usize, load: f64, seed: u64) -> Vec<Lot> {
    let most = trace.len().saturating_sub(jobs);
    let from = (uniform(seed, For::Stretch, 0, 0) * (most + 1) as f64) as usize;
    let some = &trace[from..trace.len().min(from + jobs)];
    let work_s: f64 = some.iter().map(|job| job.service_s).sum();
    let first_s = some.first().map_or(0.0, |job| job.arrival_s);
    let span_s = some.last().map_or(0.0, |job| job.arrival_s) - first_s;
    let wanted_s = work_s / (load * f64::from(world.networks[0].slots));
    let stretch = wanted_s / span_s.max(1e-3);
    let mut lots: Vec<Lot> = some
        .iter()
        .enumerate()
        .map(|(i, job)| lot(world, job, i as u64, seed, (job.arrival_s - first_s) * stretch, wanted_s))
        .collect();
    for i in 0..lots.len() {
        let Some(data) = lots[i].data else { continue };
        let soon = lots[i..].iter().take(SOON);
        lots[i].uses = soon.filter(|lot| lot.data.is_some_and(|other| other.key == data.key)).count() as u32;
    }
    lots
}

/// How many jobs ahead the clairvoyant looks for others that want the same input.
const SOON: usize = 300;

fn lot(world: &World, traced: &Traced, i: u64, seed: u64, arrived_s: f64, span_s: f64) -> Lot {
    let speed = &world.speed;
    let urgency = Urgency::new(traced.urgency).unwrap_or_default();
    let mut base_s = [f64::NAN; MAX_NETWORKS];
    let (mut bend, mut phase) = ([1.0; MAX_NETWORKS], [0.0; MAX_NETWORKS]);
    for (n, place) in world.networks.iter().enumerate() {
        let part = n as u64;
        let class = u64::from(traced.class);
        let ratio = if n == 0 {
            0.0
        } else {
            speed.class_sd * normal(seed, For::ClassRatio, class, part)
                + speed.job_sd * normal(seed, For::JobRatio, i, part)
        };
        let noise = speed.noise_sd * normal(seed, For::Noise, i, part);
        let straggles = uniform(seed, For::Straggles, i, part) < speed.straggler_share;
        let stuck = if straggles { speed.straggler_factor } else { 1.0 };
        base_s[n] = traced.service_s * place.slower * (ratio + noise).exp() * stuck;
        bend[n] = (world.progress.bend_sd * normal(seed, For::Bend, i, part)).exp();
        phase[n] = uniform(seed, For::Phase, class, part);
    }
    let lies = uniform(seed, For::Lie, i, 0) < world.adumbra.lies;
    let lie = || {
        let factor = (uniform(seed, For::Lie, i, 1) * 10.0_f64.ln()).exp() * 5.0;
        if uniform(seed, For::Lie, i, 2) < 0.5 { factor } else { 1.0 / factor }
    };
    Lot {
        job: Job {
            class: ClassId(traced.class),
            urgency,
            mode: ShadowMode::On,
            residency: NetworkSet::ALL,
            repeatable: true,
            spoolable: true,
            hold: false,
            last_hop: false,
            leaves_twin: false,
            located: None,
            body_bytes: traced.body_bytes,
            input_bytes: traced.data.map(|data| data.bytes),
            hour: ((arrived_s / 3600.0) % 24.0) as f32,
            extracted: traced.extracted,
            draw: uniform(seed, For::Explores, i, 0),
        },
        arrived_s,
        data: traced.data,
        uses: 0,
        response_bytes: traced.response_bytes.unwrap_or(0.0),
        value_per_s: world.time_value_per_s[usize::from(urgency.level())],
        sidecar: (uniform(seed, For::Sidecar, i, 0) * world.sidecars.count as f64) as usize,
        lie: lies.then(lie),
        bend,
        base_s,
        phase,
        drift_sd: speed.drift_sd,
        swing_s: speed.drift_period * span_s,
    }
}
