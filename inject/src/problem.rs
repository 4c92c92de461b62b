//! What can be wrong with an object that asks for a sidecar, where, and what to do about it.

use std::fmt;

use crate::values::{Port, ValueError};

/// The most characters of somebody's text that are shown in a message.
const SHOWN: usize = 60;

/// One thing that is wrong, with its place in the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct Refusal {
    /// Where, as `kubectl explain` writes it.
    pub at: String,
    /// What.
    #[source]
    pub problem: Problem,
}

impl Refusal {
    pub(crate) fn new(at: impl Into<String>, problem: Problem) -> Self {
        Self { at: at.into(), problem }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something is not what Kubernetes wants there.
    #[error("must be {wanted}, not {found}; Kubernetes refuses this, too")]
    Shape {
        /// What should be there.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An annotation that is not text.
    #[error("must be text, not {found}; put it between quotes")]
    NotText {
        /// What it is.
        found: &'static str,
    },
    /// An annotation that nobody knows.
    #[error("there is no such annotation{}", nearest.map(|key| format!("; is it `{key}`?")).unwrap_or_default())]
    Unknown {
        /// One that looks like it.
        nearest: Option<&'static str>,
    },
    /// An annotation with a value that it cannot have.
    #[error("{reason}; it says {text}")]
    Value {
        /// What it says.
        text: Quoted,
        /// What it should.
        #[source]
        reason: ValueError,
    },
    /// The label and the annotation disagree.
    #[error("the label and the annotation of this name say different things; leave one of them out")]
    Disagree,
    /// No configuration is named.
    #[error("a sidecar needs a configuration: name the ConfigMap that has it as `adumbra.toml`, in the same namespace")]
    NoConfig,
    /// The pod has the node's network.
    #[error(
        "a pod with the node's own network cannot have a sidecar: its ports and its packet filter are the node's; run adumbra on the node instead"
    )]
    HostNetwork,
    /// The pod is not for Linux.
    #[error("the sidecar runs on Linux only; leave the annotation out")]
    NotLinux,
    /// A port is taken.
    #[error("the sidecar listens at {port}, too; give it another one by `{key}`")]
    PortTaken {
        /// Which.
        port: Port,
        /// The annotation for it.
        key: &'static str,
    },
    /// The sidecar's own ports are the same.
    #[error("the sidecar listens at {port} for two things; give it two ports")]
    PortTwice {
        /// Which.
        port: Port,
    },
    /// Something has the sidecar's name already.
    #[error("the name `{name}` is the sidecar's, but adumbra has not put this here; rename it")]
    NameTaken {
        /// Which.
        name: &'static str,
    },
    /// It says that there is a sidecar, and there is none.
    #[error("it says that a sidecar was injected, but there is no container of that name; remove this annotation")]
    NotThere,
    /// A service runs under the sidecar's user.
    #[error("{uid} is the sidecar's user, whose traffic is not intercepted; run the service under another one")]
    SameUser {
        /// Which.
        uid: i64,
    },
    /// A probe would ask the sidecar instead of the service.
    #[error(
        "the port is intercepted, so a connection to it says that the sidecar is well, not the service; use httpGet, grpc or exec"
    )]
    TcpProbe,
    /// A probe's port would be intercepted and is encrypted.
    #[error(
        "the port is intercepted, and the sidecar cannot read HTTPS that the service ends; probe another port or use exec"
    )]
    HttpsProbe,
}

/// Somebody's text, quoted, with nothing in it that a terminal obeys, and not all of it if it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    pub(crate) fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if text.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        Self(shown)
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
