//! Which answers are stored, and which of them goes when there are too many.
//!
//! Heads of all of them are here; a body is in memory, on disk, or both. When memory is short, first the copies go that the
//! disk has, too, then answers that only memory has; heads go only when no body is left to go. What was used longest ago
//! goes first, roughly: an answer that was used a moment ago is not moved up again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;

use super::stored::Stored;
use super::terms::Terms;
use crate::disk;
use crate::metrics::Dropped;

/// How long a key is let pass whose answer could not be stored.
const PASSING: Duration = Duration::from_secs(30);
/// Keys that are remembered for that.
const PASSING_MOST: usize = 4096;

type Key = Arc<[u8]>;

/// What is no longer stored, and why. Its owner counts it and takes it from the disk.
pub(super) type Gone = Vec<(Stored, Dropped)>;

#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<Key, Place>,
    /// The same keys in order, so that all that begin alike are found.
    names: BTreeSet<Key>,
    by_use: BTreeMap<u64, Key>,
    /// Those of them that have a body in memory.
    in_memory: BTreeMap<u64, Key>,
    clock: u64,
    entries: usize,
    most: Most,
    passing: HashMap<Key, Instant>,
}

/// How many there may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    pub(super) entries: usize,
    pub(super) variants: usize,
}

#[derive(Debug)]
struct Place {
    used: u64,
    /// The newest last.
    variants: Vec<Stored>,
}

impl Shelf {
    /// What is stored for a request of this name with these headers.
    pub(super) fn find(&self, key: &[u8], headers: &HeaderMap) -> Option<Stored> {
        let mut state = self.0.lock();
        state.clock += 1;
        let (now, fresh_within) = (state.clock, state.places.len() as u64 / 8);
        let place = state.places.get(key)?;
        let found = place.variants.iter().rev().find(|stored| stored.head.terms.fit(headers))?.clone();
        if now - place.used > fresh_within {
            state.touch(key);
        }
        Some(found)
    }

    /// The fields that answers of this name vary by.
    pub(super) fn vary(&self, key: &[u8]) -> Vec<HeaderName> {
        let state = self.0.lock();
        let variants = state.places.get(key).map_or(&[][..], |place| &place.variants);
        let names =
            |stored: &Stored| stored.head.terms.varies_by.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut names: Vec<HeaderName> = variants.iter().flat_map(names).collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        names
    }

    /// Whether an answer of this name for the same requests is stored.
    pub(super) fn has(&self, key: &[u8], terms: &Terms) -> bool {
        let state = self.0.lock();
        let same = |stored: &Stored| stored.head.terms.varies_by == terms.varies_by;
        state.places.get(key).is_some_and(|place| place.variants.iter().any(same))
    }

    /// Stores an answer, in the place of one for the same requests.
    pub(super) fn put(&self, key: &[u8], stored: Stored) -> Gone {
        let mut state = self.0.lock();
        let mut gone = Gone::new();
        state.passing.remove(key);
        let key: Key = key.into();
        if !state.places.contains_key(&key) {
            state.clock += 1;
            let used = state.clock;
            state.names.insert(Arc::clone(&key));
            state.by_use.insert(used, Arc::clone(&key));
            state.places.insert(Arc::clone(&key), Place { used, variants: Vec::new() });
        }
        let most = state.most;
        if let Some(place) = state.places.get_mut(&key) {
            let same = |other: &Stored| other.head.terms.varies_by == stored.head.terms.varies_by;
            if let Some(at) = place.variants.iter().position(same) {
                gone.push((place.variants.remove(at), Dropped::Replaced));
            } else if place.variants.len() >= most.variants {
                gone.push((place.variants.remove(0), Dropped::Evicted));
            }
            place.variants.push(stored);
        }
        state.entries = state.entries + 1 - gone.len();
        state.touch(&key);
        state.fit(&mut gone);
        gone
    }

    /// Puts a newer head in the place of that of the same body, if that is still there.
    pub(super) fn renew(&self, key: &[u8], old: &Stored, new: Stored) -> bool {
        let mut state = self.0.lock();
        let Some(place) = state.places.get_mut(key) else { return false };
        let Some(at) = place.variants.iter().position(|known| Arc::ptr_eq(&known.head, &old.head)) else {
            return false;
        };
        place.variants.remove(at);
        place.variants.push(new);
        true
    }

    /// Takes this very answer away.
    pub(super) fn remove(&self, key: &[u8], stored: &Stored, why: Dropped) -> Gone {
        let same = |known: &Stored| Arc::ptr_eq(&known.head, &stored.head);
        self.0.lock().remove_where(key, same, why)
    }

    /// Takes all away whose names begin so.
    pub(super) fn remove_all(&self, beginning: &[u8], why: Dropped) -> Gone {
        let mut state = self.0.lock();
        let from = (Bound::Included(Key::from(beginning)), Bound::Unbounded);
        let names = state.names.range(from).take_while(|name| name.starts_with(beginning));
        let names: Vec<Key> = names.cloned().collect();
        names.iter().flat_map(|name| state.remove_where(name, |_| true, why)).collect()
    }

    /// Makes memory free: some of what was used longest ago goes; `None` if nothing is left to go.
    pub(super) fn relieve(&self) -> Option<Gone> {
        let mut state = self.0.lock();
        if let Some((_, key)) = state.in_memory.pop_first() {
            return Some(state.remove_where(&key, |stored| !stored.body.demote(), Dropped::Evicted));
        }
        let key = state.by_use.first_key_value().map(|(_, key)| Arc::clone(key))?;
        Some(state.remove_where(&key, |_| true, Dropped::Evicted))
    }

    /// A body of this name is in memory now.
    pub(super) fn promoted(&self, key: &[u8]) {
        self.0.lock().touch(key);
    }

    /// The disk has this no longer. What only it had is gone.
    pub(super) fn lost(&self, key: &[u8], object: &disk::Object, why: Dropped) -> Gone {
        let is_gone = |stored: &Stored| stored.body.lost(object) == Some(false);
        self.0.lock().remove_where(key, is_gone, why)
    }

    /// From now on there may be so many.
    pub(super) fn hold(&self, most: Most) -> Gone {
        let mut state = self.0.lock();
        state.most = most;
        let mut gone = Gone::new();
        state.fit(&mut gone);
        gone
    }

    /// Whether an answer of this name could not be stored a moment ago.
    pub(super) fn is_passing(&self, key: &[u8]) -> bool {
        self.0.lock().passing.get(key).is_some_and(|until| Instant::now() < *until)
    }

    /// An answer of this name could not be stored: the next ones will not be, either, for a while.
    pub(super) fn passes(&self, key: &[u8]) {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state.passing.len() >= PASSING_MOST {
            state.passing.retain(|_, until| now < *until);
            if state.passing.len() >= PASSING_MOST {
                state.passing.clear();
            }
        }
        state.passing.insert(key.into(), now + PASSING);
    }

    /// Answers of this name can be stored after all.
    pub(super) fn no_longer_passes(&self, key: &[u8]) {
        self.0.lock().passing.remove(key);
    }
}

impl State {
    /// Moves a place up in the order of use, and enters it where it belongs.
    fn touch(&mut self, key: &[u8]) {
        self.clock += 1;
        let Some(place) = self.places.get_mut(key) else { return };
        let before = std::mem::replace(&mut place.used, self.clock);
        let has_memory = place.variants.iter().any(|stored| stored.body.in_memory().is_some());
        self.in_memory.remove(&before);
        if let Some(key) = self.by_use.remove(&before) {
            if has_memory {
                self.in_memory.insert(self.clock, Arc::clone(&key));
            }
            self.by_use.insert(self.clock, key);
        }
    }

    fn remove_where(&mut self, key: &[u8], is_gone: impl Fn(&Stored) -> bool, why: Dropped) -> Gone {
        let Some(place) = self.places.get_mut(key) else { return Gone::new() };
        let gone: Gone = place.variants.extract_if(.., |stored| is_gone(stored)).map(|stored| (stored, why)).collect();
        self.entries -= gone.len();
        if place.variants.is_empty() {
            let used = place.used;
            self.places.remove(key);
            self.names.remove(key);
            self.by_use.remove(&used);
            self.in_memory.remove(&used);
        }
        gone
    }

    fn fit(&mut self, gone: &mut Gone) {
        while self.entries > self.most.entries {
            let Some(key) = self.by_use.first_key_value().map(|(_, key)| Arc::clone(key)) else { return };
            gone.extend(self.remove_where(&key, |_| true, Dropped::Evicted));
        }
    }
}
