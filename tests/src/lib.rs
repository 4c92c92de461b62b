//! The harness: the whole sidecar in process, on free ports, between clients and services that do what a test tells them.
//!
//! Nothing here waits for time to pass. A service answers when a test lets it; a test waits for a fact, and how long it
//! waits is only a bound on a failure. Reading order: what runs, what stands behind it, what stands before it, and what is
//! read off it.

pub mod binary;
pub mod edited;
pub mod kept;
pub mod sidecar;

pub mod model;

pub mod origin;
pub mod recorded;
pub mod reply;

pub mod service;
pub mod site;
pub mod stranger;
pub mod tls;

pub mod askers;
pub mod client;
pub mod piped;
pub mod raw;

pub mod wait;
pub mod wire;

pub use askers::Askers;
pub use binary::Binary;
pub use client::Client;
pub use edited::Edited;
pub use kept::{Kept, Stage};
pub use origin::{Exchange, Origin};
pub use raw::{Answer, Decided, Raw};
pub use recorded::Recorded;
pub use reply::Reply;
pub use service::Service;
pub use sidecar::{Setup, Sidecar};
pub use site::Site;
pub use wait::{BOUND, at_last, eventually, within};
