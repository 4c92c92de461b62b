//! What a listener needs to speak TLS.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::CertError;
use crate::pem;

/// A configuration for a listener that shows this certificate chain, leaf first, to anybody, and offers HTTP/2 and
/// HTTP/1.1. Clients are not asked for a certificate.
///
/// A certificate that is past its time is taken: whether it is depends on a clock, and a listener that does not start
/// helps nobody. Clients will say so.
///
/// # Errors
/// If there is no certificate or no key, if one cannot be read, or if the two do not belong together.
pub fn server_config(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, CertError> {
    let provider = crate::provider();
    let chain = pem::certificates(certificate_pem)?;
    let key = pem::private_key(key_pem)?;
    let key = provider.key_provider.load_private_key(key).map_err(|source| CertError::BadKey { source })?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(CertError::KeyMismatch),
        Err(source) => return Err(CertError::BadCertificate { number: 1, source }),
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version of TLS that rustls has")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
