//! Room for so many at once, where how many may change: a configuration says it, and those who have theirs keep it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use tokio::sync::Notify;

/// Room for so many.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    most: AtomicUsize,
    changed: Notify,
}

/// One place. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Room>);

impl Room {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most: AtomicUsize::new(most), changed: Notify::new() })
    }

    /// From now on there is room for `most`. Those who are too many then stay, and nobody else comes in until they are fewer.
    pub(crate) fn hold(&self, most: usize) {
        self.most.store(most, Release);
        self.changed.notify_waiters();
    }

    /// A place, if there is one.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Taken> {
        let one_more = |taken| if taken < self.most.load(Acquire) { Some(taken + 1) } else { None };
        let granted = self.taken.fetch_update(AcqRel, Acquire, one_more).is_ok();
        granted.then(|| Taken(Arc::clone(self)))
    }

    /// Waits for a place.
    pub(crate) async fn take(self: &Arc<Self>) -> Taken {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a place that is given back is heard of.
            changed.as_mut().enable();
            if let Some(taken) = self.try_take() {
                return taken;
            }
            changed.await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, AcqRel);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_grows_and_shrinks_around_those_who_are_in() {
        let room = Room::new(2);
        let (first, second) = (room.try_take().expect("room"), room.try_take().expect("room"));
        assert!(room.try_take().is_none());
        room.hold(3);
        let third = room.try_take().expect("there is more room now");
        room.hold(1);
        drop((first, second));
        assert!(room.try_take().is_none(), "one is in, and there is room for one");
        let waiting = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(third);
        let fourth = waiting.await.expect("no panic");
        assert!(room.try_take().is_none());
        let waiting = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.take().await }
        });
        tokio::task::yield_now().await;
        room.hold(2);
        drop((waiting.await.expect("no panic"), fourth));
    }
}
