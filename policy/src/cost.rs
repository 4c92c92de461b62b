//! The cost of a job on a network: see [`crate::view::Price`].
