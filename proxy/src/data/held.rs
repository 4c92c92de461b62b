//! What a sidecar holds, as others are told: a few hundred of the latest objects, each by a digest of its URL, so that a
//! list fits into every load report and says nothing of what is in it to whoever does not know the URL already.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use http::Uri;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::object::Object;

/// The most objects that are told of.
const HELD_MOST: usize = 384;

/// What an input is called between sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct InputHash(u64);

impl InputHash {
    /// The first bytes of the URL's SHA-256.
    pub(crate) fn of(url: &Uri) -> Self {
        Self::of_text(&url.to_string())
    }

    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub(super) fn of_text(url: &str) -> Self {
        let digest = Sha256::digest(url.as_bytes());
        Self(digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte)))
    }
}

/// What another sidecar holds, as it has said last.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Held {
    /// Tells one list from the next.
    version: u64,
    /// How fast it fetches; 0 while it does not know.
    #[serde(default)]
    fetch_bytes_per_s: f64,
    /// What it holds, and of how many bytes; missing where the list is the one that whoever asks has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objects: Option<Vec<(InputHash, u64)>>,
}

impl Held {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn fetch_bytes_per_s(&self) -> f64 {
        if self.fetch_bytes_per_s.is_finite() { self.fetch_bytes_per_s.max(0.0) } else { 0.0 }
    }

    /// The length of an input that is there.
    pub(crate) fn bytes_of(&self, input: InputHash) -> Option<u64> {
        let objects = self.objects.as_ref()?;
        let at = objects.binary_search_by_key(&input, |(hash, _)| *hash).ok()?;
        Some(objects[at].1)
    }

    /// Takes the next report in.
    pub(crate) fn hears(&mut self, next: Self) {
        let mut objects = match next.objects {
            Some(objects) => objects,
            None if next.version == self.version => self.objects.take().unwrap_or_default(),
            // It speaks of a list that we do not have.
            None => Vec::new(),
        };
        objects.truncate(HELD_MOST);
        objects.sort_unstable();
        *self = Self { objects: Some(objects), ..next };
    }
}

/// What this sidecar holds.
#[derive(Debug, Default)]
pub(super) struct Holdings(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// When each came, and where it is.
    by_hash: BTreeMap<InputHash, (u64, Weak<Object>)>,
}

impl Holdings {
    pub(super) fn has(&self, hash: InputHash, object: &Arc<Object>) {
        let mut book = self.0.lock();
        book.next += 1;
        let came = book.next;
        book.by_hash.insert(hash, (came, Arc::downgrade(object)));
        if book.by_hash.len() > 2 * HELD_MOST {
            let oldest = came.saturating_sub(HELD_MOST as u64);
            book.by_hash.retain(|_, (came, object)| *came > oldest && object.strong_count() > 0);
        }
    }

    /// The length of an input that was here lately, whether it is fresh or not.
    pub(super) fn length_of(&self, hash: InputHash) -> Option<u64> {
        self.0.lock().by_hash.get(&hash).and_then(|(_, object)| object.upgrade()).and_then(|object| object.length())
    }

    /// The list for whoever has the one of version `has`.
    pub(super) fn told(&self, has: u64, fetch_bytes_per_s: f64) -> Held {
        let now = Instant::now();
        let book = self.0.lock();
        let fresh = book.by_hash.iter().filter_map(|(hash, (came, object))| {
            let object = object.upgrade().filter(|object| object.is_fresh(now))?;
            Some((*came, (*hash, object.len())))
        });
        let mut fresh: Vec<(u64, (InputHash, u64))> = fresh.collect();
        drop(book);
        fresh.sort_unstable_by_key(|(came, _)| std::cmp::Reverse(*came));
        fresh.truncate(HELD_MOST);
        let mut objects: Vec<(InputHash, u64)> = fresh.into_iter().map(|(_, one)| one).collect();
        objects.sort_unstable();
        let version = objects.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, (InputHash(input), bytes)| {
            (hash ^ input ^ bytes.rotate_left(32)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Held { version, fetch_bytes_per_s, objects: (version != has).then_some(objects) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_once_and_a_stale_one_is_not_kept() {
        let hash = |text: &str| InputHash::of(&text.parse().expect("a URL"));
        let list = |version, objects| Held { version, fetch_bytes_per_s: 5.0, objects };
        let mut held = Held::default();
        held.hears(list(1, Some(vec![(hash("http://a/x"), 10), (hash("http://a/y"), 20)])));
        assert_eq!((held.bytes_of(hash("http://a/x")), held.bytes_of(hash("http://a/z"))), (Some(10), None));
        held.hears(list(1, None));
        assert_eq!((held.bytes_of(hash("http://a/y")), held.fetch_bytes_per_s()), (Some(20), 5.0));
        held.hears(list(2, None));
        assert_eq!(held.bytes_of(hash("http://a/y")), None);
    }

    #[test]
    fn a_list_fits_into_an_answer() {
        let objects = (0..HELD_MOST as u64).map(|n| (InputHash(u64::MAX - n), u64::from(u32::MAX))).collect();
        let all = Held { version: u64::MAX, fetch_bytes_per_s: 1e9 / 3.0, objects: Some(objects) };
        assert!(serde_json::to_vec(&all).expect("plain").len() < 15 * 1024);
    }
}
