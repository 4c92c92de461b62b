//! `adumbra model`: make a model from jobs that were recorded, look at one, check one, compare two.
//!
//! All of it works on files, without a sidecar. What a file says is in `docs/model.md`; how it is read, in
//! `policy::model::file`, which the sidecar uses too, so a file that is valid here is valid there.

mod compare;
mod csv;
mod rows;
mod show;
mod train;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use policy::learn::Refused;
use policy::model::file::{self, BadFile, Named};

use super::CliError;
use super::words::printable;
use crate::oracle::shelf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Grow a model from jobs in CSV files, and say how well it predicts those it has not seen
    Train(train::Args),
    /// Show a model: its tree, what tells the networks apart, how well it is calibrated
    Show(show::Args),
    /// Say everything that is wrong with a model file; exit with 0 if nothing is
    Verify(verify::Args),
    /// Say what has changed from one model to another: questions, ratios, predictions
    Diff(compare::Args),
}

/// Why a model command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ModelError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// A file is not a model.
    #[error("{} is not a model that can be used", .0.display())]
    NotAModel(PathBuf, #[source] BadFile),
    /// A column is missing.
    #[error("{} has no column `{}`; its first line has to name `class` and `service_s` at least: see docs/model.md", .0.display(), .1)]
    NoColumn(PathBuf, &'static str),
    /// Rows that cannot be used.
    #[error("{0} rows cannot be used, and are said above; mend them, or leave them out with --skip-bad")]
    BadRows(usize),
    /// More rows than fit.
    #[error("there are more than {} rows; give fewer files", rows::ROWS_MOST)]
    TooManyRows,
    /// More classes than fit.
    #[error(
        "there are more than {} classes; jobs of a class should be alike, and each needs jobs to learn from",
        file::CLASSES_MOST
    )]
    TooManyClasses,
    /// Nobody said which route jobs come by.
    #[error(
        "say --route NAME: which route of the sidecar's configuration these jobs come by, or name it in a column `route`"
    )]
    NoRoute,
    /// The configuration has no such route.
    #[error("the configuration has no route `{0}`, so no job would be of that class")]
    UnknownRoute(String),
    /// Too many networks.
    #[error("the rows name more than {} networks", policy::MAX_NETWORKS)]
    TooManyNetworks,
    /// Nothing was grown.
    #[error("no model was made")]
    Refused(#[from] Refused),
    /// The file is there.
    #[error("{} is there already; give another name, or --force", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {}", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    /// There is no class of that name.
    #[error("there is no class `{0}` in the model; without --class all are listed")]
    NoClass(String),
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let (text, code) = match &args.command {
        Command::Train(args) => (train::run(args)?, ExitCode::SUCCESS),
        Command::Show(args) => (show::run(args)?, ExitCode::SUCCESS),
        Command::Verify(args) => verify::run(args)?,
        Command::Diff(args) => (compare::run(args)?, ExitCode::SUCCESS),
    };
    io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output)?;
    Ok(code)
}

/// The model in a file.
fn read(path: &Path) -> Result<Named, ModelError> {
    let text = shelf::text(path).map_err(|error| ModelError::Unreadable(path.to_owned(), error))?;
    file::read(&text).map_err(|bad| ModelError::NotAModel(path.to_owned(), bad))
}

/// A moment, in UTC.
fn moment(unix_s: u64) -> String {
    let mut text = Vec::new();
    crate::record::rfc3339(unix_s.saturating_mul(1000), &mut text);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    // To the second.
    text.truncate(text.len() - ".000Z".len());
    text + "Z"
}

/// A class's name in one word.
fn class_word(name: &file::ClassName) -> String {
    if name.class.is_empty() { name.route.clone() } else { format!("{}/{}", name.route, name.class) }
}
