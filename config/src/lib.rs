//! TOML text in, a valid [`Config`] or every error with its place out.
//!
//! A configuration is a value: parsing reads no file, opens no socket and changes nothing, so a caller can check one,
//! compare it with the one in force, and swap it in whole.

pub mod value;

pub use value::Config;
