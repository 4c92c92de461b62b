//! The demo's child processes: started from this very binary, known by the addresses they announce, gone when the demo
//! is.
//!
//! Three things end a child: its handle being dropped, the demo asking for it, and its standard input closing, which
//! happens even when the demo is killed outright. Children are in process groups of their own, so a Ctrl-C at the
//! terminal reaches only the demo, which then ends them in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::lifeline;

/// How long a child may take to say where it listens.
const START: Duration = Duration::from_secs(15);

/// Why a child did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started at all.
    #[error("could not start the demo's {name}")]
    Start {
        /// Which child.
        name: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It ended, or took too long, before it had said where it listens.
    #[error("the demo's {name} did not say where it listens ({missing}) within {START:?}; its log ends:\n{log}")]
    Silent {
        /// Which child.
        name: &'static str,
        /// The listener that was not announced.
        missing: String,
        /// The end of what it wrote to its standard error.
        log: String,
    },
}

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    addresses: Vec<(String, SocketAddr)>,
}

impl Running {
    /// Starts `adumbra` with `words` and waits until it has announced every listener in `listeners`. Its standard error
    /// goes to a file in `directory`.
    pub(crate) async fn start(
        name: &'static str,
        directory: &Path,
        words: &[String],
        listeners: &[&str],
    ) -> Result<Self, ChildError> {
        let log = directory.join(format!("{name}.log"));
        let failed = |source| ChildError::Start { name, source };
        let mut child = command(words, &log).map_err(failed)?.spawn().map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        let mut running = Self { name, child, addresses: Vec::new() };
        let mut lines = BufReader::new(stdout).lines();
        // Silence, an early end and a late one are the same: what is missing says it.
        drop(tokio::time::timeout(START, running.listen(&mut lines, listeners)).await);
        if let Some(missing) = listeners.iter().find(|name| running.find(name).is_none()) {
            return Err(ChildError::Silent { name, missing: (*missing).to_owned(), log: tail(&log) });
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(running)
    }

    async fn listen(&mut self, lines: &mut Lines<BufReader<ChildStdout>>, listeners: &[&str]) {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((name, address)) = lifeline::announced(&line) {
                self.addresses.push((name.to_owned(), address));
            }
            if listeners.iter().all(|name| self.find(name).is_some()) {
                return;
            }
        }
    }

    fn find(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).map(|(_, address)| *address)
    }

    /// Where `listener` listens. It is one of those `start` waited for.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.find(listener).expect("start waited for every listener the demo asks about")
    }

    /// Whether it has ended by itself; the demo cannot go on without it.
    pub(crate) fn has_ended(&mut self) -> Option<&'static str> {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)).then_some(self.name)
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        // It may have ended already.
        drop(self.child.kill().await);
    }
}

fn command(words: &[String], log: &PathBuf) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(words)
        .env(lifeline::ASKED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log)?)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
