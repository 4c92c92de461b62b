//! Where data may come from: only the origins that the configuration names, and only if they are named as they are.
//!
//! An address that is written another way (a trailing dot, an octal number, a name that leads to the same machine) is
//! another origin, and refused. So nothing here is decoded or resolved to compare it, and a request can only ever reach
//! what the operator has written down.

use std::fmt;
use std::sync::Arc;

use config::value::Origin;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};

/// The origins that may be fetched from.
#[derive(Debug)]
pub(super) struct Allowed(Vec<Arc<Origin>>);

/// What can be fetched: something on an allowed origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Arc<Origin>,
    pub(super) path: PathAndQuery,
}

impl Allowed {
    pub(super) fn new(origins: &[Origin]) -> Self {
        Self(origins.iter().cloned().map(Arc::new).collect())
    }

    /// What `uri` names, if it is absolute and its origin is allowed.
    pub(super) fn key(&self, uri: &Uri) -> Option<Key> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        let origin = self.0.iter().find(|origin| origin.scheme == *scheme && is_named(origin, authority.as_str()))?;
        let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/'));
        let path = path.cloned().unwrap_or(PathAndQuery::from_static("/"));
        Some(Key { origin: Arc::clone(origin), path })
    }
}

/// Whether `authority` is the origin's host, with its port unless that is the scheme's own, and nothing else.
fn is_named(origin: &Origin, authority: &str) -> bool {
    let Some((host, rest)) = authority.split_at_checked(host_len(origin)) else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if !host.eq_ignore_ascii_case(&origin.host) {
        return false;
    }
    match rest.strip_prefix(':') {
        Some(port) => port == origin.port.to_string(),
        None => rest.is_empty() && origin.port == default_port(&origin.scheme),
    }
}

/// How long the host is in an authority: an IPv6 address has brackets there.
fn host_len(origin: &Origin) -> usize {
    if origin.host.contains(':') { origin.host.len() + 2 } else { origin.host.len() }
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

impl Key {
    /// The authority, as `Host` has it.
    pub(super) fn authority(&self) -> String {
        let Origin { scheme, host, port } = &*self.origin;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if *port == default_port(scheme) { host } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.origin.scheme, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        let origin = |scheme, host: &str, port| Origin { scheme, host: host.into(), port };
        Allowed::new(&[
            origin(Scheme::HTTP, "data.example", 80),
            origin(Scheme::HTTPS, "data.example", 443),
            origin(Scheme::HTTP, "data.example", 8080),
            origin(Scheme::HTTP, "127.0.0.1", 9000),
            origin(Scheme::HTTP, "::1", 9000),
        ])
    }

    #[track_caller]
    fn check(uri: &str, expected: Option<&str>) {
        let key = uri.parse().ok().and_then(|uri| allowed().key(&uri));
        assert_eq!(key.map(|key| key.to_string()).as_deref(), expected, "{uri}");
    }

    #[test]
    fn an_allowed_origin_is_known_by_its_name() {
        check("http://data.example/a?b=c", Some("http://data.example/a?b=c"));
        check("http://data.example:80/a", Some("http://data.example/a"));
        check("http://DATA.example", Some("http://data.example/"));
        check("https://data.example/a", Some("https://data.example/a"));
        check("http://data.example:8080?q", Some("http://data.example:8080/"));
        check("http://127.0.0.1:9000/", Some("http://127.0.0.1:9000/"));
        check("http://[::1]:9000/x", Some("http://[::1]:9000/x"));
    }

    #[test]
    fn every_other_way_to_write_it_is_refused() {
        for uri in [
            "/a",
            "data.example:80",
            "ftp://data.example/a",
            "https://data.example:8080/a",
            "https://127.0.0.1:9000/",
            "http://data.example:81/a",
            "http://data.example:/a",
            "http://data.example:080/a",
            "http://data.example:99999/a",
            "http://data.example./a",
            "http://data.example.evil/a",
            "http://evil-data.example/a",
            "http://user@data.example/a",
            "http://user:secret@data.example/a",
            "http://data.example@evil/a",
            "http://data.example:80@evil/a",
            "http://data%2eexample/a",
            "http://127.0.0.1/",
            "http://127.1:9000/",
            "http://0x7f.0.0.1:9000/",
            "http://2130706433:9000/",
            "http://0177.0.0.1:9000/",
            "http://[::ffff:127.0.0.1]:9000/",
            "http://[0:0:0:0:0:0:0:1]:9000/",
            "http://::1:9000/",
            "http://localhost:9000/",
            "http:///a",
        ] {
            check(uri, None);
        }
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let uri = Uri::from_static("http://127.0.0.1:9000/");
        assert_eq!(Allowed::new(&[]).key(&uri), None);
    }
}
