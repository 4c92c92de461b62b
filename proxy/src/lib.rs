//! The sidecar: carries out what `policy` decides.
//!
//! Nothing in here chooses a network, a shadow or a moment. It accepts requests, turns them into jobs, asks, and does as it
//! is told: spool, fork, forward, adopt, cancel, settle.
//!
//! Reading order: [`app`] starts everything; `path` is the one file that a request runs through, top to bottom.

pub mod app;
pub mod handover;
mod runtime;

mod accept;
mod grpc;
mod hygiene;
mod problem;

mod path;

mod answer;
mod body;
mod spool;
mod throttle;

mod generation;
mod identity;
mod intercept;
mod peer;
pub mod reload;
mod upstream;

pub mod lane;

mod cache;
mod log_level;

mod clock;
mod data;
mod disk;
mod guard;
mod journal;
mod metrics;
mod oracle;
mod record;
mod spend;

mod admin;

pub mod demo;

pub mod cli;
