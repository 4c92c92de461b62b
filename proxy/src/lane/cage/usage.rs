//! What a cage's processes have used.

use std::fs::File;
use std::io::{Read, Seek};

/// What was counted. What the machine does not count is missing, not zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Usage {
    /// CPU time, seconds.
    pub(crate) cpu_s: Option<f64>,
    /// How long it wanted a CPU and was held back by its share, seconds, over all cores.
    pub(crate) throttled_s: Option<f64>,
    /// How long it wanted a CPU and had none at all, held back by its share or behind others of more weight, seconds.
    pub(crate) stalled_s: Option<f64>,
    /// Memory held now.
    pub(crate) memory_bytes: Option<u64>,
    /// The most memory held at once.
    pub(crate) memory_peak_bytes: Option<u64>,
    /// Processes that the kernel killed because the cage was full.
    pub(crate) oom_kills: Option<u64>,
}

/// A moment from which a cage's usage is counted.
#[derive(Debug)]
pub(crate) struct Mark {
    at: Usage,
    peak: Peak,
}

/// How the peak since a mark is known.
#[derive(Debug)]
pub(super) enum Peak {
    /// The kernel's peak began anew at the mark, for everyone.
    Reset,
    /// It began anew for who reads this file.
    Own(File),
    /// It is that of the cage's whole life: it says something only if it has grown since.
    Whole,
}

impl Mark {
    pub(super) fn new(at: Usage, peak: Peak) -> Self {
        Self { at, peak }
    }

    /// `now`, a usage of the same cage, less what was used before the mark.
    pub(super) fn since(&self, now: Usage) -> Usage {
        let seconds = |now: Option<f64>, then: Option<f64>| Some((now? - then?).max(0.0));
        Usage {
            cpu_s: seconds(now.cpu_s, self.at.cpu_s),
            throttled_s: seconds(now.throttled_s, self.at.throttled_s),
            stalled_s: seconds(now.stalled_s, self.at.stalled_s),
            memory_bytes: now.memory_bytes,
            memory_peak_bytes: match &self.peak {
                Peak::Reset => now.memory_peak_bytes,
                Peak::Own(file) => read(file),
                Peak::Whole => now.memory_peak_bytes.filter(|now| Some(*now) > self.at.memory_peak_bytes),
            },
            oom_kills: now.oom_kills.zip(self.at.oom_kills).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

fn read(mut file: &File) -> Option<u64> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
