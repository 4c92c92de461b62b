//! `cargo bench -p benches --bench cache -- [--help]`: what an answer from the response cache costs, beside nginx's.

use std::error::Error;
use std::process::ExitCode;

use benches::site::Own;

fn main() -> ExitCode {
    let own = Own {
        tcp_relay: env!("CARGO_BIN_EXE_tcp_relay").into(),
        bare_hyper: env!("CARGO_BIN_EXE_bare_hyper").into(),
        tiny_backend: env!("CARGO_BIN_EXE_tiny_backend").into(),
    };
    let Err(error) = benches::cache::run(own) else { return ExitCode::SUCCESS };
    eprintln!("cache: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
