//! Who a sidecar is: `spiffe://<trust domain>/<network>/<service>`.
//!
//! An identity is compared whole and byte for byte, so there must be one way only to write each. What the SPIFFE standard
//! forbids is refused, and so is what it allows but we have no use for: more or fewer than two segments in the path.

use std::fmt;

/// A sidecar's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    trust_domain: Box<str>,
    network: Box<str>,
    service: Box<str>,
}

/// Why a text is not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Another scheme, or none.
    #[error("it does not start with `spiffe://`, in lower case")]
    Scheme,
    /// No trust domain, or one with characters that it must not have.
    #[error("its trust domain must be 1 to 255 lower-case letters, digits, `.`, `-` and `_`")]
    TrustDomain,
    /// A path of another shape.
    #[error("its path must be `/<network>/<service>` and nothing more")]
    Path,
    /// A segment that is empty, dots only, too long, or has characters that it must not have.
    #[error("each part of its path must be 1 to 64 letters, digits, `.`, `-` and `_`, and not only dots")]
    Segment,
}

impl SpiffeId {
    /// The identity of `service` on `network`.
    ///
    /// # Errors
    /// If a part is not one.
    pub fn new(trust_domain: &str, network: &str, service: &str) -> Result<Self, IdError> {
        if !is_trust_domain(trust_domain) {
            return Err(IdError::TrustDomain);
        }
        if !is_segment(network) || !is_segment(service) {
            return Err(IdError::Segment);
        }
        Ok(Self { trust_domain: trust_domain.into(), network: network.into(), service: service.into() })
    }

    /// Reads one as it stands in a certificate.
    ///
    /// # Errors
    /// If it is not exactly one.
    pub fn parse(uri: &str) -> Result<Self, IdError> {
        let rest = uri.strip_prefix("spiffe://").ok_or(IdError::Scheme)?;
        let (trust_domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_trust_domain(trust_domain) {
            return Err(IdError::TrustDomain);
        }
        let (network, service) = path.split_once('/').ok_or(IdError::Path)?;
        if service.contains('/') {
            return Err(IdError::Path);
        }
        Self::new(trust_domain, network, service)
    }

    /// Who vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Where it stands.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// What it stands in front of.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The same service on another network.
    ///
    /// # Errors
    /// If `network` cannot be a part of an identity.
    pub fn on(&self, network: &str) -> Result<Self, IdError> {
        Self::new(&self.trust_domain, network, &self.service)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.trust_domain, self.network, self.service)
    }
}

/// Whether `text` can be a trust domain.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
}

fn is_segment(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().any(|b| b != b'.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: Result<(&str, &str, &str), IdError>) {
        let read = SpiffeId::parse(uri);
        let parts = read.as_ref().map(|id| (id.trust_domain(), id.network(), id.service())).map_err(|error| *error);
        assert_eq!(parts, expected, "{uri}");
        if let Ok(id) = read {
            assert_eq!(id.to_string(), uri, "there is one way to write it");
        }
    }

    #[test]
    fn an_identity_is_read_whole_or_not_at_all() {
        check("spiffe://corp.example/private/render", Ok(("corp.example", "private", "render")));
        check("spiffe://a/b/c", Ok(("a", "b", "c")));
        check("spiffe://a_b-c.1/Net.1/S_2", Ok(("a_b-c.1", "Net.1", "S_2")));
        for uri in ["", "https://a/b/c", "SPIFFE://a/b/c", "spiffe:/a/b/c", "spiffe", " spiffe://a/b/c"] {
            check(uri, Err(IdError::Scheme));
        }
        for uri in ["spiffe:///b/c", "spiffe://A/b/c", "spiffe://a:1/b/c", "spiffe://u@a/b/c", "spiffe://a%2e/b/c"] {
            check(uri, Err(IdError::TrustDomain));
        }
        for uri in ["spiffe://a", "spiffe://a/", "spiffe://a/b", "spiffe://a/b/c/d", "spiffe://a/b/c/"] {
            check(uri, Err(IdError::Path));
        }
        for uri in [
            "spiffe://a//c",
            "spiffe://a/b/",
            "spiffe://a/./c",
            "spiffe://a/../c",
            "spiffe://a/b/c?d",
            "spiffe://a/b/c#d",
            "spiffe://a/b/c d",
            "spiffe://a/b/%63",
            "spiffe://a/b/é",
            "spiffe://a/b/c\0",
            "spiffe://a/b/c\n",
        ] {
            check(uri, Err(IdError::Segment));
        }
        check(&format!("spiffe://a/b/{}", "c".repeat(65)), Err(IdError::Segment));
        check(&format!("spiffe://{}/b/c", "a".repeat(256)), Err(IdError::TrustDomain));
    }

    #[test]
    fn a_neighbour_differs_by_its_network_only() {
        let here = SpiffeId::parse("spiffe://a/b/c").expect("an identity");
        assert_eq!(here.on("d").map(|id| id.to_string()), Ok("spiffe://a/d/c".to_owned()));
        assert_eq!(here.on("d/e"), Err(IdError::Segment));
    }
}
