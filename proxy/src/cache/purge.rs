//! What is taken out of the cache before its time: by a request that changes something, or by an operator.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri};

use super::asked::{resource, resource_of};
use super::{Cache, Scheme};
use crate::metrics::Dropped;

/// What an operator wants gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    /// All.
    All,
    /// What was answered to requests for this URL, whoever asked.
    Url(Uri),
    /// For all URLs that begin so.
    Prefix(Uri),
}

/// Why a purge cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PurgeError {
    /// It does not say what.
    #[error("say what to purge: `url=http://host/path`, `prefix=http://host/path` or `all=true`")]
    Unnamed,
    /// It is no URL.
    #[error("`url` and `prefix` are whole URLs, such as http://host/path?query, percent-encoded where they must be")]
    NotAUrl,
}

/// What a request that changes something changes, once it was answered.
#[derive(Debug)]
pub(crate) struct Changing {
    /// What names of its target begin with, by either scheme.
    targets: [Option<Vec<u8>>; 2],
    host: Option<Vec<u8>>,
}

impl Changing {
    /// What `request` may change.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let targets = [Scheme::Http, Scheme::Https].map(|scheme| resource(scheme, request));
        let host = request.headers().get(http::header::HOST).map(|host| host.as_bytes().to_vec());
        Self { targets, host }
    }
}

impl Cache {
    /// A request that changes something was answered: what is stored of its target, and of what the answer names on the same
    /// host, is not true any more (RFC 9111 §4.4).
    pub(crate) fn changed(&self, changing: &Changing, status: StatusCode, headers: &HeaderMap) {
        if !status.is_success() && !status.is_redirection() {
            return;
        }
        for target in changing.targets.iter().flatten() {
            self.drop_all(target, Dropped::Invalidated);
        }
        let Some(host) = &changing.host else { return };
        for target in [LOCATION, CONTENT_LOCATION].iter().filter_map(|name| named(headers, name, host)) {
            for scheme in [Scheme::Http, Scheme::Https] {
                self.drop_all(&resource_of(scheme, host, target.as_bytes()), Dropped::Invalidated);
            }
        }
    }

    /// Takes out what an operator wants gone; how many answers that were.
    pub(crate) fn purge(&self, purge: &Purge) -> usize {
        let beginning = |uri: &Uri| {
            let scheme = if uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
            let host = uri.authority().map_or("", |authority| authority.as_str());
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            resource_of(scheme, host.as_bytes(), target.as_bytes())
        };
        match purge {
            Purge::All => self.drop_all(b"", Dropped::Purged),
            Purge::Url(uri) => self.drop_all(&beginning(uri), Dropped::Purged),
            Purge::Prefix(uri) => {
                let mut beginning = beginning(uri);
                beginning.pop();
                self.drop_all(&beginning, Dropped::Purged)
            }
        }
    }
}

/// The target that a field of an answer names on the same host.
fn named(headers: &HeaderMap, name: &HeaderName, host: &[u8]) -> Option<String> {
    let uri: Uri = headers.get(name)?.to_str().ok()?.parse().ok()?;
    let same = uri.authority().is_none_or(|authority| authority.as_str().as_bytes().eq_ignore_ascii_case(host));
    let target = uri.path_and_query().filter(|_| same)?.as_str();
    target.starts_with('/').then(|| target.to_owned())
}

impl Purge {
    /// What the parameters of a request to the admin port say.
    pub(crate) fn read(parameter: impl Fn(&str) -> Option<String>) -> Result<Self, PurgeError> {
        let url = |text: String| {
            let uri: Uri = text.parse().map_err(|_| PurgeError::NotAUrl)?;
            let is_whole = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
            if is_whole { Ok(uri) } else { Err(PurgeError::NotAUrl) }
        };
        match (parameter("url"), parameter("prefix"), parameter("all").as_deref()) {
            (Some(text), None, None) => url(text).map(Self::Url),
            (None, Some(text), None) => url(text).map(Self::Prefix),
            (None, None, Some("true")) => Ok(Self::All),
            _ => Err(PurgeError::Unnamed),
        }
    }
}
