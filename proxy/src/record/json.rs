//! JSON, appended to bytes as it comes.
//!
//! Every value is followed by a comma, and the end of what it stands in takes the last one back: so no value needs to know
//! whether it is the first. Nothing is escaped here: what comes in is words of this program's own or has been [`quoted`].

use super::digits;

/// A key and its colon.
macro_rules! key {
    ($name:literal) => {
        concat!("\"", $name, "\":")
    };
}
pub(super) use key;

/// Where JSON is appended to.
#[derive(Debug)]
pub(super) struct Json<'t> {
    pub(super) to: &'t mut Vec<u8>,
}

impl Json<'_> {
    /// Text that is JSON already, such as a [`key!`] or a bracket.
    #[inline]
    pub(super) fn raw(&mut self, text: &str) {
        self.to.extend_from_slice(text.as_bytes());
    }

    /// A value that is JSON already.
    #[inline]
    pub(super) fn value(&mut self, text: &str) {
        self.raw(text);
        self.to.push(b',');
    }

    /// A word in which nothing has to be escaped.
    #[inline]
    pub(super) fn word(&mut self, word: &str) {
        self.to.push(b'"');
        self.raw(word);
        self.raw("\",");
    }

    /// A whole number.
    #[inline]
    pub(super) fn whole(&mut self, value: u64) {
        digits::whole(value, self.to);
        self.to.push(b',');
    }

    /// A number, to the millionth.
    #[inline]
    pub(super) fn millionths(&mut self, value: f64) {
        digits::millionths(value, self.to);
        self.to.push(b',');
    }

    /// A number, to the whole one.
    #[inline]
    pub(super) fn rounded_off(&mut self, value: f64) {
        digits::rounded_off(value, self.to);
        self.to.push(b',');
    }

    /// The end of an object or a list, which is a value itself.
    #[inline]
    pub(super) fn end(&mut self, bracket: u8) {
        self.last(bracket);
        self.to.push(b',');
    }

    /// The end of everything.
    #[inline]
    pub(super) fn last(&mut self, bracket: u8) {
        match self.to.last_mut() {
            Some(comma) if *comma == b',' => *comma = bracket,
            _ => self.to.push(bracket),
        }
    }
}

/// `text` as JSON: escaped and in quotes.
pub(super) fn quoted(text: &str) -> Box<str> {
    serde_json::to_string(text).expect("every string can be quoted").into()
}
