//! What machine, commit and command a figure came from, because a figure without them cannot be compared with another.
//!
//! Facts that cannot be read are said to be unknown; nothing here fails a bench.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

/// Where and from what a run was made.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's model, as the kernel names it.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Kernel name and release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Short commit of the work tree, `+changes` behind it when files differ from it.
    pub commit: String,
    /// When the run began, in UTC.
    pub date: String,
    /// The command line that makes the same run again.
    pub command: String,
}

impl Machine {
    /// Reads all of it once.
    #[must_use]
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        Self {
            processor: line_value("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            memory_mib: memory_kib().map_or(0, |kib| kib / 1024),
            commit: commit(),
            date: printed_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown),
            command: command(),
        }
    }
}

/// The first line a program prints, on either stream; `None` if it cannot be run or says nothing.
#[must_use]
pub fn printed_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// cargo hides the program behind a hash and adds `--bench`; what a person typed is told instead.
fn command() -> String {
    let path = std::env::args().next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    let typed = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let start = format!("cargo bench -p {} --bench {name} --", env!("CARGO_PKG_NAME"));
    [start].into_iter().chain(typed).collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let Some(short) = printed_by("git", &["rev-parse", "--short", "HEAD"]) else { return unknown() };
    let changed = printed_by("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    if changed { format!("{short}+changes") } else { short }
}

fn memory_kib() -> Option<u64> {
    line_value("/proc/meminfo", "MemTotal")?.split_whitespace().next()?.parse().ok()
}

fn line_value(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
