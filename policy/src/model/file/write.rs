//! A model into text: one line for each class, node and leaf, so that two files can be compared line by line.

use serde::Serialize;

use super::document::{
    CHECKSUM_BYTES, CalibrationForm, ClassForm, ExtractsForm, LeafForm, NodeForm, RatioForm, Side, digest, schema,
};
use super::{FORMAT, Named};
use crate::model::Ratio;
use crate::model::features::NAMES;
use crate::model::tree::{Leaf, Node};
use crate::units::{NetworkId, PerNetwork};

/// The file. The first line holds the checksum of all that follows it.
#[must_use]
pub fn write(named: &Named) -> String {
    let body = body(named);
    let checksum = digest(body.as_bytes(), CHECKSUM_BYTES);
    format!("{{\"adumbra_model\":{FORMAT},\"checksum\":\"sha256:{checksum}\",\n{body}")
}

fn body(named: &Named) -> String {
    let model = &named.model;
    let mut to = String::with_capacity(64 << 10);
    field(&mut to, "schema", &schema());
    field(&mut to, "made_unix_s", &named.made_unix_s);
    field(&mut to, "version", &model.version);
    field(&mut to, "rows", &model.rows);
    field(&mut to, "home", named.home());
    field(&mut to, "networks", &named.networks);
    let calibration = CalibrationForm {
        outcomes: model.calibration.outcomes as u64,
        log_error: model.calibration.log_error,
        covered_before: model.calibration.covered_before,
        widened: model.calibration.widened,
    };
    field(&mut to, "calibration", &calibration);
    let extracts = named.extracts.iter().filter(|extracts| !extracts.names.is_empty());
    list(
        &mut to,
        "extracts",
        extracts.map(|extracts| ExtractsForm { route: extracts.route.clone(), names: extracts.names.clone() }),
    );
    let classes = named.classes.iter().zip(&model.classes).map(|(name, facts)| ClassForm {
        route: name.route.clone(),
        class: name.class.clone(),
        log_s: facts.code.is_finite().then_some(f64::from(facts.code)),
        ratios: ratios(named, &facts.ratios),
    });
    list(&mut to, "classes", classes);
    field(&mut to, "stranger", &ratios(named, &model.stranger.ratios));
    list(&mut to, "nodes", model.tree.shape().nodes().iter().map(node));
    list(&mut to, "leaves", model.tree.leaves().iter().map(leaf));
    // The last list ends in a comma and a line break of its own.
    to.truncate(to.len() - 2);
    to += "\n}\n";
    to
}

fn ratios(named: &Named, ratios: &PerNetwork<Ratio>) -> Vec<RatioForm> {
    let form = |(place, name): (usize, &String)| {
        let Ratio { log, doubt, labels, pairs } = ratios[NetworkId::new(place)?];
        Some(RatioForm { network: name.clone(), log, doubt, labels, pairs })
    };
    named.networks.iter().enumerate().filter_map(form).collect()
}

fn node(node: &Node) -> NodeForm {
    match *node {
        Node::Split { feature, threshold, missing_left, left } => NodeForm {
            feature: NAMES.get(usize::from(feature)).map(|name| (*name).to_owned()),
            up_to: Some(f64::from(threshold)),
            missing: Some(if missing_left { Side::Left } else { Side::Right }),
            left: Some(left),
            leaf: None,
        },
        Node::Leaf { leaf } => NodeForm { leaf: Some(leaf), ..NodeForm::default() },
    }
}

fn leaf(leaf: &Leaf) -> LeafForm {
    LeafForm {
        mean_s: leaf.mean_s,
        quantiles_s: leaf.quantiles_s,
        cpu_s: leaf.cpu_s,
        memory_bytes: leaf.memory_bytes,
        response_bytes: leaf.response_bytes,
        labels: leaf.labels,
        censored: leaf.censored,
    }
}

/// One field on one line.
fn field<T: Serialize + ?Sized>(to: &mut String, name: &str, value: &T) {
    *to += &format!("\"{name}\":{},\n", json(value));
}

/// One field, each of its values on a line.
fn list<T: Serialize>(to: &mut String, name: &str, values: impl Iterator<Item = T>) {
    let lines: Vec<String> = values.map(|value| json(&value)).collect();
    *to += &format!("\"{name}\":[\n{}\n],\n", lines.join(",\n"));
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("names and numbers can always be written")
}
