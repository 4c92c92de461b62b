//! How long the job takes on each network, by what its dispatches have shown.
//!
//! Three things are weighed in log time, each by how well it is known: the prediction; the rate of progress on the network
//! itself; and the rate on another, carried over by the ratio of the two predictions. The rate on the reference network (the
//! lead's) says how *large* the job is, and that holds everywhere; what it leaves open is the ratio for this job, and that a
//! rate on both sides shows. With normal errors this is exact, and cheap.
//!
//! A lead that is slower than any job of its kind says something else: not that the job is large but that this run of it is
//! stuck. Then its rate is not carried over, and elsewhere the job is taken to be as large as such jobs get.

use super::case::Case;
use crate::cost::{self, known};
use crate::observation::{Observation, Phase};
use crate::prediction::{MEDIAN, Prediction};
use crate::units::{MAX_NETWORKS, NetworkId, PerNetwork};

/// The error of a rate of progress in log time: a floor, for steps are never quite even…
const RATE_ERROR: f64 = 0.1;
/// …and a part that shrinks as work is done: at 1 % done a rate may well be off by half.
const RATE_ERROR_AT_ONE: f64 = 0.005;
/// What not knowing the share a shadow was granted adds to that.
const GRANT_ERROR: f64 = 0.3;
/// The error of a rate that is only inferred from what was read: work need not go with it.
const INFERRED_ERROR: f64 = 0.4;
/// What is inferred counts from this share of the predicted time on. Whoever first reads all and then works has read it by
/// then, and says nothing any more.
const INFERRED_FROM: f64 = 0.05;
/// A run that takes this many times the 90 % quantile is a straggler.
const STRAGGLES_OVER: f64 = 2.0;
/// The least that is left of a job that has outrun its estimate, as a share of it.
const LEFT_LEAST: f64 = 0.1;
/// Spread is bounded where it becomes a mean: e^(σ²/2) of a wild spread would be infinite.
const VARIANCE_MOST: f64 = 2.0;

/// An estimate on one network, at full speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    /// The whole job, seconds.
    pub(super) whole_s: f64,
    /// What is left of the dispatch that runs there, seconds.
    pub(super) rest_s: f64,
}

/// Estimates for all networks that something is predicted for.
pub(super) struct Estimates {
    of: PerNetwork<Option<Estimate>>,
    /// Standard deviation, in log time, of what is not known between the reference and this network.
    doubts: PerNetwork<f64>,
    /// Whether the reference is a straggler.
    pub(super) straggles: bool,
    /// Whether progress was seen on the reference and on another network.
    pub(super) compared: bool,
}

/// A normal in log time.
#[derive(Clone, Copy, Debug)]
struct Normal {
    mean: f64,
    variance: f64,
}

impl Normal {
    /// Both taken together.
    fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let (a, b) = (1.0 / self.variance, 1.0 / other.variance);
        if !(a + b).is_finite() || a + b <= 0.0 {
            return if self.variance <= other.variance { self } else { other };
        }
        Self { mean: (self.mean * a + other.mean * b) / (a + b), variance: 1.0 / (a + b) }
    }

    /// Moved and widened.
    fn carried(self, by: f64, variance: f64) -> Self {
        Self { mean: self.mean + by, variance: self.variance + variance }
    }

    /// The mean of the time, seconds.
    fn mean_s(self) -> f64 {
        (self.mean + self.variance.min(VARIANCE_MOST) / 2.0).exp()
    }
}

impl Estimates {
    /// Estimates with `reference` to carry sizes from: the lead's network, or while the job is held the leaning.
    pub(super) fn new(case: &Case<'_>, reference: NetworkId, lead: Option<&Observation>) -> Self {
        let mut estimates = Self {
            of: PerNetwork::default(),
            doubts: PerNetwork([f64::INFINITY; MAX_NETWORKS]),
            straggles: false,
            compared: false,
        };
        let Some(base) = case.predictions[reference] else { return estimates };
        let observation = lead.or(case.evidence.shadows[reference].as_ref());
        let full = if lead.is_some() { Some(1.0) } else { None };
        let rate = observation.and_then(|o| rate(case, reference, o, full));
        let prior = prior(&base, 0.0);
        let says_itself = observation.is_some_and(|o| !o.is_inferred());
        // A rate may well be off by half while little is done, and that is no reason to throw a run away.
        let surely_s = rate.filter(|_| says_itself).map(|rate| (rate.mean - rate.variance.sqrt()).exp());
        estimates.straggles = surely_s.is_some_and(|surely_s| surely_s > STRAGGLES_OVER * highest(&base));
        let sized = if estimates.straggles { prior } else { prior.and(rate) };
        // Of a run that is stuck, its own rate is all there is to go by.
        let mut here = if estimates.straggles { rate.unwrap_or(prior) } else { prior.and(rate) };
        for network in case.plan.eligible.without(reference).iter() {
            let Some(there) = case.predictions[network] else { continue };
            let ratio = log_median(&there) - log_median(&base);
            let doubt = known(base.doubt).hypot(known(there.doubt));
            let shadow = case.evidence.shadows[network].as_ref();
            // What is inferred says nothing by itself, only beside what the reference shows.
            let speaks = shadow.filter(|shadow| rate.is_some() || !shadow.is_inferred());
            let seen = speaks.and_then(|shadow| self::rate(case, network, shadow, None));
            let carried = if estimates.straggles {
                Normal { mean: highest(&there).ln(), variance: prior.variance }
            } else {
                sized.carried(ratio, doubt * doubt)
            };
            let estimate = carried.and(seen);
            estimates.of[network] = Some(Estimate::of(case, network, estimate, shadow, seen.is_some(), None));
            estimates.doubts[network] = between(doubt, rate, seen);
            if let Some(seen) = seen
                && !estimates.straggles
            {
                here = here.and(Some(seen.carried(-ratio, doubt * doubt)));
                estimates.compared |= rate.is_some();
            }
        }
        estimates.of[reference] = Some(match (observation, rate) {
            // Nothing was seen anywhere: what is left is what the prediction says of jobs that have run so long.
            (Some(o), None) if here.mean == prior.mean => {
                let run_s = o.run_s(
                    arriving_s(case, reference, o),
                    full.unwrap_or_else(|| granted(case, reference)),
                    case.now_s,
                );
                Estimate { whole_s: known(base.mean_s), rest_s: base.remaining_s(run_s) }
            }
            _ => Estimate::of(case, reference, here, observation, rate.is_some(), full),
        });
        estimates
    }

    /// The estimate for `network`, if anything is predicted for it.
    pub(super) fn of(&self, network: NetworkId) -> Option<Estimate> {
        self.of[network]
    }

    /// What is not known between the reference and `network`, in log time; infinite if nothing was seen.
    pub(super) fn doubt_between(&self, network: NetworkId) -> f64 {
        self.doubts[network]
    }
}

impl Estimate {
    /// The seconds of `normal`, and what is left of them where `observation` runs.
    fn of(
        case: &Case<'_>,
        network: NetworkId,
        normal: Normal,
        observation: Option<&Observation>,
        measured: bool,
        full: Option<f64>,
    ) -> Self {
        let whole_s = normal.mean_s();
        let done_s = match observation {
            Some(o) if measured => o.progress.unwrap_or(0.0) * whole_s,
            Some(o) if o.phase != Phase::BlockedOnData => {
                let run_s =
                    o.run_s(arriving_s(case, network, o), full.unwrap_or_else(|| granted(case, network)), case.now_s);
                run_s.min((1.0 - LEFT_LEAST) * whole_s)
            }
            _ => 0.0,
        };
        Self { whole_s, rest_s: (whole_s - done_s).max(0.0) }
    }
}

/// The whole job by its rate of progress. `full` is the share granted where nobody measured it and it is known all the same;
/// else the CPU it used tells, and where nobody measured that either it is taken to have had all of the machine: what nobody measured is not counted in its favour, for a shadow
/// thought to be throttled that is not would look as many times faster than it is.
fn rate(case: &Case<'_>, network: NetworkId, observation: &Observation, full: Option<f64>) -> Option<Normal> {
    let inferred = observation.is_inferred();
    if inferred && case.now_s - observation.started_s < INFERRED_FROM * known(case.predictions[network]?.mean_s) {
        return None;
    }
    let assumed = full.or_else(|| granted_by_cpu(case, network, observation)).unwrap_or(1.0);
    let whole_s = observation.whole_s(arriving_s(case, network, observation), assumed, case.now_s)?;
    let floor = if inferred { INFERRED_ERROR } else { RATE_ERROR };
    let error = floor + RATE_ERROR_AT_ONE / observation.progress?;
    let guessed = observation.granted.is_none() && full.is_none();
    let grant_variance = if guessed { GRANT_ERROR * GRANT_ERROR } else { 0.0 };
    Some(Normal { mean: whole_s.ln(), variance: error * error + grant_variance })
}

/// The share of full speed that a dispatch was granted, by the CPU it used: cores it kept busy over cores that the job keeps
/// busy at full speed, as the lead shows, or as is predicted. CPU seconds alone are no progress; here they only say how
/// much of a machine the progress was made with.
fn granted_by_cpu(case: &Case<'_>, network: NetworkId, observation: &Observation) -> Option<f64> {
    let cores = |network, seen: &Observation| {
        let run_s = case.now_s - seen.started_s - arriving_s(case, network, seen);
        Some(known(seen.cpu_s?) / run_s).filter(|cores| cores.is_finite() && *cores > 0.0)
    };
    let of_lead = case.evidence.lead.as_ref().and_then(|(lead, seen)| cores(*lead, seen));
    let predicted = || {
        let prediction = case.predictions[network]?;
        Some(known(prediction.cpu_s?) / known(prediction.mean_s)).filter(|cores| cores.is_finite() && *cores > 0.0)
    };
    let granted = cores(network, observation)? / of_lead.or_else(predicted)?;
    granted.is_finite().then_some(granted.min(1.0))
}

/// Time of a dispatch that was spent on its way there. At most half of it: a link that was faster than measured must not
/// make a job look infinitely fast.
fn arriving_s(case: &Case<'_>, network: NetworkId, observation: &Observation) -> f64 {
    let elapsed_s = case.now_s - observation.started_s;
    cost::arriving_s(case.job, case.view, network).min(known(elapsed_s) / 2.0)
}

/// The share of full speed a shadow is taken to get where nobody measures it, when its work done is counted.
fn granted(case: &Case<'_>, network: NetworkId) -> f64 {
    let share = case.plan.caps.speed(case.predictions[network].as_ref());
    if share > 0.0 { share } else { 1.0 }
}

fn prior(prediction: &Prediction, doubt: f64) -> Normal {
    let spread = prediction.spread();
    Normal { mean: log_median(prediction), variance: (spread * spread + doubt * doubt).max(1e-4) }
}

fn log_median(prediction: &Prediction) -> f64 {
    known(prediction.quantiles_s[MEDIAN]).max(f64::MIN_POSITIVE).ln()
}

fn highest(prediction: &Prediction) -> f64 {
    known(prediction.quantiles_s[prediction.quantiles_s.len() - 1]).max(f64::MIN_POSITIVE)
}

/// What two rates, or one, leave open of the ratio between two networks.
fn between(doubt: f64, here: Option<Normal>, there: Option<Normal>) -> f64 {
    match (here, there) {
        (Some(here), Some(there)) => {
            let seen = here.variance + there.variance;
            (seen * doubt * doubt / (seen + doubt * doubt)).sqrt()
        }
        _ if here.is_some() || there.is_some() => doubt.max(RATE_ERROR),
        _ => f64::INFINITY,
    }
}
