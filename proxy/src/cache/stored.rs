//! One stored answer: its head, and where its body is.
//!
//! The memory that a body takes is given back when the last of those who send it is done, so the bound is on what is really
//! held and not on what is in the books.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;

use super::terms::Terms;
use crate::disk::{self, Disk, ReadError};
use crate::hygiene;
use crate::metrics::Metrics;
use crate::spool::budget::Share;

/// Memory that is held, as the metrics show it.
#[derive(Debug)]
pub(super) struct Hold {
    share: Share,
    metrics: Arc<Metrics>,
}

impl Hold {
    pub(super) fn new(share: Share, metrics: &Arc<Metrics>) -> Self {
        metrics.cache.holds(share.bytes());
        Self { share, metrics: Arc::clone(metrics) }
    }

    /// Gives back all but `bytes`.
    pub(super) fn shrink_to(&self, bytes: u64) {
        let less = self.share.bytes().saturating_sub(bytes);
        self.share.shrink(less);
        self.metrics.cache.lets_go(less);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.metrics.cache.lets_go(self.share.bytes());
    }
}

/// A stored answer's head.
#[derive(Debug)]
pub(super) struct Headed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) terms: Terms,
    /// When it came.
    pub(super) came: Instant,
    pub(super) _hold: Hold,
}

impl Headed {
    /// How old it is now.
    pub(super) fn age(&self) -> Duration {
        self.terms.initial_age + self.came.elapsed()
    }
}

/// What of an answer's head is kept: not what is about one connection, ours, or to be said anew each time.
pub(super) fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    hygiene::scrub_response(&mut kept, false);
    kept.remove(AGE);
    kept.remove(CONTENT_LENGTH);
    if !kept.contains_key(DATE)
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(std::time::SystemTime::now()))
    {
        kept.insert(DATE, now);
    }
    kept
}

/// One stored answer.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) head: Arc<Headed>,
    pub(super) body: Arc<Held>,
}

/// A stored body.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) len: u64,
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    memory: Option<Bytes>,
    disk: Option<Arc<disk::Object>>,
}

/// Bytes with the memory that they take.
struct Counted {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body to be sent.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Bytes),
    Disk(disk::Reader),
}

impl Held {
    pub(super) fn new(len: u64, memory: Option<(Bytes, Hold)>, disk: Option<Arc<disk::Object>>) -> Arc<Self> {
        let memory = memory.map(|(bytes, hold)| Bytes::from_owner(Counted { bytes, _hold: hold }));
        Arc::new(Self { len, place: Mutex::new(Place { memory, disk }) })
    }

    pub(super) fn in_memory(&self) -> Option<Bytes> {
        self.place.lock().memory.clone()
    }

    pub(super) fn on_disk(&self) -> Option<Arc<disk::Object>> {
        self.place.lock().disk.clone()
    }

    /// Lets go of the copy in memory if there is one on disk; whether there is one.
    pub(super) fn demote(&self) -> bool {
        let mut place = self.place.lock();
        let on_disk = place.disk.is_some();
        if on_disk {
            place.memory = None;
        }
        on_disk
    }

    /// Keeps a copy in memory from now on.
    pub(super) fn promote(&self, bytes: Bytes, hold: Hold) {
        self.place.lock().memory = Some(Bytes::from_owner(Counted { bytes, _hold: hold }));
    }

    /// The disk has it no longer, if this is what it had; whether it is still in memory then.
    pub(super) fn lost(&self, object: &disk::Object) -> Option<bool> {
        let mut place = self.place.lock();
        place.disk.as_ref().filter(|known| std::ptr::eq(&raw const ***known, object))?;
        place.disk = None;
        Some(place.memory.is_some())
    }

    /// These bytes of it, or all, ready to be sent: what comes first is read and sound.
    pub(super) async fn open(&self, disk: Option<&Arc<Disk>>, range: Option<Range<u64>>) -> Result<Source, ReadError> {
        if let Some(bytes) = self.in_memory() {
            let part = range.map_or(0..bytes.len(), |range| range.start as usize..range.end as usize);
            return Ok(Source::Memory(bytes.slice(part)));
        }
        let (Some(object), Some(disk)) = (self.on_disk(), disk) else { return Err(ReadError::BrokeOff) };
        let opened = disk.read(&object, range).await?;
        debug_assert!(!opened.meta.is_empty(), "what is stored has a head");
        Ok(Source::Disk(opened.reader))
    }
}
