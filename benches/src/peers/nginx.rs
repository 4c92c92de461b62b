//! nginx: the backend of every arm, and an arm itself.
//!
//! `keepalive_requests` is lifted on both sides, or nginx would close every thousandth connection and pay for new ones.
//! The access log is buffered, as anyone who cares for its cost sets it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::{fmt::Write as _, fs};

use crate::child::{self, Running};
use crate::machine::printed_by;
use crate::peers::{Parts, StartError};
use crate::site::{Site, body, free_address};

/// Starts it as a proxy.
///
/// # Errors
/// When it is not installed or cannot be started.
pub fn start(site: &Site, folder: &Path, backend: SocketAddr) -> Result<Parts, StartError> {
    let program = child::find("nginx").ok_or(StartError::NotInstalled("nginx"))?;
    let address = free_address()?;
    let mut command = command(&program, folder, &proxy_config(folder, address, backend, site.connections))?;
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, version(&program), address))
}

/// The command that runs nginx from `folder` with this `http` block, in the foreground.
///
/// # Errors
/// When the file cannot be written.
pub fn command(program: &Path, folder: &Path, http: &str) -> io::Result<Command> {
    let mut text = String::from("daemon off;\nworker_processes 1;\nworker_rlimit_nofile 16384;\npid nginx.pid;\n");
    if rustix::process::geteuid().is_root() {
        // Else the worker could not reach into our private folder.
        text.push_str("user root;\n");
    }
    text.push_str("error_log stderr warn;\nevents { worker_connections 8192; }\nhttp {\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path {kind};").map_err(io::Error::other)?;
    }
    writeln!(text, "{http}}}").map_err(io::Error::other)?;
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = child::program(program);
    command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-e", "stderr"]);
    Ok(command)
}

/// Its version.
#[must_use]
pub fn version(program: &Path) -> String {
    let line = printed_by(&program.to_string_lossy(), &["-v"]).unwrap_or_default();
    line.trim_start_matches("nginx version: ").replace('/', " ")
}

/// The `http` block of the backend: the body from memory, no log.
#[must_use]
pub fn backend_config(addresses: [SocketAddr; 2]) -> String {
    let [first, second] = addresses;
    format!(
        "access_log off;\nkeepalive_timeout 600s;\nkeepalive_requests 1000000000;\ntcp_nodelay on;\n\
         server {{\nlisten {first} backlog=4096;\nlisten {second} backlog=4096;\n\
         default_type application/json;\nlocation / {{ return 200 '{}'; }}\n}}\n",
        body()
    )
}

fn proxy_config(folder: &Path, address: SocketAddr, backend: SocketAddr, connections: usize) -> String {
    let log = folder.join("access.log");
    format!(
        "access_log {} combined buffer=64k flush=1s;\nkeepalive_timeout 600s;\nkeepalive_requests 1000000000;\n\
         tcp_nodelay on;\n\
         upstream backend {{\nserver {backend};\nkeepalive {};\nkeepalive_requests 1000000000;\n\
         keepalive_timeout 600s;\n}}\n\
         server {{\nlisten {address} backlog=4096;\nlocation / {{\nproxy_pass http://backend;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection '';\nproxy_set_header Host $http_host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n}}\n}}\n",
        log.display(),
        connections * 2
    )
}
