//! One arm: a sidecar, its live service, and a target for its shadows.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Visit, job};
use crate::accounting::resident_bytes;
use crate::child::{self, Running};
use crate::open_loop::{self, Load};
use crate::peers::{StartError, adumbra};
use crate::site::{Site, free_address};

const NEAR: &str = include_str!("near.toml");
const LANE: &str = include_str!("lane.toml");
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long the decision log may be behind.
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
/// What each job of the service fills where the lane is to run out, MiB; `lane.toml` allows a quarter.
const TOO_MUCH_MIB: usize = 256;

/// What becomes of shadows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// There are none: what all else is compared with.
    Off,
    /// There are none, again: what differs from the first is noise.
    Off2,
    /// They run as they should.
    On,
    /// Their service has been stopped (SIGSTOP): it takes connections and never answers.
    Hung,
    /// Their service answers 500.
    Failing,
    /// Their service answers with 10 GB.
    Endless,
    /// They run in a sidecar's process lane, and each is killed for want of memory.
    OutOfMemory,
}

impl Target {
    /// All of them, the reference first.
    pub const ALL: [Self; 7] =
        [Self::Off, Self::Off2, Self::On, Self::Hung, Self::Failing, Self::Endless, Self::OutOfMemory];

    /// The name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Off2 => "off2",
            Self::On => "on",
            Self::Hung => "hung",
            Self::Failing => "failing",
            Self::Endless => "endless",
            Self::OutOfMemory => "oom",
        }
    }

    /// Whether an arm with it has shadows.
    #[must_use]
    pub fn shadows(self) -> bool {
        !matches!(self, Self::Off | Self::Off2)
    }
}

/// A running arm.
#[derive(Debug)]
pub struct Arm {
    /// What becomes of its shadows.
    pub target: Target,
    jobs: SocketAddr,
    admin: SocketAddr,
    request: Vec<u8>,
    expected: Vec<u8>,
    decisions: PathBuf,
    /// Bytes of the decision log that belong to earlier visits.
    read: u64,
    sidecar: Running,
    _services: [Running; 2],
}

impl Arm {
    /// Starts the three and sees a job answered.
    ///
    /// # Errors
    /// When one of them cannot be started or does not answer as it should.
    pub fn start(site: &Site, service: &Path, target: Target, work: u32) -> Result<Self, StartError> {
        let folder = site.folder(target.name())?;
        let (live_at, target_at) = (free_address()?, free_address()?);
        let work = work.to_string();
        let mut live = child::program(service);
        live.args(["--at", &live_at.to_string(), "--rounds", &work]);
        let live = Running::start(&mut live, site.cores.proxy, folder.join("live"))?;
        let (mut other, network) = match target {
            Target::OutOfMemory => lane(service, &folder, target_at, &work)?,
            _ => (shadowed(service, target, target_at, &work), format!("upstreams = [\"http://{target_at}\"]")),
        };
        let other = Running::start(&mut other, site.cores.load, folder.join("target"))?;
        await_listener(target_at, &other)?;
        let config = NEAR
            .replace("{live}", &live_at.to_string())
            .replace("{network}", &network)
            .replace("{enabled}", &target.shadows().to_string())
            .replace("{folder}", &folder.to_string_lossy());
        let (sidecar, [jobs, admin]) = adumbra::serve(site, &folder, &config)?;
        if target == Target::Hung {
            let pid = i32::try_from(other.pid())
                .ok()
                .and_then(Pid::from_raw)
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            kill_process(pid, Signal::STOP).map_err(io::Error::from)?;
        }
        let body = job::request_body();
        let head = format!("POST /job HTTP/1.1\r\nHost: {jobs}\r\nContent-Length: {}\r\n\r\n", body.len());
        let rounds = work.parse().unwrap_or(1);
        Ok(Self {
            target,
            jobs,
            admin,
            expected: job::answer(&body, rounds).to_vec(),
            request: [head.into_bytes(), body].concat(),
            decisions: folder.join("decisions.jsonl"),
            read: 0,
            sidecar,
            _services: [live, other],
        })
    }

    /// The load of this arm.
    #[must_use]
    pub fn load(&self, per_second: f64, duration: Duration) -> Load<'_> {
        Load {
            target: self.jobs,
            request: &self.request,
            expected: Some(&self.expected),
            connections: super::CONNECTIONS,
            rate_per_second: per_second,
            duration,
        }
    }

    /// Loads it once.
    ///
    /// # Errors
    /// When it is gone, or its log does not say what became of its jobs.
    pub fn visit(&mut self, per_second: f64, duration: Duration) -> io::Result<Visit> {
        let turned_away = self.turned_away()?;
        let outcome = open_loop::run(&self.load(per_second, duration))?;
        let jobs = outcome.latency_ns.len();
        let us = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Visit {
            p50_us: us(0.50),
            p99_us: us(0.99),
            errors: outcome.missing() + outcome.socket_errors + outcome.wrong_bodies,
            jobs,
            // One that the far side turned away never ran.
            overlapped: self.overlapped(jobs)?.saturating_sub(self.turned_away()? - turned_away),
            resident_bytes: resident_bytes(self.sidecar.pid())?,
            lag_p99_us: outcome.lag_ns.value_at_quantile(0.99) as f64 / 1000.0,
        })
    }

    /// Shadows that were sent and not executed, so far.
    fn turned_away(&self) -> io::Result<u64> {
        const SERIES: &str = r#"adumbra_shadows_refused_total{network="public",reason="not_executed"} "#;
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let value = text.lines().find_map(|line| line.strip_prefix(SERIES)?.trim().parse().ok());
        value.ok_or_else(|| io::Error::other(format!("the sidecar's metrics have no {SERIES}")))
    }

    /// Of the last `jobs`, those beside which a shadow ran, as the sidecar's own log has it.
    fn overlapped(&mut self, jobs: u64) -> io::Result<u64> {
        let until = Instant::now() + LOGGED_WITHIN;
        loop {
            let log = fs::read(&self.decisions)?;
            let fresh = log.get(usize::try_from(self.read).unwrap_or(usize::MAX)..).unwrap_or_default();
            let lines = fresh.iter().filter(|byte| **byte == b'\n').count() as u64;
            if lines >= jobs {
                self.read = log.len() as u64;
                let text = String::from_utf8_lossy(fresh);
                return Ok(text.lines().filter(|line| line.contains(r#""shadows":["public"]"#)).count() as u64);
            }
            if Instant::now() > until {
                return Err(io::Error::other(format!("of {jobs} jobs the decision log has {lines}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A service that is shadowed on, out of the way of everything else.
fn shadowed(service: &Path, target: Target, at: SocketAddr, work: &str) -> Command {
    let mut command = out_of_the_way(service);
    command.args(["--at", &at.to_string(), "--rounds", work]);
    match target {
        Target::Failing => command.arg("--failing"),
        Target::Endless => command.arg("--endless"),
        _ => &mut command,
    };
    command
}

/// A sidecar whose process lane is too small for the service's jobs.
fn lane(service: &Path, folder: &Path, at: SocketAddr, work: &str) -> Result<(Command, String), StartError> {
    let file = folder.join("lane.toml");
    fs::write(&file, LANE.replace("{at}", &at.to_string()))?;
    let mut command = out_of_the_way(&adumbra::built()?);
    command.args(["run", "--config"]).arg(file).arg("--").arg(service);
    command.args(["--at", "127.0.0.1:{port}", "--rounds", work, "--memory-mib", &TOO_MUCH_MIB.to_string()]);
    Ok((command, format!("sidecars = [\"http://{at}\"]")))
}

/// The least priority there is: what it stands for is another machine.
fn out_of_the_way(program: &Path) -> Command {
    let Some(nice) = child::find("nice") else { return child::program(program) };
    let mut command = child::program(&nice);
    command.args(["-n", "19"]).arg(program);
    command
}

fn await_listener(at: SocketAddr, running: &Running) -> Result<(), StartError> {
    let until = Instant::now() + READY_WITHIN;
    while Instant::now() < until {
        if TcpStream::connect(at).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(StartError::NoAnswer { got: format!("nobody listens on {at}"), said: running.said() })
}
