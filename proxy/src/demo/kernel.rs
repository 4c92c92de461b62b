//! The work itself: three kinds of job, each in two builds that give the same bytes at different speeds.
//!
//! The networks run different builds of one service, as real ones do: the private machines an older, *tuned* build
//! (scalar loops that stop as soon as the answer is known), the public ones a *wide* build (blocks of lanes the
//! compiler turns into vector code, always to the end). Which is faster, and by how much, depends on the job and not
//! only on its kind, and nothing in the request tells.
//!
//! A kernel calls its `Step` between rows with the fraction done. That is where a job waits for its device, shows its
//! progress and learns that nobody wants it any more.

pub(crate) mod encode;
pub(crate) mod render;
pub(crate) mod trace;

/// Which build of the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Build {
    /// Scalar code with early exits: the private network's.
    Tuned,
    /// Blocks of lanes without early exits: the public network's.
    Wide,
}

/// Nobody waits for this job any more; its kernel stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job was cancelled")]
pub(crate) struct Stopped;

/// What a kernel calls between rows with the fraction done, `0.0..=1.0`.
pub(crate) type Step<'a> = &'a mut dyn FnMut(f64) -> Result<(), Stopped>;
