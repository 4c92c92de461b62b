//! The adumbra sidecar.

pub mod demo;
