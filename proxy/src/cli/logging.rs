//! The process's own log: for people on a terminal, for machines elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts it, on stderr. `RUST_LOG` says what is shown, as in `RUST_LOG=proxy=debug`; without it, `info` and above.
pub(super) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    if let Err(error) = started {
        eprintln!("adumbra: there is another log in this process already: {error}");
    }
}
