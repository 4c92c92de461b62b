//! One process of the service's command: where it listens, what it writes, how it is told to end.
//!
//! A process has a group of its own, so that an interrupt at the terminal reaches only the sidecar, which lets jobs end
//! first; and it dies with the sidecar, whatever happens to that (`cage`).

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::cage::{Cage, Means};
use crate::upstream::Network;
use crate::upstream::check::has_come_up;

/// Where the port goes in a command.
const PORT: &str = "{port}";
/// How often a process that has been started is asked whether it is up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command that starts the service on a port.
#[derive(Clone, Debug)]
pub struct Recipe {
    program: OsString,
    arguments: Vec<OsString>,
    launcher: Option<PathBuf>,
}

/// A command that does not say where its port goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the command has no `{{port}}` in it, so the service cannot be told where to listen; write `{{port}}` where its port \
     goes, as in `adumbra run -- python3 -m http.server --bind 127.0.0.1 {{port}}`"
)]
pub struct NoPort;

impl Recipe {
    /// The command of these words: a program and its arguments, with `{port}` in at least one of them.
    ///
    /// # Errors
    /// If there is no `{port}` among the arguments.
    pub fn new(words: Vec<OsString>) -> Result<Self, NoPort> {
        let mut words = words.into_iter();
        let (Some(program), arguments) = (words.next(), words.collect::<Vec<_>>()) else { return Err(NoPort) };
        let says_port = |word: &OsString| word.as_bytes().windows(PORT.len()).any(|part| part == PORT.as_bytes());
        if arguments.iter().any(says_port) { Ok(Self { program, arguments, launcher: None }) } else { Err(NoPort) }
    }

    /// The same, started through the `adumbra` at `launcher`: for a process that is not one itself.
    #[must_use]
    pub fn launched_by(self, launcher: PathBuf) -> Self {
        Self { launcher: Some(launcher), ..self }
    }

    /// What this machine offers to hold its processes.
    pub(super) fn means(&self) -> Means {
        self.launcher.clone().map_or_else(Means::survey, Means::survey_with)
    }

    /// What it is called, for people.
    pub(super) fn program(&self) -> &OsString {
        &self.program
    }

    /// Its arguments, on `port`.
    pub(super) fn on(&self, port: u16) -> Vec<OsString> {
        self.arguments.iter().map(|word| with_port(word, port)).collect()
    }
}

fn with_port(word: &OsString, port: u16) -> OsString {
    let (mut rest, mut made) = (word.as_bytes(), Vec::with_capacity(word.len()));
    while let Some(at) = rest.windows(PORT.len()).position(|part| part == PORT.as_bytes()) {
        made.extend_from_slice(&rest[..at]);
        made.extend_from_slice(port.to_string().as_bytes());
        rest = &rest[at + PORT.len()..];
    }
    made.extend_from_slice(rest);
    OsString::from_vec(made)
}

/// An address of this machine that nobody listens at: `before` if that is still so.
pub(super) fn free_address(before: Option<SocketAddr>) -> io::Result<SocketAddr> {
    let bound = |address: SocketAddr| TcpListener::bind(address)?.local_addr();
    match before.map(bound) {
        Some(Ok(address)) => Ok(address),
        _ => bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
    }
}

/// Starts a process.
pub(super) fn spawn(command: std::process::Command, output: fn() -> Stdio) -> io::Result<Child> {
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stdout(output()).stderr(output()).process_group(0).kill_on_drop(true);
    command.spawn()
}

/// What became of a process that was started.
#[derive(Debug)]
pub(super) enum Start {
    /// It takes connections.
    Up,
    /// It ended before that.
    Ended(ExitStatus),
    /// It does neither.
    Late,
}

/// Waits until a process takes connections, ends, or is late.
pub(super) async fn comes_up(child: &mut Child, network: &Network, at: usize, within: Duration) -> Start {
    let up = async {
        while !has_come_up(network, at).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        biased;
        ended = child.wait() => Start::Ended(ended.unwrap_or_default()),
        up = tokio::time::timeout(within, up) => if up.is_ok() { Start::Up } else { Start::Late },
    }
}

/// Tells a process, its group and all else in its cage to end, and kills the group after `grace`. It has ended when nothing is
/// left in its cage: what it has forked may have work to finish, too.
pub(super) async fn end(child: &mut Child, cage: &Arc<Cage>, grace: Duration) {
    let group = group(child);
    signal(group, Signal::TERM);
    for pid in processes(cage).await {
        // The group was told already, and once is what it may expect.
        if getpgid(Some(pid)).is_ok_and(|its| Some(its) != group)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(%error, pid = pid.as_raw_nonzero().get(), "a process cannot be told to end");
        }
    }
    let ended = async {
        drop(child.wait().await);
        while !processes(cage).await.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!(?grace, "the service did not end after SIGTERM, and is killed");
        signal(group, Signal::KILL);
    }
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "the service cannot be waited for");
    }
}

/// What runs in a cage.
async fn processes(cage: &Arc<Cage>) -> Vec<Pid> {
    let held = Arc::clone(cage);
    let found = tokio::task::spawn_blocking(move || held.processes()).await.unwrap_or_default();
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// Kills what is left in a cage, and waits until it is gone.
pub(super) async fn empty(cage: &Arc<Cage>) {
    let held = Arc::clone(cage);
    let emptied = tokio::task::spawn_blocking(move || held.kill()).await;
    if let Ok(Err(error)) = emptied {
        tracing::error!(error = &error as &dyn std::error::Error, "a process does not die");
    }
}

/// The process group of a child that has not been waited for.
pub(super) fn group(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

/// Sends a signal to a group. One that is gone needs none.
pub(super) fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(%error, ?signal, "a process group cannot be signalled");
    }
}

/// What a shell would say a process came to.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(words: &[&str]) -> Result<Recipe, NoPort> {
        Recipe::new(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_port_goes_wherever_the_command_says() {
        let made =
            recipe(&["serve", "--bind=127.0.0.1:{port}", "-x", "{port}{port}", "{porty}"]).expect("it says where");
        assert_eq!(made.on(80), ["--bind=127.0.0.1:80", "-x", "8080", "{porty}"].map(OsString::from));
    }

    #[test]
    fn a_command_must_say_where_its_port_goes() {
        for words in [&[][..], &["serve"], &["serve", "port"], &["{port}"]] {
            assert_eq!(recipe(words).err(), Some(NoPort), "{words:?}");
        }
    }

    #[test]
    fn an_address_is_kept_while_it_is_free() {
        let first = free_address(None).expect("loopback has a free port");
        assert_eq!(free_address(Some(first)).expect("it is free"), first);
        let taken = TcpListener::bind(first).expect("it is free");
        assert_ne!(free_address(Some(first)).expect("there are others"), taken.local_addr().expect("it is bound"));
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
    }
}
