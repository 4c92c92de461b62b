//! The cost of a job on a network, in money: the value of the time it takes, and the price of what it uses.
//!
//! ```text
//! cost(n) = time_value · (waiting + moving + remaining) + Σ price(n, r) · use(n, r) + egress price · bytes that cross
//! ```
//!
//! and, where a network's capacity is known, a congestion price: a job that takes a slot of a nearly full network makes the
//! next one wait or go elsewhere. Without it a better prediction decides *worse* than "spill when full", because each job
//! takes the cheap slot from the next (POLICY-STUDY, finding 2). What the next job's second is worth is not known, so it is
//! taken to be of the default urgency: an urgent job must not be driven off a slot by its own urgency.
//!
//! A figure that cannot be (NaN, infinite, negative) is taken as not known and costs nothing, but for a wait without end,
//! which costs without end.

use crate::job::Job;
use crate::prediction::Prediction;
use crate::spend::Bill;
use crate::units::{NetworkId, Urgency};
use crate::view::{NetworkView, Price, View};

/// Bytes in a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

/// `figure`, or 0 where it is not a figure that can be.
pub(crate) fn known(figure: f64) -> f64 {
    if figure.is_finite() && figure > 0.0 { figure } else { 0.0 }
}

/// Seconds until everything a job needs before it can start has arrived at `network`: its body, which is at home already,
/// and the inputs that are not there yet.
#[must_use]
pub fn arriving_s(job: &Job, view: &View, network: NetworkId) -> f64 {
    let state = &view.state[network];
    let fetching_s = fetching_s(job, state);
    if network == view.home {
        return fetching_s;
    }
    let over_link = if state.fetch_bytes_per_s.is_some() { body_bytes(job) } else { to_move(job, state) };
    known(state.rtt_s) + link_s(state, over_link + known(state.link_queued_bytes)) + fetching_s
}

/// Seconds that the inputs which are not there take to be fetched, where they do not come over the link.
#[must_use]
pub fn fetching_s(job: &Job, state: &NetworkView) -> f64 {
    let rate = known(state.fetch_bytes_per_s.unwrap_or(0.0));
    if rate > 0.0 { cold_bytes(job, state) / rate } else { 0.0 }
}

/// The whole cost of `job` on `network`, sent now, where it takes the prediction's mean.
#[must_use]
pub fn fresh(job: &Job, view: &View, network: NetworkId, prediction: &Prediction) -> f64 {
    fresh_at(job, view, network, prediction, known(prediction.mean_s))
}

/// The whole cost of `job` on `network`, sent now, where it takes `run_s` seconds. It is linear in `run_s`.
#[must_use]
pub fn fresh_at(job: &Job, view: &View, network: NetworkId, prediction: &Prediction, run_s: f64) -> f64 {
    let state = &view.state[network];
    let arriving_s = arriving_s(job, view, network);
    let wait_s = if state.wait_s == f64::INFINITY { f64::INFINITY } else { known(state.wait_s) };
    rest(job, view, network, prediction, run_s)
        + time_value(job, view) * (wait_s + arriving_s)
        + crossing(view, network, to_move(job, state))
}

/// The cost from now on of `job` on `network` where it still has to run for `run_s` seconds at full speed: time, slot,
/// resources in proportion, congestion and the way back of its answer.
#[must_use]
pub fn rest(job: &Job, view: &View, network: NetworkId, prediction: &Prediction, run_s: f64) -> f64 {
    let state = &view.state[network];
    let response_bytes = if network == view.home { 0.0 } else { known(prediction.response_bytes.unwrap_or(0.0)) };
    time_value(job, view) * (run_s + link_s(state, response_bytes))
        + holding(view, network, prediction, run_s)
        + crossing(view, network, response_bytes)
}

/// What the cost of a job on a network is made of, money.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// The time it waits before it starts.
    pub waiting: f64,
    /// The time that its body, inputs and answer are on their way.
    pub moving: f64,
    /// The time it runs.
    pub running: f64,
    /// What its slot, CPU and memory are charged.
    pub resources: f64,
    /// What it costs the next job that this one holds a slot.
    pub congestion: f64,
    /// What is charged for bytes that cross.
    pub crossing: f64,
}

impl Terms {
    /// The whole.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.waiting + self.moving + self.running + self.resources + self.congestion + self.crossing
    }
}

/// What [`fresh`] adds up.
#[must_use]
pub fn terms(job: &Job, view: &View, network: NetworkId, prediction: &Prediction) -> Terms {
    let state = &view.state[network];
    let (run_s, value) = (known(prediction.mean_s), time_value(job, view));
    let response_bytes = if network == view.home { 0.0 } else { known(prediction.response_bytes.unwrap_or(0.0)) };
    let wait_s = if state.wait_s == f64::INFINITY { f64::INFINITY } else { known(state.wait_s) };
    Terms {
        waiting: value * wait_s,
        moving: value * (arriving_s(job, view, network) + link_s(state, response_bytes)),
        running: value * run_s,
        resources: charged_per_s(&state.price, prediction) * run_s,
        congestion: congestion_per_s(view, network, run_s) * run_s,
        crossing: crossing(view, network, to_move(job, state) + response_bytes),
    }
}

/// What holding a slot of `network` for `run_s` seconds costs: its resources, and congestion.
#[must_use]
pub fn holding(view: &View, network: NetworkId, prediction: &Prediction, run_s: f64) -> f64 {
    (charged_per_s(&view.state[network].price, prediction) + congestion_per_s(view, network, known(prediction.mean_s)))
        * run_s
}

/// What a second on a slot is charged.
fn charged_per_s(price: &Price, prediction: &Prediction) -> f64 {
    let whole_s = known(prediction.mean_s);
    let cpu_share = if whole_s > 0.0 { known(prediction.cpu_s.unwrap_or(0.0)) / whole_s } else { 0.0 };
    let gib = known(prediction.memory_bytes.unwrap_or(0.0)) / GIB;
    known(price.per_slot_s) + known(price.per_cpu_s) * cpu_share + known(price.per_gib_s) * gib
}

/// What a dispatch of `job` to `network` is charged if it runs for `run_s` seconds: money that somebody asks for, which the
/// value of time and the price on congestion are not. Its CPU and memory are those predicted.
#[must_use]
pub fn bill(job: &Job, view: &View, network: NetworkId, prediction: Option<&Prediction>, run_s: f64) -> Bill {
    let state = &view.state[network];
    let nothing = Prediction::default();
    let prediction = prediction.unwrap_or(&nothing);
    let per_s = charged_per_s(&state.price, prediction);
    let moved = to_move(job, state) + known(prediction.response_bytes.unwrap_or(0.0));
    let expected = per_s * known(run_s) + crossing(view, network, moved);
    Bill { per_s, per_byte: crossing(view, network, 1.0), expected }
}

/// What `job` comes to on `network` if it runs there for `run_s` seconds, after the wait that is expected now: the value of its
/// time, and its bill. The price on congestion is left out: it is there to decide by, and nobody pays it.
#[must_use]
pub fn comes_to(job: &Job, view: &View, network: NetworkId, prediction: &Prediction, run_s: f64) -> f64 {
    let state = &view.state[network];
    let back_s =
        if network == view.home { 0.0 } else { link_s(state, known(prediction.response_bytes.unwrap_or(0.0))) };
    let wait_s = if state.wait_s == f64::INFINITY { f64::INFINITY } else { known(state.wait_s) };
    let time_s = wait_s + arriving_s(job, view, network) + known(run_s) + back_s;
    time_value(job, view) * time_s + bill(job, view, network, Some(prediction), run_s).expected
}

/// What a second of a slot of `network` costs the next job, at the load that is expected there over `horizon_s` seconds.
#[must_use]
pub fn congestion_per_s(view: &View, network: NetworkId, horizon_s: f64) -> f64 {
    let state = &view.state[network];
    let most = known(state.price.congestion);
    if state.capacity == 0 || most == 0.0 {
        return 0.0;
    }
    let from = known(state.price.congestion_from).min(1.0);
    // A load that is expected to fall is there all the same when the next job comes: only a rise counts ahead. Counting both
    // cost a hundredth on the traces of bursts.
    let now = f64::from(state.in_flight);
    let expected = state.outlook.over(now, horizon_s).max(now) / f64::from(state.capacity);
    let over = expected - from;
    let share = if from < 1.0 { (over / (1.0 - from)).clamp(0.0, 1.0) } else { f64::from(u8::from(over >= 0.0)) };
    most * known(view.pricing.time_value_per_s(Urgency::DEFAULT)) * share
}

/// The share of a network's slots that are taken; 0 where its capacity is not known.
pub(crate) fn load(state: &NetworkView) -> f64 {
    if state.capacity == 0 { 0.0 } else { f64::from(state.in_flight) / f64::from(state.capacity) }
}

/// What a second of this job's waiting is worth.
pub(crate) fn time_value(job: &Job, view: &View) -> f64 {
    known(view.pricing.time_value_per_s(job.urgency))
}

/// Bytes that have to move to a network before the job can start there, were it not home.
pub(crate) fn to_move(job: &Job, state: &NetworkView) -> f64 {
    body_bytes(job) + cold_bytes(job, state)
}

fn body_bytes(job: &Job) -> f64 {
    job.body_bytes.unwrap_or(0) as f64
}

/// Bytes of the job's inputs that are not there: what is need not cross.
fn cold_bytes(job: &Job, state: &NetworkView) -> f64 {
    job.input_bytes.unwrap_or(0).saturating_sub(state.warm_bytes) as f64
}

/// What `bytes` cost on their way to or from `network`.
pub(crate) fn crossing(view: &View, network: NetworkId, bytes: f64) -> f64 {
    if network == view.home { 0.0 } else { known(view.state[network].price.per_gib_moved) * bytes / GIB }
}

/// Seconds that `bytes` take over the link; 0 where its rate is not known.
fn link_s(state: &NetworkView, bytes: f64) -> f64 {
    let rate = known(state.link_bytes_per_s);
    if rate > 0.0 { bytes / rate } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{PRIVATE, PUBLIC, job, view};

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9, "{got}, not {expected}");
    }

    #[test]
    fn every_term_counts() {
        let (mut job, mut view) = (job(), view());
        (job.body_bytes, job.input_bytes) = (Some(1 << 20), Some(3 << 20));
        let public = &mut view.state[PUBLIC];
        (public.wait_s, public.rtt_s, public.link_bytes_per_s) = (2.0, 0.5, f64::from(1 << 20));
        (public.warm_bytes, public.link_queued_bytes) = (2 << 20, f64::from(1 << 20));
        public.price = crate::view::Price { per_slot_s: 1.0, per_cpu_s: 0.1, per_gib_s: 0.01, ..public.price };
        public.price.per_gib_moved = 1024.0;
        let prediction = Prediction {
            cpu_s: Some(5.0),
            memory_bytes: Some(GIB),
            response_bytes: Some(f64::from(1 << 20)),
            ..Prediction::exactly(10.0)
        };
        close(arriving_s(&job, &view, PUBLIC), 0.5 + 3.0);
        // 2 waiting, 3.5 arriving, 10 running, 1 back; slot, CPU, memory; 2 MiB there and 1 back.
        close(fresh(&job, &view, PUBLIC, &prediction), 0.8 * 16.5 + 10.0 + 0.5 + 0.1 + 3.0);
        close(terms(&job, &view, PUBLIC, &prediction).total(), fresh(&job, &view, PUBLIC, &prediction));
        // The same money, without the value of time.
        let bill = bill(&job, &view, PUBLIC, Some(&prediction), 10.0);
        close(bill.expected, 10.0 + 0.5 + 0.1 + 3.0);
        close(bill.after(10.0, f64::from(3 << 20)), bill.expected);
        close(arriving_s(&job, &view, PRIVATE), 0.0);
        close(fresh(&job, &view, PRIVATE, &prediction), 0.8 * 10.0 + 0.3 * 10.0);
    }

    #[test]
    fn what_is_warm_need_not_be_fetched_on_either_side() {
        let (mut job, mut view) = (job(), view());
        (job.body_bytes, job.input_bytes) = (Some(1 << 20), Some(8 << 20));
        let public = &mut view.state[PUBLIC];
        (public.rtt_s, public.link_bytes_per_s) = (0.5, f64::from(1 << 20));
        let check = |private: Option<f64>, public: Option<f64>, warm: u64, expected: (f64, f64)| {
            let mut view = view;
            (view.state[PRIVATE].fetch_bytes_per_s, view.state[PRIVATE].warm_bytes) = (private, warm);
            (view.state[PUBLIC].fetch_bytes_per_s, view.state[PUBLIC].warm_bytes) = (public, warm);
            close(arriving_s(&job, &view, PRIVATE), expected.0);
            close(arriving_s(&job, &view, PUBLIC), expected.1);
        };
        let rate = |mib: u32| Some(f64::from(mib << 20));
        check(None, None, 0, (0.0, 0.5 + 9.0));
        check(rate(4), rate(2), 0, (2.0, 0.5 + 1.0 + 4.0));
        check(rate(4), rate(2), 4 << 20, (1.0, 0.5 + 1.0 + 2.0));
        check(rate(4), rate(2), 99 << 20, (0.0, 0.5 + 1.0));
        // How fast, nobody knows.
        check(Some(0.0), Some(f64::NAN), 0, (0.0, 0.5 + 1.0));
    }

    #[test]
    fn a_slot_costs_more_the_fuller_its_network_is() {
        let check = |in_flight, capacity, from, expected| {
            let mut view = view();
            let private = &mut view.state[PRIVATE];
            (private.in_flight, private.capacity) = (in_flight, capacity);
            (private.price.congestion, private.price.congestion_from) = (0.6, from);
            close(congestion_per_s(&view, PRIVATE, 5.0), expected);
        };
        check(0, 10, 0.6, 0.0);
        check(6, 10, 0.6, 0.0);
        check(8, 10, 0.6, 0.6 * 0.8 * 0.5);
        check(10, 10, 0.6, 0.6 * 0.8);
        check(19, 10, 0.6, 0.6 * 0.8);
        check(19, 0, 0.6, 0.0);
        check(10, 10, 1.0, 0.6 * 0.8);
        check(9, 10, 2.0, 0.0);
        check(9, 10, f64::NAN, 0.9 * 0.6 * 0.8);
    }

    #[test]
    fn a_wait_without_end_costs_without_end_and_an_unknown_one_nothing() {
        let (job, mut view) = (job(), view());
        view.state[PUBLIC].wait_s = f64::INFINITY;
        assert_eq!(fresh(&job, &view, PUBLIC, &Prediction::exactly(1.0)), f64::INFINITY);
        view.state[PUBLIC].wait_s = f64::NAN;
        assert!(fresh(&job, &view, PUBLIC, &Prediction::exactly(1.0)).is_finite());
    }

    proptest! {
        #[test]
        fn a_longer_wait_a_longer_job_or_a_dearer_slot_is_never_cheaper(
            wait_s in 0.0..100.0_f64, run_s in 0.0..100.0_f64, price in 0.0..10.0_f64, more in 0.0..10.0_f64,
        ) {
            let job = job();
            let cost = |wait_s, run_s, price| {
                let mut view = view();
                view.state[PUBLIC].wait_s = wait_s;
                view.state[PUBLIC].price.per_slot_s = price;
                fresh(&job, &view, PUBLIC, &Prediction::exactly(run_s))
            };
            let base = cost(wait_s, run_s, price);
            prop_assert!(cost(wait_s + more, run_s, price) >= base);
            prop_assert!(cost(wait_s, run_s + more, price) >= base);
            prop_assert!(cost(wait_s, run_s, price + more) >= base);
        }
    }
}
