//! Routes: which requests they take, and what may be done with those.

use std::time::Duration;

use policy::units::{NetworkSet, Urgency};

/// What one kind of request is and what may be done with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, as in the log and the metrics.
    pub name: String,
    /// Which requests it takes.
    pub matches: Match,
    /// What tells its classes apart, if anything.
    pub class_by: Option<ClassBy>,
    /// How far adumbra may go.
    pub shadow: Mode,
    /// The share of jobs that `shadow` holds for, 0..=1; the rest is `off`.
    pub rollout: f64,
    /// Whether running a job twice is harmless, whatever its method.
    pub repeatable: bool,
    /// Whether the networks share the store behind `Idempotency-Key`, so that a job with a key may be repeated.
    pub shared_idempotency: bool,
    /// Whether the lead must wait for the decision.
    pub hold: bool,
    /// Whether a job runs on when its client goes away.
    pub finish: bool,
    /// Networks that jobs may leave a byte on.
    pub residency: NetworkSet,
    /// The most urgent a client can make a job.
    pub urgency_most: Urgency,
    /// The least urgent a client can make a job.
    pub urgency_least: Urgency,
    /// Numbers the model may use, `x_*`: at most [`policy::job::EXTRACTED`].
    pub extract: Vec<Extract>,
    /// Whether what a job needs is fetched ahead: what its request names, and what was learned.
    pub warm: bool,
    /// Where a request names inputs, beside `Link: <…>; rel=preload`.
    pub inputs: Vec<Input>,
    /// Whether answers are stored, and given again.
    pub cache: bool,
    /// A counter of the service's that says how far a job is, if it has one.
    pub progress: Option<Poll>,
    /// What to make of jobs that are answered `202` long before they are done.
    pub asynchronous: Asynchronous,
}

/// Where a service says how far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The path, before the dispatch's name.
    pub before: String,
    /// The path, after it.
    pub after: String,
    /// How often it is asked.
    pub every: Duration,
}

impl Poll {
    /// The path to ask for the dispatch called `id`.
    #[must_use]
    pub fn path(&self, id: &str) -> String {
        format!("{}{id}{}", self.before, self.after)
    }
}

/// What to make of jobs that are answered `202` with a `Location`, and done later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asynchronous {
    /// How an answer at that location says that the job is done; `None` for any below 400 but 202.
    pub done: Option<Sign>,
    /// How it says that the job has failed; `None` for 404 and 410.
    pub failed: Option<Sign>,
    /// The method by which an execution that lost is deleted at its own location; without one such jobs are not shadowed.
    pub delete: Option<http::Method>,
    /// How long a location is remembered.
    pub keep: std::time::Duration,
}

impl Asynchronous {
    /// Whether it says anything of such jobs, beyond how long they are remembered.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.done.is_some() || self.failed.is_some() || self.delete.is_some()
    }
}

/// Something that an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its status.
    Status(http::StatusCode),
    /// A header has this value.
    Header(http::HeaderName, String),
    /// What this JSON pointer leads to, in its body, has this value, written as text if it is a string.
    Json(String, String),
}

/// Which requests a route takes: all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// A path, or a prefix if it ends in `*`; empty for any.
    pub path: String,
    /// Methods; empty for any.
    pub methods: Vec<http::Method>,
    /// Headers that must be there, with this value if one is given.
    pub headers: Vec<(http::HeaderName, Option<String>)>,
}

/// Where a class's name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassBy {
    /// A request header's value.
    Header(http::HeaderName),
    /// A query parameter's value.
    Query(String),
    /// The path's segment with this number, from 0.
    Segment(usize),
}

/// An input that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where.
    pub at: InputAt,
    /// What its URL is, around what stands there; `None` if that is the URL.
    pub around: Option<(String, String)>,
}

/// Where in a request an input is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputAt {
    /// In its head.
    Head(ClassBy),
    /// In a field of a form in its body.
    Form(String),
    /// In a JSON body, where this pointer leads to.
    Json(String),
}

impl Input {
    /// Whether the body has to be read for it.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        !matches!(self.at, InputAt::Head(_))
    }
}

/// A number taken from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// Its name, starting with `x_`.
    pub name: String,
    /// Where it stands; a value that is not a number is missing.
    pub from: ClassBy,
}

/// How far adumbra may go with a route's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Home first, spill when home is full; nothing is shadowed.
    Off,
    /// Shadow and predict, never act.
    Observe,
    /// Shadow, predict and act.
    On,
}

impl Match {
    /// Whether this request is one of the route's. `path` is compared as it came, without its query: nothing is decoded,
    /// and no `..` is resolved.
    #[must_use]
    pub fn takes(&self, method: &http::Method, path: &str, headers: &http::HeaderMap) -> bool {
        let path_fits = match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => self.path.is_empty() || path == self.path,
        };
        path_fits
            && (self.methods.is_empty() || self.methods.contains(method))
            && self.headers.iter().all(|(name, wanted)| match wanted {
                Some(wanted) => headers.get_all(name).iter().any(|value| value.as_bytes() == wanted.as_bytes()),
                None => headers.contains_key(name),
            })
    }

    /// Whether every request that `other` takes is also one of these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (prefix, open) = self.path_pattern();
        let (other_prefix, other_open) = other.path_pattern();
        let paths = if open { other_prefix.starts_with(prefix) } else { !other_open && other_prefix == prefix };
        let any_method = self.methods.is_empty();
        let methods = any_method || !other.methods.is_empty() && other.methods.iter().all(|m| self.methods.contains(m));
        let demanded = |name: &http::HeaderName, value: &Option<String>| {
            other
                .headers
                .iter()
                .any(|(other_name, other_value)| other_name == name && (value.is_none() || other_value == value))
        };
        paths && methods && self.headers.iter().all(|(name, value)| demanded(name, value))
    }

    /// What paths start with, and whether they may go on after it.
    fn path_pattern(&self) -> (&str, bool) {
        match self.path.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (&self.path, self.path.is_empty()),
        }
    }
}
