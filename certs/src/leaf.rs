//! What a certificate says of itself: whose it is, from when to when, its serial number.
//!
//! webpki verifies and tells none of this: it passes over names that it cannot read, and "exactly one" cannot be said of a
//! list with gaps. So the same bytes are read once more by x509-parser. Nothing here is believed before it is verified.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::spiffe::{IdError, SpiffeId};

/// From when to when something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second of it.
    pub not_before: SystemTime,
    /// The last second of it.
    pub not_after: SystemTime,
}

impl Validity {
    /// Whether `now` is past it.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    /// Whether `now` is before it.
    #[must_use]
    pub fn is_to_come(&self, now: SystemTime) -> bool {
        now < self.not_before
    }
}

/// Why a certificate names no sidecar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamelessError {
    /// It cannot be read.
    #[error("it is not an X.509 certificate, or its extensions are damaged")]
    Unreadable,
    /// It names no URI.
    #[error("it has no URI among its subject alternative names, where a sidecar's identity stands")]
    NoUri,
    /// It names several, so nobody can say who it is.
    #[error("it has {found} URIs among its subject alternative names, and an identity is exactly one")]
    ManyUris {
        /// How many.
        found: usize,
    },
    /// Its URI is not a sidecar's identity.
    #[error("its URI `{uri}` is not a sidecar's identity")]
    NotAnIdentity {
        /// The URI, as it stands there.
        uri: String,
        /// What keeps it from being one.
        #[source]
        source: IdError,
    },
}

/// The one identity that a certificate is for.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Result<SpiffeId, NamelessError> {
    let parsed = read(certificate).ok_or(NamelessError::Unreadable)?;
    let names = parsed.subject_alternative_name().map_err(|_| NamelessError::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = Vec::new();
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // It may be one that another reader can make out.
            GeneralName::Invalid(..) => return Err(NamelessError::Unreadable),
            _ => {}
        }
    }
    match uris.as_slice() {
        [] => Err(NamelessError::NoUri),
        [uri] => SpiffeId::parse(uri)
            .map_err(|source| NamelessError::NotAnIdentity { uri: uri.escape_default().take(300).collect(), source }),
        many => Err(NamelessError::ManyUris { found: many.len() }),
    }
}

/// From when to when a certificate holds.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let parsed = read(certificate)?;
    let validity = parsed.validity();
    Some(Validity { not_before: time(validity.not_before), not_after: time(validity.not_after) })
}

/// The time that all of a chain holds; `None` if a part of it cannot be read, or there is none.
#[must_use]
pub fn validity_of_all(chain: &[CertificateDer<'_>]) -> Option<Validity> {
    chain.iter().map(validity).reduce(|all, next| {
        let (all, next) = (all?, next?);
        Some(Validity { not_before: all.not_before.max(next.not_before), not_after: all.not_after.min(next.not_after) })
    })?
}

pub(crate) fn read<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

/// A time of X.509, which has whole seconds and may lie before 1970.
pub(crate) fn time(time: ASN1Time) -> SystemTime {
    match u64::try_from(time.timestamp()) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_before) => UNIX_EPOCH,
    }
}
