//! The first decision, by table, by property and over the whole of what could come in.

use proptest::prelude::*;

use super::*;
use crate::learn::{Row, Window, refit};
use crate::level::{LevelCaps, Levels};
use crate::testing::{CAPS, PRIVATE, PUBLIC, job, model, took, view};
use crate::units::{ClassId, MAX_NETWORKS, Urgency};
use crate::view::{NetworkView, Price, Pricing, ShadowLimits};

fn both() -> NetworkSet {
    [PRIVATE, PUBLIC].into_iter().collect()
}

fn fill_home(view: &mut View) {
    view.state[PRIVATE].in_flight = view.state[PRIVATE].capacity;
}

#[test]
fn without_a_model_home_comes_first_and_spills_when_full() {
    let check = |change: fn(&mut Job, &mut View), target, reason| {
        let (mut job, mut view) = (job(), view());
        change(&mut job, &mut view);
        let plan = plan(&job, &view, None, 0.0);
        assert_eq!((plan.target, plan.reason), (target, reason));
        assert_eq!(plan.shadowing, Shadowing::Direct);
    };
    check(|_, _| {}, PRIVATE, Reason::NoModelHome);
    check(|_, view| view.state[PRIVATE].in_flight = 7, PRIVATE, Reason::NoModelHome);
    check(|_, view| fill_home(view), PUBLIC, Reason::Spill);
    check(|_, view| view.state[PRIVATE].healthy = false, PUBLIC, Reason::Health);
    check(
        |_, view| {
            fill_home(view);
            view.state[PUBLIC].healthy = false;
        },
        PRIVATE,
        Reason::Health,
    );
    check(
        |_, view| {
            fill_home(view);
            view.state[PUBLIC].in_flight = 40;
        },
        PRIVATE,
        Reason::Capacity,
    );
    check(
        |job, view| {
            fill_home(view);
            job.residency = NetworkSet::only(PRIVATE);
        },
        PRIVATE,
        Reason::Residency,
    );
    check(|job, _| job.residency = NetworkSet::only(PUBLIC), PUBLIC, Reason::Residency);
    check(
        |_, view| {
            fill_home(view);
            view.networks = NetworkSet::only(PRIVATE);
        },
        PRIVATE,
        Reason::NoModelHome,
    );
    check(
        |job, view| {
            fill_home(view);
            job.last_hop = true;
        },
        PRIVATE,
        Reason::LastHop,
    );
    check(
        |_, view| {
            view.state[PRIVATE].healthy = false;
            view.state[PUBLIC].healthy = false;
        },
        PRIVATE,
        Reason::NothingEligible,
    );
    check(
        |job, view| {
            job.residency = NetworkSet::only(PUBLIC);
            view.state[PUBLIC].healthy = false;
        },
        PUBLIC,
        Reason::NothingEligible,
    );
}

#[test]
fn a_route_that_may_not_act_is_placed_as_if_there_were_no_model() {
    let model = model(&[(4.0, 0.5)], 0.1, 0.05);
    for mode in [ShadowMode::Off, ShadowMode::Observe] {
        let (job, mut view) = (Job { mode, ..job() }, view());
        view.shadowing.sample_share = 1.0;
        view.shadowing.explore_share = 1.0;
        let at_home = plan(&job, &view, Some(&model), 0.0);
        assert_eq!((at_home.target, at_home.reason), (PRIVATE, Reason::RouteOff));
        assert!(at_home.predictions[PUBLIC].is_some(), "it is predicted all the same");
        fill_home(&mut view);
        let spilled = plan(&job, &view, Some(&model), 0.0);
        assert_eq!((spilled.target, spilled.reason), (PUBLIC, Reason::Spill));
        let sampled = |model| matches!(plan(&job, &view, model, 0.0).shadowing, Shadowing::Sample { .. });
        assert_eq!(sampled(None), mode == ShadowMode::Observe);
        assert!(!sampled(Some(&model)), "enough pairs have taught what its class is like");
    }
}

#[test]
fn the_cheapest_network_gets_the_job() {
    let model = model(&[(4.0, 4.0), (4.0, 1.0)], 0.1, 0.05);
    let check = |class, change: fn(&mut View), target| {
        let (job, mut view) = (Job { class: ClassId(class), ..job() }, view());
        change(&mut view);
        let plan = plan(&job, &view, Some(&model), 0.0);
        assert_eq!((plan.target, plan.reason), (target, Reason::Cheaper));
        let other = if target == PRIVATE { PUBLIC } else { PRIVATE };
        assert!(plan.costs[target] <= plan.costs[other], "{:?}", plan.costs);
    };
    check(0, |_| {}, PRIVATE);
    // Four times as fast makes up for three times the price.
    check(1, |_| {}, PUBLIC);
    // So does a long wait at home.
    check(0, |view| view.state[PRIVATE].wait_s = 5.0, PUBLIC);
    check(0, |view| view.state[PRIVATE].wait_s = 1.0, PRIVATE);
    // A wait on both sides.
    check(1, |view| view.state[PUBLIC].wait_s = 20.0, PRIVATE);
}

#[test]
fn a_nearly_full_home_costs_more() {
    // Equally fast, home cheaper by 0.32 a second; the congestion price of a full home is 0.48.
    let model = model(&[(4.0, 4.0)], 0.1, 0.05);
    let mut view = view();
    view.state[PUBLIC].price.per_slot_s = 0.62;
    assert_eq!(plan(&job(), &view, Some(&model), 0.0).target, PRIVATE);
    view.state[PRIVATE].in_flight = 8;
    assert_eq!(plan(&job(), &view, Some(&model), 0.0).target, PUBLIC);
}

#[test]
fn an_urgent_job_pays_for_speed_and_a_patient_one_does_not() {
    let model = model(&[(4.0, 2.5)], 0.1, 0.05);
    let target = |u| {
        let urgency = Urgency::new(u).expect("a level");
        plan(&Job { urgency, ..job() }, &view(), Some(&model), 0.0).target
    };
    assert_eq!((target(0), target(7)), (PUBLIC, PRIVATE));
}

/// A class whose ratio differs from job to job, so that a shadow has something to find out.
fn doubtful() -> Model {
    model(&[(20.0, 9.0)], 0.1, 0.7)
}

#[test]
fn a_shadow_runs_opposite_the_lead_where_the_answer_is_open() {
    let check = |change: fn(&mut Job, &mut View), leads| {
        let (mut job, mut view) = (job(), view());
        change(&mut job, &mut view);
        let plan = plan(&job, &view, Some(&doubtful()), 0.0);
        assert_eq!(matches!(plan.shadowing, Shadowing::Lead { .. }), leads, "{:?} {}", plan.shadowing, plan.worth);
        assert_eq!(leads, plan.worth > 0.0, "{}", plan.worth);
        if leads {
            assert_eq!(plan.shadowing.on(), both().without(plan.target));
        }
    };
    check(|_, _| {}, true);
    check(|job, _| job.repeatable = false, false);
    check(|job, _| job.spoolable = false, false);
    check(|job, _| job.mode = ShadowMode::Observe, false);
    check(|job, _| job.mode = ShadowMode::Off, false);
    check(|job, _| job.last_hop = true, false);
    check(|job, _| job.leaves_twin = true, false);
    check(|job, _| job.residency = NetworkSet::only(PRIVATE), false);
    check(|_, view| view.shadowing.worthwhile_s = 1000.0, false);
    check(|_, view| view.shadowing.caps.medium.window_s = 0.0, false);
    check(|_, view| view.shadowing.levels.0[3] = Level::Off, false);
    // No permit on the other side.
    check(|_, view| (view.state[PRIVATE].shadow_room, view.state[PUBLIC].shadow_room) = (false, false), false);
    // Its data would not be there in time.
    check(|_, view| (view.state[PRIVATE].wait_s, view.state[PUBLIC].rtt_s) = (0.0, 30.0), false);
    // Nothing to gain: the answer is clear.
    check(|_, view| view.state[PUBLIC].price.per_slot_s = 50.0, false);
}

#[test]
fn the_more_urgent_the_job_the_more_shadow_it_gets() {
    // Time is worth the same to all here, so that only the level tells the plans apart.
    let mut view = view();
    view.pricing.time_value_per_s = [0.8; Urgency::LEVELS];
    (view.shadowing.caps.low.window_s, view.shadowing.caps.medium.window_s) = (0.3, 0.5);
    let check = |u, level: Level, cpu_share, window_s| {
        let urgency = Urgency::new(u).expect("an urgency");
        let plan = super::plan(&Job { urgency, ..job() }, &view, Some(&doubtful()), 0.0);
        assert_eq!((plan.level, plan.caps.cpu_share), (level, cpu_share), "u={u}");
        assert_eq!(plan.shadowing.window_s(), window_s, "u={u} {:?}", plan.shadowing);
    };
    let plan = plan(&job(), &view, Some(&doubtful()), 0.0);
    let predicted_s = plan.predictions[plan.target].expect("predicted").mean_s;
    // A tenth of the job where the level allows it.
    check(0, Level::High, 0.5, 0.1 * predicted_s);
    check(3, Level::Medium, 0.25, 0.5);
    check(5, Level::Low, 0.1, 0.3);
    check(7, Level::Off, 0.0, 0.0);
}

#[test]
fn at_off_nothing_is_shadowed_not_even_to_learn() {
    let mut view = view();
    view.shadowing.sample_share = 1.0;
    let sampled = |u| {
        let job = Job { urgency: Urgency::new(u).expect("an urgency"), ..job() };
        plan(&job, &view, None, 0.0).shadowing != Shadowing::Direct
    };
    assert_eq!((sampled(3), sampled(7)), (true, false));
}

#[test]
fn what_is_about_an_asynchronous_job_goes_where_that_runs_and_nowhere_else() {
    let check = |change: fn(&mut Job, &mut View), expected: (NetworkId, bool)| {
        let (mut job, mut view) = (Job { located: Some(PUBLIC), ..job() }, view());
        change(&mut job, &mut view);
        let plan = plan(&job, &view, None, 0.0);
        assert_eq!((plan.target, plan.reason == Reason::Located), expected);
        assert_eq!(plan.shadowing, Shadowing::Direct);
        assert!(!expected.1 || plan.eligible == NetworkSet::only(PUBLIC));
    };
    check(|_, _| {}, (PUBLIC, true));
    check(|_, view| view.state[PUBLIC].healthy = false, (PUBLIC, true));
    check(|job, _| job.mode = ShadowMode::Off, (PUBLIC, true));
    check(|job, _| job.residency = NetworkSet::only(PRIVATE), (PRIVATE, false));
    check(|job, _| job.last_hop = true, (PRIVATE, false));
}

#[test]
fn a_known_ratio_is_not_shadowed() {
    let plan = plan(&job(), &view(), Some(&model(&[(20.0, 9.0)], 0.3, 0.0)), 0.0);
    assert_eq!(plan.shadowing, Shadowing::Direct);
    assert!(plan.worth <= 0.0);
}

#[test]
fn a_job_whose_lead_may_not_start_is_probed() {
    let model = model(&[(200.0, 90.0)], 0.1, 0.9);
    let (job, mut view) = (Job { hold: true, ..job() }, view());
    (view.shadowing.window_share, view.shadowing.caps.medium.window_s) = (0.02, 60.0);
    let probed = plan(&job, &view, Some(&model), 0.0);
    let Shadowing::Probe { on, window_s } = probed.shadowing else { panic!("{:?} {}", probed.shadowing, probed.worth) };
    assert_eq!(on, both());
    assert!(window_s <= 0.02 * probed.predictions[probed.target].expect("predicted").mean_s + 1e-9);
    let target = probed.target;
    view.state[target].shadow_room = false;
    assert_eq!(plan(&job, &view, Some(&model), 0.0).shadowing, Shadowing::Direct);
}

#[test]
fn exploration_gives_both_networks_labels_and_keeps_to_its_share() {
    let check = |explore_share, modelled: Option<&Model>, least: i32, most: i32| {
        let mut view = view();
        view.shadowing.explore_share = explore_share;
        let explored = (0..1000)
            .filter(|i| {
                let job = Job { draw: f64::from(*i) / 1000.0, ..job() };
                let plan = plan(&job, &view, modelled, 0.0);
                assert_eq!(plan.target == PUBLIC, plan.reason == Reason::Explore);
                plan.reason == Reason::Explore
            })
            .count();
        assert!((least..=most).contains(&(explored as i32)), "{explored} of 1000");
    };
    check(0.0, None, 0, 0);
    check(f64::NAN, None, 0, 0);
    check(0.02, None, 120, 180);
    check(0.05, Some(&labelled(60, 5, 4.0)), 30, 70);
    // Twenty times as slow: not tried out on a client.
    check(0.05, Some(&labelled(60, 5, 80.0)), 0, 0);
    // What is known already is not tried out again.
    check(0.05, Some(&labelled(60, 60, 4.0)), 0, 0);
}

/// A model that has seen so many jobs of four seconds at home, and so many on the public network, where they take `public_s`.
fn labelled(private: u64, public: u64, public_s: f64) -> Model {
    let mut window = Window::new(1000);
    for i in 0..private {
        window.push(Row { pair: i, ..took(0, PRIVATE, 4.0) }).expect("a label that can be");
    }
    for i in 0..public {
        window.push(Row { pair: 1000 + i, ..took(0, PUBLIC, public_s) }).expect("a label that can be");
    }
    refit(&window, PRIVATE, None).expect("enough labels")
}

fn any_share() -> BoxedStrategy<f64> {
    prop_oneof![4 => 0.0..1.0_f64, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(1.0)].boxed()
}

fn any_figure() -> BoxedStrategy<f64> {
    prop_oneof![6 => 0.0..100.0_f64, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)].boxed()
}

prop_compose! {
    fn any_job()(
        class in 0_u16..4, u in 0_u8..8, mode in 0..3, residency in any::<u8>(), flags in any::<[bool; 4]>(),
        body in any::<Option<u64>>(), inputs in any::<Option<u64>>(), hour: f32, extracted in any::<[f32; 4]>(),
        draw in any_share(),
    ) -> Job {
        Job {
            class: ClassId(class),
            urgency: Urgency::new(u).unwrap_or_default(),
            mode: [ShadowMode::Off, ShadowMode::Observe, ShadowMode::On][mode as usize],
            residency: set(residency),
            repeatable: flags[0],
            spoolable: flags[1],
            hold: flags[2],
            last_hop: flags[3],
            located: None,
            leaves_twin: false,
            body_bytes: body.map(|b| b >> (b % 64)),
            input_bytes: inputs.map(|b| b >> (b % 64)),
            hour,
            extracted,
            draw,
        }
    }
}

fn set(bits: u8) -> NetworkSet {
    (0..MAX_NETWORKS).filter(|i| bits & (1 << i) != 0).filter_map(NetworkId::new).collect()
}

prop_compose! {
    fn any_network()(
        flags in any::<[bool; 2]>(), in_flight in 0_u32..80, capacity in 0_u32..40,
        figures in prop::array::uniform4(any_figure()), prices in prop::array::uniform6(any_figure()), warm: u64,
    ) -> NetworkView {
        NetworkView {
            healthy: flags[0],
            in_flight,
            outlook: crate::forecast::Outlook { level: Some(figures[0]), per_s: figures[1] - figures[2] },
            capacity,
            wait_s: figures[0],
            rtt_s: figures[1],
            link_bytes_per_s: figures[2] * 1e6,
            link_queued_bytes: figures[3],
            shadow_room: flags[1],
            warm_bytes: warm,
            fetch_bytes_per_s: (warm % 3 > 0).then_some(figures[0] * 1e6),
            correction: crate::residual::Correction { shift: prices[0] - prices[1], widened: prices[2] / 50.0 },
            price: Price {
                per_slot_s: prices[0],
                per_cpu_s: prices[1],
                per_gib_s: prices[2],
                per_gib_moved: prices[3],
                congestion: prices[4],
                congestion_from: prices[5] / 100.0,
            },
            spend_left: flags[0].then_some(figures[3] - 10.0),
        }
    }
}

prop_compose! {
    pub(crate) fn any_case()(
        job in any_job().boxed(), networks: u8, home in 0..MAX_NETWORKS, state in prop::collection::vec(any_network().boxed(), MAX_NETWORKS),
        time_value_per_s in prop::array::uniform8(any_figure()), window in prop::array::uniform3(any_figure()),
        shares in prop::array::uniform3(any_share()), worthwhile_s in any_figure(), levels in prop::array::uniform8(0..4_usize),
    ) -> (Job, View) {
        let view = View {
            home: NetworkId::new(home).expect("below the most networks"),
            networks: set(networks),
            state: PerNetwork(std::array::from_fn(|i| state[i])),
            pricing: Pricing { time_value_per_s },
            shadowing: ShadowLimits {
                window_share: window[0] / 100.0,
                window_min_s: window[1] / 100.0,
                worthwhile_s: worthwhile_s / 50.0,
                sample_share: shares[0],
                sample_window_s: 30.0,
                explore_share: shares[1] / 4.0,
                levels: Levels(levels.map(|place| Level::ALL[place])),
                caps: LevelCaps {
                    low: Caps { window_s: window[2] / 2.0, cpu_share: shares[2], ..CAPS },
                    medium: Caps { window_s: window[2], cpu_share: shares[2], ..CAPS },
                    high: Caps { window_s: window[2] * 2.0, cpu_share: shares[2] * 4.0, ..CAPS },
                },
            },
        };
        (job, view)
    }
}

thread_local! {
    /// One model for all cases: a fit for each would be most of the time.
    pub(crate) static MODEL: Model = model(&[(20.0, 9.0), (0.2, 0.1), (100.0, 200.0)], 0.5, 0.6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_comes_in_the_plan_keeps_to_what_is_allowed((job, view) in any_case(), modelled: bool) {
        let plan = MODEL.with(|model| plan(&job, &view, modelled.then_some(model), 0.0));
        let exist = view.networks.with(view.home);
        let allowed = exist.and(job.residency);
        prop_assert!(exist.contains(plan.target));
        prop_assert!(job.last_hop || allowed.is_empty() || allowed.contains(plan.target), "target outside residency");
        prop_assert_eq!(plan.eligible.and(allowed), plan.eligible);
        let on = plan.shadowing.on();
        prop_assert_eq!(on.and(plan.eligible), on, "a shadow where the job may not go");
        if plan.shadowing != Shadowing::Direct {
            prop_assert!(job.repeatable && job.spoolable && !job.last_hop && job.mode != ShadowMode::Off);
            prop_assert!(!on.is_empty() && on.iter().all(|network| view.state[network].shadow_room));
            let window_s = plan.shadowing.window_s();
            let limits = &view.shadowing;
            // A sample delays nobody, and may outlast what its level lets a job wait.
            let samples = matches!(plan.shadowing, Shadowing::Sample { .. });
            let most_s = if samples { limits.sample_window_s.max(plan.caps.window_s) } else { plan.caps.window_s };
            prop_assert!(window_s > 0.0 && window_s <= most_s && plan.level != Level::Off);
            prop_assert_eq!(plan.level, limits.levels.of(job.urgency));
            prop_assert!(!limits.window_min_s.is_finite() || window_s >= limits.window_min_s);
        }
        let probes = matches!(plan.shadowing, Shadowing::Probe { .. });
        prop_assert!(!probes || job.hold);
        prop_assert!(probes || !on.contains(plan.target));
        let acts = probes || matches!(plan.shadowing, Shadowing::Lead { .. });
        prop_assert!(!acts || (job.mode == ShadowMode::On && plan.worth > 0.0));
        prop_assert!(plan.worth.is_finite());
    }

    #[test]
    fn the_same_case_gets_the_same_plan((job, view) in any_case()) {
        MODEL.with(|model| {
            let (once, again) = (plan(&job, &view, Some(model), 0.0), plan(&job, &view, Some(model), 9.0));
            assert_eq!(format!("{once:?}"), format!("{again:?}"));
        });
    }
}
