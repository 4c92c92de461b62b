//! Who owns what outlives a request: upgraded connections, and jobs that run on without their client.
//!
//! hyper lets go of both. An upgraded connection is still a connection, so what copies its bytes holds its [`Place`]: it
//! counts against the limits until it is closed. And both run among their worker's [`Tasks`]: a worker that is told to stop
//! waits for them as it waits for its connections. What is left after that ends with the worker's runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora_limits::inflight::Guard as AddressGuard;
use tokio::sync::watch;

use super::room::Taken;
use crate::generation::Shared;

/// What a connection holds while it is open.
pub(super) struct Place {
    pub(super) _taken: Taken,
    pub(super) _address: AddressGuard,
    /// The connections of its worker.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.connection_closed();
    }
}

/// A worker's tasks that are not connections. How many there may be is for whoever starts them to bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(Arc<watch::Sender<usize>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = Running::begin(self);
        tokio::spawn(async move {
            let _running = running;
            task.await;
        });
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until none runs.
    pub(super) async fn ended(&self) {
        // There is a sender, for this is one.
        let _gone = self.0.subscribe().wait_for(|running| *running == 0).await.is_err();
    }
}

/// Counts a task until it is dropped.
struct Running(Tasks);

impl Running {
    fn begin(tasks: &Tasks) -> Self {
        tasks.0.send_modify(|running| *running += 1);
        Self(tasks.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|running| *running -= 1);
    }
}

/// The owner of a request, and of what outlives it.
#[derive(Clone)]
pub(crate) struct Owner {
    tasks: Tasks,
    place: Arc<Place>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("tasks", &self.tasks.running()).finish_non_exhaustive()
    }
}

impl Owner {
    /// A connection that has this place, on a worker that has these tasks.
    pub(super) fn new(tasks: &Tasks, place: Place) -> Self {
        Self { tasks: tasks.clone(), place: Arc::new(place) }
    }

    /// Runs what has become of the connection, which is open for as long as this runs.
    pub(crate) fn keep_open(&self, task: impl Future<Output = ()> + Send + 'static) {
        let place = Arc::clone(&self.place);
        self.tasks.spawn(async move {
            let _place = place;
            task.await;
        });
    }

    /// Runs what goes on when the connection is closed.
    pub(crate) fn run_on(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_have_ended_when_the_last_one_has_however_it_did() {
        let tasks = Tasks::default();
        tasks.ended().await;
        let (first, held) = tokio::sync::oneshot::channel::<()>();
        let (second, also_held) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move { assert!(held.await.is_err()) });
        tasks.spawn(async move { panic!("{:?}", also_held.await) });
        assert_eq!(tasks.running(), 2);
        drop(first);
        drop(second);
        tasks.ended().await;
        assert_eq!(tasks.running(), 0);
    }
}
