//! What the process's own log shows, and how that changes while it runs.
//!
//! The process has one log, so there is one of this: whoever starts the log leaves the handle here. A program that has
//! sidecars in it and a log of its own, as the tests are, has none.

use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, Registry, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why the log does not show something else now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LevelError {
    /// It makes no sense.
    #[error(
        "that is not a level: write `error`, `warn`, `info`, `debug`, `trace` or, as in RUST_LOG, `info,proxy::reload=debug`"
    )]
    Malformed,
    /// The log is not ours.
    #[error("the log of this process is not adumbra's, so its level cannot be changed here")]
    Foreign,
}

/// The log can be changed by this from now on.
pub(crate) fn is(handle: reload::Handle<EnvFilter, Registry>) {
    // A second log in one process is refused before it comes to this.
    let _first = FILTER.set(handle);
}

/// What is shown, as `RUST_LOG` would say it; nothing if the log is not ours.
pub(crate) fn now() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}

/// Shows this from now on, and says what that is.
pub(crate) fn set(text: &str) -> Result<String, LevelError> {
    // A word alone would be taken for the name of a module, of which everything is to be shown.
    let is_level = |piece: &str| {
        let piece = piece.trim();
        piece.contains('=') || (!piece.is_empty() && piece.parse::<LevelFilter>().is_ok())
    };
    let filter = text.split(',').all(is_level).then(|| EnvFilter::builder().parse(text).ok()).flatten();
    let filter = filter.ok_or(LevelError::Malformed)?;
    let said = filter.to_string();
    FILTER.get().ok_or(LevelError::Foreign)?.reload(filter).map_err(|_gone| LevelError::Foreign)?;
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told_before_anything_changes() {
        for text in ["", "loud", "proxy=loud", "info,=", "[", "\u{fffd}"] {
            assert!(matches!(set(text), Err(LevelError::Malformed)), "{text}");
        }
        for text in ["debug", "info,proxy::reload=trace", "off"] {
            assert!(matches!(set(text), Err(LevelError::Foreign)), "{text}: tests have no log of ours");
        }
    }
}
