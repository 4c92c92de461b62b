//! A shadow's hold on a worker: its caps, what it has used of them, and what becomes of the worker when the shadow is over.
//!
//! Until it is over, nobody else is given the worker. A shadow whose whole answer was read leaves it as it found it. One that
//! was stopped has its worker killed there and then, for the service may well go on with a job whose client has gone; that is
//! what makes a loser known to be gone. One that was adopted has had the run of the machine, so its worker is replaced too.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use policy::Caps;

use super::cage::{Cage, CageError, CageLimits, Mark, Usage, Weight};
use super::crew::Crew;
use super::roster::{Over, Then, Turn};

/// A shadow's hold on a worker. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Seat {
    crew: Arc<Crew>,
    turn: Turn,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// `None` once it is over, or if the worker went while it was claimed.
    cage: Option<Arc<Cage>>,
    /// From where its use is counted, and since when.
    before: Option<(Mark, Instant)>,
    /// The last that was seen.
    used: Used,
    over: Over,
    is_over: bool,
    /// Its caps are being set, which may take long and holds no lock. What comes meanwhile is done by whoever sets them, when
    /// they are set and before anything is sent.
    capping: bool,
    /// When it was adopted: since then there are to be no caps, also for whoever comes to set them only now.
    adopted: Option<Instant>,
}

/// How long after a lift that failed it is tried again, at first and at most. A real job runs under a shadow's caps
/// meanwhile.
const LIFT_AGAIN: [Duration; 2] = [Duration::from_millis(2), Duration::from_secs(2)];

/// What a shadow has used; what nobody measures is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// CPU seconds.
    pub(crate) cpu_s: Option<f64>,
    /// The most memory it held.
    pub(crate) memory_bytes: Option<f64>,
    /// The share of full speed it was granted.
    pub(crate) granted: Option<f64>,
}

/// A worker's caps could not be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCapped {
    /// Its process has gone meanwhile.
    #[error("the worker went away before its caps were set")]
    Gone,
    /// The system would not have them.
    #[error("the worker's caps cannot be set")]
    Refused(#[source] CageError),
}

impl Seat {
    pub(super) fn new(crew: Arc<Crew>, turn: Turn, cage: Option<Arc<Cage>>) -> Arc<Self> {
        let held = Held {
            cage,
            before: None,
            used: Used::default(),
            over: Over::Unsent,
            is_over: false,
            capping: false,
            adopted: None,
        };
        Arc::new(Self { crew, turn, held: Mutex::new(held) })
    }

    /// Which of its network's endpoints the worker is.
    pub(crate) fn endpoint(&self) -> usize {
        self.crew.endpoint(self.turn.life.at)
    }

    /// Sets the caps and begins to count. Nothing may be sent to the worker before.
    pub(crate) async fn cap(self: &Arc<Self>, caps: Caps) -> Result<(), NotCapped> {
        let seat = Arc::clone(self);
        // Lowering a memory limit makes the kernel look for what it can take back, which may take a while.
        let capped = tokio::task::spawn_blocking(move || seat.cap_now(caps)).await;
        capped.unwrap_or(Err(NotCapped::Gone)).inspect_err(|error| self.crew.not_capped(self.turn.life.at, error))
    }

    fn cap_now(self: &Arc<Self>, caps: Caps) -> Result<(), NotCapped> {
        let (cage, wanted) = {
            let mut held = self.held.lock();
            let cage = held.cage.clone().ok_or(NotCapped::Gone)?;
            held.capping = true;
            (cage, if held.adopted.is_some() { CageLimits::default() } else { limits(&caps) })
        };
        let set = cage.set(&wanted);
        let before = (cage.mark(), Instant::now());
        let mut held = self.held.lock();
        held.capping = false;
        match &set {
            Ok(()) if held.is_over => {}
            // From here on it may run.
            Ok(()) => (held.before, held.over) = (Some(before), Over::Stopped),
            // Some of them may be set, and a worker that holds more than it may now will not hold less later.
            Err(_) => held.over = Over::Broke,
        }
        if held.is_over {
            self.let_go(held);
            return Err(NotCapped::Gone);
        }
        if let Some(since) = held.adopted.filter(|_| wanted != CageLimits::default()) {
            self.lift_or_try_again(&cage, since);
        }
        set.map_err(NotCapped::Refused)
    }

    /// What it runs has become the real job: nothing of it runs under caps when this returns, if the system lets go of them.
    pub(crate) fn lift(self: &Arc<Self>) {
        let now = Instant::now();
        let mut held = self.held.lock();
        if held.is_over || !self.crew.adopt(self.turn) {
            return;
        }
        held.adopted = Some(now);
        if let Some(cage) = held.cage.as_ref().filter(|_| !held.capping) {
            self.lift_or_try_again(cage, now);
        }
    }

    fn lift_or_try_again(self: &Arc<Self>, cage: &Cage, since: Instant) {
        let Err(error) = cage.set(&CageLimits::default()) else {
            self.crew.metrics.caps_lifted(since.elapsed());
            return;
        };
        self.crew.metrics.caps_not_lifted();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            worker = self.turn.life.at,
            "a worker's caps cannot be lifted; its job goes on under them, and lifting them is tried again"
        );
        tokio::spawn(keep_lifting(Arc::downgrade(self), since));
    }

    /// Lifts the caps of one that is still under them, and says whether there is nothing left to do.
    fn lift_late(&self, since: Instant) -> bool {
        let held = self.held.lock();
        let Some(cage) = held.cage.as_ref().filter(|_| !held.is_over) else { return true };
        let lifted = cage.set(&CageLimits::default()).is_ok();
        if lifted {
            let took = since.elapsed();
            self.crew.metrics.caps_lifted(took);
            tracing::info!(
                worker = self.turn.life.at,
                took_ms = took.as_millis(),
                "a worker's caps are lifted at last"
            );
        }
        lifted
    }

    /// What it has used so far, or had used when it was over.
    pub(crate) fn used(&self) -> Used {
        self.held.lock().look()
    }

    /// Its whole answer was read: the worker runs nothing any more.
    pub(crate) fn is_whole(&self) {
        self.held.lock().over = Over::Whole;
    }

    /// The worker broke off, or went.
    pub(crate) fn broke(&self) {
        self.held.lock().over = Over::Broke;
    }

    /// It is over: the worker waits for the next shadow, or is killed, there and then.
    pub(crate) fn end(&self) {
        let mut held = self.held.lock();
        if held.is_over {
            return;
        }
        held.look();
        held.is_over = true;
        if !held.capping {
            self.let_go(held);
        }
    }

    /// Gives the worker back.
    fn let_go(&self, mut held: MutexGuard<'_, Held>) {
        let killed_for_memory = held.oom_kills() > 0;
        let cage = held.cage.take();
        // What is left of it after one of its processes was killed is not what was started.
        let over = if killed_for_memory { Over::Broke } else { held.over };
        drop(held);
        let then = self.crew.release(self.turn, over);
        let Some(cage) = cage else { return };
        if then == Then::Kill {
            // Whoever keeps the worker sees to it that nothing is left; this must not wait.
            cage.strike();
        }
        cage.let_go();
    }
}

/// Tries to lift the caps until they are, or the job is over. It does not keep the worker from its end.
async fn keep_lifting(seat: Weak<Seat>, since: Instant) {
    let [mut wait, longest] = LIFT_AGAIN;
    loop {
        tokio::time::sleep(wait).await;
        wait = (2 * wait).min(longest);
        if seat.upgrade().is_none_or(|seat| seat.lift_late(since)) {
            return;
        }
    }
}

impl Held {
    fn look(&mut self) -> Used {
        if let (Some(cage), Some((mark, since))) = (&self.cage, &self.before) {
            self.used = Used::of(&cage.since(mark), since.elapsed());
        }
        self.used
    }

    fn oom_kills(&self) -> u64 {
        let (Some(cage), Some((mark, _))) = (&self.cage, &self.before) else { return 0 };
        cage.since(mark).oom_kills.unwrap_or(0)
    }
}

/// The least memory that a shadow may be held to. No service lives in less, so whoever asks for less, which may be anybody
/// that a sidecar listens to, only asks for a worker to be killed.
pub(crate) const MEMORY_LEAST: u64 = 16 << 20;

/// What holds a shadow to its caps, behind everything that is live.
pub(super) fn limits(caps: &Caps) -> CageLimits {
    CageLimits { cpu_share: Some(caps.cpu_share), memory_bytes: Some(caps.memory_bytes), weight: Weight::Idle }
}

impl Used {
    /// Takes in what is said now. What is not said leaves what was known.
    pub(crate) fn update(&mut self, now: Self) {
        self.cpu_s = now.cpu_s.or(self.cpu_s);
        self.memory_bytes = now.memory_bytes.or(self.memory_bytes);
        self.granted = now.granted.or(self.granted);
    }

    /// From what a cage has used in `elapsed`.
    fn of(used: &Usage, elapsed: Duration) -> Self {
        let elapsed_s = elapsed.as_secs_f64();
        let stalled = used.stalled_s.map(|stalled_s| unstalled(stalled_s, elapsed_s));
        let throttled = used.cpu_s.zip(used.throttled_s);
        let unthrottled = throttled.map(|(cpu_s, throttled_s)| unthrottled(cpu_s, throttled_s, elapsed_s));
        Self {
            cpu_s: used.cpu_s,
            // A worker that is used again has a peak from before; then what it holds now is all that can be said.
            memory_bytes: used.memory_peak_bytes.or(used.memory_bytes).map(|bytes| bytes as f64),
            granted: stalled.or(unthrottled),
        }
    }
}

/// The share of full speed that a worker had which stood still for `stalled_s`, wanting a CPU.
///
/// At full speed it would have done in `elapsed_s − stalled_s` what took it `elapsed_s`: time spent waiting for something else
/// counts as it is, and only time in which it would have run and was not let counts against its grant, whoever held it back.
/// Threads that wait while another one runs do not show in it.
fn unstalled(stalled_s: f64, elapsed_s: f64) -> f64 {
    if elapsed_s > 0.0 { (1.0 - stalled_s / elapsed_s).clamp(LEAST, 1.0) } else { 1.0 }
}

/// The same where the kernel only says for how long its share held it back: what it waited behind others does not show.
///
/// Several threads are held back at the same time, each for itself, and the kernel adds that up. What they asked for, used or
/// not, then comes to more than the time there was, and their share is that of what they asked for.
fn unthrottled(cpu_s: f64, throttled_s: f64, elapsed_s: f64) -> f64 {
    unstalled(throttled_s, elapsed_s.max(cpu_s + throttled_s))
}

/// The least share: nothing that runs at all is taken to be infinitely fast.
const LEAST: f64 = 0.001;

impl Drop for Seat {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::cage::Means;
    use super::*;

    const CAPS: Caps = Caps { cpu_share: 0.2, memory_bytes: 64 << 20, bytes_per_s: 1e6, window_s: 1.0 };

    /// One worker without a process, claimed, and its cage.
    fn seat() -> (Arc<Seat>, Arc<Cage>) {
        let cage = Arc::new(Cage::new(&Means::limits_only("/proc/self/exe".into()), "seat").expect("a cage"));
        (seat_of(&cage), cage)
    }

    fn seat_of(cage: &Arc<Cage>) -> Arc<Seat> {
        let crew = Crew::new(1, 1, Arc::new(crate::metrics::Metrics::new(&["private".to_owned()])));
        let life = crew.starts(0).expect("it has no process");
        crew.is_ready(life, cage);
        crew.claim().expect("it waits")
    }

    #[test]
    fn caps_that_come_after_an_adoption_are_not_set() {
        let (seat, cage) = seat();
        seat.lift();
        seat.cap_now(CAPS).expect("it is there");
        assert_eq!(cage.limits(), CageLimits::default());
        assert_eq!((seat.crew.adopted(), seat.held.lock().before.is_some()), (1, true), "it is measured all the same");
    }

    #[test]
    fn caps_are_lifted_by_an_adoption_that_comes_after_them() {
        let (seat, cage) = seat();
        seat.cap_now(CAPS).expect("it is there");
        assert_eq!(cage.limits(), limits(&CAPS));
        seat.lift();
        assert_eq!(cage.limits(), CageLimits::default());
    }

    #[test]
    fn a_worker_whose_caps_are_refused_is_not_given_out_again() {
        let (seat, _cage) = seat();
        // As a kernel says that more is in use already.
        let set = seat.cap_now(Caps { memory_bytes: 0, ..CAPS });
        assert!(matches!(set, Err(NotCapped::Refused(_))), "{set:?}");
        seat.end();
        let broken = seat.crew.workers().by_state().find(|(state, _)| *state == "broken");
        assert_eq!((seat.crew.has_idle(), broken), (false, Some(("broken", 1))), "it is replaced");
    }

    #[tokio::test(start_paused = true)]
    async fn caps_that_the_system_does_not_let_go_of_are_lifted_when_it_does() {
        let tree = tempfile::tempdir().expect("a directory");
        let cage = Arc::new(Cage::on_tree(tree.path()).expect("a cage"));
        let seat = seat_of(&cage);
        let held = |file: &str| std::fs::read_to_string(tree.path().join("cage").join(file)).expect("it is there");
        seat.cap_now(CAPS).expect("it is there");
        assert_eq!((held("cpu.max"), held("memory.max")), ("10000 50000".to_owned(), (64 << 20).to_string()));
        let share = tree.path().join("cage/cpu.max");
        std::fs::remove_file(&share).expect("it is there");
        std::fs::create_dir(&share).expect("nothing is there");
        seat.lift();
        assert_eq!(held("memory.max"), "max", "what can be lifted is");
        let counted = || seat.crew.metrics.caps_so_far();
        assert_eq!(counted(), (1, 0));
        tokio::time::sleep(10 * LIFT_AGAIN[1]).await;
        assert_eq!(counted(), (1, 0), "tried again and again, and counted once");
        std::fs::remove_dir(&share).expect("it is there");
        std::fs::write(&share, "10000 50000").expect("there is room");
        tokio::time::sleep(2 * LIFT_AGAIN[1]).await;
        assert_eq!((held("cpu.max"), counted()), ("max".to_owned(), (1, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_lifts_the_caps_of_a_worker_whose_job_is_over() {
        let tree = tempfile::tempdir().expect("a directory");
        let cage = Arc::new(Cage::on_tree(tree.path()).expect("a cage"));
        let seat = seat_of(&cage);
        seat.cap_now(CAPS).expect("it is there");
        let share = tree.path().join("cage/cpu.max");
        std::fs::remove_file(&share).expect("it is there");
        seat.lift();
        seat.end();
        std::fs::write(&share, "held").expect("there is room");
        tokio::time::sleep(10 * LIFT_AGAIN[1]).await;
        assert_eq!(std::fs::read_to_string(&share).expect("it is there"), "held");
        assert_eq!(seat.crew.metrics.caps_so_far(), (1, 0));
    }

    /// Runs `meanwhile` while the caps are being set, and gives what setting them came to.
    fn while_capping(seat: &Arc<Seat>, cage: &Cage, meanwhile: impl FnOnce()) -> Result<(), NotCapped> {
        let busy = cage.busy();
        let setting = std::thread::spawn({
            let seat = Arc::clone(seat);
            move || seat.cap_now(CAPS)
        });
        let until = Instant::now() + Duration::from_secs(60);
        while !seat.held.lock().capping {
            assert!(Instant::now() < until, "it never began");
            std::thread::yield_now();
        }
        // None of this may wait for it, or this test never ends.
        meanwhile();
        drop(busy);
        setting.join().expect("no panic")
    }

    #[test]
    fn an_adoption_while_caps_are_set_does_not_wait_and_leaves_none() {
        let (seat, cage) = seat();
        while_capping(&seat, &cage, || {
            assert_eq!(seat.used(), Used::default());
            seat.lift();
        })
        .expect("it is there");
        assert_eq!((cage.limits(), seat.crew.adopted()), (CageLimits::default(), 1));
    }

    #[test]
    fn a_shadow_that_ends_while_caps_are_set_does_not_wait_and_its_worker_is_given_out_when_they_are() {
        let (seat, cage) = seat();
        let set = while_capping(&seat, &cage, || {
            seat.end();
            assert!(!seat.crew.has_idle(), "the next one's caps could be overtaken by these");
        });
        assert!(matches!(set, Err(NotCapped::Gone)), "{set:?}");
        assert!(seat.crew.has_idle(), "nothing was sent to it");
    }

    #[test]
    fn a_grant_is_the_time_it_was_let_run_over_the_time_it_would_have() {
        let check = |cpu_s, throttled_s, elapsed_s, expected: f64| {
            let share = unthrottled(cpu_s, throttled_s, elapsed_s);
            assert!((share - expected).abs() < 1e-9, "{cpu_s} {throttled_s} {elapsed_s}: {share}");
        };
        // One thread at a fifth of a core.
        check(2.0, 8.0, 10.0, 0.2);
        // It waits for something else, and is never held.
        check(1.0, 0.0, 10.0, 1.0);
        // It waits half of its time.
        check(1.0, 4.0, 10.0, 0.6);
        // Two threads at a fifth of a core between them: ten times slower than on two cores.
        check(2.0, 18.0, 10.0, 0.1);
        check(0.0, 0.0, 0.0, 1.0);
        check(0.0, 5.0, 5.0, LEAST);
    }
}
