//! A look into a request's body, where its route says that inputs are named there.
//!
//! Only into a body that says that it is a form or JSON, and how long it is, and that is short: it is read whole before the
//! job is sent anywhere. It is waited for a short while only; a client that takes longer is passed on as it comes, with what
//! was read put back before the rest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use config::Config;
use config::value::Route;
use http::{HeaderMap, Request, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::needs::Looked;
use crate::body::Body;

/// The longest body that is looked into.
const LOOKED_BYTES: u64 = 64 << 10;
/// How long it is waited for.
const WITHIN: Duration = Duration::from_secs(1);

/// A body of which the beginning was read ahead.
#[derive(Debug)]
pub(crate) struct Begun {
    ahead: VecDeque<Frame<Bytes>>,
    /// What went wrong when more was read.
    broke: Option<hyper::Error>,
    rest: Incoming,
}

impl Begun {
    /// A client's body, looked at or not; others are given back.
    pub(super) fn of(body: Body) -> Result<Self, Body> {
        match body {
            Body::Incoming(rest) => Ok(Self { ahead: VecDeque::new(), broke: None, rest }),
            Body::Begun(begun) => Ok(*begun),
            body => Err(body),
        }
    }
}

/// Looks into the body of a request, if its route asks for it.
pub(super) async fn into_body(config: &Config, request: Request<Body>) -> (Request<Body>, Looked) {
    if !config.routes.iter().any(asks) {
        return (request, Looked::Not);
    }
    let routed = config.route(request.method(), request.uri().path(), request.headers());
    let Some(form) = routed.filter(|(_, route)| asks(route)).and_then(|_| Form::of(request.headers())) else {
        return (request, Looked::Not);
    };
    let (parts, body) = request.into_parts();
    let mut begun = match Begun::of(body) {
        Ok(begun) => begun,
        Err(body) => return (Request::from_parts(parts, body), Looked::Not),
    };
    let fits = http_body::Body::size_hint(&begun.rest).exact().is_some_and(|bytes| bytes <= LOOKED_BYTES);
    let whole = fits && tokio::time::timeout(WITHIN, begun.read()).await.unwrap_or(false);
    let looked = if whole { form.read(&begun) } else { Looked::Not };
    (Request::from_parts(parts, Body::Begun(Box::new(begun))), looked)
}

fn asks(route: &Route) -> bool {
    route.warm && route.inputs.iter().any(config::value::Input::is_in_body)
}

/// What a body says that it is.
enum Form {
    Json,
    Fields,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        if headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let kind = kind.split(';').next()?.trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-www-form-urlencoded" => Some(Self::Fields),
            json if json == "application/json" || json.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }

    fn read(&self, begun: &Begun) -> Looked {
        let bytes: Vec<u8> = begun.ahead.iter().filter_map(Frame::data_ref).flatten().copied().collect();
        match self {
            Self::Json => serde_json::from_slice(&bytes).map_or(Looked::Not, Looked::Json),
            Self::Fields => Looked::Form(bytes),
        }
    }
}

impl Begun {
    /// Reads all of it; whether there was an end to it. Given up on the way, nothing of it is lost.
    async fn read(&mut self) -> bool {
        while let Some(frame) = self.rest.frame().await {
            match frame {
                Ok(frame) => self.ahead.push_back(frame),
                Err(error) => {
                    self.broke = Some(error);
                    return false;
                }
            }
        }
        true
    }
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.broke.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.broke.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.ahead.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(ahead + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(ahead + upper);
        }
        hint
    }
}
