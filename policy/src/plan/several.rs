//! Three and four networks: what holds for two holds for them, each gate shuts its own network, and the shadow runs where it
//! is worth most. And what exploring may cost, however many there are.

use super::*;
use crate::decide::Action;
use crate::learn::{Window, refit};
use crate::testing::{Dice, PRIVATE, PUBLIC, job, view};
use crate::units::ClassId;
use crate::view::{NetworkView, Price};
use crate::{Evidence, Observation, Phase, Step, decide};

const EDGE: NetworkId = NetworkId::new(2).expect("below the most networks");
const SPOT: NetworkId = NetworkId::new(3).expect("below the most networks");

/// Besides the two, an edge that is near and dear, and spot machines far away that cost next to nothing.
fn four() -> View {
    let mut view = view();
    view.networks = [PRIVATE, PUBLIC, EDGE, SPOT].into_iter().collect();
    let network = |rtt_s, per_slot_s| NetworkView {
        rtt_s,
        price: Price { per_slot_s, ..Price::default() },
        capacity: 16,
        ..view.state[PUBLIC]
    };
    (view.state[EDGE], view.state[SPOT]) = (network(0.002, 2.0), network(0.2, 0.1));
    view
}

/// A model of classes by their median seconds on each of the four, and the spread of each from job to job.
fn model_of(classes: &[[(f64, f64); 4]]) -> Model {
    let mut dice = Dice::new(11);
    let mut window = Window::new(100_000);
    for i in 0..80_u64 {
        for (class, medians) in classes.iter().enumerate() {
            let size = (0.1 * dice.normal()).exp();
            for (network, (median_s, spread)) in [PRIVATE, PUBLIC, EDGE, SPOT].into_iter().zip(medians) {
                let took_s = median_s * size * (spread * dice.normal()).exp();
                let row = crate::testing::took(class as u16, network, took_s);
                window.push(crate::learn::Row { pair: i * 8 + class as u64, ..row }).expect("a label that can be");
            }
        }
    }
    refit(&window, PRIVATE, None).expect("enough labels")
}

fn sure(seconds: [f64; 4]) -> [(f64, f64); 4] {
    seconds.map(|s| (s, 0.03))
}

#[test]
fn each_of_four_networks_gets_the_jobs_that_are_cheapest_there() {
    // A second at home costs 1.1, 1.8 on the public one, 2.8 at the edge, 0.9 on spot.
    let model = model_of(&[
        sure([4.0, 4.0, 4.0, 9.0]),
        sure([4.0, 1.0, 1.0, 9.0]),
        sure([4.0, 4.0, 0.5, 9.0]),
        sure([4.0, 4.0, 4.0, 2.0]),
    ]);
    for (class, expected) in [PRIVATE, PUBLIC, EDGE, SPOT].into_iter().enumerate() {
        let job = Job { class: ClassId(class as u16), ..job() };
        let plan = plan(&job, &four(), Some(&model), 0.0);
        assert_eq!((plan.target, plan.reason), (expected, Reason::Cheaper), "class {class}: {:?}", plan.costs);
        let next = plan.eligible.without(expected).iter().min_by(|a, b| plan.costs[*a].total_cmp(&plan.costs[*b]));
        // Its own gate, and the next best takes the job.
        let mut shut = four();
        shut.state[expected].healthy = false;
        assert_eq!(Some(super::plan(&job, &shut, Some(&model), 0.0).target), next, "class {class}");
    }
}

#[test]
fn each_gate_shuts_its_own_network_and_speaks_only_where_nothing_is_left_to_choose() {
    let model = model_of(&[sure([4.0, 1.0, 1.2, 9.0])]);
    let mut view = four();
    view.state[PUBLIC].spend_left = Some(0.0);
    let gates = gate::gates(&job(), &view);
    assert_eq!((gates.shut[PUBLIC], gates.eligible.len()), (Some(Reason::Spend), 3));
    let spared = plan(&job(), &view, Some(&model), 0.0);
    assert_eq!((spared.target, spared.reason), (EDGE, Reason::Cheaper), "{:?}", spared.costs);
    view.state[EDGE].healthy = false;
    view.state[SPOT].in_flight = 8 * view.state[SPOT].capacity;
    let alone = plan(&job(), &view, Some(&model), 0.0);
    assert_eq!((alone.target, alone.reason), (PRIVATE, Reason::Capacity), "the one that came closest");
    view.state[SPOT].healthy = false;
    assert_eq!(plan(&job(), &view, Some(&model), 0.0).reason, Reason::Spend);
    // It must run somewhere: where its bytes may be, spent or not.
    let bound = Job { residency: NetworkSet::only(PUBLIC), ..job() };
    let plan = plan(&bound, &view, Some(&model), 0.0);
    assert_eq!((plan.target, plan.reason), (PUBLIC, Reason::NothingEligible));
}

#[test]
fn without_a_model_a_full_home_spills_to_the_cheapest_that_has_room() {
    let mut view = four();
    view.state[PRIVATE].in_flight = 8;
    let mut check = |change: fn(&mut View), expected| {
        change(&mut view);
        let plan = plan(&job(), &view, None, 0.0);
        assert_eq!((plan.target, plan.reason), expected);
    };
    check(|_| {}, (SPOT, Reason::Spill));
    check(|view| view.state[SPOT].in_flight = 16, (PUBLIC, Reason::Spill));
    check(|view| view.state[PUBLIC].spend_left = Some(-0.5), (EDGE, Reason::Spill));
    check(|view| view.state[EDGE].in_flight = 16, (PRIVATE, Reason::Capacity));
}

#[test]
fn the_shadow_runs_where_it_is_worth_most_and_nowhere_that_is_shut() {
    // Home is the cheapest in the mean. Of the edge it is known that it is not worth it, of spot that it could well be.
    let model = model_of(&[[(20.0, 0.03), (14.0, 0.2), (20.0, 0.03), (26.0, 0.9)]]);
    let shadowed = |view: &View| plan(&job(), view, Some(&model), 0.0);
    let open = shadowed(&four());
    assert_eq!((open.target, open.shadowing.on()), (PRIVATE, NetworkSet::only(SPOT)), "{open:?}");
    let mut view = four();
    view.state[SPOT].spend_left = Some(0.0);
    let spent = shadowed(&view);
    assert!(!spent.shadowing.on().contains(SPOT) && spent.worth < open.worth, "{spent:?}");
    view.state[SPOT].spend_left = None;
    view.state[SPOT].shadow_room = false;
    assert!(!shadowed(&view).shadowing.on().contains(SPOT));
}

#[test]
fn of_several_shadows_the_cheapest_is_adopted_and_a_failure_goes_to_the_next() {
    let model = model_of(&[sure([20.0, 18.0, 16.0, 26.0])]);
    let (job, view) = (job(), four());
    let mut plan = plan(&job, &view, Some(&model), 0.0);
    assert_eq!(plan.target, PRIVATE, "{:?}", plan.costs);
    let on: NetworkSet = [PUBLIC, SPOT].into_iter().collect();
    plan.shadowing = Shadowing::Lead { on, window_s: 2.0 };
    let seen = |progress| Observation { progress: Some(progress), granted: Some(0.25), ..Observation::started(0.0) };
    let lead = Observation { progress: Some(0.02), granted: Some(1.0), ..Observation::started(0.0) };
    let mut evidence = Evidence { lead: Some((PRIVATE, lead)), ..Evidence::default() };
    evidence.shadows[PUBLIC] = Some(seen(0.05));
    evidence.shadows[SPOT] = Some(seen(0.09));
    let Step::Settled(decision) = decide(&job, &view, Some(&model), &plan, &evidence, 0.0, 2.0) else {
        panic!("the window is over")
    };
    assert_eq!((decision.target, decision.action, decision.reason), (SPOT, Action::Adopt, Reason::Switched));
    // What is spent is not spent more of.
    let mut spent = view;
    spent.state[SPOT].spend_left = Some(0.0);
    let Step::Settled(decision) = decide(&job, &spent, Some(&model), &plan, &evidence, 0.0, 2.0) else {
        panic!("the window is over")
    };
    assert_eq!(decision.target, PUBLIC);
    // The lead breaks: the shadow that is furthest, then the next by cost.
    plan.shadowing = Shadowing::Direct;
    let broken = Observation { phase: Phase::Failed, ..Observation::started(0.0) };
    let failed = |on| Evidence { lead: Some((on, broken)), ..Evidence::default() };
    let mut left = plan;
    let mut order = Vec::new();
    let mut at = plan.target;
    loop {
        left.eligible = left.eligible.without(at);
        let Step::Settled(decision) = decide(&job, &view, Some(&model), &left, &failed(at), 0.0, 0.5) else {
            panic!("a failure settles")
        };
        if decision.action == Action::Keep {
            break;
        }
        at = decision.target;
        order.push(at);
    }
    let mut by_cost = [PUBLIC, EDGE, SPOT];
    by_cost.sort_by(|a, b| plan.costs[*a].total_cmp(&plan.costs[*b]));
    assert_eq!(order, by_cost, "each once");
}

#[test]
fn exploring_adds_no_more_than_its_share_whatever_the_others_charge() {
    let model = model_of(&[sure([4.0, 4.0, 4.0, 4.0])]);
    for price in [1.0, 10.0, 100.0] {
        for modelled in [false, true] {
            let mut view = four();
            view.shadowing.explore_share = 0.02;
            for network in [PUBLIC, EDGE, SPOT] {
                view.state[network].price.per_slot_s = price;
            }
            let share = if modelled { 0.02 } else { COLD_EXPLORE_SHARE };
            let (mut extra, mut explored) = (0.0, 0);
            let mut dice = Dice::new(3);
            for _ in 0..60_000 {
                let job = Job { draw: dice.uniform(), ..job() };
                let plan = plan(&job, &view, modelled.then_some(&model), 0.0);
                if plan.reason == Reason::Explore {
                    explored += 1;
                    // Without a model, a job of a second.
                    extra += (0.8 + price) / 1.1 - 1.0;
                }
            }
            println!("price {price}, model {modelled}: {explored} explored, {:.4} of the cost", extra / 60_000.0);
            assert!(extra / 60_000.0 < 1.3 * share, "price {price}: {extra}");
            assert!(modelled || explored > 0, "a network that is never tried is never known");
        }
    }
}

#[test]
fn what_the_rule_places_is_neither_explored_nor_shadowed_to_act_nor_moved() {
    let model = model_of(&[[(20.0, 0.03), (4.0, 0.9), (9.0, 0.9), (9.0, 0.9)]]);
    let mut view = four();
    view.shadowing.explore_share = 1.0;
    for (arm, word) in [(Arm::Rule, Reason::Guard), (Arm::Fallback, Reason::Fallback)] {
        let plan = plan_as(arm, &job(), &view, Some(&model), 0.0);
        assert_eq!((plan.target, plan.reason, plan.shadowing), (PRIVATE, word, Shadowing::Direct));
        assert!(!crate::decide::is_watched(&job(), &view, &plan));
        let mut full = view;
        full.state[PRIVATE].in_flight = 8;
        let spilled = plan_as(arm, &job(), &full, Some(&model), 0.0);
        assert_eq!((spilled.target != PRIVATE, spilled.reason), (true, word));
        full.state[PRIVATE].healthy = false;
        assert_eq!(plan_as(arm, &job(), &full, Some(&model), 0.0).reason, Reason::Health);
    }
    let policy = plan_as(Arm::Policy, &job(), &view, Some(&model), 0.0);
    let size = size(&job(), &view, &policy).expect("it is predicted");
    let mean_s = policy.predictions[PRIVATE].expect("it is predicted").mean_s;
    assert!((size / (1.1 * mean_s) - 1.0).abs() < 1e-9, "the value of its time and its slot: {size}");
    assert!(is_compared(&job(), &view, true) && !is_compared(&job(), &view, false));
    assert!(!is_compared(&Job { residency: NetworkSet::only(PRIVATE), ..job() }, &view, true));
    assert!(!is_compared(&Job { mode: ShadowMode::Observe, ..job() }, &view, true));
}
