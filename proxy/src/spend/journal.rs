//! What was spent, in a file: a line for each minute and network in which something was, added as it is spent, and one for what
//! is in flight. `spent 28333334 public 0.25 #a1b2c3d4`, `open 0 public 0.5 #…`; the last word is a checksum of the rest.
//!
//! A process that is killed leaves whole lines and perhaps a torn one, which is passed over, counted, and left beside the new
//! file under `.bad`. Now and then the file is written anew and put in place in one step. One process at a time writes it; a
//! second one counts what it has read, says so, and writes when the first has gone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Kept, Part};
use crate::metrics::Metrics;

/// A file of so many bytes is written anew; what it must hold is a small part of that.
const LONG: u64 = 1 << 20;
/// How often the disk is asked to have it for good: a kill does not need that, a power cut does.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    /// Held for as long as the file is ours to write.
    lock: Option<File>,
    file: Option<File>,
    bytes: u64,
    unreadable: u64,
    failing: Option<String>,
    failed: Option<Instant>,
    synced: Option<Instant>,
    /// What was written last of what is in flight, by network.
    open: Vec<(String, f64)>,
    /// What was read before the file was ours to write.
    before: BTreeMap<(String, u64), f64>,
}

impl Journal {
    /// The file in `directory`. Nothing is read or written yet.
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            lock: None,
            file: None,
            bytes: 0,
            unreadable: 0,
            failing: None,
            failed: None,
            synced: None,
            open: Vec::new(),
            before: BTreeMap::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("spend.log")
    }

    /// What was written down: network, minute, money. What was in flight stands under the latest minute of all, for it was
    /// running then. What cannot be read is counted, and never keeps anybody from anything.
    pub(super) fn read(&mut self) -> Vec<(String, u64, f64)> {
        let mut spent = self.lines();
        for (network, minute, money) in &mut spent {
            // Another process may be adding to it: what was there already must not count twice.
            let before = self.before.entry((network.clone(), *minute)).or_default();
            let more = (*money - *before).max(0.0);
            *before += more;
            *money = more;
        }
        spent
    }

    fn lines(&mut self) -> Vec<(String, u64, f64)> {
        let bytes = match std::fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::error!(path = %self.path().display(), %error, "what was spent before cannot be read: it does not count");
                self.failing = Some(format!("what was spent before cannot be read: {error}"));
                return Vec::new();
            }
        };
        let mut spent: BTreeMap<(String, u64), f64> = BTreeMap::new();
        let mut open: BTreeMap<String, f64> = BTreeMap::new();
        self.unreadable = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            match whole.and_then(Entry::parse) {
                Some(Entry { kind: "spent", minute, network, money }) => {
                    *spent.entry((network.to_owned(), minute)).or_default() += money;
                }
                Some(Entry { network, money, .. }) => drop(open.insert(network.to_owned(), money)),
                None => self.unreadable += 1,
            }
        }
        if self.unreadable > 0 {
            let (path, lines) = (self.path(), self.unreadable);
            tracing::warn!(path = %path.display(), lines, "lines of what was spent make no sense and do not count; the file is kept as spend.log.bad");
            let _kept_if_it_can_be = std::fs::copy(path, self.directory.join("spend.log.bad"));
        }
        let latest = spent.keys().map(|(_, minute)| *minute).max().unwrap_or(u64::MAX);
        for (network, money) in open {
            *spent.entry((network, latest)).or_default() += money;
        }
        spent.into_iter().map(|((network, minute), money)| (network, minute, money)).collect()
    }

    /// Whether it is ours to write.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.is_some()
    }

    /// Makes it ours to write, if nobody else writes it, and says what was added to it since it was read. `None`, and counted, if
    /// it cannot be ours now.
    pub(super) fn take_over(&mut self, metrics: &Metrics) -> Option<Vec<(String, u64, f64)>> {
        if self.is_waiting() {
            return None;
        }
        let locked = self.try_lock();
        let is_theirs = locked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if is_theirs && crate::handover::predecessor_is_there() {
            // It writes down what its last jobs cost, and then goes.
            return None;
        }
        self.tell(locked, metrics).then(|| self.read())
    }

    fn try_lock(&mut self) -> io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let lock = OpenOptions::new().create(true).append(true).open(self.directory.join("spend.lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, "another process writes it"),
            TryLockError::Error(error) => error,
        })?;
        self.lock = Some(lock);
        Ok(())
    }

    /// Whether a failure is so young that nothing is tried.
    fn is_waiting(&self) -> bool {
        self.failed.is_some_and(|failed| failed.elapsed() < AGAIN)
    }

    /// Whether it should be written anew: it never was by us, something went wrong with it, or it is long.
    pub(super) fn wants_renewal(&self) -> bool {
        (self.file.is_none() || self.bytes > LONG) && !self.is_waiting()
    }

    /// Writes it anew, whole, and puts it in place in one step. Says whether it did; if not, that is counted.
    pub(super) fn renew(&mut self, whole: &[Part], metrics: &Metrics) -> bool {
        let renewed = self.try_renew(whole);
        self.tell(renewed, metrics)
    }

    fn try_renew(&mut self, whole: &[Part]) -> io::Result<()> {
        let mut text = String::new();
        for part in whole {
            part.minutes.iter().for_each(|(minute, money)| line(&mut text, "spent", *minute, &part.name, *money));
            line(&mut text, "open", 0, &part.name, part.open);
        }
        let (path, beside) = (self.path(), self.directory.join("spend.log.new"));
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        drop(file);
        std::fs::rename(&beside, &path)?;
        // The name is for good only once its directory is.
        File::open(&self.directory)?.sync_all()?;
        self.file = Some(OpenOptions::new().append(true).open(&path)?);
        self.bytes = text.len() as u64;
        self.open = whole.iter().map(|part| (part.name.clone(), part.open)).collect();
        Ok(())
    }

    /// Adds what was spent since. Says whether all of it is in the file; if not, that is counted, and the file is written anew.
    pub(super) fn append(&mut self, parts: &[Part], metrics: &Metrics) -> bool {
        let mut text = String::new();
        for part in parts {
            part.minutes.iter().for_each(|(minute, money)| line(&mut text, "spent", *minute, &part.name, *money));
            if self.open.iter().any(|(name, open)| *name == part.name && *open == part.open) {
                continue;
            }
            line(&mut text, "open", 0, &part.name, part.open);
            self.open.retain(|(name, _)| *name != part.name);
            self.open.push((part.name.clone(), part.open));
        }
        if text.is_empty() {
            return true;
        }
        let Some(file) = &mut self.file else { return false };
        let written = file.write_all(text.as_bytes()).and_then(|()| {
            self.bytes += text.len() as u64;
            if self.synced.is_none_or(|synced| synced.elapsed() >= SYNC_EVERY) {
                self.synced = Some(Instant::now());
                file.sync_data()?;
            }
            Ok(())
        });
        if written.is_err() {
            // How much of it is there, nobody knows. What is in memory is right.
            self.file = None;
        }
        self.tell(written, metrics)
    }

    /// Says that it fails, or that it works again, but each only once.
    fn tell(&mut self, result: io::Result<()>, metrics: &Metrics) -> bool {
        let path = self.path();
        match result {
            Ok(()) => {
                self.failed = None;
                if self.failing.take().is_some() {
                    tracing::info!(path = %path.display(), "what is spent is written down");
                }
                true
            }
            Err(error) => {
                metrics.spend_unwritten();
                self.failed = Some(Instant::now());
                let told = error.to_string();
                if self.failing.as_ref() != Some(&told) {
                    tracing::error!(path = %path.display(), %error, "what is spent cannot be written down; caps hold for as long as this process lives; see `state.directory`");
                }
                self.failing = Some(told);
                false
            }
        }
    }

    /// What is kept, for people.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            file: Some(self.path().display().to_string()),
            failing: self.failing.clone(),
            unreadable_lines: self.unreadable,
        }
    }
}

/// A line that makes sense.
struct Entry<'a> {
    kind: &'a str,
    minute: u64,
    network: &'a str,
    money: f64,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (said, sum) = line.split_once(" #")?;
        if u32::from_str_radix(sum, 16).ok()? != checksum(said) {
            return None;
        }
        let mut words = said.split(' ');
        let (kind, minute) = (words.next()?, words.next()?.parse().ok()?);
        let (network, money) = (words.next()?, words.next()?.parse::<f64>().ok()?);
        let makes_sense =
            matches!(kind, "spent" | "open") && words.next().is_none() && money.is_finite() && money >= 0.0;
        makes_sense.then_some(Self { kind, minute, network, money })
    }
}

fn line(text: &mut String, kind: &str, minute: u64, network: &str, money: f64) {
    let said = format!("{kind} {minute} {network} {money}");
    let sum = checksum(&said);
    text.push_str(&said);
    text.push_str(&format!(" #{sum:08x}\n"));
}

/// FNV-1a of 32 bits: it is to tell a torn line from a whole one, not to keep anybody from forging it.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
