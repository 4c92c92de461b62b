//! `adumbra inject`: becomes `adumbra-inject`, which stands beside this program.
//!
//! As git does with its commands: one name for people, and the sidecar links neither YAML nor Kubernetes' types.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Arguments of `adumbra inject`, which the other program reads.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(super) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// The other program cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {}; `adumbra inject` needs it beside the program `adumbra`", program.display())]
pub(super) struct Lacking {
    program: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Becomes the other program, and comes back only if it cannot.
pub(super) fn run(args: &Args) -> Lacking {
    let program = match std::env::current_exe() {
        Ok(own) => own.with_file_name("adumbra-inject"),
        Err(source) => return Lacking { program: PathBuf::from("adumbra-inject"), source },
    };
    let source = Command::new(&program).args(&args.arguments).exec();
    Lacking { program, source }
}
