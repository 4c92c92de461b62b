//! A trace of its own for a bench that is given none: six kinds of job, some told apart by their size, some not, arriving in
//! bursts.

use policy::job::EXTRACTED;

use super::dice::{For, normal, uniform};
use crate::trace::{Data, Traced};

/// Median seconds, spread that can be told from the size, spread that cannot, share of jobs, bytes of data.
const KINDS: [(f64, f64, f64, f64, u64); 6] = [
    (0.8, 0.6, 0.3, 0.30, 0),
    (3.0, 0.7, 0.4, 0.30, 0),
    (6.0, 0.2, 0.8, 0.20, 20 << 20),
    (20.0, 0.9, 0.3, 0.12, 200 << 20),
    (60.0, 0.3, 0.3, 0.05, 0),
    (2.0, 0.0, 1.2, 0.03, 1 << 20),
];
/// Jobs that read data share so many inputs.
const KEYS: f64 = 40.0;

/// `jobs` jobs, the same every time.
#[must_use]
pub fn trace(jobs: usize) -> Vec<Traced> {
    let mut arrival_s = 0.0;
    (0..jobs as u64)
        .map(|i| {
            // A burst every so often, four times as dense.
            let pace = if (i / 150).is_multiple_of(4) { 0.25 } else { 1.0 };
            arrival_s -= pace * (1.0 - uniform(1, For::Synthetic, i, 0)).ln();
            job(i, arrival_s)
        })
        .collect()
}

fn job(i: u64, arrival_s: f64) -> Traced {
    let mut which = uniform(1, For::Synthetic, i, 1);
    let kind = KINDS
        .iter()
        .position(|kind| {
            which -= kind.3;
            which < 0.0
        })
        .unwrap_or(0);
    let (median_s, told_sd, hidden_sd, _, bytes) = KINDS[kind];
    let (told, hidden) = (normal(1, For::Synthetic, i, 2), normal(1, For::Synthetic, i, 3));
    let mut extracted = [f32::NAN; EXTRACTED];
    extracted[0] = told as f32;
    let service_s = median_s * (told_sd * told + hidden_sd * hidden).exp();
    Traced {
        arrival_s,
        class: kind as u16,
        urgency: 3,
        body_bytes: Some((4096.0 * (0.5 * told).exp()) as u64),
        extracted,
        group: i as u32,
        data: (bytes > 0).then(|| Data { key: (uniform(1, For::Synthetic, i, 8) * KEYS) as u32, bytes }),
        service_s,
        cpu_s: None,
        memory_bytes: None,
        response_bytes: Some(20_000.0 * (0.5 * hidden).exp()),
    }
}
