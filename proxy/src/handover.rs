//! A new process takes over the listening sockets of this one, so that a new binary refuses and resets no connection.
//!
//! The sockets are never closed: the old process sends their very descriptors to the new one, over the socket pair that is the
//! new one's standard input, and goes on accepting until the new one says that it serves. Then the old one takes no more, and its
//! connections end with their next answers. If the new one does not come up, nothing has changed, and the old one says why.
//!
//! That is `SCM_RIGHTS` and not `LISTEN_FDS`: a descriptor that another child could inherit meanwhile is never open, and the same
//! channel carries the answer, and tells each of the two when the other is gone. Sockets that systemd opened come by
//! `LISTEN_FDS`, as it has it; [`Inherited`] is both.

mod inherited;
mod passing;
mod successor;

use std::net::SocketAddr;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;

use crate::accept::Port;

pub use inherited::{InheritError, Inherited};
pub(crate) use successor::{Program, Successor};

/// A listening socket that can be handed over.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) port: Port,
    /// Where the configuration wants it.
    pub(crate) wanted: SocketAddr,
    /// Gone once it is closed.
    pub(crate) listener: Weak<TcpListener>,
}

/// Whether the process before this one is still there. There is one for the whole process, as there is one such process.
static PREDECESSOR_IS_THERE: AtomicBool = AtomicBool::new(false);

/// Whether a process from which this one took over still finishes its jobs. What it keeps on disk is its own until it has ended.
pub(crate) fn predecessor_is_there() -> bool {
    PREDECESSOR_IS_THERE.load(Ordering::Acquire)
}
