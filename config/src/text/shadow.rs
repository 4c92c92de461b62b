//! `[shadow]`: whether there are shadows, how many, and how much of a machine each level of them gets.
//!
//! What bounds one shadow stands in two places, and they mean different things: a level's caps are what this sidecar gives
//! the shadows of its own jobs and asks of others; `[shadow.serve]` is what it gives the shadows of others.

use std::time::Duration;

use policy::view::ShadowLimits;
use policy::{Caps, LevelCaps, Levels};

use super::form::{BYTES, CORES, DURATION, FLAG, LEVELS, LONG, SHARE, SOME_BYTES, SOME_BYTES_PER_SECOND};
use super::table::Table;
use crate::errors::Fault;
use crate::value::Shadow;

/// The defaults of four caps: CPU, memory, bytes a second, window.
type Defaults = [&'static str; 4];

const LOW: Defaults = ["'10%'", "'256MiB'", "'1MiB'", "'1s'"];
const MEDIUM: Defaults = ["'25%'", "'512MiB'", "'4MiB'", "'2s'"];
const HIGH: Defaults = ["'50%'", "'1GiB'", "'16MiB'", "'4s'"];
/// Another sidecar gets here what our own most urgent jobs get, for as long as a sample may take.
const SERVED: Defaults = ["'50%'", "'1GiB'", "'16MiB'", "'1m'"];

pub(super) fn shadow(root: &mut Table<'_>) -> Shadow {
    let mut table = root.table("shadow", "How shadows are bounded, over all networks.");
    let enabled = table.or("enabled", &FLAG, "true", "The kill switch: `false` makes every route `off`.");
    let share =
        "The window in which a shadow is watched, as a share of the job's predicted time; at the most its level's.";
    let window_share = table.or("window_share", &SHARE, "'10%'", share);
    let window_min = table.or("window_min", &DURATION, "'100ms'", "The shortest window.");
    let short = "Jobs predicted to be shorter than this are never shadowed.";
    let worthwhile = table.or("worthwhile", &DURATION, "'300ms'", short);
    let sample_share =
        table.or("sample_share", &SHARE, "'2%'", "The share of jobs shadowed in the background, only to learn.");
    let long = "How long such a shadow may run, to be seen to its end; twice the job's predicted time is enough.";
    let sample_window = table.or("sample_window", &LONG, "'1m'", long);
    let explore = "The share of jobs sent where the prediction would not, to learn, which adds no more than that to what jobs cost in \
                   the mean. Before there is a model it is 15 % at the least. 0 forbids it.";
    let explore_share = table.or("explore_share", &SHARE, "'2%'", explore);
    let answer = "Bytes of a shadow's answer that are kept for adoption before it stops being read.";
    let answer_bytes = table.or("answer_bytes", &BYTES, "'1MiB'", answer);
    let (levels, caps) = levels(&mut table, window_min);
    let about =
        "What a shadow of another sidecar is given here at the most; what it asks beyond that is cut down to it.";
    let serve = caps_of(&mut table.table("serve", about), SERVED);
    Shadow {
        enabled,
        limits: ShadowLimits {
            window_share,
            window_min_s: window_min.as_secs_f64(),
            worthwhile_s: worthwhile.as_secs_f64(),
            sample_share,
            sample_window_s: sample_window.as_secs_f64(),
            explore_share,
            levels,
            caps,
        },
        serve,
        answer_bytes,
    }
}

fn levels(shadow: &mut Table<'_>, window_min: Duration) -> (Levels, LevelCaps) {
    let about = "How much of a machine a shadow gets. The more urgent its job, the more.";
    let mut table = shadow.table("levels", about);
    let about =
        "The level for each urgency from 0 to 7; one level for all of them. `off`: no shadow, not even to learn.";
    let default = "['high', 'high', 'high', 'medium', 'medium', 'low', 'low', 'off']";
    let by_urgency = table.or("by_urgency", &LEVELS, default, about);
    // A shortest window that is too long is too long once, for however many levels.
    let mut said = shadow.is_bad("window_min");
    let mut caps = |level, about, defaults, window| {
        let mut table = table.table(level, about);
        let caps = caps_of(&mut table, defaults);
        let short = caps.window_s < window_min.as_secs_f64() && !table.is_bad("window");
        let fault = Fault::OutOfOrder { low: "window_min", high: window };
        match (short && !said, table.has("window")) {
            (true, true) => table.fault("window", fault),
            (true, false) => {
                shadow.fault("window_min", fault);
                said = true;
            }
            (false, _) => {}
        }
        caps
    };
    let caps = LevelCaps {
        low: caps("low", "For jobs that can wait.", LOW, "levels.low.window"),
        medium: caps("medium", "For the usual job.", MEDIUM, "levels.medium.window"),
        high: caps("high", "For the urgent.", HIGH, "levels.high.window"),
    };
    (Levels(by_urgency), caps)
}

fn caps_of(table: &mut Table<'_>, [cpu, memory, bytes, window]: Defaults) -> Caps {
    let share =
        "CPU, as a share of one core. Where the lane caps it, the cap; elsewhere how fast a shadow is taken to run.";
    let held = "Memory, where the lane caps it.";
    Caps {
        cpu_share: table.or("cpu", &CORES, cpu, share),
        memory_bytes: table.or("memory", &SOME_BYTES, memory, held) as u64,
        bytes_per_s: table.or("bytes_per_second", &SOME_BYTES_PER_SECOND, bytes, "Bytes of one shadow, each way."),
        window_s: table.or("window", &LONG, window, "How long it is watched at the most.").as_secs_f64(),
    }
}
