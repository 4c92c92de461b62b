//! Going back to an earlier version of the model because the operator says so.
//!
//! The thread that learns does it, between two labels, as it does everything else with models; whoever asks waits for its word.

use std::sync::Arc;

use policy::Model;
use serde::Serialize;
use tokio::sync::oneshot;

use super::trainer::Trainer;
use super::{Oracle, School};

/// What can be gone back to.
#[derive(Debug, Serialize)]
pub(crate) struct Versions {
    /// 0 for none.
    pub(crate) in_force: u64,
    pub(crate) trusted: u64,
    /// Those that are kept on disk, and the trusted one; newest first.
    pub(crate) kept: Vec<u64>,
}

/// Why a version is not gone back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRollBack {
    /// There is none of that number.
    #[error(
        "no version {0} is kept that can be read and fits the configuration; `/model/versions` lists what there is, and `oracle.keep` says how many are kept in `state.directory`"
    )]
    Unknown(u64),
    /// It is the one in force.
    #[error("version {0} is in force already")]
    InForce(u64),
    /// Nobody is there to do it.
    #[error("the sidecar is stopping, or another version is being gone back to")]
    Busy,
}

/// A version that is to be gone back to, and who waits for it.
#[derive(Debug)]
pub(super) struct Wanted {
    version: u64,
    answer: oneshot::Sender<Result<(), NoRollBack>>,
}

impl Oracle {
    /// The versions that there are.
    pub(crate) fn versions(&self) -> Versions {
        let (in_force, trusted) = (self.model().map_or(0, |model| model.version()), self.trusted());
        let mut kept = (**self.school.kept.load()).clone();
        if trusted > 0 && !kept.contains(&trusted) {
            kept.push(trusted);
            kept.sort_unstable_by(|a, b| b.cmp(a));
        }
        Versions { in_force, trusted, kept }
    }

    /// Puts an earlier version in force.
    pub(crate) async fn roll_back(&self, version: u64) -> Result<(), NoRollBack> {
        let (answer, done) = oneshot::channel();
        {
            let mut wanted = self.school.wanted.lock();
            if wanted.is_some() {
                return Err(NoRollBack::Busy);
            }
            *wanted = Some(Wanted { version, answer });
        }
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        done.await.unwrap_or(Err(NoRollBack::Busy))
    }
}

impl Trainer {
    /// Goes back, if somebody wants to.
    pub(super) fn go_back(&mut self, school: &School) {
        let Some(Wanted { version, answer }) = school.wanted.lock().take() else { return };
        let done = self.back_to(version, school);
        if done.is_ok() {
            tracing::warn!(back_to = version, "the operator has put an earlier model in force");
        }
        // Whoever asked may have gone.
        let _unheard = answer.send(done);
    }

    fn back_to(&mut self, version: u64, school: &School) -> Result<(), NoRollBack> {
        let learner = self.learner();
        if learner.in_force().is_some_and(|model| model.version() == version) {
            return Err(NoRollBack::InForce(version));
        }
        let trusted = learner.trusted().filter(|model| model.version() == version).cloned();
        let model: Arc<Model> = match trusted {
            Some(model) => model,
            None => Arc::new(self.kept(version).ok_or(NoRollBack::Unknown(version))?),
        };
        self.put_back(model, school);
        Ok(())
    }
}
