//! What another configuration, or another model, would have made of a job that is over.
//!
//! Where the job ran, its time is known, and so it is where a shadow of it ran to its end: two labels of one job. What it would
//! have taken anywhere else nobody has seen; then there is only what the model says, as an interval. A [`Range`] keeps the two
//! apart: it has no width where everything in it was seen.
//!
//! Each job is judged by itself, in the load that was there when it came. Had others gone elsewhere before it, that load would
//! have been another one: a replay says what one decision was worth, not what a day would have looked like.

use crate::cost;
use crate::decide::{Step, decide};
use crate::job::Job;
use crate::model::Model;
use crate::observation::Evidence;
use crate::plan::{Plan, Shadowing, plan_as};
use crate::prediction::Prediction;
use crate::units::{NetworkId, NetworkSet, PerNetwork};
use crate::view::View;
use crate::watchdog::Arm;

/// A job that is over.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    /// As it came.
    pub job: Job,
    /// Who placed it.
    pub arm: Arm,
    /// Who answered.
    pub target: NetworkId,
    /// Where shadows of it were meant to run.
    pub shadows: NetworkSet,
    /// What it took, where that was seen to the end, seconds.
    pub took_s: PerNetwork<Option<f64>>,
}

/// What a decision on it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What its dispatches had shown.
    pub evidence: Evidence,
    /// When the window began, on the clock of the evidence.
    pub forked_s: f64,
    /// When it was looked at.
    pub at_s: f64,
    /// The networks then.
    pub view: View,
}

/// Money: between these, and about this much.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// At the least.
    pub low: f64,
    /// In the mean.
    pub mean: f64,
    /// At the most.
    pub high: f64,
}

/// What would have been done.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// The plan that would have been made.
    pub plan: Plan,
    /// Who would have answered, as far as is known.
    pub answered: NetworkId,
    /// What happened cost, at the prices and by the load that the view has; `None` if its time was not seen.
    pub cost: Option<Range>,
    /// What the plan would have cost; `None` if nothing was seen and nothing is predicted.
    pub other: Option<Range>,
    /// Whether the other cost is known, and not only predicted.
    pub is_known: bool,
}

impl Range {
    /// One figure.
    #[must_use]
    pub const fn exactly(money: f64) -> Self {
        Self { low: money, mean: money, high: money }
    }

    /// Both together. The ends are added as they are, as if all that is not known went the same way for every job: the
    /// widest that it can be.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { low: self.low + other.low, mean: self.mean + other.mean, high: self.high + other.high }
    }

    /// Whether it has no width.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.low == self.high
    }
}

/// Plans a job again, in `view` and by `model`, and says what that would have cost.
///
/// Where the plan would have let the same network answer beside the same shadows, the same would have been seen, and what was
/// seen is decided on again.
#[must_use]
pub fn again(happened: &Happened, seen: Option<&Seen>, view: &View, model: Option<&Model>) -> Replayed {
    let Happened { job, arm, target, shadows, took_s } = happened;
    let plan = plan_as(*arm, job, view, model, 0.0);
    let cost = |network: NetworkId| cost_on(job, view, network, took_s[network], plan.predictions[network].as_ref());
    let happened_cost = took_s[*target].and_then(|_| cost(*target));
    let could_move = match plan.shadowing {
        Shadowing::Lead { on, .. } | Shadowing::Probe { on, .. } => on,
        Shadowing::Direct | Shadowing::Sample { .. } => NetworkSet::EMPTY,
    };
    let the_same = could_move == *shadows && (plan.target == *target || could_move.contains(*target));
    let answered = match seen {
        Some(seen) if the_same => decided(job, seen, model, &plan).unwrap_or(*target),
        None if the_same => *target,
        _ => plan.target,
    };
    let others = could_move.iter().filter(|_| !the_same).filter_map(cost);
    let other = answered_by_any(cost(answered), others);
    let is_known = other.is_some_and(|range| range.is_exact());
    Replayed { plan, answered, cost: happened_cost, other, is_known }
}

/// Who answers by what was seen, if that settles it.
fn decided(job: &Job, seen: &Seen, model: Option<&Model>, plan: &Plan) -> Option<NetworkId> {
    let Seen { evidence, forked_s, at_s, view } = seen;
    match decide(job, view, model, plan, evidence, *forked_s, *at_s) {
        Step::Settled(decision) => Some(decision.target),
        Step::WaitUntil(_) => None,
    }
}

/// The plan's target answers, unless one of the others is found to be cheaper.
fn answered_by_any(target: Option<Range>, others: impl Iterator<Item = Range>) -> Option<Range> {
    let target = target?;
    Some(others.fold(target, |range, other| Range { low: range.low.min(other.low), ..range }))
}

/// The whole cost on a network: exact where its time was seen, else the 80 % interval of what is predicted.
fn cost_on(
    job: &Job,
    view: &View,
    network: NetworkId,
    took_s: Option<f64>,
    prediction: Option<&Prediction>,
) -> Option<Range> {
    let money = |run_s: f64| {
        let exactly = Prediction::exactly(run_s);
        cost::fresh_at(job, view, network, prediction.unwrap_or(&exactly), run_s)
    };
    let range = match (took_s, prediction) {
        (Some(took_s), _) => Range::exactly(money(cost::known(took_s))),
        (None, Some(prediction)) => {
            let [low, .., high] = prediction.quantiles_s.map(cost::known);
            let mean = cost::known(prediction.mean_s);
            Range { low: money(low.min(mean)), mean: money(mean), high: money(high.max(mean)) }
        }
        (None, None) => return None,
    };
    range.high.is_finite().then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PRIVATE, PUBLIC, job, view};

    fn happened(took_s: [Option<f64>; 2]) -> Happened {
        let mut seen = PerNetwork::default();
        (seen[PRIVATE], seen[PUBLIC]) = (took_s[0], took_s[1]);
        Happened { job: job(), arm: Arm::Policy, target: PRIVATE, shadows: NetworkSet::EMPTY, took_s: seen }
    }

    /// As [`view`], with nothing shadowed.
    fn quiet() -> View {
        let mut view = view();
        (view.shadowing.sample_share, view.shadowing.explore_share) = (0.0, 0.0);
        view
    }

    /// The same, where home is full and cannot be had.
    fn elsewhere() -> View {
        let mut view = quiet();
        view.state[PRIVATE].healthy = false;
        view
    }

    #[test]
    fn what_would_have_gone_where_it_went_costs_what_it_cost() {
        let replayed = again(&happened([Some(5.0), None]), None, &quiet(), None);
        assert_eq!(replayed.plan.target, PRIVATE);
        assert!(replayed.is_known);
        assert_eq!(replayed.cost, replayed.other);
        assert_eq!(
            replayed.cost.expect("it was seen").mean,
            cost::fresh(&job(), &quiet(), PRIVATE, &Prediction::exactly(5.0))
        );
    }

    #[test]
    fn what_was_seen_on_both_sides_is_known_on_both() {
        let replayed = again(&happened([Some(5.0), Some(2.0)]), None, &elsewhere(), None);
        assert_eq!(replayed.plan.target, PUBLIC);
        assert!(replayed.is_known);
        let expected = cost::fresh(&job(), &elsewhere(), PUBLIC, &Prediction::exactly(2.0));
        assert_eq!(replayed.other, Some(Range::exactly(expected)));
    }

    #[test]
    fn what_nobody_saw_and_nothing_predicts_is_not_made_up() {
        let replayed = again(&happened([Some(5.0), None]), None, &elsewhere(), None);
        assert_eq!((replayed.plan.target, replayed.other, replayed.is_known), (PUBLIC, None, false));
        assert!(replayed.cost.is_some());
        let never = again(&happened([None, None]), None, &quiet(), None);
        assert_eq!((never.cost, never.other), (None, None));
    }

    #[test]
    fn what_is_only_predicted_is_an_interval() {
        let prediction = Prediction { mean_s: 2.0, quantiles_s: [1.0, 1.5, 1.8, 2.4, 4.0], ..Prediction::default() };
        let view = quiet();
        let range = cost_on(&job(), &view, PUBLIC, None, Some(&prediction)).expect("it is predicted");
        assert!(range.low < range.mean && range.mean < range.high && !range.is_exact());
        let seen = cost_on(&job(), &view, PUBLIC, Some(2.0), Some(&prediction)).expect("it was seen");
        assert!(seen.is_exact() && (seen.mean - range.mean).abs() < 1e-12);
    }

    #[test]
    fn a_shadow_can_only_have_made_it_cheaper() {
        let range = |low, mean, high| Range { low, mean, high };
        let check = |target, others: &[Range], expected| {
            assert_eq!(answered_by_any(target, others.iter().copied()), expected);
        };
        check(Some(Range::exactly(3.0)), &[], Some(Range::exactly(3.0)));
        check(Some(Range::exactly(3.0)), &[range(1.0, 2.0, 5.0)], Some(range(1.0, 3.0, 3.0)));
        check(Some(range(2.0, 3.0, 4.0)), &[Range::exactly(9.0)], Some(range(2.0, 3.0, 4.0)));
        check(None, &[Range::exactly(1.0)], None);
    }

    #[test]
    fn ranges_add_up_end_by_end() {
        let sum = Range { low: 1.0, mean: 2.0, high: 4.0 }.and(Range::exactly(1.0));
        assert_eq!(sum, Range { low: 2.0, mean: 3.0, high: 5.0 });
    }
}
