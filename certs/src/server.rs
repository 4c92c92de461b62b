//! What a listener needs to speak TLS.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::CertError;
use crate::pair::Pair;

/// A configuration for a listener that shows this certificate chain, leaf first, to anybody, and offers HTTP/2 and
/// HTTP/1.1. Clients are not asked for a certificate.
///
/// A certificate that is past its time is taken: whether it is depends on a clock, and a listener that does not start
/// helps nobody. Clients will say so.
///
/// # Errors
/// If there is no certificate or no key, if one cannot be read, or if the two do not belong together.
pub fn server_config(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, CertError> {
    Pair::new(certificate_pem, key_pem).map(|pair| server_config_of(&pair))
}

/// The same of a pair that has been read.
#[must_use]
pub fn server_config_of(pair: &Pair) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(crate::provider())
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version of TLS that rustls has")
        .with_no_client_auth()
        .with_cert_resolver(pair.shown());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
