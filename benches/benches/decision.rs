//! What one decision costs: nanoseconds and allocations of a `plan` and of a `decide` with two networks, a fitted model and
//! shadows observed; and seconds for a refit of 100,000 rows.
//!
//! Budget: 2 µs and no allocation for each decision, 2 s for the refit. Nanoseconds are the median over many batches, so a
//! busy machine shows in the spread that is printed beside them and not in the figure. No statistics crate: the figures
//! differ from their budgets by factors, and what matters most, the allocations, is exact.
//!
//!     cargo bench -p benches --bench decision -- [--json FILE]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use benches::dice::Dice;
use policy::job::{EXTRACTED, Job, ShadowMode};
use policy::learn::{Label, Row, Window, refit};
use policy::view::{NetworkView, Price, Pricing, ShadowLimits};
use policy::{
    Caps, ClassId, Evidence, LevelCaps, Levels, Model, NetworkId, NetworkSet, Observation, PerNetwork, Phase, Plan,
    Shadowing, Urgency, View, decide, plan,
};

const BUDGET_NS: f64 = 2_000.0;
const BUDGET_REFIT_S: f64 = 2.0;
const ROWS: usize = 100_000;
const BATCHES: usize = 400;
const CALLS: usize = 256;

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; every call is passed on to the system's allocator")]
// SAFETY: both methods pass their arguments on unchanged to `System`, which upholds the trait's contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `System.alloc` with this layout, by `alloc` above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a call costs.
struct Figure {
    median_ns: f64,
    /// The 10 % and 90 % batches.
    spread_ns: (f64, f64),
    allocations: f64,
}

fn main() -> ExitCode {
    let json = match json_path(std::env::args().skip(1)) {
        Ok(json) => json,
        Err(complaint) => {
            eprintln!("{complaint}\nusage: cargo bench -p benches --bench decision -- [--json FILE]");
            return ExitCode::from(2);
        }
    };
    let (machine, commit) = (machine(), commit());
    println!("decision bench");
    println!("  machine  {machine}");
    println!("  commit   {commit}");
    println!("  command  cargo bench -p benches --bench decision");
    println!("  budget   {BUDGET_NS:.0} ns and 0 allocations a decision, {BUDGET_REFIT_S:.0} s a refit of {ROWS} rows");

    let (model, refit_s) = fit();
    let size = model.size();
    let (planned, decided) = (measure_plan(&model), measure_decide(&model));
    println!(
        "  tree     {} leaves, {} deep, {} classes, {} labels",
        size.leaves,
        size.depth,
        size.classes,
        model.rows()
    );
    print("plan", &planned);
    print("decide", &decided);
    println!("  refit    {refit_s:.2} s");

    let within = [&planned, &decided].iter().all(|f| f.median_ns <= BUDGET_NS && f.allocations == 0.0);
    println!("  {}", if within && refit_s <= BUDGET_REFIT_S { "within budget" } else { "OVER BUDGET" });
    let Some(path) = json else { return ExitCode::SUCCESS };
    let report = serde_json::json!({
        "machine": machine,
        "commit": commit,
        "plan_ns": planned.median_ns,
        "decide_ns": decided.median_ns,
        "plan_allocations": planned.allocations,
        "decide_allocations": decided.allocations,
        "refit_100k_s": refit_s,
    });
    match std::fs::write(&path, format!("{report:#}\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}; give --json a file in a directory one can write to", path.display());
            ExitCode::FAILURE
        }
    }
}

/// The file to write figures to. `cargo bench` passes `--bench` to every bench; it says nothing here.
fn json_path(mut args: impl Iterator<Item = String>) -> Result<Option<PathBuf>, String> {
    let mut json = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => {}
            "--json" => json = Some(PathBuf::from(args.next().ok_or("--json needs a file")?)),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(json)
}

fn print(name: &str, figure: &Figure) {
    let Figure { median_ns, spread_ns: (low, high), allocations } = figure;
    println!("  {name:<8} {median_ns:.0} ns ({low:.0} to {high:.0} in 80 % of batches), {allocations} allocations");
}

fn measure_plan(model: &Model) -> Figure {
    let jobs: Vec<Job> = (0..CALLS).map(|i| synthetic_job(&mut Dice::new(i as u64))).collect();
    let view = view();
    measure(|i| {
        black_box(plan(black_box(&jobs[i]), black_box(&view), Some(model), 0.0));
    })
}

fn measure_decide(model: &Model) -> Figure {
    let view = view();
    let cases: Vec<(Job, Plan, Evidence)> = (0..CALLS)
        .map(|i| {
            let job = synthetic_job(&mut Dice::new(i as u64));
            let mut plan = plan(&job, &view, Some(model), 0.0);
            let other = if plan.target == PRIVATE { PUBLIC } else { PRIVATE };
            plan.shadowing = Shadowing::Lead { on: NetworkSet::only(other), window_s: 2.0 };
            (job, plan, observed(plan.target, other, i as f64 / CALLS as f64))
        })
        .collect();
    measure(|i| {
        let (job, plan, evidence) = &cases[i];
        black_box(decide(black_box(job), black_box(&view), Some(model), plan, black_box(evidence), 0.0, 1.0));
    })
}

/// A lead and a shadow that have shown some progress.
fn observed(lead: NetworkId, shadow: NetworkId, share: f64) -> Evidence {
    let seen = |progress, granted| Observation {
        phase: Phase::Running,
        progress: Some(progress),
        granted: Some(granted),
        cpu_s: Some(0.2),
        ..Observation::started(0.0)
    };
    let mut evidence = Evidence { lead: Some((lead, seen(0.02 + 0.2 * share, 1.0))), ..Evidence::default() };
    evidence.shadows[shadow] = Some(seen(0.01 + 0.05 * share, 0.25));
    evidence
}

/// Runs `call` in batches, one call for each of [`CALLS`] cases.
fn measure(mut call: impl FnMut(usize)) -> Figure {
    (0..CALLS).for_each(&mut call);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..CALLS).for_each(&mut call);
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / CALLS as f64;
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(&mut call);
            start.elapsed().as_secs_f64() * 1e9 / CALLS as f64
        })
        .collect();
    batches.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| batches[((BATCHES - 1) as f64 * share) as usize];
    Figure { median_ns: at(0.5), spread_ns: (at(0.1), at(0.9)), allocations }
}

/// A model of 100,000 synthetic rows, and how long its second fit took, champion and all.
fn fit() -> (Model, f64) {
    let mut window = Window::new(ROWS);
    let mut dice = Dice::new(1);
    for i in 0..ROWS / 2 {
        let job = synthetic_job(&mut dice);
        let class = f64::from(job.class.0);
        let size = (0.3 * class + f64::from(job.extracted[0]) + 0.5 * dice.normal()).exp();
        let ratio = (0.4 * (class * 1.7).sin() + 0.3 * dice.normal()).exp();
        for (network, seconds) in [(PRIVATE, size), (PUBLIC, size * ratio)] {
            let label = if seconds > 30.0 && i % 3 == 0 { Label::LongerThan(30.0) } else { Label::Took(seconds) };
            let row = Row {
                job,
                pair: i as u64,
                network,
                label,
                cpu_s: Some(seconds * 0.8),
                memory_bytes: Some(1e8),
                response_bytes: None,
            };
            window.push(row).expect("a synthetic label can be");
        }
    }
    let champion = refit(&window, PRIVATE, None).expect("enough labels");
    let start = Instant::now();
    let model = refit(&window, PRIVATE, Some(&champion)).expect("as good as itself");
    (model, start.elapsed().as_secs_f64())
}

const CAPS: Caps = Caps { cpu_share: 0.25, memory_bytes: 512 << 20, bytes_per_s: 4e6, window_s: 2.0 };
const PRIVATE: NetworkId = network(0);
const PUBLIC: NetworkId = network(1);

const fn network(index: usize) -> NetworkId {
    NetworkId::new(index).expect("below the most networks")
}

fn synthetic_job(dice: &mut Dice) -> Job {
    let mut extracted = [f32::NAN; EXTRACTED];
    for value in &mut extracted[..3] {
        *value = dice.uniform() as f32 * 3.0;
    }
    Job {
        class: ClassId((dice.uniform() * 12.0) as u16),
        urgency: Urgency::DEFAULT,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: (dice.uniform() < 0.8).then(|| (1e6 * dice.uniform()) as u64),
        input_bytes: None,
        hour: (24.0 * dice.uniform()) as f32,
        extracted,
        draw: dice.uniform(),
    }
}

fn view() -> View {
    let mut state = PerNetwork([NetworkView::default(); policy::MAX_NETWORKS]);
    let common = NetworkView { healthy: true, shadow_room: true, ..NetworkView::default() };
    state[PRIVATE] = NetworkView {
        in_flight: 6,
        capacity: 8,
        wait_s: 0.2,
        price: Price { per_slot_s: 0.3, congestion: 0.6, congestion_from: 0.6, ..Price::default() },
        ..common
    };
    state[PUBLIC] = NetworkView {
        in_flight: 3,
        capacity: 32,
        rtt_s: 0.04,
        link_bytes_per_s: 125e6,
        price: Price { per_slot_s: 1.0, per_gib_moved: 0.1, ..Price::default() },
        ..common
    };
    View {
        home: PRIVATE,
        networks: [PRIVATE, PUBLIC].into_iter().collect(),
        state,
        pricing: Pricing { time_value_per_s: [0.8; Urgency::LEVELS] },
        shadowing: ShadowLimits {
            window_share: 0.1,
            window_min_s: 0.1,
            worthwhile_s: 0.5,
            sample_share: 0.02,
            sample_window_s: 60.0,
            explore_share: 0.01,
            levels: Levels::default(),
            caps: LevelCaps { low: CAPS, medium: CAPS, high: CAPS },
        },
    }
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
