//! How everybody is told to come to an end, and how soon.
//!
//! A client that keeps a connection may send its next request at the very moment at which we close it, and then has no answer.
//! Where somebody else serves whoever comes next, there is no hurry: a connection ends with its next answer, which says so. Where
//! the process is to go, connections that wait for a request are closed, for nothing is known to be on its way.

use tokio::sync::watch;

/// How what is open comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It does not.
    Open,
    /// Each connection with its next answer: others serve whoever comes.
    NextAnswer,
    /// Connections that wait for a request at once, the others with the answer they wait for.
    Now,
}

/// Tells everybody to come to an end.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<Ending>);

impl Stopping {
    /// What sends it, and what it is received by.
    pub(crate) fn new() -> (watch::Sender<Ending>, Self) {
        let (sender, receiver) = watch::channel(Ending::Open);
        (sender, Self(receiver))
    }

    /// What is told by `sender`.
    pub(crate) fn told_by(sender: &watch::Sender<Ending>) -> Self {
        Self(sender.subscribe())
    }

    /// Waits until stopping has begun.
    pub(crate) async fn begun(&mut self) {
        // A sender that is gone means the same.
        let _gone = self.0.wait_for(|ending| *ending != Ending::Open).await.is_err();
    }

    /// Whether it has.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow() != Ending::Open
    }

    /// Waits until there is a hurry. A sender that is gone is in none.
    pub(crate) async fn hurried(&mut self) {
        if self.0.wait_for(|ending| *ending == Ending::Now).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether there is time until each connection's next answer.
    pub(crate) fn has_time(&self) -> bool {
        *self.0.borrow() == Ending::NextAnswer
    }
}
