//! What looks at the files again and again, and takes up what has become of them.
//!
//! What is trusted is taken as the operator says, whether or not our own certificate is among it: a revocation must not wait
//! for anything. A new certificate of our own is taken only if others would believe it: it is of the same identity, of a CA
//! of the bundle, and valid now. Else the old one stays, which is no worse than it was.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{CertError, Trust, Validity};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::files::{Failure, Look, Watched, told};
use super::live::Review;
use super::{Certificates, Current, Identity, JobsTls, pair_of, trust_of};
use crate::metrics::{Certificate, Metrics, Reload};

/// Why a new pair is not taken.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// It cannot be used, or nobody would believe it.
    #[error("the new certificate cannot be used")]
    Unusable(#[from] CertError),
    /// It is somebody else's.
    #[error("the new certificate is for {new}, and this sidecar is {own}; another identity needs a restart")]
    Identity {
        /// Whose it is.
        new: String,
        /// Who we are.
        own: String,
    },
    /// Its time is over, or has not come.
    #[error("the new certificate is not valid now")]
    Time,
}

/// Starts what keeps certificates fresh; all of it ends with `tasks`.
pub(crate) fn keep_fresh(tasks: &mut JoinSet<()>, certificates: &Certificates, every: Option<Duration>) {
    if let (Some(identity), Some(every)) = (&certificates.identity, every) {
        tasks.spawn(keep_identity(Arc::clone(identity), every));
    }
    if let Some(jobs) = &certificates.jobs {
        tasks.spawn(keep_jobs(Arc::clone(jobs)));
    }
}

async fn keep_identity(identity: Arc<Identity>, every: Duration) {
    let mut looked = SystemTime::now();
    loop {
        tokio::time::sleep(every).await;
        let take_trust = |contents: &[Vec<u8>]| identity.take_trust(contents);
        let trusts_anew = look(&identity.trust_files, &identity.metrics, Certificate::Trust, take_trust).await;
        let take_pair = |contents: &[Vec<u8>]| identity.take_pair(contents);
        look(&identity.pair_files, &identity.metrics, Certificate::Identity, take_pair).await;
        let now = SystemTime::now();
        if !trusts_anew {
            let trust = Arc::clone(&identity.current.load().trust);
            warn_of_authorities(&trust, |validity| validity.is_over(now) && !validity.is_over(looked));
        }
        looked = now;
        let reviewing = Arc::clone(&identity);
        let which = if trusts_anew { Review::All } else { Review::Over };
        // Many signatures take long, and this thread accepts connections.
        let reviewed = tokio::task::spawn_blocking(move || reviewing.review(which));
        if reviewed.await.is_err() {
            tracing::error!("the open connections could not be judged again");
        }
    }
}

async fn keep_jobs(jobs: Arc<JobsTls>) {
    loop {
        tokio::time::sleep(jobs.reload_every).await;
        look(&jobs.files, jobs.metrics(), Certificate::Jobs, |contents: &[Vec<u8>]| jobs.take(contents)).await;
    }
}

/// Looks at files once, and has what is new taken. Says whether it was.
async fn look<E: std::error::Error + 'static>(
    files: &Mutex<Watched>,
    metrics: &Metrics,
    what: Certificate,
    take: impl FnOnce(&[Vec<u8>]) -> Result<(), E>,
) -> bool {
    let looking = files.lock().snapshot();
    let failed = |why: String| {
        let mut files = files.lock();
        if files.failed(why.clone()) == Failure::News {
            metrics.certificate_reloaded(what, Reload::Failed);
            tracing::warn!(file = %files.path().display(), why, "changed certificates are not taken; the old ones stay");
        }
        false
    };
    match looking.look().await {
        Ok(Look::Moving) => false,
        Ok(Look::Same) => {
            files.lock().settled();
            false
        }
        Ok(Look::New(contents)) => match take(&contents) {
            Ok(()) => {
                metrics.certificate_reloaded(what, Reload::Taken);
                log_taken(looking.path());
                files.lock().took(contents);
                true
            }
            Err(error) => failed(told(&error)),
        },
        Err(error) => failed(told(&error)),
    }
}

/// Whether a CA that holds so long vouches for nobody at `now`.
pub(super) fn vouches_not(validity: &Validity, now: SystemTime) -> bool {
    validity.is_over(now) || validity.is_to_come(now)
}

/// Says which CAs of a bundle vouch for nobody, of those for which `is_told` says that it should be told.
pub(super) fn warn_of_authorities(trust: &Trust, is_told: impl Fn(&Validity) -> bool) {
    for (name, validity) in trust.authorities().filter(|(_, validity)| is_told(validity)) {
        let why = if validity.is_over(SystemTime::now()) { "it has expired" } else { "its time has not come" };
        tracing::warn!(authority = name, why, "a CA of the trust bundle vouches for nobody");
    }
}

fn log_taken(path: &Path) {
    tracing::info!(file = %path.display(), "changed certificates are in force for new connections");
}

impl Identity {
    fn take_trust(&self, contents: &[Vec<u8>]) -> Result<(), CertError> {
        let trust = Arc::new(trust_of(contents)?);
        let now = self.current.load_full();
        if let Err(error) = now.pair.vouched_for_by(&trust) {
            tracing::warn!(why = told(&error), "who trusts the new bundle will not believe our own certificate");
        }
        warn_of_authorities(&trust, |validity| vouches_not(validity, SystemTime::now()));
        let (old, new) = (now.trust.due(), trust.due());
        self.metrics.certificate_expires(Certificate::Trust, old, new);
        self.current.store(Arc::new(Current::new(now.version, now.pair.clone(), trust, Arc::clone(&now.peers))));
        Ok(())
    }

    fn take_pair(&self, contents: &[Vec<u8>]) -> Result<(), Unfit> {
        let pair = pair_of(contents)?;
        let now = self.current.load_full();
        let new = pair.identity().map(|id| id.to_string()).unwrap_or_else(|nameless| format!("nobody: {nameless}"));
        if new != self.own.to_string() {
            return Err(Unfit::Identity { new, own: self.own.to_string() });
        }
        pair.vouched_for_by(&now.trust)?;
        let validity = pair.validity();
        if vouches_not(&validity, SystemTime::now()) {
            return Err(Unfit::Time);
        }
        let (old, new) = (now.pair.validity().not_after, validity.not_after);
        self.metrics.certificate_expires(Certificate::Identity, Some(old), Some(new));
        let (trust, peers) = (Arc::clone(&now.trust), Arc::clone(&now.peers));
        self.current.store(Arc::new(Current::new(now.version + 1, pair, trust, peers)));
        // Connections that showed the old one take no new requests from here on.
        self.version.send_replace(now.version + 1);
        Ok(())
    }
}
