//! TOML text in, a valid [`Config`] or every error with its place out.
//!
//! A configuration is a value: parsing reads no file, opens no socket and changes nothing, so a caller can check one,
//! compare it with the one in force, and swap it in whole. Somebody who edits a file wants to hear of all mistakes at
//! once, so nothing here stops at the first one, syntax included.
//!
//! Each key is described in the one line that reads it (see `text`); [`reference`](reference()) is made by reading an
//! empty file and listing what was asked for, so the documentation cannot say anything else than the parser does.

pub mod value;

pub mod errors;

mod nearest;
mod reference;
mod text;

pub use errors::{Errors, Fault};
pub use reference::{KeyRow, Presence, keys, reference};
pub use value::Config;

/// The most bytes a configuration may have.
pub const MAX_TEXT: usize = 1 << 20;

/// The configuration that `text` describes; `name` is what messages call the file.
///
/// # Errors
/// All that is wrong with it, in the order of the text.
pub fn parse(text: &str, name: &str) -> Result<Config, Errors> {
    text::parse(text).map_err(|located| Errors::new(text, name, located))
}
