//! The values that labels can have, and the words for them.

use certs::Reason as Refused;
use policy::budget::NoPermit;
use policy::watchdog::Verdict;
use policy::{ProgressSource, Reason};

use crate::problem::Problem;
use crate::record::Outcome;
use crate::spool::Unspooled;

/// How a shadow that was started ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShadowEnd {
    /// It became the answer.
    Adopted,
    /// It was stopped: it lost, its window ended, or the client went away.
    Cancelled,
    /// It ran to its end without being adopted: a full label.
    Finished,
    /// It broke off, or answered what cannot be used, or the far side did not execute it.
    Failed,
}

/// How a shadow that another sidecar asked for ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServedEnd {
    /// Its whole answer was sent.
    Finished,
    /// The sidecar that asked for it went away: it has lost, or its window is over.
    Cut,
    /// It was neither adopted nor cut in time.
    LeaseOver,
    /// It was not executed.
    Refused,
    /// The service broke off.
    Failed,
    /// Live work needed its room.
    Shed,
}

/// Which process of `adumbra run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The one that takes live jobs.
    Live,
    /// One that runs shadows.
    Worker,
}

/// How such a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// By itself, by somebody else's signal, or killed after it broke its job off.
    Exited,
    /// The kernel killed it: it held more memory than its cage allows.
    Oom,
    /// Killed: it did not take connections in time.
    NotReady,
    /// It could not be started.
    NotStarted,
    /// Killed with the shadow that it ran.
    Cancelled,
    /// Killed after a job that was adopted: the next shadow gets a fresh one.
    Recycled,
}

/// Which way a shadow's bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the network.
    Sent,
    /// From the network.
    Received,
}

/// Why a client's connection was not taken, or was closed on the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionRefusal {
    /// As many as may are open.
    Full,
    /// As many as may are open from this address.
    Address,
    /// Its TLS handshake failed or took too long.
    Handshake,
    /// It could not be accepted: out of file descriptors, most likely.
    Accept,
}

/// On which side of a connection between sidecars we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// It was accepted.
    Accept,
    /// It was made.
    Connect,
}

/// Files of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// Ours, for sidecars.
    Identity,
    /// Ours, for clients.
    Jobs,
    /// The trust bundle and its revocation lists.
    Trust,
}

/// What became of changed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// They are in force.
    Taken,
    /// They are not, and the old ones stay.
    Failed,
}

/// What became of a configuration that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigReload {
    /// It is in force.
    Applied,
    /// It was in force already.
    Unchanged,
    /// It is not, and the one before stays.
    Refused,
}

/// How a connection to a network was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamConnection {
    /// It was made.
    Made,
    /// One that was idle, or has room for another stream, was used again.
    Reused,
    /// There was none to be had.
    Failed,
}

/// Where an actual time fell against a predicted interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fell {
    Below,
    Inside,
    Above,
}

/// What a request for an input found at the data cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It was there.
    Hit,
    /// It was on its way: waited for together.
    Joined,
    /// It had to be fetched.
    Miss,
    /// It was not one for the cache, or its answer was not.
    Bypass,
}

/// Whether a job found an input where it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was there, or on its way.
    Warm,
    /// It had to be fetched.
    Cold,
}

/// What stood against a fetch into the data cache, or against keeping what was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataRefusal {
    /// Its origin is not one that the configuration allows.
    Origin,
    /// Its answer is not one that may be kept.
    NotStorable,
    /// It is larger than an object may be, or there is no room for it now.
    NoRoom,
    /// As many fetches for warming run as may.
    Busy,
    /// It is more than may be fetched ahead for one job.
    Allowance,
    /// Its origin could not be reached, or broke off, or took too long.
    Failed,
}

/// A small set of values, each of which has a place and a word.
pub(super) trait Word: Copy + 'static {
    /// The values in the order of their places.
    const ALL: &'static [Self];

    fn place(self) -> usize;

    fn word(self) -> &'static str;
}

/// Says a set's places and words side by side; the match in `word` is exhaustive, so none can be forgotten.
macro_rules! words {
    ($set:ty: $($value:path => $word:literal),+ $(,)?) => {
        impl Word for $set {
            const ALL: &'static [Self] = &[$($value),+];

            fn place(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self {
                    $($value => $word),+
                }
            }
        }
    };
}

pub(super) use words;

words!(Kept: Kept::Live => "live", Kept::Worker => "worker");
words!(ProcessEnd:
    ProcessEnd::Exited => "exited",
    ProcessEnd::Oom => "oom",
    ProcessEnd::NotReady => "not_ready",
    ProcessEnd::NotStarted => "not_started",
    ProcessEnd::Cancelled => "cancelled",
    ProcessEnd::Recycled => "recycled",
);
words!(ShadowEnd:
    ShadowEnd::Adopted => "adopted",
    ShadowEnd::Cancelled => "cancelled",
    ShadowEnd::Finished => "finished",
    ShadowEnd::Failed => "failed",
);
words!(ServedEnd:
    ServedEnd::Finished => "finished",
    ServedEnd::Cut => "cut",
    ServedEnd::LeaseOver => "lease_over",
    ServedEnd::Refused => "refused",
    ServedEnd::Failed => "failed",
    ServedEnd::Shed => "shed",
);
words!(Direction: Direction::Sent => "sent", Direction::Received => "received");
words!(ConnectionRefusal:
    ConnectionRefusal::Full => "full",
    ConnectionRefusal::Address => "address",
    ConnectionRefusal::Handshake => "handshake",
    ConnectionRefusal::Accept => "accept",
);
words!(Side: Side::Accept => "accept", Side::Connect => "connect");
words!(Certificate:
    Certificate::Identity => "identity",
    Certificate::Jobs => "jobs",
    Certificate::Trust => "trust",
);
words!(Reload: Reload::Taken => "ok", Reload::Failed => "failed");
words!(ConfigReload:
    ConfigReload::Applied => "applied",
    ConfigReload::Unchanged => "unchanged",
    ConfigReload::Refused => "refused",
);
words!(Refused:
    Refused::NoCertificate => "no_certificate",
    Refused::UnknownIssuer => "unknown_issuer",
    Refused::Expired => "expired",
    Refused::NotYetValid => "not_yet_valid",
    Refused::Revoked => "revoked",
    Refused::Identity => "identity",
    Refused::Unusable => "unusable",
    Refused::ByPeer => "by_peer",
    Refused::Protocol => "protocol",
);
words!(UpstreamConnection:
    UpstreamConnection::Made => "made",
    UpstreamConnection::Reused => "reused",
    UpstreamConnection::Failed => "failed",
);
words!(Fell: Fell::Below => "below", Fell::Inside => "inside", Fell::Above => "above");
words!(Lookup:
    Lookup::Hit => "hit",
    Lookup::Joined => "joined",
    Lookup::Miss => "miss",
    Lookup::Bypass => "bypass",
);
words!(Found: Found::Warm => "warm", Found::Cold => "cold");
words!(DataRefusal:
    DataRefusal::Origin => "origin",
    DataRefusal::NotStorable => "not_storable",
    DataRefusal::NoRoom => "no_room",
    DataRefusal::Busy => "busy",
    DataRefusal::Allowance => "allowance",
    DataRefusal::Failed => "failed",
);
words!(Outcome:
    Outcome::Answered => "answered",
    Outcome::ServerError => "server_error",
    Outcome::Refused => "refused",
    Outcome::BrokeOff => "broke_off",
    Outcome::ClientGone => "client_gone",
);
words!(NoPermit:
    NoPermit::InFlight => "in_flight",
    NoPermit::Rate => "rate",
    NoPermit::Bytes => "bytes",
    NoPermit::LiveWork => "live_work",
    NoPermit::Worker => "worker",
    NoPermit::Share => "share",
    NoPermit::Memory => "memory",
);
words!(Unspooled:
    Unspooled::TooLong => "too_long",
    Unspooled::NoRoom => "no_room",
    Unspooled::Slow => "slow",
    Unspooled::BrokeOff => "broke_off",
);
words!(Problem:
    Problem::Malformed => "malformed",
    Problem::ConnectRefused => "connect_refused",
    Problem::HeadTimeout => "head_timeout",
    Problem::BodyTimeout => "body_timeout",
    Problem::HeadTooLarge => "head_too_large",
    Problem::NoNetwork => "no_network",
    Problem::BrokeOff => "broke_off",
    Problem::BodyBroke => "body_broke",
    Problem::NoAnswer => "no_answer",
    Problem::Garbage => "garbage",
    Problem::NotExecuted => "not_executed",
    Problem::NotAPeer => "not_a_peer",
    Problem::OriginForbidden => "origin_forbidden",
    Problem::OriginUnnamed => "origin_unnamed",
    Problem::OriginFailed => "origin_failed",
    Problem::OriginSlow => "origin_slow",
    Problem::NotCached => "not_cached",
    Problem::NotFound => "not_found",
    Problem::MethodNotAllowed => "method_not_allowed",
    Problem::ForeignHost => "foreign_host",
    Problem::ForeignOrigin => "foreign_origin",
    Problem::Unauthorized => "unauthorized",
    Problem::WritesOff => "writes_off",
    Problem::TooLarge => "too_large",
    Problem::Overloaded => "overloaded",
    Problem::Loop => "loop",
);

words!(Verdict:
    Verdict::FellBack => "fell_back",
    Verdict::CameBack => "came_back",
);

impl Word for Reason {
    const ALL: &'static [Self] = &Reason::ALL;

    fn place(self) -> usize {
        self.index()
    }

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for ProgressSource {
    const ALL: &'static [Self] = &ProgressSource::ALL;

    fn place(self) -> usize {
        self.index()
    }

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// The words for what a plan shadows.
pub(super) const SHADOWINGS: [&str; 4] = ["direct", "lead", "probe", "sample"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check<W: Word>() {
        assert!(W::ALL.iter().enumerate().all(|(place, value)| value.place() == place), "a value is out of place");
        assert_eq!(W::ALL.iter().map(|value| value.word()).collect::<HashSet<_>>().len(), W::ALL.len());
    }

    #[test]
    fn every_value_is_in_its_place_and_has_a_word_of_its_own() {
        check::<ShadowEnd>();
        check::<ServedEnd>();
        check::<Kept>();
        check::<ProcessEnd>();
        check::<Direction>();
        check::<ConnectionRefusal>();
        check::<Side>();
        check::<Certificate>();
        check::<Reload>();
        check::<ConfigReload>();
        check::<certs::Reason>();
        check::<UpstreamConnection>();
        check::<Fell>();
        check::<super::super::learning::Refit>();
        check::<super::super::learning::ModelFile>();
        check::<policy::learn::BadRow>();
        check::<super::super::intercept::Way>();
        check::<super::super::intercept::Became>();
        check::<Lookup>();
        check::<DataRefusal>();
        check::<Found>();
        check::<NoPermit>();
        check::<super::super::jobs::Asynchronous>();
        check::<super::super::jobs::Unread>();
        check::<Unspooled>();
        check::<Problem>();
        check::<Verdict>();
        check::<Outcome>();
        check::<Reason>();
        check::<ProgressSource>();
    }
}
