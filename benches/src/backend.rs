//! What stands behind every proxy: a small body from memory, on two ports since adumbra has two networks.
//!
//! nginx, if there is one; else the tiny one of ours. It shares a core with the load generator, and is the same process
//! for all arms, so what it costs cancels out of every ratio.

use std::fs;
use std::net::SocketAddr;

use crate::child::{self, Running};
use crate::peers::nginx;
use crate::peers::{StartError, await_answer};
use crate::site::{Site, body, free_address};

/// A running backend.
#[derive(Debug)]
pub struct Backend {
    /// The port every proxy uses.
    pub address: SocketAddr,
    /// The port of adumbra's other network.
    pub other: SocketAddr,
    /// What it is, and its version.
    pub version: String,
    _running: Running,
}

/// Starts it and sees it answer.
///
/// # Errors
/// When neither backend can be started.
pub fn start(site: &Site) -> Result<Backend, StartError> {
    let (address, other) = (free_address()?, free_address()?);
    let folder = site.folder("backend")?;
    let (mut command, version) = match child::find("nginx") {
        Some(program) => {
            let command = nginx::command(&program, &folder, &nginx::backend_config([address, other]))?;
            (command, nginx::version(&program))
        }
        None => {
            let file = folder.join("body");
            fs::write(&file, body())?;
            let mut command = child::program(&site.own.tiny_backend);
            command.arg(&file).args([address, other].map(|address| address.to_string()));
            (command, "tiny_backend (ours: hyper, one thread)".to_owned())
        }
    };
    let mut running = Running::start(&mut command, site.cores.load, folder.join("output"))?;
    await_answer(address, &mut running)?;
    await_answer(other, &mut running)?;
    Ok(Backend { address, other, version, _running: running })
}
