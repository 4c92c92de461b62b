//! What a job would take on one network: a distribution of its time, and its use of resources.

/// The levels of the quantiles a prediction keeps.
pub const LEVELS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// A prediction for one job on one network, from its start there, at full speed, without waiting and moving.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The mean of its time, seconds. Not the exponential of the mean logarithm: the distribution is skewed.
    pub mean_s: f64,
    /// Quantiles of its time at [`LEVELS`], seconds, not decreasing.
    pub quantiles_s: [f64; LEVELS.len()],
    /// Standard deviation of what is not known about this network's speed for this job, in log time.
    pub doubt: f64,
    /// CPU seconds it would use, where labels said.
    pub cpu_s: Option<f64>,
    /// Memory it would hold, where labels said.
    pub memory_bytes: Option<f64>,
    /// Bytes of its answer.
    pub response_bytes: Option<f64>,
}
