//! What a request asks of the cache: its name there, and what it says about what it would take.
//!
//! Looked at before the request is scrubbed for the service, since most of what that does is not needed for a hit. So
//! whatever would be taken away or changed there must not make two requests one: fields that speak of the request as
//! another proxy saw it are part of the name, and one that names fields away, or says that it means another method or path,
//! is not for the cache at all.

use config::value::Cache as Settings;
use http::header::{CONNECTION, FORWARDED, HOST, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, Method, Request};

use super::directives::Directives;
use super::terms::has_credentials;
use crate::body::Body;
use crate::metrics::Bypass;

/// Bytes of a name at the most.
const KEY_MOST: usize = 8 << 10;
/// Between the parts of a name. It can stand in none of them.
const END: u8 = 0;

/// Said of a request by a proxy before us, or by the client itself: a service may build its answer from it.
const KEYED: [&str; 10] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-original-host",
];

/// With these a request means something else than it says.
const UNKEYED: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
];

/// What a request asks.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its name: scheme, host, path and query, which every name of the same resource begins with, then method and what else
    /// tells answers apart.
    pub(super) key: Vec<u8>,
    pub(super) directives: Directives,
    pub(super) has_credentials: bool,
    pub(super) is_head: bool,
    pub(super) wants_range: bool,
}

/// Which scheme a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

impl Asked {
    /// What a request for a cached route asks, or why that is nothing.
    pub(super) fn read(
        settings: &Settings,
        scheme: Scheme,
        route: &str,
        request: &Request<Body>,
    ) -> Result<Self, Bypass> {
        let headers = request.headers();
        let method = request.method();
        if *method != Method::GET && *method != Method::HEAD {
            return Err(Bypass::Method);
        }
        if !http_body::Body::is_end_stream(request.body()) {
            return Err(Bypass::Body);
        }
        let named = named(headers)?;
        if headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE) {
            return Err(Bypass::Condition);
        }
        let directives = Directives::of_request(headers);
        if directives.no_store {
            return Err(Bypass::NoStore);
        }
        let mut key = resource(scheme, request).ok_or(Bypass::NoHost)?;
        // A route may match by headers, and then the same URL means different things by different routes.
        for part in [&b"GET"[..], route.as_bytes()] {
            key.extend_from_slice(part);
            key.push(END);
        }
        let own = settings.tenant.iter().chain(&settings.key_headers);
        own.for_each(|name| add(&mut key, headers, name));
        if named.keyed {
            KEYED.iter().for_each(|name| add(&mut key, headers, &HeaderName::from_static(name)));
        }
        if key.len() > KEY_MOST {
            return Err(Bypass::TooLong);
        }
        Ok(Self {
            key,
            directives,
            has_credentials: has_credentials(headers),
            is_head: *method == Method::HEAD,
            wants_range: headers.contains_key(RANGE) || headers.contains_key(IF_RANGE),
        })
    }

    /// By which name it is remembered that answers cannot be stored: with credentials they often cannot, and without can.
    pub(super) fn passing_key(&self) -> Vec<u8> {
        let mut key = self.key.clone();
        key.push(u8::from(self.has_credentials));
        key
    }

    /// Whether it wants only what is stored.
    pub(crate) fn is_only_for_what_is_stored(&self) -> bool {
        self.directives.only_if_cached
    }

    /// Why nothing can be stored on its way to this client, if so.
    pub(crate) fn cannot_be_fetched_for(&self) -> Option<Bypass> {
        match self {
            Self { is_head: true, .. } => Some(Bypass::Head),
            Self { wants_range: true, .. } => Some(Bypass::Range),
            _ => None,
        }
    }

    /// Whether it may be given what somebody else is fetching already.
    pub(super) fn shares(&self) -> bool {
        !self.directives.no_cache && self.directives.max_age.is_none() && self.directives.min_fresh.is_none()
    }
}

/// What every name of what a request is about begins with.
pub(super) fn resource<B>(scheme: Scheme, request: &Request<B>) -> Option<Vec<u8>> {
    let host = request.headers().get(HOST)?;
    let target = request.uri().path_and_query()?;
    Some(resource_of(scheme, host.as_bytes(), target.as_str().as_bytes()))
}

/// The same, of a resource that is spelled out.
pub(super) fn resource_of(scheme: Scheme, host: &[u8], target: &[u8]) -> Vec<u8> {
    let (word, implied): (&[u8], &[u8]) = match scheme {
        Scheme::Http => (b"http", b":80"),
        Scheme::Https => (b"https", b":443"),
    };
    let host = host.strip_suffix(implied).unwrap_or(host);
    let mut key = Vec::with_capacity(word.len() + host.len() + target.len() + 64);
    key.extend_from_slice(word);
    key.push(END);
    key.extend(host.iter().map(u8::to_ascii_lowercase));
    key.push(END);
    key.extend_from_slice(target);
    key.push(END);
    key
}

fn add(key: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    // The name stands there too: what was stored before the configuration named it is not what is looked for now.
    key.extend_from_slice(name.as_str().as_bytes());
    for value in headers.get_all(name) {
        key.push(b'=');
        key.extend_from_slice(value.as_bytes());
        key.push(END);
    }
    key.push(END);
}

struct Named {
    keyed: bool,
}

/// One pass over the names.
fn named(headers: &HeaderMap) -> Result<Named, Bypass> {
    let mut keyed = false;
    for name in headers.keys() {
        let text = name.as_str();
        if *name == FORWARDED || text.starts_with("x-") {
            keyed |= KEYED.contains(&text);
            if UNKEYED.contains(&text) {
                return Err(Bypass::Unkeyed);
            }
        } else if *name == CONNECTION && !headers.get_all(CONNECTION).iter().all(|value| is_harmless(value.as_bytes()))
        {
            return Err(Bypass::Unkeyed);
        } else if *name == http::header::UPGRADE {
            return Err(Bypass::Upgrade);
        }
        if text.contains('_') {
            // Some read it as the same name with `-`.
            return Err(Bypass::Unkeyed);
        }
    }
    Ok(Named { keyed })
}

/// Whether `Connection` names nothing away that the service would else see.
fn is_harmless(connection: &[u8]) -> bool {
    connection.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).all(|option| {
        option.is_empty() || option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let text = "home = \"a\"\n[networks.a]\nupstreams = [\"http://127.0.0.1:1\"]\n\
                    [cache]\ntenant = \"x-tenant\"\nkey_headers = [\"accept-language\"]\n[listen]\njobs = \"127.0.0.1:0\"\n";
        config::parse(text, "test").expect("a configuration").cache
    }

    fn request(target: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::Empty).expect("a request")
    }

    fn key(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        Asked::read(&settings(), Scheme::Http, "r", &request(target, headers)).expect("it is for the cache").key
    }

    #[test]
    fn what_may_change_an_answer_is_in_the_name() {
        let plain = key("/a?b", &[("host", "h")]);
        assert_eq!(plain, key("/a?b", &[("host", "H:80"), ("user-agent", "x")]));
        let others: [(&str, &[(&str, &str)]); 10] = [
            ("/a?b", &[("host", "other")]),
            ("/a?b", &[("host", "h:8080")]),
            ("/a", &[("host", "h")]),
            ("/A?b", &[("host", "h")]),
            ("/a?b", &[("host", "h"), ("x-tenant", "t")]),
            ("/a?b", &[("host", "h"), ("x-tenant", "")]),
            ("/a?b", &[("host", "h"), ("accept-language", "de")]),
            ("/a?b", &[("host", "h"), ("x-forwarded-host", "evil")]),
            ("/a?b", &[("host", "h"), ("x-forwarded-proto", "https")]),
            ("/a?b", &[("host", "h"), ("forwarded", "host=evil")]),
        ];
        let mut keys: Vec<Vec<u8>> = others.iter().map(|(target, headers)| key(target, headers)).collect();
        keys.push(plain.clone());
        keys.push(Asked::read(&settings(), Scheme::Https, "r", &request("/a?b", &[("host", "h")])).expect("a key").key);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), others.len() + 2);
        let resource = resource_of(Scheme::Http, b"h", b"/a?b");
        assert!(
            plain.starts_with(&resource) && key("/a?b", &[("host", "h"), ("x-tenant", "t")]).starts_with(&resource)
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_for_the_cache() {
        let check = |headers: &[(&str, &str)], expected: Bypass| {
            let read = Asked::read(&settings(), Scheme::Http, "r", &request("/", headers));
            assert_eq!(read.map(|asked| asked.key).expect_err("it is not for the cache"), expected, "{headers:?}");
        };
        check(&[], Bypass::NoHost);
        check(&[("host", "h"), ("connection", "close, X-Tenant")], Bypass::Unkeyed);
        check(&[("host", "h"), ("x-http-method-override", "DELETE")], Bypass::Unkeyed);
        check(&[("host", "h"), ("x-original-url", "/admin")], Bypass::Unkeyed);
        check(&[("host", "h"), ("x_tenant", "t")], Bypass::Unkeyed);
        check(&[("host", "h"), ("cache-control", "No-Store")], Bypass::NoStore);
        check(&[("host", "h"), ("if-match", "\"a\"")], Bypass::Condition);
        check(&[("host", "h"), ("x-tenant", &"t".repeat(9000))], Bypass::TooLong);
        let mut post = request("/", &[("host", "h")]);
        *post.method_mut() = Method::POST;
        assert_eq!(Asked::read(&settings(), Scheme::Http, "r", &post).map(|_| ()), Err(Bypass::Method));
        let with_body = request("/", &[("host", "h")]).map(|_| Body::full("x".into()));
        assert_eq!(Asked::read(&settings(), Scheme::Http, "r", &with_body).map(|_| ()), Err(Bypass::Body));
    }
}
