//! From a socket to requests.

pub(crate) mod guard;
pub(crate) mod scan;
