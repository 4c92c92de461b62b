//! What a run showed: the records of the clients joined with the books of the services.
//!
//! The money of a job is what its runs used on both networks, finished or cancelled, real or shadow, at the prices that
//! stand in the sidecars' configuration, plus its even share of what its round moved over the link. Its cost is that
//! and the value of the time its client waited.

use std::collections::BTreeMap;

use serde_json::Value;

use super::arm::Arm;
use super::drive::Segment;
use super::job::Kind;
use super::service::usage::Used;
use super::statistics::{interval, mean, quantile};
use super::status::Counts;
use super::world::{GIB_PRICE, PRIVATE_PRICE, PUBLIC, PUBLIC_PRICE, TIME_VALUES};

/// What the jobs used on the private and the public network, by the name they were booked under.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    networks: [BTreeMap<String, Used>; 2],
}

impl Books {
    /// Reads both services' `/stats`, private first.
    pub(crate) fn read(stats: [&Value; 2]) -> Self {
        let networks = stats.map(|jobs| {
            let jobs = jobs.as_object().into_iter().flatten();
            jobs.filter_map(|(job, used)| Some((job.clone(), Used::from_json(used)?))).collect()
        });
        Self { networks }
    }

    fn used(&self, job: &str) -> [Used; 2] {
        [0, 1].map(|network| self.networks[network].get(job).copied().unwrap_or_default())
    }
}

/// One arm's row in the table.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) arm: Arm,
    pub(crate) jobs: usize,
    pub(crate) failed: usize,
    /// Jobs the public network's service answered.
    pub(crate) transferred: usize,
    /// Jobs whose answer came from what had been a shadow.
    pub(crate) adopted: usize,
    pub(crate) counts: Counts,
    pub(crate) mean_s: f64,
    pub(crate) p50_s: f64,
    pub(crate) p99_s: f64,
    /// Mean money a job.
    pub(crate) money: f64,
    /// Mean cost of each job, in order of arrival over all rounds.
    pub(crate) costs: Vec<f64>,
    /// What was used on the private and the public network.
    pub(crate) used: [Used; 2],
    /// CPU seconds used for each second that passed.
    pub(crate) cpu_load: f64,
    /// Decisions by the reason on the response.
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Summary {
    /// Mean cost a job.
    pub(crate) fn cost(&self) -> f64 {
        mean(&self.costs)
    }

    /// A 95 % interval of the mean cost.
    pub(crate) fn cost_interval(&self) -> (f64, f64) {
        interval(&self.costs)
    }

    /// The mean of this arm's cost less the other's, job by job, and its 95 % interval.
    pub(crate) fn cost_less(&self, other: &Self) -> (f64, (f64, f64)) {
        let differences: Vec<f64> = self.costs.iter().zip(&other.costs).map(|(own, other)| own - other).collect();
        (mean(&differences), interval(&differences))
    }
}

/// Sums up one arm over all its rounds.
pub(crate) fn summarise(arm: Arm, segments: &[Segment], books: &Books) -> Summary {
    let mut own: Vec<&Segment> = segments.iter().filter(|segment| segment.arm == arm).collect();
    own.sort_unstable_by_key(|segment| segment.round);
    let (mut counts, mut used, mut reasons) = (Counts::default(), [Used::default(); 2], BTreeMap::new());
    let (mut costs, mut monies, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    for segment in &own {
        counts.add(&segment.counts);
        let link = segment.moved as f64 / f64::from(1 << 30) * GIB_PRICE / segment.records.len().max(1) as f64;
        for record in &segment.records {
            let job = books.used(&record.booked_as);
            let money = job[0].slot_s * PRIVATE_PRICE + job[1].slot_s * PUBLIC_PRICE + link;
            let time_value = TIME_VALUES[usize::from(record.urgency).min(TIME_VALUES.len() - 1)];
            monies.push(money);
            latencies.push(record.latency_s);
            costs.push(money + time_value * record.latency_s);
            used.iter_mut().zip(&job).for_each(|(sum, job)| sum.add(job));
            if !record.decision.reason.is_empty() {
                *reasons.entry(record.decision.reason.clone()).or_default() += 1;
            }
        }
    }
    let records = || own.iter().flat_map(|segment| &segment.records);
    let wall_s: f64 = own.iter().map(|segment| segment.wall_s).sum();
    Summary {
        arm,
        jobs: latencies.len(),
        failed: records().filter(|record| record.failure.is_some()).count(),
        transferred: records().filter(|record| record.network == PUBLIC).count(),
        adopted: records().filter(|record| record.decision.action == "adopt").count(),
        counts,
        mean_s: mean(&latencies),
        p50_s: quantile(&latencies, 0.5),
        p99_s: quantile(&latencies, 0.99),
        money: mean(&monies),
        costs,
        cpu_load: (used[0].cpu_s + used[1].cpu_s) / wall_s.max(1e-9),
        used,
        reasons,
    }
}

/// How a kind of job ran on one network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KindSpeed {
    pub(crate) kind: Kind,
    /// Private, then public: runs, mean slot seconds, mean CPU seconds.
    pub(crate) networks: [(usize, f64, f64); 2],
}

/// How every kind ran on both networks, from the jobs that ran once there and to the end.
pub(crate) fn speeds(segments: &[Segment], books: &Books) -> Vec<KindSpeed> {
    let speed = |kind, network: usize| {
        let records = segments.iter().flat_map(|segment| &segment.records).filter(|record| record.kind == kind);
        let whole: Vec<Used> = records
            .map(|record| books.used(&record.booked_as)[network])
            .filter(|used| used.finished == 1 && used.stopped == 0)
            .collect();
        let over = |of: fn(&Used) -> f64| mean(&whole.iter().map(of).collect::<Vec<_>>());
        (whole.len(), over(|used| used.slot_s), over(|used| used.cpu_s))
    };
    Kind::ALL.into_iter().map(|kind| KindSpeed { kind, networks: [speed(kind, 0), speed(kind, 1)] }).collect()
}
