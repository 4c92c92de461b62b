//! Real jobs from a trace: when they came, what could be seen of them, and how long they took.
//!
//! A trace is CSV, plain or gzip, with the columns `arrival_s`, `class`, `urgency`, `body_bytes`, any `x_*`, and
//! `service_s`; others are passed over. An empty cell is missing.

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
    /// How long it took where it ran.
    pub service_s: f64,
}

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("{0}: cannot be read; a `.gz` needs gzip")]
    Unread(PathBuf, #[source] std::io::Error),
    /// A column is missing.
    #[error("{0}: there is no column `{1}`")]
    NoColumn(PathBuf, &'static str),
    /// There is nothing in it.
    #[error("{0}: there is no job in it")]
    Empty(PathBuf),
}

/// The jobs of a trace that take a tenth of a second at least and `most_s` at the most, in the order they came.
pub fn read(path: &Path, most_s: f64) -> Result<Vec<Traced>, TraceError> {
    let unread = |error| TraceError::Unread(path.to_owned(), error);
    let bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        Command::new("gzip").arg("-dc").arg(path).output().map_err(unread)?.stdout
    } else {
        std::fs::read(path).map_err(unread)?
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &'static str| {
        names.iter().position(|found| *found == name).ok_or(TraceError::NoColumn(path.to_owned(), name))
    };
    let [arrival, class, service] = [column("arrival_s")?, column("class")?, column("service_s")?];
    let (urgency, body) = (column("urgency").ok(), column("body_bytes").ok());
    let extracts: Vec<usize> = (0..names.len()).filter(|at| names[*at].starts_with("x_")).take(EXTRACTED).collect();
    let mut classes = BTreeMap::new();
    let mut jobs = Vec::new();
    for cells in lines.map(|line| line.split(',').collect::<Vec<_>>()) {
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
        let (Ok(arrival_s), Ok(service_s)) = (cell(arrival).parse(), cell(service).parse::<f64>()) else { continue };
        if !(0.1..=most_s).contains(&service_s) {
            continue;
        }
        let kinds = u16::try_from(classes.len()).unwrap_or(u16::MAX);
        let mut extracted = [f32::NAN; EXTRACTED];
        for (value, at) in extracted.iter_mut().zip(&extracts) {
            *value = cell(*at).parse().unwrap_or(f32::NAN);
        }
        jobs.push(Traced {
            arrival_s,
            class: *classes.entry(cell(class).to_owned()).or_insert(kinds),
            urgency: urgency.and_then(|at| cell(at).parse().ok()).filter(|u| *u < 8).unwrap_or(3),
            body_bytes: body.and_then(|at| cell(at).parse::<f64>().ok()).map(|bytes| bytes as u64),
            extracted,
            service_s,
        });
    }
    jobs.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
    if jobs.is_empty() { Err(TraceError::Empty(path.to_owned())) } else { Ok(jobs) }
}
