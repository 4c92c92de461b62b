//! `adumbra explain`: what was decided for a job, or would be for a request now, as text one can read.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::replay::ReplayError;
use super::words::{bytes, list, money, printable, seconds, table};
use super::{CliError, http};
use crate::admin::{Explanation, NetworkExplanation};
use crate::journal::reader::{self, Found};
use crate::record::{InputsLine, Line, PredictionLine};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A decision's id, as in the `adumbra-decision` header and the log, or a URL or path, such as /render?size=9
    #[arg(value_name = "ID|URL")]
    what: String,
    /// The sidecar's admin port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    admin: String,
    /// Look for a decision in this journal, without asking a sidecar
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The request's method, for a URL
    #[arg(long, default_value = "GET")]
    method: String,
    /// A header of the request, for a URL; may be given again
    #[arg(long, value_name = "NAME:VALUE")]
    header: Vec<String>,
    /// The length of the request's body, for a URL
    #[arg(long, value_name = "BYTES")]
    body_bytes: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let is_url = args.what.contains('/');
    let target = if is_url { question(args) } else { format!("/decisions/{}", http::encoded(&args.what)) };
    let body = match &args.journal {
        Some(directory) if !is_url => kept(directory, &args.what)?.into_bytes(),
        _ => ask(&args.admin, &target)?,
    };
    if args.json {
        let mut text = String::from_utf8_lossy(&body).trim_end().to_owned();
        text.push('\n');
        return io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output);
    }
    let foreign = |source| CliError::Foreign { address: args.admin.clone(), source };
    let text = if is_url {
        preview(&serde_json::from_slice(&body).map_err(foreign)?)
    } else {
        decision(&serde_json::from_slice(&body).map_err(foreign)?)
    };
    io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output)
}

fn question(args: &Args) -> String {
    let mut target = format!("/explain?url={}&method={}", http::encoded(&args.what), http::encoded(&args.method));
    let length = args.body_bytes.map(|bytes| format!("content-length:{bytes}"));
    for header in args.header.iter().chain(&length) {
        target += &format!("&header={}", http::encoded(header));
    }
    target
}

/// The line of a decision in a journal. Of several with one id, the newest.
fn kept(directory: &Path, id: &str) -> Result<String, CliError> {
    let wanted = u64::from_str_radix(id, 16).ok();
    let mut last = None;
    let read = reader::read(directory, |found| {
        if let Found::Line(line) = found
            && serde_json::from_str::<Line<'_>>(&line).is_ok_and(|l| u64::from_str_radix(&l.id, 16).ok() == wanted)
        {
            last = Some(line);
        }
    });
    read.map_err(|error| ReplayError::Unreadable(directory.to_owned(), error))?;
    last.ok_or_else(|| CliError::NotInJournal { id: id.to_owned(), directory: directory.to_owned() })
}

fn ask(address: &str, target: &str) -> Result<Vec<u8>, CliError> {
    let answer =
        http::get(address, target).map_err(|source| CliError::Unanswered { address: address.to_owned(), source })?;
    if answer.status == 200 {
        return Ok(answer.body);
    }
    // A problem document says what to do in `detail`; anything else is shown as it is, as far as a line goes.
    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).map(str::to_owned);
    let detail = detail.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).chars().take(200).collect());
    Err(CliError::Refused { address: address.to_owned(), status: answer.status, detail })
}

/// What would be decided now.
fn preview(e: &Explanation<'_>) -> String {
    let mut text = format!(
        "would go to {}: {}\n\n  {}, urgency {}, shadowing {}\n",
        e.target,
        meaning(&e.reason),
        job(e.route.as_deref(), &e.class),
        e.urgency,
        e.mode
    );
    text += &match e.plan.as_ref() {
        "direct" => format!("  plan direct, level {}: nothing is shadowed\n", e.level),
        plan => {
            let (on, window) = (list(&e.shadows), seconds(e.window_s));
            let (level, worth) = (&e.level, money(e.worth));
            format!("  plan {plan}, level {level}: shadows on {on} for at most {window}, worth {worth}\n")
        }
    };
    text += &model(e.model);
    let mut rows =
        vec![heading(&["network", "gates", "in flight", "waits", "predicted mean", "80 % interval", "cost"])];
    rows.extend(e.networks.iter().map(|network| row(network, &e.target)));
    text += &format!("\n{}", table(&rows));
    text + &tree_path(&e.tree_path)
}

/// What was decided.
fn decision(d: &Line<'_>) -> String {
    let mut text = format!(
        "job {} was answered by {}: {}\n\n  {}: {}, urgency {}, shadowing {}\n",
        d.id,
        d.target,
        meaning(&d.reason),
        d.time,
        job(d.route.as_deref(), &d.class),
        d.urgency,
        d.mode
    );
    let status = if d.status == 0 { "no status".to_owned() } else { d.status.to_string() };
    let (took, head) = (seconds(d.took_s), seconds(d.head_s));
    let (sent, got) = (bytes(d.request_bytes as f64), bytes(d.response_bytes as f64));
    // Writing into a string cannot fail.
    let _infallible =
        writeln!(text, "  {status}, {} in {took} (head after {head}); {sent} in, {got} out", spaced(&d.outcome));
    if let Some(ran_s) = d.ran_s {
        let _infallible =
            writeln!(text, "  it ran {} there, without its data's way and its client's waiting", seconds(ran_s));
    }
    let (plan, reason, level) = (&d.plan, &d.plan_reason, &d.level);
    let (shadows, worth, action) = (list(&d.shadows), money(d.worth), &d.action);
    let _infallible =
        writeln!(text, "  plan {plan} ({reason}), level {level}, worth {worth}; shadows on {shadows}; then {action}");
    for (network, seen) in &d.progress {
        let (share, source) = (100.0 * seen.share, &seen.source);
        let _infallible = writeln!(text, "  {network} was seen at {share:.0} % ({source})");
    }
    if let Some(inputs) = &d.inputs {
        let InputsLine { expected_bytes, warm_bytes, hits, misses, hit_bytes, missed_bytes, saved_s } = inputs;
        let saved = saved_s.map(|s| format!("; {s:.3} s less than cold ones of its class")).unwrap_or_default();
        let (all, all_bytes) = (hits + misses, hit_bytes + missed_bytes);
        let _infallible = writeln!(
            text,
            "  found {hits} of {all} inputs where it ran, {hit_bytes} of {all_bytes} bytes (expected {expected_bytes}, thought \
             to be there {warm_bytes}){saved}"
        );
    }
    text += &changed(d);
    if d.possibly_running > 0 {
        let _infallible = writeln!(text, "  {} given up on may still run", d.possibly_running);
    }
    text += &model(d.model);

    let mut names: Vec<&str> =
        d.eligible.iter().chain(d.predictions.keys()).chain(d.costs.keys()).map(AsRef::as_ref).collect();
    names.push(&d.target);
    names.sort_unstable();
    names.dedup();
    let mut rows = vec![heading(&["network", "gates", "predicted mean", "80 % interval", "cost"])];
    rows.extend(names.into_iter().map(|name| {
        let gates = if d.eligible.iter().any(|eligible| eligible == name) { "passed" } else { "shut" };
        let [mean, interval] = prediction(d.predictions.get(name));
        vec![marked(name, &d.target), gates.to_owned(), mean, interval, cost(d.costs.get(name).copied())]
    }));
    text += &format!("\n{}", table(&rows));
    text + &tree_path(&d.tree_path)
}

/// What shadows have changed, what it ran, and what its cost is made of.
fn changed(d: &Line<'_>) -> String {
    let mut text = String::new();
    if d.planned != d.target && !d.planned.is_empty() {
        let _infallible =
            writeln!(text, "  the plan leaned to {}; what came after moved it to {}", d.planned, d.target);
    }
    if let Some(ran_s) = d.ran_s {
        let _infallible = writeln!(text, "  ran {}; its client let it wait {}", seconds(ran_s), seconds(d.waited_s));
    }
    if let Some(t) = &d.terms {
        let terms = [
            ("waiting", t.waiting),
            ("moving", t.moving),
            ("running", t.running),
            ("resources", t.resources),
            ("congestion", t.congestion),
            ("crossing", t.crossing),
        ];
        let terms = terms.map(|(word, amount)| format!("{word} {}", money(amount)));
        let _infallible = writeln!(text, "  predicted cost there: {}", terms.join(", "));
    }
    text
}

fn row(network: &NetworkExplanation<'_>, target: &str) -> Vec<String> {
    let name = if network.home { format!("{} (home)", network.name) } else { network.name.to_string() };
    let mark = if network.name == target { "> " } else { "  " };
    let gates = network.shut.as_ref().map_or_else(|| "passed".to_owned(), |reason| format!("shut: {reason}"));
    let in_flight = match network.capacity {
        0 => network.in_flight.to_string(),
        capacity => format!("{} of {capacity}", network.in_flight),
    };
    let [mean, interval] = prediction(network.prediction.as_ref());
    let waits = seconds(network.waiting_s + network.rtt_s);
    vec![format!("{mark}{name}"), gates, in_flight, waits, mean, interval, cost(network.cost)]
}

fn heading(words: &[&str]) -> Vec<String> {
    words
        .iter()
        .enumerate()
        .map(|(place, word)| if place == 0 { format!("  {word}") } else { (*word).to_owned() })
        .collect()
}

fn marked(name: &str, target: &str) -> String {
    if name == target { format!("> {name}") } else { format!("  {name}") }
}

fn prediction(prediction: Option<&PredictionLine>) -> [String; 2] {
    let Some(p) = prediction else { return ["-".to_owned(), "-".to_owned()] };
    [seconds(p.mean_s), format!("{} to {}", seconds(p.p10_s), seconds(p.p90_s))]
}

fn cost(cost: Option<f64>) -> String {
    cost.map_or_else(|| "-".to_owned(), money)
}

fn job(route: Option<&str>, class: &str) -> String {
    match route {
        None => "no route".to_owned(),
        Some(route) if class.is_empty() => format!("route {route}"),
        Some(route) => format!("route {route}, class {class}"),
    }
}

fn model(version: u64) -> String {
    match version {
        0 => "  no model in force: home first, spill when it is full\n".to_owned(),
        version => format!("  model {version}\n"),
    }
}

fn tree_path(steps: &[String]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut text = "\n  path through the tree\n".to_owned();
    for step in steps {
        text += &format!("    {step}\n");
    }
    text
}

/// A reason's word, and what it means.
fn meaning(reason: &str) -> String {
    let means = match reason {
        "route_off" => "no route, or the route or the kill switch keeps adumbra out of it",
        "located" => "it is about an asynchronous job, which runs there",
        "last_hop" => "it came from another sidecar and runs where it lands",
        "no_model_home" => "there is no model yet, so home first",
        "spill" => "home is full and no model may act, so it was spilled",
        "residency" => "it may not leave a byte anywhere else",
        "health" => "the others are not healthy",
        "capacity" => "the others have no room",
        "spend" => "what may be spent on the others is spent",
        "guard" => "the fixed rule, spill when full, places some jobs so that the policy can be compared with it",
        "fallback" => "the policy was dearer than the fixed rule, spill when full, which places jobs for now",
        "bandwidth" => "the others cannot be reached in time over the link",
        "nothing_eligible" => "every gate was shut, so home all the same",
        "cheaper" => "the lowest predicted cost",
        "lead_confirmed" => "the evidence confirmed the lead",
        "switched" => "the evidence made it cheaper there",
        "lead_failed" => "the lead broke before it answered",
        "lead_answered" => "the lead answered first",
        "shadow_finished" => "its shadow had the whole answer first",
        "window_ended" => "the window ended and nothing spoke against it",
        "explore" => "a declared exploration, to learn",
        "failover" => "another network did not execute it, or it may be repeated",
        _ => return reason.to_owned(),
    };
    format!("{reason}, {means}")
}

fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests;
