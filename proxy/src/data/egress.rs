//! The service's way out to its inputs.
//!
//! Two ways to ask: as a plain HTTP proxy, `GET http://data.example/a`, which is what `http_proxy` makes most libraries
//! do, and by a path, `GET /fetch/https/data.example:443/a`, for those that cannot, and for `https` origins, which a proxy
//! would otherwise only see as an opaque tunnel. Both reach allowed origins only.
//!
//! A plain GET is answered from the cache, whatever else goes straight through. The answer says which it was, in
//! `adumbra-cache`.

use std::sync::Arc;
use std::time::Instant;

use http::header::AGE;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, request, response};
use http_body::Body as _;
use hyper::body::Incoming;

use super::Cache;
use super::fetch::{self, FetchError, Upload};
use super::flight::{self, Boarding, Errand, Landing, Ticket};
use super::object::{Object, Purpose};
use super::origin::Key;
use super::outlet::{Outlet, Stream};
use super::reader::Portion;
use super::{headers, storable};
use crate::body::Body;
use crate::hygiene;
use crate::metrics::{DataRefusal, Lookup};
use crate::problem::Problem;

/// Says whether the cache had what was asked for.
const ADUMBRA_CACHE: HeaderName = HeaderName::from_static("adumbra-cache");

/// Answers one request of the service's.
pub(crate) async fn egress(cache: &Arc<Cache>, mut request: Request<Incoming>) -> Response<Body> {
    if request.method() == Method::CONNECT {
        let detail = "the egress listener opens no tunnels; ask for `/fetch/https/HOST:PORT/PATH` instead";
        return refuse(cache, Problem::ConnectRefused, detail);
    }
    let wanted = wanted(request.uri());
    if let Err(problem) = hygiene::check(&mut request) {
        return refuse(cache, problem, "what cannot be read in one way only is not passed on to an origin");
    }
    let Some(uri) = wanted else {
        return refuse(cache, Problem::OriginUnnamed, "the egress listener only fetches from other origins");
    };
    let Some(key) = cache.rules.load().allowed.key(&uri) else {
        cache.metrics.data.refused(DataRefusal::Origin);
        let detail = format!("{} is not in `data.origins` by exactly that name", origin_of(&uri));
        return refuse(cache, Problem::OriginForbidden, &detail);
    };
    let (head, body) = request.into_parts();
    let is_get = head.method == Method::GET;
    let portion = if is_get { cache.readers.of(&head.headers, &uri) } else { None };
    let asked = head.headers.clone();
    let response = if body.is_end_stream() && storable::may_use_kept(&head) {
        cached(cache, &key, head).await
    } else {
        straight(cache, &key, head, Some(body)).await
    };
    if is_get && response.status() == StatusCode::OK {
        let hit = response.headers().get(ADUMBRA_CACHE).is_some_and(|word| word == "hit");
        cache.roll.fetched(&asked, &uri, response.body().size_hint().exact(), hit);
    }
    match portion {
        Some(portion) => counted(response, portion),
        None => response,
    }
}

/// Counts an input for the dispatch that reads it. A part of one, or a refusal, is not counted.
fn counted(response: Response<Body>, portion: Portion) -> Response<Body> {
    if response.status() != StatusCode::OK {
        return response;
    }
    if let Some(bytes) = response.body().size_hint().exact() {
        portion.is_of(bytes);
    }
    response.map(|body| match body {
        Body::Data(outlet) => Body::Data(Box::new(outlet.counted(portion))),
        body => body,
    })
}

/// The absolute URL that is asked for.
fn wanted(uri: &Uri) -> Option<Uri> {
    if uri.authority().is_some() {
        return uri.scheme().map(|_| uri.clone());
    }
    let target = uri.path_and_query()?.as_str().strip_prefix("/fetch/")?;
    let (scheme, target) = target.split_once('/')?;
    let (authority, path) = target.split_at(target.find(['/', '?']).unwrap_or(target.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match scheme {
        "http" => Scheme::HTTP,
        "https" => Scheme::HTTPS,
        _ => return None,
    });
    parts.authority = Some(Authority::try_from(authority).ok()?);
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// What of a URL may be shown: its origin, without what a user may have put before the `@`.
fn origin_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", uri.scheme_str().unwrap_or_default())
}

/// Answers a plain GET from the cache, or by a fetch that others may share.
async fn cached(cache: &Arc<Cache>, key: &Key, head: request::Parts) -> Response<Body> {
    let errand = || {
        let headers = headers::onward(&head.headers);
        Ok::<_, std::convert::Infallible>(Errand { headers, purpose: Purpose::Serve, allowance: None, _permit: None })
    };
    let Ok(boarding) = flight::board(cache, key, errand);
    let (lookup, ticket) = match boarding {
        Boarding::Found(object) if object.terms.fit(&head.headers) => return serve(cache, object, None, Lookup::Hit),
        Boarding::Found(_) => return straight(cache, key, head, None).await,
        Boarding::Joined(ticket) => (Lookup::Joined, ticket),
        Boarding::Started(ticket) => (Lookup::Miss, ticket),
    };
    match ticket.landing().await {
        Landing::Object(object) if object.terms.fit(&head.headers) => serve(cache, object, Some(ticket), lookup),
        Landing::Answer(answer) => {
            cache.metrics.data.looked_up(Lookup::Bypass);
            let (parts, stream) = *answer;
            pass(parts, stream)
        }
        Landing::Object(_) | Landing::Nothing => {
            drop(ticket);
            straight(cache, key, head, None).await
        }
        Landing::Failed(why) => failed(cache, key, why),
    }
}

/// Answers with an object.
fn serve(cache: &Cache, object: Arc<Object>, ticket: Option<Ticket>, lookup: Lookup) -> Response<Body> {
    cache.metrics.data.looked_up(lookup);
    object.mark_read();
    let mut response = Response::new(Body::Empty);
    response.headers_mut().clone_from(&object.headers);
    response.headers_mut().insert(AGE, HeaderValue::from(object.age(Instant::now()).as_secs()));
    let word = match lookup {
        Lookup::Hit | Lookup::Joined => "hit",
        Lookup::Miss => "miss",
        Lookup::Bypass => "bypass",
    };
    response.headers_mut().insert(ADUMBRA_CACHE, HeaderValue::from_static(word));
    // Once the object is whole, there is no fetch to keep going.
    let ticket = ticket.filter(|_| !object.is_whole());
    *response.body_mut() = Body::Data(Box::new(Outlet::object(object, ticket)));
    response
}

/// Asks the origin, past the cache.
async fn straight(cache: &Cache, key: &Key, head: request::Parts, body: Option<Incoming>) -> Response<Body> {
    cache.metrics.data.looked_up(Lookup::Bypass);
    let mut request = Request::new(Upload::new(body));
    *request.method_mut() = head.method;
    *request.headers_mut() = headers::onward(&head.headers);
    let rules = cache.rules.load_full();
    match fetch::send(&rules.way, key, request).await {
        Ok((parts, stream)) => pass(parts, stream),
        Err(why) => {
            cache.metrics.data.refused(DataRefusal::Failed);
            failed(cache, key, why)
        }
    }
}

/// Passes an origin's answer on.
fn pass(mut parts: response::Parts, stream: Stream) -> Response<Body> {
    headers::scrub(&mut parts.headers);
    parts.headers.insert(ADUMBRA_CACHE, HeaderValue::from_static("bypass"));
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, Body::Data(Box::new(Outlet::stream(Box::new(stream)))))
}

fn failed(cache: &Cache, key: &Key, why: FetchError) -> Response<Body> {
    let problem = if why == FetchError::Timeout { Problem::OriginSlow } else { Problem::OriginFailed };
    refuse(cache, problem, &format!("cannot fetch from {}: {why}", key.authority()))
}

fn refuse(cache: &Cache, problem: Problem, detail: &str) -> Response<Body> {
    cache.metrics.problem(problem);
    problem.response(detail)
}

#[cfg(test)]
mod tests;
