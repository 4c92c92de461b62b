//! Envoy: one worker, access log to a file (which it buffers and flushes from a thread of its own, on the same core).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::child::{self, Running};
use crate::machine::printed_by;
use crate::peers::{Parts, StartError};
use crate::site::{Site, free_address};

const TEMPLATE: &str = include_str!("envoy.yaml");

/// Starts it.
///
/// # Errors
/// When it is not there or cannot be started.
pub fn start(site: &Site, folder: &Path, backend: SocketAddr) -> Result<Parts, StartError> {
    let program = find(&site.tools).ok_or(StartError::NotInstalled("envoy"))?;
    let address = free_address()?;
    let file = folder.join("envoy.yaml");
    let text = TEMPLATE
        .replace("{port}", &address.port().to_string())
        .replace("{backend_port}", &backend.port().to_string())
        .replace("{access_log}", &folder.join("access.log").to_string_lossy());
    fs::write(&file, text)?;
    let mut command = child::program(&program);
    command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, version(&program), address))
}

/// The one the setup script unpacked, else one on the path.
fn find(tools: &Path) -> Option<PathBuf> {
    let unpacked = tools.join("envoy/envoy/_bin/envoy");
    if unpacked.is_file() { Some(unpacked) } else { child::find("envoy") }
}

/// It says `PROGRAM  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(program: &Path) -> String {
    let line = printed_by(&program.to_string_lossy(), &["--version"]).unwrap_or_default();
    let number = line.split_once("version:").and_then(|(_, parts)| parts.split('/').nth(1));
    format!("envoy {}", number.unwrap_or("of unknown version"))
}
