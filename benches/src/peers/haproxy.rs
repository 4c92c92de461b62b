//! HAProxy: the one to match. One thread, connections to the backend reused as eagerly as it can.
//!
//! Its log goes to syslog, and a bench machine often has none; so the arm we compare with writes **no log at all**, which
//! is in its favour. A second arm logs every request into a ring that is a mapped file, the cheapest log HAProxy has, to
//! show what that favour is worth.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::child::{self, Running};
use crate::machine::printed_by;
use crate::peers::{Parts, StartError};
use crate::site::{Site, free_address};

/// Where requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nowhere.
    Off,
    /// A ring of 8 MiB in a mapped file.
    Ring,
}

/// Starts it.
///
/// # Errors
/// When it is not installed or cannot be started.
pub fn start(site: &Site, folder: &Path, backend: SocketAddr, log: Log) -> Result<Parts, StartError> {
    let program = child::find("haproxy").ok_or(StartError::NotInstalled("haproxy"))?;
    let address = free_address()?;
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config(folder, address, backend, log))?;
    let mut command = child::program(&program);
    command.arg("-db").arg("-f").arg(&file);
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, version(&program), address))
}

fn version(program: &Path) -> String {
    let line = printed_by(&program.to_string_lossy(), &["-v"]).unwrap_or_default();
    line.replace(" version", "").split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn config(folder: &Path, address: SocketAddr, backend: SocketAddr, log: Log) -> String {
    let ring = folder.join("requests.ring");
    let (sink, global, defaults) = match log {
        Log::Off => (String::new(), "", ""),
        Log::Ring => (
            format!(
                "ring requests\n  format rfc5424\n  maxlen 1200\n  size 8388608\n  backing-file {}\n",
                ring.display()
            ),
            "  log ring@requests local0\n",
            "  log global\n  option httplog\n",
        ),
    };
    format!(
        "{sink}global\n  nbthread 1\n  maxconn 8192\n{global}\
         defaults\n  mode http\n{defaults}  timeout connect 2s\n  timeout client 600s\n  timeout server 600s\n\
         \x20 timeout http-keep-alive 600s\n  timeout http-request 10s\n  option http-keep-alive\n\
         \x20 option forwardfor\n  http-reuse always\n\
         frontend jobs\n  bind {address} backlog 4096\n  default_backend service\n\
         backend service\n  server one {backend} check inter 2s\n"
    )
}
