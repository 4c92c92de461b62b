//! Running the programs that change rules: by their place, with arguments that are all ours and no environment.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where they are on every system that has them: a search path is somebody else's to set.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// The most of what a program says that is shown.
const SHOWN: usize = 600;

/// Why rules were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// The program is not installed.
    #[error(
        "`{program}` is not in {}: install nftables, or iptables with both its families", FOLDERS.join(", ")
    )]
    Missing { program: &'static str },
    /// It cannot be run.
    #[error("`{program}` cannot be run")]
    Run {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// It has refused.
    #[error("`{program}` refused: {said}; it needs CAP_NET_ADMIN in this network namespace, and a kernel with NAT")]
    Refused { program: &'static str, said: String },
    /// The namespace cannot be locked.
    #[error("cannot take turns with others that change rules here, by /proc/self/ns/net")]
    Namespace(#[source] io::Error),
}

/// Where `program` is, if it is here.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| PathBuf::from(folder).join(program)).find(|path| path.is_file())
}

/// Runs `program` with `input`, and gives back what it says.
pub(super) fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, ProgramError> {
    let path = find(program).ok_or(ProgramError::Missing { program })?;
    let failed = |source| ProgramError::Run { program, source };
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take();
    // It reads all of it before it says anything long: a rule is short, and there are few.
    let written = stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        return Err(ProgramError::Refused { program, said });
    }
    written.map_err(failed)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
