//! `adumbra check`: every error of a configuration file, or what it says in a few lines, so that one can see whether it
//! says what one meant.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use config::Config;
use config::value::{Kind, LaneKind, Mode, Network, Route};

use super::words::{bytes, list, printable, table};
use super::{CliError, load};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Print a JSON schema of configurations, for editors that complete and check them while one writes
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let Some(file) = &args.file else {
        return io::stdout().write_all(super::schema::text().as_bytes()).map_err(CliError::Output);
    };
    let config = load(file)?;
    let text = format!("{} is valid\n\n{}", file.display(), summary(&config));
    io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output)
}

/// What a configuration says.
fn summary(config: &Config) -> String {
    let listen = &config.listen;
    let mut text = String::new();
    let mut say = |key: &str, value: &str| {
        // Writing into a string cannot fail.
        let _infallible = writeln!(text, "{key:<9}{value}");
    };
    let tls = if listen.tls.is_some() { "TLS" } else { "in the clear" };
    say("jobs", &format!("{} {tls}", listen.jobs));
    let proof = if config.identity.is_some() { "mutual TLS" } else { "in the clear" };
    say("peers", &listen.peers.map_or_else(|| "not taken".to_owned(), |address| format!("{address} {proof}")));
    say("egress", &listen.egress.map_or_else(|| "not offered".to_owned(), |address| address.to_string()));
    say("admin", &listen.admin.to_string());
    say("home", &config.network(config.home).name);
    say("lane", &lane(config));
    say("shadows", if config.shadow.enabled { "allowed" } else { "off: the kill switch is thrown" });
    let origins: Vec<_> = config.data.origins.iter().map(|o| format!("{}://{}:{}", o.scheme, o.host, o.port)).collect();
    say("data", &format!("{} in memory, fetched from {}", bytes(config.data.memory_bytes as f64), list(&origins)));
    let log = config.log.decisions.as_deref().map_or_else(|| "nowhere".to_owned(), |path| path.display().to_string());
    say("log", &format!("{log}; the latest {} are kept in memory", config.log.keep));

    text += "\nnetworks\n";
    text += &table(&config.networks.iter().map(network).collect::<Vec<_>>());
    text += "\nroutes, first match wins\n";
    if config.routes.is_empty() {
        text += "  none: every request goes to home, untouched\n";
    } else {
        text += &table(&config.routes.iter().map(route).collect::<Vec<_>>());
    }
    text
}

/// What shadows run on at home, and who can start it.
fn lane(config: &Config) -> String {
    match config.lane.kind {
        LaneKind::Shared => "shared: shadows at home run on the live service".to_owned(),
        LaneKind::Process => format!("process: {} workers, which only `adumbra run` can start", config.lane.workers),
        LaneKind::Address => {
            let replicas: Vec<_> = config.lane.upstreams.iter().map(ToString::to_string).collect();
            format!("address: shadows at home run on {}", list(&replicas))
        }
    }
}

fn network(network: &Network) -> Vec<String> {
    let endpoints: Vec<_> = network.endpoints.iter().map(ToString::to_string).collect();
    // Only home may have none.
    let endpoints = if endpoints.is_empty() { "started by `adumbra run`".to_owned() } else { list(&endpoints) };
    let kind = match network.kind {
        Kind::Upstream => "upstream",
        Kind::Sidecar => "sidecar",
    };
    let capacity = match network.capacity {
        0 => "capacity not known".to_owned(),
        capacity => format!("capacity {capacity}"),
    };
    let health = match &network.health.path {
        _ if network.kind == Kind::Sidecar => "answers for its own health".to_owned(),
        Some(path) => format!("asked at {path}"),
        None => "not asked for its health".to_owned(),
    };
    vec![network.name.clone(), kind.to_owned(), endpoints, capacity, health]
}

fn route(route: &Route) -> Vec<String> {
    let mode = match route.shadow {
        Mode::Off => "off",
        Mode::Observe => "observe",
        Mode::On => "on",
    };
    let path = if route.matches.path.is_empty() { "any path" } else { &route.matches.path };
    let methods = if route.matches.methods.is_empty() { "any method".to_owned() } else { list(&route.matches.methods) };
    let repeatable = if route.repeatable { "repeatable" } else { "safe methods only" };
    vec![
        route.name.clone(),
        format!("{methods} {path}"),
        format!("{mode} for {:.0} %", route.rollout * 100.0),
        repeatable.to_owned(),
    ]
}
