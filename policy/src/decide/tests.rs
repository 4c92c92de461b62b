//! The second decision, by table, by property and over the whole of what could come in.

use proptest::prelude::*;

use super::*;
use crate::job::ShadowMode;
use crate::level::Level;
use crate::observation::{Observation, Phase};
use crate::plan::Shadowing;
use crate::plan::tests::{MODEL, any_case};
use crate::progress::ProgressSource;
use crate::testing::{CAPS, PRIVATE, PUBLIC, job, lognormal, view};
use crate::units::{MAX_NETWORKS, NetworkSet};

const THIRD: NetworkId = match NetworkId::new(2) {
    Some(network) => network,
    None => panic!("there are at least three"),
};

/// Private leads; it is expected to take 20 s there and 12 s on the public network, whose slots cost more, and nobody knows
/// the ratio well. The window is 2 s from second 100.
fn plan() -> Plan {
    let mut plan = Plan {
        target: PRIVATE,
        arm: crate::Arm::Policy,
        reason: Reason::Cheaper,
        shadowing: Shadowing::Lead { on: NetworkSet::only(PUBLIC), window_s: 2.0 },
        level: Level::Medium,
        caps: CAPS,
        eligible: [PRIVATE, PUBLIC].into_iter().collect(),
        predictions: PerNetwork::default(),
        costs: PerNetwork([f64::NAN; MAX_NETWORKS]),
        worth: 1.0,
    };
    plan.predictions[PRIVATE] = Some(lognormal(20.0, 0.4, 0.0));
    plan.predictions[PUBLIC] = Some(lognormal(12.0, 0.4, 0.6));
    (plan.costs[PRIVATE], plan.costs[PUBLIC]) = (24.0, 23.0);
    plan
}

const PLANNED_S: f64 = 100.0;

fn seen(phase: Phase) -> Observation {
    Observation { phase, ..Observation::started(PLANNED_S) }
}

fn progress(share: f64, granted: f64) -> Observation {
    Observation { progress: Some(share), granted: Some(granted), ..seen(Phase::Running) }
}

fn evidence(lead: Option<Observation>, shadow: Option<Observation>) -> Evidence {
    let mut evidence = Evidence { lead: lead.map(|lead| (PRIVATE, lead)), ..Evidence::default() };
    evidence.shadows[PUBLIC] = shadow;
    evidence
}

const RUNNING: Phase = Phase::Running;
const GOOD_HEAD: Phase = Phase::Head { at_s: 1.0, good: true };
const BAD_HEAD: Phase = Phase::Head { at_s: 1.0, good: false };
const GOOD: Phase = Phase::Finished { at_s: 1.0, good: true };
const BAD: Phase = Phase::Finished { at_s: 1.0, good: false };

/// What is decided, in short; `None` while it waits.
fn short(step: Step) -> Option<(NetworkId, Action, Reason)> {
    match step {
        Step::Settled(decision) => Some((decision.target, decision.action, decision.reason)),
        Step::WaitUntil(_) => None,
    }
}

fn ask(job: &Job, plan: &Plan, evidence: &Evidence, after_s: f64) -> Option<(NetworkId, Action, Reason)> {
    short(decide(job, &view(), None, plan, evidence, PLANNED_S, PLANNED_S + after_s))
}

#[test]
fn phases_decide_as_the_design_says() {
    let check = |lead: Phase, shadow: Option<Phase>, after_s, expected| {
        let evidence = evidence(Some(seen(lead)), shadow.map(seen));
        assert_eq!(ask(&job(), &plan(), &evidence, after_s), expected, "{lead:?} {shadow:?} after {after_s}");
    };
    let keep = |reason| Some((PRIVATE, Action::Keep, reason));
    let adopt = |reason| Some((PUBLIC, Action::Adopt, reason));
    let send = Some((PUBLIC, Action::Send, Reason::Failover));
    check(RUNNING, Some(RUNNING), 1.0, None);
    check(RUNNING, Some(RUNNING), 2.0, keep(Reason::WindowEnded));
    check(RUNNING, Some(Phase::BlockedOnData), 2.0, keep(Reason::WindowEnded));
    check(RUNNING, Some(Phase::Refused), 1.0, None);
    check(GOOD_HEAD, Some(GOOD), 1.0, keep(Reason::LeadAnswered));
    check(GOOD, None, 1.0, keep(Reason::LeadAnswered));
    check(RUNNING, Some(GOOD), 1.0, adopt(Reason::ShadowFinished));
    check(RUNNING, Some(GOOD), 5.0, adopt(Reason::ShadowFinished));
    check(RUNNING, Some(BAD), 1.0, None);
    check(Phase::Failed, Some(GOOD), 1.0, adopt(Reason::LeadFailed));
    check(Phase::Failed, Some(RUNNING), 1.0, adopt(Reason::LeadFailed));
    check(Phase::Refused, Some(GOOD_HEAD), 1.0, adopt(Reason::LeadFailed));
    check(BAD_HEAD, Some(RUNNING), 1.0, keep(Reason::LeadAnswered));
    check(Phase::Failed, None, 1.0, send);
    check(Phase::Failed, Some(Phase::Refused), 1.0, send);
    check(Phase::Failed, Some(Phase::Failed), 1.0, keep(Reason::LeadFailed));
    check(Phase::Failed, Some(BAD), 1.0, keep(Reason::LeadFailed));
}

#[test]
fn what_must_not_run_twice_fails_over_only_if_it_was_refused() {
    let job = Job { repeatable: false, ..job() };
    let plan = Plan { shadowing: Shadowing::Direct, ..plan() };
    let check = |lead, expected| assert_eq!(ask(&job, &plan, &evidence(Some(seen(lead)), None), 1.0), Some(expected));
    check(Phase::Refused, (PUBLIC, Action::Send, Reason::Failover));
    check(Phase::Failed, (PRIVATE, Action::Keep, Reason::LeadFailed));
    check(BAD_HEAD, (PRIVATE, Action::Keep, Reason::LeadAnswered));
    check(RUNNING, (PRIVATE, Action::Keep, Reason::Cheaper));
}

#[test]
fn a_job_at_its_last_hop_fails_where_it_is() {
    let job = Job { last_hop: true, ..job() };
    for phase in [Phase::Failed, Phase::Refused] {
        let expected = Some((PRIVATE, Action::Keep, Reason::LeadFailed));
        assert_eq!(ask(&job, &plan(), &evidence(Some(seen(phase)), Some(seen(GOOD))), 1.0), expected);
    }
}

#[test]
fn a_route_that_may_not_act_never_moves_a_job_that_runs() {
    for mode in [ShadowMode::Observe, ShadowMode::Off] {
        let job = Job { mode, ..job() };
        let evidence = evidence(Some(progress(0.001, 1.0)), Some(seen(GOOD)));
        assert_eq!(ask(&job, &plan(), &evidence, 1.0), Some((PRIVATE, Action::Keep, Reason::Cheaper)));
    }
}

#[test]
fn a_sample_is_never_adopted() {
    let plan = Plan { shadowing: Shadowing::Sample { on: NetworkSet::only(PUBLIC), window_s: 9.0 }, ..plan() };
    let step = ask(&job(), &plan, &evidence(Some(seen(RUNNING)), Some(seen(GOOD))), 1.0);
    assert_eq!(step.map(|(_, action, _)| action).unwrap_or(Action::Keep), Action::Keep);
}

#[test]
fn failover_goes_through_every_network_once() {
    let (mut view, mut plan) = (view(), plan());
    view.networks = view.networks.with(THIRD);
    view.state[THIRD] = view.state[PUBLIC];
    plan.eligible = plan.eligible.with(THIRD);
    plan.costs[THIRD] = 22.0;
    plan.shadowing = Shadowing::Direct;
    let check = |from: NetworkId, eligible: &[NetworkId], expected| {
        let plan = Plan { eligible: eligible.iter().copied().collect(), ..plan };
        let evidence = Evidence { lead: Some((from, seen(Phase::Failed))), ..Evidence::default() };
        assert_eq!(short(decide(&job(), &view, None, &plan, &evidence, PLANNED_S, PLANNED_S + 1.0)), Some(expected));
    };
    check(PRIVATE, &[PUBLIC, THIRD], (THIRD, Action::Send, Reason::Failover));
    check(THIRD, &[PUBLIC], (PUBLIC, Action::Send, Reason::Failover));
    check(PUBLIC, &[], (PUBLIC, Action::Keep, Reason::LeadFailed));
    // It was moved to the third of free will, and that broke: where it came from may have it again.
    check(THIRD, &[PRIVATE, PUBLIC], (PRIVATE, Action::Send, Reason::Failover));
    // Where the caller has not taken the broken one out, it is not sent there again at once.
    check(PRIVATE, &[PRIVATE, PUBLIC], (PUBLIC, Action::Send, Reason::Failover));
}

#[test]
fn failover_leaves_out_what_has_become_unhealthy() {
    let mut view = view();
    view.state[PUBLIC].healthy = false;
    let evidence = evidence(Some(seen(Phase::Failed)), None);
    let step = decide(&job(), &view, None, &plan(), &evidence, PLANNED_S, PLANNED_S + 1.0);
    assert_eq!(short(step), Some((PRIVATE, Action::Keep, Reason::LeadFailed)));
}

#[test]
fn rates_of_progress_move_a_job_to_where_it_ends_sooner_and_cheaper() {
    // After 1 s: what each side has done, the shadow at a quarter of full speed.
    let check = |lead: f64, shadow: f64, after_s, expected| {
        let evidence = evidence(Some(progress(lead, 1.0)), Some(progress(shadow, 0.25)));
        assert_eq!(ask(&job(), &plan(), &evidence, after_s), expected, "{lead} {shadow} after {after_s}");
    };
    let adopted = Some((PUBLIC, Action::Adopt, Reason::Switched));
    // 20 s here and 3 s there: clear at once.
    check(0.05, 0.0833, 1.0, adopted);
    // 20 s and 20 s, where slots cost three times as much.
    check(0.05, 0.0125, 1.0, None);
    check(0.1, 0.025, 2.0, Some((PRIVATE, Action::Keep, Reason::LeadConfirmed)));
    // 20 s and 10 s: better there by a little, not clear before the window ends.
    check(0.05, 0.025, 1.0, None);
    check(0.1, 0.055, 2.0, adopted);
    // Most is done: no more watching.
    check(0.7, 0.05, 1.0, Some((PRIVATE, Action::Keep, Reason::LeadConfirmed)));
}

#[test]
fn progress_counts_per_second_granted() {
    let at = |granted| {
        let evidence = evidence(Some(progress(0.1, 1.0)), Some(progress(0.1, granted)));
        ask(&job(), &plan(), &evidence, 2.0)
    };
    // The same progress: with a tenth of the machine it is ten times as fast, with all of it no faster.
    assert_eq!(at(0.1), Some((PUBLIC, Action::Adopt, Reason::Switched)));
    assert_eq!(at(1.0), Some((PRIVATE, Action::Keep, Reason::LeadConfirmed)));
}

#[test]
fn what_a_shadow_was_granted_is_not_guessed_in_its_favour() {
    // As fast as the lead if it had all of the machine, four times as fast if it had a quarter of it.
    let at = |granted| {
        let shadow = Observation { granted, ..progress(0.1, 1.0) };
        ask(&job(), &plan(), &evidence(Some(progress(0.1, 1.0)), Some(shadow)), 2.0)
    };
    assert_eq!(at(Some(0.25)), Some((PUBLIC, Action::Adopt, Reason::Switched)));
    assert_eq!(at(None), Some((PRIVATE, Action::Keep, Reason::LeadConfirmed)));
}

#[test]
fn the_cpu_that_was_used_says_how_much_of_a_machine_a_shadow_had() {
    let check = |lead_cpu_s, shadow_cpu_s, predicted_cpu_s, expected| {
        let mut plan = plan();
        plan.predictions[PUBLIC].as_mut().expect("predicted").cpu_s = predicted_cpu_s;
        let lead = Observation { cpu_s: lead_cpu_s, ..progress(0.1, 1.0) };
        let shadow = Observation { cpu_s: shadow_cpu_s, granted: None, ..progress(0.1, 1.0) };
        let step = ask(&job(), &plan, &evidence(Some(lead), Some(shadow)), 2.0);
        let adopted = step == Some((PUBLIC, Action::Adopt, Reason::Switched));
        assert_eq!(adopted, expected, "{lead_cpu_s:?} {shadow_cpu_s:?} {predicted_cpu_s:?}: {step:?}");
    };
    // The same progress. With an eighth of the lead's CPU it is far faster, with as much it is not.
    check(Some(2.0), Some(0.25), None, true);
    check(Some(2.0), Some(2.0), None, false);
    // What the job uses at full speed may also be known from other jobs: one core, or eight.
    let mean_s = plan().predictions[PUBLIC].expect("predicted").mean_s;
    check(None, Some(0.25), Some(mean_s), true);
    check(None, Some(2.0), Some(mean_s), false);
    // CPU seconds of one side alone say nothing.
    check(None, Some(0.25), None, false);
    check(Some(2.0), None, None, false);
    check(Some(f64::NAN), Some(0.25), Some(0.0), false);
}

#[test]
fn what_is_inferred_moves_a_job_later_and_less_easily_than_what_is_said() {
    let check = |lead: f64, shadow: f64, source, after_s, expected: bool| {
        let by = |share, granted| Observation { progress_source: Some(source), ..progress(share, granted) };
        let step = ask(&job(), &plan(), &evidence(Some(by(lead, 1.0)), Some(by(shadow, 0.25))), after_s);
        let moved = step == Some((PUBLIC, Action::Adopt, Reason::Switched));
        assert_eq!(moved, expected, "{lead} {shadow} {source:?} after {after_s}: {step:?}");
    };
    use crate::progress::ProgressSource::{Fetched, Polled, Taken};
    // 20 s here and 5 s there: clear before the window ends if it is said, at its end if it was read.
    check(0.075, 0.075, Polled, 1.5, true);
    check(0.075, 0.075, Fetched, 1.5, false);
    check(0.1, 0.1, Taken, 2.0, true);
    // What one side alone was seen reading moves nothing, whatever the other's service keeps to itself.
    let silent =
        evidence(Some(seen(RUNNING)), Some(Observation { progress_source: Some(Taken), ..progress(0.2, 0.25) }));
    assert_eq!(ask(&job(), &plan(), &silent, 2.0), Some((PRIVATE, Action::Keep, Reason::WindowEnded)));
    // A burst of reading before a twentieth of the job says nothing.
    check(0.01, 0.5, Polled, 0.5, true);
    check(0.01, 0.5, Taken, 0.5, false);
}

#[test]
fn nobody_straggles_by_what_was_read() {
    let direct = Plan { shadowing: Shadowing::Direct, ..plan() };
    for (source, leaves) in [(ProgressSource::Polled, true), (ProgressSource::Taken, false)] {
        let lead = Observation { progress_source: Some(source), ..progress(0.025, 1.0) };
        let step = ask(&job(), &direct, &evidence(Some(lead), None), 5.0);
        assert_eq!(step == Some((PUBLIC, Action::Send, Reason::Switched)), leaves, "{source:?} {step:?}");
    }
}

#[test]
fn the_cost_of_a_busy_network_counts_when_moving() {
    let evidence = evidence(Some(progress(0.1, 1.0)), Some(progress(0.055, 0.25)));
    let mut busy = view();
    busy.state[PUBLIC].in_flight = 32;
    busy.state[PUBLIC].price.congestion = 2.0;
    let step = |view: &View| short(decide(&job(), view, None, &plan(), &evidence, PLANNED_S, PLANNED_S + 2.0));
    assert_eq!(step(&view()), Some((PUBLIC, Action::Adopt, Reason::Switched)));
    assert_eq!(step(&busy), Some((PRIVATE, Action::Keep, Reason::LeadConfirmed)));
}

#[test]
fn only_a_lead_that_could_be_moved_is_watched() {
    let check = |change: fn(&mut Job, &mut View, &mut Plan), expected| {
        let (mut job, mut view, mut plan) = (job(), view(), Plan { shadowing: Shadowing::Direct, ..plan() });
        change(&mut job, &mut view, &mut plan);
        assert_eq!(is_watched(&job, &view, &plan), expected, "{job:?} {plan:?}");
    };
    check(|_, _, _| {}, true);
    check(|job, _, _| job.repeatable = false, false);
    check(|job, _, _| job.spoolable = false, false);
    check(|job, _, _| job.leaves_twin = true, false);
    check(|job, _, _| job.last_hop = true, false);
    check(|job, _, _| job.mode = ShadowMode::Observe, false);
    check(|_, view, _| view.shadowing.worthwhile_s = 1e6, false);
    check(|_, _, plan| plan.eligible = NetworkSet::only(plan.target), false);
    check(|_, _, plan| plan.predictions = PerNetwork::default(), false);
}

#[test]
fn a_job_pays_no_congestion_for_its_own_slots() {
    let evidence = evidence(Some(progress(0.1, 1.0)), Some(progress(0.1, 0.1)));
    let costs = |here: u32, there: u32| {
        let mut view = view();
        for (network, in_flight) in [(PRIVATE, here), (PUBLIC, there)] {
            let state = &mut view.state[network];
            (state.in_flight, state.capacity) = (in_flight, 2);
            (state.price.congestion, state.price.congestion_from) = (0.1, 0.5);
        }
        match decide(&job(), &view, None, &plan(), &evidence, PLANNED_S, PLANNED_S + 2.0) {
            Step::Settled(decision) => (decision.costs[PRIVATE], decision.costs[PUBLIC]),
            step @ Step::WaitUntil(_) => panic!("the window is over: {step:?}"),
        }
    };
    // Its own dispatches are one on each; one more beside them fills half of either, which costs nothing yet.
    assert_eq!(costs(1, 1), costs(2, 2));
    assert!(costs(3, 2).0 > costs(2, 2).0 && costs(2, 3).1 > costs(2, 2).1, "others are paid for");
}

#[test]
fn a_straggler_is_left_for_a_fresh_run_without_any_shadow() {
    let direct = Plan { shadowing: Shadowing::Direct, ..plan() };
    let check = |share, after_s, expected| {
        let evidence = evidence(Some(progress(share, 1.0)), None);
        assert_eq!(ask(&job(), &direct, &evidence, after_s), expected, "{share} after {after_s}");
    };
    // On course for 20 s, for 50 s (large, perhaps), for 200 s (no job is so large), stuck.
    check(0.25, 5.0, None);
    check(0.1, 5.0, None);
    check(0.025, 5.0, Some((PUBLIC, Action::Send, Reason::Switched)));
    check(0.3, 60.0, Some((PUBLIC, Action::Send, Reason::Switched)));
    check(0.65, 13.0, Some((PRIVATE, Action::Keep, Reason::Cheaper)));
}

#[test]
fn a_lead_that_shows_nothing_is_not_watched_for_ever() {
    let direct = Plan { shadowing: Shadowing::Direct, ..plan() };
    let evidence = evidence(Some(seen(RUNNING)), None);
    assert_eq!(ask(&job(), &direct, &evidence, 1.0), None);
    assert_eq!(ask(&job(), &direct, &evidence, 3.0), Some((PRIVATE, Action::Keep, Reason::Cheaper)));
}

#[test]
fn a_job_moves_of_free_will_once() {
    let mut evidence = evidence(None, None);
    evidence.lead = Some((PUBLIC, progress(0.0001, 1.0)));
    evidence.shadows[PRIVATE] = Some(seen(GOOD));
    assert_eq!(ask(&job(), &plan(), &evidence, 1.0), Some((PUBLIC, Action::Keep, Reason::Cheaper)));
}

#[test]
fn a_wait_ends_with_the_window_and_then_goes_on_only_with_progress() {
    let step = |lead: Observation, after_s| {
        decide(&job(), &view(), None, &plan(), &evidence(Some(lead), None), PLANNED_S, PLANNED_S + after_s)
    };
    assert_eq!(step(seen(RUNNING), 1.0), Step::WaitUntil(102.0));
    let Step::WaitUntil(until_s) = step(progress(0.15, 1.0), 3.0) else {
        panic!("a lead that shows progress is watched")
    };
    assert!(until_s > 103.0 && until_s < 110.0, "{until_s}");
    assert!(matches!(step(seen(RUNNING), 3.0), Step::Settled(_)));
}

/// Both sides run as shadows, at a quarter of full speed; the job is held.
fn probe() -> Plan {
    Plan { shadowing: Shadowing::Probe { on: [PRIVATE, PUBLIC].into_iter().collect(), window_s: 2.0 }, ..plan() }
}

#[test]
fn a_probe_becomes_the_cheaper_of_its_shadows() {
    let check = |private: Option<Observation>, public: Option<Observation>, after_s, expected| {
        let mut evidence = evidence(None, public);
        evidence.shadows[PRIVATE] = private;
        assert_eq!(ask(&job(), &probe(), &evidence, after_s), expected, "{private:?} {public:?} after {after_s}");
    };
    let running = Some(seen(RUNNING));
    let rate = |share| Some(progress(share, 0.25));
    let adopt = |network, reason| Some((network, Action::Adopt, reason));
    let send = |network, reason| Some((network, Action::Send, reason));
    check(None, None, 0.0, None);
    check(running, running, 1.0, None);
    check(rate(0.025), rate(0.1), 2.0, adopt(PUBLIC, Reason::Switched));
    check(rate(0.025), rate(0.1), 1.0, adopt(PUBLIC, Reason::Switched));
    check(rate(0.025), rate(0.026), 2.0, adopt(PRIVATE, Reason::LeadConfirmed));
    check(running, Some(seen(GOOD)), 0.5, adopt(PUBLIC, Reason::ShadowFinished));
    let (failed, refused) = (Some(seen(Phase::Failed)), Some(seen(Phase::Refused)));
    // Nothing runs any more: what was refused a shadow's permit may still run the job.
    check(refused, failed, 0.5, send(PRIVATE, Reason::WindowEnded));
    check(failed, refused, 0.5, send(PUBLIC, Reason::Switched));
    check(failed, failed, 0.5, send(PRIVATE, Reason::WindowEnded));
    check(failed, running, 2.0, adopt(PUBLIC, Reason::Switched));
}

#[test]
fn a_probe_without_predictions_leans_on_the_plan() {
    let plan = Plan { predictions: PerNetwork::default(), ..probe() };
    let check = |private: Option<Phase>, public: Option<Phase>, expected| {
        let mut evidence = evidence(None, public.map(seen));
        evidence.shadows[PRIVATE] = private.map(seen);
        assert_eq!(ask(&job(), &plan, &evidence, 2.0), Some(expected));
    };
    check(Some(RUNNING), Some(RUNNING), (PRIVATE, Action::Adopt, Reason::WindowEnded));
    check(Some(Phase::Failed), Some(RUNNING), (PUBLIC, Action::Adopt, Reason::WindowEnded));
    check(None, None, (PRIVATE, Action::Send, Reason::WindowEnded));
}

fn any_phase() -> BoxedStrategy<Phase> {
    prop_oneof![
        4 => Just(Phase::Running),
        1 => (any::<f64>(), any::<bool>()).prop_map(|(at_s, good)| Phase::Head { at_s, good }),
        1 => (any::<f64>(), any::<bool>()).prop_map(|(at_s, good)| Phase::Finished { at_s, good }),
        1 => Just(Phase::Refused),
        1 => Just(Phase::Failed),
        1 => Just(Phase::BlockedOnData),
    ]
    .boxed()
}

fn any_share() -> BoxedStrategy<Option<f64>> {
    prop_oneof![3 => (0.0..1.0_f64).prop_map(Some), 1 => Just(None), 1 => any::<f64>().prop_map(Some)].boxed()
}

prop_compose! {
    fn any_observation()(
        progressed_s in prop::option::of(any::<f64>()),
        started_s in prop_oneof![4 => 90.0..110.0_f64, 1 => any::<f64>()], phase in any_phase(),
        progress in any_share(), granted in any_share(), progress_source in prop::option::of(prop::sample::select(ProgressSource::ALL.to_vec())), cpu_s in any_share(), response_bytes: u64,
    ) -> Observation {
        Observation { started_s, phase, progress, progressed_s, progress_source, granted, cpu_s, memory_bytes: None, response_bytes }
    }
}

prop_compose! {
    fn any_evidence()(
        lead in prop::option::of((0..MAX_NETWORKS, any_observation())),
        shadows in prop::collection::vec(prop::option::of(any_observation()), MAX_NETWORKS),
    ) -> Evidence {
        Evidence {
            lead: lead.and_then(|(network, observation)| Some((NetworkId::new(network)?, observation))),
            shadows: PerNetwork(std::array::from_fn(|i| shadows[i])),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_is_seen_the_decision_keeps_to_what_is_allowed(
        (job, view) in any_case(), mut evidence in any_evidence().boxed(), modelled: bool,
        now_s in prop_oneof![4 => 95.0..130.0_f64, 1 => any::<f64>()], on_target: bool,
    ) {
        let (plan, step) = MODEL.with(|model| {
            let model = modelled.then_some(model);
            let plan = crate::plan(&job, &view, model, PLANNED_S);
            if let (true, Some((network, _))) = (on_target, &mut evidence.lead) {
                *network = plan.target;
            }
            let step = decide(&job, &view, model, &plan, &evidence, PLANNED_S, now_s);
            (plan, step)
        });
        let lead = evidence.lead.map(|(network, _)| network);
        match step {
            Step::WaitUntil(until_s) => prop_assert!(until_s.is_finite() && (until_s > now_s || !now_s.is_finite())),
            Step::Settled(decision) => {
                let allowed = plan.eligible.and(job.residency).contains(decision.target);
                match decision.action {
                    Action::Keep => prop_assert_eq!(decision.target, lead.unwrap_or(plan.target)),
                    Action::Adopt => {
                        prop_assert!(allowed && job.repeatable && job.mode == ShadowMode::On);
                        prop_assert!(plan.shadowing.on().contains(decision.target));
                        prop_assert!(evidence.shadows[decision.target].is_some());
                    }
                    Action::Send => {
                        prop_assert!(allowed && Some(decision.target) != lead && !job.last_hop);
                        let refused = evidence.lead.is_some_and(|(_, lead)| lead.phase == Phase::Refused);
                        prop_assert!(job.repeatable || refused);
                    }
                }
            }
        }
    }
}
