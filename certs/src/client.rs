//! What a dispatch needs to speak TLS to a network.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::CertError;
use crate::pem;

/// A configuration for connections to servers that these roots vouch for, or else the public ones, offering the
/// protocols `alpn` in this order. No certificate of ours is shown.
///
/// The public roots are those that this binary was built with, not those of the machine, so a container needs none.
///
/// # Errors
/// If roots are given and there is none among them, or one that cannot be read.
pub fn client_config(ca_pem: Option<&[u8]>, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, CertError> {
    let roots = match ca_pem {
        Some(text) => given_roots(text)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let mut config = ClientConfig::builder_with_provider(crate::provider())
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version of TLS that rustls has")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn given_roots(text: &[u8]) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in pem::certificates(text)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|source| CertError::BadCertificate { number: at + 1, source })?;
    }
    Ok(roots)
}
