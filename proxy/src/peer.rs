//! What sidecars say to each other, beyond the jobs themselves.
//!
//! A shadow is the job's own request with a header that names it and its bounds; a transferred job carries a mark that it
//! has made its last hop. Beside those there are four small questions, all asked of the peers listener: adopt this shadow,
//! how far is this dispatch, how loaded are you, fetch this data. By mutual TLS whoever asks has proved to be one of those who
//! may. In the clear this listener is only ever on a loopback address; whoever can connect there is believed.

mod ask;
mod asked;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use certs::SpiffeId;
use http::HeaderMap;
use parking_lot::Mutex;
use policy::lease::{Adoption, Change, Ending, Lease};
use policy::{Caps, Progress};
use tokio::sync::Notify;

use crate::clock;
use crate::lane::{Used, orca};
use crate::throttle::Throttle;

pub(crate) use ask::{
    Asked, Unanswered, adopt, any_question, ask_for_warmth, keep_reports_fresh, used, watch_progress,
};
pub(crate) use asked::{ShadowAsk, granted};
pub(crate) use serve::{control, notice_loss};

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
/// How long the end of a shadow is remembered, for a question that comes after it: longer than any question waits.
const REMEMBERED_S: f64 = 10.0;
/// The most ends that are remembered.
const REMEMBERED_MOST: usize = 1024;

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

    /// The same, as what `peer` calls so.
    pub(crate) fn of(mut self, peer: Option<&SpiffeId>) -> Self {
        match &mut self {
            Self::None => {}
            Self::Transfer { id } | Self::Shadow(ShadowAsk { id, .. }) => *id = owned(id, peer),
        }
        self
    }

    /// What the sender calls what it sent.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Transfer { id } | Self::Shadow(ShadowAsk { id, .. }) => Some(id),
        }
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
    /// What holds it to its bandwidth; lifted on adoption.
    pub(crate) throttle: Option<Arc<Throttle>>,
    /// What it is given at the most, until it is adopted; nothing bounds a real job.
    caps: Option<Caps>,
    /// Of a shadow. A transferred job has none, and is not adopted.
    lease: Mutex<Option<Lease>>,
    changed: Notify,
    /// Somebody has asked how far it is.
    asked: Notify,
    /// What is believed of how far it is.
    progress: Mutex<Option<Progress>>,
    /// What the service says on its answer that it has used, for where nothing of ours measures it.
    said: Mutex<orca::Said>,
}

impl Served {
    fn new(throttle: Option<Arc<Throttle>>, caps: Option<Caps>, lease: Option<Lease>) -> Arc<Self> {
        Arc::new(Self {
            throttle,
            caps,
            lease: Mutex::new(lease),
            changed: Notify::new(),
            asked: Notify::new(),
            progress: Mutex::new(None),
            said: Mutex::default(),
        })
    }

    /// A transferred job.
    pub(crate) fn job() -> Arc<Self> {
        Self::new(None, None, None)
    }

    /// A shadow under these caps, of which the throttle enforces the bandwidth, and under a lease that ends a grace after its
    /// window.
    pub(crate) fn shadow(throttle: Arc<Throttle>, caps: Caps, window: Duration) -> Arc<Self> {
        let ends_s = clock::now_s() + (window + LEASE_GRACE).as_secs_f64();
        Self::new(Some(throttle), Some(caps), Some(Lease::until(ends_s)))
    }

    /// What is believed of how far it is has changed.
    pub(crate) fn progressed(&self, progress: Option<Progress>) {
        *self.progress.lock() = progress;
    }

    /// Its answer has begun.
    pub(crate) fn hears(&self, headers: &HeaderMap) {
        *self.said.lock() = orca::said(headers);
    }

    /// What it has used, as its worker's cage counts it, else as its service says.
    fn used(&self) -> Used {
        if let Some(seat) = self.throttle.as_ref().and_then(|throttle| throttle.seat()) {
            return seat.used();
        }
        let orca::Said { cpu_s, memory_bytes } = *self.said.lock();
        Used { cpu_s, memory_bytes, granted: None }
    }

    /// Ends when somebody has asked how far it is.
    pub(crate) async fn is_asked_about(&self) {
        self.asked.notified().await;
    }

    fn progress(&self) -> Option<Progress> {
        self.asked.notify_one();
        *self.progress.lock()
    }

    fn is_adopted(&self) -> bool {
        self.lease.lock().as_ref().is_some_and(Lease::is_adopted)
    }

    /// The other side wants it to become the real job; `None` if it is no shadow.
    fn adopt(&self) -> Option<Adoption> {
        let (adoption, change) = self.lease.lock().as_mut()?.adopt(clock::now_s());
        match (change, &self.throttle) {
            (Change::Adopted, Some(throttle)) => throttle.lift(),
            // Whoever waits for the end of the lease stops it.
            (Change::Adopted | Change::Over(_) | Change::None, _) => {}
        }
        self.changed.notify_waiters();
        Some(adoption)
    }

    /// Ends when a shadow that nobody has adopted must go, for live work needs its room, as `told` says; never for what has
    /// been adopted since it was told.
    pub(crate) async fn is_shed(&self, told: &Notify) {
        told.notified().await;
        if !self.shed() {
            std::future::pending().await
        }
    }

    fn shed(&self) -> bool {
        // What it holds is let go of by whoever waits for this, or for the end of its lease.
        self.lease.lock().as_mut().is_some_and(|lease| lease.shed(clock::now_s()) == Change::Over(Ending::Shed))
    }

    /// It has ended. Only the first end of a shadow counts.
    pub(crate) fn ended(&self, how: Ending) {
        if let Some(lease) = &mut *self.lease.lock() {
            // What it holds is let go of by whoever calls this.
            let _held_by_the_caller: Change = lease.end(how);
        }
        self.changed.notify_waiters();
    }

    /// Ends when the lease of a shadow that nobody has adopted is over; never, once somebody has or it has ended.
    pub(crate) async fn lease_ends(&self) {
        loop {
            let changed = self.changed.notified();
            let ends_s = match self.look() {
                Some(ends_s) if ends_s > clock::now_s() => ends_s,
                Some(_over) => return,
                None => return std::future::pending().await,
            };
            tokio::select! {
                () = tokio::time::sleep_until(clock::instant(ends_s).into()) => {}
                () = changed => {}
            }
        }
    }

    /// When its lease ends, which may be over; `None` if no lease of its ends it any more.
    fn look(&self) -> Option<f64> {
        let mut lease = self.lease.lock();
        let lease = lease.as_mut()?;
        // What it holds is let go of by whoever waits for this.
        let _once: Change = lease.look(clock::now_s());
        if lease.ended() == Some(Ending::LeaseOver) { Some(f64::NEG_INFINITY) } else { lease.ends_s() }
    }
}

/// Every dispatch that runs here for another sidecar, by the name it was given there. The ends of shadows are remembered for
/// a while: a question may come after them, and a name is not used twice.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    served: Mutex<Roll>,
}

#[derive(Debug, Default)]
struct Roll {
    by_name: HashMap<Box<str>, Arc<Served>>,
    /// Shadows that are over, and until when they are remembered, oldest first.
    over: VecDeque<(f64, Box<str>)>,
}

impl Roll {
    fn forget(&mut self, now_s: f64) {
        while self.over.front().is_some_and(|(until_s, _)| *until_s <= now_s || self.over.len() > REMEMBERED_MOST) {
            if let Some((_, id)) = self.over.pop_front() {
                self.by_name.remove(&id);
            }
        }
    }
}

impl Registry {
    /// Enters a dispatch, until the returned entry is dropped. `None` if there are too many, or one of that name.
    pub(crate) fn enter(self: &Arc<Self>, id: &str, served: &Arc<Served>) -> Option<Entered> {
        let mut roll = self.served.lock();
        roll.forget(clock::now_s());
        if roll.by_name.len() - roll.over.len() >= SERVED_MOST || roll.by_name.contains_key(id) {
            return None;
        }
        roll.by_name.insert(id.into(), Arc::clone(served));
        Some(Entered { registry: Arc::clone(self), id: id.into() })
    }

    fn find(&self, id: &str) -> Option<Arc<Served>> {
        self.served.lock().by_name.get(id).cloned()
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
        let now_s = clock::now_s();
        let mut roll = self.registry.served.lock();
        let is_shadow = roll.by_name.get(&self.id).is_some_and(|served| served.lease.lock().is_some());
        if is_shadow {
            roll.over.push_back((now_s + REMEMBERED_S, std::mem::take(&mut self.id)));
            roll.forget(now_s);
        } else {
            roll.by_name.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_at_a_time() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter("a", &Served::job());
        assert!(first.is_some());
        assert!(registry.enter("a", &Served::job()).is_none());
        drop(first);
        assert!(registry.enter("a", &Served::job()).is_some());
    }

    #[tokio::test]
    async fn what_was_adopted_after_it_was_told_to_go_stays_and_what_goes_is_not_adopted() {
        for adopted in [true, false] {
            let served = Served::shadow(Throttle::new(1.0), Caps::NONE, Duration::from_secs(600));
            let told = Notify::new();
            told.notify_one();
            if adopted {
                assert_eq!(served.adopt(), Some(Adoption::Granted));
            }
            let goes = tokio::select! {
                biased;
                () = served.is_shed(&told) => true,
                () = std::future::ready(()) => false,
            };
            assert_eq!(goes, !adopted);
            assert_eq!(served.adopt(), Some(if adopted { Adoption::Granted } else { Adoption::TooLate }));
        }
    }

    #[test]
    fn the_end_of_a_shadow_is_remembered_but_not_the_ends_of_all() {
        let registry = Arc::new(Registry::default());
        let run = |id: &str, how| {
            let served = Served::shadow(Throttle::new(1.0), Caps::NONE, Duration::ZERO);
            let entered = registry.enter(id, &served);
            served.ended(how);
            drop(entered);
        };
        run("whole", Ending::Finished);
        run("cut", Ending::Cut);
        let adopted = |id| registry.find(id).and_then(|served| served.adopt());
        assert_eq!(adopted("whole"), Some(Adoption::Granted));
        assert_eq!(adopted("cut"), Some(Adoption::TooLate));
        assert!(registry.enter("cut", &Served::job()).is_none(), "a shadow's name is not used twice");
        for n in 0..2 * REMEMBERED_MOST {
            run(&format!("n-{n}"), Ending::Cut);
        }
        assert_eq!(registry.served.lock().by_name.len(), REMEMBERED_MOST);
        assert_eq!(adopted("whole"), None);
    }
}
