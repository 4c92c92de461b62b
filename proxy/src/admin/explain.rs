//! `/explain`: what would be decided for a request now, without sending it.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use policy::{Job, Model, NetworkId, PerNetwork, Plan, Reason, Shadowing, View};
use serde::{Deserialize, Serialize};

use super::query;
use crate::generation::Generation;
use crate::record::{PredictionLine, mode_word, network_name, rounded, tree_path};

/// The most headers a request to be explained may have.
const HEADERS_MOST: usize = 64;

/// A request that is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// In origin form.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// Why a request that is asked about makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuestion {
    /// There is no URL.
    #[error("say which request is meant, such as /explain?url=/render%3Fsize=9&method=GET&header=Priority:u=1")]
    NoUrl,
    /// The URL is not one.
    #[error("`url` is not a URL or a path that starts with `/`")]
    Url,
    /// The method is not one.
    #[error("`method` is not an HTTP method")]
    Method,
    /// A header is not one.
    #[error("`header` is not a name, a colon and a value, such as header=Priority:u=1")]
    Header,
    /// There are too many headers.
    #[error("a request with more than {HEADERS_MOST} headers is not explained")]
    TooManyHeaders,
    /// It is not JSON, or not of this shape.
    #[error(
        "the body is not what is asked for, such as {{\"url\": \"/render\", \"method\": \"POST\", \"body_bytes\": 9}}: {0}"
    )]
    Shape(String),
}

/// What the policy says of a request, and what it said it from.
#[derive(Debug)]
pub(crate) struct Preview {
    /// The route's place, if one matched.
    pub(crate) route: Option<usize>,
    /// The class's name.
    pub(crate) class: String,
    pub(crate) job: Job,
    pub(crate) view: View,
    /// The first gate that is shut, for each network.
    pub(crate) shut: PerNetwork<Option<Reason>>,
    pub(crate) plan: Plan,
    pub(crate) model: Option<Arc<Model>>,
}

impl Asked {
    /// What a query asks about.
    pub(super) fn parse(query: &str) -> Result<Self, BadQuestion> {
        let mut url = None;
        let mut method = "GET".to_owned();
        let mut headers = Vec::new();
        for (key, value) in query::pairs(query) {
            match key.as_str() {
                "url" => url = Some(value),
                "method" => method = value,
                "header" => {
                    let (name, value) = value.split_once(':').ok_or(BadQuestion::Header)?;
                    headers.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
        Self::of(&url.ok_or(BadQuestion::NoUrl)?, &method, headers)
    }

    fn of(url: &str, method: &str, fields: Vec<(String, String)>) -> Result<Self, BadQuestion> {
        if fields.len() > HEADERS_MOST {
            return Err(BadQuestion::TooManyHeaders);
        }
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| BadQuestion::Method)?;
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.trim().parse().map_err(|_| BadQuestion::Header)?;
            let value: HeaderValue = value.trim().parse().map_err(|_| BadQuestion::Header)?;
            headers.append(name, value);
        }
        let url: Uri = url.parse().map_err(|_| BadQuestion::Url)?;
        let path = url.path_and_query().ok_or(BadQuestion::Url)?;
        if let Some(authority) = url.authority()
            && !headers.contains_key(HOST)
        {
            headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| BadQuestion::Url)?);
        }
        Ok(Self { method, uri: Uri::from(path.clone()), headers })
    }

    /// What a JSON body asks about: the same as a query can, and how long the request's body is.
    pub(super) fn read(body: &[u8]) -> Result<Self, BadQuestion> {
        let question: Question = serde_json::from_slice(body).map_err(|error| BadQuestion::Shape(error.to_string()))?;
        let Question { url, method, headers, body_bytes } = question;
        let mut asked = Self::of(&url, method.as_deref().unwrap_or("GET"), headers)?;
        if let Some(bytes) = body_bytes {
            asked.headers.insert(CONTENT_LENGTH, bytes.into());
        }
        Ok(asked)
    }
}

/// A request in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    url: String,
    method: Option<String>,
    /// One of several of a name is a pair of its own.
    #[serde(default)]
    headers: Vec<(String, String)>,
    body_bytes: Option<u64>,
}

/// What would be decided, as JSON.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Explanation<'a> {
    pub(crate) route: Option<Cow<'a, str>>,
    pub(crate) class: Cow<'a, str>,
    pub(crate) urgency: u8,
    pub(crate) mode: Cow<'a, str>,
    pub(crate) target: Cow<'a, str>,
    pub(crate) reason: Cow<'a, str>,
    pub(crate) plan: Cow<'a, str>,
    /// How much shadow its urgency buys.
    pub(crate) level: Cow<'a, str>,
    /// Where shadows would run.
    pub(crate) shadows: Vec<Cow<'a, str>>,
    /// For how long they would, at the most.
    pub(crate) window_s: f64,
    pub(crate) worth: f64,
    /// 0 for none.
    pub(crate) model: u64,
    pub(crate) networks: Vec<NetworkExplanation<'a>>,
    /// The job's path through the tree.
    pub(crate) tree_path: Vec<String>,
}

/// What was known and said of one network.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NetworkExplanation<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) home: bool,
    /// The gate that is shut; nothing if it may compete.
    pub(crate) shut: Option<Cow<'a, str>>,
    pub(crate) in_flight: u32,
    pub(crate) capacity: u32,
    pub(crate) waiting_s: f64,
    pub(crate) rtt_s: f64,
    pub(crate) link_bytes_per_s: f64,
    pub(crate) warm_bytes: u64,
    pub(crate) prediction: Option<PredictionLine>,
    pub(crate) cost: Option<f64>,
}

impl<'a> Explanation<'a> {
    /// A preview, with names in the place of numbers.
    pub(super) fn of(preview: &'a Preview, generation: &'a Generation) -> Self {
        let Preview { job, view, plan, model, .. } = preview;
        let (word, on, window_s) = match plan.shadowing {
            Shadowing::Direct => ("direct", policy::NetworkSet::EMPTY, 0.0),
            Shadowing::Lead { on, window_s } => ("lead", on, window_s),
            Shadowing::Probe { on, window_s } => ("probe", on, window_s),
            Shadowing::Sample { on, window_s } => ("sample", on, window_s),
        };
        let networks = generation.config.network_ids().filter(|id| view.networks.with(view.home).contains(*id));
        Self {
            route: preview.route.and_then(|route| generation.config.routes.get(route)).map(|r| r.name.as_str().into()),
            class: preview.class.as_str().into(),
            urgency: job.urgency.level(),
            mode: mode_word(job.mode).into(),
            target: network_name(generation, plan.target),
            reason: plan.reason.as_str().into(),
            plan: word.into(),
            level: plan.level.as_str().into(),
            shadows: on.iter().map(|network| network_name(generation, network)).collect(),
            window_s: rounded(window_s),
            worth: rounded(plan.worth),
            model: model.as_ref().map_or(0, |model| model.version()),
            networks: networks.map(|id| NetworkExplanation::of(preview, generation, id)).collect(),
            tree_path: model
                .as_ref()
                .map(|model| tree_path(model, job, &generation.config, preview.route))
                .unwrap_or_default(),
        }
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl<'a> NetworkExplanation<'a> {
    fn of(preview: &'a Preview, generation: &'a Generation, id: NetworkId) -> Self {
        let state = &preview.view.state[id];
        let cost = preview.plan.costs[id];
        Self {
            name: network_name(generation, id),
            home: id == preview.view.home,
            shut: preview.shut[id].map(|reason| reason.as_str().into()),
            in_flight: state.in_flight,
            capacity: state.capacity,
            waiting_s: rounded(state.wait_s),
            rtt_s: rounded(state.rtt_s),
            link_bytes_per_s: state.link_bytes_per_s.round(),
            warm_bytes: state.warm_bytes,
            prediction: preview.plan.predictions[id].as_ref().map(PredictionLine::from),
            cost: cost.is_finite().then(|| rounded(cost)),
        }
    }
}
