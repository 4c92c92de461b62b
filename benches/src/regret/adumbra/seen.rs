//! What a job's dispatches show, as the proxy would see it.

use policy::{Evidence, Observation, Phase, ProgressSource};

use super::Adumbra;
use crate::regret::ground::{Ground, RunId, State};
use crate::regret::sidecar::id;
use crate::regret::world::Shown;

impl Adumbra {
    /// What a run shows.
    pub(super) fn seen(&self, ground: &Ground<'_>, run: RunId) -> Observation {
        let state = &ground.runs[run];
        // What it has waited for its body and its inputs it did not run; the policy takes the round trip off itself.
        let rtt_s = ground.world.networks[state.network].rtt_ms / 1e3;
        let started_s = if state.supplied_s.is_nan() { state.sent_s } else { state.supplied_s - rtt_s };
        let mut seen = Observation { granted: state.granted.or(Some(1.0)), ..Observation::started(started_s) };
        if matches!(state.state, State::Moving(_)) {
            seen.phase = Phase::BlockedOnData;
        }
        let done = ground.done(run);
        if ground.world.progress.shown == Shown::Visible && done > 0.0 {
            let share = shown(done, ground.lots[state.lot].bend[state.network]);
            seen.shows(Some(policy::Progress { share, at_s: ground.now_s, source: ProgressSource::Polled }));
        }
        if state.state == State::Done {
            seen.phase = Phase::Finished { at_s: ground.now_s - state.sent_s, good: true };
        }
        seen
    }

    pub(super) fn evidence(&self, ground: &Ground<'_>, i: usize) -> Evidence {
        let mut evidence = Evidence::default();
        let Some(course) = &self.courses[i] else { return evidence };
        let network = ground.runs[course.lead].network;
        let mut lead = self.seen(ground, course.lead);
        let ledger = &self.sidecars[ground.lots[i].sidecar].ledgers[network];
        lead.started_s = ledger.began_s(course.entry).unwrap_or(lead.started_s).max(lead.started_s);
        evidence.lead = Some((id(network), lead));
        for run in &course.shadows {
            evidence.shadows[id(ground.runs[*run].network)] = Some(self.seen(ground, *run));
        }
        for network in course.refused.iter() {
            evidence.shadows[network] =
                Some(Observation { phase: Phase::Refused, ..Observation::started(ground.now_s) });
        }
        evidence
    }
}

/// What is shown of the share `done` by a run that looks `bend` times as fast as it is until half of it is done, and makes
/// up for it then.
fn shown(done: f64, bend: f64) -> f64 {
    let half = 0.5 * bend.clamp(0.2, 1.8);
    if done < 0.5 { done / 0.5 * half } else { half + (done - 0.5) / 0.5 * (1.0 - half) }
}
