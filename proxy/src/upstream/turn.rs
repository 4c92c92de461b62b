//! A waker that knows when it is pointless.
//!
//! A connection without a task of its own is polled by whoever waits for it, together with what comes over it. The two wake
//! each other all the time while they are being polled, and each such wake would have the whole task polled once more, down
//! from the client's connection. So wakes that come during a poll only have the poll repeated where it is; those that come
//! between two polls go on to the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// How often a poll is repeated where it is before others get their turn.
const TURNS_MOST: usize = 16;

/// Stands between a connection and the tasks that wait for it, one after the other.
#[derive(Debug)]
pub(super) struct Turns {
    gate: Arc<Gate>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Gate {
    task: Mutex<Option<Waker>>,
    polling: AtomicBool,
    woken: AtomicBool,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst)
            && let Some(task) = &*self.task.lock()
        {
            task.wake_by_ref();
        }
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        let gate = Arc::new(Gate::default());
        Self { waker: Waker::from(Arc::clone(&gate)), gate }
    }

    /// Polls until it is ready or has nothing more to do now.
    pub(super) fn poll<T>(&self, cx: &mut Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.wait_as(cx.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..TURNS_MOST {
            self.gate.polling.store(true, Ordering::SeqCst);
            self.gate.woken.store(false, Ordering::SeqCst);
            let polled = poll(&mut inner);
            self.gate.polling.store(false, Ordering::SeqCst);
            if polled.is_ready() || !self.gate.woken.load(Ordering::SeqCst) {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nobody waits any more: the task that did is not kept alive.
    pub(super) fn rest(&self) {
        *self.gate.task.lock() = None;
    }

    fn wait_as(&self, task: &Waker) {
        let mut waiting = self.gate.task.lock();
        if !waiting.as_ref().is_some_and(|waiting| waiting.will_wake(task)) {
            *waiting = Some(task.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn a_wake_during_a_poll_repeats_it_and_leaves_the_task_alone() {
        let (woken, waker) = counted();
        let turns = Turns::new();
        let mut polls = 0;
        let polled = turns.poll(&mut Context::from_waker(&waker), |cx| {
            polls += 1;
            if polls < 3 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((polls, woken.0.load(Ordering::Relaxed)), (3, 0));
    }

    #[test]
    fn a_wake_between_polls_reaches_the_task_that_waited_last() {
        let ((first, first_waker), (second, second_waker)) = (counted(), counted());
        let turns = Turns::new();
        let mut kept = None;
        for waker in [&first_waker, &second_waker] {
            let polled = turns.poll(&mut Context::from_waker(waker), |cx| {
                kept = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
        }
        kept.expect("it was polled").wake();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn a_poll_that_never_rests_gives_others_their_turn() {
        let (woken, waker) = counted();
        let turns = Turns::new();
        let polled = turns.poll(&mut Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_connection_at_rest_wakes_nobody() {
        let (woken, waker) = counted();
        let turns = Turns::new();
        let mut kept = None;
        let polled = turns.poll(&mut Context::from_waker(&waker), |cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        turns.rest();
        kept.expect("it was polled").wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }
}
