//! YAML as Kubernetes reads it, with the place of everything, so that something can be added to a text and the rest of it stay.
//!
//! The scanner and the grammar are saphyr-parser's. What is ours is what no YAML library does at once: documents apart
//! as text ([`split()`]), values as Kubernetes takes them, with bounds ([`load()`]), and additions as lines in the text ([`insert()`]),
//! which [`crate::manifest`] reads again before it believes them.

mod insert;
mod load;
mod scalar;
mod split;
mod write;

pub use insert::insert;
pub use load::{DEPTH_MOST, Loaded, Node, What, YamlError, load};
pub use split::{Piece, split};
pub use write::write;

#[cfg(test)]
mod tests;
