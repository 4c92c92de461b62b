//! Interleaved rounds: every arm is visited once in each, in an order that turns and turns round.
//!
//! A machine drifts: it warms, its neighbours wake up. Arms measured one after the other would drift apart; arms measured
//! in turn drift together, and their ratio within a round does not. All proxies run throughout, idle unless visited.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::accounting::{CpuTime, core_busy, resident_bytes};
use crate::answer;
use crate::open_loop::{self, Load};
use crate::peers::Started;
use crate::site::Site;
use crate::statistics::{Summary, as_float};
use crate::wrk::{Wrk, request_bytes};

/// Idle connections that memory is measured under.
pub const HELD_CONNECTIONS: usize = 1000;

const WARM_UP: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_millis(200);
const MEMORY_SETTLE: Duration = Duration::from_millis(500);

/// All that was measured of one arm.
#[derive(Debug)]
pub struct Series {
    /// The proxy itself, kept running.
    pub arm: Started,
    /// One visit of the closed loop for each round.
    pub closed: Vec<Closed>,
    /// One visit of the open loop for each round.
    pub open: Vec<Open>,
    /// Memory before any load.
    pub memory: Option<Memory>,
    /// Why it is no longer visited.
    pub failure: Option<String>,
}

/// One visit of the closed loop.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Answers per second.
    pub requests_per_second: f64,
    /// CPU time of the proxy's processes for each answer; none without a proxy.
    pub cpu_us_per_request: Option<f64>,
    /// Bad statuses and socket errors.
    pub errors: u64,
    /// Share of the proxy's core that was busy with something else.
    pub foreign_share: f64,
}

/// One visit of the open loop.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// As for the closed loop, but at the same rate for all.
    pub cpu_us_per_request: Option<f64>,
    /// Bad statuses, socket errors and requests without an answer.
    pub errors: u64,
    /// How late the generator itself was, 99th percentile.
    pub lag_p99_us: f64,
}

/// Resident memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// After the start and one request.
    pub idle_bytes: f64,
    /// What each of [`HELD_CONNECTIONS`] idle keep-alive connections adds to a proxy that has served some.
    pub per_connection_bytes: f64,
}

impl Series {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(arm: Started) -> Self {
        Self { arm, closed: Vec::new(), open: Vec::new(), memory: None, failure: None }
    }

    /// One figure of each closed visit.
    pub fn closed(&self, figure: impl Fn(&Closed) -> Option<f64>) -> Vec<f64> {
        self.closed.iter().filter_map(figure).collect()
    }

    /// One figure of each open visit.
    pub fn open(&self, figure: impl Fn(&Open) -> Option<f64>) -> Vec<f64> {
        self.open.iter().filter_map(figure).collect()
    }

    /// Everything that went wrong in any visit.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.closed.iter().map(|visit| visit.errors).chain(self.open.iter().map(|visit| visit.errors)).sum()
    }

    fn visit(&mut self, measure: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failure.is_some() {
            return;
        }
        if let Err(error) = measure(self) {
            eprintln!("{} is visited no more: {error}", self.arm.name);
            self.failure = Some(error.to_string());
        }
        thread::sleep(SETTLE);
    }

    fn cpu(&self) -> io::Result<CpuTime> {
        self.arm.running.as_ref().map_or_else(|| Ok(CpuTime::default()), |running| CpuTime::of(running.pid()))
    }
}

/// Measures memory of each, before any load.
pub fn memory(series: &mut [Series]) {
    for one in series {
        let Some(pid) = one.arm.running.as_ref().map(|running| running.pid()) else { continue };
        one.visit(|one| {
            thread::sleep(MEMORY_SETTLE);
            let idle = resident_bytes(pid)?;
            let request = request_bytes(one.arm.address);
            answer::repeat(one.arm.address, &request, 200)?;
            let used = resident_bytes(pid)?;
            let held = answer::hold(one.arm.address, &request, HELD_CONNECTIONS)?;
            thread::sleep(MEMORY_SETTLE);
            let full = resident_bytes(pid)?;
            one.memory = Some(Memory {
                idle_bytes: idle as f64,
                per_connection_bytes: full.saturating_sub(used) as f64 / as_float(held.len()),
            });
            Ok(())
        });
    }
}

/// One round of the closed loop.
pub fn closed(series: &mut [Series], round: usize, wrk: &Wrk, seconds: u32, site: &Site) {
    for at in order(series.len(), round) {
        series[at].visit(|one| {
            wrk.run(one.arm.address, 1)?;
            let core = site.cores.proxy.0;
            let (cpu, busy, began) = (one.cpu()?, core_busy(core)?, Instant::now());
            let counted = wrk.run(one.arm.address, seconds)?;
            let (spent, lasted) = (one.cpu()?.since(&cpu), began.elapsed());
            let foreign = core_busy(core)?.saturating_sub(busy).saturating_sub(spent);
            one.closed.push(Closed {
                requests_per_second: counted.requests_per_second,
                cpu_us_per_request: per_request(one, spent, counted.requests),
                errors: counted.bad_status + counted.socket_errors,
                foreign_share: foreign.as_secs_f64() / lasted.as_secs_f64(),
            });
            Ok(())
        });
    }
}

/// One round of the open loop, all at one rate.
pub fn open(series: &mut [Series], round: usize, rate_per_second: f64, seconds: u32, site: &Site) {
    for at in order(series.len(), round) {
        series[at].visit(|one| {
            let request = request_bytes(one.arm.address);
            let load = Load {
                target: one.arm.address,
                request: &request,
                expected: None,
                connections: site.connections,
                rate_per_second,
                duration: Duration::from_secs(u64::from(seconds)),
            };
            open_loop::run(&Load { duration: WARM_UP, ..load })?;
            let cpu = one.cpu()?;
            let outcome = open_loop::run(&load)?;
            let spent = one.cpu()?.since(&cpu);
            let us = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
            one.open.push(Open {
                p50_us: us(0.50),
                p99_us: us(0.99),
                cpu_us_per_request: per_request(one, spent, outcome.latency_ns.len()),
                errors: outcome.missing() + outcome.socket_errors,
                lag_p99_us: outcome.lag_ns.value_at_quantile(0.99) as f64 / 1000.0,
            });
            Ok(())
        });
    }
}

/// The rate of the open loop: half of what HAProxy can do, but no more than the slowest can hold.
#[must_use]
pub fn common_rate(series: &[Series]) -> Option<f64> {
    let median = |one: &Series| Some(Summary::of(one.closed(|visit| Some(visit.requests_per_second)))?.median);
    let slowest = series.iter().filter_map(median).min_by(f64::total_cmp)?;
    let haproxy = series.iter().find(|one| one.arm.name == "haproxy").and_then(median).unwrap_or(slowest);
    Some((haproxy * 0.5).min(slowest * 0.7).round())
}

fn per_request(one: &Series, spent: Duration, requests: u64) -> Option<f64> {
    one.arm.running.as_ref().map(|_| spent.as_secs_f64() * 1e6 / requests.max(1) as f64)
}

/// Round `n` starts with arm `n`; every other one goes backwards, so that nobody always follows the same neighbour.
fn order(count: usize, round: usize) -> Vec<usize> {
    let forwards = round.is_multiple_of(2);
    (0..count).map(|at| (round + if forwards { at } else { count - at }) % count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_visits_all_and_no_two_start_alike() {
        let firsts: Vec<usize> = (0..4).map(|round| order(4, round)[0]).collect();
        for round in 0..4 {
            let mut all = order(4, round);
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
        }
        assert_eq!(firsts, [0, 1, 2, 3]);
    }
}
