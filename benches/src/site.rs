//! What every arm of a run shares: one request, one body, a temporary folder, ports, cores.
//!
//! Ports are taken below the range from which the kernel draws outgoing ones, so that a connection of one proxy cannot sit
//! on the port that the next is about to listen on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::{fs, io};

use tempfile::TempDir;

use crate::pin::Cores;

/// The path of the request: it matches adumbra's route, has a class and a feature to extract, and is nothing to the others.
pub const REQUEST_PATH: &str = "/render/scene?kind=small&size=3";
/// The headers of the request besides `Host`, the same to every arm.
pub const REQUEST_HEADERS: [(&str, &str); 2] = [("Accept", "application/json"), ("Priority", "u=3")];
/// Length of the body that the backend answers with.
pub const BODY_BYTES: usize = 1024;

const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Programs of this crate, which only the bench target knows the places of.
#[derive(Clone, Debug)]
pub struct Own {
    /// The relay.
    pub tcp_relay: PathBuf,
    /// The least proxy on hyper.
    pub bare_hyper: PathBuf,
    /// The backend for machines without nginx.
    pub tiny_backend: PathBuf,
}

/// The place of one run; its folder goes with it.
#[derive(Debug)]
pub struct Site {
    /// Who runs where.
    pub cores: Cores,
    /// Keep-alive connections of the load.
    pub connections: usize,
    /// Where the setup script puts what is no Debian package.
    pub tools: PathBuf,
    /// Our own programs.
    pub own: Own,
    directory: TempDir,
}

impl Site {
    /// Makes the folder.
    ///
    /// # Errors
    /// When there is no room for a folder.
    pub fn new(cores: Cores, connections: usize, tools: PathBuf, own: Own) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("adumbra-bench-").tempdir()?;
        Ok(Self { cores, connections, tools, own, directory })
    }

    /// Makes a folder for one program.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.directory.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The folder of the whole run.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The body, printable and free of anything a configuration file would want quoted.
#[must_use]
pub fn body() -> String {
    "adumbra bench ".chars().cycle().take(BODY_BYTES).collect()
}

/// A loopback address nobody listens on at this moment.
///
/// # Errors
/// When every port of the range is taken.
pub fn free_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 1000).unwrap_or(0) * 10;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + step));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port in {PORTS:?}")))
}

/// Lifts the soft limit of open files to the hard one and tells what it is now.
///
/// # Errors
/// When the kernel refuses.
pub fn lift_file_limit() -> io::Result<Option<u64>> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let now = limit.current;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Ok(now)
}
