//! What the sidecars of a network hold of inputs, as their load reports say.

use parking_lot::Mutex;

use crate::data::{Held, InputHash};

/// By endpoint.
#[derive(Debug)]
pub(crate) struct Warmth(Box<[Mutex<Held>]>);

impl Warmth {
    pub(super) fn of(endpoints: usize) -> Self {
        Self((0..endpoints).map(|_| Mutex::default()).collect())
    }

    /// Which list of an endpoint's is known.
    pub(crate) fn version(&self, endpoint: usize) -> u64 {
        self.0[endpoint].lock().version()
    }

    /// Takes a report in; one that does not come says that nothing is there to be counted on.
    pub(crate) fn hears(&self, endpoint: usize, held: Option<Held>) {
        match held {
            Some(held) => self.0[endpoint].lock().hears(held),
            None => *self.0[endpoint].lock() = Held::default(),
        }
    }

    /// The length of an input that one of them holds.
    pub(crate) fn length_of(&self, input: InputHash) -> Option<u64> {
        self.0.iter().find_map(|held| held.lock().bytes_of(input))
    }

    /// Looks at what one of them holds.
    pub(crate) fn at<T>(&self, endpoint: usize, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.0[endpoint].lock())
    }
}
