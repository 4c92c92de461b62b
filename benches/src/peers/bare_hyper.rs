//! The least proxy on hyper (`src/bin/bare_hyper.rs`): the floor under adumbra's own code, and half of decision record 1.

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
    let mut command = child::program(&site.own.bare_hyper);
    command.args([address.to_string(), backend.to_string()]);
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, "ours: hyper server and client, one thread, nothing else".to_owned(), address))
}
