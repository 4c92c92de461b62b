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
pub use reference::{Accepts, KeyRow, Presence, keys, reference};
pub use value::Config;

/// The most bytes a configuration may have.
pub const MAX_TEXT: usize = 1 << 20;

/// The configuration that `text` describes; `name` is what messages call the file.
///
/// # Errors
/// All that is wrong with it, in the order of the text.
pub fn parse(text: &str, name: &str) -> Result<Config, Errors> {
    text::parse(text, None).map_err(|located| Errors::new(text, name, located))
}

/// The configuration that `text` describes, to follow `previous` without a restart.
///
/// Networks are told apart by their names: one that was there before keeps its place, wherever it stands in the text now,
/// and a new one gets a place that nobody has had. So a `NetworkId` means the same network in both, and whatever is kept by
/// it, in a ledger or in what was learned, stays true.
///
/// # Errors
/// All that is wrong with it, in the order of the text; to change what only a restart can change is wrong here.
pub fn parse_after(text: &str, name: &str, previous: &Config) -> Result<Config, Errors> {
    text::parse(text, Some(previous)).map_err(|located| Errors::new(text, name, located))
}

/// What `text` says of [`value::State::directory`], as far as that can be told of a text that is wrong elsewhere.
#[must_use]
pub fn state_directory(text: &str) -> Option<std::path::PathBuf> {
    text::state_directory(text)
}
