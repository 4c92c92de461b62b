//! The old process's side: starts the new one, and waits for its word.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::Offer;
use super::passing::{FAILED, Passed, READY, send};

/// What tells `adumbra serve` that it is to take over.
const TAKE_OVER: &str = "--take-over";
/// How long a new process may take until it serves.
const START_MOST: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_MOST: u64 = 16 << 10;

/// What the new process is started by: what this one was started by, from wherever that stands now.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// Why this process stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    #[error("{} cannot be started", path.display())]
    NotStarted {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the sockets cannot be handed over")]
    NotPassed(#[source] io::Error),
    #[error("the new process cannot start: {0}")]
    Refused(String),
    #[error("the new process ended before it served ({0}); its own words are above")]
    Ended(ExitStatus),
    #[error("the new process did not serve within {START_MOST:?} and was killed")]
    Late,
}

impl Program {
    /// What this process was started by. To be asked before anybody replaces it.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut words = std::env::args_os();
        // As it was called, so that a link that points to another version by now leads there; by what runs if that is no path.
        let called = words.next().map(PathBuf::from).filter(|called| called.components().count() > 1);
        let path = match called {
            Some(called) => std::path::absolute(called)?,
            None => std::env::current_exe()?,
        };
        Ok(Self { path, arguments: words.filter(|word| word != TAKE_OVER).collect() })
    }
}

/// The new process, which serves. It takes this one to be there until this is dropped.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) pid: u32,
    _channel: UnixStream,
}

impl Successor {
    /// Starts it, hands it the sockets, and waits until it serves.
    ///
    /// # Errors
    /// It does not. Then it is gone, and nothing has changed.
    pub(crate) async fn start(program: &Program, offers: &[Offer]) -> Result<Self, HandOverError> {
        let not_started = |source| HandOverError::NotStarted { path: program.path.clone(), source };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(not_started)?;
        // Sent before there is anybody, so it cannot come late.
        send(&ours, &passed(offers).map_err(HandOverError::NotPassed)?).map_err(HandOverError::NotPassed)?;
        let child = Command::new(&program.path)
            .args(&program.arguments)
            .arg(TAKE_OVER)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(not_started)?;
        let mut starting = Starting(Some(child));
        ours.set_nonblocking(true).map_err(HandOverError::NotPassed)?;
        let channel = UnixStream::from_std(ours).map_err(HandOverError::NotPassed)?;
        let heard = tokio::time::timeout(START_MOST, starting.answer(channel)).await;
        let channel = heard.unwrap_or(Err(HandOverError::Late))?;
        Ok(Self { pid: starting.serves(), _channel: channel })
    }
}

/// The new process until it serves. Dropped before that, it is killed.
struct Starting(Option<Child>);

impl Starting {
    /// What it answers.
    async fn answer(&mut self, channel: UnixStream) -> Result<UnixStream, HandOverError> {
        let mut line = String::new();
        let mut reader = BufReader::new(channel.take(ANSWER_MOST));
        let read = reader.read_line(&mut line).await;
        match line.trim_end() {
            READY => Ok(reader.into_inner().into_inner()),
            said if said.starts_with(FAILED) => Err(HandOverError::Refused(said[FAILED.len()..].to_owned())),
            _ => {
                tracing::debug!(?read, "the new process said nothing that makes sense");
                // It has closed its end, so it is about to end.
                match &mut self.0 {
                    Some(child) => Err(child.wait().await.map_or_else(HandOverError::NotPassed, HandOverError::Ended)),
                    None => Err(HandOverError::Late),
                }
            }
        }
    }

    /// It is on its own. Its process id.
    fn serves(mut self) -> u32 {
        self.0.take().and_then(|child| child.id()).unwrap_or_default()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_mut().map(Child::start_kill) {
            tracing::warn!(%error, "the new process cannot be killed");
        }
    }
}

/// The sockets that are open still.
fn passed(offers: &[Offer]) -> io::Result<Vec<Passed>> {
    let open = offers.iter().filter_map(|offer| Some((offer, offer.listener.upgrade()?)));
    open.map(|(offer, listener)| {
        let socket = std::os::fd::AsFd::as_fd(&*listener).try_clone_to_owned()?;
        Ok(Passed { port: offer.port, wanted: offer.wanted, socket })
    })
    .collect()
}
