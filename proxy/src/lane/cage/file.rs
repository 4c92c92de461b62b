//! The kernel's files: one value or a few lines each, read and written whole.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CageError, LOOK_EVERY};

/// Writes one value to a file that is there.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CageError> {
    put(path, value).map_err(|source| CageError::Write { path: path.to_owned(), value: value.to_owned(), source })
}

/// Writes one value, and gives the bare reason if it cannot.
pub(super) fn put(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(value.as_bytes())
}

/// The number that a file says.
pub(super) fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of keys and numbers.
pub(super) fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let of_key = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(of_key)
}

/// Seconds in which all that is in a group was kept waiting, by its file of pressure. There is none before Linux 4.20, and for
/// CPUs it says nothing before 5.13.
pub(super) fn stalled_s(path: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let full = text.lines().find_map(|line| line.strip_prefix("full "))?;
    let total_us = full.split(' ').find_map(|part| part.strip_prefix("total="))?.parse::<u64>().ok()?;
    Some(total_us as f64 / 1e6)
}

/// The words that a file says.
pub(super) fn words(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The processes that a `cgroup.procs` lists.
pub(super) fn processes(path: &Path) -> Vec<i32> {
    words(path).iter().filter_map(|word| word.parse().ok()).collect()
}

/// Makes a group.
pub(super) fn make(path: &Path) -> Result<(), CageError> {
    std::fs::create_dir(path).map_err(|source| CageError::Make { path: path.to_owned(), source })
}

/// Removes a group: a process that has just died may hold it for a moment.
pub(super) fn remove(path: &Path, within: Duration) -> Result<(), CageError> {
    let until = Instant::now() + within;
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(source) => return Err(CageError::Remove { path: path.to_owned(), source }),
        }
    }
}
