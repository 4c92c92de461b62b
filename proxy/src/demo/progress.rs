//! The line that says how far the demo is: redrawn in place on a terminal, printed now and then into a file.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::drive::Tally;

/// Between two redrawings on a terminal, and between two lines elsewhere.
const REDRAW: Duration = Duration::from_millis(250);
const LINE: Duration = Duration::from_secs(1);

/// The demo's running commentary, on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    started: Instant,
    seconds: u64,
    terminal: bool,
}

impl Progress {
    /// Starts the clock of a demo that is to take `seconds`.
    pub(crate) fn new(seconds: u64) -> Self {
        Self { started: Instant::now(), seconds, terminal: std::io::stderr().is_terminal() }
    }

    /// Seconds since the demo began.
    pub(crate) fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Seconds left of those the demo was given; 0 when they are over.
    pub(crate) fn left_s(&self) -> f64 {
        (self.seconds as f64 - self.elapsed_s()).max(0.0)
    }

    /// Shows `what`, to be overwritten by the next.
    pub(crate) fn show(&self, what: &str) {
        let line = format!("[{:>4.0} of {} s] {what}", self.elapsed_s(), self.seconds);
        let mut out = std::io::stderr().lock();
        // The commentary is a courtesy: nobody to read it is no reason to stop.
        drop(if self.terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") });
        drop(out.flush());
    }

    /// Shows how far `tally` is until dropped.
    pub(crate) fn follow(self, what: String, jobs: usize, tally: Arc<Tally>) -> Following {
        let task = tokio::spawn(async move {
            loop {
                let [sent, done, failed] =
                    [&tally.sent, &tally.done, &tally.failed].map(|count| count.load(Ordering::Relaxed));
                let in_flight = sent.saturating_sub(done);
                self.show(&format!("{what}: {done} of {jobs} jobs done, {in_flight} in flight, {failed} failed"));
                tokio::time::sleep(if self.terminal { REDRAW } else { LINE }).await;
            }
        });
        Following { task }
    }

    /// Ends the line on a terminal.
    pub(crate) fn end(&self) {
        if self.terminal {
            drop(writeln!(std::io::stderr().lock()));
        }
    }
}

/// Stops the showing when dropped.
#[derive(Debug)]
pub(crate) struct Following {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}
