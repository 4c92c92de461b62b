//! A certificate for the webhook, signed by a CA that lives no longer than this function.
//!
//! The API server believes the CA in the webhook's registration and nothing else, so there is no use for a CA whose key is
//! kept: each renewal makes a new one, signs once, and forgets its key. What can be stolen is one certificate's key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// Clocks that differ by less do no harm.
const SKEW: Duration = Duration::from_secs(300);
/// The longest lifetime, days: what lives longer is not noticed when it runs out.
pub(crate) const DAYS_MOST: u32 = 825;

/// For whom and for how long.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The names that the API server reaches it by: `SERVICE.NAMESPACE.svc`.
    pub names: Vec<String>,
    /// From when.
    pub from: SystemTime,
    /// Days from then.
    pub days: u32,
}

/// A certificate with its key and its CA, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Who signed it.
    pub ca: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A time that makes no sense.
    #[error("{0} days are not a lifetime; write a number from 1 to {DAYS_MOST}")]
    Days(u32),
    /// A name that cannot be one, or a key that cannot be made.
    #[error("no certificate can be made for these names")]
    Make(#[from] rcgen::Error),
}

/// Makes one.
///
/// # Errors
/// If the terms make no sense.
pub fn make(terms: &Terms) -> Result<Made, PairError> {
    let mut params = params(Vec::new(), "adumbra webhook CA", terms)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);
    let mut params = self::params(terms.names.clone(), "adumbra webhook", terms)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Made { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(names: Vec<String>, name: &str, terms: &Terms) -> Result<CertificateParams, PairError> {
    if terms.days == 0 || terms.days > DAYS_MOST {
        return Err(PairError::Days(terms.days));
    }
    let at = |moment: SystemTime| date_time_ymd(1970, 1, 1) + moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(terms.from - SKEW);
    params.not_after = at(terms.from + Duration::from_secs(24 * 3600) * terms.days);
    Ok(params)
}
