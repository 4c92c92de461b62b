//! What the guard and the service behind hyper know of each other.
//!
//! hyper stands between them and tells neither when an answer is over. The guard must know, for it lets the next head
//! through only then; and it must know that a connection was upgraded, for then its bytes are no longer HTTP.

use std::sync::atomic::{AtomicU8, Ordering};

/// One connection's state, shared by its guard and its service. A connection has at most one request under way.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: AtomicU8,
}

const IDLE: u8 = 0;
const UNDER_WAY: u8 = 1;
const ANSWERED: u8 = 2;
const UPGRADED: u8 = 3;

impl Watch {
    /// The answer's body has ended or was dropped. Must be called for every answer, else the connection takes no further
    /// request; best from the `Drop` of the body's wrapper, which hyper runs before it flushes. Harmless more than once.
    pub(crate) fn answered(&self) {
        // An upgraded connection stays upgraded when the 101's empty body is dropped.
        let _kept = self.state.compare_exchange(UNDER_WAY, ANSWERED, Ordering::Release, Ordering::Relaxed);
    }

    /// A 101 is about to be given: from here on the client's bytes are passed on unread. Before it is given, please.
    pub(crate) fn upgraded(&self) {
        self.state.store(UPGRADED, Ordering::Release);
    }

    /// The guard has passed a head.
    pub(super) fn began(&self) {
        self.state.store(UNDER_WAY, Ordering::Release);
    }

    /// The guard has seen that the answer is over and flushed.
    pub(super) fn rested(&self) {
        self.state.store(IDLE, Ordering::Release);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state.load(Ordering::Acquire) == ANSWERED
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.state.load(Ordering::Acquire) == UPGRADED
    }
}
