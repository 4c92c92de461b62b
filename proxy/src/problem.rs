//! What adumbra answers in its own name: RFC 9457 problem documents that say what happened and what to do.
//!
//! Each kind is described in one place, [`Problem::about`], so that its status, its text and what a peer may conclude from
//! it cannot drift apart. A kind comes in two forms: a [`Response`] for whoever speaks through hyper, and raw bytes for the
//! guard, which refuses what hyper must never see.
//!
//! A problem that is known not to have executed the job says so in `adumbra-not-executed`: another sidecar may then send
//! the job elsewhere. One that cannot know (the network broke off, kept silent, talked nonsense) never says it.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;

/// Says that the job was not executed, so that it may be sent elsewhere whatever its method.
pub(crate) const NOT_EXECUTED: HeaderName = HeaderName::from_static("adumbra-not-executed");

/// On every answer of our own: which problem it is. A sidecar tells by it that this is not the service's answer.
pub(crate) const PROBLEM: HeaderName = HeaderName::from_static("adumbra-problem");

/// A kind of answer of our own. One exhaustive match gives each its status, slug, title and advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Problem {
    /// The request's head is not one strict HTTP message.
    Malformed,
    /// CONNECT.
    ConnectRefused,
    /// The head took too long.
    HeadTimeout,
    /// The body stopped coming.
    BodyTimeout,
    /// The head is too large or has too many fields.
    HeadTooLarge,
    /// No network could be reached.
    NoNetwork,
    /// The network was reached but broke off before its response head.
    BrokeOff,
    /// The request's body broke off, or did not come, after part of the job may have been seen.
    BodyBroke,
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
    /// The egress listener was asked for something that names no origin.
    OriginUnnamed,
    /// An origin gave no answer that can be read.
    OriginFailed,
    /// An origin gave no answer in time.
    OriginSlow,
    /// Only what the response cache has was wanted, and it has nothing.
    NotCached,
    /// Nothing of that name on the admin port.
    NotFound,
    /// The method is not one for this resource.
    MethodNotAllowed,
    /// The admin port was asked under a name that may be anybody's.
    ForeignHost,
    /// A page of another origin asked the admin port to change something.
    ForeignOrigin,
    /// Something was to be changed, and no token that is known was shown.
    Unauthorized,
    /// Something was to be changed, and there is no token that could be shown.
    WritesOff,
    /// The admin port was sent more than it reads.
    TooLarge,
    /// The sidecar has as many connections as it may.
    Overloaded,
    /// The request goes round in a circle.
    Loop,
}

/// Whether the job behind a problem can have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Execution {
    /// It cannot: nothing of it was passed on to a service.
    None,
    /// It may have.
    Possible,
    /// There is no job: the admin port was asked, or the egress listener.
    NoJob,
}

/// All that is fixed about a kind.
#[derive(Clone, Copy, Debug)]
struct About {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    advice: &'static str,
    execution: Execution,
}

impl Problem {
    /// The status it is answered with.
    pub(crate) const fn status(self) -> StatusCode {
        self.about().status
    }

    /// One word for it, as in its `type`.
    pub(crate) const fn slug(self) -> &'static str {
        self.about().slug
    }

    /// The whole answer: an `application/problem+json` with `detail`.
    pub(crate) fn response(self, detail: &str) -> Response<Body> {
        let mut response = Response::new(Body::full(self.document(detail)));
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.fields());
        response
    }

    /// The whole answer as the bytes of an HTTP/1.1 response after which the connection is closed.
    pub(crate) fn raw(self, detail: &str) -> Bytes {
        let document = self.document(detail);
        let status = self.status();
        let mut raw = Vec::with_capacity(document.len() + 320);
        for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
            raw.extend_from_slice(part.as_bytes());
        }
        for (name, value) in self.fields() {
            push_field(&mut raw, name.as_str(), value.as_bytes());
        }
        push_field(&mut raw, "content-length", document.len().to_string().as_bytes());
        push_field(&mut raw, "connection", b"close");
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(&document);
        raw.into()
    }

    fn document(self, detail: &str) -> Bytes {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            advice: &'static str,
        }
        let About { status, title, advice, .. } = self.about();
        let r#type = format!("/problems/{}", self.slug());
        let document = Document { r#type, title, status: status.as_u16(), detail, advice };
        serde_json::to_vec(&document).expect("strings and a number are always JSON").into()
    }

    fn fields(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let about = self.about();
        let allow = match self {
            Self::ConnectRefused => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            Self::MethodNotAllowed => Some("GET, HEAD"),
            _ => None,
        };
        let authenticate = (about.status == StatusCode::UNAUTHORIZED).then_some("Bearer");
        let retry_after = (about.status == StatusCode::SERVICE_UNAVAILABLE).then_some("1");
        let not_executed = (about.execution == Execution::None).then_some("1");
        [
            (CONTENT_TYPE, Some("application/problem+json")),
            (CACHE_CONTROL, Some("no-store")),
            (ALLOW, allow),
            (WWW_AUTHENTICATE, authenticate),
            (RETRY_AFTER, retry_after),
            (PROBLEM, Some(about.slug)),
            (NOT_EXECUTED, not_executed),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?))))
    }

    #[expect(clippy::too_many_lines, reason = "a table: five plain values for each kind")]
    const fn about(self) -> About {
        match self {
            Self::Malformed => About {
                status: StatusCode::BAD_REQUEST,
                slug: "malformed",
                title: "The request is not one strict HTTP message",
                advice: "Correct the request before sending it again; it was not passed on.",
                execution: Execution::None,
            },
            Self::ConnectRefused => About {
                status: StatusCode::METHOD_NOT_ALLOWED,
                slug: "connect-refused",
                title: "CONNECT is not offered here",
                advice: "Send the request itself; for a WebSocket use an HTTP/1.1 upgrade.",
                execution: Execution::None,
            },
            Self::HeadTimeout => About {
                status: StatusCode::REQUEST_TIMEOUT,
                slug: "head-timeout",
                title: "The request's head did not come in time",
                advice: "Send the whole head at once; if clients really are that slow, raise `limits.head_timeout`.",
                execution: Execution::None,
            },
            Self::BodyTimeout => About {
                status: StatusCode::REQUEST_TIMEOUT,
                slug: "body-timeout",
                title: "The request's body stopped coming",
                advice: "The job may have run in part: repeat it only if that is harmless, and send the whole body \
                         without a long pause. If clients rightly pause that long, raise the network's \
                         `timeouts.head`.",
                execution: Execution::Possible,
            },
            Self::HeadTooLarge => About {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                slug: "head-too-large",
                title: "The request's head is too large",
                advice: "Send fewer or shorter fields (cookies, most often), or raise `limits.head_bytes` or \
                         `limits.head_fields`.",
                execution: Execution::None,
            },
            Self::NoNetwork => About {
                status: StatusCode::SERVICE_UNAVAILABLE,
                slug: "no-network",
                title: "No network can take the job now",
                advice: "Send it again in a moment; the operator finds which networks are down, and why, in `/status`.",
                execution: Execution::None,
            },
            Self::BodyBroke => About {
                status: StatusCode::BAD_REQUEST,
                slug: "body-broke",
                title: "The request's body broke off",
                advice: "Send the whole body. Part of it may have reached the service, so repeat the job only if that is \
                         harmless.",
                execution: Execution::Possible,
            },
            Self::BrokeOff => About {
                status: StatusCode::BAD_GATEWAY,
                slug: "broke-off",
                title: "The network broke off before it answered",
                advice: "The job may have run: repeat it only if that is harmless. A route with `repeatable = true` is \
                         repeated on the next network without asking.",
                execution: Execution::Possible,
            },
            Self::NoAnswer => About {
                status: StatusCode::GATEWAY_TIMEOUT,
                slug: "no-answer",
                title: "The network did not answer in time",
                advice: "The job may have run, or may still be running: repeat it only if that is harmless. If the \
                         service is rightly that slow, raise the network's `timeouts.head`.",
                execution: Execution::Possible,
            },
            Self::Garbage => About {
                status: StatusCode::BAD_GATEWAY,
                slug: "garbage",
                title: "What the network answered is not HTTP",
                advice: "The job may have run. The operator should check that the network's endpoints and `protocol` \
                         are those of the service.",
                execution: Execution::Possible,
            },
            Self::NotExecuted => About {
                status: StatusCode::SERVICE_UNAVAILABLE,
                slug: "not-executed",
                title: "This sidecar did not run the job",
                advice: "Send it to another network, or here again in a moment.",
                execution: Execution::None,
            },
            Self::NotAPeer => About {
                status: StatusCode::FORBIDDEN,
                slug: "not-a-peer",
                title: "This listener serves other sidecars only",
                advice: "Send jobs to the `listen.jobs` address.",
                execution: Execution::None,
            },
            Self::OriginForbidden => About {
                status: StatusCode::FORBIDDEN,
                slug: "origin-forbidden",
                title: "The configuration does not allow this origin",
                advice: "Add the origin to `data.origins` if the service is meant to fetch from it.",
                execution: Execution::None,
            },
            Self::OriginUnnamed => About {
                status: StatusCode::NOT_FOUND,
                slug: "origin-unnamed",
                title: "The request names no origin to fetch from",
                advice: "Ask for an absolute URL, as an HTTP proxy is asked, or for `/fetch/SCHEME/HOST:PORT/PATH`.",
                execution: Execution::NoJob,
            },
            Self::OriginFailed => About {
                status: StatusCode::BAD_GATEWAY,
                slug: "origin-failed",
                title: "The origin gave no answer",
                advice: "Check that the origin runs, and that `data.origins` names it as it is. A GET may be repeated.",
                execution: Execution::NoJob,
            },
            Self::OriginSlow => About {
                status: StatusCode::GATEWAY_TIMEOUT,
                slug: "origin-slow",
                title: "The origin did not answer in time",
                advice: "If the origin is rightly that slow, raise `data.timeout`. A GET may be repeated.",
                execution: Execution::NoJob,
            },
            Self::NotCached => About {
                status: StatusCode::GATEWAY_TIMEOUT,
                slug: "not-cached",
                title: "Nothing is stored that answers the request",
                advice: "Send it without `Cache-Control: only-if-cached`.",
                execution: Execution::None,
            },
            Self::NotFound => About {
                status: StatusCode::NOT_FOUND,
                slug: "not-found",
                title: "There is nothing of that name here",
                advice: "`/` on the admin port lists what there is.",
                execution: Execution::NoJob,
            },
            Self::MethodNotAllowed => About {
                status: StatusCode::METHOD_NOT_ALLOWED,
                slug: "method-not-allowed",
                title: "This does not take that method",
                advice: "Use one that `allow` names.",
                execution: Execution::NoJob,
            },
            Self::ForeignHost => About {
                status: StatusCode::FORBIDDEN,
                slug: "foreign-host",
                title: "The admin port does not answer to this name",
                advice: "Ask for it by address or as localhost. Other names are refused, so that a web page cannot reach \
                         the admin port by letting its own name resolve to it.",
                execution: Execution::NoJob,
            },
            Self::ForeignOrigin => About {
                status: StatusCode::FORBIDDEN,
                slug: "foreign-origin",
                title: "Another site's page cannot change anything here",
                advice: "Use the page that the admin port itself serves, or a program that sends no `Origin`.",
                execution: Execution::NoJob,
            },
            Self::Unauthorized => About {
                status: StatusCode::UNAUTHORIZED,
                slug: "unauthorized",
                title: "Only whoever has the token may change this",
                advice: "Send `Authorization: Bearer` and a line of the file that `listen.admin_token` names.",
                execution: Execution::NoJob,
            },
            Self::WritesOff => About {
                status: StatusCode::FORBIDDEN,
                slug: "writes-off",
                title: "Nothing can be changed through the admin port",
                advice: "Name a file with a token in `listen.admin_token`; `openssl rand -hex 32` makes a good one.",
                execution: Execution::NoJob,
            },
            Self::TooLarge => About {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                slug: "too-large",
                title: "The admin port does not read that much",
                advice: "Send less; `docs/openapi.json` says what is expected.",
                execution: Execution::NoJob,
            },
            Self::Overloaded => About {
                status: StatusCode::SERVICE_UNAVAILABLE,
                slug: "overloaded",
                title: "This sidecar has as many connections as it may",
                advice: "Send it again in a moment; if this is the normal load, raise `limits.connections` or \
                         `limits.connections_per_address`.",
                execution: Execution::None,
            },
            // Never marked as not executed: each sidecar of the circle would send it on elsewhere, and there is no end to that.
            Self::Loop => About {
                status: StatusCode::LOOP_DETECTED,
                slug: "loop",
                title: "The request goes round in a circle",
                advice: "The operator should look for a network, or a proxy before or behind one, whose address is that \
                         of a sidecar's `listen.jobs`.",
                execution: Execution::Possible,
            },
        }
    }
}

fn push_field(raw: &mut Vec<u8>, name: &str, value: &[u8]) {
    raw.extend_from_slice(name.as_bytes());
    raw.extend_from_slice(b": ");
    raw.extend_from_slice(value);
    raw.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Problem; 26] = [
        Problem::NotCached,
        Problem::Malformed,
        Problem::ConnectRefused,
        Problem::HeadTimeout,
        Problem::BodyTimeout,
        Problem::HeadTooLarge,
        Problem::NoNetwork,
        Problem::BodyBroke,
        Problem::BrokeOff,
        Problem::NoAnswer,
        Problem::Garbage,
        Problem::NotExecuted,
        Problem::NotAPeer,
        Problem::OriginForbidden,
        Problem::OriginUnnamed,
        Problem::OriginFailed,
        Problem::OriginSlow,
        Problem::NotFound,
        Problem::MethodNotAllowed,
        Problem::ForeignHost,
        Problem::ForeignOrigin,
        Problem::Unauthorized,
        Problem::WritesOff,
        Problem::TooLarge,
        Problem::Overloaded,
        Problem::Loop,
    ];

    fn body(response: Response<Body>) -> serde_json::Value {
        let Body::Full(Some(bytes)) = response.into_body() else { panic!("a problem has a body") };
        serde_json::from_slice(&bytes).expect("the body is JSON")
    }

    #[test]
    fn every_problem_is_a_whole_document() {
        for problem in ALL {
            let response = problem.response("what \"happened\"\r\n\u{1}");
            assert_eq!(response.status(), problem.status());
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let document = body(response);
            assert_eq!(document["type"], format!("/problems/{}", problem.slug()));
            assert_eq!(document["status"], problem.status().as_u16());
            assert_eq!(document["detail"], "what \"happened\"\r\n\u{1}");
            for text in ["title", "advice"] {
                assert!(document[text].as_str().is_some_and(|text| text.len() > 5), "{problem:?} has no {text}");
            }
        }
    }

    #[test]
    fn slugs_tell_problems_apart() {
        let slugs: std::collections::HashSet<_> = ALL.into_iter().map(Problem::slug).collect();
        assert_eq!(slugs.len(), ALL.len());
    }

    #[test]
    fn only_what_cannot_have_run_is_marked_not_executed() {
        for problem in ALL {
            let marked = problem.response("").headers().contains_key(NOT_EXECUTED);
            let may_have_run = matches!(
                problem,
                Problem::BodyBroke
                    | Problem::BodyTimeout
                    | Problem::BrokeOff
                    | Problem::NoAnswer
                    | Problem::Garbage
                    | Problem::Loop
            );
            let no_job = matches!(
                problem,
                Problem::OriginUnnamed
                    | Problem::OriginFailed
                    | Problem::OriginSlow
                    | Problem::NotFound
                    | Problem::MethodNotAllowed
                    | Problem::ForeignHost
                    | Problem::ForeignOrigin
                    | Problem::Unauthorized
                    | Problem::WritesOff
                    | Problem::TooLarge
            );
            assert_eq!(marked, !may_have_run && !no_job, "{problem:?}");
        }
    }

    #[test]
    fn statuses_bring_the_fields_they_call_for() {
        for problem in ALL {
            let response = problem.response("");
            let headers = response.headers();
            assert_eq!(headers.contains_key(ALLOW), problem.status() == StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(headers.contains_key(WWW_AUTHENTICATE), problem.status() == StatusCode::UNAUTHORIZED);
            assert_eq!(headers.contains_key(RETRY_AFTER), problem.status() == StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[test]
    fn the_raw_form_is_the_same_answer() {
        for problem in ALL {
            let raw = problem.raw("a \"detail\"");
            let text = std::str::from_utf8(&raw).expect("ASCII");
            let (head, document) = text.split_once("\r\n\r\n").expect("a head ends");
            let mut lines = head.split("\r\n");
            let status = problem.status();
            let reason = status.canonical_reason().expect("a known status");
            assert_eq!(lines.next(), Some(format!("HTTP/1.1 {} {reason}", status.as_str()).as_str()));
            let fields: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
            assert!(fields.contains(&("connection", "close")));
            assert!(fields.contains(&("content-length", document.len().to_string().as_str())));
            let response = problem.response("a \"detail\"");
            for (name, value) in response.headers() {
                assert!(fields.contains(&(name.as_str(), value.to_str().expect("ASCII"))), "{problem:?}: {name}");
            }
            let parsed: serde_json::Value = serde_json::from_str(document).expect("JSON");
            assert_eq!(parsed, body(response));
        }
    }
}
