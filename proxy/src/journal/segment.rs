//! Segments: files of frames, the oldest of which is removed when together they are too long.
//!
//! A frame is a length, a checksum and a kind, and then so many bytes. A segment is only ever added to by the process that
//! began it, and one that could not be written to the end is left as it is: what comes next goes to a new one. So a damage
//! never has anything good behind it in its file but what the reader says it has lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a segment begins with: this format, and no other.
pub(crate) const MAGIC: &[u8; 16] = b"adumbra journal1";
/// The bytes before those of a frame: its length, its checksum, its kind.
pub(crate) const HEAD: usize = 9;
/// The most bytes of a frame: as many as the largest file of a model has.
pub(crate) const FRAME_MOST: usize = policy::model::file::FILE_BYTES_MOST + 1024;

/// An entry, as JSON.
pub(crate) const ENTRY: u8 = b'E';
/// A model, as a file: docs/model.md.
pub(crate) const MODEL: u8 = b'M';
/// A line of the decision log.
pub(crate) const LINE: u8 = b'L';

/// The journal is made of about so many segments.
const SEGMENTS: u64 = 8;
/// No segment is shorter than this for being one of many.
const SEGMENT_LEAST: u64 = 64 << 10;
/// How long a failure is left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// It is in the segment.
    Here,
    /// It is, and the segment is closed now.
    AndClosed,
    /// It is not: a failure is too young to try again.
    NotYet,
}

/// The segments of one directory.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
    /// The most bytes of all of them together.
    most: u64,
    /// Oldest first: number and bytes. The last one is open if `file` is.
    known: Vec<(u64, u64)>,
    file: Option<File>,
    failed: Option<Instant>,
    again: Duration,
}

impl Segments {
    /// Those in `directory`, which is made if it is not there.
    pub(crate) fn open(directory: &Path, most: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let known = list(directory)?;
        Ok(Self { directory: directory.to_owned(), most, known, file: None, failed: None, again: AGAIN })
    }

    #[cfg(test)]
    pub(super) fn trying_again_at_once(mut self) -> Self {
        self.again = Duration::ZERO;
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a failure has not been got over.
    pub(crate) fn is_waiting(&self) -> bool {
        self.failed.is_some()
    }

    /// The bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.known.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Adds whole frames to the open segment, or to a new one.
    pub(crate) fn write(&mut self, frames: &[u8]) -> io::Result<Wrote> {
        if self.failed.is_some_and(|failed| failed.elapsed() < self.again) {
            return Ok(Wrote::NotYet);
        }
        let written = self.try_write(frames);
        match &written {
            Ok(_) => self.failed = None,
            Err(_) => {
                // How much of it is there, nobody needs to know: it is torn, and nothing comes after it.
                self.file = None;
                self.failed = Some(Instant::now());
                self.known = list(&self.directory).unwrap_or_default();
            }
        }
        written
    }

    fn try_write(&mut self, frames: &[u8]) -> io::Result<Wrote> {
        let next = self.known.last().map_or(0, |(number, _)| number + 1);
        self.make_room(frames.len() as u64)?;
        if self.file.is_none() {
            std::fs::create_dir_all(&self.directory)?;
            let mut file = OpenOptions::new().create_new(true).append(true).open(self.directory.join(name(next)))?;
            file.write_all(MAGIC)?;
            self.known.push((next, MAGIC.len() as u64));
            self.file = Some(file);
        }
        let (Some(file), Some((_, bytes))) = (&mut self.file, self.known.last_mut()) else {
            return Err(io::Error::other("a segment that was opened is not there"));
        };
        file.write_all(frames)?;
        *bytes += frames.len() as u64;
        if *bytes < self.segment_bytes() {
            return Ok(Wrote::Here);
        }
        self.file = None;
        Ok(Wrote::AndClosed)
    }

    /// Removes the oldest until there is room for `more` bytes: the open one too, if there is none without it.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        let more = more + MAGIC.len() as u64;
        if more > self.most {
            return Err(io::Error::other("more was to be written at once than `journal.bytes`"));
        }
        while self.bytes() + more > self.most && !self.known.is_empty() {
            let (number, _) = self.known.remove(0);
            if self.known.is_empty() {
                self.file = None;
            }
            match std::fs::remove_file(self.directory.join(name(number))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        (self.most / SEGMENTS).max(SEGMENT_LEAST).min(self.most)
    }
}

/// Numbers and bytes of the segments in a directory, oldest first. Files of other names are nobody's business.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut known = Vec::new();
    for file in std::fs::read_dir(directory)? {
        let file = file?;
        let number = file.file_name().to_str().and_then(number);
        if let Some(number) = number {
            known.push((number, file.metadata()?.len()));
        }
    }
    known.sort_unstable();
    Ok(known)
}

/// What segment `number` is called.
pub(crate) fn name(number: u64) -> String {
    format!("journal-{number:012}.seg")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.strip_suffix(".seg")?.parse().ok()
}

/// Adds a frame to `text`. One that is too long for any reader is left out.
pub(crate) fn frame(kind: u8, bytes: &[u8], text: &mut Vec<u8>) {
    let Some(length) = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= FRAME_MOST) else { return };
    text.extend_from_slice(&length.to_le_bytes());
    text.extend_from_slice(&checksum(kind, bytes).to_le_bytes());
    text.push(kind);
    text.extend_from_slice(bytes);
}

/// How many frames whole `frames` are.
pub(crate) fn count(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((length, rest)) = frames.split_first_chunk::<4>() {
        let skip = HEAD - 4 + u32::from_le_bytes(*length) as usize;
        frames = rest.get(skip..).unwrap_or_default();
        count += 1;
    }
    count
}

/// CRC-32 of the kind and the bytes: it tells a torn frame from a whole one, and keeps nobody from forging one.
pub(crate) fn checksum(kind: u8, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(bytes);
    hasher.finalize()
}
