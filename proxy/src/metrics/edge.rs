//! What is counted where bytes come in and go out: connections, problems, the spool, the admin port.

use policy::NetworkId;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::words::{ConnectionRefusal, UpstreamConnection, Word};
use crate::problem::Problem;
use crate::spool::Unspooled;

#[derive(Debug)]
pub(super) struct EdgeCounters {
    open: Family<0>,
    refused: Family<1>,
    problems: Family<1>,
    upstream: Family<2>,
    load_reports_failed: Family<1>,
    spool_refused: Family<1>,
    admin_refused: Family<0>,
    classes_crowded: Family<0>,
}

impl EdgeCounters {
    pub(super) fn new(network: &Axis) -> Self {
        Self {
            open: Family::gauges(Head::new("adumbra_connections_open", "Client connections that are open now"), []),
            refused: Family::counters(
                Head::new("adumbra_connections_refused", "Client connections refused, or closed early, by reason"),
                [&Axis::of::<ConnectionRefusal>("reason")],
            ),
            problems: Family::counters(
                Head::new("adumbra_problems", "Answers in adumbra's own name, by problem"),
                [&Axis::of::<Problem>("problem")],
            ),
            upstream: Family::counters(
                Head::new("adumbra_upstream_connections", "Connections wanted to a network, by how they were come by"),
                [network, &Axis::of::<UpstreamConnection>("result")],
            ),
            load_reports_failed: Family::counters(
                Head::new("adumbra_load_reports_failed", "Load reports that did not come or made no sense"),
                [network],
            ),
            spool_refused: Family::counters(
                Head::new("adumbra_spool_refused", "Request bodies of which no whole copy was kept, by reason"),
                [&Axis::of::<Unspooled>("reason")],
            ),
            admin_refused: Family::counters(
                Head::new(
                    "adumbra_admin_refused",
                    "Requests to the admin port under a Host that it does not answer to",
                ),
                [],
            ),
            classes_crowded: Family::counters(
                Head::new(
                    "adumbra_classes_crowded",
                    "Jobs counted as their route's `other`: there are too many classes",
                ),
                [],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 8] {
        [
            &self.open,
            &self.refused,
            &self.problems,
            &self.upstream,
            &self.load_reports_failed,
            &self.spool_refused,
            &self.admin_refused,
            &self.classes_crowded,
        ]
    }
}

impl Metrics {
    /// A client's connection was taken.
    pub(crate) fn connection_opened(&self) {
        self.edge.open.add([], 1);
    }

    /// A client's connection is gone.
    pub(crate) fn connection_closed(&self) {
        self.edge.open.subtract([], 1);
    }

    /// A client's connection was refused, or closed early.
    pub(crate) fn connection_refused(&self, why: ConnectionRefusal) {
        self.edge.refused.add([why.place()], 1);
    }

    /// One answer of our own was given.
    pub(crate) fn problem(&self, problem: Problem) {
        self.edge.problems.add([problem.place()], 1);
    }

    /// A dispatch or a check wanted a connection to a network.
    pub(crate) fn upstream_connection(&self, network: NetworkId, how: UpstreamConnection) {
        self.edge.upstream.add([network.index(), how.place()], 1);
    }

    /// A network's load report did not come or made no sense.
    pub(crate) fn load_report_failed(&self, network: NetworkId) {
        self.edge.load_reports_failed.add([network.index()], 1);
    }

    /// No whole copy of a request's body was kept.
    pub(crate) fn spool_refused(&self, why: Unspooled) {
        self.edge.spool_refused.add([why.place()], 1);
    }

    /// The admin port was asked under a name it does not answer to.
    pub(crate) fn admin_refused(&self) {
        self.edge.admin_refused.add([], 1);
    }

    /// A job's class has no place of its own in the register.
    pub(crate) fn class_crowded(&self) {
        self.edge.classes_crowded.add([], 1);
    }

    /// How many of them there were.
    #[cfg(test)]
    pub(crate) fn classes_crowded(&self) -> u64 {
        self.edge.classes_crowded.total()
    }
}
