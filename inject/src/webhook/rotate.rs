//! When a certificate is renewed, and in which order, so that at no moment the API server is shown one that it does not believe.
//!
//! First the registration is told to believe both the old CA and the new one; then the Secret gets the new certificate, which
//! reaches the webhook's pods when the kubelet gets to it. A run that breaks off in between is made good by the next.

use std::time::{Duration, SystemTime};

use certs::Pair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::cluster::{Cluster, ClusterError};
use super::pair::{Made, PairError, Terms, make};

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The API server said no, or nothing.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// None could be made.
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// All was well.
    Nothing,
    /// The registration was told again whom to believe.
    Bundle,
    /// There is a new certificate.
    Certificate,
}

/// Sees to it that the Secret has a certificate that is good for `before` and longer, and that the registration believes it.
///
/// # Errors
/// If the API server cannot be asked or told.
pub async fn rotate(cluster: &Cluster, terms: &Terms, before: Duration) -> Result<Rotated, RotateError> {
    let secret = cluster.secret().await?;
    let text = |key: &str| secret.get(key).cloned().unwrap_or_default();
    let old = String::from_utf8_lossy(&text("ca.crt")).into_owned();
    if !is_due(&text("tls.crt"), &text("tls.key"), &terms.names, terms.from + before) && !old.is_empty() {
        if cluster.bundles().await?.iter().all(|bundle| *bundle == old.as_bytes()) {
            return Ok(Rotated::Nothing);
        }
        cluster.believe(&old).await?;
        return Ok(Rotated::Bundle);
    }
    let Made { ca, certificate, key } = make(terms)?;
    let bundle = bundle(&ca, &old, terms.from);
    cluster.believe(&bundle).await?;
    cluster.keep(&[("ca.crt", &bundle), ("tls.crt", &certificate), ("tls.key", &key)]).await?;
    Ok(Rotated::Certificate)
}

/// Whether a certificate cannot be used, is for others, or ends before `until`.
pub(super) fn is_due(certificate: &[u8], key: &[u8], names: &[String], until: SystemTime) -> bool {
    let Ok(pair) = Pair::new(certificate, key) else { return true };
    pair.validity().not_after < until || !names.iter().all(|name| is_for(pair.chain(), name))
}

fn is_for(chain: &[CertificateDer<'_>], name: &str) -> bool {
    let leaf = chain.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
    let name = ServerName::try_from(name).ok();
    leaf.zip(name).is_some_and(|(leaf, name)| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The new CA, and of those that were believed the newest that still holds: the certificate that it signed may be shown a
/// little longer.
pub(super) fn bundle(ca: &str, old: &str, now: SystemTime) -> String {
    let first = old.split_inclusive("-----END CERTIFICATE-----").next().map(str::trim).unwrap_or_default();
    let holds = CertificateDer::from_pem_slice(first.as_bytes())
        .ok()
        .and_then(|der| certs::validity_of_all(&[der]))
        .is_some_and(|validity| !validity.is_over(now));
    if holds { format!("{}\n{first}\n", ca.trim_end()) } else { ca.to_owned() }
}
