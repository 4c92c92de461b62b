//! Who this sidecar is to others, and who they may be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where this sidecar's identity is found, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The CAs that sign sidecars' certificates.
    pub trust: PathBuf,
    /// Revocation lists of those CAs.
    pub crl: Vec<PathBuf>,
    /// Who may send here; `None` for this sidecar's own service on each other network.
    pub peers: Option<Vec<SpiffeUri>>,
    /// How often the files are looked at.
    pub reload_every: Duration,
}

/// A sidecar's identity, `spiffe://<trust domain>/<network>/<service>`, of the form that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeUri(String);

impl SpiffeUri {
    pub(crate) fn new(uri: String) -> Self {
        Self(uri)
    }

    /// As it stands in a certificate.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpiffeUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
