//! Where a running sidecar takes in what rules of the kernel's bring it.

use std::net::SocketAddr;

use super::App;
use crate::accept::Port;

impl App {
    /// Where what was going to the service is brought to.
    #[must_use]
    pub fn inbound(&self) -> Option<SocketAddr> {
        self.address(Port::Inbound)
    }

    /// Where what the service sends out is brought to.
    #[must_use]
    pub fn outbound(&self) -> Option<SocketAddr> {
        self.address(Port::Outbound)
    }
}
