//! A JSON patch (RFC 6902) that only adds: there is no other operation here, so nothing of an object can be taken away or changed.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A step on the way to a place in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of a mapping.
    Key(String),
    /// An item of a list.
    Item(usize),
    /// Behind the last item of a list.
    End,
}

/// A place in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The member `key` of what is here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// The item at `place` of what is here.
    #[must_use]
    pub fn item(&self, place: usize) -> Self {
        self.step(Step::Item(place))
    }

    /// Behind what is here.
    #[must_use]
    pub fn end(&self) -> Self {
        self.step(Step::End)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// What is there, if it is.
    #[must_use]
    pub fn find<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Item(place) => value.get(place),
            Step::End => None,
        })
    }

    /// As a person would write it: `spec.template.spec`.
    #[must_use]
    pub fn dotted(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) if text.is_empty() => text += key,
                Step::Key(key) => text += &format!(".{key}"),
                Step::Item(place) => text += &format!("[{place}]"),
                Step::End => text += "[]",
            }
        }
        text
    }
}

/// As a JSON pointer (RFC 6901).
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                Step::Item(place) => write!(f, "/{place}")?,
                Step::End => f.write_str("/-")?,
            }
        }
        Ok(())
    }
}

/// One addition.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
}

impl Serialize for Add {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Operation<'a> {
            op: &'static str,
            path: String,
            value: &'a Value,
        }
        Operation { op: "add", path: self.path.to_string(), value: &self.value }.serialize(serializer)
    }
}

/// There is nothing to add to at this place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no place `{0}` in this object")]
pub struct NoPlace(pub Path);

/// Adds all of `patch` to `object`.
///
/// # Errors
/// If there is no such place in it.
pub fn apply(object: &mut Value, patch: &[Add]) -> Result<(), NoPlace> {
    for add in patch {
        let Some((last, way)) = add.path.0.split_last() else { return Err(NoPlace(add.path.clone())) };
        let place = way.iter().try_fold(&mut *object, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Item(place) => value.get_mut(place),
            Step::End => None,
        });
        match (place, last) {
            (Some(Value::Object(members)), Step::Key(key)) => {
                members.insert(key.clone(), add.value.clone());
            }
            (Some(Value::Array(items)), Step::End) => items.push(add.value.clone()),
            _ => return Err(NoPlace(add.path.clone())),
        }
    }
    Ok(())
}
