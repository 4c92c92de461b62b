//! What is counted of intercepted connections: what became of each, and how much passed by unread.

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::words::{Word, words};

/// Which way an intercepted connection was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the service.
    Inbound,
    /// From it.
    Outbound,
}

/// What became of an intercepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// HTTP, for us to answer.
    Served,
    /// Passed on: something else than HTTP.
    NotHttp,
    /// Passed on: the other side spoke first.
    Silent,
    /// Passed on: what it is could not be told in time.
    Slow,
    /// Passed on: HTTP, but not for a service or an origin that we know.
    NotOurs,
    /// Reset: no rule had brought it here.
    Direct,
    /// Reset: it was going to one of our own listeners.
    Loop,
    /// Reset: its destination cannot be connected to.
    Unreachable,
    /// It ended before it said anything.
    Gone,
}

words!(Way: Way::Inbound => "inbound", Way::Outbound => "outbound");
words!(Became:
    Became::Served => "served",
    Became::NotHttp => "not_http",
    Became::Silent => "silent",
    Became::Slow => "slow",
    Became::NotOurs => "not_ours",
    Became::Direct => "direct",
    Became::Loop => "loop",
    Became::Unreachable => "unreachable",
    Became::Gone => "gone",
);

#[derive(Debug)]
pub(super) struct InterceptCounters {
    connections: Family<2>,
    bytes: Family<1>,
}

impl InterceptCounters {
    pub(super) fn new() -> Self {
        let way = Axis::of::<Way>("direction");
        Self {
            connections: Family::counters(
                Head::new("adumbra_intercepted", "Connections that were intercepted, by what became of them"),
                [&way, &Axis::of::<Became>("became")],
            ),
            bytes: Family::counters(
                Head::new("adumbra_intercept_relayed_bytes", "Bytes of intercepted connections that passed untouched"),
                [&way],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 2] {
        [&self.connections, &self.bytes]
    }
}

impl Metrics {
    /// A connection was intercepted.
    pub(crate) fn intercepted(&self, way: Way, became: Became) {
        self.intercept.connections.add([way.place(), became.place()], 1);
    }

    /// One that was passed on is over.
    pub(crate) fn relayed(&self, way: Way, bytes: u64) {
        self.intercept.bytes.add([way.place()], bytes);
    }
}
