//! A file of manifests in, the same file with sidecars out.
//!
//! Documents that ask for none stay byte for byte, and so does every line of one that does, wherever it is written by
//! indentation: what is added comes in lines of its own. The result is read again and must say what the patch says; where it
//! does not, or where a document is JSON or written in braces, that document alone is written anew, and its comments are lost.

use serde_json::Value;

use crate::annotation::Settings;
use crate::object::{self, Outcome};
use crate::patch;
use crate::problem::Refusal;
use crate::workload::Workload;
use crate::yaml::{self, Loaded, Piece, YamlError};

/// The longest text, bytes.
pub const BYTES_MOST: usize = 64 << 20;

/// A text with sidecars.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// All of it.
    pub text: String,
    /// What was done with each workload in it.
    pub done: Vec<Done>,
}

/// What was done with a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The document that it is in, from 1.
    pub document: usize,
    /// The line where that begins, from 1.
    pub line: usize,
    /// Which it is.
    pub workload: Workload,
    /// What.
    pub outcome: Outcome,
    /// Whether its document was written anew, without its comments.
    pub anew: bool,
}

/// What is wrong with one document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {document}, line {line}{}: {wrong}", named(name))]
pub struct Fault {
    /// Which, from 1.
    pub document: usize,
    /// The line of it, or where it begins, from 1.
    pub line: usize,
    /// Kind and name, if they can be read.
    pub name: Option<String>,
    /// What is wrong.
    #[source]
    pub wrong: Wrong,
}

fn named(name: &Option<String>) -> String {
    name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
}

/// What can be wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is too long.
    #[error("the text is longer than {BYTES_MOST} bytes; give it in parts")]
    Long,
    /// It is not YAML.
    #[error(transparent)]
    Yaml(YamlError),
    /// It asks for what cannot be.
    #[error(transparent)]
    Refused(Refusal),
    /// It should be added to, and says a thing twice.
    #[error("the key `{0}` is there twice; which of the two counts depends on the reader, so leave one out")]
    Twice(String),
}

/// Puts sidecars into all workloads of `text` that ask for one.
///
/// # Errors
/// All that is wrong with it, if anything is.
pub fn inject(text: &str, settings: &Settings) -> Result<Injected, Vec<Fault>> {
    if text.len() > BYTES_MOST {
        return Err(vec![Fault { document: 1, line: 1, name: None, wrong: Wrong::Long }]);
    }
    let mut injected = Injected { text: String::with_capacity(text.len() * 2), done: Vec::new() };
    let mut faults = Vec::new();
    let mut document = 0;
    for piece in yaml::split(text) {
        if piece.is_empty() {
            injected.text.push_str(piece.text);
            continue;
        }
        document += 1;
        match one(piece, document, settings) {
            Ok((text, done)) => {
                injected.text.push_str(&text);
                injected.done.extend(done);
            }
            Err(wrong) => faults.extend(wrong),
        }
    }
    if faults.is_empty() { Ok(injected) } else { Err(faults) }
}

fn one(piece: Piece<'_>, document: usize, settings: &Settings) -> Result<(String, Vec<Done>), Vec<Fault>> {
    let first = piece.lines_before + 1;
    let fault = |line, name, wrong| Fault { document, line, name, wrong };
    let loaded = yaml::load(piece.text)
        .map_err(|error| vec![fault(piece.lines_before + error.line(), None, Wrong::Yaml(error))])?;
    let Some(loaded) = loaded else { return Ok((piece.text.to_owned(), Vec::new())) };
    let object = loaded.root.value();
    let name = name(&object);
    let plan = object::patch(&object, settings).map_err(|refusals| {
        refusals.into_iter().map(|refusal| fault(first, name.clone(), Wrong::Refused(refusal))).collect::<Vec<_>>()
    })?;
    let (text, anew) = if plan.patch.is_empty() {
        (piece.text.to_owned(), false)
    } else if let Some((key, line)) = &loaded.twice {
        return Err(vec![fault(piece.lines_before + line, name, Wrong::Twice(key.clone()))]);
    } else {
        let mut wanted = object;
        patch::apply(&mut wanted, &plan.patch).expect("a patch is made for the object that it is of");
        match lines(piece.text, &loaded, &plan.patch, &wanted) {
            Some(text) => (text, false),
            None => (anew(piece.text, &wanted), true),
        }
    };
    let done = |(workload, outcome)| Done {
        document,
        line: first,
        workload,
        outcome,
        anew: anew && outcome == Outcome::Injected,
    };
    Ok((text, plan.workloads.into_iter().map(done).collect()))
}

/// The text with lines added, if it then says what is wanted.
fn lines(text: &str, loaded: &Loaded, patch: &[patch::Add], wanted: &Value) -> Option<String> {
    let text = yaml::insert(text, &loaded.root, patch)?;
    let again = yaml::load(&text).ok()??;
    (again.root.value() == *wanted && again.twice.is_none()).then_some(text)
}

/// The document written anew, as JSON if it was, with the comments and the separator that stand before it.
fn anew(text: &str, wanted: &Value) -> String {
    let is_before = |line: &str| line.trim().is_empty() || line.starts_with('#') || line.trim_end() == "---";
    let before: String = text.split_inclusive('\n').take_while(|line| is_before(line)).collect();
    let rest = &text[before.len()..];
    let separator = if rest.starts_with("---") { "---\n" } else { "" };
    let body = if rest.trim_start_matches("---").trim_start().starts_with('{') {
        serde_json::to_string_pretty(wanted).expect("a value is JSON") + "\n"
    } else {
        yaml::write(wanted, 0)
    };
    format!("{before}{separator}{body}")
}

fn name(object: &Value) -> Option<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| text.escape_debug().to_string());
    let kind = text(object.get("kind"))?;
    let name = text(object.get("metadata").and_then(|metadata| metadata.get("name")));
    Some(name.map_or_else(|| kind.clone(), |name| format!("{kind} {name}")))
}

#[cfg(test)]
mod tests;
