//! What sidecars say to each other, beyond the jobs themselves.
//!
//! A shadow is the job's own request with a header that names it and its bounds; a transferred job carries a mark that it
//! has made its last hop. Beside those there are four small questions, all asked of the peers listener: adopt this shadow,
//! how far is this dispatch, how loaded are you, fetch this data. In the clear this listener is only ever on a loopback
//! address; whoever can connect there is believed.

mod ask;
mod asked;
mod serve;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use policy::{Caps, Progress};
use tokio::sync::Notify;

use crate::throttle::Throttle;

pub(crate) use ask::{Unanswered, adopt, ask_for_warmth, keep_reports_fresh, watch_progress};
pub(crate) use asked::{ShadowAsk, granted};
pub(crate) use serve::control;

/// On a request: a shadow, `id=…; level=…; cpu=…; memory=…; bytes_per_s=…; window_ms=…`.
pub(crate) const SHADOW: &str = "adumbra-shadow";
/// On a request: a transferred job's id. It runs where it lands.
pub(crate) const TRANSFER: &str = "adumbra-transfer";
/// On the answer of a shadow that ran for another sidecar: the caps it was given.
pub(crate) const GRANTED: &str = "adumbra-granted";
/// On an interim answer of a service: the share of the work that is done, 0..=1.
pub(crate) const PROGRESS: &str = "adumbra-progress";
/// On a job that its service may be asked about: what to call it there.
pub(crate) const DISPATCH: &str = "adumbra-dispatch";
/// Where the questions are asked.
pub(crate) const CONTROL: &str = "/.well-known/adumbra/";

/// How long past its window a shadow may run before the serving side ends it by itself.
const LEASE_GRACE: Duration = Duration::from_secs(2);
/// The longest name a dispatch may have.
const ID_MOST: usize = 64;
/// The most dispatches of peers that are kept track of.
const SERVED_MOST: usize = 4096;

/// What another sidecar says a request is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// Not from a sidecar.
    None,
    /// A job that was transferred here.
    Transfer {
        /// What the sender calls it.
        id: Box<str>,
    },
    /// A shadow.
    Shadow(ShadowAsk),
}

impl Mark {
    /// Reads the mark of a request that came over the peers listener. `None` if what it says makes no sense.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        if let Some(ask) = headers.get(SHADOW) {
            return ShadowAsk::read(ask).map(Self::Shadow);
        }
        let id = headers.get(TRANSFER)?.to_str().ok()?;
        is_id(id).then(|| Self::Transfer { id: id.into() })
    }

    /// Whether a request carries a mark, readable or not.
    pub(crate) fn is_on(headers: &HeaderMap) -> bool {
        headers.contains_key(SHADOW) || headers.contains_key(TRANSFER)
    }

    /// Whether the request must run here.
    pub(crate) fn is_last_hop(&self) -> bool {
        *self != Self::None
    }
}

/// Takes the marks off a request: they were meant for us, not for the service.
pub(crate) fn unmark(headers: &mut HeaderMap) {
    headers.remove(SHADOW);
    headers.remove(TRANSFER);
    headers.remove(DISPATCH);
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MOST && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A dispatch that runs here for another sidecar.
#[derive(Debug)]
pub(crate) struct Served {
    /// What holds it to its bandwidth; lifted on adoption.
    pub(crate) throttle: Option<Arc<Throttle>>,
    /// What it is given at the most, until it is adopted; nothing bounds a real job.
    caps: Option<Caps>,
    adopted: AtomicBool,
    changed: Notify,
    /// Somebody has asked how far it is.
    asked: Notify,
    /// What is believed of how far it is.
    progress: Mutex<Option<Progress>>,
}

impl Served {
    /// A real job.
    pub(crate) fn transfer() -> Arc<Self> {
        Self::new(None, None)
    }

    /// A shadow under these caps, of which the throttle enforces the bandwidth.
    pub(crate) fn shadow(throttle: Arc<Throttle>, caps: Caps) -> Arc<Self> {
        Self::new(Some(throttle), Some(caps))
    }

    fn new(throttle: Option<Arc<Throttle>>, caps: Option<Caps>) -> Arc<Self> {
        Arc::new(Self {
            throttle,
            caps,
            adopted: AtomicBool::new(false),
            changed: Notify::new(),
            asked: Notify::new(),
            progress: Mutex::new(None),
        })
    }

    /// What is believed of how far it is has changed.
    pub(crate) fn progressed(&self, progress: Option<Progress>) {
        *self.progress.lock() = progress;
    }

    /// Ends when somebody has asked how far it is.
    pub(crate) async fn is_asked_about(&self) {
        self.asked.notified().await;
    }

    fn progress(&self) -> Option<Progress> {
        self.asked.notify_one();
        *self.progress.lock()
    }

    fn adopt(&self) {
        if let Some(throttle) = &self.throttle {
            throttle.lift();
        }
        self.adopted.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Ends when the lease of a shadow that nobody has adopted is over; never, once somebody has.
    pub(crate) async fn lease_ends(&self, window: Duration) {
        let over = tokio::time::sleep(window + LEASE_GRACE);
        tokio::pin!(over);
        loop {
            let changed = self.changed.notified();
            if self.adopted.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            tokio::select! {
                () = &mut over => return,
                () = changed => {}
            }
        }
    }
}

/// Every dispatch that runs here for another sidecar, by the name it was given there.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    served: Mutex<HashMap<Box<str>, Arc<Served>>>,
}

impl Registry {
    /// Enters a dispatch, until the returned entry is dropped. `None` if there are too many, or one of that name.
    pub(crate) fn enter(self: &Arc<Self>, id: &str, served: &Arc<Served>) -> Option<Entered> {
        let mut known = self.served.lock();
        if known.len() >= SERVED_MOST || known.contains_key(id) {
            return None;
        }
        known.insert(id.into(), Arc::clone(served));
        Some(Entered { registry: Arc::clone(self), id: id.into() })
    }

    fn find(&self, id: &str) -> Option<Arc<Served>> {
        self.served.lock().get(id).cloned()
    }
}

/// A dispatch's place in the registry.
#[derive(Debug)]
pub(crate) struct Entered {
    registry: Arc<Registry>,
    id: Box<str>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.registry.served.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_at_a_time() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter("a", &Served::transfer());
        assert!(first.is_some());
        assert!(registry.enter("a", &Served::transfer()).is_none());
        drop(first);
        assert!(registry.enter("a", &Served::transfer()).is_some());
    }
}
