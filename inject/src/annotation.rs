//! The annotations under `adumbra.dev/`: which there are, and what a pod that has them asks for.
//!
//! Strict, because a typing error here would be a service without its sidecar, or with another one than was meant: a name
//! that is not known is an error, and so is a value that is not of its type. Other people's annotations are nobody's business.
//! `adumbra.dev/inject` may be a label instead, for the API server selects pods by labels and not by annotations.

use serde_json::{Map, Value};

use crate::problem::{Problem, Quoted, Refusal};
use crate::values::{self, Image, Name, Port, Ports, Quantity, ValueError};
use crate::workload::kind_of;

/// What all of them begin with.
pub const PREFIX: &str = "adumbra.dev/";
/// Asks for a sidecar.
pub const INJECT: &str = "adumbra.dev/inject";
/// The ConfigMap.
pub const CONFIG: &str = "adumbra.dev/config";
/// Where the sidecar takes jobs.
pub const PORT: &str = "adumbra.dev/port";
/// Where its operator's port is.
pub const ADMIN_PORT: &str = "adumbra.dev/admin-port";
/// Says which version injected; adumbra's own.
pub const INJECTED: &str = "adumbra.dev/injected";

const CERTIFICATES: &str = "adumbra.dev/certificates";
const INTERCEPT: &str = "adumbra.dev/intercept";
const IMAGE: &str = "adumbra.dev/image";
const CPU_REQUEST: &str = "adumbra.dev/cpu-request";
const CPU_LIMIT: &str = "adumbra.dev/cpu-limit";
const MEMORY_REQUEST: &str = "adumbra.dev/memory-request";
const MEMORY_LIMIT: &str = "adumbra.dev/memory-limit";

/// Every one, with what it is for: docs/inject.md has the same list, and a test compares.
pub const ALL: [(&str, &str); 12] = [
    (INJECT, "\"true\" asks for a sidecar; as a label, so that the webhook sees it"),
    (CONFIG, "the ConfigMap with `adumbra.toml`"),
    (CERTIFICATES, "the Secret with certificates, mounted at /etc/adumbra-certificates"),
    (PORT, "where the sidecar takes jobs: `listen.jobs` of its configuration"),
    (ADMIN_PORT, "where it answers probes: `listen.admin` of its configuration"),
    (INTERCEPT, "ports whose connections the sidecar takes, or \"all\": `listen.intercept.ports` of its configuration"),
    (IMAGE, "the sidecar's image"),
    (CPU_REQUEST, "CPU that is set aside for it"),
    (CPU_LIMIT, "CPU that it gets at the most"),
    (MEMORY_REQUEST, "memory that is set aside for it"),
    (MEMORY_LIMIT, "memory that it gets at the most"),
    (INJECTED, "written by adumbra: the version that injected"),
];

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The ConfigMap with `adumbra.toml`.
    pub config: Name,
    /// The Secret with certificates.
    pub certificates: Option<Name>,
    /// Where jobs come in.
    pub port: Port,
    /// Where probes ask.
    pub admin: Port,
    /// What is intercepted.
    pub intercept: Option<Ports>,
    /// The sidecar's image.
    pub image: Image,
    /// CPU and memory, set aside.
    pub requests: Amounts,
    /// CPU and memory, at the most.
    pub limits: Amounts,
}

/// Amounts of CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Cores.
    pub cpu: Option<Quantity>,
    /// Bytes.
    pub memory: Option<Quantity>,
}

/// What holds where an object says nothing else.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sidecar's image.
    pub image: Image,
    /// Annotations that objects are taken to have; their own are stronger.
    pub annotations: Map<String, Value>,
}

/// What a pod's metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing, or no.
    No,
    /// A sidecar.
    Yes(Box<Asked>),
}

/// Reads what the metadata of a pod, which stands at `at`, ask for.
pub(crate) fn read(metadata: Option<&Value>, at: &str, settings: &Settings) -> Result<Wish, Vec<Refusal>> {
    let mut reader = Reader { own: Map::new(), defaults: &settings.annotations, at, refusals: Vec::new() };
    let label = reader.take(metadata);
    let wish = reader.wish(label.as_ref(), settings);
    if reader.refusals.is_empty() { Ok(wish) } else { Err(reader.refusals) }
}

struct Reader<'a> {
    own: Map<String, Value>,
    defaults: &'a Map<String, Value>,
    at: &'a str,
    refusals: Vec<Refusal>,
}

impl Reader<'_> {
    /// Takes our annotations up, and gives back our label.
    fn take(&mut self, metadata: Option<&Value>) -> Option<Value> {
        for key in ["annotations", "labels"] {
            match metadata.and_then(|metadata| metadata.get(key)) {
                None | Some(Value::Null | Value::Object(_)) => {}
                Some(other) => {
                    let problem = Problem::Shape { wanted: "a mapping", found: kind_of(other) };
                    self.refusals.push(Refusal::new(format!("{}.{key}", self.at), problem));
                }
            }
        }
        let annotations = metadata.and_then(|metadata| metadata.get("annotations")).and_then(Value::as_object);
        let ours = annotations.into_iter().flatten().filter(|(key, _)| key.starts_with(PREFIX));
        self.own = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        for key in self.own.keys().filter(|key| !ALL.iter().any(|(known, _)| known == key)) {
            let problem = Problem::Unknown { nearest: nearest(key) };
            self.refusals.push(Refusal::new(place(self.at, "annotations", key), problem));
        }
        metadata.and_then(|metadata| metadata.get("labels")?.get(INJECT)).cloned()
    }

    fn wish(&mut self, label: Option<&Value>, settings: &Settings) -> Wish {
        let label = label.and_then(|label| self.read(label, "labels", INJECT, values::switch));
        let annotation = self.switch_of_own();
        if let (Some(label), Some(annotation)) = (label, annotation)
            && label != annotation
        {
            self.refuse("annotations", INJECT, Problem::Disagree);
        }
        let said = self.own.contains_key(INJECT);
        let otherwise = if said { None } else { self.value(INJECT, values::switch) };
        let wanted = label.or(annotation).or(otherwise).unwrap_or(false);
        if !wanted {
            return Wish::No;
        }
        let config = self.value(CONFIG, Name::parse);
        if config.is_none() && self.text_of(CONFIG).is_none() {
            self.refuse("annotations", CONFIG, Problem::NoConfig);
        }
        let port = self.value(PORT, Port::parse).unwrap_or(DEFAULT_PORT);
        let admin = self.value(ADMIN_PORT, Port::parse).unwrap_or(DEFAULT_ADMIN_PORT);
        if port == admin {
            self.refuse("annotations", ADMIN_PORT, Problem::PortTwice { port });
        }
        let intercept = self.value(INTERCEPT, Ports::parse);
        for (own, key) in [(port, PORT), (admin, ADMIN_PORT)] {
            // `all` is without the sidecar's own.
            if matches!(&intercept, Some(Ports::These(ports)) if ports.contains(&own)) {
                self.refuse("annotations", INTERCEPT, Problem::PortTaken { port: own, key });
            }
        }
        let certificates = self.value(CERTIFICATES, Name::parse);
        let image = self.value(IMAGE, Image::parse).unwrap_or_else(|| settings.image.clone());
        let mut amount = |key, otherwise: Option<&str>| {
            self.value(key, Quantity::parse).or_else(|| otherwise.and_then(|text| Quantity::parse(text).ok()))
        };
        let requests = Amounts { cpu: amount(CPU_REQUEST, Some("100m")), memory: amount(MEMORY_REQUEST, Some("64Mi")) };
        let limits = Amounts { cpu: amount(CPU_LIMIT, None), memory: amount(MEMORY_LIMIT, None) };
        let Some(config) = config else { return Wish::No };
        Wish::Yes(Box::new(Asked { config, certificates, port, admin, intercept, image, requests, limits }))
    }

    fn switch_of_own(&mut self) -> Option<bool> {
        let own = self.own.get(INJECT).cloned()?;
        self.read(&own, "annotations", INJECT, values::switch)
    }

    fn text_of(&self, key: &str) -> Option<&Value> {
        self.own.get(key).or_else(|| self.defaults.get(key))
    }

    fn value<T>(&mut self, key: &'static str, parse: fn(&str) -> Result<T, ValueError>) -> Option<T> {
        let value = self.text_of(key)?.clone();
        self.read(&value, "annotations", key, parse)
    }

    fn read<T>(&mut self, value: &Value, of: &str, key: &str, parse: fn(&str) -> Result<T, ValueError>) -> Option<T> {
        let Value::String(text) = value else {
            self.refuse(of, key, Problem::NotText { found: kind_of(value) });
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.refuse(of, key, Problem::Value { text: Quoted::new(text), reason });
                None
            }
        }
    }

    fn refuse(&mut self, of: &str, key: &str, problem: Problem) {
        self.refusals.push(Refusal::new(place(self.at, of, key), problem));
    }
}

/// Where the sidecar takes jobs, if nothing else is said.
pub const DEFAULT_PORT: Port = match Port::new(15_080) {
    Some(port) => port,
    None => unreachable!(),
};
/// Where its operator's port is, if nothing else is said: the configuration's own default.
pub const DEFAULT_ADMIN_PORT: Port = match Port::new(9900) {
    Some(port) => port,
    None => unreachable!(),
};

fn place(at: &str, of: &str, key: &str) -> String {
    // A name of the manifest's author in a message: nothing in it may move a cursor.
    format!("{at}.{of}[{}]", Quoted::new(key))
}

/// The annotation that somebody may have meant.
fn nearest(key: &str) -> Option<&'static str> {
    let name = key.strip_prefix(PREFIX)?;
    let distance = |known: &str| distance(name, known.strip_prefix(PREFIX).unwrap_or(known));
    let (least, known) = ALL.iter().map(|(known, _)| (distance(known), *known)).min()?;
    (least <= 2 || least * 3 <= name.chars().count()).then_some(known)
}

/// How many characters must change (Levenshtein), of names that are not long.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, char) in to.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for place in 1..row.len() {
            let changed = corner + usize::from(from[place - 1] != char);
            corner = row[place];
            row[place] = changed.min(corner + 1).min(row[place - 1] + 1);
        }
    }
    row[from.len()]
}
