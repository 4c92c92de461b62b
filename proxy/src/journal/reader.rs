//! Reads a journal, whoever writes it and whatever has happened to it.
//!
//! What is damaged is dropped to the end of its segment, and said: nothing behind a wrong checksum can be believed to begin
//! where it seems to.

use std::io;
use std::path::Path;

use super::entry::Entry;
use super::segment::{self, ENTRY, FRAME_MOST, HEAD, LINE, MAGIC, MODEL, list, name};

/// One thing that stands in a journal.
#[derive(Debug)]
pub(crate) enum Found {
    Entry(Entry),
    /// A model, as its file.
    Model(String),
    /// A line of the decision log.
    Line(String),
}

/// What of a journal could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Bytes at the ends of segments that are torn or damaged.
    pub(crate) bytes: u64,
    /// In so many segments.
    pub(crate) segments: u64,
    /// Whole frames of a kind, or with fields, that this version does not know.
    pub(crate) unknown: u64,
}

/// Reads every segment of `directory`, oldest first, and hands out what is in them.
///
/// # Errors
/// The directory or a segment cannot be read.
pub(crate) fn read(directory: &Path, mut found: impl FnMut(Found)) -> io::Result<Lost> {
    let mut lost = Lost::default();
    for (number, _) in list(directory)? {
        let bytes = match std::fs::read(directory.join(name(number))) {
            Ok(bytes) => bytes,
            // Its writer has made room meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        segment(&bytes, &mut lost, &mut found);
    }
    Ok(lost)
}

/// Reads one segment.
pub(crate) fn segment(bytes: &[u8], lost: &mut Lost, found: &mut impl FnMut(Found)) {
    let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
    if !bytes.starts_with(MAGIC) {
        lost.bytes += bytes.len() as u64;
        lost.segments += u64::from(!bytes.is_empty());
        return;
    }
    while let Some((kind, payload, after)) = frame(rest) {
        rest = after;
        let what = match kind {
            ENTRY => serde_json::from_slice(payload).ok().map(Found::Entry),
            MODEL => String::from_utf8(payload.to_vec()).ok().map(Found::Model),
            LINE => String::from_utf8(payload.to_vec()).ok().map(Found::Line),
            _ => None,
        };
        match what {
            Some(what) => found(what),
            None => lost.unknown += 1,
        }
    }
    lost.bytes += rest.len() as u64;
    lost.segments += u64::from(!rest.is_empty());
}

/// The first frame of `bytes`, and what comes after it.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [l0, l1, l2, l3, s0, s1, s2, s3, kind] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > FRAME_MOST {
        return None;
    }
    let (payload, after) = rest.split_at_checked(length)?;
    (segment::checksum(kind, payload) == u32::from_le_bytes([s0, s1, s2, s3])).then_some((kind, payload, after))
}
