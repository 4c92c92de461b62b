//! Rules that are up while the sidecar takes jobs, and gone as soon as it does not.
//!
//! It holds a connection to the sidecar's admin port open. The kernel closes that when the sidecar dies, however it dies, so
//! that is known at once; and `/readyz` is asked every second, for a sidecar that hangs, or that is told to stop and takes
//! no new jobs. When this process is told to end, rules go first: without it, they would fail closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use config::Config;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use super::InterceptError;
use crate::cli::{CliError, http};
use crate::intercept::rules::{self, Backend, Rules};

/// How often the sidecar is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often one that is not there is looked for.
const ABSENT_EVERY: Duration = Duration::from_millis(100);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config, rules: &Rules, backend: Backend) -> Result<(), CliError> {
    let admin = asked_at(config.listen.admin)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    let watched = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            Err(error) = keep(admin, rules, backend) => Err(error),
        }
    });
    rules::down().map_err(InterceptError::from)?;
    watched
}

/// Where the sidecar can be asked from here.
fn asked_at(mut admin: SocketAddr) -> Result<SocketAddr, InterceptError> {
    if admin.port() == 0 {
        return Err(InterceptError::NowhereToAsk);
    }
    if admin.ip().is_unspecified() {
        let loopback = if admin.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        admin.set_ip(loopback);
    }
    Ok(admin)
}

/// Until something fails that has nothing to do with the sidecar.
async fn keep(admin: SocketAddr, rules: &Rules, backend: Backend) -> Result<std::convert::Infallible, CliError> {
    let mut is_up = false;
    // What a watch before this one has left is not known to be wanted.
    rules::down().map_err(InterceptError::from)?;
    loop {
        let line = TcpStream::connect(admin).await.ok();
        let is_there = line.is_some() && takes_jobs(admin).await;
        if is_there != is_up {
            let changed = if is_there { rules::up(rules, backend) } else { rules::down() };
            changed.map_err(InterceptError::from)?;
            is_up = is_there;
            super::say(if is_up { "up: the sidecar takes jobs" } else { "down: the sidecar takes no jobs" })?;
        }
        match line.filter(|_| is_up) {
            // Nothing is ever said on it, so there is only its end to read.
            Some(line) => drop(tokio::time::timeout(EVERY, line.readable()).await),
            None => tokio::time::sleep(ABSENT_EVERY).await,
        }
    }
}

async fn takes_jobs(admin: SocketAddr) -> bool {
    let asking = tokio::task::spawn_blocking(move || http::get(&admin.to_string(), "/readyz"));
    let answer = tokio::time::timeout(ANSWER, asking).await;
    matches!(answer, Ok(Ok(Ok(answer))) if answer.status == 200)
}
