//! A development CA in a directory: enough to try two sidecars, to test with real certificates, and to run a few machines
//! that one person looks after.
//!
//! Its key lies on disk without a passphrase, so it is worth what that directory's permissions are. Lifetimes are short, for
//! certificates are replaced without a restart and a lost key that soon means nothing needs no revoking. Whoever has a PKI
//! uses that instead; adumbra asks of a certificate only what `spiffe` and `trust` say.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::spiffe::{self, IdError, SpiffeId};
use crate::{CertError, files, leaf, pem};

/// The trust bundle's name in the directory.
const BUNDLE: &str = "ca.pem";
/// The CA's key's.
const KEY: &str = "ca.key";
/// The revocation list's.
const LIST: &str = "crl.pem";
/// Clocks that differ by less do no harm.
const SKEW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest that anything is issued for: what lives longer is not noticed when it runs out.
const DAYS_MOST: u32 = 3650;
/// How long a revocation list says that it is good for.
const LIST_DAYS: u32 = 30;

/// A moment as rcgen takes it: its own clock's type, which need not be named.
macro_rules! at {
    ($moment:expr) => {
        date_time_ymd(1970, 1, 1) + $moment.duration_since(UNIX_EPOCH).unwrap_or_default()
    };
}

/// Why the CA did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is something already.
    #[error("{} is there already, and nothing was changed; `--force` replaces it", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no CA, or a file of its cannot be used.
    #[error("{} cannot be used; is this the directory that `adumbra certs init` made?", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: CertError,
    },
    /// The identity cannot be one.
    #[error("there is no such identity")]
    Identity(#[from] IdError),
    /// A time that makes no sense.
    #[error("{days} days are not a lifetime; write a number from 1 to {DAYS_MOST}")]
    Days {
        /// What was asked for.
        days: u32,
    },
    /// What should be revoked is no certificate.
    #[error("{} is not a certificate that could be revoked", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertError,
    },
    /// A certificate that this CA has not signed.
    #[error("{} was not issued by this CA, which therefore cannot revoke it", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// rcgen could not sign.
    #[error("cannot sign with the CA's key")]
    Sign(#[from] rcgen::Error),
}

/// What is issued for how long, and whether it may take the place of what is there.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// From when.
    pub from: SystemTime,
    /// Days from then.
    pub days: u32,
    /// Whether files that are there are replaced.
    pub replace: bool,
}

/// Files of one identity.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Whose it is.
    pub id: SpiffeId,
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// A CA in a directory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    certificate_pem: String,
    trust_domain: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one for a trust domain: a key, a self-signed certificate and an empty revocation list.
    ///
    /// # Errors
    /// If there is one and it may not be replaced, or the files cannot be written.
    pub fn init(directory: &Path, trust_domain: &str, terms: Terms) -> Result<Self, AuthorityError> {
        if !spiffe::is_trust_domain(trust_domain) {
            return Err(IdError::TrustDomain.into());
        }
        let mut params = params(&format!("adumbra development CA of {trust_domain}"), terms)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))?];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        std::fs::create_dir_all(directory)
            .map_err(|source| AuthorityError::Write { path: directory.to_owned(), source })?;
        files::write_all(
            &[
                (&directory.join(KEY), key.serialize_pem().as_bytes(), files::Mode::Secret),
                (&directory.join(BUNDLE), certificate.pem().as_bytes(), files::Mode::Public),
            ],
            terms.replace,
        )?;
        let authority = Self::open(directory)?;
        authority.write_list(Vec::new(), terms.from)?;
        Ok(authority)
    }

    /// The one in `directory`.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(directory: &Path) -> Result<Self, AuthorityError> {
        let (bundle, key) = (directory.join(BUNDLE), directory.join(KEY));
        let unusable = |path: &Path, source| AuthorityError::Unusable { path: path.to_owned(), source };
        let text = files::read(&bundle).map_err(|error| unusable(&bundle, error))?;
        let certificates = pem::certificates(&text).map_err(|error| unusable(&bundle, error))?;
        let secret = files::read(&key).map_err(|error| unusable(&key, error))?;
        let signing =
            KeyPair::from_pem(&String::from_utf8_lossy(&secret)).map_err(|_| unusable(&key, CertError::NoKey))?;
        let read = leaf::read(&certificates[0])
            .ok_or_else(|| unusable(&bundle, CertError::UnreadableAuthority { number: 1 }))?;
        if read.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&signing) {
            return Err(unusable(&key, CertError::KeyMismatch));
        }
        let trust_domain = trust_domain(&read).ok_or(AuthorityError::Identity(IdError::TrustDomain))?;
        let issuer = Issuer::from_ca_cert_der(&certificates[0], signing)?;
        let certificate_pem = String::from_utf8_lossy(&text).into_owned();
        Ok(Self { directory: directory.to_owned(), certificate_pem, trust_domain, issuer })
    }

    /// The trust domain that it was made for.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The trust bundle's file.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.directory.join(BUNDLE)
    }

    /// The revocation list's file.
    #[must_use]
    pub fn list(&self) -> PathBuf {
        self.directory.join(LIST)
    }

    /// The trust bundle, PEM.
    #[must_use]
    pub fn bundle_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a key and a certificate for `id`, and puts them into the directory as `<network>/<service>.key` and `.pem`.
    ///
    /// # Errors
    /// If they are there and may not be replaced, or cannot be written.
    pub fn issue(&self, id: &SpiffeId, terms: Terms) -> Result<Issued, AuthorityError> {
        // A directory for each network: no two identities have one name.
        let directory = self.directory.join(id.network());
        let issued = Issued {
            id: id.clone(),
            certificate: directory.join(format!("{}.pem", id.service())),
            key: directory.join(format!("{}.key", id.service())),
        };
        let (certificate, key) = self.sign(id, terms)?;
        std::fs::create_dir_all(&directory)
            .map_err(|source| AuthorityError::Write { path: directory.clone(), source })?;
        files::write_all(
            &[
                (&issued.key, key.as_bytes(), files::Mode::Secret),
                (&issued.certificate, certificate.as_bytes(), files::Mode::Public),
            ],
            terms.replace,
        )?;
        Ok(issued)
    }

    /// The same without files: the certificate and its key, PEM.
    ///
    /// # Errors
    /// If the terms make no sense.
    pub fn sign(&self, id: &SpiffeId, terms: Terms) -> Result<(String, String), AuthorityError> {
        let mut params = params(&format!("{} on {}", id.service(), id.network()), terms)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri(&id.to_string())?];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// Puts a certificate that it has issued on its revocation list, from `now` on. Says whose it was.
    ///
    /// # Errors
    /// If it is of another CA, or a file cannot be read or written.
    pub fn revoke(&self, certificate: &Path, now: SystemTime) -> Result<String, AuthorityError> {
        let unusable = |source| AuthorityError::NoCertificate { path: certificate.to_owned(), source };
        let chain = pem::certificates(&files::read(certificate).map_err(unusable)?).map_err(unusable)?;
        let own = pem::certificates(self.certificate_pem.as_bytes()).map_err(unusable)?;
        let (leaf, ca) = match (leaf::read(&chain[0]), leaf::read(&own[0])) {
            (Some(leaf), Some(ca)) => (leaf, ca),
            _ => return Err(unusable(CertError::UnreadableCertificate)),
        };
        if leaf.verify_signature(Some(ca.public_key())).is_err() {
            return Err(AuthorityError::Foreign { path: certificate.to_owned() });
        }
        let mut revoked = self.revoked()?;
        let serial = SerialNumber::from_slice(leaf.raw_serial());
        if !revoked.iter().any(|known| known.serial_number == serial) {
            revoked.push(RevokedCertParams {
                serial_number: serial,
                revocation_time: at!(now),
                reason_code: Some(RevocationReason::Unspecified),
                invalidity_date: None,
            });
        }
        self.write_list(revoked, now)?;
        Ok(leaf::identity(&chain[0])
            .map_or_else(|_| "a certificate without an identity".to_owned(), |id| id.to_string()))
    }

    /// What is on the list by now.
    fn revoked(&self) -> Result<Vec<RevokedCertParams>, AuthorityError> {
        let path = self.list();
        let unusable = |source| AuthorityError::Unusable { path: path.clone(), source };
        let lists = pem::revocation_lists(&files::read(&path).map_err(unusable)?).map_err(unusable)?;
        let mut revoked = Vec::new();
        for der in &lists {
            let (_, read) =
                CertificateRevocationList::from_der(der).map_err(|_| unusable(CertError::UnreadableList))?;
            revoked.extend(read.iter_revoked_certificates().map(|entry| RevokedCertParams {
                serial_number: SerialNumber::from_slice(entry.raw_serial()),
                revocation_time: at!(leaf::time(entry.revocation_date)),
                reason_code: Some(RevocationReason::Unspecified),
                invalidity_date: None,
            }));
        }
        Ok(revoked)
    }

    fn write_list(&self, revoked: Vec<RevokedCertParams>, now: SystemTime) -> Result<(), AuthorityError> {
        // It must grow with every list; two within a millisecond are nobody's hand.
        let number = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let list = CertificateRevocationListParams {
            this_update: at!(now),
            next_update: at!((now + DAY * LIST_DAYS)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let text = list.signed_by(&self.issuer)?.pem()?;
        files::write_all(&[(&self.list(), text.as_bytes(), files::Mode::Public)], true)
    }
}

fn params(name: &str, terms: Terms) -> Result<CertificateParams, AuthorityError> {
    if terms.days == 0 || terms.days > DAYS_MOST {
        return Err(AuthorityError::Days { days: terms.days });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at!((terms.from - SKEW));
    params.not_after = at!((terms.from + DAY * terms.days));
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}

/// The trust domain in a CA's own certificate.
fn trust_domain(ca: &x509_parser::certificate::X509Certificate<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;
    let names = ca.subject_alternative_name().ok()??;
    let domain = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    })?;
    spiffe::is_trust_domain(domain).then(|| domain.to_owned())
}
