//! Real jobs from a trace: when they came, what could be seen of them, and how long they took.
//!
//! A trace is CSV, plain or gzip, with the columns `arrival_s`, `class`, `service_s`, and where it has them `group`, `urgency`,
//! `body_bytes`, `data_key`, `data_bytes`, any `x_*`, `cpu_s`, `memory_bytes` and `response_bytes`; others are passed over. An
//! empty cell is missing. A job without a time or an arrival is left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use policy::job::EXTRACTED;

/// One job of a trace.
#[derive(Clone, Debug)]
pub struct Traced {
    /// When it came.
    pub arrival_s: f64,
    /// What kind it is, by its place among the kinds there are.
    pub class: u16,
    /// How urgent, as RFC 9218 counts; the default where the trace does not say.
    pub urgency: u8,
    /// Bytes of its body.
    pub body_bytes: Option<u64>,
    /// What else could be seen.
    pub extracted: [f32; EXTRACTED],
    /// Which run of a workflow it belongs to; its own where the trace does not say.
    pub group: u32,
    /// What it must read.
    pub data: Option<Data>,
    /// How long it took where it ran. Hidden from whoever decides, like all that follows.
    pub service_s: f64,
    /// CPU seconds.
    pub cpu_s: Option<f64>,
    /// Memory.
    pub memory_bytes: Option<f64>,
    /// Bytes of its answer.
    pub response_bytes: Option<f64>,
}

/// An input that jobs may share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Data {
    /// Which, by its place among the keys there are.
    pub key: u32,
    /// How large it is.
    pub bytes: u64,
}

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("{0}: cannot be read; a `.gz` needs gzip: {1}")]
    Unread(PathBuf, #[source] std::io::Error),
    /// A column is missing.
    #[error("{0}: there is no column `{1}`")]
    NoColumn(PathBuf, &'static str),
    /// There is nothing in it.
    #[error("{0}: there is no job in it")]
    Empty(PathBuf),
}

/// The jobs of a trace that take as many seconds as `wanted_s` says, in the order they came.
pub fn read(path: &Path, wanted_s: std::ops::RangeInclusive<f64>) -> Result<Vec<Traced>, TraceError> {
    let unread = |error| TraceError::Unread(path.to_owned(), error);
    let bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        let gunzipped = Command::new("gzip").arg("-dc").arg(path).output().map_err(unread)?;
        if !gunzipped.status.success() {
            let said = String::from_utf8_lossy(&gunzipped.stderr).trim().to_owned();
            return Err(unread(std::io::Error::other(said)));
        }
        gunzipped.stdout
    } else {
        std::fs::read(path).map_err(unread)?
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let columns = Columns::of(lines.next().unwrap_or_default(), path)?;
    let (mut classes, mut groups, mut keys) = (Names::default(), Names::default(), Names::default());
    let mut jobs: Vec<Traced> = Vec::new();
    for cells in lines.map(cells) {
        let number = |at: Option<usize>| number(&cells, at);
        let word = |at: Option<usize>| at.and_then(|at| cells.get(at)).map_or("", |cell| cell.as_ref());
        let times = number(Some(columns.arrival)).zip(number(Some(columns.service)));
        let Some((arrival_s, service_s)) = times.filter(|(_, took_s)| wanted_s.contains(took_s)) else { continue };
        let mut extracted = [f32::NAN; EXTRACTED];
        for (value, at) in extracted.iter_mut().zip(&columns.extracts) {
            *value = number(Some(*at)).map_or(f32::NAN, |value| value as f32);
        }
        let group = word(columns.group);
        let own = format!("job {}", jobs.len());
        let key = word(columns.data_key);
        let bytes = number(columns.data_bytes).filter(|bytes| *bytes > 0.0 && !key.is_empty());
        jobs.push(Traced {
            arrival_s,
            class: u16::try_from(classes.place(word(Some(columns.class)))).unwrap_or(u16::MAX),
            urgency: number(columns.urgency).map_or(3, |u| u.clamp(0.0, 7.0) as u8),
            body_bytes: number(columns.body).filter(|bytes| *bytes >= 0.0).map(|bytes| bytes as u64),
            extracted,
            group: groups.place(if group.is_empty() { &own } else { group }),
            data: bytes.map(|bytes| Data { key: keys.place(key), bytes: bytes as u64 }),
            service_s,
            cpu_s: number(columns.cpu),
            memory_bytes: number(columns.memory),
            response_bytes: number(columns.response).filter(|bytes| *bytes >= 0.0),
        });
    }
    jobs.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
    if jobs.is_empty() { Err(TraceError::Empty(path.to_owned())) } else { Ok(jobs) }
}

/// Where each column is.
struct Columns {
    arrival: usize,
    class: usize,
    service: usize,
    group: Option<usize>,
    urgency: Option<usize>,
    body: Option<usize>,
    data_key: Option<usize>,
    data_bytes: Option<usize>,
    cpu: Option<usize>,
    memory: Option<usize>,
    response: Option<usize>,
    extracts: Vec<usize>,
}

impl Columns {
    fn of(line: &str, path: &Path) -> Result<Self, TraceError> {
        let names = cells(line);
        let find = |name: &str| names.iter().position(|found| found.trim() == name);
        let must = |name: &'static str| find(name).ok_or(TraceError::NoColumn(path.to_owned(), name));
        Ok(Self {
            arrival: must("arrival_s")?,
            class: must("class")?,
            service: must("service_s")?,
            group: find("group"),
            urgency: find("urgency"),
            body: find("body_bytes"),
            data_key: find("data_key"),
            data_bytes: find("data_bytes"),
            cpu: find("cpu_s"),
            memory: find("memory_bytes"),
            response: find("response_bytes"),
            extracts: (0..names.len()).filter(|at| names[*at].trim().starts_with("x_")).take(EXTRACTED).collect(),
        })
    }
}

/// Numbers given to names, in the order they are first met.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.0.get(name) {
            return *place;
        }
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(name.to_owned(), next);
        next
    }
}

/// A line's cells. A cell in quotes may have commas in it.
fn cells(line: &str) -> Vec<Cow<'_, str>> {
    if !line.contains('"') {
        return line.split(',').map(Cow::Borrowed).collect();
    }
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(Cow::Owned(std::mem::take(&mut cell))),
            other => cell.push(other),
        }
    }
    cells.push(Cow::Owned(cell));
    cells
}

/// A cell's number, if there is one that can be.
fn number(cells: &[Cow<'_, str>], at: Option<usize>) -> Option<f64> {
    cells.get(at?)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_missing_and_quotes_hold_commas() {
        let text = "arrival_s,class,urgency,service_s,x_a,data_key,data_bytes\n\
                    2,\"a,b\",,0.5,,k,10\n1,c,9,2,7,,\nx,c,1,2,3,k,4\n3,c,1,,3,k,4\n";
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(file.path(), text).expect("it can be written");
        let jobs = read(file.path(), 0.0..=10.0).expect("two jobs");
        assert_eq!(jobs.len(), 2, "one has no arrival, one no time");
        let [first, second] = &jobs[..] else { panic!("two jobs") };
        assert_eq!((first.arrival_s, first.urgency, first.extracted[0], first.data), (1.0, 7, 7.0, None));
        assert_eq!((second.urgency, second.data), (3, Some(Data { key: 0, bytes: 10 })));
        assert!(second.extracted[0].is_nan() && second.class != first.class && second.group != first.group);
    }
}
