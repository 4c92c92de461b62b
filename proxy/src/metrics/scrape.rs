//! One scrape: every family as OpenMetrics text, and what is not counted but asked for: the networks as they are now.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;
use super::family::{Head, Labels, with_labels};
use crate::admin::NetworkStatus;

/// The media type of [`text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape is answered with.
pub(crate) fn text(metrics: &Arc<Metrics>, networks: Vec<NetworkStatus>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { metrics: Arc::clone(metrics), networks }));
    let mut text = String::with_capacity(32 << 10);
    // Writing into a string cannot fail, and no family here is of a kind that text cannot show.
    if encode(&mut text, &registry).is_err() {
        tracing::error!("the metrics could not be written as text; this is a bug, please report it");
    }
    text
}

/// The media type of [`plain`].
pub(crate) const PLAIN_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same in Prometheus' older text format, for whoever does not ask for OpenMetrics: there a counter's family is called as its
/// samples are, and neither units nor an end are said.
pub(crate) fn plain(open: &str) -> String {
    let counters: HashSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                text += &format!("# {kind} {name}_total {rest}\n");
            }
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    networks: Vec<NetworkStatus>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.metrics.families() {
            family.encode(&mut encoder)?;
        }
        for (head, value) in network_gauges() {
            let mut metric = head.describe(&mut encoder, MetricType::Gauge)?;
            for network in &self.networks {
                let labels: Labels = vec![("network", network.name.clone())];
                with_labels(&mut metric, &labels, |m| m.encode_gauge(&value(network)))?;
            }
        }
        let head = worker_gauge();
        let mut metric = head.describe(&mut encoder, MetricType::Gauge)?;
        let workers = self.networks.iter().find_map(|network| network.workers).unwrap_or_default();
        for (state, count) in workers.by_state() {
            let labels: Labels = vec![("state", state.to_owned())];
            with_labels(&mut metric, &labels, |m| m.encode_gauge(&(count as u64)))?;
        }
        let build: Labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let head = Head::new("adumbra_build_info", "1, of the version that runs");
        let mut metric = head.describe(&mut encoder, MetricType::Gauge)?;
        with_labels(&mut metric, &build, |m| m.encode_gauge(&1_i64))
    }
}

fn worker_gauge() -> Head {
    Head::new("adumbra_lane_workers", "Workers of the process lane, by what they do now")
}

type Reading = fn(&NetworkStatus) -> f64;

/// Gauges that are read from the networks when they are asked for.
fn network_gauges() -> [(Head, Reading); 10] {
    [
        (Head::new("adumbra_network_healthy", "1 if jobs may be sent there, 0 if its breaker is open"), |n| {
            f64::from(u8::from(n.healthy))
        }),
        (Head::new("adumbra_network_in_flight", "Jobs in flight there, as far as this sidecar knows"), |n| {
            f64::from(n.in_flight)
        }),
        (Head::new("adumbra_network_capacity", "Jobs it can run at once; 0 if that is not known"), |n| {
            f64::from(n.capacity)
        }),
        (
            Head::in_unit(
                "adumbra_network_waiting",
                Unit::Seconds,
                "How long a job sent there now would wait to start",
            ),
            |n| n.waiting_s,
        ),
        (Head::in_unit("adumbra_network_round_trip", Unit::Seconds, "Measured round trip; 0 before the first"), |n| {
            n.rtt_s
        }),
        (
            Head::new("adumbra_network_link_bytes_per_second", "Measured rate of the link to it; 0 before the first"),
            |n| n.link_bytes_per_s,
        ),
        (
            Head::new("adumbra_network_spent_hour", "Money this sidecar has spent there in the last sixty minutes"),
            |n| n.spent.hour,
        ),
        (Head::new("adumbra_network_spent_day", "Money this sidecar has spent there in the last 24 hours"), |n| {
            n.spent.day
        }),
        (Head::new("adumbra_network_spend_committed", "Money that what is in flight there is expected to cost"), |n| {
            n.spent.committed
        }),
        (Head::new("adumbra_network_spend_capped", "1 if no more is to be spent there, for a cap is reached"), |n| {
            f64::from(u8::from(n.is_capped()))
        }),
    ]
}
