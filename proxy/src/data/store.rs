//! The objects that are kept: TinyUFO says which, this says how many bytes that may be.
//!
//! TinyUFO counts in 16-bit weights, so bytes are rounded up to units; it knows keys by their hash, so each entry also
//! has its key; it frees what it drops only when no reader can be in the middle of it, so an entry is a slot that is
//! emptied when it is dropped. It is never asked to remove anything: that would leave its queues with a stale place. What
//! is stale is replaced, or leaves in its turn. And it is given nothing that takes more than three quarters of the room:
//! to let such a one in it would have to drop the newcomers in its small queue, a tenth of the room, which it does not.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tinyufo::TinyUfo;

use super::held::{Holdings, InputHash};
use super::object::{Object, Purpose};
use super::origin::Key;
use crate::metrics::{DataRefusal, Metrics};

/// A guess at an object's size, to size the tables by.
const TYPICAL_BYTES: usize = 64 << 10;

/// The objects that are kept.
pub(super) struct Store {
    slots: TinyUfo<Key, Arc<Slot>>,
    unit_bytes: usize,
    /// Of one object, in units.
    most_weight: usize,
    metrics: Arc<Metrics>,
    /// What others are told of it.
    pub(super) holdings: Holdings,
    /// Bytes that may be held by what was warmed and nobody has read yet.
    unread_most: usize,
    /// What was warmed and not read, as far as it was at the last look. TinyUFO's weights drift if two threads put one key
    /// at once, so it is also what keeps them from that.
    warmed: Mutex<Vec<Weak<Object>>>,
}

struct Slot {
    key: Key,
    object: Mutex<Option<Arc<Object>>>,
}

impl Store {
    /// Room for `bytes`, of objects that take at most `object_bytes` of it each.
    pub(super) fn new(bytes: usize, object_bytes: usize, metrics: Arc<Metrics>) -> Self {
        let unit_bytes = object_bytes.div_ceil(usize::from(u16::MAX)).max(1 << 10);
        let typical = (bytes / TYPICAL_BYTES).clamp(64, 4096);
        let units = bytes / unit_bytes;
        let most_weight = units / 4 * 3;
        let (unread_most, warmed) = (bytes / 2, Mutex::default());
        Self {
            slots: TinyUfo::new(units, typical),
            unit_bytes,
            most_weight,
            metrics,
            holdings: Holdings::default(),
            unread_most,
            warmed,
        }
    }

    /// The object called `key`, if there is a fresh one.
    pub(super) fn fresh(&self, key: &Key, now: Instant) -> Option<Arc<Object>> {
        let slot = self.slots.get(key).filter(|slot| slot.key == *key)?;
        let object = slot.object.lock().clone();
        object.filter(|object| object.is_fresh(now))
    }

    /// Keeps a whole object, unless others are worth more. What was warmed is kept whatever the others are worth: it is about
    /// to be needed, and nobody has had the time to ask for it. But what nobody has read takes no more than half of the room:
    /// clients say what is warmed, and a flood of that shall not push out what services have used. What is too much is not
    /// kept.
    pub(super) fn put(&self, key: &Key, object: Arc<Object>, purpose: Purpose) {
        let weight = object.cost_bytes().div_ceil(self.unit_bytes);
        let Some(weight) = u16::try_from(weight).ok().filter(|_| weight <= self.most_weight) else { return };
        let mut warmed = self.warmed.lock();
        if purpose == Purpose::Warm && !self.has_room(&mut warmed, &object) {
            self.metrics.data.refused(DataRefusal::NoRoom);
            return;
        }
        if let Some(old) = self.slots.get(key) {
            self.empty(&old);
        }
        self.metrics.data.kept(object.len());
        self.holdings.has(InputHash::of_text(&key.to_string()), &object);
        let slot = Arc::new(Slot { key: key.clone(), object: Mutex::new(Some(object)) });
        let dropped = match purpose {
            Purpose::Warm => self.slots.force_put(key.clone(), slot, weight),
            Purpose::Serve => self.slots.put(key.clone(), slot, weight),
        };
        for dropped in dropped {
            self.empty(&dropped.data);
        }
    }

    /// Whether one more object may be kept that nobody has read.
    fn has_room(&self, warmed: &mut Vec<Weak<Object>>, object: &Arc<Object>) -> bool {
        let mut bytes = object.cost_bytes();
        let now = Instant::now();
        warmed.retain(|kept| {
            let unread = kept.upgrade().filter(|kept| kept.is_fresh(now) && !kept.was_read());
            bytes += unread.as_ref().map_or(0, |kept| kept.cost_bytes());
            unread.is_some()
        });
        let fits = bytes <= self.unread_most;
        if fits {
            warmed.push(Arc::downgrade(object));
        }
        fits
    }

    fn empty(&self, slot: &Slot) {
        let object = slot.object.lock().take();
        if let Some(object) = object {
            self.metrics.data.dropped(object.len());
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("unit_bytes", &self.unit_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
