//! The lane on `/status`: what runs shadows here, what really holds them, how the processes are.
//!
//! Only what is enforced may be named as a cap. What a network's own sidecar caps is not known here, and not claimed.

use std::collections::BTreeMap;

use config::value::{Kind, LaneKind};
use serde::Serialize;

use super::{NetworkStatus, Seen};
use crate::lane::Kept as Processes;
use crate::metrics::{Kept, ProcessesSoFar};

/// The lane.
#[derive(Debug, Serialize)]
pub(super) struct LanePage<'a> {
    kind: &'static str,
    /// What caps are enforced by; missing where the lane has no workers.
    enforced: Option<EnforcedPage>,
    /// What is not enforced as well as it could be, and why.
    lacks: &'a [String],
    workers: BTreeMap<&'static str, usize>,
    workers_ended: u64,
    oom_kills: u64,
    cages_left_behind: u64,
}

#[derive(Debug, Serialize)]
struct EnforcedPage {
    cpu: String,
    memory: String,
    weight: String,
    kill: String,
}

/// The service that `adumbra run` keeps.
#[derive(Debug, Serialize)]
pub(super) struct ServicePage {
    pid: Option<i32>,
    up: bool,
    restarts: u64,
}

impl<'a> LanePage<'a> {
    pub(super) fn of(seen: &Seen<'a>, networks: &[NetworkStatus]) -> Self {
        let workers = networks.iter().find_map(|network| network.workers);
        let ProcessesSoFar { ended, oom_kills } = seen.metrics.processes_so_far(Kept::Worker);
        let kept = seen.kept.filter(|_| workers.is_some());
        Self {
            kind: match seen.generation.config.lane.kind {
                LaneKind::Shared => "shared",
                LaneKind::Process => "process",
                LaneKind::Address => "address",
            },
            enforced: kept.map(|kept| EnforcedPage {
                cpu: kept.enforced.cpu.to_string(),
                memory: kept.enforced.memory.to_string(),
                weight: kept.enforced.weight.to_string(),
                kill: kept.enforced.kill.to_string(),
            }),
            lacks: kept.map_or(&[], |kept| &kept.lacks),
            workers: workers.into_iter().flat_map(|workers| workers.by_state()).collect(),
            workers_ended: ended,
            oom_kills,
            cages_left_behind: kept.map_or(0, |kept| kept.left_behind),
        }
    }
}

impl ServicePage {
    pub(super) fn of(seen: &Seen<'_>) -> Option<Self> {
        let Processes { pid, up, .. } = *seen.kept?;
        Some(Self { pid, up, restarts: seen.metrics.processes_so_far(Kept::Live).ended })
    }
}

/// What holds shadows to their caps on a network.
pub(super) fn caps(network: &NetworkStatus, seen: &Seen<'_>) -> String {
    const OURS: &str = "this sidecar: concurrency, bandwidth and window";
    let config = &seen.generation.config;
    let is_home = config.network(config.home).name == network.name;
    match (network.kind, seen.kept) {
        (_, Some(kept)) if is_home && network.workers.is_some() => {
            let enforced = &kept.enforced;
            format!("{OURS}; CPU by {}; memory by {}; priority by {}", enforced.cpu, enforced.memory, enforced.weight)
        }
        (Kind::Upstream, _) if is_home && config.lane.kind == LaneKind::Address => {
            format!("{OURS}; CPU and memory by whoever runs the replicas, if anybody does")
        }
        (Kind::Upstream, _) => format!("{OURS} only; no CPU or memory cap"),
        (Kind::Sidecar, _) => format!("{OURS}; CPU and memory as the sidecar there does, see its `/status`"),
    }
}
