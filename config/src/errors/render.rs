//! Errors as a compiler shows its own: the message, the line with a mark under what it is about, the likely fix.
//!
//! Only the lines an error is about are handed to the renderer, so that many errors in a long file stay cheap, and all
//! text that comes from the file is made harmless to a terminal first.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};

use super::{Error, Errors};

impl Errors {
    /// All errors for a person to read, with terminal colours if `colour`.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut shown = String::new();
        for error in self {
            shown += &self.render_one(error, &renderer);
            shown += "\n\n";
        }
        let name = normalize_untrusted_str(&self.name);
        shown += &match self.count() {
            1 => format!("{name}: 1 error"),
            count if self.omitted == 0 => format!("{name}: {count} errors"),
            count => format!("{name}: {count} errors, of which {} are not shown", self.omitted),
        };
        shown
    }

    fn render_one(&self, error: &Error, renderer: &Renderer) -> String {
        let related = error.related.as_ref().map(|(span, label)| (span.clone(), *label));
        let (first, last) = match &related {
            Some((span, _)) => (error.span.start.min(span.start), error.span.end.max(span.end)),
            None => (error.span.start, error.span.end),
        };
        let start = self.text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[last..].find('\n').map_or(self.text.len(), |newline| last + newline);
        let line = self.text[..start].matches('\n').count() + 1;
        let shift = |span: &std::ops::Range<usize>| span.start - start..span.end - start;

        let snippet = Snippet::source(&self.text[start..end])
            .line_start(line)
            .path(normalize_untrusted_str(&self.name))
            .annotation(AnnotationKind::Primary.span(shift(&error.span)).label(normalize_untrusted_str(&error.path)))
            .annotations(related.iter().map(|(span, label)| AnnotationKind::Context.span(shift(span)).label(*label)));
        let report = &[Level::ERROR
            .primary_title(normalize_untrusted_str(&error.message()))
            .element(snippet)
            .element(Level::HELP.message(normalize_untrusted_str(&error.help())))];
        renderer.render(report)
    }
}
