//! The least proxy on pingora-proxy (`peers/pingora`): the other half of decision record 1.
//!
//! It is a workspace of its own, for it brings 190 crates and wants cmake: the setup script builds it, and only for a run
//! that asks for it.

use std::net::SocketAddr;
use std::path::Path;

use crate::child::{self, Running};
use crate::peers::{Parts, StartError};
use crate::site::{Site, free_address};

const LOCK: &str = include_str!("../../peers/pingora/Cargo.lock");

/// Starts it.
///
/// # Errors
/// When it has not been built or cannot be started.
pub fn start(site: &Site, folder: &Path, backend: SocketAddr) -> Result<Parts, StartError> {
    let program = site.tools.join("pingora/release/pingora_peer");
    if !program.is_file() {
        return Err(StartError::Unbuilt("pingora", "benches/setup.sh target/bench-tools pingora"));
    }
    let address = free_address()?;
    let mut command = child::program(&program);
    command.args([address.to_string(), backend.to_string()]);
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, version(), address))
}

/// As its lock file has it; the crates do not tell.
fn version() -> String {
    let package = LOCK.split("[[package]]").find(|package| package.contains("name = \"pingora-proxy\""));
    let number = package.and_then(|package| package.split_once("version = \"")?.1.split('"').next());
    format!("pingora-proxy {}, one thread", number.unwrap_or("of unknown version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_locked_one() {
        assert!(version().starts_with("pingora-proxy 0.9."), "{}", version());
    }
}
