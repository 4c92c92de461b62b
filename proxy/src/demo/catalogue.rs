//! The distinct jobs of one run and their right answers, worked out before anything is measured.
//!
//! Every answer a network gives is compared with these byte for byte. Working them out also tells how fast this machine
//! is: the arrival rate and the pace of the simulated devices follow from it, so the demo is as loaded, and as much
//! CPU, on any machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::job::Job;
use super::kernel::Build;
use super::random::Random;
use super::service::slots::thread_cpu_seconds;
use super::world::{PRIVATE_DEVICE, PRIVATE_SLOTS};

/// Mean CPU seconds of a job on the machine the devices' numbers were written for.
const REFERENCE_CPU_S: f64 = 0.27;

/// How full the private slots would be if everything ran there, averaged over calm and burst.
const PRIVATE_LOAD: f64 = 0.85;

/// What a run takes longer than its CPU and device seconds alone: waiting for the device's channel and for a core.
const FRICTION: f64 = 1.15;

/// Jobs done however long they take: fewer are no stream.
const FEWEST: usize = 12;

/// A job and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) job: Job,
    pub(crate) body: Bytes,
    pub(crate) answer: Bytes,
    cpu_s: f64,
}

/// The jobs of a run.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    known: Vec<Known>,
}

impl Catalogue {
    /// Draws `count` jobs and does them, on every core, but on a slow machine no more than fit in `time`; `told` hears
    /// how many are done.
    pub(crate) fn work_out(seed: u64, count: usize, time: Duration, told: &(impl Fn(usize) + Sync)) -> Self {
        let started = Instant::now();
        let mut random = Random::new(seed, 0xca7a);
        let jobs: Vec<Job> = (0..count).map(|_| Job::draw(&mut random)).collect();
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { return };
                if index >= FEWEST && started.elapsed() > time {
                    return;
                }
                let known = Known::work_out(*job);
                let mut done = done.lock();
                done.push((index, known));
                told(done.len());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut done = done.into_inner();
        done.sort_unstable_by_key(|(index, _)| *index);
        Self { known: done.into_iter().map(|(_, known)| known).collect() }
    }

    /// How many jobs there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The job at `index`, which is below [`Catalogue::len`].
    pub(crate) fn job(&self, index: usize) -> &Known {
        &self.known[index]
    }

    /// What the devices' times are multiplied by, so that they keep their proportion to this machine's CPU times.
    pub(crate) fn pace(&self) -> f64 {
        (self.mean(|known| known.cpu_s) / REFERENCE_CPU_S).clamp(0.1, 10.0)
    }

    /// Jobs a second that keep the private slots as full as intended, were they all sent there.
    pub(crate) fn rate(&self) -> f64 {
        let device = self.mean(|known| {
            let assets = known.job.assets();
            PRIVATE_DEVICE.seconds(assets.operations, assets.bytes)
        });
        let slot = FRICTION * (self.mean(|known| known.cpu_s) + self.pace() * device);
        PRIVATE_LOAD * PRIVATE_SLOTS as f64 / slot
    }

    fn mean(&self, of: impl Fn(&Known) -> f64) -> f64 {
        self.known.iter().map(of).sum::<f64>() / self.known.len().max(1) as f64
    }
}

impl Known {
    /// Does the job with the private network's build; a test holds the two builds to the same bytes.
    fn work_out(job: Job) -> Self {
        let body = job.body();
        let started = thread_cpu_seconds();
        let answer = job.run(Build::Tuned, &body, &mut |_| Ok(())).unwrap_or_default();
        Self { job, body: body.into(), answer: answer.into(), cpu_s: thread_cpu_seconds() - started }
    }
}
