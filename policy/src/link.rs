//! What the link to a network is measured to give.

/// Round trip and rate, smoothed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    rtt_s: f64,
    bytes_per_s: f64,
}

impl Link {
    /// Takes a measured round trip in.
    pub fn saw_round_trip(&mut self, seconds: f64) {
        unimplemented!("{seconds}")
    }

    /// Takes a transfer in; small ones say nothing about the rate and are left out.
    pub fn saw_transfer(&mut self, bytes: u64, seconds: f64) {
        unimplemented!("{bytes} {seconds}")
    }

    /// Smoothed round trip, seconds; 0 before the first.
    #[must_use]
    pub fn rtt_s(&self) -> f64 {
        self.rtt_s
    }

    /// Smoothed rate, bytes per second; 0 before the first.
    #[must_use]
    pub fn bytes_per_s(&self) -> f64 {
        self.bytes_per_s
    }
}
