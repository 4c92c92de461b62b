//! adumbra does not see what is hidden: a test.
//!
//! The hidden columns of a trace change what happens, so they change what is learned and when slots are free; that is not
//! seeing. Seeing would be a decision at arrival that depends on the hidden columns of its own job, or of one that has not
//! ended. So two traces are compared that differ in the hidden columns of jobs that have not ended: up to the first moment
//! at which anything of a changed job could be known, every plan must be the same, and after it some are not, or the
//! test would not be looking.

use super::adumbra::Adumbra;
use super::ground::{Event, Ground};
use super::lots::{self, Lot};
use super::{World, synthetic};
use crate::trace::Traced;

/// What was planned for each job: where, why, and at what costs.
type Plans = Vec<Option<String>>;

/// Runs adumbra over the first `jobs` of `lots`, and says what it planned and when each job was answered.
fn plans(world: &World, lots: &[Lot], jobs: usize) -> (Plans, Vec<f64>) {
    let mut ground = Ground::new(world, lots);
    let mut adumbra = Adumbra::new(world, lots.len(), None);
    let mut end_s = vec![f64::INFINITY; lots.len()];
    let mut plans = vec![None; jobs];
    while let Some(event) = ground.next() {
        match event {
            Event::Arrives(i) if i >= jobs => break,
            Event::Arrives(i) => {
                adumbra.arrives(&mut ground, i);
                plans[i] = adumbra.planned(i);
            }
            Event::Look(i) => adumbra.look(&mut ground, i),
            Event::Finished(run) => adumbra.finished(&mut ground, run),
            Event::Report => adumbra.report(&ground),
            Event::Answered(run) => {
                end_s[ground.runs[run].lot] = ground.now_s;
                adumbra.answered(&mut ground, run);
            }
        }
    }
    (plans, end_s)
}

/// The trace with the hidden columns of the jobs in `of` dealt out anew among them.
fn permuted(trace: &[Traced], of: std::ops::Range<usize>) -> Vec<Traced> {
    let mut permuted = trace.to_vec();
    let n = of.len();
    for (place, job) in permuted[of.clone()].iter_mut().enumerate() {
        let from = &trace[of.start + (place * 7 + n / 2) % n];
        job.service_s = from.service_s;
        (job.cpu_s, job.memory_bytes, job.response_bytes) = (from.cpu_s, from.memory_bytes, from.response_bytes);
    }
    permuted
}

/// Changes all that is hidden from one job on, at several places of a run.
fn check(world: &World, what: &str) {
    const JOBS: usize = 800;
    let trace = synthetic::trace(JOBS);
    let (mut compared, mut changed) = (0, 0);
    for from in (0..=600).step_by(40) {
        let other = permuted(&trace, from..JOBS);
        let some = from + 100;
        let mut lots = [&trace, &other].map(|trace| lots::draw(world, trace, JOBS, 0.9, 3));
        let [before, after] = &mut lots;
        // The work is the same, so the arrivals are, but for the last bit of a sum in another order.
        for (lot, same) in after.iter_mut().zip(before) {
            (lot.arrived_s, lot.job.hour) = (same.arrived_s, same.job.hour);
        }
        let [(a, a_end_s), (b, b_end_s)] = lots.each_ref().map(|lots| plans(world, lots, some));
        let ends_s = a_end_s[from..].iter().chain(&b_end_s[from..]);
        let known_s = ends_s.copied().fold(f64::INFINITY, f64::min);
        for i in (0..some).take_while(|i| lots[0][*i].arrived_s <= known_s) {
            assert_eq!(a[i], b[i], "{what}: job {i}, of those that come before anything of job {from} on is known");
            compared += usize::from(i >= from);
        }
        changed += usize::from(a != b);
    }
    assert!(compared > 20, "{what}: only {compared} jobs were planned while what was changed could not be known");
    assert_eq!(changed, 16, "{what}: what was changed has changed no plan, so this test does not look");
}

#[test]
fn no_plan_depends_on_what_is_hidden_of_jobs_that_have_not_ended() {
    check(&World::default(), "as it is");
    let mut world = World::default();
    (world.speed.job_sd, world.speed.straggler_share) = (0.5, 0.1);
    check(&world, "jobs differ and straggle");
}
