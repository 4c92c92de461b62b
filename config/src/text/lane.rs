//! `[lane]` and `[run]`: how shadows run at home, and how `adumbra run` keeps what it starts.

use super::form::{ENDPOINT, LANE_KIND, LONG, MORE};
use super::listen::Listeners;
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Lane, LaneKind, Run};

pub(super) fn lane(root: &mut Table<'_>, listeners: &Listeners) -> Lane {
    let mut table = root.table("lane", "How shadows run at home, and what enforces their caps there.");
    let kind = table.or(
        "kind",
        &LANE_KIND,
        "'shared'",
        "`shared`: on the live service; concurrency, bandwidth and window are capped, CPU and memory are not. `process`: \
         on workers that `adumbra run` starts, each in a cage of its own. `address`: on replicas that somebody else caps.",
    );
    let workers = table.or(
        "workers",
        &MORE,
        "2",
        "Worker processes, of the command that `adumbra run` is given; each runs one shadow at a time. Only for `process`.",
    );
    let upstreams = table.list(
        "upstreams",
        &ENDPOINT.like("\"http://127.0.0.1:3001\""),
        "Where the replicas are reached that run shadows and nothing else. Only for `address`.",
    );
    let upstreams = upstreams.unwrap_or_default();
    for (at, endpoint) in upstreams.iter().enumerate() {
        listeners.check_endpoint(endpoint, table.report());
        if let Some(earlier) = upstreams[..at].iter().find(|earlier| earlier.value == endpoint.value) {
            let fault = Fault::Repeated { given: endpoint.value.to_string() };
            table.report().fault_with(endpoint, fault, earlier, "first here");
        }
    }
    if kind == LaneKind::Address && upstreams.is_empty() && !table.is_bad("kind") {
        table.fault("upstreams", Fault::NoReplica);
    }
    let upstreams = upstreams.into_iter().map(|endpoint| endpoint.value).collect();
    Lane { kind, workers: workers as usize, upstreams }
}

pub(super) fn run(root: &mut Table<'_>) -> Run {
    let mut table = root.table("run", "How `adumbra run` keeps the service and its workers.");
    Run {
        start: table.or(
            "start",
            &LONG,
            "'1m'",
            "How long one may take until it accepts connections, and answers the home network's `health.path` well if \
             there is one. Then it is killed and started again.",
        ),
        grace: table.or(
            "grace",
            &LONG,
            "'10s'",
            "How long the service, and all that it has forked, may take to end when told to by SIGTERM; then they are killed.",
        ),
        back_off: table.or(
            "back_off",
            &LONG,
            "'30s'",
            "The longest wait before one that keeps dying is started again; the first is a fifth of a second, and each \
             is twice the one before.",
        ),
    }
}
