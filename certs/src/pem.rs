//! PEM text in, DER out; other sections, and any text around them, are skipped as PEM allows.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::CertError;

/// All certificates of `text`, in its order; at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|source| CertError::Pem { what: "certificate", source })?;
    if all.is_empty() { Err(CertError::NoCertificate) } else { Ok(all) }
}

/// The revocation lists of `bytes`: all of them if it is PEM, else the one that it is.
pub(crate) fn revocation_lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, CertError> {
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|source| CertError::Pem { what: "revocation list", source })?;
    if all.is_empty() { Err(CertError::NoList) } else { Ok(all) }
}

/// The first private key of `text`, in any of the three usual wrappings.
pub(crate) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, CertError> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED PRIVATE KEY-----";
    PrivateKeyDer::from_pem_slice(text).map_err(|source| match source {
        Error::NoItemsFound if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) => {
            CertError::EncryptedKey
        }
        Error::NoItemsFound => CertError::NoKey,
        source => CertError::Pem { what: "private key", source },
    })
}
