//! What the runs of the simulation come to.

use super::*;

/// Mean costs over some seeds, per arm.
fn compare(ratio_sigma: f64) -> PerNetwork<f64> {
    let seeds = 1..=4_u64;
    let mut means = PerNetwork::default();
    for seed in seeds {
        for (place, arm) in [Arm::Spill, Arm::Plan, Arm::Shadows, Arm::Clairvoyant].into_iter().enumerate() {
            let Outcome { mean, led, switched } = run(arm, seed, ratio_sigma);
            println!(
                "ratio sd {ratio_sigma}, seed {seed}: {arm:?} costs {mean:.3} a job; {led} led, {switched} switched"
            );
            means.0[place] += mean / 4.0;
        }
    }
    let [spill, plan, shadows, clairvoyant, ..] = means.0;
    let [plan, shadows, clairvoyant] = [plan, shadows, clairvoyant].map(|cost| cost / spill);
    println!(
        "ratio sd {ratio_sigma}: of spill, {plan:.3} planned, {shadows:.3} shadowed, {clairvoyant:.3} if all were known"
    );
    means
}

#[test]
fn a_plan_beats_spill_where_the_ratio_is_fixed_by_class_and_shadows_cost_next_to_nothing() {
    let [spill, plan, shadows, ..] = compare(0.0).0;
    assert!(plan < 0.97 * spill, "{plan} against {spill}");
    assert!(shadows < 1.01 * plan, "{shadows} against {plan}");
}

#[test]
fn shadows_pay_where_the_ratio_differs_from_job_to_job() {
    let [spill, plan, shadows, ..] = compare(0.5).0;
    assert!(plan < spill, "{plan} against {spill}");
    assert!(shadows < 0.99 * plan, "{shadows} against {plan}");
}

/// What looking ahead costs or saves on a load that comes so: mean cost of a job with it over that without.
fn looking_ahead(rush: fn(f64) -> f64) -> f64 {
    let (mut with, mut without) = (0.0, 0.0);
    for seed in 1..=3 {
        without += ran(World::new(Arm::Plan, seed, 0.0, rush)).mean;
        with +=
            ran(World { forecasts: Some(<[Forecast; 2]>::default()), ..World::new(Arm::Plan, seed, 0.0, rush) }).mean;
    }
    println!("looking ahead: {:.4} of the cost without", with / without);
    with / without
}

#[test]
fn looking_ahead_harms_nobody_when_jobs_come_in_bursts_or_evenly_or_in_waves() {
    let bursts = |now_s: f64| if now_s % 300.0 < 45.0 { 4.0 } else { 0.5 };
    let waves = |now_s: f64| 1.0 - 0.6 * (std::f64::consts::TAU * now_s / 900.0).cos();
    for (name, ratio) in
        [("bursts", looking_ahead(bursts)), ("evenly", looking_ahead(|_| 1.0)), ("waves", looking_ahead(waves))]
    {
        assert!(ratio < 1.01, "{name}: {ratio}");
    }
}
