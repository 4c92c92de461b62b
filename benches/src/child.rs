//! A started program that cannot outlive the bench: stopped by its own handle when the value goes.
//!
//! A proxy left behind would sit on the measured core and spoil every later run, so there are two ropes: the guard here,
//! and, where `setpriv` is installed, the kernel's own signal to the child if the bench is killed before it can drop.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::accounting::descendants;
use crate::pin::{self, Core};

const STOP_WITHIN: Duration = Duration::from_secs(3);

/// A running child, its output in a file.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: PathBuf,
}

/// A command for `program` that the kernel ends with us, where that can be had.
#[must_use]
pub fn program(program: &Path) -> Command {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| find("setpriv"));
    let Some(setpriv) = SETPRIV.as_ref() else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Looks a program up: `PATH` first, then where Debian keeps daemons.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Running {
    /// Starts `command` on one core, both its streams into `output`.
    ///
    /// # Errors
    /// When the file cannot be made, the core not taken or the program not run.
    pub fn start(command: &mut Command, core: Core, output: PathBuf) -> io::Result<Self> {
        pin::while_on(core, || Self::start_anywhere(command, output))?
    }

    /// Starts `command` wherever this thread may run.
    ///
    /// # Errors
    /// When the file cannot be made or the program not run.
    pub fn start_anywhere(command: &mut Command, output: PathBuf) -> io::Result<Self> {
        let file = File::create(&output)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child, output })
    }

    /// The process id; a root for [`crate::accounting`].
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read(&self.output).map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into_owned())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not know the child.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when it still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(Some(_))) {
            return;
        }
        signal(self.pid(), Signal::TERM);
        if self.wait(STOP_WITHIN).is_ok() {
            return;
        }
        // Its children first, while it lives and they are surely its own.
        for child in descendants(self.pid()) {
            signal(child, Signal::KILL);
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("could not stop process {}: {error}", self.child.id());
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    // One that is gone already needs no signal.
    kill_process(pid, signal).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_ignores_term_is_gone_after_drop() {
        let directory = tempfile::tempdir().expect("a temp dir");
        let shell = find("sh").expect("a shell");
        let mut command = program(&shell);
        command.args(["-c", "trap '' TERM; echo up; while :; do sleep 1; done"]);
        let core = pin::Cores::of_this_process().expect("cores").load;
        let running = Running::start(&mut command, core, directory.path().join("out")).expect("a shell starts");
        while !running.said().contains("up") {
            thread::yield_now();
        }
        let pid = running.pid();
        drop(running);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
