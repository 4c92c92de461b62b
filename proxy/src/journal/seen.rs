//! Evidence as it stands in the file: mirrors of what a decision was made from.

use policy::{Evidence, NetworkId, NetworkSet, NetworkView, Observation, PerNetwork, Phase, ProgressSource};
use serde::{Deserialize, Serialize};

use super::Seen;
use super::entry::ViewSeen;
use crate::generation::Generation;
use crate::record::network_name;

/// What a decision was made from.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SeenThen {
    view: ViewSeen,
    lead: Option<(String, Observed)>,
    shadows: Vec<(String, Observed)>,
    forked_s: f64,
    at_s: f64,
    /// Target, action and reason, if it was settled then.
    pub(crate) decision: Option<(String, String, String)>,
}

/// An observation.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Observed {
    started_s: f64,
    phase: String,
    at_s: Option<f64>,
    good: bool,
    progress: Option<f64>,
    progressed_s: Option<f64>,
    source: Option<String>,
    granted: Option<f64>,
    cpu_s: Option<f64>,
    memory_bytes: Option<f64>,
    response_bytes: u64,
}

impl SeenThen {
    pub(super) fn of(seen: &Seen, generation: &Generation) -> Self {
        let name = |network| network_name(generation, network).into_owned();
        let shadows = NetworkSet::ALL.iter();
        Self {
            view: ViewSeen::of(&seen.view, generation),
            lead: seen.evidence.lead.as_ref().map(|(network, lead)| (name(*network), Observed::of(lead))),
            shadows: shadows
                .filter_map(|on| Some((name(on), Observed::of(seen.evidence.shadows[on].as_ref()?))))
                .collect(),
            forked_s: seen.forked_s,
            at_s: seen.at_s,
            decision: seen.decision.as_ref().map(|decision| {
                let (action, reason) = (crate::record::action_word(decision.action), decision.reason.as_str());
                (name(decision.target), action.to_owned(), reason.to_owned())
            }),
        }
    }

    /// The evidence, when the window began and when it was looked at, and the networks as they were then.
    pub(crate) fn read(
        &self,
        place: &impl Fn(&str) -> Option<NetworkId>,
    ) -> (Evidence, f64, f64, PerNetwork<NetworkView>) {
        let lead = self.lead.as_ref().and_then(|(name, lead)| Some((place(name)?, lead.read())));
        let mut evidence = Evidence { lead, ..Evidence::default() };
        for (name, shadow) in &self.shadows {
            if let Some(on) = place(name) {
                evidence.shadows[on] = Some(shadow.read());
            }
        }
        (evidence, self.forked_s, self.at_s, self.view.read(place))
    }
}

impl Observed {
    fn of(seen: &Observation) -> Self {
        let (phase, at_s, good) = match seen.phase {
            Phase::Running => ("running", None, false),
            Phase::Head { at_s, good } => ("head", Some(at_s), good),
            Phase::Finished { at_s, good } => ("finished", Some(at_s), good),
            Phase::Refused => ("refused", None, false),
            Phase::Failed => ("failed", None, false),
            Phase::BlockedOnData => ("blocked", None, false),
        };
        Self {
            started_s: seen.started_s,
            phase: phase.to_owned(),
            at_s,
            good,
            progress: seen.progress,
            progressed_s: seen.progressed_s,
            source: seen.progress_source.map(|source| source.as_str().to_owned()),
            granted: seen.granted,
            cpu_s: seen.cpu_s,
            memory_bytes: seen.memory_bytes,
            response_bytes: seen.response_bytes,
        }
    }

    fn read(&self) -> Observation {
        let (at_s, good) = (self.at_s.unwrap_or(0.0), self.good);
        let phase = match self.phase.as_str() {
            "head" => Phase::Head { at_s, good },
            "finished" => Phase::Finished { at_s, good },
            "refused" => Phase::Refused,
            "failed" => Phase::Failed,
            "blocked" => Phase::BlockedOnData,
            _ => Phase::Running,
        };
        Observation {
            started_s: self.started_s,
            phase,
            progress: self.progress,
            progressed_s: self.progressed_s,
            progress_source: self.source.as_deref().and_then(ProgressSource::named),
            granted: self.granted,
            cpu_s: self.cpu_s,
            memory_bytes: self.memory_bytes,
            response_bytes: self.response_bytes,
        }
    }
}
