//! Text into a model, or the first thing that is wrong with it.
//!
//! From the outside in: size, first line, version, end, checksum, and only then what it says. So a file that was cut off
//! is said to be cut off, not to have a strange number in it.

use super::document::{
    CHECKSUM_BYTES, CalibrationForm, ClassForm, Document, ExtractsForm, LeafForm, NodeForm, RatioForm, Side, digest,
    schema,
};
use super::{
    BadFile, BadNode, CLASSES_MOST, ClassName, Extracts, FILE_BYTES_MOST, FORMAT, NAME_BYTES_MOST, Named, ROUTES_MOST,
};
use crate::job::EXTRACTED;
use crate::model::features::NAMES;
use crate::model::tree::{Leaf, Node, Shape, Tree};
use crate::model::{Calibration, ClassFacts, Model, Parts, Ratio};
use crate::units::{ClassId, MAX_NETWORKS, NetworkId, NetworkSet, PerNetwork};

/// How the first line begins.
const BEGINS: &str = "{\"adumbra_model\":";
/// What stands between the version and the checksum.
const BETWEEN: &str = ",\"checksum\":\"sha256:";
/// How the file ends; nothing else in it looks like that.
const ENDS: &str = "\n}\n";

/// The most of anything that is counted: what a 64-bit float still counts by ones.
const COUNT_MOST: u64 = 1 << 53;
/// The largest logarithm of a ratio: labels of a nanosecond and of thirty years are 41 apart.
const LOG_MOST: f64 = 100.0;
/// Seconds that a home-equivalent time may have; times any ratio it stays a number that can be reckoned with.
const SECONDS: std::ops::RangeInclusive<f64> = 1e-60..=1e60;
/// The most of a resource.
const RESOURCE_MOST: f64 = 1e70;

/// Reads a file. What comes back is checked whole.
pub fn read(text: &str) -> Result<Named, BadFile> {
    framed(text)?;
    let document: Document = serde_json::from_str(text).map_err(BadFile::Malformed)?;
    if document.schema != schema() {
        return Err(BadFile::Schema(shown(&document.schema), schema()));
    }
    named(document)
}

/// `text` with the checksum of what it says now, for whoever has edited it, or wants to know what else is wrong; `None` if
/// it has no place for one.
#[must_use]
pub fn sealed(text: &str) -> Option<String> {
    let (line, body) = text.split_once('\n')?;
    let before = &line[..line.find(BETWEEN)? + BETWEEN.len()];
    Some(format!("{before}{}\",\n{body}", digest(body.as_bytes(), CHECKSUM_BYTES)))
}

/// Checks the size, the first line, the end and the checksum.
fn framed(text: &str) -> Result<(), BadFile> {
    if text.len() > FILE_BYTES_MOST {
        return Err(BadFile::TooLarge(text.len()));
    }
    let after = text.strip_prefix(BEGINS).ok_or(BadFile::Foreign)?;
    let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let format: u64 = after[..digits].parse().map_err(|_| BadFile::Foreign)?;
    if format != FORMAT {
        return Err(BadFile::Format(format));
    }
    let after = after[digits..].strip_prefix(BETWEEN).ok_or(BadFile::Foreign)?;
    let (line, body) = after.split_once('\n').ok_or(BadFile::Truncated)?;
    let said = line.strip_suffix("\",").ok_or(BadFile::Foreign)?;
    if !body.ends_with(ENDS) {
        return Err(BadFile::Truncated);
    }
    let is = digest(body.as_bytes(), CHECKSUM_BYTES);
    if said == is { Ok(()) } else { Err(BadFile::Checksum { said: shown(said), is }) }
}

/// A checksum as far as one can be long.
fn shown(said: &str) -> String {
    said.chars().take(2 * CHECKSUM_BYTES).collect()
}

fn named(document: Document) -> Result<Named, BadFile> {
    let networks = document.networks;
    let routes_fit = document.extracts.len() <= ROUTES_MOST;
    if document.classes.len() > CLASSES_MOST || networks.len() > MAX_NETWORKS || !routes_fit {
        return Err(BadFile::Crowded);
    }
    check_names(networks.iter().map(String::as_str))?;
    let home = network_at(&networks, &document.home, || "`home`".to_owned())?;
    let extracts = document.extracts.into_iter().map(extracts).collect::<Result<Vec<_>, _>>()?;
    check_names(extracts.iter().map(|extracts| extracts.route.as_str()))?;
    let tree = tree(document.nodes, document.leaves)?;
    let (names, classes) = classes(document.classes, &networks)?;
    let model = Model::new(Parts {
        version: counted("version", document.version)?,
        rows: counted("rows", document.rows)? as usize,
        learned_until: 0,
        home,
        tree,
        classes,
        stranger: ratios(&document.stranger, &networks, || "`stranger`".to_owned())?,
        calibration: calibration(&document.calibration)?,
    });
    let made_unix_s = counted("made_unix_s", document.made_unix_s)?;
    Ok(Named { model, networks, classes: names, extracts, made_unix_s })
}

fn counted(what: &'static str, is: u64) -> Result<u64, BadFile> {
    if is <= COUNT_MOST { Ok(is) } else { Err(BadFile::Count { what, is, most: COUNT_MOST }) }
}

/// Names are there, short, and each of them once.
fn check_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<(), BadFile> {
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    if let Some(name) = sorted.iter().find(|name| name.is_empty() || name.len() > NAME_BYTES_MOST) {
        return Err(BadFile::Name((*name).to_owned()));
    }
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(BadFile::Repeated(pair[0].to_owned())),
        None => Ok(()),
    }
}

fn network_at(networks: &[String], name: &str, at: impl Fn() -> String) -> Result<NetworkId, BadFile> {
    let place = networks.iter().position(|network| network == name).and_then(NetworkId::new);
    place.ok_or_else(|| BadFile::Network { at: at(), network: name.to_owned() })
}

fn extracts(form: ExtractsForm) -> Result<Extracts, BadFile> {
    if form.names.len() > EXTRACTED {
        let (is, most) = (form.names.len() as u64, EXTRACTED as u64);
        return Err(BadFile::Count { what: "the number of a route's `names`", is, most });
    }
    check_names(form.names.iter().map(String::as_str))?;
    Ok(Extracts { route: form.route, names: form.names })
}

fn classes(forms: Vec<ClassForm>, networks: &[String]) -> Result<(Vec<ClassName>, Vec<ClassFacts>), BadFile> {
    let (mut names, mut facts): (Vec<ClassName>, Vec<ClassFacts>) = (Vec::new(), Vec::new());
    for (place, form) in forms.into_iter().enumerate() {
        let name = ClassName { route: form.route, class: form.class };
        if name.route.is_empty() || name.route.len() > NAME_BYTES_MOST || name.class.len() > NAME_BYTES_MOST {
            return Err(BadFile::Name(format!("{}/{}", name.route, name.class)));
        }
        let at = || format!("class {place}");
        // As they are written: in order, so that two files can be compared and none is there twice.
        if names.last().is_some_and(|before| *before >= name) {
            return Err(BadFile::Unordered(place));
        }
        let code = match form.log_s {
            None => f32::NAN,
            Some(code) if code.abs() <= LOG_MOST => code as f32,
            Some(_) => return Err(BadFile::Code(at())),
        };
        let ratios = ratios(&form.ratios, networks, at)?;
        facts.push(ClassFacts { class: ClassId(place as u16), code, ratios });
        names.push(name);
    }
    Ok((names, facts))
}

fn ratios(forms: &[RatioForm], networks: &[String], at: impl Fn() -> String) -> Result<PerNetwork<Ratio>, BadFile> {
    let mut ratios = PerNetwork([Ratio::unknown(); MAX_NETWORKS]);
    let mut said = NetworkSet::EMPTY;
    for form in forms {
        let network = network_at(networks, &form.network, &at)?;
        if said.contains(network) {
            return Err(BadFile::Repeated(form.network.clone()));
        }
        said = said.with(network);
        if !(form.log.abs() <= LOG_MOST && (0.0..=LOG_MOST).contains(&form.doubt)) {
            return Err(BadFile::Ratio(at()));
        }
        let RatioForm { log, doubt, labels, pairs, .. } = *form;
        ratios[network] = Ratio { log, doubt, labels, pairs };
    }
    Ok(ratios)
}

fn calibration(form: &CalibrationForm) -> Result<Calibration, BadFile> {
    let CalibrationForm { outcomes, log_error, covered_before, widened } = *form;
    let sound = (0.0..=LOG_MOST).contains(&log_error)
        && (0.0..=1.0).contains(&covered_before)
        && widened.abs() <= LOG_MOST
        && outcomes <= COUNT_MOST;
    if !sound {
        return Err(BadFile::Calibration);
    }
    Ok(Calibration { outcomes: outcomes as usize, log_error, covered_before, widened })
}

fn tree(nodes: Vec<NodeForm>, leaves: Vec<LeafForm>) -> Result<Tree, BadFile> {
    let nodes = nodes.iter().enumerate().map(|(place, form)| node(form).map_err(|why| BadFile::Node(place, why)));
    let shape = Shape::new(nodes.collect::<Result<Vec<_>, _>>()?)?;
    if leaves.len() != shape.leaves() {
        return Err(BadFile::Leaves { leaves: leaves.len(), asked: shape.leaves() });
    }
    let leaves = leaves.iter().enumerate().map(|(place, form)| leaf(form).ok_or(BadFile::Figures(place)));
    Ok(Tree::new(shape, leaves.collect::<Result<Vec<_>, _>>()?)?)
}

fn node(form: &NodeForm) -> Result<Node, BadNode> {
    match form {
        NodeForm { feature: None, up_to: None, missing: None, left: None, leaf: Some(leaf) } => {
            Ok(Node::Leaf { leaf: *leaf })
        }
        NodeForm { feature: Some(name), up_to: Some(up_to), missing: Some(missing), left: Some(left), leaf: None } => {
            let feature = NAMES.iter().position(|known| known == name);
            let feature = feature.ok_or_else(|| BadNode::Feature(name.clone()))? as u8;
            let threshold = *up_to as f32;
            if !threshold.is_finite() {
                return Err(BadNode::Threshold);
            }
            Ok(Node::Split { feature, threshold, missing_left: *missing == Side::Left, left: *left })
        }
        _ => Err(BadNode::Neither),
    }
}

/// The leaf, if each of its figures is one that can be reckoned with. Their order is the tree's own check.
fn leaf(form: &LeafForm) -> Option<Leaf> {
    let LeafForm { mean_s, quantiles_s, cpu_s, memory_bytes, response_bytes, labels, censored } = *form;
    let times = quantiles_s.iter().chain([&mean_s]).all(|seconds| SECONDS.contains(seconds));
    let uses =
        [cpu_s, memory_bytes, response_bytes].into_iter().flatten().all(|use_| (0.0..=RESOURCE_MOST).contains(&use_));
    (times && uses).then_some(Leaf { mean_s, quantiles_s, cpu_s, memory_bytes, response_bytes, labels, censored })
}
