//! Where in an object pods stand: in a Pod at its root, elsewhere in a template, in a List in each of its items.

use serde_json::Value;

use crate::patch::Path;
use crate::problem::{Problem, Refusal};

/// A pod, or the template of one, in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Whose it is.
    pub kind: String,
    /// The name of that, if it has one.
    pub name: String,
    /// Where the pod's `metadata` and `spec` stand.
    pub pod: Path,
}

/// The way from a workload to its pod.
fn way(kind: &str, version: &str) -> Option<&'static [&'static str]> {
    match (kind, version) {
        ("Pod", "v1") => Some(&[]),
        ("ReplicationController", "v1")
        | ("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet", "apps/v1")
        | ("Job", "batch/v1") => Some(&["spec", "template"]),
        ("CronJob", "batch/v1") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// Every workload of an object, in its order.
///
/// # Errors
/// If the object, or an item of a List, is not an object.
pub fn find(object: &Value) -> Result<Vec<Workload>, Vec<Refusal>> {
    let mut found = Vec::new();
    let mut refusals = Vec::new();
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let listed = listed(text("kind"), text("apiVersion"));
    if !object.is_object() {
        refusals.push(Refusal::new("the document", Problem::Shape { wanted: "an object", found: kind_of(object) }));
    } else if let Some(kind) = listed {
        items(object, kind, text("apiVersion"), &mut found, &mut refusals);
    } else {
        found.extend(one(object, text("kind"), text("apiVersion"), &Path::default()));
    }
    if refusals.is_empty() { Ok(found) } else { Err(refusals) }
}

/// The kind that the items of a list have if they say none; `None` if it is no list of workloads.
fn listed<'k>(kind: &'k str, version: &str) -> Option<&'k str> {
    let of = kind.strip_suffix("List")?;
    if of.is_empty() { (version == "v1").then_some("") } else { way(of, version).map(|_| of) }
}

fn items(list: &Value, kind: &str, version: &str, found: &mut Vec<Workload>, refusals: &mut Vec<Refusal>) {
    let items = match list.get("items") {
        None | Some(Value::Null) => return,
        Some(Value::Array(items)) => items,
        Some(other) => {
            refusals.push(Refusal::new("items", Problem::Shape { wanted: "a list", found: kind_of(other) }));
            return;
        }
    };
    for (place, item) in items.iter().enumerate() {
        let path = Path::default().key("items").item(place);
        let text = |key, otherwise| item.get(key).and_then(Value::as_str).unwrap_or(otherwise);
        if item.is_object() {
            found.extend(one(item, text("kind", kind), text("apiVersion", version), &path));
        } else {
            refusals.push(Refusal::new(path.dotted(), Problem::Shape { wanted: "an object", found: kind_of(item) }));
        }
    }
}

fn one(object: &Value, kind: &str, version: &str, at: &Path) -> Option<Workload> {
    let pod = way(kind, version)?.iter().fold(at.clone(), |path, key| path.key(key));
    let metadata = object.get("metadata");
    let name = |key| metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
    let name = name("name").or_else(|| name("generateName")).unwrap_or("without a name");
    Some(Workload { kind: kind.to_owned(), name: name.to_owned(), pod })
}

/// What a value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
