//! What a job needs: what its request declares, what its route finds in the request, and what was learned.

use std::hash::{DefaultHasher, Hash, Hasher};

use config::value::{ClassBy, Input, InputAt, Route};
use http::{HeaderMap, Request, Uri};
use policy::inputs::{Feature, INPUTS_MOST, Kind};
use policy::{ClassId, Job, View};

use super::classify;
use crate::body::Body;
use crate::data::{self, Attendance, Cache, DECLARED_MOST, InputHash};
use crate::generation::{Generation, Shared};
use crate::peer::Mark;
use crate::upstream::Upload;

/// Parameters, and segments, that names of inputs are looked for in.
const FEATURES_MOST: usize = 8;
/// The longest value that is looked for.
const VALUE_MOST: usize = 200;

/// The bounded body of a request, read before its job is sent because its route looks into it.
#[derive(Debug)]
pub(super) enum Looked {
    /// Nobody looks into it, or it was not to be had.
    Not,
    /// As JSON.
    Json(serde_json::Value),
    /// As a form's fields.
    Form(Vec<u8>),
}

/// What a request says of its inputs.
#[derive(Debug)]
pub(super) struct Said {
    /// By `Link`.
    pub(super) linked: Vec<Uri>,
    /// In its body.
    pub(super) looked: Looked,
}

/// One input.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) url: Uri,
    /// What it is called between sidecars.
    pub(super) hash: InputHash,
    /// Its length, where that was seen.
    pub(super) bytes: Option<u64>,
    /// How sure it is that the job reads it.
    pub(super) confidence: f64,
}

/// All inputs of one job.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) all: Vec<Need>,
    /// Those that the request itself names: so many of the first.
    pub(super) declared: usize,
}

/// The inputs that a request declares by `Link`, at most 16.
pub(super) fn linked(headers: &HeaderMap) -> Vec<Uri> {
    if headers.contains_key(http::header::LINK) { data::declared(headers) } else { Vec::new() }
}

/// What tells this job's kind, if anything is to be learned of it.
pub(super) fn kind(route: Option<&Route>, class: ClassId, request: &Request<Body>, looked: &Looked) -> Option<Kind> {
    route.filter(|route| route.warm)?;
    let mut digest = DefaultHasher::new();
    let target = request.uri().path_and_query()?;
    target.as_str().hash(&mut digest);
    let bodiless = http_body::Body::is_end_stream(request.body());
    let key = match looked {
        Looked::Not => bodiless.then(|| digest.finish()),
        Looked::Json(value) => Some(with(digest, value.to_string().as_bytes())),
        Looked::Form(fields) => Some(with(digest, fields)),
    };
    let feature = |place: String, value: &str| {
        let fits = !value.is_empty() && value.len() <= VALUE_MOST;
        fits.then(|| Feature { place: place.into(), value: value.into() })
    };
    let pairs = target.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let parameters = pairs.take(FEATURES_MOST).filter_map(|(name, value)| feature(format!("query:{name}"), value));
    let segments = target.path().split('/').skip(1).enumerate();
    let segments = segments.take(FEATURES_MOST).filter_map(|(at, value)| feature(format!("segment:{at}"), value));
    // Of a parameter that is there twice, the first is found.
    let mut features: Vec<Feature> = parameters.collect();
    features.extend(segments);
    Some(Kind { class, key, features })
}

/// Enters a job among those whose fetches are watched, by what its dispatches are called here and where it comes from.
pub(super) fn attend(shared: &Shared, kind: Kind, mark: &Mark, id: u64, headers: &HeaderMap) -> Attendance {
    let own = format!("{:016x}-{id:x}", shared.instance);
    let theirs = mark.id().map(|id| data::job_of(id).into());
    shared.data.roll.enter(kind, theirs.into_iter().chain([own.into_boxed_str()]).collect(), headers)
}

fn with(mut digest: DefaultHasher, bytes: &[u8]) -> u64 {
    bytes.hash(&mut digest);
    digest.finish()
}

impl Needs {
    /// What a job needs that declares `linked` and came by `route`.
    pub(super) fn of(
        cache: &Cache,
        route: Option<&Route>,
        linked: &[Uri],
        kind: Option<&Kind>,
        request: &Request<Body>,
        looked: &Looked,
    ) -> Self {
        let Some(route) = route.filter(|route| route.warm) else { return Self::default() };
        let mut needs = Self::default();
        let named = route.inputs.iter().flat_map(|input| named(input, request, looked));
        linked.iter().cloned().chain(named).take(DECLARED_MOST).for_each(|url| needs.add(cache, url, None, 1.0));
        needs.declared = needs.all.len();
        for expected in kind.map(|kind| cache.expected(kind)).unwrap_or_default() {
            if let Ok(url) = expected.name.parse::<Uri>() {
                needs.add(cache, url, expected.bytes, expected.confidence);
            }
        }
        needs
    }

    fn add(&mut self, cache: &Cache, url: Uri, bytes: Option<u64>, confidence: f64) {
        if let Some(known) = self.all.iter_mut().find(|need| need.url == url) {
            known.bytes = known.bytes.or(bytes);
        } else if self.all.len() < INPUTS_MOST {
            let hash = InputHash::of(&url);
            let bytes = cache.contains(&url).or(bytes).or_else(|| cache.length_of(hash));
            self.all.push(Need { url, hash, bytes, confidence });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn urls(&self) -> Vec<Uri> {
        self.all.iter().map(|need| need.url.clone()).collect()
    }

    /// Those that the request itself names.
    pub(super) fn declared(&self) -> &[Need] {
        &self.all[..self.declared]
    }

    /// Enters what of them is where: in the job how many bytes they are, in the view which of those need not be fetched.
    pub(super) fn enter(
        &mut self,
        shared: &Shared,
        generation: &Generation,
        to: &Upload,
        job: &mut Job,
        view: &mut View,
    ) {
        if self.is_empty() {
            return;
        }
        let sidecars = || generation.networks_in_force().filter(|network| network.is_sidecar());
        for need in self.all.iter_mut().filter(|need| need.bytes.is_none()) {
            need.bytes = sidecars().find_map(|network| network.warmth.length_of(need.hash));
        }
        let sizes = self.all.iter().filter_map(|need| Some((need, need.bytes?)));
        job.input_bytes = self.all.iter().any(|need| need.bytes.is_some()).then(|| weighed(sizes));
        // One that is much larger than the others, if its size is known, is what matters; of those alike, the first.
        let main = self.all.iter().rev().max_by_key(|need| need.bytes.unwrap_or(0)).map(|need| need.hash);
        for network in sidecars() {
            if let Some(holder) = main.and_then(|main| network.holder_of(main)) {
                to.prefer(network.id, holder);
            }
        }
        self.look(shared, generation, to, view);
    }

    /// Enters in a view what of them is where now.
    pub(super) fn look(&self, shared: &Shared, generation: &Generation, to: &Upload, view: &mut View) {
        if self.is_empty() {
            return;
        }
        let home = &mut view.state[view.home];
        home.warm_bytes = weighed(self.all.iter().filter_map(|need| Some((need, shared.data.contains(&need.url)?))));
        home.fetch_bytes_per_s = Some(shared.data.fetch_bytes_per_s());
        for network in generation.networks_in_force().filter(|network| network.is_sidecar()) {
            let Some(endpoint) = to.preferred(network.id).or_else(|| network.leaning()) else { continue };
            let state = &mut view.state[network.id];
            network.warmth.at(endpoint, |held| {
                let warm = self.all.iter().filter_map(|need| Some((need, held.bytes_of(need.hash)?)));
                state.warm_bytes = weighed(warm);
                state.fetch_bytes_per_s = Some(held.fetch_bytes_per_s());
            });
        }
    }
}

/// Bytes by how sure they are needed, as the job's own are counted.
fn weighed<'n>(warm: impl Iterator<Item = (&'n Need, u64)>) -> u64 {
    warm.map(|(need, bytes)| (bytes as f64 * need.confidence) as u64).sum()
}

/// The inputs that stand where the route says.
fn named(input: &Input, request: &Request<Body>, looked: &Looked) -> Vec<Uri> {
    let url = |text: &str| url(input, text);
    match (&input.at, looked) {
        (InputAt::Head(at), _) => {
            classify::value(at, request).and_then(|value| url(&decoded(at, value))).into_iter().collect()
        }
        (InputAt::Json(pointer), Looked::Json(body)) => match body.pointer(pointer) {
            Some(serde_json::Value::String(text)) => url(text).into_iter().collect(),
            Some(serde_json::Value::Array(all)) => {
                all.iter().filter_map(|one| url(one.as_str()?)).take(DECLARED_MOST).collect()
            }
            _ => Vec::new(),
        },
        (InputAt::Form(wanted), Looked::Form(fields)) => {
            let fields = fields.split(|byte| *byte == b'&').filter_map(|field| std::str::from_utf8(field).ok());
            let pairs = fields.filter_map(|field| field.split_once('='));
            let decoded = pairs.map(|(name, value)| (unescaped(name), unescaped(value)));
            decoded.filter(|(name, _)| name == wanted).filter_map(|(_, value)| url(&value)).collect()
        }
        _ => Vec::new(),
    }
}

/// A whole URL in a query is escaped; a part of one goes into another URL as it is.
fn decoded<'v>(at: &ClassBy, value: &'v str) -> std::borrow::Cow<'v, str> {
    match at {
        ClassBy::Query(_) if value.contains("%3A") || value.contains("%3a") => unescaped(value).into(),
        _ => value.into(),
    }
}

/// The URL that is named by `text`. What is put into a URL stays in its own part of it.
fn url(input: &Input, text: &str) -> Option<Uri> {
    let Some((before, after)) = &input.around else {
        let url: Uri = text.parse().ok()?;
        return (url.scheme().is_some() && url.authority().is_some() && !text.contains('#')).then_some(url);
    };
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%+".contains(&byte);
    let leads_away =
        text.split('/').any(|segment| matches!(segment, "." | "..")) || text.to_ascii_lowercase().contains("%2e");
    if text.is_empty() || text.len() > VALUE_MOST || leads_away || !text.bytes().all(stays) {
        return None;
    }
    format!("{before}{text}{after}").parse().ok()
}

/// A form's text: `+` is a space, `%XX` a byte. What is no text stays as it is.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
