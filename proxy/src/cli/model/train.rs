//! `adumbra model train`.
//!
//! How well it predicts is said of jobs that it has not seen: the last fifth is held out, by whole runs of a workflow where
//! rows name one, since the tasks of one run are too much alike. The model that is written has then learned from all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use policy::Model;
use policy::learn::{Label, Row, Window, refit};
use policy::model::file::{self, Named, Surroundings};

use super::rows::{Recorded, Recording, Terms};
use super::{CliError, ModelError};
use crate::oracle::names;

/// The share of the rows that is held out.
const HELD_OUT: f64 = 0.2;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// CSV, plain or gzip, with a line that names the columns: `class` and `service_s` at least; see docs/model.md
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the model is written
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// The sidecar's configuration: its networks, home, routes and what they extract
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The route of rows that do not name one in a column `route`
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// The network of rows that do not name one in a column `network`, where there is no configuration
    #[arg(long, value_name = "NAME", default_value = "private")]
    home: String,
    /// Rows of the newest jobs that are learned from; rare classes keep theirs
    #[arg(long, value_name = "ROWS", default_value_t = 100_000)]
    window: usize,
    /// Leave out rows that cannot be used
    #[arg(long)]
    skip_bad: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<String, CliError> {
    if args.output.exists() && !args.force {
        return Err(ModelError::Exists(args.output.clone()).into());
    }
    let mut recording = Recording::new(terms(args)?);
    for path in &args.files {
        recording.add(path)?;
    }
    if recording.bad > 0 && !args.skip_bad {
        return Err(ModelError::BadRows(recording.bad).into());
    }
    let home = recording.home();
    let (seen, unseen) = split(&recording.rows);
    let judged = refit(&window(&seen, args.window), home, None).ok().map(|model| Judged::of(&model, &unseen));
    let all: Vec<&Row> = recording.rows.iter().map(|recorded| &recorded.row).collect();
    let model = refit(&window(&all, args.window), home, None).map_err(ModelError::Refused)?;
    let extracts = recording.extracts();
    let around = Surroundings { networks: recording.networks(), extracts: &extracts };
    let made_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let named = Named::of(&model, around, |class| recording.classes.get(usize::from(class.0)).cloned(), made_unix_s);
    write(&args.output, &file::write(&named)).map_err(|error| ModelError::Unwritable(args.output.clone(), error))?;
    Ok(said(args, &recording, &model, judged.as_ref()))
}

/// What is known before the first row.
fn terms(args: &Args) -> Result<Terms, CliError> {
    let Some(path) = &args.config else {
        let home = policy::NetworkId::new(0).expect("there may be a first network");
        return Ok(Terms { networks: vec![args.home.clone()], home, route: args.route.clone(), routes: None });
    };
    let config = super::super::load(path)?;
    let extracts = names::extracts(&config);
    let routes = config.routes.iter().map(|route| {
        let of = extracts.iter().find(|extracts| extracts.route == route.name);
        of.cloned().unwrap_or(file::Extracts { route: route.name.clone(), names: Vec::new() })
    });
    let only = config.routes.first().filter(|_| config.routes.len() == 1).map(|route| route.name.clone());
    Ok(Terms {
        networks: names::networks(&config),
        home: config.home,
        route: args.route.clone().or(only),
        routes: Some(routes.collect()),
    })
}

/// The rows to learn from and those to be judged on: the last fifth, and of it whole groups.
fn split(rows: &[Recorded]) -> (Vec<&Row>, Vec<&Row>) {
    let cut = rows.len() - (rows.len() as f64 * HELD_OUT) as usize;
    let begun: BTreeSet<u32> = rows[..cut].iter().filter_map(|recorded| recorded.group).collect();
    let is_seen = |(place, recorded): (usize, &Recorded)| match recorded.group {
        Some(group) => begun.contains(&group),
        None => place < cut,
    };
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    for (place, recorded) in rows.iter().enumerate() {
        if is_seen((place, recorded)) { seen.push(&recorded.row) } else { unseen.push(&recorded.row) }
    }
    (seen, unseen)
}

fn window(rows: &[&Row], capacity: usize) -> Window {
    let mut window = Window::new(capacity);
    for row in rows {
        window.push(**row).expect("rows that cannot be true were left out");
    }
    window
}

/// How well a model predicts rows that it has not seen.
#[derive(Clone, Copy, Debug)]
struct Judged {
    rows: usize,
    log_error: f64,
    log_rmse: f64,
    covered: f64,
}

impl Judged {
    fn of(model: &Model, rows: &[&Row]) -> Self {
        let (mut error, mut squares, mut inside, mut n) = (0.0, 0.0, 0.0, 0.0);
        for row in rows {
            let Label::Took(seconds) = row.label else { continue };
            let [low, _, median, _, high] = model.predict(&row.job, row.network).quantiles_s;
            let off = (seconds / median).ln();
            error += off.abs();
            squares += off * off;
            inside += f64::from(u8::from((low..=high).contains(&seconds)));
            n += 1.0;
        }
        Self { rows: n as usize, log_error: error / n, log_rmse: f64::sqrt(squares / n), covered: inside / n }
    }
}

/// Writes a file beside its place and moves it there, so that there is never half of one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A sidecar that runs as somebody else is to read it.
    let mode = Permissions::from_mode(0o644);
    let mut unfinished = tempfile::Builder::new().permissions(mode).tempfile_in(directory)?;
    unfinished.write_all(text.as_bytes())?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path).map(drop).map_err(|error| error.error)
}

fn said(args: &Args, recording: &Recording, model: &Model, judged: Option<&Judged>) -> String {
    let mut text = String::new();
    let mut say = |key: &str, value: String| writeln!(text, "{key:<10}{value}").expect("a string takes text");
    say("written", args.output.display().to_string());
    let bad = if recording.bad > 0 { format!("; {} left out", recording.bad) } else { String::new() };
    let (rows, classes) = (recording.rows.len(), recording.classes.len());
    say("rows", format!("{rows} of {classes} classes on {}{bad}", recording.networks().join(", ")));
    let size = model.size();
    say("tree", format!("{} leaves, at most {} questions deep, from {} rows", size.leaves, size.depth, model.rows()));
    match judged {
        Some(judged) if judged.rows > 0 => {
            let Judged { rows, log_error, log_rmse, covered } = *judged;
            let percent = covered * 100.0;
            say(
                "unseen",
                format!(
                    "{rows} rows, by a model of the others: mean absolute log error {log_error:.3}, log RMSE {log_rmse:.3}"
                ),
            );
            say("coverage", format!("{percent:.1} % of them within their interval of 80 %"));
        }
        _ => say("unseen", "too few rows to hold any out".to_owned()),
    }
    text
}
