//! What adumbra answers in its own name: RFC 9457 problem documents that say what happened and what to do.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::body::Body;

/// A kind of answer of our own. One exhaustive match gives each its status, slug, title and advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Problem {
    /// The request's head is not one strict HTTP message.
    Malformed,
    /// CONNECT.
    ConnectRefused,
    /// The head took too long.
    HeadTimeout,
    /// The head is too large or has too many fields.
    HeadTooLarge,
    /// No network could be reached.
    NoNetwork,
    /// The network was reached but broke off before its response head.
    BrokeOff,
    /// The network gave no response head in time.
    NoAnswer,
    /// What came back was not HTTP.
    Garbage,
    /// A peer's shadow got no permit, or the peer is shutting down: nothing was executed.
    NotExecuted,
    /// The peers listener was asked for what it does not do.
    NotAPeer,
    /// The egress listener was asked for an origin that the configuration does not allow.
    OriginForbidden,
    /// Nothing of that name on the admin port.
    NotFound,
    /// The method is not one for this resource.
    MethodNotAllowed,
    /// The sidecar has as many connections as it may.
    Overloaded,
}

impl Problem {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::ConnectRefused | Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NoNetwork | Self::NotExecuted | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::BrokeOff | Self::Garbage => StatusCode::BAD_GATEWAY,
            Self::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
            Self::NotAPeer | Self::OriginForbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }

    /// The whole answer: an `application/problem+json` with `detail`.
    pub(crate) fn response(self, detail: &str) -> Response<Body> {
        let mut response = Response::new(Body::full(Bytes::from(detail.to_owned())));
        *response.status_mut() = self.status();
        response
    }
}
