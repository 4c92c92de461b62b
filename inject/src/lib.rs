//! Puts the sidecar next to services on Kubernetes: what `adumbra inject` does to files, and what the admission webhook does to
//! pods as they are created.
//!
//! Both are one pure function, [`object::patch`]: an object goes in, and a JSON patch that only adds comes out, or what is wrong with
//! the object, all of it. Around it, [`manifest`] keeps files as they were but for what is added, and [`review`] speaks
//! the API server's language. [`webhook`] serves that over TLS and looks after its own certificate.
//!
//! This is a crate by itself so that the sidecar links none of it: `adumbra inject` runs `adumbra-inject`, which stands beside it
//! (decision record 0014).

pub mod annotation;
pub mod values;

pub mod object;
pub mod patch;
pub mod pod;
pub mod sidecar;
pub mod workload;

pub mod manifest;
pub mod yaml;

pub mod review;
pub mod webhook;

pub mod problem;
