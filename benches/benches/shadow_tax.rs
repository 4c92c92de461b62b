//! `cargo bench -p benches --bench shadow_tax -- [--help]`: what shadows cost the jobs they are shadows of.
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
    let Err(error) = benches::shadow_tax::run(own, env!("CARGO_BIN_EXE_job_service").into()) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("shadow_tax: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
