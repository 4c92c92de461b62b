//! The proxies that are compared, each started with the fairest configuration we know for it.
//!
//! Fair means: one worker on the one core, HTTP/1.1 to client and backend, connections to the backend kept and reused,
//! `X-Forwarded-For` appended, no limit on requests per connection, and an access log where the proxy can write one to a
//! file. Each configuration is in its own file below, to be argued with.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::answer;
use crate::child::Running;
use crate::site::{Site, body};
use crate::wrk::request_bytes;

pub mod adumbra;
pub mod bare_hyper;
pub mod envoy;
pub mod haproxy;
pub mod nginx;
pub mod pingora;
pub mod relay;

const READY_WITHIN: Duration = Duration::from_secs(15);

/// Something that can be put between load and backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the load meets the backend.
    Direct,
    /// Our raw TCP relay.
    TcpRelay,
    /// The least proxy on hyper.
    BareHyper,
    /// The least proxy on pingora.
    Pingora,
    /// HAProxy, its log off or into a ring in memory.
    Haproxy(haproxy::Log),
    /// nginx.
    Nginx,
    /// Envoy.
    Envoy,
    /// adumbra, with the bench's configuration or another.
    Adumbra(Option<PathBuf>),
}

/// A name in the table and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The name, unique in a run.
    pub name: String,
    /// What is started.
    pub kind: Kind,
}

/// The arms of a run when none are chosen. Two come twice: what differs between the two is noise.
#[must_use]
pub fn all() -> Vec<Arm> {
    let arms = [
        ("direct", Kind::Direct),
        ("tcp_relay", Kind::TcpRelay),
        ("haproxy", Kind::Haproxy(haproxy::Log::Off)),
        ("adumbra", Kind::Adumbra(None)),
        ("nginx", Kind::Nginx),
        ("envoy", Kind::Envoy),
        ("haproxy2", Kind::Haproxy(haproxy::Log::Off)),
        ("adumbra2", Kind::Adumbra(None)),
        ("haproxy_log", Kind::Haproxy(haproxy::Log::Ring)),
    ];
    arms.map(named).into()
}

/// Arms that run only if asked for: no proxies that people use, but what adumbra is built on and what it might have been.
#[must_use]
pub fn optional() -> Vec<Arm> {
    [("bare_hyper", Kind::BareHyper), ("pingora", Kind::Pingora)].map(named).into()
}

fn named((name, kind): (&str, Kind)) -> Arm {
    Arm { name: name.to_owned(), kind }
}

/// A proxy that answers.
#[derive(Debug)]
pub struct Started {
    /// The arm's name.
    pub name: String,
    /// Where the load goes.
    pub address: SocketAddr,
    /// What it is, and its version.
    pub version: String,
    /// Its process; none for [`Kind::Direct`].
    pub running: Option<Running>,
}

/// Why an arm is lacking.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such program on this machine.
    #[error("{0} is not installed")]
    NotInstalled(&'static str),
    /// It is built only for those who ask.
    #[error("{0} has not been built: `{1}` does it")]
    Unbuilt(&'static str, &'static str),
    /// It could not be built.
    #[error("{0} could not be built; see the compiler's messages above")]
    NotBuilt(&'static str),
    /// It ended before it answered.
    #[error("it ended at once ({status}): {said}")]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// The last it printed.
        said: String,
    },
    /// It did not answer 200 with the backend's body.
    #[error("no right answer within {} s ({got}): {said}", READY_WITHIN.as_secs())]
    NoAnswer {
        /// What came instead.
        got: String,
        /// The last it printed.
        said: String,
    },
    /// A file, a port or a process could not be had.
    #[error("the system refused a file, a port or a process")]
    System(#[from] io::Error),
}

impl Arm {
    /// Starts it on the proxy's core and sees it answer.
    ///
    /// # Errors
    /// When it is not there or does not answer as the backend does.
    pub fn start(&self, site: &Site, backends: [SocketAddr; 2]) -> Result<Started, StartError> {
        let folder = site.folder(&self.name)?;
        let (mut running, version, address) = match &self.kind {
            Kind::Direct => {
                return Ok(Started {
                    name: self.name.clone(),
                    address: backends[0],
                    version: "no proxy".to_owned(),
                    running: None,
                });
            }
            Kind::TcpRelay => relay::start(site, &folder, backends[0])?,
            Kind::BareHyper => bare_hyper::start(site, &folder, backends[0])?,
            Kind::Pingora => pingora::start(site, &folder, backends[0])?,
            Kind::Haproxy(log) => haproxy::start(site, &folder, backends[0], *log)?,
            Kind::Nginx => nginx::start(site, &folder, backends[0])?,
            Kind::Envoy => envoy::start(site, &folder, backends[0])?,
            Kind::Adumbra(config) => adumbra::start(site, &folder, backends, config.as_deref())?,
        };
        await_answer(address, &mut running)?;
        Ok(Started { name: self.name.clone(), address, version, running: Some(running) })
    }
}

/// Asks until the answer is 200 with the right body.
///
/// # Errors
/// When the program ends, or the time does.
pub fn await_answer(address: SocketAddr, running: &mut Running) -> Result<(), StartError> {
    let until = Instant::now() + READY_WITHIN;
    let request = request_bytes(address);
    loop {
        let got = match answer::ask(address, &request) {
            Ok(answer) if answer.status == 200 && answer.body == body().as_bytes() => return Ok(()),
            Ok(answer) => format!("status {}, {} bytes", answer.status, answer.body.len()),
            Err(error) => error.to_string(),
        };
        if let Some(status) = running.ended()? {
            return Err(StartError::Ended { status, said: last_words(running) });
        }
        if Instant::now() > until {
            return Err(StartError::NoAnswer { got, said: last_words(running) });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The end of what it printed, on one line.
fn last_words(running: &Running) -> String {
    let said = running.said();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" / ");
    if last.is_empty() { "it said nothing".to_owned() } else { last }
}

/// A started process, its version, and where it listens.
type Parts = (Running, String, SocketAddr);
