//! Why a sidecar was not believed, in words for people and in one word for a metric.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};

use crate::leaf::NamelessError;
use crate::spiffe::SpiffeId;

/// Why a certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// None of the bundle's CAs has signed it.
    #[error("no CA of the trust bundle has signed the certificate")]
    UnknownIssuer,
    /// It is past its time.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet; do the clocks agree?")]
    NotYetValid,
    /// The CA that has signed it is past its own time.
    #[error("the CA that has signed the certificate has expired")]
    AuthorityExpired,
    /// The CA that has signed it has a time that has not come.
    #[error("the CA that has signed the certificate is not valid yet; do the clocks agree?")]
    AuthorityNotYetValid,
    /// Its CA has revoked it.
    #[error("the certificate was revoked")]
    Revoked,
    /// It is nobody's in particular.
    #[error("the certificate names no sidecar")]
    Nameless(#[source] NamelessError),
    /// It is that of somebody else.
    #[error("the certificate is for {shown}, and that is not who may be there: {}", listed(expected))]
    Unexpected {
        /// Whose it is.
        shown: Box<SpiffeId>,
        /// Whose it may be.
        expected: Vec<SpiffeId>,
    },
    /// It cannot be verified at all.
    #[error("the certificate cannot be used")]
    Unusable(#[source] webpki::Error),
}

/// The same in one word; the set is closed, so it may be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It showed none.
    NoCertificate,
    /// Of a CA that is not trusted, or of none.
    UnknownIssuer,
    /// Past its time.
    Expired,
    /// Before its time.
    NotYetValid,
    /// Revoked.
    Revoked,
    /// Of a trusted CA, and for somebody else.
    Identity,
    /// Cannot be verified.
    Unusable,
    /// The other side refused ours.
    ByPeer,
    /// It is no TLS 1.3, or broke off, or took too long.
    Protocol,
}

impl Refusal {
    /// In one word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownIssuer => Reason::UnknownIssuer,
            Self::Expired | Self::AuthorityExpired => Reason::Expired,
            Self::NotYetValid | Self::AuthorityNotYetValid => Reason::NotYetValid,
            Self::Revoked => Reason::Revoked,
            Self::Nameless(_) | Self::Unexpected { .. } => Reason::Identity,
            Self::Unusable(_) => Reason::Unusable,
        }
    }
}

/// The error of a handshake in words for people: rustls shows what verifiers say as it was typed.
#[must_use]
pub fn explained(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = inner else { return error };
    let refusal = match why {
        CertificateError::UnknownIssuer => Refusal::UnknownIssuer,
        CertificateError::Expired => Refusal::Expired,
        CertificateError::NotValidYet => Refusal::NotYetValid,
        CertificateError::Revoked => Refusal::Revoked,
        CertificateError::Other(OtherError(said)) => match said.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.clone(),
            None => return error,
        },
        _ => return error,
    };
    io::Error::new(error.kind(), refusal)
}

impl Reason {
    /// Why a handshake failed.
    #[must_use]
    pub fn of_handshake(error: &io::Error) -> Self {
        use rustls::Error;
        if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return refusal.reason();
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::AlertReceived(alert)) if is_of_certificate(*alert) => Self::ByPeer,
            Some(Error::InvalidCertificate(error)) => Self::of_certificate(error),
            _ => Self::Protocol,
        }
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::Identity => "identity",
            Self::Unusable => "unusable",
            Self::ByPeer => "by_peer",
            Self::Protocol => "protocol",
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired,
            CertificateError::NotValidYet => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Other(OtherError(inner)) => {
                inner.downcast_ref::<Refusal>().map_or(Self::Unusable, Refusal::reason)
            }
            _ => Self::Unusable,
        }
    }
}

/// Whether an alert is about the certificate that its receiver has shown.
fn is_of_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
    )
}

impl From<webpki::Error> for Refusal {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            // A CA that is called like one of ours, and is not.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => Self::UnknownIssuer,
            E::CertExpired { .. } | E::InvalidCertValidity => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::CertRevoked => Self::Revoked,
            other => Self::Unusable(other),
        }
    }
}

impl From<Refusal> for rustls::Error {
    /// Where rustls has a word of its own, the other side gets an alert that says the same.
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(match refusal {
            Refusal::UnknownIssuer => CertificateError::UnknownIssuer,
            Refusal::Expired => CertificateError::Expired,
            Refusal::NotYetValid => CertificateError::NotValidYet,
            Refusal::Revoked => CertificateError::Revoked,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }
}

fn listed(ids: &[SpiffeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
