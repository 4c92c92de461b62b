//! Our own raw TCP relay (`src/bin/tcp_relay.rs`), the floor under everything that reads HTTP.

use std::net::SocketAddr;
use std::path::Path;

use crate::child::{self, Running};
use crate::peers::{Parts, StartError};
use crate::site::{Site, free_address};

/// Starts it.
///
/// # Errors
/// When it cannot be started.
pub fn start(site: &Site, folder: &Path, backend: SocketAddr) -> Result<Parts, StartError> {
    let address = free_address()?;
    let mut command = child::program(&site.own.tcp_relay);
    command.args([address.to_string(), backend.to_string()]);
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, "ours: one thread, epoll, userspace copy".to_owned(), address))
}
