//! Where one HTTP/1 message ends and the next begins, read as a strict parser would.
//!
//! Request smuggling lives on what two parsers read differently. This reads the client's bytes before hyper does, by the
//! letter of RFC 9112 and stricter where that leaves room, so that what hyper is shown can be read in one way only.
//!
//! It is pure and keeps no bytes. A head is judged line by line as its lines become whole, a body byte by byte; so the
//! verdict, and what is passed before it, do not depend on how the stream was cut into reads (a property test says so).
//! It does not parse for others: hyper parses a head again, once it is known to be sound.

mod chunked;
mod head;

use crate::problem::Problem;

use chunked::Chunked;
use head::Head;

/// What became of the bytes that were fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes, at least one, are sound: a whole head, or a piece of a body.
    Pass(usize),
    /// So many bytes mean nothing and are best dropped: an empty line before a head.
    Skip(usize),
    /// The head goes on: feed the same bytes again, and more.
    NeedMore,
    /// This is no HTTP.
    Bad(Fault),
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// How it is answered.
    pub(crate) problem: Problem,
    /// The rule that is broken.
    pub(crate) detail: &'static str,
}

/// Bounds on one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Its bytes, request line and last line end included.
    pub(crate) head_bytes: usize,
    /// Its fields.
    pub(crate) head_fields: usize,
}

/// Reads one connection's stream.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    bounds: Bounds,
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
}

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Scanner {
    /// A scanner at the start of a connection.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, at: At::Head(Head::default()) }
    }

    /// Whether the next byte is the first of a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(&self.at, At::Head(head) if head.is_untouched())
    }

    /// Whether the next byte is one of a body.
    pub(crate) fn is_in_body(&self) -> bool {
        !matches!(self.at, At::Head(_))
    }

    /// Reads on. Never passes beyond the end of the message that `bytes` begin in.
    ///
    /// After `NeedMore` the next `bytes` must begin with the ones that were fed, none of which was passed.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Step {
        let step = match &mut self.at {
            _ if bytes.is_empty() => return Step::NeedMore,
            At::Head(head) => match head.read(bytes, &self.bounds) {
                head::Read::Whole { bytes, framing } => {
                    self.at = match framing {
                        Framing::Length(length) => At::Length(length),
                        Framing::Chunked => At::Chunked(Chunked::new(self.bounds)),
                    };
                    Step::Pass(bytes)
                }
                head::Read::Skip(bytes) => Step::Skip(bytes),
                head::Read::Partial => Step::NeedMore,
                head::Read::Bad(fault) => Step::Bad(fault),
            },
            At::Length(left) => {
                let passed = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= passed as u64;
                Step::Pass(passed)
            }
            At::Chunked(chunked) => match chunked.read(bytes) {
                (0, Some(fault)) => Step::Bad(fault),
                (passed, _) => Step::Pass(passed),
            },
        };
        if self.is_at_end() {
            self.at = At::Head(Head::default());
        }
        step
    }

    fn is_at_end(&self) -> bool {
        match &self.at {
            At::Head(_) => false,
            At::Length(left) => *left == 0,
            At::Chunked(chunked) => chunked.is_at_end(),
        }
    }
}

const fn malformed(detail: &'static str) -> Fault {
    Fault { problem: Problem::Malformed, detail }
}

const fn too_large(detail: &'static str) -> Fault {
    Fault { problem: Problem::HeadTooLarge, detail }
}

/// Whether this byte may stand in a method or a field's name (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Byte classes: token, path and query. The last two are what `http::Uri` takes, less the fragment and what is not ASCII.
const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
        {
            classes[byte] |= TOKEN;
        }
        if b.is_ascii_graphic() && !matches!(b, b'#' | b'<' | b'>' | b'`') {
            classes[byte] |= PATH;
        }
        if b.is_ascii_graphic() && !matches!(b, b'#' | b'<' | b'>' | b'"') {
            classes[byte] |= QUERY;
        }
        byte += 1;
    }
    classes
};

/// The first byte that may not stand in a line's text: a control that is not a tab (RFC 9110 §5.5).
fn first_control(text: &[u8]) -> Option<usize> {
    if !may_have_control(text) {
        return None;
    }
    text.iter().position(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
}

/// Whether there may be a control: surely if there is one, and also where a tab stands. Eight bytes at a time, for this
/// looks at every byte of every head.
fn may_have_control(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let is_suspect = |eight: u64| {
        let below_space = eight.wrapping_sub(ONES * 0x20) & !eight;
        let delete = eight ^ (ONES * 0x7f);
        (below_space | (delete.wrapping_sub(ONES) & !delete)) & (ONES * 0x80) != 0
    };
    let (eights, rest) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    eights
        .iter()
        .fold(is_suspect(u64::from_ne_bytes(last)), |found, eight| found | is_suspect(u64::from_ne_bytes(*eight)))
}

#[cfg(test)]
mod tests;
