//! The admin port: what the operator, a probe and Prometheus see, and the few things that can be changed there.
//!
//! What it shows it shows without a password, so it must not be reachable by strangers. It is on loopback by default, and as a
//! web page can make a browser on the same machine ask loopback under a name of the page's choice (DNS rebinding), it
//! answers only under an address or `localhost`: see [`host`]. Changing something needs a token: see [`token`] and
//! [`mod@write`]. What there is stands in [`routes`].
//!
//! [`respond`] takes what it shows as a [`Seen`], so that this file knows nothing of how the rest is put together.

mod account;
mod cache;
mod configuration;
mod explain;
mod guard;
mod host;
mod lane;
mod network;
mod page;
mod query;
mod routes;
mod status;
mod token;
mod write;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use config::Config;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use policy::watchdog::Standing;

use crate::accept::Port;
use crate::body::Body;
use crate::data::Gains;
use crate::generation::{Classes, Generation, Shared};
use crate::identity::Certificates;
use crate::lane::Kept;
use crate::log_level;
use crate::metrics::{self, Metrics};
use crate::oracle::Oracle;
use crate::path::Located;
use crate::problem::Problem;
use crate::record::Recorder;
use crate::reload::Book;
use crate::spend;

pub(crate) use explain::{Asked, Explanation, NetworkExplanation, Preview};
use network::with_money;
use routes::{Route, Unknown};
use write::Refusal;

#[cfg(test)]
pub(crate) use network::statuses;
pub(crate) use network::{EndpointStatus, NetworkStatus};
pub(crate) use token::{TokenError, Tokens};

/// The most decisions that one request is answered with.
const DECISIONS_MOST: usize = 1000;
/// How many it is if the request does not say.
const DECISIONS: usize = 50;

/// What is said where there is nothing to explain.
const UNEXPLAINED: &str = "adumbra would refuse such a request, so there is nothing to decide";
const TEXT: &str = "text/plain; charset=utf-8";

/// What `/` shows.
const INDEX: &str = "\
adumbra: the admin port; it answers only to addresses and to localhost

/                        in a browser: a page that shows all of this as it happens
/healthz                 200 while the process is up
/readyz                  200 once jobs are taken, 503 before that and while draining
/metrics                 OpenMetrics text; docs/metrics.md says what to do when something moves
/status                  networks, routes, shadows, decisions, model, data: JSON
/config                  the configuration in force, and what was refused: JSON
/model                   the model in force, as a file: docs/model.md (`adumbra model show FILE` shows it as text)
/model/versions          which versions there are: JSON; PUT /model/version puts one in force, with a token
/decisions?n=50          the latest decisions, newest first: JSON; with &after=ID only those that came after that one
/decisions/ID            one decision, with its path through the tree while the model that made it is in force: JSON
/explain?url=/path&method=GET&header=Name:value
                         what would be decided for such a request now: JSON (`adumbra explain URL` shows it as text);
                         or POST the same as JSON: docs/openapi.json
POST /cache/purge?url=http://host/path, ?prefix=http://host/path or ?all=true
                         takes that out of the response cache, with a token: docs/cache.md
/log-level               what the log shows; PUT changes it, with a token of `listen.admin_token`
";

/// What the admin port shows, read when it is asked for.
#[derive(Clone, Copy)]
struct Seen<'a> {
    generation: &'a Generation,
    metrics: &'a Arc<Metrics>,
    recorder: &'a Recorder,
    oracle: &'a Oracle,
    instance: u64,
    ready: bool,
    kept: Option<&'a Kept>,
    located: &'a Located,
    certificates: &'a Certificates,
    book: &'a Book,
    listening: &'a [(Port, SocketAddr)],
    standing: Standing,
    spend_kept: &'a spend::Kept,
    classes: &'a Classes,
    gains: &'a Gains,
    networks: &'a dyn Fn() -> Vec<NetworkStatus>,
    preview: &'a dyn Fn(&Asked) -> Option<Preview>,
}

/// Answers one request to the admin port.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let generation = shared.generation.load_full();
    let (parts, body) = request.into_parts();
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let route = match admit(&generation.config, &shared.metrics, &parts) {
            Ok(route) => route,
            Err(refusal) => return *refusal,
        };
        return match write::answer(shared, &generation, route, &parts, body).await {
            Ok(response) => dressed(response),
            Err(Refusal(problem, detail)) => {
                shared.metrics.problem(problem);
                problem.response(&detail)
            }
        };
    }
    let keeping = shared.keeping.get();
    let kept = keeping.map(|keeping| keeping.status());
    let seen = Seen {
        generation: &generation,
        metrics: &shared.metrics,
        recorder: &shared.recorder,
        oracle: &shared.oracle,
        instance: shared.instance,
        ready: shared.ready.load(Ordering::Acquire) && keeping.is_none_or(|keeping| keeping.was_up()),
        kept: kept.as_ref(),
        located: &shared.located,
        certificates: &shared.certificates.load(),
        book: &shared.book,
        listening: &shared.listening.load(),
        standing: shared.guard.standing(),
        spend_kept: &shared.purses.kept(),
        classes: &shared.classes,
        gains: &shared.data.gains,
        networks: &|| with_money(&generation, &shared.purses),
        preview: &|asked| crate::path::preview(shared, &generation, asked),
    };
    respond(&seen, &parts)
}

/// What `request` is for, if it is for anything and came under a name that is answered to.
fn admit(config: &Config, metrics: &Metrics, request: &Parts) -> Result<&'static Route, Box<Response<Body>>> {
    let own: IpAddr = config.listen.admin.ip();
    let refuse = |problem: Problem, detail: &str| {
        metrics.problem(problem);
        Box::new(problem.response(detail))
    };
    if !host::is_ours(request, own) {
        metrics.admin_refused();
        return Err(refuse(Problem::ForeignHost, "`Host` is neither an address of the admin port nor localhost"));
    }
    routes::find(&request.method, request.uri.path()).map_err(|unknown| match unknown {
        Unknown::Path => refuse(Problem::NotFound, "there is nothing of that name here; `/` lists what there is"),
        Unknown::Method(allowed) => {
            let detail = format!("this takes {allowed}, not {}", request.method);
            let mut response = refuse(Problem::MethodNotAllowed, &detail);
            let allowed = HeaderValue::try_from(allowed).expect("names of methods are ASCII");
            response.headers_mut().insert(ALLOW, allowed);
            response
        }
    })
}

fn respond(seen: &Seen<'_>, request: &Parts) -> Response<Body> {
    if let Err(refusal) = admit(&seen.generation.config, seen.metrics, request) {
        return *refusal;
    }
    let mut response = dressed(shown(seen, request));
    if request.method == Method::HEAD {
        let length = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Body::Empty;
    }
    response
}

/// With what every page has.
fn dressed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn shown(seen: &Seen<'_>, request: &Parts) -> Response<Body> {
    let query = request.uri.query().unwrap_or("");
    match request.uri.path() {
        "/" if !page::is_wanted(request) => text(StatusCode::OK, INDEX),
        "/healthz" => text(StatusCode::OK, "up\n"),
        "/readyz" if seen.ready => text(StatusCode::OK, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or draining\n"),
        "/metrics" => scraped(seen, request),
        "/status" => json(status::page(seen)),
        "/config" => json(configuration::page(seen)),
        "/model" => match seen.oracle.document() {
            Some(document) => json(document),
            None => problem(seen, Problem::NotFound, "there is no model in force yet; `/status` says so too"),
        },
        "/model/versions" => versions(seen.oracle),
        "/decisions" => decisions(seen, query),
        "/explain" => explanation(seen, query),
        "/log-level" => match log_level::now() {
            Some(level) => typed(StatusCode::OK, TEXT, (level + "\n").into()),
            None => problem(seen, Problem::NotFound, "the log of this process is not adumbra's"),
        },
        path => match path.strip_prefix("/decisions/") {
            Some(id) => decision(seen, id),
            None => page::file(path).unwrap_or_else(|| {
                problem(seen, Problem::NotFound, "there is nothing of that name here; `/` lists what there is")
            }),
        },
    }
}

/// Which versions of the model can be put in force.
fn versions(oracle: &Oracle) -> Response<Body> {
    // Numbers, which can be written.
    json(serde_json::to_string(&oracle.versions()).unwrap_or_default() + "\n")
}

/// In OpenMetrics for those who ask for it, as Prometheus does, and for those who do not say what they want.
fn scraped(seen: &Seen<'_>, request: &Parts) -> Response<Body> {
    let text = seen.metrics.text((seen.networks)());
    let accepts: Vec<&str> = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let wants = |kind: &str| accepts.iter().any(|value| value.contains(kind));
    let mut response = if wants("text/plain") && !wants("application/openmetrics-text") {
        typed(StatusCode::OK, metrics::PLAIN_TYPE, metrics::plain(&text).into())
    } else {
        typed(StatusCode::OK, metrics::CONTENT_TYPE, text.into())
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn decisions(seen: &Seen<'_>, query: &str) -> Response<Body> {
    let n = match query::first(query, "n").map(|n| n.parse::<usize>()) {
        None => DECISIONS,
        Some(Ok(n)) => n.min(DECISIONS_MOST),
        Some(Err(_)) => return problem(seen, Problem::Malformed, "`n` is not a whole number, such as /decisions?n=50"),
    };
    let decisions = match query::first(query, "after").map(|id| u64::from_str_radix(&id, 16)) {
        None => seen.recorder.latest(n),
        Some(Ok(id)) => seen.recorder.since(id, n),
        Some(Err(_)) => return problem(seen, Problem::Malformed, "`after` is not the `id` of a decision"),
    };
    json(format!("[{}]\n", decisions.join(",\n")))
}

fn decision(seen: &Seen<'_>, id: &str) -> Response<Body> {
    let model = seen.oracle.model();
    let found = u64::from_str_radix(id, 16).ok().and_then(|id| seen.recorder.find(id, model.as_deref()));
    found.map(json).unwrap_or_else(|| {
        let detail = "no such decision is kept; ids are the hex digits of a decision's `id`, and `log.keep` says how many are kept";
        problem(seen, Problem::NotFound, detail)
    })
}

fn explanation(seen: &Seen<'_>, query: &str) -> Response<Body> {
    let asked = match Asked::parse(query) {
        Ok(asked) => asked,
        Err(error) => return problem(seen, Problem::Malformed, &error.to_string()),
    };
    match (seen.preview)(&asked) {
        Some(preview) => json(Explanation::of(&preview, seen.generation).text()),
        None => problem(seen, Problem::NotFound, UNEXPLAINED),
    }
}

fn problem(seen: &Seen<'_>, problem: Problem, detail: &str) -> Response<Body> {
    seen.metrics.problem(problem);
    problem.response(detail)
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    typed(status, TEXT, Bytes::from_static(body.as_bytes()))
}

fn json(body: String) -> Response<Body> {
    typed(StatusCode::OK, "application/json", body.into())
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
