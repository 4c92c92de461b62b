//! The admission webhook: reviews in over TLS, answers out.
//!
//! All of it is bounded, for what it stands in the way of is the cluster: connections, handshakes, heads and bodies have limits
//! in number, size or time. What comes out of a review is decided in [`crate::review`], which never fails for long: a
//! review is answered within milliseconds, and no state is kept between two.

mod cluster;
mod files;
mod pair;
mod rotate;
mod serve;

pub use cluster::{Cluster, ClusterError, Names};
pub use files::{FilesError, Renewed, Shown, renew};
pub use pair::{Made, PairError, Terms, make};
pub use rotate::{RotateError, Rotated, rotate};
pub use serve::{Limits, ServeError, Server};

#[cfg(test)]
mod tests;
