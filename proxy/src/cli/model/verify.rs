//! `adumbra model verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use policy::model::file::{self, BadFile, Surroundings};

use super::{CliError, ModelError, class_word};
use crate::oracle::{names, shelf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A sidecar's configuration, to see whether the model fits it too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is wrong, one fault a line; 1 if anything is.
pub(super) fn run(args: &Args) -> Result<(String, ExitCode), CliError> {
    let text = shelf::text(&args.file).map_err(|error| ModelError::Unreadable(args.file.clone(), error))?;
    let shown = args.file.display();
    let named = match file::read(&text) {
        Ok(named) => named,
        Err(bad) => {
            let mut said = format!("{shown}: {}\n", shelf::chain(&bad));
            // What is behind a checksum that does not fit may be wrong as well.
            let sealed = file::sealed(&text).filter(|_| matches!(bad, BadFile::Checksum { .. }));
            if let Some(Err(behind)) = sealed.map(|text| file::read(&text)) {
                said += &format!("{shown}: {}\n", shelf::chain(&behind));
            }
            return Ok((said, ExitCode::FAILURE));
        }
    };
    let (rows, classes) = (named.model().rows(), named.classes().len());
    let valid = format!("{shown} is a valid model of {rows} rows and {classes} classes");
    let Some(path) = &args.config else { return Ok((valid + "\n", ExitCode::SUCCESS)) };
    let config = super::super::load(path)?;
    let (networks, extracts) = (names::networks(&config), names::extracts(&config));
    let misfits = named.misfits(config.home, Surroundings { networks: &networks, extracts: &extracts });
    if !misfits.is_empty() {
        let said = misfits.iter().map(|misfit| format!("{shown}: {misfit}\n")).collect();
        return Ok((said, ExitCode::FAILURE));
    }
    let mut said = format!("{valid}, and fits {}\n", path.display());
    let gone = named
        .classes()
        .iter()
        .filter(|class| class.route != names::UNROUTED && !config.routes.iter().any(|route| route.name == class.route));
    for class in gone {
        said += &format!("  class {} has no route there, and is left out\n", class_word(class));
    }
    for network in networks.iter().filter(|network| !named.networks().contains(network)) {
        said += &format!("  network {network} is not in the model, and is taken to be like home until it has labels\n");
    }
    Ok((said, ExitCode::SUCCESS))
}
