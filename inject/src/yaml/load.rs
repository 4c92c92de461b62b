//! One document's text in, a tree of values with their places out.
//!
//! Without recursion, and bounded in depth and in nodes, of which aliases make more than the text has: a manifest comes from
//! anywhere. Of a key that is there twice the last counts, as for kubectl, but whoever wants to add to such a document is told.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::scalar;

/// The deepest nesting: several times that of the deepest schema in a CustomResourceDefinition.
pub const DEPTH_MOST: usize = 256;
/// The most values of a document, aliases written out.
const NODES_MOST: usize = 1_000_000;

/// Why a text is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is not YAML.
    #[error("not YAML: {info}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        info: String,
    },
    /// It is nested too deeply.
    #[error("nested more than {DEPTH_MOST} deep, which no manifest is")]
    Deep {
        /// The line, from 1.
        line: usize,
    },
    /// Its aliases make it too long.
    #[error("more than {NODES_MOST} values, its aliases written out; write less, or without aliases")]
    Long {
        /// The line, from 1.
        line: usize,
    },
    /// A key that is not a word.
    #[error("a list or a mapping as a key, which Kubernetes does not have")]
    Key {
        /// The line, from 1.
        line: usize,
    },
    /// Something is merged that is no mapping.
    #[error("`<<` merges mappings, and this is none")]
    Merge {
        /// The line, from 1.
        line: usize,
    },
    /// There is more than one document.
    #[error("a second document without `---` before it; write one")]
    Several {
        /// The line, from 1.
        line: usize,
    },
}

impl YamlError {
    /// Where, counted from the document's first line.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::Syntax { line, .. }
            | Self::Deep { line }
            | Self::Long { line }
            | Self::Key { line }
            | Self::Merge { line }
            | Self::Several { line } => *line,
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub what: What,
    /// Where it begins.
    pub start: Marker,
    /// Where its text ends.
    pub end: Marker,
    /// Whether it is written by indentation.
    pub block: bool,
    /// Values in it, itself included.
    nodes: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum What {
    /// Neither of the others.
    Scalar(Value),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping: keys, where they begin, values.
    Mapping(Vec<(String, Marker, Node)>),
}

/// A document.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All of it.
    pub root: Node,
    /// A key that is there twice, and its line.
    pub twice: Option<(String, usize)>,
}

impl Node {
    /// The value without places.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.what {
            What::Scalar(value) => value.clone(),
            What::Sequence(items) => Value::Array(items.iter().map(Self::value).collect()),
            What::Mapping(members) => {
                let members: Map<_, _> = members.iter().map(|(key, _, node)| (key.clone(), node.value())).collect();
                Value::Object(members)
            }
        }
    }
}

/// Reads the one document of `text`; `None` if there is none.
///
/// # Errors
/// If it is not YAML, or more of it than a manifest has.
pub fn load(text: &str) -> Result<Option<Loaded>, YamlError> {
    let mut loader = Loader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError::Syntax {
            line: error.marker().line(),
            info: error.info().chars().filter(|char| !char.is_control()).collect(),
        })?;
        loader.take(event, span)?;
    }
    Ok(loader.root.map(|root| Loaded { root, twice: loader.twice }))
}

/// A collection that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(String, Span, bool)>,
    merged: Vec<Node>,
}

#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    twice: Option<(String, usize)>,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) if self.root.is_some() => return Err(YamlError::Several { line }),
            Event::SequenceStart(anchor, _) => self.begin(What::Sequence(Vec::new()), anchor, span)?,
            Event::MappingStart(anchor, _) => self.begin(What::Mapping(Vec::new()), anchor, span)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser ends only what has begun");
                let node = ended(open.node, open.merged, span)?;
                self.complete(node, open.anchor)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.is_key() {
                    let merge = style == ScalarStyle::Plain && text == "<<";
                    let open = self.open.last_mut().expect("a key is in a mapping");
                    open.key = Some((text.into_owned(), span, merge));
                    return Ok(());
                }
                self.count(1, line)?;
                let what = What::Scalar(meaning(&text, style, tag.as_deref()));
                let span = if text.is_empty() && style == ScalarStyle::Plain { self.behind_key(span) } else { span };
                let node = Node { what, start: span.start, end: span.end, block: false, nodes: 1 };
                self.complete(node, anchor)?;
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or(YamlError::Long { line })?;
                // Its places are elsewhere: nothing can be added to it here.
                let (what, nodes) = (node.what.clone(), node.nodes);
                self.count(nodes, line)?;
                if self.is_key() {
                    return Err(YamlError::Key { line });
                }
                self.complete(Node { what, start: span.start, end: span.end, block: false, nodes }, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn is_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node.what, What::Mapping(_)) && open.key.is_none())
    }

    /// A value that is not written has its place behind its key.
    fn behind_key(&self, span: Span) -> Span {
        let key = self.open.last().and_then(|open| open.key.as_ref());
        key.map_or(span, |(_, key, _)| Span::new(key.end, key.end))
    }

    fn begin(&mut self, what: What, anchor: usize, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        if self.is_key() {
            return Err(YamlError::Key { line });
        }
        if self.open.len() == DEPTH_MOST {
            return Err(YamlError::Deep { line });
        }
        self.count(1, line)?;
        let node = Node { what, start: span.start, end: span.end, block: span.is_empty(), nodes: 1 };
        self.open.push(Open { node, anchor, key: None, merged: Vec::new() });
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MOST { Err(YamlError::Long { line }) } else { Ok(()) }
    }

    /// Puts a value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if anchor != 0 {
            self.count(node.nodes, node.start.line())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.node.nodes += node.nodes;
        match (&mut open.node.what, open.key.take()) {
            (What::Mapping(_), Some((_, _, true))) => open.merged.push(node),
            (What::Mapping(members), Some((key, place, false))) => {
                if let Some(known) = members.iter().position(|(known, ..)| *known == key) {
                    self.twice.get_or_insert((key.clone(), place.start.line()));
                    members.remove(known);
                }
                members.push((key, place.start, node));
            }
            (What::Sequence(items), _) => items.push(node),
            (What::Mapping(_) | What::Scalar(_), _) => {
                return Err(YamlError::Key { line: node.start.line() });
            }
        }
        Ok(())
    }
}

/// A collection that is whole: what was merged is in it, and its end is known.
fn ended(mut node: Node, merged: Vec<Node>, span: Span) -> Result<Node, YamlError> {
    let last = match &node.what {
        What::Sequence(items) => items.last().map(|item| item.end),
        What::Mapping(members) => members.last().map(|(.., value)| value.end),
        What::Scalar(_) => None,
    };
    node.end = if node.block { last.unwrap_or(node.start) } else { span.end };
    let What::Mapping(members) = &mut node.what else { return Ok(node) };
    for source in merged {
        let line = source.start.line();
        let sources = match source.what {
            What::Sequence(items) => items,
            _ => vec![source],
        };
        for source in sources {
            let What::Mapping(more) = source.what else { return Err(YamlError::Merge { line }) };
            for (key, place, value) in more {
                if !members.iter().any(|(known, ..)| *known == key) {
                    members.push((key, place, value));
                }
            }
        }
        // A text with `<<` is not added to line by line: what is merged looks like what is there.
        node.block = false;
    }
    Ok(node)
}

fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix == "str");
    if style == ScalarStyle::Plain && !is_text { scalar::plain(text) } else { Value::String(text.to_owned()) }
}
