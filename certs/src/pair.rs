//! A certificate chain and its key, known to belong together.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::leaf::{self, NamelessError, Validity};
use crate::spiffe::SpiffeId;
use crate::{CertError, Trust, pem};

/// A chain, leaf first, and the leaf's key.
#[derive(Clone, Debug)]
pub struct Pair {
    key: Arc<SingleCertAndKey>,
    chain: Vec<CertificateDer<'static>>,
    validity: Validity,
}

impl Pair {
    /// Reads one. A certificate that is past its time is taken: whether it is depends on a clock.
    ///
    /// # Errors
    /// If there is no certificate or no key, if one cannot be read, or if the two do not belong together.
    pub fn new(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertError> {
        let chain = pem::certificates(certificate_pem)?;
        let key = pem::private_key(key_pem)?;
        let provider = crate::provider();
        let key = provider.key_provider.load_private_key(key).map_err(|source| CertError::BadKey { source })?;
        let pair = CertifiedKey::new(chain.clone(), key);
        match pair.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(CertError::KeyMismatch),
            Err(source) => return Err(CertError::BadCertificate { number: 1, source }),
        }
        let validity = leaf::validity_of_all(&chain).ok_or(CertError::UnreadableCertificate)?;
        Ok(Self { key: Arc::new(SingleCertAndKey::from(pair)), chain, validity })
    }

    /// Whose it is.
    ///
    /// # Errors
    /// If it is no sidecar's.
    pub fn identity(&self) -> Result<SpiffeId, NamelessError> {
        leaf::identity(&self.chain[0])
    }

    /// Whether others who trust the same would believe it.
    ///
    /// # Errors
    /// If no CA of `trust` has signed it, or not for both ends of a connection.
    pub fn vouched_for_by(&self, trust: &Trust) -> Result<(), CertError> {
        trust.vouches_for(&self.chain).map_err(|source| CertError::NotVouchedFor { source: Box::new(source) })
    }

    /// The time that all of the chain holds.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The chain, leaf first; never empty.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// What shows it in a handshake, on either side.
    pub(crate) fn shown(&self) -> Arc<SingleCertAndKey> {
        Arc::clone(&self.key)
    }
}
