//! What the model is off by, where the path can read it: two loads for each network, no lock, no waiting.
//!
//! One thread writes, many read. A reader may see one class's news before another's, and in the moment of a swap the old
//! corrections beside the new model: each is bounded and sound by itself, and the next job sees the right ones.

use std::sync::atomic::{AtomicU32, Ordering};

use policy::residual::{Correction, Residuals};
use policy::{ClassId, MAX_NETWORKS, NetworkId, NetworkSet};

use crate::generation::MAX_CLASSES;

/// Corrections of every class there can be on every network there can be.
#[derive(Debug)]
pub(super) struct Corrections {
    /// The bits of a shift, class by class.
    shifts: Box<[AtomicU32]>,
    /// The bits of a widening, by network.
    widened: [AtomicU32; MAX_NETWORKS],
}

impl Default for Corrections {
    fn default() -> Self {
        let shifts = std::iter::repeat_with(AtomicU32::default).take(MAX_CLASSES * MAX_NETWORKS).collect();
        Self { shifts, widened: std::array::from_fn(|_| AtomicU32::default()) }
    }
}

impl Corrections {
    pub(super) fn read(&self, class: ClassId, network: NetworkId) -> Correction {
        let value = |bits: &AtomicU32| f64::from(f32::from_bits(bits.load(Ordering::Relaxed)));
        let shift = self.shifts.get(place(class, network)).map_or(0.0, value);
        Correction { shift, widened: value(&self.widened[network.index()]) }
    }

    /// Everything, for a new model.
    pub(super) fn write(&self, residuals: &Residuals) {
        (0..MAX_CLASSES as u16).for_each(|class| self.write_class(residuals, ClassId(class)));
    }

    /// What an outcome of this class may have changed.
    pub(super) fn write_class(&self, residuals: &Residuals, class: ClassId) {
        for network in NetworkSet::ALL.iter() {
            let Correction { shift, widened } = residuals.correction(class, network);
            self.widened[network.index()].store((widened as f32).to_bits(), Ordering::Relaxed);
            if let Some(place) = self.shifts.get(place(class, network)) {
                place.store((shift as f32).to_bits(), Ordering::Relaxed);
            }
        }
    }
}

fn place(class: ClassId, network: NetworkId) -> usize {
    usize::from(class.0) * MAX_NETWORKS + network.index()
}
