//! A bound on bytes over many holders, each of which gives its share back when it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes over all holders.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    bound: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bound: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), bound: AtomicU64::new(bound) })
    }

    /// From now on it is this many bytes. Holders keep what they have.
    pub(crate) fn hold(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// Bytes that holders have.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: AtomicU64::new(0) }
    }
}

/// What one holder has of the budget. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Share {
    /// Takes `bytes` more, if the budget has them.
    #[must_use]
    pub(crate) fn grow(&self, bytes: u64) -> bool {
        let more =
            |used: u64| used.checked_add(bytes).filter(|used| *used <= self.budget.bound.load(Ordering::Relaxed));
        let granted = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if granted {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        granted
    }
}

impl Share {
    /// Bytes that it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives `bytes` of it back.
    pub(crate) fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}
