//! The connections between sidecars that are open, and whether each other side is still believed.
//!
//! A handshake asks once. A connection may then stay open for days, in which its certificate expires, is revoked, or its CA
//! is taken off the bundle. So the chain of each is kept while it is open, and judged again: all of them when what is trusted
//! has changed, those whose time is over whenever anybody looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use certs::{Expected, Refusal, Role, SpiffeId, Trust};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::wire::Wire;
use crate::metrics::Metrics;

/// Who was at the other end in the handshake, and who may be.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) expected: Expected,
    /// The last moment that the chain holds, as was last judged.
    pub(super) ends: Mutex<SystemTime>,
    pub(super) role: Role,
}

type Open = (Arc<Wire>, Arc<Shown>);

/// Every connection that is open.
#[derive(Debug)]
pub(super) struct Live {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    metrics: Arc<Metrics>,
}

impl Live {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(0), open: Mutex::default(), metrics })
    }

    /// Enters a connection, until what is returned is dropped.
    pub(super) fn enter(self: &Arc<Self>, shown: Shown) -> Entry {
        let (at, wire, role) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(Wire::default()), shown.role);
        self.open.lock().insert(at, (Arc::clone(&wire), Arc::new(shown)));
        self.metrics.peer_connection_opened(role);
        Entry { wire, place: Some((Arc::clone(self), at, role)) }
    }

    /// Cuts whoever is not believed by `trust`, or came to us and is not among the `peers`: of all, or of those whose time is
    /// over.
    pub(super) fn review(&self, trust: &Arc<Trust>, peers: &Arc<[SpiffeId]>, which: Review) {
        let now = SystemTime::now();
        let concerned = |shown: &Shown| which == Review::All || *shown.ends.lock() < now;
        let doubted: Vec<_> = {
            let open = self.open.lock();
            open.values().filter(|(_, shown)| concerned(shown)).cloned().collect()
        };
        for (wire, shown) in doubted {
            // A moment of its own for each: judging many takes a while.
            let expected = match shown.role {
                Role::Client => Expected::new(Arc::clone(trust), Arc::clone(peers), Role::Client),
                Role::Server => shown.expected.by(trust),
            };
            match expected.verify_until(&shown.chain, UnixTime::now()) {
                Ok((_, until)) => *shown.ends.lock() = until,
                Err(refusal) => self.cut(&wire, &shown, &refusal),
            }
        }
    }

    fn cut(&self, wire: &Wire, shown: &Shown, refusal: &Refusal) {
        tracing::warn!(role = ?shown.role, %refusal, "a connection to a sidecar is cut");
        self.metrics.peer_connection_cut(refusal.reason());
        wire.cut();
    }
}

/// Which connections are judged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// What is trusted has changed.
    All,
    /// Time has passed.
    Over,
}

/// A connection's place among those that are open.
#[derive(Debug)]
pub(super) struct Entry {
    wire: Arc<Wire>,
    place: Option<(Arc<Live>, u64, Role)>,
}

impl Entry {
    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// One that nobody reviews.
    #[cfg(test)]
    pub(super) fn alone() -> Self {
        Self { wire: Arc::default(), place: None }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((live, at, role)) = self.place.take() {
            live.open.lock().remove(&at);
            live.metrics.peer_connection_closed(role);
        }
    }
}
