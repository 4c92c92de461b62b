//! Addresses: where adumbra listens, where networks are, where data may come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use http::uri::Scheme;
use toml::de::DeValue;

use super::{Bad, Form, text};
use crate::value::{Endpoint, Origin};

/// An address to listen on.
pub(crate) const LISTENER: Form<SocketAddr> = Form {
    name: "an address to listen on",
    unit: "",
    write: "an IP address and a port in quotes",
    example: "\"127.0.0.1:8080\"",
    reader: listener,
};

/// Where a network is reached.
pub(crate) const ENDPOINT: Form<Endpoint> = Form {
    name: "an endpoint",
    unit: "",
    write: "`http://` or `https://`, a name or an IP address, and a port, in quotes",
    example: "\"http://127.0.0.1:3000\"",
    reader: |value| {
        let Place { scheme, host, port } = place(value)?;
        Ok(Endpoint { tls: scheme == Scheme::HTTPS, host, port })
    },
};

/// Where data may come from.
pub(crate) const ORIGIN: Form<Origin> = Form {
    name: "an origin",
    unit: "",
    write: "`http://` or `https://`, a name or an IP address, and a port, in quotes",
    example: "\"https://data.example:443\"",
    reader: |value| {
        let Place { scheme, host, port } = place(value)?;
        Ok(Origin { scheme, host, port })
    },
};

fn listener(value: &DeValue<'_>) -> Result<SocketAddr, Bad> {
    let text = text(value)?;
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    Err(Bad::Why(if text.contains("://") {
        "a listener has no scheme"
    } else if text.parse::<IpAddr>().is_ok() {
        "the port is missing"
    } else if text.starts_with(':') {
        "the IP address is missing: `0.0.0.0` listens on all"
    } else if text.starts_with("localhost") {
        "names are not resolved here: write `127.0.0.1`"
    } else {
        "it is not an IP address, `:`, and a port from 0 to 65535"
    }))
}

struct Place {
    scheme: Scheme,
    host: String,
    port: u16,
}

fn place(value: &DeValue<'_>) -> Result<Place, Bad> {
    let text = text(value)?;
    if !text.contains("://") {
        return Err(Bad::Why("`http://` or `https://` is missing"));
    }
    let uri: Uri = text.parse().map_err(|_| Bad::Why("it is not a URL"))?;
    let scheme = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => scheme.clone(),
        _ => return Err(Bad::Why("it starts with neither `http://` nor `https://`")),
    };
    let authority = uri.authority().ok_or(Bad::Why("the host is missing"))?;
    if authority.as_str().contains('@') {
        return Err(Bad::Why("a user name has no place in it"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
        return Err(Bad::Why("it has a path, and requests bring their own"));
    }
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().unwrap_or(0),
        _ if scheme == Scheme::HTTPS => 443,
        _ => 80,
    };
    if port == 0 {
        return Err(Bad::Why("the port is not one from 1 to 65535"));
    }
    Ok(Place { scheme, host: host(authority.host())?, port })
}

/// A DNS name in lower case, or an address literal without brackets.
fn host(host: &str) -> Result<String, Bad> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        let address: Ipv6Addr = inner.parse().map_err(|_| Bad::Why("what is in brackets is not an IPv6 address"))?;
        return Ok(address.to_string());
    }
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(Bad::Why("the host is neither a name nor an IP address"));
    }
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(Bad::Why("the host looks like an IPv4 address and is none"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<&str>) {
        let endpoint = ENDPOINT.read(&DeValue::String(url.into()));
        assert_eq!(endpoint.ok().map(|endpoint| endpoint.to_string()).as_deref(), expected, "{url}");
        let origin = ORIGIN.read(&DeValue::String(url.into()));
        assert_eq!(origin.is_ok(), expected.is_some(), "{url}");
    }

    #[test]
    fn endpoints_are_normalised() {
        check("http://127.0.0.1:3000", Some("http://127.0.0.1:3000"));
        check("http://Service.Example", Some("http://service.example:80"));
        check("https://service.example./", Some("https://service.example:443"));
        check("https://[0:0::1]:8443", Some("https://[::1]:8443"));
        check("http://[::1]", Some("http://[::1]:80"));
        check("http://my_service.ns.svc:8080", Some("http://my_service.ns.svc:8080"));
    }

    #[test]
    fn what_no_connection_can_be_made_to_is_refused() {
        for url in [
            "",
            "h",
            "h:80",
            "//h",
            "http://",
            "http://:80",
            "unix:///s",
            "http://h:99999",
            "http://h:",
            "http://h:x",
            "http://h/a",
            "http://h?a",
            "http://h#a",
            "http://h/#a",
            "http://u:p@h",
            "http://a b",
            "http://é",
            "http://-h",
            "http://300.1.1.1",
            "http://1.2.3",
            "http://1",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://[1.2.3.4]",
            "http://*",
        ] {
            check(url, None);
        }
    }
}
