//! Who another sidecar is.
//!
//! What a certificate may say is for `certs` to judge, which this crate does not know; the two must agree, and a test of the
//! whole workspace sees to it. Here it is judged so that a slip in a file is told with its place.

use toml::de::DeValue;

use super::{Bad, Form, text};
use crate::value::SpiffeUri;

/// An identity.
pub(crate) const IDENTITY: Form<SpiffeUri> = Form {
    name: "an identity",
    unit: "",
    write: "`spiffe://<trust domain>/<network>/<service>` in quotes",
    example: "\"spiffe://corp.example/public/render\"",
    reader: identity,
};

fn identity(value: &DeValue<'_>) -> Result<SpiffeUri, Bad> {
    let text = text(value)?;
    let rest = text.strip_prefix("spiffe://").ok_or(Bad::Why("it does not start with `spiffe://`"))?;
    let mut parts = rest.split('/');
    let trust_domain = parts.next().unwrap_or_default();
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    if !(1..=255).contains(&trust_domain.len()) || !trust_domain.bytes().all(lower) {
        return Err(Bad::Why("the trust domain is not lower-case letters, digits, `.`, `-` and `_`"));
    }
    let (Some(network), Some(service), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Bad::Why("the path is not a network and a service, and nothing more"));
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let segment = |s: &str| (1..=64).contains(&s.len()) && s.bytes().all(plain) && s.bytes().any(|b| b != b'.');
    if !segment(network) || !segment(service) {
        return Err(Bad::Why("network and service are not each up to 64 letters, digits, `.`, `-` and `_`"));
    }
    Ok(SpiffeUri::new(text.to_owned()))
}
