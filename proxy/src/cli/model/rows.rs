//! Recorded jobs into labels.
//!
//! A row is one dispatch that ran to its end: what could be seen of the job before it ran, where it ran, how long it took.
//! The columns are those of a trace of jobs (`class`, `urgency`, `body_bytes`, `x_…`, `service_s`, …), and three that tell
//! networks and routes apart: `network`, `route`, `pair`. An empty cell is missing. What cannot be true is not taken, and is
//! said with its line.

use std::collections::BTreeMap;
use std::path::Path;

use policy::job::EXTRACTED;
use policy::learn::{Label, Row, Window};
use policy::model::file::{CLASSES_MOST, ClassName, Extracts};
use policy::{ClassId, Job, MAX_NETWORKS, NetworkId, NetworkSet, ShadowMode, Urgency};

use super::ModelError;
use super::csv::Lines;

/// The most rows that are read: they are all held.
pub(super) const ROWS_MOST: usize = 1_000_000;
/// Bad rows that are said one by one.
const SAID_MOST: usize = 20;
/// The most bytes of a class's name: as in a running sidecar.
const NAME_MOST: usize = 64;

/// What is known before the first row.
#[derive(Debug)]
pub(super) struct Terms {
    /// Networks, home first where there is no configuration.
    pub(super) networks: Vec<String>,
    pub(super) home: NetworkId,
    /// The route of rows that do not name one.
    pub(super) route: Option<String>,
    /// The routes there are, and what each extracts, where there is a configuration.
    pub(super) routes: Option<Vec<Extracts>>,
}

/// One row, and what it is split by.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) row: Row,
    /// The run of one workflow that it belongs to, by number.
    pub(super) group: Option<u32>,
    pub(super) arrival_s: f64,
}

/// All rows of all files, and what they name.
#[derive(Debug)]
pub(super) struct Recording {
    terms: Terms,
    pub(super) rows: Vec<Recorded>,
    pub(super) classes: Vec<ClassName>,
    class_ids: BTreeMap<ClassName, ClassId>,
    groups: BTreeMap<String, u32>,
    pairs: BTreeMap<String, u64>,
    /// What `x_0`, `x_1`, … are, where no configuration says so: the columns of the first file.
    pub(super) extracts: Vec<String>,
    pub(super) bad: usize,
    unpaired: u64,
}

/// Where the columns stand.
#[derive(Debug)]
struct Columns {
    names: Vec<String>,
    class: usize,
    service: usize,
    extracted: Vec<(String, usize)>,
}

impl Recording {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            rows: Vec::new(),
            classes: Vec::new(),
            class_ids: BTreeMap::new(),
            groups: BTreeMap::new(),
            pairs: BTreeMap::new(),
            extracts: Vec::new(),
            bad: 0,
            unpaired: 0,
        }
    }

    pub(super) fn home(&self) -> NetworkId {
        self.terms.home
    }

    pub(super) fn networks(&self) -> &[String] {
        &self.terms.networks
    }

    /// What each route extracts, as the model's file is to say.
    pub(super) fn extracts(&self) -> Vec<Extracts> {
        let mut routes: Vec<&String> = self.classes.iter().map(|class| &class.route).collect();
        routes.sort();
        routes.dedup();
        let of = |route: &String| match &self.terms.routes {
            Some(known) => known.iter().find(|extracts| extracts.route == *route).cloned(),
            None => Some(Extracts { route: route.clone(), names: self.extracts.clone() }),
        };
        routes.into_iter().filter_map(of).filter(|extracts| !extracts.names.is_empty()).collect()
    }

    /// Adds the rows of a file, in the order in which the jobs came. Bad ones are said on stderr.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), ModelError> {
        let unreadable = |error| ModelError::Unreadable(path.to_owned(), error);
        let mut lines = Lines::open(path).map_err(unreadable)?;
        let (_, names) = lines.next().map_err(unreadable)?.unwrap_or_default();
        let columns = Columns::of(names, path)?;
        if self.rows.is_empty() {
            self.extracts = columns.extracted.iter().map(|(name, _)| name.clone()).take(EXTRACTED).collect();
        }
        let first = self.rows.len();
        while let Some((number, cells)) = lines.next().map_err(unreadable)? {
            if cells.len() == 1 && cells[0].is_empty() {
                continue;
            }
            if self.rows.len() == ROWS_MOST {
                return Err(ModelError::TooManyRows);
            }
            match self.row(&columns, &cells)? {
                Ok(row) => self.rows.push(row),
                Err(why) => self.refuse(path, number, &why),
            }
        }
        self.rows[first..].sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        Ok(())
    }

    fn refuse(&mut self, path: &Path, number: u64, why: &str) {
        self.bad += 1;
        if self.bad <= SAID_MOST {
            eprintln!("{}", super::printable(&format!("{}:{number}: {why}", path.display())));
        } else if self.bad == SAID_MOST + 1 {
            eprintln!("… and more");
        }
    }

    /// One row, or what is wrong with it; or what makes all rows useless.
    fn row(&mut self, columns: &Columns, cells: &[String]) -> Result<Result<Recorded, String>, ModelError> {
        if cells.len() != columns.names.len() {
            return Ok(Err(format!("it has {} cells, and the first line {}", cells.len(), columns.names.len())));
        }
        let cell = |name: &str| columns.cell(cells, name);
        let route = match cell("route").or(self.terms.route.as_deref()) {
            Some(route) => route.to_owned(),
            None => return Err(ModelError::NoRoute),
        };
        let known = self.terms.routes.as_ref();
        let extracts = known.map(|known| known.iter().find(|extracts| extracts.route == route));
        if let Some(None) = extracts {
            return Err(ModelError::UnknownRoute(route));
        }
        let extracts = extracts.flatten().map(|extracts| extracts.names.clone()).unwrap_or(self.extracts.clone());
        let network = match cell("network") {
            None => self.terms.home,
            Some(name) => self.network(name)?,
        };
        let class = cells[columns.class].clone();
        let figures = || -> Result<Row, String> {
            let number = |name: &'static str| columns.number(cells, name);
            let bytes = |name| number(name)?.map(|n| whole(name, n)).transpose();
            let urgency = match number("urgency")? {
                None => Urgency::DEFAULT,
                Some(u) => {
                    Urgency::new(whole("urgency", u)?.min(255) as u8).ok_or(format!("urgency {u} is not 0 to 7"))?
                }
            };
            let seconds = number("service_s")?.ok_or("service_s is missing")?;
            let mut extracted = [f32::NAN; EXTRACTED];
            for (value, name) in extracted.iter_mut().zip(&extracts) {
                if let Some(number) = columns.number(cells, name)? {
                    *value = number as f32;
                }
            }
            let row = Row {
                job: job(urgency, bytes("body_bytes")?, extracted),
                pair: 0,
                network,
                label: Label::Took(seconds),
                cpu_s: number("cpu_s")?,
                memory_bytes: number("memory_bytes")?,
                response_bytes: number("response_bytes")?,
            };
            Window::check(&row).map_err(|why| format!("{why} (service_s {seconds})"))?;
            Ok(row)
        };
        let arrival_s = columns.number(cells, "arrival_s").map(|at| at.filter(|at| at.is_finite()).unwrap_or(0.0));
        let (mut row, arrival_s) = match (figures(), arrival_s) {
            (Ok(row), Ok(arrival_s)) => (row, arrival_s),
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        row.job.class = self.class(ClassName { route, class: clipped(&class).to_owned() })?;
        row.pair = self.pair(cell("pair"));
        let groups = self.groups.len() as u32;
        let group = cell("group").map(|group| *self.groups.entry(group.to_owned()).or_insert(groups));
        Ok(Ok(Recorded { row, group, arrival_s }))
    }

    fn network(&mut self, name: &str) -> Result<NetworkId, ModelError> {
        let place = self.terms.networks.iter().position(|network| network == name).unwrap_or_else(|| {
            self.terms.networks.push(name.to_owned());
            self.terms.networks.len() - 1
        });
        if self.terms.networks.len() > MAX_NETWORKS {
            return Err(ModelError::TooManyNetworks);
        }
        NetworkId::new(place).ok_or(ModelError::TooManyNetworks)
    }

    fn class(&mut self, name: ClassName) -> Result<ClassId, ModelError> {
        if let Some(class) = self.class_ids.get(&name) {
            return Ok(*class);
        }
        if self.classes.len() == CLASSES_MOST {
            return Err(ModelError::TooManyClasses);
        }
        let class = ClassId(self.classes.len() as u16);
        self.classes.push(name.clone());
        self.class_ids.insert(name, class);
        Ok(class)
    }

    /// The number of a pair: the same for the same word, its own for a row that is in none.
    fn pair(&mut self, word: Option<&str>) -> u64 {
        let next = self.pairs.len() as u64;
        match word {
            Some(word) => *self.pairs.entry(word.to_owned()).or_insert(next),
            None => {
                self.unpaired += 1;
                u64::MAX - self.unpaired
            }
        }
    }
}

impl Columns {
    fn of(names: Vec<String>, path: &Path) -> Result<Self, ModelError> {
        let place = |name: &'static str| {
            names.iter().position(|found| found == name).ok_or_else(|| ModelError::NoColumn(path.to_owned(), name))
        };
        let (class, service) = (place("class")?, place("service_s")?);
        let extracted = names.iter().enumerate().filter(|(_, name)| name.starts_with("x_"));
        let extracted = extracted.map(|(at, name)| (name.clone(), at)).collect();
        Ok(Self { class, service, extracted, names })
    }

    /// What stands in a column, if there is one and something in it.
    fn cell<'c>(&self, cells: &'c [String], name: &str) -> Option<&'c str> {
        let at = match name {
            "service_s" => self.service,
            _ => self.names.iter().position(|found| found == name)?,
        };
        cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    }

    fn number(&self, cells: &[String], name: &str) -> Result<Option<f64>, String> {
        let Some(cell) = self.cell(cells, name) else { return Ok(None) };
        cell.parse().map(Some).map_err(|_| format!("{name} is `{}`, which is no number", clipped(cell)))
    }
}

fn whole(name: &str, number: f64) -> Result<u64, String> {
    if (0.0..=1e18).contains(&number) { Ok(number as u64) } else { Err(format!("{name} {number} cannot be")) }
}

fn clipped(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_MOST)]
}

/// A job of which nothing matters but what a model sees.
fn job(urgency: Urgency, body_bytes: Option<u64>, extracted: [f32; EXTRACTED]) -> Job {
    Job {
        class: ClassId(0),
        urgency,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes,
        // As in a sidecar, which does not know how large inputs are before they are fetched.
        input_bytes: None,
        // A trace's clock begins when it does.
        hour: f32::NAN,
        extracted,
        draw: 0.5,
    }
}
