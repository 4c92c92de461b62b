//! What the benches share.
//!
//! A bench here is an argument: it names its machine and commit, starts what it compares side by side, says how much of a
//! difference is noise, and prints the target beside the figure.

pub mod backend;
pub mod peers;
pub mod site;

pub mod open_loop;
pub mod statistics;
pub mod wrk;

pub mod accounting;
pub mod answer;
pub mod child;
pub mod machine;
pub mod pin;
