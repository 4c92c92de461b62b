//! The service's slots: one queue, first come, first served, in front of a fixed number of threads that each run one
//! job.
//!
//! A run is owned by its [`Claim`]. Dropping the claim, which is what happens when the client goes away, takes a queued
//! run out of the queue and stops a running one at its next row.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::usage::{Usage, Used};
use super::wire::Interim;
use crate::demo::device::Device;
use crate::demo::job::{Assets, Job};
use crate::demo::kernel::{Build, Stopped};

/// Runs that may wait; more are refused.
const QUEUE: usize = 1_000;

/// How often a running job shows its progress.
const SHOW_EVERY: Duration = Duration::from_millis(50);

/// A job and what is needed to run it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) body: Bytes,
    /// The name it is booked under.
    pub(crate) booked_as: String,
    /// Where to show progress; `None` for a service that shows none.
    pub(crate) interim: Option<Interim>,
}

/// A run in the queue or in a slot.
struct Entry {
    run: Run,
    cancelled: Arc<AtomicBool>,
    answer: oneshot::Sender<Vec<u8>>,
}

/// The right to a run's answer; dropped, the run is cancelled.
pub(crate) struct Claim {
    slots: Arc<Slots>,
    cancelled: Arc<AtomicBool>,
    answer: oneshot::Receiver<Vec<u8>>,
}

impl Claim {
    /// The answer; `None` when the run could not be finished.
    pub(crate) async fn answer(mut self) -> Option<Vec<u8>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.slots.forget_cancelled();
    }
}

/// The queue is full.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{QUEUE} runs are waiting for a slot; send fewer or later")]
pub(crate) struct QueueFull;

#[derive(Default)]
struct State {
    queue: VecDeque<Entry>,
    running: usize,
}

/// The queue and the threads behind it.
pub(crate) struct Slots {
    build: Build,
    state: Mutex<State>,
    came: Condvar,
    usage: Usage,
}

impl Slots {
    /// Starts `count` slots that run `build` and wait for the device at `device`.
    pub(crate) fn start(count: usize, build: Build, device: SocketAddr) -> Arc<Self> {
        let slots = Arc::new(Self { build, state: Mutex::default(), came: Condvar::new(), usage: Usage::default() });
        for _ in 0..count {
            let slots = slots.clone();
            std::thread::spawn(move || slots.work(Device::new(device)));
        }
        slots
    }

    /// Puts a run at the end of the queue.
    pub(crate) fn submit(self: &Arc<Self>, run: Run) -> Result<Claim, QueueFull> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (send, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.queue.len() >= QUEUE {
            return Err(QueueFull);
        }
        state.queue.push_back(Entry { run, cancelled: cancelled.clone(), answer: send });
        drop(state);
        self.came.notify_one();
        Ok(Claim { slots: self.clone(), cancelled, answer })
    }

    /// Runs in a slot and runs waiting for one.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.running, state.queue.len())
    }

    /// What every job used so far.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    fn forget_cancelled(&self) {
        let mut state = self.state.lock();
        state.queue.retain(|entry| {
            let cancelled = entry.cancelled.load(Ordering::Relaxed);
            if cancelled {
                self.usage.book(&entry.run.booked_as, &Used { dropped: 1, ..Used::default() });
            }
            !cancelled
        });
    }

    fn work(&self, mut device: Device) {
        loop {
            let entry = self.next();
            let (started, cpu_started) = (Instant::now(), thread_cpu_seconds());
            let mut desk = Desk::new(&entry, &mut device, started);
            let result = entry
                .run
                .job
                .run(self.build, &entry.run.body, &mut |fraction| desk.step(fraction))
                .and_then(|answer| desk.step(1.0).map(|()| answer));
            let used = Used {
                slot_s: started.elapsed().as_secs_f64(),
                cpu_s: thread_cpu_seconds() - cpu_started,
                device_s: desk.device_s,
                finished: u32::from(result.is_ok()),
                stopped: u32::from(result.is_err()),
                dropped: 0,
            };
            self.usage.book(&entry.run.booked_as, &used);
            self.state.lock().running -= 1;
            if let Ok(answer) = result {
                // The client may have left at the last moment.
                drop(entry.answer.send(answer));
            }
        }
    }

    fn next(&self) -> Entry {
        let mut state = self.state.lock();
        loop {
            if let Some(entry) = state.queue.pop_front() {
                state.running += 1;
                return entry;
            }
            self.came.wait(&mut state);
        }
    }
}

/// What happens between a job's rows: cancellation, device operations when their turn has come, progress.
struct Desk<'a> {
    entry: &'a Entry,
    device: &'a mut Device,
    assets: Assets,
    operations: u32,
    device_s: f64,
    shown_at: Option<Instant>,
    started: Instant,
}

impl<'a> Desk<'a> {
    fn new(entry: &'a Entry, device: &'a mut Device, started: Instant) -> Self {
        Self { entry, device, assets: entry.run.job.assets(), operations: 0, device_s: 0.0, shown_at: None, started }
    }

    fn step(&mut self, fraction: f64) -> Result<(), Stopped> {
        if self.entry.cancelled.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        self.show(fraction);
        while self.operations < self.assets.operations
            && f64::from(self.operations) + 0.5 <= fraction * f64::from(self.assets.operations)
        {
            let waiting = Instant::now();
            let operated = self.device.operate(self.assets.bytes, &self.entry.cancelled);
            self.device_s += waiting.elapsed().as_secs_f64();
            operated?;
            self.operations += 1;
        }
        Ok(())
    }

    /// Shows progress at the start, which tells running from waiting, and then every so often.
    fn show(&mut self, fraction: f64) {
        let Some(interim) = &self.entry.run.interim else { return };
        let since = self.shown_at.unwrap_or(self.started).elapsed();
        if self.shown_at.is_none() || since >= SHOW_EVERY {
            interim.show(fraction);
            self.shown_at = Some(Instant::now());
        }
    }
}

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
