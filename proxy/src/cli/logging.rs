//! The process's own log: for people on a terminal, for machines elsewhere. What it shows can be changed while it runs.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::log_level;

/// Starts it, on stderr. `RUST_LOG` says what is shown, as in `RUST_LOG=proxy=debug`; without it, `info` and above.
pub(super) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if io::stderr().is_terminal() {
        lines.with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    match tracing_subscriber::registry().with(filter).with(lines).try_init() {
        Ok(()) => log_level::is(handle),
        Err(error) => eprintln!("adumbra: there is another log in this process already: {error}"),
    }
}
