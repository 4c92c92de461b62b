//! `cargo bench -p benches --bench warm -- [--help]`: what it is worth that the data is there before the job is.
//!
//! All of it is in the library; only a bench target knows where cargo put the crate's own programs.

use std::error::Error;
use std::process::ExitCode;

use benches::site::Own;

fn main() -> ExitCode {
    let own = Own {
        tcp_relay: env!("CARGO_BIN_EXE_tcp_relay").into(),
        bare_hyper: env!("CARGO_BIN_EXE_bare_hyper").into(),
        tiny_backend: env!("CARGO_BIN_EXE_tiny_backend").into(),
    };
    let Err(error) = benches::warm::run(own) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("warm: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
