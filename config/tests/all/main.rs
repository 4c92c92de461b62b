//! What the crate promises, told from outside: one file for each promise.

mod arbitrary;
mod documents;
mod fixes;
mod following;
mod identity;
mod intercept;
mod matching;
mod mistakes;
mod smallest;

/// The example that operators start from.
const EXAMPLE: &str = include_str!("../../../deploy/adumbra.example.toml");

/// A file with nothing but what must be there, in three lines.
const SMALLEST: &str = "home = 'a'\nlisten.jobs = '127.0.0.1:1'\nnetworks.a.upstreams = ['http://h']\n";
