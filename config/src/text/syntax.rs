//! What the TOML parser says is wrong, as faults.
//!
//! It goes on after an error, and what it then says of the same line is mostly an echo, so one error a line is kept. A
//! key that is there twice leaves a tree that can be read; anything else does not, for what it swallowed would be missed.

use toml::de::Error;

use super::form::shortened;
use crate::errors::{Fault, Located};

pub(super) fn faults(text: &str, errors: Vec<Error>) -> Vec<Located> {
    let mut found: Vec<Located> = errors.into_iter().map(|error| located(text, &error)).collect();
    found.sort_by_key(|located| located.span.start);
    found.dedup_by(|next, kept| {
        let between = text.get(kept.span.start..next.span.start).unwrap_or_default();
        matches!(kept.fault, Fault::Syntax { .. }) && !between.contains('\n')
    });
    found
}

fn located(text: &str, error: &Error) -> Located {
    let span = error.span().unwrap_or(0..0);
    let given = shortened(text.get(span.clone()).unwrap_or_default().trim());
    let fault = match error.message() {
        "duplicate key" => Fault::Repeated { given },
        told if told.starts_with("string values must be quoted") => {
            Fault::Syntax { told: "text must be in quotes".to_owned(), write: format!("write `\"{given}\"`") }
        }
        told => {
            let write =
                "write `key = value`, with text in quotes, lists in brackets, and tables as `[name]`".to_owned();
            Fault::Syntax { told: told.to_owned(), write }
        }
    };
    Located { span, path: String::new(), fault, related: None }
}
