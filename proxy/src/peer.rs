//! What sidecars say to each other, beyond the jobs themselves.
//!
//! A shadow is the job's own request with a header that names it and its bounds; a transferred job carries a mark that it
//! has made its last hop. Beside those there are four small questions, all asked of the peers listener: adopt this shadow,
//! how far is this dispatch, how loaded are you, fetch this data. By mutual TLS whoever asks has proved to be one of those who
//! may. In the clear this listener is only ever on a loopback address; whoever can connect there is believed.

mod ask;
mod serve;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use certs::SpiffeId;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::throttle::Throttle;

pub(crate) use ask::{Unanswered, adopt, ask_for_warmth, keep_reports_fresh, watch_progress};
pub(crate) use serve::control;

/// On a request: a shadow, `id=…; window_ms=…; bytes_per_s=…`.
pub(crate) const SHADOW: &str = "adumbra-shadow";
/// On a request: a transferred job's id. It runs where it lands.
pub(crate) const TRANSFER: &str = "adumbra-transfer";
/// On an interim answer of a service: the share of the work that is done, 0..=1.
pub(crate) const PROGRESS: &str = "adumbra-progress";
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

/// What is asked of the side that serves a shadow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShadowAsk {
    /// What the sender calls it.
    pub(crate) id: Box<str>,
    /// How long it may run before it is adopted.
    pub(crate) window: Duration,
    /// Bytes a second, each way.
    pub(crate) bytes_per_s: f64,
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

    /// The same, as what `peer` calls so.
    pub(crate) fn of(mut self, peer: Option<&SpiffeId>) -> Self {
        match &mut self {
            Self::None => {}
            Self::Transfer { id } | Self::Shadow(ShadowAsk { id, .. }) => *id = owned(id, peer),
        }
        self
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

impl ShadowAsk {
    fn read(value: &HeaderValue) -> Option<Self> {
        let (mut id, mut window, mut bytes_per_s) = (None, None, None);
        for parameter in value.to_str().ok()?.split(';') {
            match parameter.trim().split_once('=')? {
                ("id", v) if is_id(v) => id = Some(v.into()),
                ("window_ms", v) => window = Some(Duration::from_millis(v.parse().ok()?)),
                ("bytes_per_s", v) => bytes_per_s = v.parse().ok().filter(|b: &f64| b.is_finite() && *b > 0.0),
                _ => return None,
            }
        }
        Some(Self { id: id?, window: window?, bytes_per_s: bytes_per_s? })
    }

    /// The header it is read from.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let Self { id, window, bytes_per_s } = self;
        format!("id={id}; window_ms={}; bytes_per_s={bytes_per_s}", window.as_millis()).parse().ok()
    }
}

/// Takes the marks off a request: they were meant for us, not for the service.
pub(crate) fn unmark(headers: &mut HeaderMap) {
    headers.remove(SHADOW);
    headers.remove(TRANSFER);
}

/// A dispatch's name here: whoever has proved who it is can only ask about what it sent itself.
fn owned(id: &str, peer: Option<&SpiffeId>) -> Box<str> {
    peer.map_or_else(|| id.into(), |peer| format!("{peer} {id}").into())
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MOST && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A dispatch that runs here for another sidecar.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its caps; lifted on adoption.
    pub(crate) throttle: Option<Arc<Throttle>>,
    adopted: AtomicBool,
    changed: Notify,
    /// Bits of the share done; NaN before the service has shown any.
    progress: AtomicU64,
}

impl Served {
    pub(crate) fn new(throttle: Option<Arc<Throttle>>) -> Arc<Self> {
        Arc::new(Self {
            throttle,
            adopted: AtomicBool::new(false),
            changed: Notify::new(),
            progress: AtomicU64::new(f64::NAN.to_bits()),
        })
    }

    /// The service showed how far it is.
    pub(crate) fn progressed(&self, share: f64) {
        self.progress.store(share.to_bits(), Ordering::Relaxed);
    }

    fn progress(&self) -> Option<f64> {
        let share = f64::from_bits(self.progress.load(Ordering::Relaxed));
        share.is_finite().then_some(share)
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

    fn check(header: &str, expected: Option<(&str, u64, f64)>) {
        let ask = ShadowAsk::read(&HeaderValue::from_str(header).expect("a header value"));
        let expected = expected.map(|(id, ms, bytes_per_s)| ShadowAsk {
            id: id.into(),
            window: Duration::from_millis(ms),
            bytes_per_s,
        });
        assert_eq!(ask, expected, "{header}");
    }

    #[test]
    fn what_is_asked_of_a_shadow_is_read_strictly() {
        check("id=a1-2; window_ms=500; bytes_per_s=1000", Some(("a1-2", 500, 1000.0)));
        check("id=a; window_ms=500", None);
        check("id=a b; window_ms=500; bytes_per_s=1", None);
        check("id=a; window_ms=-1; bytes_per_s=1", None);
        check("id=a; window_ms=1; bytes_per_s=NaN", None);
        check("id=a; window_ms=1; bytes_per_s=0", None);
        check("id=a; window_ms=1; bytes_per_s=1; cpu=9", None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let ask = ShadowAsk { id: "f00-1".into(), window: Duration::from_millis(250), bytes_per_s: 4e6 };
        let header = ask.header().expect("a header");
        assert_eq!(ShadowAsk::read(&header), Some(ask));
    }

    #[test]
    fn a_name_is_taken_once_at_a_time() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter("a", &Served::new(None));
        assert!(first.is_some());
        assert!(registry.enter("a", &Served::new(None)).is_none());
        drop(first);
        assert!(registry.enter("a", &Served::new(None)).is_some());
    }
}
