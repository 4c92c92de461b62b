//! Which job a fetch is for, and what is learned of that.
//!
//! A service says it where it passes on what came with the job: the dispatch's name (see [`super::reader`]), or the trace of
//! the request, if its client sent one. Else only time does: the fetch is one of the jobs' that run here now, and
//! [`policy::inputs`] says how much of it is whose.
//!
//! adumbra starts no trace of its own to be passed on: a `traceparent` from a proxy that samples nothing would keep services
//! that sample by their parent from being traced at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use parking_lot::Mutex;
use policy::inputs::{Expected, Fetched, INPUTS_MOST, Inputs, Kind, NAME_MOST};

use super::reader;
use crate::clock;

/// The most names of jobs on the roll.
const NAMES_MOST: usize = 8192;
/// More jobs at once than this, and a fetch that says nothing could be anybody's: it is nobody's.
const CANDIDATES_MOST: usize = 32;
/// Bytes of [`INPUTS`] at the most.
const TOLD_BYTES: usize = 6 * 1024;

/// On a sidecar's answer: what the job has fetched there by then, `<URL>; bytes=N; hit`, and so on.
pub(crate) const INPUTS: HeaderName = HeaderName::from_static("adumbra-inputs");

/// The jobs that are under way, and what was learned of those before.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    by_name: Mutex<HashMap<Box<str>, Arc<Attending>>>,
    learned: Mutex<Inputs>,
}

/// A job under way.
#[derive(Debug)]
struct Attending {
    kind: Kind,
    trace: Option<Box<str>>,
    /// Whether it runs here, so that a fetch may be its.
    here: AtomicBool,
    seen: Mutex<Vec<Seen>>,
}

/// A fetch that is taken for a job's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) fetched: Fetched,
    /// Whether it came from the cache.
    pub(crate) hit: bool,
}

/// A job's place on the roll, until it is dropped.
#[derive(Debug)]
pub(crate) struct Attendance {
    roll: Arc<Roll>,
    names: Vec<Box<str>>,
    job: Arc<Attending>,
}

impl Roll {
    /// Enters a job, by all names that its dispatches may have, and what its request says of a trace. A roll that is full takes
    /// no name more: then only time tells.
    pub(crate) fn enter(self: &Arc<Self>, kind: Kind, names: Vec<Box<str>>, headers: &HeaderMap) -> Attendance {
        let trace = trace(headers).map(Into::into);
        let job = Arc::new(Attending { kind, trace, here: AtomicBool::new(false), seen: Mutex::default() });
        let mut by_name = self.by_name.lock();
        let mut entered = Vec::new();
        for name in names {
            if by_name.len() < NAMES_MOST && !by_name.contains_key(&name) {
                by_name.insert(name.clone(), Arc::clone(&job));
                entered.push(name);
            }
        }
        drop(by_name);
        Attendance { roll: Arc::clone(self), names: entered, job }
    }

    /// What a job of this kind is expected to fetch.
    pub(crate) fn expected(&self, kind: &Kind) -> Vec<Expected> {
        self.learned.lock().expected(kind, clock::now_s())
    }

    /// The service has fetched `url`, of so many bytes if that is known.
    pub(super) fn fetched(&self, headers: &HeaderMap, url: &Uri, bytes: Option<u64>, hit: bool) {
        let candidates = self.candidates(headers);
        let (name, one) = (url.to_string(), candidates.len() == 1);
        if candidates.is_empty() || candidates.len() > CANDIDATES_MOST || name.len() > NAME_MOST {
            return;
        }
        let shares = if one {
            vec![1.0]
        } else {
            let kinds: Vec<&Kind> = candidates.iter().map(|job| &job.kind).collect();
            self.learned.lock().shares(&name, &kinds, clock::now_s())
        };
        for (job, share) in candidates.iter().zip(shares) {
            job.saw(Seen { fetched: Fetched { name: name.as_str().into(), bytes, share }, hit });
        }
    }

    /// The jobs whose fetch it may be: the one that is named, those of its trace, or all that run here.
    fn candidates(&self, headers: &HeaderMap) -> Vec<Arc<Attending>> {
        let by_name = self.by_name.lock();
        if by_name.is_empty() {
            return Vec::new();
        }
        if let Some(job) = reader::name_in(headers).and_then(|name| by_name.get(job_of(name))) {
            return vec![Arc::clone(job)];
        }
        let here = || by_name.values().filter(|job| job.here.load(Relaxed));
        let trace = trace(headers);
        let of_trace = |job: &&Arc<Attending>| trace.is_some() && job.trace.as_deref() == trace;
        let mut candidates: Vec<Arc<Attending>> = here().filter(of_trace).cloned().collect();
        if candidates.is_empty() {
            candidates = here().cloned().collect();
        }
        drop(by_name);
        // A job may have two names.
        candidates.sort_by_key(Arc::as_ptr);
        candidates.dedup_by(|one, other| Arc::ptr_eq(one, other));
        candidates
    }
}

impl Attending {
    fn saw(&self, one: Seen) {
        let mut seen = self.seen.lock();
        if let Some(before) = seen.iter_mut().find(|before| before.fetched.name == one.fetched.name) {
            // What is read twice was only cold the first time.
            before.fetched.share = before.fetched.share.max(one.fetched.share);
        } else if seen.len() < INPUTS_MOST {
            seen.push(one);
        }
    }
}

impl Attendance {
    /// A dispatch of it begins here.
    pub(crate) fn begins_here(&self) {
        self.job.here.store(true, Relaxed);
    }

    /// What is taken to be its.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.job.seen.lock().clone()
    }

    /// It has ended as it should, so this is what such a job fetches.
    pub(crate) fn learn(&self) {
        let fetched: Vec<Fetched> = self.job.seen.lock().iter().map(|seen| seen.fetched.clone()).collect();
        self.roll.learned.lock().learn(&self.job.kind, &fetched, clock::now_s());
    }

    /// Takes in what another sidecar says that the job has fetched there.
    pub(crate) fn hears(&self, headers: &HeaderMap) {
        let Some(told) = headers.get(INPUTS).and_then(|told| told.to_str().ok()) else { return };
        told_in(told).into_iter().for_each(|seen| self.job.saw(seen));
    }

    /// What another sidecar is told of it.
    pub(crate) fn tells(&self) -> Option<HeaderValue> {
        let mut told = String::new();
        for Seen { fetched: Fetched { name, bytes, share }, hit } in &*self.job.seen.lock() {
            // Doubt is for those who know what else ran.
            if *share < 0.5 || told.len() + name.len() + 48 > TOLD_BYTES {
                continue;
            }
            let separator = if told.is_empty() { "" } else { ", " };
            let bytes = bytes.map(|bytes| format!("; bytes={bytes}")).unwrap_or_default();
            told.push_str(&format!("{separator}<{name}>{bytes}{}", if *hit { "; hit" } else { "" }));
        }
        HeaderValue::from_str(&told).ok().filter(|_| !told.is_empty())
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut by_name = self.roll.by_name.lock();
        self.names.iter().for_each(|name| drop(by_name.remove(name)));
    }
}

/// The inputs in what another sidecar says. What cannot be read ends the list: it is told by one of ours.
fn told_in(told: &str) -> Vec<Seen> {
    let (mut seen, mut rest) = (Vec::new(), told);
    while let Some((name, after)) = rest.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
        let (about, next) = after.split_once(", ").unwrap_or((after, ""));
        if seen.len() == INPUTS_MOST || name.len() > NAME_MOST || name.parse::<Uri>().is_err() {
            break;
        }
        let says = || about.split(';').map(str::trim);
        let bytes = says().find_map(|one| one.strip_prefix("bytes=")?.parse().ok());
        let fetched = Fetched { name: name.into(), bytes, share: 1.0 };
        seen.push(Seen { fetched, hit: says().any(|one| one == "hit") });
        rest = next;
    }
    seen
}

/// A job's name in the name of one of its dispatches.
pub(crate) fn job_of(dispatch: &str) -> &str {
    dispatch.rsplit_once('-').map_or(dispatch, |(job, _)| job)
}

/// The trace that a request belongs to (W3C Trace Context: version, trace, parent, flags).
fn trace(headers: &HeaderMap) -> Option<&str> {
    let trace = headers.get("traceparent")?.to_str().ok()?.split('-').nth(1)?;
    let sound = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()) && trace.bytes().any(|b| b != b'0');
    sound.then_some(trace)
}

#[cfg(test)]
mod tests;
