//! Which objects there are, and which was used longest ago.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Key, Object};

#[derive(Debug, Default)]
pub(super) struct Index {
    objects: HashMap<Key, Entry>,
    /// Keys by when they were used last.
    by_use: BTreeMap<u64, Key>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    object: Arc<Object>,
    used: u64,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn find(&mut self, key: &[u8]) -> Option<Arc<Object>> {
        let now = self.tick();
        let entry = self.objects.get_mut(key)?;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(now, key);
        }
        entry.used = now;
        Some(Arc::clone(&entry.object))
    }

    /// Adds `object`, and returns what had its key.
    pub(super) fn insert(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let used = self.tick();
        let key = Arc::clone(&object.key);
        self.by_use.insert(used, Arc::clone(&key));
        let replaced = self.objects.insert(key, Entry { object, used })?;
        self.by_use.remove(&replaced.used);
        Some(replaced.object)
    }

    /// Takes this very object out; `false` if it is not, or no longer, here.
    pub(super) fn remove(&mut self, object: &Arc<Object>) -> bool {
        let is_here = self.objects.get(&object.key).is_some_and(|entry| Arc::ptr_eq(&entry.object, object));
        if is_here && let Some(entry) = self.objects.remove(&object.key) {
            self.by_use.remove(&entry.used);
        }
        is_here
    }

    pub(super) fn pop_oldest(&mut self) -> Option<Arc<Object>> {
        let (_, key) = self.by_use.pop_first()?;
        self.objects.remove(&key).map(|entry| entry.object)
    }

    pub(super) fn objects(&self) -> Vec<Arc<Object>> {
        let object = |key| self.objects.get(key).map(|entry| Arc::clone(&entry.object));
        self.by_use.values().filter_map(object).collect()
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}
