//! A text cut into its documents, which together are the text again.
//!
//! YAML forbids a line that begins with `---` inside a document, even in a quoted or a block scalar, so lines are enough.

/// A document with the line that begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// All of its text.
    pub text: &'t str,
    /// How many lines stand before it.
    pub lines_before: usize,
}

impl Piece<'_> {
    /// Whether nothing but blanks, comments and separators is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.lines().all(|line| {
            let line = after_separator(line).unwrap_or(line).trim();
            line.is_empty() || line.starts_with('#') || line == "..." || line == "\u{feff}"
        })
    }
}

/// Cuts `text` before each line that begins a document.
#[must_use]
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut begun, mut begun_line, mut at) = (0, 0, 0);
    // Before a `---`, directives belong to the document behind it.
    let mut directives = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if after_separator(line).is_some() && at > begun && !directives {
            pieces.push(Piece { text: &text[begun..at], lines_before: begun_line });
            (begun, begun_line) = (at, number);
        }
        directives = line.starts_with('%') || directives && after_separator(line).is_none();
        at += line.len();
    }
    if at > begun {
        pieces.push(Piece { text: &text[begun..], lines_before: begun_line });
    }
    pieces
}

/// What stands behind the `---` of a line that begins a document.
pub(super) fn after_separator(line: &str) -> Option<&str> {
    line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}
