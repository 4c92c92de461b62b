//! The jobs: a stretch of the trace, those of it that read something.

use super::Arguments;
use crate::arguments::as_typed;
use crate::trace::{self, TraceError};

/// Bytes of an input, at the least and at the most.
const INPUT_BYTES: (u64, u64) = (1 << 20, 200 << 20);
/// Seconds of a job that count: longer ones would only be waited for.
const LONGEST_S: f64 = 10.0;

/// One job.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Seconds after the one before.
    pub after_s: f64,
    /// What kind it is.
    pub class: u16,
    /// Its input.
    pub key: u32,
    /// How large that is, scaled.
    pub bytes: u64,
    /// How long it runs once it has read.
    pub runs_s: f64,
}

/// Draws the jobs of a run.
pub fn draw(arguments: &Arguments) -> Result<Vec<Job>, TraceError> {
    let path = as_typed(&arguments.trace);
    let all = trace::read(&path, 0.0..=600.0)?;
    let reads: Vec<_> = all.iter().filter(|job| job.data.is_some_and(|data| data.bytes >= INPUT_BYTES.0)).collect();
    if reads.len() < arguments.jobs {
        return Err(TraceError::Empty(path));
    }
    // Stretches lie apart by a number that is prime to most lengths, so that another seed is another part of the trace.
    let from = (arguments.seed as usize * 7919) % (reads.len() - arguments.jobs + 1);
    let stretch = &reads[from..from + arguments.jobs];
    let runs_s = |service_s: f64| service_s.min(LONGEST_S) * arguments.pace;
    let work_s: f64 = stretch.iter().map(|job| runs_s(job.service_s)).sum();
    let wanted_s = work_s / (arguments.load * arguments.slots as f64);
    let (first_s, last_s) = (stretch[0].arrival_s, stretch[stretch.len() - 1].arrival_s);
    let squeeze = wanted_s / (last_s - first_s).max(1e-3);
    let mut before_s = first_s;
    let job = |traced: &&trace::Traced| {
        let after_s = (traced.arrival_s - before_s) * squeeze;
        before_s = traced.arrival_s;
        let data = traced.data?;
        let bytes = (data.bytes.clamp(INPUT_BYTES.0, INPUT_BYTES.1) as f64 * arguments.scale) as u64;
        Some(Job { after_s, class: traced.class, key: data.key, bytes, runs_s: runs_s(traced.service_s) })
    };
    Ok(stretch.iter().filter_map(job).collect())
}
