//! What is bounded and priced once for all jobs: `[pricing]`, `[limits]`, `[spool]`, `[data]`, `[oracle]`,
//! `[log]`, `[journal]`.

use policy::view::Pricing;

use super::RESTART;
use super::form::{BYTES, COUNT, FILE, FLAG, LONG, MORE, ORIGIN, SOME_BYTES, SOME_BYTES_PER_SECOND, TIME_VALUE};
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Config, Data, Journal, Limits, Log, Oracle, Spool};

pub(super) fn pricing(root: &mut Table<'_>) -> Pricing {
    let mut table = root.table("pricing", "What time is worth, in the currency of the networks' prices.");
    Pricing {
        time_value_per_s: table.or(
            "time_value_per_second",
            &TIME_VALUE,
            "[3.2, 1.6, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1]",
            "The value of one second of a client's waiting, for each urgency from 0 to 7; one number for all of them.",
        ),
    }
}

pub(super) fn limits(root: &mut Table<'_>) -> Limits {
    let mut table = root.table("limits", "Bounds on what clients and peers may send.");
    let each = "Connections to one listener at once from one address.";
    let resets = "Streams a client may reset before they are answered, before its connection is closed.";
    let drain = "Bytes of an unread request body that are drained before a connection is closed instead.";
    Limits {
        connections: table.or(
            "connections",
            &MORE,
            "10000",
            "Connections to each listener at once; the next one waits.",
        ) as usize,
        connections_per_address: table.or("connections_per_address", &MORE, "10000", each) as usize,
        head_timeout: table.or("head_timeout", &LONG, "'10s'", "From a request head's first byte to its last."),
        keep_alive: table.or("keep_alive", &LONG, "'60s'", "How long a connection may be idle between requests."),
        head_bytes: table.or("head_bytes", &SOME_BYTES, "'32KiB'", "Bytes of a request head."),
        head_fields: table.or("head_fields", &MORE, "100", "Fields in a request head.") as usize,
        h2_streams: table.or("h2_streams", &MORE, "200", "HTTP/2 streams at once on one connection."),
        h2_resets: table.or("h2_resets", &COUNT, "20", resets) as usize,
        drain_bytes: table.or("drain_bytes", &BYTES, "'256KiB'", drain),
    }
}

pub(super) fn spool(root: &mut Table<'_>) -> Spool {
    let mut table = root.table("spool", "Where request bodies are kept while they may still be needed again.");
    let body =
        "Bytes of one body at the most. A job with a longer one goes through, and is neither shadowed nor moved.";
    Spool {
        memory_bytes: table.or(
            "memory",
            &BYTES,
            "'64KiB'",
            "Bytes of one body kept in memory; the rest is on disk. All bodies together: 256 MiB.",
        ),
        body_bytes: table.or("body", &BYTES, "'16MiB'", body) as u64,
        disk_bytes: table.or("disk", &BYTES, "'256MiB'", "Bytes of all bodies on disk at the most.") as u64,
        directory: table.or(
            "directory",
            &FILE,
            "'/tmp'",
            "Where the files are made; they have no name while they are there.",
        ),
    }
}

pub(super) fn data(root: &mut Table<'_>, previous: Option<&Config>) -> Data {
    let mut table = root.table("data", "The data cache: inputs of jobs, fetched before the job arrives.");
    let about = "Origins that may be fetched from, as `scheme://host:port`. Without it, none.";
    let origins = table.list("origins", &ORIGIN, about).unwrap_or_default();
    for (at, origin) in origins.iter().enumerate() {
        if let Some(earlier) = origins[..at].iter().find(|earlier| earlier.value == origin.value) {
            let given = format!("{}://{}:{}", origin.value.scheme, origin.value.host, origin.value.port);
            table.report().fault_with(origin, Fault::Repeated { given }, earlier, "first here");
        }
    }
    let memory_bytes = table.or("memory", &BYTES, "'64MiB'", "Bytes kept in memory.");
    table.fixed("memory", RESTART, previous.is_some_and(|previous| previous.data.memory_bytes != memory_bytes));
    Data {
        origins: origins.into_iter().map(|origin| origin.value).collect(),
        memory_bytes,
        object_bytes: table.or("object", &BYTES, "'16MiB'", "Bytes of one object at the most."),
        timeout: table.or("timeout", &LONG, "'30s'", "How long one fetch may take."),
        warming: table.or("warming", &COUNT, "8", "Fetches for warming at once. 0: nothing is warmed.") as usize,
        warming_bytes_per_s: table
            .maybe(
                "warming_rate",
                &SOME_BYTES_PER_SECOND,
                "Bytes that all fetches for warming may move a second. Without it, any.",
            )
            .unwrap_or(f64::INFINITY),
        job_bytes: table.or("job", &BYTES, "'1GiB'", "Bytes that may be fetched ahead for one job.") as u64,
        learn: table.or(
            "learn",
            &FLAG,
            "true",
            "Whether what jobs fetch is learned, and fetched ahead for the next, on routes that warm.",
        ),
    }
}

pub(super) fn oracle(root: &mut Table<'_>, previous: Option<&Config>) -> Oracle {
    let mut table = root.table("oracle", "How the model that predicts is kept fresh.");
    let refit_every = table.or("refit_every", &LONG, "'5s'", "How often a refit is tried.");
    let refit_after = table.or("refit_after", &MORE, "20", "New outcomes a refit needs.") as usize;
    let first_after = table.or("first_after", &MORE, "40", "Outcomes before the first model.") as usize;
    let window = table.or("window", &MORE, "20000", "Outcomes kept.") as usize;
    let (low, high) = ("first_after", "window");
    table.ordered((low, first_after), (high, window), Fault::OutOfOrder { low, high });
    let keep = "How many versions of the model are kept, in `models` under `state.directory`.";
    let keep = table.or("keep", &MORE, "8", keep) as usize;
    table.fixed("keep", RESTART, previous.is_some_and(|previous| previous.oracle.keep != keep));
    Oracle { refit_every, refit_after, first_after, window, keep }
}

pub(super) fn log(root: &mut Table<'_>) -> Log {
    let mut table = root.table("log", "The decision log.");
    let decisions = "A file that each decision is added to, one JSON object a line. Without it, none is written.";
    Log {
        decisions: table.maybe("decisions", &FILE.like("\"decisions.jsonl\""), decisions),
        keep: table.or("keep", &COUNT, "1024", "How many of the latest decisions `/decisions` shows.") as usize,
        decisions_bytes: table.or(
            "decisions_bytes",
            &SOME_BYTES,
            "'64MiB'",
            "How long the file may become. Then it is renamed to end in `.1`, what ended so to end in `.2`, and so on.",
        ) as u64,
        decisions_files: table.or(
            "decisions_files",
            &MORE,
            "4",
            "How many such files there are at the most, the one that is written among them.",
        ) as u64,
    }
}

/// Less could not hold what is written at once.
const JOURNAL_LEAST: u64 = 1 << 20;

pub(super) fn journal(root: &mut Table<'_>) -> Option<Journal> {
    let mut table = root.table(
        "journal",
        "What decisions can be made again from, for `adumbra replay` and `adumbra explain --journal`.",
    );
    let directory = table.maybe(
        "directory",
        &FILE.like("\"journal\""),
        "A directory of its own, which is made if it is not there. Without it, no journal is kept.",
    );
    let bytes =
        table.or("bytes", &SOME_BYTES, "'64MiB'", "The most bytes of it, 1 MiB at the least; the oldest go first.");
    Some(Journal { directory: directory?, bytes: (bytes as u64).max(JOURNAL_LEAST) })
}
