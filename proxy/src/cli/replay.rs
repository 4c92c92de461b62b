//! `adumbra replay`: what another configuration, or another model, would have decided on what really happened.
//!
//! It reads a journal and a configuration, plans each job again (`policy::replay`) and adds up. Both sides are priced by the
//! configuration that is tried, so that they differ by decisions and not by prices. What nobody saw is an interval, and
//! counted apart from what is known.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use config::value::Mode;
use policy::model::file::{self, Named, Surroundings};
use policy::replay::{Happened, Range, Seen, again};
use policy::{Model, NetworkId, NetworkSet, NetworkView, PerNetwork, ShadowMode, View};
use serde::Serialize;

use super::words::{money, printable, table};
use super::{CliError, load};
use crate::generation::Classes;
use crate::journal::entry::{Entry, JobEntry};
use crate::journal::reader::{Found, Lost, read};
use crate::oracle::names::{extracts, networks};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory that `journal.directory` named
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// The configuration to try
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The model to try, instead of those that were in force
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    /// The journal cannot be read.
    #[error("cannot read the journal in {}; `journal.directory` says where a sidecar keeps it", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// There are no jobs in it.
    #[error("there is no job in the journal in {}", .0.display())]
    Empty(PathBuf),
    /// It is another sidecar's.
    #[error("the journal's home is `{there}` and the configuration's is `{here}`: their jobs cannot be compared")]
    Home { there: String, here: String },
    /// The model cannot be used.
    #[error("{} is not a model that can be used with this configuration: {why}", path.display())]
    Model { path: PathBuf, why: String },
}

/// What it comes to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Replayed {
    jobs: u64,
    compared: u64,
    /// They came to no good end, so what they cost is not known.
    no_good_end: u64,
    /// They came from other sidecars, or were about asynchronous jobs: nothing was decided.
    not_decided: u64,
    /// The model that was in force is not in the journal any more.
    no_model: u64,
    /// Nothing was seen there, and nothing predicts it.
    nothing_known: u64,
    /// Of those compared: what they would have cost was seen.
    known: u64,
    /// Of those compared: it is only predicted.
    predicted: u64,
    happened_cost: f64,
    other_cost: f64,
    other_low: f64,
    other_high: f64,
    /// Jobs by where they went and where they would have gone.
    moves: BTreeMap<String, Move>,
    lost_bytes: u64,
    lost_segments: u64,
    unknown_entries: u64,
}

#[derive(Debug, Default, Serialize)]
struct Move {
    jobs: u64,
    known: u64,
    happened_cost: f64,
    other_cost: f64,
    other_low: f64,
    other_high: f64,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let config = load(&args.config)?;
    let replayed = replay(args, &config)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&replayed).unwrap_or_default() + "\n",
        false => text(&replayed),
    };
    io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output)
}

/// All that a journal says, in memory: it is bounded.
#[derive(Default)]
struct Read {
    /// With the number of the process that did them.
    jobs: Vec<(u64, JobEntry)>,
    labels: HashMap<(u64, u64), Vec<(String, f64)>>,
    models: HashMap<(u64, u64), Arc<Model>>,
    lost: Lost,
}

/// The configuration that is tried, with its own numbers for what has a name.
struct Tried<'a> {
    config: &'a Config,
    names: Vec<String>,
    classes: Classes,
}

fn replay(args: &Args, config: &Config) -> Result<Replayed, ReplayError> {
    let tried = Tried { config, names: networks(config), classes: Classes::default() };
    let given = match &args.model {
        Some(path) => Some(tried.model_of(path)?),
        None => None,
    };
    let read = tried.read(&args.journal)?;
    let mut all = Replayed {
        lost_bytes: read.lost.bytes,
        lost_segments: read.lost.segments,
        unknown_entries: read.lost.unknown,
        ..Replayed::default()
    };
    for (instance, job) in &read.jobs {
        let here = &config.network(config.home).name;
        if job.view.home != *here {
            return Err(ReplayError::Home { there: job.view.home.clone(), here: here.clone() });
        }
        let labels = read.labels.get(&(*instance, job.id)).map_or(&[][..], Vec::as_slice);
        let model = given.as_ref().or_else(|| read.models.get(&(*instance, job.model)));
        all.add(&tried, job, labels, model.map(Arc::as_ref));
    }
    if all.jobs == 0 {
        return Err(ReplayError::Empty(args.journal.clone()));
    }
    Ok(all)
}

impl Tried<'_> {
    fn place(&self, name: &str) -> Option<NetworkId> {
        self.names.iter().position(|known| known == name).and_then(NetworkId::new)
    }

    fn bind(&self, named: &Named) -> Result<Model, String> {
        let around = Surroundings { networks: &self.names, extracts: &extracts(self.config) };
        let bound = named.bind(self.config.home, around, |name| Some(self.classes.id(&name.route, &name.class)));
        bound.map_err(|misfit| misfit.to_string())
    }

    fn model_of(&self, path: &Path) -> Result<Arc<Model>, ReplayError> {
        let wrong = |why: String| ReplayError::Model { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let named = file::read(&text).map_err(|error| wrong(error.to_string()))?;
        self.bind(&named).map(Arc::new).map_err(wrong)
    }

    fn read(&self, directory: &Path) -> Result<Read, ReplayError> {
        let mut all = Read::default();
        let mut instance = 0;
        let lost = read(directory, |found| match found {
            Found::Entry(Entry::Begins(begins)) => instance = begins.instance,
            Found::Entry(Entry::Job(job)) => all.jobs.push((instance, *job)),
            Found::Entry(Entry::Label(label)) => {
                if let Some(took_s) = label.took_s {
                    all.labels.entry((instance, label.id)).or_default().push((label.network, took_s));
                }
            }
            Found::Model(text) => {
                // One that does not fit this configuration is as good as none.
                if let Some(model) = file::read(&text).ok().and_then(|named| self.bind(&named).ok()) {
                    all.models.insert((instance, model.version()), Arc::new(model));
                }
            }
            Found::Entry(Entry::Configuration { .. }) | Found::Line(_) => {}
        });
        all.lost = lost.map_err(|error| ReplayError::Unreadable(directory.to_owned(), error))?;
        Ok(all)
    }

    /// The job as this configuration's route would have it.
    fn job(&self, entry: &JobEntry) -> policy::Job {
        let class = self.classes.id(&entry.class.0, &entry.class.1);
        let mut job = entry.job.read(class, &|name| self.place(name));
        let route = entry.route.as_ref();
        let Some(route) = route.and_then(|name| self.config.routes.iter().find(|route| route.name == *name)) else {
            job.mode = ShadowMode::Off;
            return job;
        };
        let asked = match route.shadow {
            Mode::Off => ShadowMode::Off,
            Mode::Observe => ShadowMode::Observe,
            Mode::On => ShadowMode::On,
        };
        job.mode = policy::job::mode(asked, route.rollout, self.config.shadow.enabled, job.draw);
        job.urgency = job.urgency.clamp_between(route.urgency_most, route.urgency_least);
        job.residency = route.residency;
        job.hold = route.hold;
        job
    }

    /// The networks as they were seen, at this configuration's prices and with what it says of them.
    fn view(&self, seen: PerNetwork<NetworkView>) -> View {
        let mut state = seen;
        for id in self.config.network_ids() {
            let said = self.config.network(id);
            state[id].price = said.price;
            if said.capacity > 0 {
                state[id].capacity = said.capacity;
            }
            if said.link_bytes_per_s > 0.0 {
                state[id].link_bytes_per_s = said.link_bytes_per_s;
            }
        }
        View {
            home: self.config.home,
            networks: self.config.network_ids().collect(),
            state,
            pricing: self.config.pricing,
            shadowing: self.config.shadow.limits,
        }
    }
}

impl Replayed {
    fn add(&mut self, tried: &Tried<'_>, entry: &JobEntry, labels: &[(String, f64)], model: Option<&Model>) {
        self.jobs += 1;
        let place = |name: &str| tried.place(name);
        let job = tried.job(entry);
        let Some(target) = place(&entry.target).filter(|_| !job.last_hop && job.located.is_none()) else {
            self.not_decided += 1;
            return;
        };
        if model.is_none() && entry.model != 0 {
            self.no_model += 1;
            return;
        }
        let mut took_s = PerNetwork::default();
        labels.iter().for_each(|(name, seconds)| {
            if let Some(network) = place(name) {
                took_s[network] = Some(*seconds);
            }
        });
        took_s[target] = entry.ran_s.or(took_s[target]);
        if took_s[target].is_none() {
            self.no_good_end += 1;
            return;
        }
        let shadows: NetworkSet = entry.plan.contested(&place);
        let happened = Happened { job, arm: entry.arm(), target, shadows, took_s };
        let seen = entry.seen.as_ref().map(|seen| {
            let (evidence, forked_s, at_s, state) = seen.read(&place);
            Seen { evidence, forked_s, at_s, view: tried.view(state) }
        });
        let view = tried.view(entry.view.read(&place));
        let replayed = again(&happened, seen.as_ref(), &view, model);
        let (Some(cost), Some(other)) = (replayed.cost, replayed.other) else {
            self.nothing_known += 1;
            return;
        };
        let to = tried.names.get(replayed.answered.index()).map_or("?", String::as_str);
        self.count(&format!("{} -> {to}", entry.target), cost.mean, other, replayed.is_known);
    }

    fn count(&mut self, route: &str, cost: f64, other: Range, is_known: bool) {
        self.compared += 1;
        self.known += u64::from(is_known);
        self.predicted += u64::from(!is_known);
        self.happened_cost += cost;
        self.other_cost += other.mean;
        self.other_low += other.low;
        self.other_high += other.high;
        let moved = self.moves.entry(route.to_owned()).or_default();
        moved.jobs += 1;
        moved.known += u64::from(is_known);
        moved.happened_cost += cost;
        moved.other_cost += other.mean;
        moved.other_low += other.low;
        moved.other_high += other.high;
    }
}

fn text(r: &Replayed) -> String {
    let mut text = format!("{} jobs, of which {} can be compared\n", r.jobs, r.compared);
    let reasons = [
        (r.no_good_end, "came to no good end, so nobody knows what they cost"),
        (r.not_decided, "were not decided here"),
        (r.no_model, "were planned by a model that is not in the journal; give one with --model"),
        (r.nothing_known, "would have gone where nothing was seen and nothing is predicted"),
    ];
    for (count, why) in reasons.into_iter().filter(|(count, _)| *count > 0) {
        // Writing into a string cannot fail.
        let _infallible = writeln!(text, "  {count} {why}");
    }
    if r.lost_bytes > 0 || r.unknown_entries > 0 {
        let _infallible = writeln!(
            text,
            "  {} bytes at the ends of {} segments are torn or damaged, and {} entries are not known here",
            r.lost_bytes, r.lost_segments, r.unknown_entries
        );
    }
    let (low, high) = (money(r.other_low), money(r.other_high));
    let _infallible = writeln!(
        text,
        "\nat the prices of this configuration\n  what happened cost   {}\n  this would have cost {}, between {low} and {high}\n  known of {} jobs, predicted of {}\n",
        money(r.happened_cost),
        money(r.other_cost),
        r.known,
        r.predicted
    );
    let heading = ["went -> would go", "jobs", "known", "cost", "would cost", "between"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(r.moves.iter().map(|(route, moved)| {
        vec![
            route.clone(),
            moved.jobs.to_string(),
            moved.known.to_string(),
            money(moved.happened_cost),
            money(moved.other_cost),
            format!("{} and {}", money(moved.other_low), money(moved.other_high)),
        ]
    }));
    text + &table(&rows)
}
