//! `adumbra model show`.

use std::fmt::Write as _;
use std::path::PathBuf;

use policy::model::describe;
use policy::model::file::Named;
use policy::{ClassId, NetworkId};

use super::super::words::table;
use super::{CliError, ModelError, class_word, moment, read};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only what concerns one class: `route/class`, or `route` if it has no classes
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<String, CliError> {
    let named = read(&args.file)?;
    let class = match &args.class {
        None => None,
        Some(word) => {
            let place = named.classes().iter().position(|name| class_word(name) == *word);
            Some(ClassId(place.ok_or_else(|| ModelError::NoClass(word.clone()))? as u16))
        }
    };
    Ok(shown(&named, class))
}

fn shown(named: &Named, class: Option<ClassId>) -> String {
    let model = named.model();
    let (size, calibration) = (model.size(), model.calibration());
    let mut text = String::new();
    let mut say = |key: &str, value: String| writeln!(text, "{key:<10}{value}").expect("a string takes text");
    say("version", format!("{}, of {}", model.version(), moment(named.made_unix_s())));
    say("rows", format!("{} of {} classes", model.rows(), named.classes().len()));
    say("networks", format!("{}; home is {}", named.networks().join(", "), named.home()));
    say(
        "held out",
        format!(
            "{} outcomes: mean absolute log error {:.3}; {:.1} % fell into the interval of 80 %, which was then {} by a factor of {:.2}",
            calibration.outcomes,
            calibration.log_error,
            calibration.covered_before * 100.0,
            if calibration.widened < 0.0 { "narrowed" } else { "widened" },
            calibration.widened.abs().exp(),
        ),
    );
    say("tree", format!("{} nodes, {} leaves, at most {} questions deep", size.nodes, size.leaves, size.depth));
    for extracts in named.extracts() {
        let numbered = extracts.names.iter().enumerate().map(|(place, name)| format!("x_{place} is {name}"));
        say("extracts", format!("{}: {}", extracts.route, numbered.collect::<Vec<_>>().join(", ")));
    }
    text += "\nhow many times as long as at home, within a factor; labels, of these paired\n";
    text += &ratios(named, class);
    text += match class {
        Some(_) => "\nthe tree, as this class meets it\n",
        None => "\nthe tree\n",
    };
    for line in describe::tree(model, class) {
        text += &format!("  {line}\n");
    }
    text
}

/// What tells the networks apart, class by class.
fn ratios(named: &Named, only: Option<ClassId>) -> String {
    let model = named.model();
    let networks = || (0..named.networks().len()).filter_map(NetworkId::new);
    let name = |network: NetworkId| named.networks()[network.index()].clone();
    let mut heading = vec!["class".to_owned()];
    heading.extend(networks().map(name));
    let mut rows = vec![heading];
    for (place, class) in named.classes().iter().enumerate() {
        let id = ClassId(place as u16);
        if only.is_some_and(|only| only != id) {
            continue;
        }
        let mut row = vec![class_word(class)];
        row.extend(networks().map(|network| {
            let ratio = model.ratio(id, network);
            if name(network) == named.home() {
                return format!("1 (home); {}", ratio.labels);
            }
            format!("{:.2} /× {:.2}; {}, {}", ratio.log.exp(), ratio.doubt.exp(), ratio.labels, ratio.pairs)
        }));
        rows.push(row);
    }
    let mut stranger = vec!["any other".to_owned()];
    stranger.extend(networks().map(|network| {
        let ratio = model.ratio(ClassId(u16::MAX), network);
        if name(network) == named.home() {
            "1 (home)".to_owned()
        } else {
            format!("{:.2} /× {:.2}", ratio.log.exp(), ratio.doubt.exp())
        }
    }));
    rows.push(stranger);
    table(&rows)
}
