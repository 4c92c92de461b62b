//! What an operator is shown of certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Certificates, Identity, JobsTls};
use crate::record::rounded;

/// Every certificate that the process shows; without one, there is nothing to say of it.
#[derive(Debug, Serialize)]
pub(crate) struct CertificatesPage {
    identity: Option<IdentityPage>,
    jobs: Option<PairPage>,
}

#[derive(Debug, Serialize)]
struct IdentityPage {
    id: String,
    /// Who may send here.
    peers: Vec<String>,
    #[serde(flatten)]
    pair: PairPage,
    /// Whether who trusts the same bundle would believe it now.
    believable: bool,
    /// The CAs of the bundle. One that has expired vouches for nobody.
    authorities: Vec<AuthorityPage>,
    revocation_lists: usize,
    /// When the first of them should have been replaced; negative if it should have been.
    revocation_lists_due_in_s: Option<f64>,
    /// Why the bundle's or the lists' files, as they are now, are not in force.
    trust_reload_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct AuthorityPage {
    name: String,
    /// Negative if it has.
    expires_in_s: f64,
}

#[derive(Debug, Serialize)]
struct PairPage {
    /// Seconds since 1970.
    expires_at_s: u64,
    /// Negative if it has.
    expires_in_s: f64,
    /// Why the files, as they are now, are not in force.
    reload_error: Option<String>,
}

impl CertificatesPage {
    pub(crate) fn of(certificates: &Certificates) -> Self {
        Self {
            identity: certificates.identity.as_deref().map(IdentityPage::of),
            jobs: certificates.jobs.as_deref().map(PairPage::of),
        }
    }
}

impl IdentityPage {
    fn of(identity: &Identity) -> Self {
        let current = identity.current.load();
        let trust_error = identity.trust_files.lock().failure().map(str::to_owned);
        let pair_error = identity.pair_files.lock().failure().map(str::to_owned);
        let now = rustls::pki_types::UnixTime::now();
        let believed = |role| current.trust.verify(current.pair.chain(), role, now).is_ok();
        Self {
            id: identity.own.to_string(),
            peers: current.peers.iter().map(ToString::to_string).collect(),
            pair: PairPage::new(current.pair.validity().not_after, pair_error),
            believable: believed(certs::Role::Client) && believed(certs::Role::Server),
            authorities: current.trust.authorities().map(AuthorityPage::of).collect(),
            revocation_lists: current.trust.lists(),
            revocation_lists_due_in_s: current.trust.lists_next_update().map(in_s),
            trust_reload_error: trust_error,
        }
    }
}

impl AuthorityPage {
    fn of((name, validity): (&str, certs::Validity)) -> Self {
        Self { name: name.to_owned(), expires_in_s: in_s(validity.not_after) }
    }
}

impl PairPage {
    fn of(jobs: &JobsTls) -> Self {
        Self::new(jobs.validity().not_after, jobs.files.lock().failure().map(str::to_owned))
    }

    fn new(expires: SystemTime, reload_error: Option<String>) -> Self {
        let expires_at_s = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { expires_at_s, expires_in_s: in_s(expires), reload_error }
    }
}

/// How long it is until then.
fn in_s(moment: SystemTime) -> f64 {
    let now = SystemTime::now();
    rounded(match moment.duration_since(now) {
        Ok(until) => until.as_secs_f64(),
        Err(past) => -past.duration().as_secs_f64(),
    })
}
