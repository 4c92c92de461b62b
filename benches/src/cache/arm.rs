//! What is compared: a proxy with a cache, and a service of its own behind it, which counts how often it is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::answer;
use crate::child::{self, Running};
use crate::peers::{StartError, adumbra, nginx};
use crate::site::{Site, free_address};

use super::{BODIES, Series};

/// Longer than adumbra lets a name pass whose answer it could not store before its files were taken up.
const WITHIN: Duration = Duration::from_secs(60);
const TEMPLATE: &str = include_str!("../peers/adumbra.toml");

/// Which arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// nginx with `proxy_cache`.
    Nginx,
    /// adumbra with its bodies in memory.
    Adumbra,
    /// nginx once more.
    Nginx2,
    /// adumbra once more.
    Adumbra2,
    /// adumbra with long bodies in files only.
    AdumbraDisk,
}

impl Which {
    /// All of them, in the order of their visits.
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Adumbra, Self::Nginx2, Self::Adumbra2, Self::AdumbraDisk];

    /// Its name in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Adumbra => "adumbra",
            Self::Nginx2 => "nginx2",
            Self::Adumbra2 => "adumbra2",
            Self::AdumbraDisk => "adumbra_disk",
        }
    }
}

/// A proxy that has both bodies in its cache.
#[derive(Debug)]
pub struct Arm {
    /// Which.
    pub which: Which,
    /// Where it takes requests.
    pub address: SocketAddr,
    version: String,
    proxy: Running,
    _service: Running,
    log: std::path::PathBuf,
    /// How often the service was asked until both were cached.
    warm: usize,
}

impl Arm {
    /// Starts it, and asks until both bodies come from its cache, byte for byte.
    ///
    /// # Errors
    /// When a program is not there, or does not answer so.
    pub fn start(site: &Site, which: Which) -> Result<Self, StartError> {
        let folder = site.folder(which.name())?;
        let (service, backend, log) = service(site, &folder.join("service"))?;
        let (mut proxy, address, version) = match which {
            Which::Nginx | Which::Nginx2 => nginx_arm(site, &folder, backend)?,
            Which::Adumbra | Which::Adumbra2 => adumbra_arm(site, &folder, backend, "8MiB")?,
            Which::AdumbraDisk => adumbra_arm(site, &folder, backend, "64KiB")?,
        };
        for (name, len) in BODIES {
            await_hit(address, name, len, &log, &mut proxy)?;
        }
        let warm = asked(&log)?;
        Ok(Self { which, address, version, proxy, _service: service, log, warm })
    }

    /// Nothing measured yet.
    #[must_use]
    pub fn series(&self) -> Series {
        Series { which: self.which, version: self.version.clone(), visits: Default::default() }
    }

    /// The proxy's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.proxy.pid()
    }

    /// Whether its service was left alone since it had both bodies.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn was_cached(&self) -> io::Result<bool> {
        Ok(asked(&self.log)? == self.warm)
    }
}

/// Files that are fresh for a day, and a log that is written at once.
fn service(site: &Site, folder: &Path) -> Result<(Running, SocketAddr, std::path::PathBuf), StartError> {
    let program = child::find("nginx").ok_or(StartError::NotInstalled("nginx"))?;
    fs::create_dir_all(folder.join("root"))?;
    for (name, len) in BODIES {
        fs::write(folder.join("root").join(name), body(len))?;
    }
    let (address, log) = (free_address()?, folder.join("access.log"));
    let http = format!(
        "access_log {};\nserver {{\nlisten {address};\nroot {};\nadd_header Cache-Control 'public, max-age=86400';\n}}\n",
        log.display(),
        folder.join("root").display()
    );
    let mut command = nginx::command(&program, folder, &http)?;
    Ok((Running::start(&mut command, site.cores.load, folder.join("output"))?, address, log))
}

type Parts = (Running, SocketAddr, String);

/// As its documentation has it, with what it does not need left out: no log, and `sendfile` as Debian sets it.
fn nginx_arm(site: &Site, folder: &Path, backend: SocketAddr) -> Result<Parts, StartError> {
    let program = child::find("nginx").ok_or(StartError::NotInstalled("nginx"))?;
    let address = free_address()?;
    let http = format!(
        "access_log off;\nsendfile on;\ntcp_nopush on;\ntcp_nodelay on;\nkeepalive_timeout 600s;\n\
         keepalive_requests 1000000000;\n\
         proxy_cache_path {} levels=1:2 keys_zone=bench:10m max_size=1g inactive=60m use_temp_path=off;\n\
         server {{\nlisten {address} backlog=4096;\nlocation / {{\nproxy_pass http://{backend};\nproxy_cache bench;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection '';\nproxy_set_header Host $http_host;\n\
         proxy_cache_lock on;\nadd_header X-Cache $upstream_cache_status;\n}}\n}}\n",
        folder.join("cache").display()
    );
    let mut command = nginx::command(&program, folder, &http)?;
    let running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    Ok((running, address, nginx::version(&program)))
}

/// As in the load bench, and its route cached.
fn adumbra_arm(site: &Site, folder: &Path, backend: SocketAddr, small: &str) -> Result<Parts, StartError> {
    let text = TEMPLATE
        .replace("{backend}", &backend.to_string())
        .replace("{other_backend}", &backend.to_string())
        .replace("{folder}", &folder.to_string_lossy())
        .replace("path = \"/render*\"", "path = \"/*\"")
        .replace("shadow = \"on\"", "shadow = \"off\"\ncache = true");
    let cache = format!("\n[cache]\ndirectory = \"{}\"\nsmall = \"{small}\"\n", folder.join("cache").display());
    let (running, [address, _admin]) = adumbra::serve(site, folder, &(text + &cache))?;
    let version = crate::machine::printed_by(&adumbra::built()?.to_string_lossy(), &["--version"]);
    Ok((running, address, version.unwrap_or_else(|| "adumbra".to_owned())))
}

/// Asks until the right answer comes without the service being asked.
fn await_hit(address: SocketAddr, name: &str, len: usize, log: &Path, proxy: &mut Running) -> Result<(), StartError> {
    let until = Instant::now() + WITHIN;
    let request = format!("GET /{name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    loop {
        let before = asked(log).unwrap_or(0);
        let got = match answer::ask(address, request.as_bytes()) {
            Ok(answer) if answer.status == 200 && answer.body == body(len) => {
                thread::sleep(Duration::from_millis(100));
                if before > 0 && asked(log)? == before {
                    return Ok(());
                }
                "no hit yet".to_owned()
            }
            Ok(answer) => format!("status {}, {} bytes", answer.status, answer.body.len()),
            Err(error) => error.to_string(),
        };
        if let Some(status) = proxy.ended()? {
            return Err(StartError::Ended { status, said: proxy.said() });
        }
        if Instant::now() > until {
            return Err(StartError::NoAnswer { got, said: proxy.said() });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// How often a service was asked for a body.
fn asked(log: &Path) -> io::Result<usize> {
    let log = fs::read_to_string(log)?;
    Ok(log.lines().filter(|line| BODIES.iter().any(|(name, _)| line.contains(&format!("GET /{name} ")))).count())
}

fn body(len: usize) -> Vec<u8> {
    "adumbra bench ".bytes().cycle().take(len).collect()
}
