//! What can be wrong with a configuration, and where.
//!
//! A [`Fault`] is what is wrong, apart from any file; an [`Error`] is a fault with its place. [`Errors`] keeps the text as
//! well, so that it can be shown as a compiler shows its own, and still be walked over by whoever wants it as data.

mod fault;
mod render;

use std::fmt;
use std::ops::Range;

use annotate_snippets::normalize_untrusted_str;

pub use fault::Fault;

/// The most errors that are kept of one text; the rest is only counted.
const MAX_ERRORS: usize = 100;

/// Everything that is wrong with one configuration: at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    name: String,
    text: String,
    errors: Vec<Error>,
    omitted: usize,
}

/// One thing that is wrong, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// The key, such as `networks.public.price.slot_second`; empty for what is not about one key.
    pub path: String,
    /// What is wrong.
    pub fault: Fault,
    /// The bytes of the text it is about.
    span: Range<usize>,
    /// Other bytes it is about, and what they have to do with it.
    related: Option<(Range<usize>, &'static str)>,
}

/// A fault before its line and column are counted.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) span: Range<usize>,
    pub(crate) path: String,
    pub(crate) fault: Fault,
    pub(crate) related: Option<(Range<usize>, &'static str)>,
}

impl Errors {
    pub(crate) fn new(text: &str, name: &str, mut located: Vec<Located>) -> Self {
        located.sort_by_key(|found| found.span.start);
        let omitted = located.len().saturating_sub(MAX_ERRORS);
        located.truncate(MAX_ERRORS);
        let errors = located.into_iter().map(|found| Error::new(text, found)).collect();
        Self { name: name.to_owned(), text: text.to_owned(), errors, omitted }
    }

    /// That what `text` says at each path, key by key, is valid and still cannot be put in force, for this reason.
    #[must_use]
    pub fn unfit(text: &str, name: &str, unfit: Vec<(Vec<&str>, String)>) -> Self {
        let located = |(path, why): (Vec<&str>, String)| Located {
            span: crate::text::span_of(text, &path),
            path: path.join("."),
            fault: Fault::Unfit { why },
            related: None,
        };
        Self::new(text, name, unfit.into_iter().map(located).collect())
    }

    /// The errors, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.errors.iter()
    }

    /// How many errors were found, those included that were too many to keep.
    #[must_use]
    pub fn count(&self) -> usize {
        self.errors.len() + self.omitted
    }

    /// What the file is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Error {
    fn new(text: &str, found: Located) -> Self {
        let span = within(text, found.span);
        let (line, column) = line_and_column(text, span.start);
        let related = found.related.map(|(span, label)| (within(text, span), label));
        Self { line, column, path: found.path, fault: found.fault, span, related }
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// The likely fix.
    #[must_use]
    pub fn help(&self) -> String {
        self.fault.help()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, message, help) = (&self.path, &self.fault, self.fault.help());
        let about = if path.is_empty() { format!("{message}; {help}") } else { format!("{path}: {message}; {help}") };
        write!(f, "{}:{}: {}", self.line, self.column, normalize_untrusted_str(&about))
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Errors {}

/// `span`, cut to what `text` has and widened to whole characters.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.max(start).min(text.len()));
    start..end.max(start)
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
