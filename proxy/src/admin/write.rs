//! What is asked of the admin port with a body: the few things that change something, and `POST /explain`.
//!
//! A change is for whoever shows a token (`token`), and never for a page of another origin. It is said in the log, whoever
//! made it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::routes::{Access, Route};
use super::token::Tokens;
use super::{Asked, Explanation, json, typed};
use crate::body::Body;
use crate::generation::{Generation, Shared};
use crate::log_level::{self, LevelError};
use crate::oracle::NoRollBack;
use crate::problem::Problem;

/// The most bytes of a body that are read.
const BODY_MOST: usize = 64 * 1024;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// That something is not done, and why.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Problem, pub(super) String);

/// Does what `route` stands for, if whoever asks may.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    generation: &Arc<Generation>,
    route: &Route,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    if route.access == Access::Token {
        same_origin(&parts.headers)?;
        known(generation.config.listen.admin_token.as_deref(), &parts.headers).await?;
    }
    let body = whole(body).await?;
    let answer = match (&route.method, route.path) {
        (&Method::PUT, "/log-level") => log_at(&body)?,
        (&Method::PUT, "/model/version") => model_version(shared, &body).await?,
        (&Method::POST, "/cache/purge") => super::cache::purge(&shared.cache, parts.uri.query().unwrap_or(""))?,
        (&Method::POST, "/explain") => explain(shared, generation, &parts.headers, &body)?,
        (method, path) => unreachable!("{method} {path} is in `ROUTES` and answered nowhere"),
    };
    if route.access == Access::Token {
        tracing::info!(method = %route.method, path = parts.uri.path(), "the operator has changed something");
    }
    Ok(answer)
}

/// A browser says which page asks. One that another server served must not change anything, whatever it knows.
fn same_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |detail: &str| Err(Refusal(Problem::ForeignOrigin, detail.to_owned()));
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return refuse("`Sec-Fetch-Site` says that another site's page asks");
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    let from = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    match (from, own) {
        (Some(from), Some(own)) if from.eq_ignore_ascii_case(own) => Ok(()),
        _ => refuse("`Origin` is not the admin port's own address"),
    }
}

/// Whether a token is shown that stands in the file.
async fn known(file: Option<&Path>, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(file) = file else {
        let detail = "`listen.admin_token` names no file, so there is no token that could be shown";
        return Err(Refusal(Problem::WritesOff, detail.to_owned()));
    };
    let (path, name) = (file.to_owned(), file.display());
    let read = tokio::task::spawn_blocking(move || Tokens::read(&path)).await;
    let tokens = match read {
        Ok(Ok(tokens)) => tokens,
        Ok(Err(error)) => {
            tracing::error!(file = %name, why = crate::identity::told(&error), "no token counts; `listen.admin_token` says which file");
            let detail = "the file that `listen.admin_token` names is of no use now; the log says why";
            return Err(Refusal(Problem::WritesOff, detail.to_owned()));
        }
        Err(_stopping) => return Err(Refusal(Problem::WritesOff, "this sidecar is stopping".to_owned())),
    };
    if tokens.are_shown(headers) {
        return Ok(());
    }
    tracing::warn!("somebody without a known token asked the admin port to change something; it was refused");
    Err(Refusal(Problem::Unauthorized, "no `Authorization: Bearer` with a known token was sent".to_owned()))
}

async fn whole(body: Incoming) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY_MOST).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal(Problem::TooLarge, format!("at most {BODY_MOST} bytes are read")))
        }
        Ok(Err(_)) => Err(Refusal(Problem::BodyBroke, "the body broke off".to_owned())),
        Err(_) => Err(Refusal(Problem::BodyTimeout, format!("the body took longer than {} s", BODY_WITHIN.as_secs()))),
    }
}

fn log_at(body: &Bytes) -> Result<Response<Body>, Refusal> {
    let text = std::str::from_utf8(body).unwrap_or("\u{fffd}").trim();
    match log_level::set(text) {
        Ok(level) => Ok(typed(StatusCode::OK, super::TEXT, (level + "\n").into())),
        Err(error @ LevelError::Malformed) => Err(Refusal(Problem::Malformed, error.to_string())),
        Err(error @ LevelError::Foreign) => Err(Refusal(Problem::NotFound, error.to_string())),
    }
}

/// The body is the number of the version that is to be in force.
async fn model_version(shared: &Arc<Shared>, body: &Bytes) -> Result<Response<Body>, Refusal> {
    let version = std::str::from_utf8(body).ok().and_then(|text| text.trim().parse().ok());
    let Some(version) = version else {
        return Err(Refusal(Problem::Malformed, "send the number of a version, such as 7".to_owned()));
    };
    match shared.oracle.roll_back(version).await {
        Ok(()) => Ok(super::versions(&shared.oracle)),
        Err(error @ NoRollBack::Unknown(_)) => Err(Refusal(Problem::NotFound, error.to_string())),
        Err(error @ (NoRollBack::InForce(_) | NoRollBack::Busy)) => Err(Refusal(Problem::Malformed, error.to_string())),
    }
}

/// Asks for JSON by name, so that a form on another site's page cannot ask at all.
fn explain(
    shared: &Arc<Shared>,
    generation: &Arc<Generation>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response<Body>, Refusal> {
    let malformed = |detail: String| Refusal(Problem::Malformed, detail);
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(malformed("send `Content-Type: application/json`".to_owned()));
    }
    let asked = Asked::read(body).map_err(|error| malformed(error.to_string()))?;
    match crate::path::preview(shared, generation, &asked) {
        Some(preview) => Ok(json(Explanation::of(&preview, generation).text())),
        None => Err(Refusal(Problem::NotFound, super::UNEXPLAINED.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_a_page_of_the_admin_port_itself_may_ask() {
        let check = |fields: &[(&'static str, &'static str)], expected: bool| {
            let named =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let headers: HeaderMap = named.chain([(HOST, HeaderValue::from_static("127.0.0.1:9900"))]).collect();
            assert_eq!(same_origin(&headers).is_ok(), expected, "{fields:?}");
        };
        check(&[], true);
        check(&[("origin", "http://127.0.0.1:9900")], true);
        check(&[("origin", "http://127.0.0.1:9900"), ("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        for origin in ["http://127.0.0.1:9901", "https://127.0.0.1:9900", "http://evil.example", "null", ""] {
            check(&[("origin", origin)], false);
        }
        check(&[("sec-fetch-site", "cross-site")], false);
        check(&[("sec-fetch-site", "same-site")], false);
    }
}
