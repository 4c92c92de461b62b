//! What a shadow uses, as far as anybody measures it: its worker's cage here, its own sidecar there, a replica by its word.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use policy::Phase;
use policy::fate::Fate;

use super::Run;
use crate::lane::{Used, orca};
use crate::path::asynchronous::Twin;
use crate::path::course::Head;

/// The time between two looks at what a worker has used: as often as a far sidecar is asked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Run {
    /// Looks at what its worker has used, again and again, while `sending` runs.
    pub(super) async fn while_looking<F: Future>(&self, sending: F) -> F::Output {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.look();
            }
        };
        tokio::pin!(sending);
        tokio::select! {
            biased;
            sent = &mut sending => sent,
            () = looking, if self.throttle.seat().is_some() => unreachable!("it looks for ever"),
        }
    }

    /// Takes in what its worker has used.
    pub(super) fn look(&self) {
        if let Some(seat) = self.throttle.seat() {
            self.take_in(seat.used());
        }
    }

    /// Takes in what the service says on its answer that it has used, where nothing measures it. A far sidecar that does has
    /// said so before.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        let is_measured = || self.board.read().shadows[self.network.id].is_some_and(|seen| seen.cpu_s.is_some());
        if self.throttle.seat().is_none() && !is_measured() {
            let orca::Said { cpu_s, memory_bytes } = orca::said(headers);
            self.take_in(Used { cpu_s, memory_bytes, granted: None });
        }
    }

    /// It was accepted to be done later, where requests that ask for it later never go: it cannot be the real job.
    pub(super) fn is_out_of_reach(&self, head: &Arc<Head>, status: StatusCode, headers: &HeaderMap) {
        let Some(seat) = self.throttle.seat() else {
            let twin = Twin::of(&self.lesson.course, head, self.sent(), status, headers);
            self.lesson.tally.accepted(twin);
            return self.end(Fate::Failed, Phase::Failed);
        };
        // It dies with its worker, and must not be waited for by the next one.
        seat.broke();
        seat.end();
        self.end(Fate::Failed, Phase::Refused);
    }

    /// Takes in what it has used. What is not said leaves what was known.
    pub(super) fn take_in(&self, used: Used) {
        if used == Used::default() {
            return;
        }
        // Once it is adopted it is no shadow on the board any more, and is measured all the same.
        self.lesson.used.lock().update(used);
        self.board.shadow(self.network.id, |shadow| {
            shadow.cpu_s = used.cpu_s.or(shadow.cpu_s);
            shadow.memory_bytes = used.memory_bytes.or(shadow.memory_bytes);
            shadow.granted = used.granted.or(shadow.granted);
        });
    }
}
