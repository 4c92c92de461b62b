//! `[lane]` and `[run]`: how shadows run at home, and how `adumbra run` keeps what it starts.

use super::RESTART;
use super::form::{ENDPOINT, LANE_KIND, LONG, MORE};
use super::listen::Listeners;
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Config, Lane, LaneKind, Run};

pub(super) fn lane(root: &mut Table<'_>, listeners: &Listeners, previous: Option<&Config>) -> Lane {
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
    let processes = |kind| kind == LaneKind::Process;
    let before = previous.map(|previous| &previous.lane);
    let other_kind = before.is_some_and(|lane| lane.kind != kind && (processes(kind) || processes(lane.kind)));
    table.fixed("kind", "A change to or from `process` needs a restart.", other_kind);
    let more = before.is_some_and(|lane| processes(kind) && processes(lane.kind) && lane.workers != workers as usize);
    table.fixed("workers", RESTART, more);
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

pub(super) fn run(root: &mut Table<'_>, previous: Option<&Config>) -> Run {
    let mut table = root.table("run", "How `adumbra run` keeps the service and its workers.");
    let run = Run {
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
    };
    let before = previous.map(|previous| previous.run);
    for (key, changed) in [
        ("start", before.is_some_and(|before| before.start != run.start)),
        ("grace", before.is_some_and(|before| before.grace != run.grace)),
        ("back_off", before.is_some_and(|before| before.back_off != run.back_off)),
    ] {
        table.fixed(key, RESTART, changed);
    }
    run
}
