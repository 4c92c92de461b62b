//! CPU time and memory of a process and everything below it, from the kernel's own books.
//!
//! CPU comes from each task's `schedstat`, in nanoseconds. Its weakness is that a thread which ends takes its account
//! with it; then the process's `stat` is used instead, which keeps the dead but counts in ticks of 10 ms. Work the kernel
//! does in softirqs is booked to whoever was running: on loopback that is the sender, the same way for every proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

/// CPU time spent up to one moment by a process tree. Only differences mean anything.
#[derive(Clone, Debug, Default)]
pub struct CpuTime {
    processes: BTreeMap<u32, ProcessTime>,
}

#[derive(Clone, Debug, Default)]
struct ProcessTime {
    ticks: u64,
    tasks_ns: BTreeMap<u32, u64>,
}

impl CpuTime {
    /// Reads the tree whose root is `pid`.
    ///
    /// # Errors
    /// When the root is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut processes = BTreeMap::new();
        processes.insert(pid, ProcessTime::of(pid)?);
        for child in descendants(pid) {
            // One that ended between the listing and here has nothing left to read.
            if let Ok(time) = ProcessTime::of(child) {
                processes.insert(child, time);
            }
        }
        Ok(Self { processes })
    }

    /// What was spent between `earlier` and this reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let spent = |(pid, now): (&u32, &ProcessTime)| match earlier.processes.get(pid) {
            Some(before) => now.since(before),
            None => now.since(&ProcessTime::default()),
        };
        self.processes.iter().map(spent).sum()
    }
}

impl ProcessTime {
    fn of(pid: u32) -> io::Result<Self> {
        let stat = Stat::of(pid)?;
        let mut tasks_ns = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let Some(task) = number(&entry.file_name().to_string_lossy()) else { continue };
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            if let Some(ns) = text.split_whitespace().next().and_then(number) {
                tasks_ns.insert(task, ns);
            }
        }
        Ok(Self { ticks: stat.ticks, tasks_ns })
    }

    fn since(&self, before: &Self) -> Duration {
        let all_live = before.tasks_ns.keys().all(|task| self.tasks_ns.contains_key(task));
        if self.tasks_ns.is_empty() || !all_live {
            let per_second = rustix::param::clock_ticks_per_second().max(1);
            return Duration::from_nanos(self.ticks.saturating_sub(before.ticks) * (1_000_000_000 / per_second));
        }
        let spent = |(task, now): (&u32, &u64)| now.saturating_sub(*before.tasks_ns.get(task).unwrap_or(&0));
        Duration::from_nanos(self.tasks_ns.iter().map(spent).sum())
    }
}

/// Resident memory of a process tree in bytes. Pages that parent and child share are counted in both.
///
/// # Errors
/// When the root is gone or may not be read.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let mut bytes = process_resident_bytes(pid)?;
    for child in descendants(pid) {
        bytes += process_resident_bytes(child).unwrap_or(0);
    }
    Ok(bytes)
}

/// Busy time of one core since boot: everything but idle and waiting for disks.
///
/// # Errors
/// When `/proc/stat` has no line for the core.
pub fn core_busy(core: usize) -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find(|line| line.starts_with(&name)).ok_or_else(|| missing(&name))?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(number).collect();
    let busy: u64 = fields.iter().take(8).enumerate().filter(|(at, _)| *at != 3 && *at != 4).map(|(_, n)| n).sum();
    Ok(Duration::from_nanos(busy * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))))
}

/// Every process below `pid`, parents before their children.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all_processes().filter_map(|id| Some((id, Stat::of(id).ok()?.parent))).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    found.split_off(1)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| missing("fields of stat"))
    }

    /// The name may hold spaces and brackets, so fields are counted from its last closing one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let user: u64 = number(fields.get(11)?)?;
        let system: u64 = number(fields.get(12)?)?;
        Some(Self { parent: number(fields.get(1)?)?, ticks: user + system })
    }
}

fn process_resident_bytes(pid: u32) -> io::Result<u64> {
    // `status` keeps per-thread slack of up to 64 pages; the roll-up walks the pages and is exact.
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .or_else(|_| fs::read_to_string(format!("/proc/{pid}/status")))?;
    let line = text.lines().find(|line| line.starts_with("Rss:") || line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(number::<u64>);
    kib.map(|kib| kib * 1024).ok_or_else(|| missing("Rss"))
}

fn all_processes() -> impl Iterator<Item = u32> {
    let names = fs::read_dir(PathBuf::from("/proc")).into_iter().flatten().flatten();
    names.filter_map(|entry| number(&entry.file_name().to_string_lossy()))
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel's account has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = Stat::parse("7 (a b) c) S 3 1 1 0 -1 4194560 1 2 3 4 50 25 0 0 20").expect("a full line");
        assert_eq!((stat.parent, stat.ticks), (3, 75));
    }

    #[test]
    fn work_of_this_process_is_booked_to_it() {
        let before = CpuTime::of(std::process::id()).expect("own account");
        let sum = (0..20_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n.wrapping_mul(31)));
        let spent = CpuTime::of(std::process::id()).expect("own account").since(&before);
        assert!(spent > Duration::ZERO, "{sum}");
    }

    #[test]
    fn a_dead_thread_falls_back_to_ticks() {
        let before = ProcessTime { ticks: 10, tasks_ns: BTreeMap::from([(1, 5), (2, 9)]) };
        let after = ProcessTime { ticks: 12, tasks_ns: BTreeMap::from([(1, 6)]) };
        let tick = Duration::from_nanos(1_000_000_000 / rustix::param::clock_ticks_per_second());
        assert_eq!(after.since(&before), tick * 2);
    }
}
